# ppl: perplexity, bits per byte, accuracy, intervals, by group and against a baseline.

load helpers

mkstream() {
    "$build/test/mkstream" "$@"
}

# small FILE: three sequences of two domains, with numbers that are easy to sum.
small() {
    mkstream logprobs length=9 from=json o="$1" <<-'E'
	{"id":0,"domain":"law","bytes":10,"logprobs":[-1,-2,-3]}
	{"id":1,"domain":"math","bytes":4,"logprobs":[-0.5,-0.25]}
	{"id":2,"domain":"law","bytes":6,"logprobs":[-4]}
	E
}

# get FILTER: a value of report.json.
get() {
    jq -r "$1" report.json
}

# ---- closed forms ----

@test "ppl: perplexity weighs tokens equally, bits per byte count target bytes" {
    small x.lp
    ppl --json x.lp -o report.json
    # 10.75 nats, 6 tokens, 20 bytes
    assert_equal "$(get '[.total.sequences, .total.tokens, .total.bytes] | join(" ")')" "3 6 20"
    assert_close "$(get .total.nats)" 10.75 1e-12
    assert_close "$(get .total.nats_per_token)" "$(awk 'BEGIN { printf "%.15g", 10.75 / 6 }')" 1e-12
    assert_close "$(get .total.perplexity)" "$(awk 'BEGIN { printf "%.15g", exp(10.75 / 6) }')" 1e-12
    assert_close "$(get .total.bits_per_byte)" "$(awk 'BEGIN { printf "%.15g", 10.75 / log(2) / 20 }')" 1e-12
    assert_equal "$(get '[.stream, .from, .groups] | tojson')" '["x.lp",null,[]]'
}

@test "ppl: on many sequences as awk sums them" {
    mkstream logprobs n=2000 ragged=1 o=x.lp
    ppl --json x.lp > report.json
    view --json --columns x.lp | jq -r '[.bytes, (.logprobs | length), (.logprobs | add // 0)] | @tsv' |
        awk '{ b += $1; t += $2; s -= $3 } END { printf "%.12g %.12g %d\n", exp(s / t), s / log(2) / b, t }' > expected
    read -r perplexity bits tokens < expected
    assert_close "$(get .total.perplexity)" "$perplexity" 1e-9
    assert_close "$(get .total.bits_per_byte)" "$bits" 1e-9
    assert_equal "$(get .total.tokens)" "$tokens"
}

@test "ppl: by domain, with the share of sequences" {
    small x.lp
    ppl --json --by domain x.lp > report.json
    assert_equal "$(get '[.groups[].domain] | join(" ")')" "law math"
    assert_close "$(get '.groups[0].perplexity')" "$(awk 'BEGIN { printf "%.15g", exp(2.5) }')" 1e-12
    assert_close "$(get '.groups[1].perplexity')" "$(awk 'BEGIN { printf "%.15g", exp(0.375) }')" 1e-12
    assert_close "$(get '.groups[0].bits_per_byte')" "$(awk 'BEGIN { printf "%.15g", 10 / log(2) / 16 }')" 1e-12
    assert_close "$(get '.groups[0].share')" 0.666666666666667 1e-12
    assert_equal "$(get '[.groups[] | .sequences, .tokens, .bytes] | join(" ")')" "2 4 16 1 2 4"
}

@test "ppl: by expert, and by domain and expert; an expert without sequences has a row" {
    small x.lp
    mkstream assignment experts=4 length=9 from=json o=a.asg <<-'E'
	{"id":0,"domain":"law","bytes":10,"predicted":3,"expert":2}
	{"id":1,"domain":"math","bytes":4,"predicted":2,"expert":0}
	{"id":2,"domain":"law","bytes":6,"predicted":1,"expert":0}
	E
    ppl --json --by expert --assignment a.asg x.lp > report.json
    assert_equal "$(get '[.groups[] | .expert, .sequences, .tokens] | join(" ")')" "0 2 3 1 0 0 2 1 3 3 0 0"
    assert_close "$(get '.groups[0].nats')" 4.75 1e-12
    assert_equal "$(get '.groups[1].perplexity')" null
    ppl --json --by domain,expert --assignment a.asg x.lp > report.json
    assert_equal "$(get '[.groups[] | .domain, .expert, .nats + 0] | join(" ")')" "law 0 4 law 2 6 math 0 0.75"
}

@test "ppl: --from leaves out the positions before it, and reports all positions too" {
    small x.lp
    ppl --json --by domain --from 2 x.lp > report.json # positions start at 1
    assert_equal "$(get '[.from, .total.sequences, .total.tokens] | join(" ")')" "2 3 3"
    assert_close "$(get .total.nats)" 5.25 1e-12
    assert_equal "$(get '[.total.bits_per_byte, .total.bytes, .total.bits_per_byte_ci95] | tojson')" "[null,null,null]"
    assert_close "$(get .all_positions.nats)" 10.75 1e-12
    assert_equal "$(get .all_positions.bytes)" 20
    ppl --json --from 1 x.lp > report.json # nothing is lost
    assert_equal "$(get '[.total.tokens, .total.bytes] | join(" ")')" "6 20"
    ppl --json --from 100 x.lp > report.json
    assert_equal "$(get '[.total.tokens, .total.perplexity, .total.perplexity_ci95] | tojson')" "[0,null,null]"
    # a later first position counts from there
    echo '{"first":5,"logprobs":[-1,-2,-4]}' | mkstream logprobs length=8 from=json > late.lp
    ppl --json --from 6 late.lp > report.json
    assert_close "$(get .total.nats)" 6 1e-12
}

@test "ppl: the paired difference against a baseline" {
    small x.lp
    mkstream logprobs length=9 from=json o=base.lp <<-'E'
	{"id":0,"domain":"law","bytes":10,"logprobs":[-1,-2,-4]}
	{"id":1,"domain":"math","bytes":4,"logprobs":[-0.5,-0.5]}
	{"id":2,"domain":"law","bytes":6,"logprobs":[-5]}
	E
    ppl --json --by domain --baseline base.lp x.lp > report.json
    assert_close "$(get .baseline.nats)" 13 1e-12
    assert_close "$(get .baseline.perplexity)" "$(awk 'BEGIN { printf "%.15g", exp(13 / 6) }')" 1e-12
    assert_close "$(get .difference.nats_per_token)" -0.375 1e-12
    assert_close "$(get .difference.improvement_percent)" "$(awk 'BEGIN { printf "%.15g", 100 * (1 - exp(-0.375)) }')" 1e-12
    assert_close "$(get '.groups[0].difference.nats_per_token')" -0.5 1e-12
    assert_close "$(get '.groups[1].baseline.nats')" 1 1e-12
    ppl --json --baseline x.lp x.lp > report.json
    run grep -e '-0\.0' report.json
    assert_equal "$status" 1
    assert_equal "$(get '[.difference.nats_per_token, .difference.improvement_percent_ci95[]] | map(. == 0) | all')" true
}

# ---- intervals ----

@test "ppl: 95% intervals agree with the normal approximation" {
    mkstream logprobs n=3000 length=64 o=x.lp
    ppl --json x.lp > report.json
    # equal lengths: the mean over sequences, with standard deviation / sqrt(n)
    view --json x.lp | jq '.logprobs | -add / length' |
        awk '{ s += $1; q += $1 * $1 } END { m = s / NR; e = 1.96 * sqrt((q / NR - m * m) / NR)
            printf "%.9g %.9g %.9g\n", exp(m - e), exp(m + e), 0.1 * (exp(m + e) - exp(m - e)) / exp(m) }' > expected
    read -r low high tolerance < expected
    assert_close "$(get '.total.perplexity_ci95[0]')" "$low" "$tolerance"
    assert_close "$(get '.total.perplexity_ci95[1]')" "$high" "$tolerance"
}

@test "ppl: a paired interval is narrower than the models' own, and excludes 0 where the difference is real" {
    mkstream logprobs n=1000 length=64 o=x.lp
    view --json --columns x.lp | jq -c '.logprobs |= map(. - 0.02)' | mkstream logprobs length=64 from=json o=base.lp
    ppl --json --baseline base.lp x.lp > report.json
    assert_equal "$(get '.difference.improvement_percent_ci95 | .[0] > 1.97 and .[1] < 1.99')" true
    assert_equal "$(get '.total.perplexity_ci95[1] > .baseline.perplexity_ci95[0]')" true
}

@test "ppl: intervals depend on the seed alone, not on the number of threads" {
    mkstream logprobs n=300 o=x.lp
    ppl --json --seed 3 --threads 1 --by domain x.lp > a.json
    ppl --json --seed 3 --threads 3 --by domain x.lp > b.json
    ppl --json --seed 4 --by domain x.lp > c.json
    assert_same a.json b.json
    if cmp -s a.json c.json; then false; fi
    ppl --json --resamples 0 x.lp > report.json
    assert_equal "$(get .total.perplexity_ci95)" null
}

# ---- tasks ----

@test "ppl: --choices gives acc by the sum and acc_norm by the sum per character" {
    mkstream logprobs length=9 from=json o=x.lp <<-'E'
	{"domain":"quiz","group":0,"choice":0,"gold":1,"norm_length":9,"logprobs":[-3,-1]}
	{"domain":"quiz","group":0,"choice":1,"gold":0,"norm_length":3,"logprobs":[-3]}
	{"domain":"quiz","group":1,"choice":0,"gold":0,"norm_length":4,"logprobs":[-2]}
	{"domain":"quiz","group":1,"choice":1,"gold":1,"norm_length":4,"logprobs":[-1,-0.5]}
	{"domain":"exam","group":0,"choice":0,"gold":0,"norm_length":1,"logprobs":[-1]}
	{"domain":"exam","group":0,"choice":1,"gold":1,"norm_length":1,"logprobs":[-1]}
	E
    # quiz 0: sums -4, -3 (wrong), per character -0.44, -1 (right); quiz 1 right; exam 0: a tie, the lower is wrong
    ppl --json --choices --by domain x.lp > report.json
    assert_close "$(get .total.choices.acc)" 0.333333333333333 1e-12
    assert_close "$(get .total.choices.acc_norm)" 0.666666666666667 1e-12
    assert_equal "$(get '[.groups[] | .domain, .choices.questions, .choices.acc + 0, .choices.acc_norm + 0] | join(" ")')" \
        "exam 1 0 0 quiz 2 0.5 1"
    assert_close "$(get .groups[1].choices.acc_stderr)" 0.5 1e-12
    mkstream logprobs n=10 o=plain.lp
    run ppl --choices plain.lp
    assert_exit 3
    run ppl --choices --from 3 x.lp
    assert_exit 2
}

@test "ppl: --choices refuses a question without a right choice" {
    printf '{"group":7,"choice":%d,"norm_length":2,"logprobs":[-1]}\n' 0 1 | mkstream logprobs length=9 from=json o=x.lp
    run ppl --choices x.lp
    assert_exit 3
    assert_line "x.lp: no choice of question 7 of domain 'text' is the right one"
}

# ---- output ----

@test "ppl: a table for people, TSV for programs" {
    small x.lp
    run ppl --by domain x.lp
    assert_exit 0
    assert_match "^domain +sequences +share +tokens +nats/token +perplexity +95% interval +bits/byte$"
    assert_match "^law +2 +0.667 +4 +2.5000 +12.182 "
    assert_match "^total +3 +1.000 +6 +1.7917 +5.999 +[0-9.]+ \.\. [0-9.]+ +0.7754$"
    ppl --tsv --by domain --baseline x.lp x.lp > x.tsv
    assert_equal "$(awk -F'\t' '{ print NF }' x.tsv | uniq | wc -l)" 1
    assert_equal "$(cut -f1-6 x.tsv | tail -1)" "$(printf 'total\t\t\t3\t1\t6')"
    assert_equal "$(awk -F'\t' 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "improvement_percent_ci95_high") c = i } END { print $c }' x.tsv)" "0"
    run ppl --json --tsv x.lp
    assert_exit 2
}

@test "ppl: -inf makes a perplexity infinite, and says so" {
    echo '{"logprobs":[-1,"-inf"]}' | mkstream logprobs length=9 from=json o=x.lp
    ppl --json x.lp > report.json
    assert_equal "$(get '[.total.perplexity, .total.infinite] | tojson')" "[null,true]"
    run ppl x.lp
    assert_exit 0
    assert_match "^total .* inf "
    run ppl --tsv x.lp
    assert_line "inf"
}

@test "ppl: an improper stream is marked" {
    mkstream logprobs n=10 rule=oracle improper=1 o=x.lp
    run ppl x.lp
    assert_line "rule 'oracle' is improper"
    ppl --json x.lp > report.json
    assert_equal "$(get '[.rule, .improper] | tojson')" '["oracle",true]'
}

@test "ppl: from a pipe as from a file; the log holds the same object" {
    mkstream logprobs n=200 o=x.lp
    ppl --json --by domain --log log.json x.lp > a.json
    cat x.lp | ppl --json --by domain > b.json
    assert_equal "$(jq -c 'del(.stream)' a.json)" "$(jq -c 'del(.stream)' b.json)"
    assert_same a.json log.json
    ppl --json --by domain x.lp -o c.json
    assert_same a.json c.json
}

@test "ppl: an empty stream has no perplexity" {
    mkstream logprobs n=0 o=x.lp
    ppl --json x.lp > report.json
    assert_equal "$(get '[.total.sequences, .total.tokens, .total.perplexity] | tojson')" "[0,0,null]"
    run ppl x.lp
    assert_exit 0
}

# ---- refusals ----

@test "ppl: a baseline or an assignment of other sequences ends in exit 3 naming both" {
    mkstream logprobs n=20 o=x.lp
    mkstream logprobs n=20 vocab_name=other o=vocab.lp
    mkstream logprobs n=20 start=1 o=id.lp
    mkstream logprobs n=19 o=count.lp
    mkstream logprobs n=20 length=31 o=length.lp
    mkstream logprobs n=20 corpus=other o=corpus.lp
    for other in vocab id count length corpus; do
        run ppl --baseline $other.lp x.lp -o report
        assert_exit 3
        assert_line "x.lp"
        assert_line "$other.lp"
    done
    mkstream assignment n=19 o=a.asg
    run ppl --by expert --assignment a.asg x.lp -o report
    assert_exit 3
    assert_line "a.asg: ends after 19 sequences, but x.lp goes on"
    assert_absent report
}

@test "ppl: NaN ends in exit 4" {
    mkstream logprobs n=20 nan=7 o=x.lp
    run ppl x.lp -o report
    assert_exit 4
    assert_line "x.lp"
    assert_absent report
}

@test "ppl: bad usage exits 2 and creates nothing" {
    mkstream logprobs n=5 o=x.lp
    local bad
    for bad in '--bogus x.lp' '--by model x.lp' '--by expert x.lp' '--assignment a.asg x.lp' '--from -1 x.lp' 'x.lp x.lp' \
        '--resamples x x.lp'; do
        run ppl $bad -o report
        assert_exit 2
    done
    mkstream scores n=5 o=s.scr
    run ppl s.scr -o report
    assert_exit 3
    assert_absent report
}

@test "ppl: a truncated stream leaves no report" {
    mkstream logprobs n=500 o=x.lp
    head -c -1 x.lp > short.lp
    run ppl short.lp -o report
    assert_exit 3
    run ppl --baseline short.lp x.lp -o report
    assert_exit 3
    assert_absent report
}
