load helpers
load train_helpers

setup_file() {
    load helpers
    load train_helpers
    cd "$BATS_FILE_TMPDIR"
    config > config.json
    config 64 32 64 1 > wide.json
    config 64 16 > short.json
    pattern 100 32 > a.tok
    assignment 100 3 32 > a.asg
    local i
    for i in 0 1 2; do
        train --model config.json --batch 8 --steps $((20 * i + 1)) --lr 3e-3 --seed $i --dtype f32 -q -o m$i a.tok
    done
    train --model wide.json --batch 8 --steps 10 --lr 3e-3 --dtype f32 -q -o wide a.tok
    train --model short.json --batch 8 --steps 30 --lr 3e-3 --length 16 --dtype f32 -q -o short a.tok
    export data=$BATS_FILE_TMPDIR
}

# column K of the scores, one per line
scores() {
    view --json "$2" | jq -r ".scores[$1]"
}

# mean log-prob of the first N predicted tokens of each sequence
means() {
    view --json "$2" | jq -r ".logprobs[:$1] | add / length"
}

# close FILE FILE TOLERANCE: two columns of numbers
close() {
    paste "$1" "$2" | awk -v t="$3" '
        NF != 2 { print "line " NR " of " FILENAME ": lengths differ"; exit bad = 1 }
        { d = $1 - $2; if (d < 0) d = -d; if (!(d <= t)) { print "line " NR ": " $0; exit bad = 1 } }
        END { if (!NR) { print "empty"; bad = 1 } exit bad }' >&2
}

@test "route: many models together score as each alone" {
    cd "$data"
    route -m m0 -m m1 -m wide -m m2 --compute f32 a.tok -o "$T/all.scr"
    cd "$T"
    k=0
    for m in m0 m1 wide m2; do
        route -m "$data/$m" --compute f32 "$data/a.tok" -o one.scr
        close <(scores $k all.scr) <(scores 0 one.scr) 1e-6
        k=$((k + 1))
    done
    view --header all.scr | jq -e '.names == ["m0", "m1", "wide", "m2"] and .experts == 4 and (.models | length) == 4'
}

@test "route: the batch does not matter" {
    cd "$data"
    route -m m0 -m m2 --compute f32 a.tok -o "$T/whole.scr"
    for b in 1 7; do
        route -m m0 -m m2 --compute f32 --batch $b a.tok -o "$T/b.scr"
        close <(scores 1 "$T/whole.scr") <(scores 1 "$T/b.scr") 1e-6
    done
}

@test "route: one and two threads give the same bytes" {
    route -m "$data/m0" -m "$data/m1" --threads 1 "$data/a.tok" -o 1.scr
    route -m "$data/m0" -m "$data/m1" --threads 2 "$data/a.tok" -o 2.scr
    assert_same 1.scr 2.scr
}

@test "route: a score is the mean log-prob of the predicted tokens, of a prefix of M tokens M - 1" {
    route -m "$data/m1" --per-token --compute f32 "$data/a.tok" -o x.lp
    route -m "$data/m1" --compute f32 "$data/a.tok" -o whole.scr
    route -m "$data/m1" --compute f32 --prefix 8 "$data/a.tok" -o prefix.scr
    close <(scores 0 whole.scr) <(means 31 x.lp) 1e-6
    close <(scores 0 prefix.scr) <(means 7 x.lp) 1e-6
    assert_equal "$(view --header prefix.scr | jq .prefix)" 8
    view --columns --json prefix.scr | jq -e 'select(.predicted != 31)' && return 1
    route -m "$data/m1" --compute f32 --prefix 999 "$data/a.tok" -o long.scr
    close <(scores 0 whole.scr) <(scores 0 long.scr) 0
}

@test "route: log-probs are those of the evaluation in train" {
    train --init "$data/m2" --lr 0 --steps 1 --dtype f32 --eval "$data/a.tok" --log log -q -o m "$data/a.tok"
    route -m "$data/m2" --per-token --compute f32 "$data/a.tok" -o x.lp
    assert_close "$(view --json x.lp | jq -s '-(map(.logprobs | add) | add)')" "$(jq 'select(.eval_nats) | .eval_nats' log)" 1e-6
}

@test "route: log-probs are probabilities: over all continuations they sum to one" {
    # one context of two tokens, continued by each of the 64 tokens
    awk 'BEGIN { for (t = 0; t < 64; t++) print "{\"first\":2,\"tokens\":[5,8," t "]}" }' |
        mkstream tokens from=json length=3 vocab=64 > all.tok
    route -m "$data/m2" --per-token --compute f32 all.tok -o x.lp
    assert_close "$(view --json x.lp | jq -s 'map(.logprobs[0] | exp) | add')" 1 1e-5
}

@test "route: with an assignment a model scores its own share only" {
    route -m "$data/m1" --per-token --compute f32 "$data/a.tok" -o all.lp
    route -m "$data/m1" --per-token --compute f32 --assignment "$data/a.asg" --expert 1 "$data/a.tok" -o share.lp
    assert_equal "$(view --json share.lp | jq .id | xargs)" "$(seq -s ' ' 1 3 99)"
    close <(means 31 share.lp) <(view --json all.lp | jq -r 'select(.id % 3 == 1) | .logprobs | add / length') 1e-6
    route -m "$data/m1" --assignment "$data/a.asg" --expert 2 --sequences 10..20 "$data/a.tok" -o part.scr
    assert_equal "$(view --json part.scr | jq .id | xargs)" "11 14 17"
    run route -m "$data/m1" --assignment "$data/a.asg" "$data/a.tok" -o x.scr
    assert_exit 2
}

@test "route: --sequences scores a slice, from a file or a pipe" {
    route -m "$data/m1" --sequences 20..30 "$data/a.tok" -o file.scr
    cat "$data/a.tok" | route -m "$data/m1" --sequences 20..30 -o pipe.scr
    assert_same file.scr pipe.scr
    assert_equal "$(view --json file.scr | jq .id | xargs)" "$(seq -s ' ' 20 29)"
    run route -m "$data/m1" --sequences 50..200 "$data/a.tok" -o x.scr
    assert_exit 3
    assert_line "has 100 sequences, not 50..200"
}

@test "route: --dtype f16 rounds the scores to eleven bits" {
    route -m "$data/m0" -m "$data/m2" "$data/a.tok" -o f32.scr
    route -m "$data/m0" -m "$data/m2" --dtype f16 "$data/a.tok" -o f16.scr
    # scores lie below 8, where float16 numbers are 2^-8 apart at most
    close <(scores 0 f32.scr) <(scores 0 f16.scr) 0.002
    close <(scores 1 f32.scr) <(scores 1 f16.scr) 0.002
    assert_equal "$(view --header f16.scr | jq -r .dtype)" f16
}

@test "route: --prefix context scores what stands before the first scored position" {
    lines 100 32 | sed 's/}$/,"first":12}/' | mkstream tokens from=json length=32 vocab=64 > tasks.tok
    route -m "$data/m1" --compute f32 --prefix context tasks.tok -o context.scr
    route -m "$data/m1" --compute f32 --prefix 12 "$data/a.tok" -o prefix.scr
    close <(scores 0 context.scr) <(scores 0 prefix.scr) 1e-6
    route -m "$data/m1" --compute f32 --per-token tasks.tok -o x.lp
    assert_equal "$(view --json x.lp | jq '.logprobs | length' | sort -u)" 20
}

@test "route: a sequence that predicts nothing scores 0" {
    printf '{"tokens":[7]}\n{"tokens":[1,4,7]}\n{"tokens":[7,8],"first":2}\n' |
        mkstream tokens from=json length=32 vocab=64 > tails.tok
    route -m "$data/m0" -m "$data/m1" tails.tok -o x.scr
    assert_equal "$(view --json x.scr | jq -c '.scores == [0, 0]' | xargs)" "true false true"
    route -m "$data/m0" --per-token tails.tok -o x.lp
    assert_equal "$(view --json x.lp | jq -c '.logprobs | length' | xargs)" "0 2 0"
}

@test "route: a sequence longer than the model is refused, or scored in windows with --stride" {
    run route -m "$data/short" "$data/a.tok" -o x.scr
    assert_exit 3
    assert_line "has 32 tokens, but the model 16 positions; --stride scores it in windows"
    assert_absent x.scr
    route -m "$data/short" --per-token --compute f32 --stride 8 "$data/a.tok" -o windows.lp
    assert_equal "$(view --json windows.lp | jq '.logprobs | length' | sort -u)" 31
    # the second window starts at token 8 and scores tokens 16..23, the third at 16 and scores 24..31
    lines 100 32 | jq -c '{id, tokens: .tokens[:16]}' | mkstream tokens from=json length=32 vocab=64 > 0.tok
    lines 100 32 | jq -c '{id, tokens: .tokens[8:24], first: 8}' | mkstream tokens from=json length=32 vocab=64 > 1.tok
    lines 100 32 | jq -c '{id, tokens: .tokens[16:], first: 8}' | mkstream tokens from=json length=32 vocab=64 > 2.tok
    for w in 0 1 2; do
        route -m "$data/short" --per-token --compute f32 $w.tok -o $w.lp
    done
    close <(view --json windows.lp | jq -r '.logprobs[]') \
        <(paste -d ' ' <(view --json 0.lp | jq -c .logprobs) <(view --json 1.lp | jq -c .logprobs) <(view --json 2.lp | jq -c .logprobs) |
            tr -d '[]' | tr ', ' '\n\n') 1e-6
    run route -m "$data/short" --stride 16 "$data/a.tok" -o x.scr
    assert_exit 2
}

@test "route: another vocabulary is refused with both digests named" {
    mkstream tokens n=20 length=32 vocab=64 vocab_name=other > other.tok
    run route -m "$data/m0" other.tok -o x.scr
    assert_exit 3
    assert_match "other.tok: vocabulary [0-9a-f]{32}, but that of .*/m0 is [0-9a-f]{32}"
    mkstream tokens n=20 length=32 vocab=100 > large.tok
    run route -m "$data/m0" large.tok -o x.scr
    assert_exit 3
    assert_match "large.tok: vocabulary of 100 tokens, but that of .*/m0 has 64"
    assert_absent x.scr
}

@test "route: a NaN ends in exit 4 with sequence and model named" {
    cp -r "$data/m1" bad
    with_nan bad
    run route -m "$data/m0" -m bad "$data/a.tok" -o x.scr
    assert_exit 4
    assert_match "route: sequence 0: the log-prob of token 1 under model bad is -?nan"
    assert_absent x.scr
}

@test "route: damaged or cut input leaves no output" {
    cp "$data/a.tok" bad.tok
    printf '\125' | dd of=bad.tok bs=1 seek=200 conv=notrunc status=none
    run route -m "$data/m0" bad.tok -o x.scr
    assert_exit 3
    assert_line "route: bad.tok: frame"
    run_pipe "head -c 400 $data/a.tok | route -m $data/m0 -o x.scr"
    assert_exit 3
    run_pipe "route -m $data/m0 -o x.scr < /dev/null"
    assert_exit 3
    run route -m nowhere "$data/a.tok" -o x.scr
    assert_exit 1
    assert_absent x.scr
}

@test "route: unknown or contradictory options exit 2 and create nothing" {
    for options in "--unknown" "--prefix 1" "--prefix x" "--batch 0" "--per-token --prefix 8" "--per-token -m $data/m1" \
        "--expert 1" "--stride 0" "--dtype f64" "--sequences 5..5"; do
        run route -m "$data/m0" $options "$data/a.tok" -o x.scr
        assert_exit 2
        assert_absent x.scr
    done
    run route "$data/a.tok" -o x.scr
    assert_exit 2
    run route -m "$data/m0" "$data/a.tok" "$data/a.tok" -o x.scr
    assert_exit 2
}

@test "route: the log says what it cost" {
    route -m "$data/m0" -m "$data/m1" --prefix 8 --log log "$data/a.tok" -o x.scr
    # a third of 6 N + 6 L S H per token, N = 12 L H^2 + V H, 100 sequences, 8 tokens, 2 models
    assert_equal "$(jq '.flops == 2 * 100 * 8 * (2 * 26624 + 2 * 2 * 8 * 32)' log)" true
    assert_equal "$(jq -c '[.sequences, .tokens, .pairs]' log)" "[100,800,200]"
}
