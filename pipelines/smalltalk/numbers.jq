# How the reports write numbers: no more digits than the 95% interval supports.

# with exactly $n decimals
def fixed($n):
  if . == null then "-" else
    pow(10; $n) as $p | (fabs * $p | round) as $i
    | (if . < 0 and $i > 0 then "-" else "" end)
      + (if $n == 0 then "\($i)" else "\($i / $p | floor)." + ("\($p + $i % $p)" | .[1:]) end)
  end;

# The decimals of a number with this interval: to the first digit of the interval's half width, to the second
# where the first is a 1 or a 2.
def decimals($ci):
  (if $ci == null then 0 else ($ci[1] - $ci[0]) / 2 end) as $h
  | if $h <= 0 then 2 else [[-($h / 3 | log10 | floor), 0] | max, 4] | min end;
def within($ci): fixed(decimals($ci));
# one number of decimals for a column: what its widest interval supports
def column(intervals): [intervals | decimals(.)] | min;

def interval($n): if . == null then "" else "\(.[0] | fixed($n)) to \(.[1] | fixed($n))" end;

# 4.32e13 is 4.32 and 13
def exponent: log10 | floor;
def mantissa: . / pow(10; exponent) | fixed(2);

# two digits: 1.9, 22, 340
def rough: if . < 9.95 then fixed(1) else fixed(0) end;

def duration: if . < 99.5 then "\(round) s" else "\(. / 60 | fixed(1)) min" end;

# a paired difference in words: "16.6% lower (95% interval 16.3 to 16.9)"
def gain:
  (.improvement_percent_ci95 // null) as $ci
  | if .improvement_percent >= 0 then { word: "lower", x: .improvement_percent, ci: $ci }
    else { word: "higher", x: -.improvement_percent, ci: (if $ci then [-$ci[1], -$ci[0]] else null end) } end
  | decimals(.ci) as $n | "\(.x | fixed($n))% \(.word)" + (if .ci then " (95% interval \(.ci | interval($n)))" else "" end);
