# What the plots draw, from report.json: lines of a file's name, a tab, and a line of that file.
include "numbers";

# direct labels: sorted by height, at least $gap apart
def spread($gap): sort_by(.y)
  | reduce range(1; length) as $i (.; if .[$i].y - .[$i - 1].y < $gap then .[$i].y = .[$i - 1].y + $gap else . end);
def command: "set label \"\(.text)\" at \(.x), \(.y) \(.place) tc rgb \"\(.colour)\"";

(.dense.train_flops | exponent) as $power
| (.curves | map_values(map(.flops /= pow(10; $power)))) as $c
| ([$c[][] | .loss] | min) as $best
| ($best * 0.96) as $bottom | ($best * 1.5) as $top
| ([$c[][] | .flops] | max) as $last
| "settings.gp\tpower = \($power); bottom = \($bottom); top = \($top); last = \($last); experts = \(.mixture.experts | length)",
  # the first evaluation of a run from scratch is before any training
  ($c | to_entries[] | .key as $k | .value[(if $k == "mixture" then 0 else 1 end):][] | "\($k).tsv\t\(.flops)\t\(.loss)"),
  ([{ text: "dense, long", c: $c.dense_long, colour: "#0072b2" }, { text: "dense, wide", c: $c.dense_wide, colour: "#0072b2" },
    { text: "mixture", c: $c.mixture, colour: "#d55e00" }]
    | map(select(.c | length > 0) | .x = $last | .y = .c[-1].loss | .place = "left offset 0.8,0") | spread(($top - $bottom) * 0.06)[]
    | "labels.gp\t\(command)"),
  ($c.trunk | select(length > 1) | .[length / 2 | floor] | { text: "trunk", x: .flops, y: .loss, place: "left offset 0.5,0.9", colour: "#888888" }
    | "labels.gp\t\(command)"),
  (column(.mixture.experts[] | .perplexity_ci95, .dense_perplexity_ci95) as $n
    | .mixture.experts | to_entries[] | .value as $e | "segments.tsv\t\(.key)\t\($e.dense_perplexity)\t\($e.perplexity)\t"
    + "\"expert \(.key), \($e.share * 100 | round)%\"\t\($e.dense_perplexity | fixed($n))"
    + "\t\($e.perplexity | fixed($n))"),
  (.mixture.experts | [.[].perplexity, .[].dense_perplexity] as $p | ($p | max - min) as $w
    | "settings.gp\tlow = \([0, ($p | min) - 0.35 * $w] | max); high = \(($p | max) + 0.25 * $w)"),
  (.mixture.experts[0] | { text: "its expert", x: .perplexity, y: -0.6, place: "right offset 1,0", colour: "#d55e00" },
    { text: "dense", x: .dense_perplexity, y: -0.6, place: "left offset -0.5,0", colour: "#0072b2" } | "heads.gp\t\(command)"),
  ([.tables[] | select(.name | startswith("round "))]
    | "settings.gp\tlast_round = \([length - 1, 1] | max)", (to_entries[] | "rounds.tsv\t\(.key)\t\(.value.nmi)"))
