# mix: the experts' log-probs become the mixture's.

load helpers

mkstream() {
    "$build/test/mkstream" "$@"
}

# lp FILE ROW...: log-probs given as JSON rows.
lp() {
    local file=$1 row
    shift
    for row; do echo "{\"logprobs\":$row}"; done | mkstream logprobs length=9 from=json o="$file"
}

# values FILE: one line of log-probs per sequence.
values() {
    view --json "$1" | jq -c .logprobs
}

# close FILE FILE TOLERANCE: the same sequences with nearly the same log-probs.
close() {
    paste <(values "$1" | tr -d '[]' | tr ',' '\n') <(values "$2" | tr -d '[]' | tr ',' '\n') |
        awk -v t="$3" '{ d = $1 - $2; if (d < 0) d = -d; if (NF != 2 || d > t) { print NR ": " $0; exit 1 } }' >&2
}

# shares FILE: e0.lp ... e3.lp hold the share of each expert of this assignment, out of full.lp.
shares() {
    view --json "$1" | jq .expert > experts.txt
    for e in 0 1 2 3; do
        paste -d' ' experts.txt <(view --json --columns full.lp) | awk -v e=$e '$1 == e' | cut -d' ' -f2- |
            mkstream logprobs ragged=1 from=json o=e$e.lp
    done
}

# ---- select ----

@test "mix: select pulls each sequence from its expert, in the order of the assignment" {
    mkstream logprobs n=400 ragged=1 o=full.lp
    mkstream scores n=400 ragged=1 o=s.scr
    for method in balanced random; do
        assign -q --method $method s.scr -o a.asg
        shares a.asg
        mix --rule select --assignment a.asg e0.lp e1.lp e2.lp e3.lp -o mix.lp
        assert_equal "$(view --json --columns mix.lp | sha256sum)" "$(view --json --columns full.lp | sha256sum)"
        assert_equal "$(view --header mix.lp | jq -c '[.rule, .improper // false]')" '["select",false]'
    done
    cat a.asg | mix --rule select --assignment - e0.lp e1.lp e2.lp e3.lp > piped.lp
    assert_same mix.lp piped.lp
}

@test "mix: select refuses a share that is too short, too long or another's" {
    mkstream logprobs n=40 ragged=1 o=full.lp
    mkstream scores n=40 ragged=1 o=s.scr
    assign -q s.scr -o a.asg
    shares a.asg
    view --json --columns e2.lp | sed '$d' | mkstream logprobs ragged=1 from=json o=short.lp
    run mix --rule select --assignment a.asg e0.lp e1.lp short.lp e3.lp -o mix.lp
    assert_exit 3
    assert_match "short.lp: ends before id [0-9]+, which a.asg gives to expert 2"
    { view --json --columns e2.lp; view --json --columns e2.lp | sed -n 1p | jq -c '.id = 4000'; } |
        mkstream logprobs ragged=1 from=json o=long.lp
    run mix --rule select --assignment a.asg e0.lp e1.lp long.lp e3.lp -o mix.lp
    assert_exit 3
    assert_line "long.lp: holds id 4000, which a.asg does not give to expert 2"
    run mix --rule select --assignment a.asg e1.lp e0.lp e2.lp e3.lp -o mix.lp
    assert_exit 3
    assert_line "a.asg"
    run mix --rule select --assignment a.asg e0.lp e1.lp e2.lp -o mix.lp
    assert_exit 3
    assert_line "a.asg: assigns to 4 experts, but 3 streams of log-probs were given"
    assign -q --method topk s.scr -o topk.asg
    run mix --rule select --assignment topk.asg e0.lp e1.lp e2.lp e3.lp -o mix.lp
    assert_exit 3
    assert_line "topk.asg: names 2 experts per sequence"
    assert_absent mix.lp
}

# ---- bayes and its neighbours ----

# E log-probs per line in; the mixture's out, from the formula. Environment: P priors, W window.
bayes_by_hand() {
    awk -v P="$P" 'BEGIN { n = split(P, p, ",") }
        { top = -1e300; base = -1e300
          for (j = 1; j <= n; j++) if (p[j] > 0) {
              a[j] = log(p[j]) + sum[j]; b[j] = a[j] + $j
              if (a[j] > base) base = a[j]
              if (b[j] > top) top = b[j] }
          x = y = 0
          for (j = 1; j <= n; j++) if (p[j] > 0) { x += exp(b[j] - top); y += exp(a[j] - base); sum[j] += $j }
          printf "%.9f\n", top + log(x) - base - log(y) }'
}

@test "mix: bayes is the formula, and its history restarts with each sequence" {
    for j in 0 1 2; do mkstream logprobs n=2 length=40 model=$j o=e$j.lp; done
    mix --rule bayes e0.lp e1.lp e2.lp -o uniform.lp
    mix --rule bayes --prior 3,0,1 e0.lp e1.lp e2.lp -o prior.lp
    printf '0.75 0\n0.25\n' > prior.txt
    mix --rule bayes --prior prior.txt e0.lp e1.lp e2.lp -o file.lp
    assert_equal "$(values file.lp)" "$(values prior.lp)"
    for i in 1 2; do
        for j in 0 1 2; do values e$j.lp | sed -n ${i}p | tr -d '[]' | tr ',' '\n' > col$j; done
        paste col0 col1 col2 | P=1,1,1 bayes_by_hand > expected
        paste expected <(values uniform.lp | sed -n ${i}p | tr -d '[]' | tr ',' '\n') |
            awk '{ d = $1 - $2; if (d < -1e-6 || d > 1e-6) exit 1; n++ } END { exit n != 39 }'
        paste col0 col1 col2 | P=3,0,1 bayes_by_hand > expected
        paste expected <(values prior.lp | sed -n ${i}p | tr -d '[]' | tr ',' '\n') |
            awk '{ d = $1 - $2; if (d < -1e-6 || d > 1e-6) exit 1; n++ } END { exit n != 39 }'
    done
}

@test "mix: bayes with one expert, equal experts, or permuted ones changes nothing" {
    for j in 0 1 2; do mkstream logprobs n=50 length=64 model=$j o=e$j.lp; done
    mix --rule bayes e1.lp -o one.lp
    assert_equal "$(values one.lp)" "$(values e1.lp)"
    cp e1.lp copy.lp
    mix --rule bayes --prior 0.2,0.8 e1.lp copy.lp -o equal.lp
    close equal.lp e1.lp 1e-6
    mix --rule bayes --prior 1,2,3 e0.lp e1.lp e2.lp -o a.lp
    mix --rule bayes --prior 3,1,2 e2.lp e0.lp e1.lp -o b.lp
    close a.lp b.lp 1e-6
}

@test "mix: bayes loses at most -log prior nats per sequence to any expert" {
    for j in 0 1 2; do mkstream logprobs n=50 length=64 model=$j o=e$j.lp; done
    mix --rule bayes e0.lp e1.lp e2.lp -o mix.lp
    values mix.lp | jq add > mixed
    for j in 0 1 2; do
        values e$j.lp | jq add | paste mixed - | awk '$1 < $2 - log(3) - 1e-4 { exit 1 }'
    done
    # and telescopes: exp(total) is the mean of the experts' exp(total)
    for j in 0 1 2; do values e$j.lp | jq add > total$j; done
    paste mixed total0 total1 total2 | awk '{ m = $2; if ($3 > m) m = $3; if ($4 > m) m = $4
        s = m + log((exp($2 - m) + exp($3 - m) + exp($4 - m)) / 3); d = s - $1; if (d > 1e-4 || d < -1e-4) exit 1 }'
}

@test "mix: bayes with a window or the best K by posterior" {
    lp e0.lp '[-1,-5,-1,-1]'
    lp e1.lp '[-2,-1,-2,-2]'
    # a window of 1: the weights are the previous token's probabilities
    mix --rule bayes --window 1 e0.lp e1.lp -o w.lp
    t=0
    for expected in "$(awk 'BEGIN { print log((exp(-1) + exp(-2)) / 2) }')" \
        "$(awk 'BEGIN { print log((exp(-6) + exp(-3)) / (exp(-1) + exp(-2))) }')" \
        "$(awk 'BEGIN { print log((exp(-6) + exp(-3)) / (exp(-5) + exp(-1))) }')" \
        "$(awk 'BEGIN { print log((exp(-2) + exp(-4)) / (exp(-1) + exp(-2))) }')"; do
        assert_close "$(values w.lp | jq ".[$t]")" "$expected" 1e-5
        t=$((t + 1))
    done
    # the best one at each token: e0, then e0 (-1 to -2), then e1 (-6 to -3), then e1 (-7 to -5)
    mix --rule bayes --topk 1 e0.lp e1.lp -o k.lp
    assert_equal "$(values k.lp)" "$(values <(lp /dev/stdout '[-1,-5,-2,-2]'))"
}

@test "mix: mean, geometric mean and oracle" {
    lp e0.lp '[-1,-5,-1]' '[-4,-4,-4]'
    lp e1.lp '[-2,-1,-2]' '[-4,-4,-4]'
    mix --rule mean --prior 0.75,0.25 e0.lp e1.lp -o mean.lp
    assert_close "$(values mean.lp | jq -s '.[0][1]')" "$(awk 'BEGIN { printf "%.9f", log(0.75 * exp(-5) + 0.25 * exp(-1)) }')" 1e-6
    assert_close "$(values mean.lp | jq -s '.[1][2]')" -4 1e-6
    mix --rule mean --prior 0.75,0.25 --topk 1 e0.lp e1.lp -o best.lp
    assert_equal "$(values best.lp)" "$(values e0.lp)"
    mix --rule geomean --prior 0.75,0.25 e0.lp e1.lp -o geomean.lp
    assert_close "$(values geomean.lp | jq -s '.[0][1]')" -4 1e-6
    mix --rule oracle e0.lp e1.lp -o oracle.lp
    assert_equal "$(values oracle.lp | head -1)" "$(values e1.lp | head -1)"
    assert_equal "$(for f in mean geomean oracle; do view --header $f.lp | jq '.improper // false'; done | paste -sd' ')" "false true true"
}

@test "mix: -inf is legal where another expert is alive; all at -inf end in exit 4" {
    lp e0.lp '[-1,"-inf",-1]' '[-1,-1,-1]'
    lp e1.lp '[-2,-2,-2]' '[-1,-1,-1]'
    lp lost.lp '[-2,"-inf",-2]' '[-1,-1,-1]'
    mix --rule bayes e0.lp e1.lp -o mix.lp
    assert_close "$(values mix.lp | jq -s '.[0][1]')" "$(awk 'BEGIN { printf "%.9f", log(exp(-4) / (exp(-1) + exp(-2))) }')" 1e-6
    assert_close "$(values mix.lp | jq -s '.[0][2]')" -2 1e-6
    for rule in bayes mean geomean oracle; do
        run mix --rule $rule e0.lp lost.lp -o bad.lp
        assert_exit 4
        assert_line "e0.lp: sequence 0 (id 0): "
    done
    run mix --rule bayes --prior 1,0 e0.lp e1.lp -o bad.lp # the expert alive does not count
    assert_exit 4
    assert_absent bad.lp
}

# ---- refusals ----

@test "mix: inputs that differ end in exit 3 naming both" {
    mkstream logprobs n=20 o=e0.lp
    mkstream logprobs n=20 model=1 vocab_name=other o=vocab.lp
    mkstream logprobs n=20 model=1 start=1 o=id.lp
    mkstream logprobs n=19 model=1 o=count.lp
    mkstream logprobs n=20 model=1 length=31 o=length.lp
    mkstream logprobs n=20 model=1 corpus=other o=corpus.lp
    for other in vocab id count length corpus; do
        run mix --rule bayes e0.lp $other.lp -o mix.lp
        assert_exit 3
        assert_line "e0.lp"
        assert_line "$other.lp"
        run mix --rule bayes $other.lp e0.lp -o mix.lp
        assert_exit 3
        assert_line "$other.lp"
    done
    run mix --rule bayes e0.lp count.lp -o mix.lp
    assert_line "count.lp: ends after 19 sequences, but e0.lp goes on"
    mkstream scores n=20 o=s.scr
    run mix --rule bayes e0.lp s.scr -o mix.lp
    assert_exit 3
    assert_absent mix.lp
}

@test "mix: NaN in an input ends in exit 4" {
    mkstream logprobs n=20 o=e0.lp
    mkstream logprobs n=20 model=1 nan=7 o=nan.lp
    mkstream scores n=20 experts=2 o=s.scr
    for rule in bayes mean geomean oracle; do
        run mix --rule $rule e0.lp nan.lp -o mix.lp
        assert_exit 4
        assert_line "nan.lp"
    done
    assert_absent mix.lp
}

@test "mix: bad usage exits 2 and creates nothing" {
    mkstream logprobs n=5 o=e0.lp
    mkstream scores n=5 experts=1 o=s.scr
    assign -q s.scr -o a.asg
    local bad
    for bad in '--bogus e0.lp' '--rule product e0.lp' '--rule select e0.lp' '--rule bayes' '--rule bayes --assignment a.asg e0.lp' \
        '--rule oracle --prior 1 e0.lp' '--rule mean --window 3 e0.lp' '--rule select --assignment a.asg --topk 1 e0.lp' \
        '--rule bayes --prior 0.5,0.5 e0.lp' '--rule bayes --prior 0 e0.lp' \
        '--rule bayes --topk 2 e0.lp'; do
        run mix $bad -o mix.lp
        assert_exit 2
    done
    assert_absent mix.lp
}

@test "mix: a truncated stream leaves no output" {
    for j in 0 1; do mkstream logprobs n=500 model=$j o=e$j.lp; done
    head -c -1 e1.lp > short.lp
    run mix --rule bayes e0.lp short.lp -o mix.lp
    assert_exit 3
    assert_absent mix.lp
}

@test "mix: columns and the models' names come through; the log says what was mixed" {
    for j in 0 1; do mkstream logprobs n=60 ragged=1 tasks=2 model=$j names=expert-$j o=e$j.lp; done
    mix --rule bayes --log log.json e0.lp e1.lp -o mix.lp
    assert_equal "$(view --json --columns mix.lp | jq -c 'del(.logprobs)' | sha256sum)" \
        "$(view --json --columns e0.lp | jq -c 'del(.logprobs)' | sha256sum)"
    assert_equal "$(jq -c '[.rule, .experts, .sequences]' log.json)" '["bayes",2,60]'
    assert_close "$(jq .nats_per_token log.json)" "$(values mix.lp | jq -s 'add | -add / length')" 1e-9
}
