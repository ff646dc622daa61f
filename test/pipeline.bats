#!/usr/bin/env bats
# The whole SmallTalk pipeline on made-up text: every stage, its order, its restart, its report.

load helpers

setup_file() {
    cd "$BATS_TEST_DIRNAME/.."
    export CORPUS_DIR="$BATS_FILE_TMPDIR/my corpus" RUN_DIR=$BATS_FILE_TMPDIR/run
    test/made-up-corpus "$CORPUS_DIR"
    pipeline smalltalk > "$BATS_FILE_TMPDIR/output"
}

pipeline() {
    env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make --no-print-directory PRESET=quick CORPUS="$CORPUS_DIR" RUN="$RUN_DIR" DEVICE=cpu BIN="$TACIT_BIN" BUILD="$TACIT_BUILD" "$@"
}

setup() {
    cd "$BATS_TEST_DIRNAME/.."
}

@test "make smalltalk goes from text to a report" {
    [ -s "$RUN_DIR/report.html" ]
    jq -e '.pipeline == "smalltalk" and .mixture.perplexity > 1 and .dense.perplexity > 1 and (.mixture.experts | length) == 2
           and .improvement_percent != null and (.difference.improvement_percent_ci95 | length) == 2' "$RUN_DIR/report.json"
    grep -q '^mixture against dense' "$BATS_FILE_TMPDIR/output"
}

@test "the report is one page without scripts or other files, its plots in two sizes, its numbers whole" {
    page=$RUN_DIR/report.html
    [ "$(grep -c '<svg class=wide' "$page")" -eq 3 ]
    [ "$(grep -c '<svg class=narrow' "$page")" -eq 3 ]
    [ "$(grep -ciE '<script|<link|<img|url\(|src=|\bnan\b|>null<|\(null' "$page")" -eq 0 ]
    # colours are the page's, so that both modes can be read
    [ "$(grep -cE "(stroke|fill)=['\"](rgb|black|#)" "$page")" -eq 0 ]
    # every id once, and every reference to one that is there
    [ -z "$(grep -oE " id=['\"][^'\"]+" "$page" | sort | uniq -d)" ]
    for reference in $(grep -oE "href='#[^']+" "$page" | cut -d '#' -f 2 | sort -u); do grep -q "id='$reference'" "$page"; done
    [ "$(awk 'length > 79' "$RUN_DIR/report.txt" | grep -c .)" -eq 0 ]
}

@test "the dense runs cost at least what the mixture, its routers and its scoring cost, and at most a step more" {
    jq -e '. as $r | .dense_runs | to_entries | all(.value.train_flops >= $r.mixture.train_flops * 0.9999 and
           .value.train_flops <= $r.mixture.train_flops * 1.02)' "$RUN_DIR/report.json"
}

@test "a finished pipeline has nothing left to do" {
    run pipeline -n smalltalk
    [ "$status" -eq 0 ]
    [[ "$output" != *"$TACIT_BIN"* ]]
}

@test "make -n tells the truth after a variable changed, and writes nothing" {
    before=$(find "$RUN_DIR" -type f | sort | xargs sha256sum | sha256sum)
    run pipeline -n smalltalk RATE=1e-3
    [ "$status" -eq 0 ]
    [[ "$output" == *"expert-0"* ]]
    [[ "$output" != *"--learn"* ]]
    [ "$before" = "$(find "$RUN_DIR" -type f | sort | xargs sha256sum | sha256sum)" ]
}

@test "interrupted anywhere, the same command ends with the same models" {
    digest() { sha256sum "$RUN_DIR"/router/expert-*/model.safetensors "$RUN_DIR"/router/test.lp; }
    before=$(digest)
    rm -rf "$RUN_DIR"/router/expert-* "$RUN_DIR"/router/round-3 "$RUN_DIR"/router/*.lp "$RUN_DIR"/trunk
    # a process group of its own, so that the kill reaches the tools as well
    setsid env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make --no-print-directory PRESET=quick CORPUS="$CORPUS_DIR" RUN="$RUN_DIR" DEVICE=cpu BIN="$TACIT_BIN" BUILD="$TACIT_BUILD" smalltalk > /dev/null 2>&1 &
    sleep 1.5
    kill -9 -- -$! 2> /dev/null || true
    wait || true
    pipeline smalltalk > /dev/null
    [ "$before" = "$(digest)" ]
}

@test "an ablation shares the corpus, the trunk and the dense runs" {
    run pipeline -n ablate-random
    [[ "$output" != *"dense-long"*"--model"* ]]
    run pipeline ablate-random
    [ "$status" -eq 0 ]
    jq -e '.variant == "random"' "$RUN_DIR/random/report.json"
    run pipeline ablate-label
    [ "$status" -eq 0 ]
    jq -e '.variant == "label"' "$RUN_DIR/label/report.json"
}

@test "each variable reaches what depends on it" {
    made() { # PATTERN TARGET VARIABLE...
        local pattern=$1
        shift
        run pipeline -n "$@"
        [ "$status" -eq 0 ] && grep -qE -- "$pattern" <<< "$output" || { echo "$*: nothing for $pattern" >&2; return 1; }
    }
    made '-o [^ ]*/random/test.asg' ablate-random E=3
    made '/smalltalk/budget ' smalltalk EVALS=3
    made 'train .*/dense-long ' smalltalk DEVICE=auto
    made 'train .*/start-1/round-1/expert-0 ' smalltalk ROUTER_BATCH=4
    made 'train .*/router/round-1/expert-0 ' smalltalk STARTS=1
    made 'train .*/start-2/round-1/expert-0 ' smalltalk STARTS=3
    made 'train .*/start-1/round-2/expert-0 ' smalltalk START_ROUNDS=2
    made 'tokenize .*--learn' smalltalk SPLIT=train=0.8,valid=0.1,test=0.1
    made 'cp .*/random/report' smalltalk ASSIGN=random
    mv "$CORPUS_DIR/hex/1 1.txt" "$BATS_TEST_TMPDIR/kept"
    made 'tokenize .*--learn' smalltalk
    mv "$BATS_TEST_TMPDIR/kept" "$CORPUS_DIR/hex/1 1.txt"
    run pipeline smalltalk ROUTE=cluster
    [ "$status" -ne 0 ]
}

@test "the report counts this run's routers, not those of one with more rounds" {
    pipeline smalltalk ROUNDS=1 STARTS=1 > /dev/null
    [ -e "$RUN_DIR/router/round-3" ]
    jq -e --slurpfile budget "$RUN_DIR/budget.json" '.mixture.flops.routers <= $budget[0].flops.routers * 1.01' "$RUN_DIR/report.json"
    jq -e '[.tables[].name] == ["round 0", "experts\u0027 part", "held-out"]' "$RUN_DIR/report.json"
}

@test "of several EM starts the likeliest goes on, and one start is the first of several" {
    best=$RUN_DIR/router/best-start.json
    pipeline smalltalk > /dev/null
    [ "$(jq '.sequences' "$RUN_DIR"/router/start-{0,1}/chunk-1.report.jsonl | sort -u | wc -l)" -eq 1 ]
    jq -n -e --slurpfile best "$best" '[inputs.mean_score] | . == $best[0].log_likelihoods and max == .[$best[0].chosen] and unique == sort' \
        "$RUN_DIR"/router/start-{0,1}/chunk-1.report.jsonl
    jq -e --slurpfile best "$best" '.starts == $best[0] + { rounds: 1 }' "$RUN_DIR/report.json"
    # what the others cost is charged too
    jq -e --slurpfile budget "$RUN_DIR/budget.json" '[.mixture.flops[]] | add > 0.98 * $budget[0].flops.total' "$RUN_DIR/report.json"
    grep -q "^EM start $(jq .chosen "$best") of 2 after round 1: -" "$RUN_DIR/report.txt"
    # the other start would have ended elsewhere
    next=$RUN_DIR/router/round-2/expert-0/model.safetensors
    digest=$(sha256sum "$next")
    jq '.chosen = 1 - .chosen' "$best" > "$BATS_TEST_TMPDIR/other.json" && cp "$BATS_TEST_TMPDIR/other.json" "$best"
    pipeline "$next" > /dev/null
    [ "$digest" != "$(sha256sum "$next")" ]
    rm "$best"
    pipeline smalltalk > /dev/null
    [ "$digest" = "$(sha256sum "$next")" ]
    pipeline STARTS=1 "$RUN_DIR/router/round-1/expert-1/model.safetensors" > /dev/null
    cmp "$RUN_DIR"/router/{start-0/,}round-1/expert-1/model.safetensors
    cmp "$RUN_DIR"/router/{start-0/,}chunk-0.asg
    for wrong in STARTS=0 START_ROUNDS=3 START_ROUNDS=0; do
        run pipeline -n smalltalk "$wrong"
        [ "$status" -eq 2 ]
        [[ "$output" == *"$wrong"*"START_ROUNDS below ROUNDS=3"* ]]
    done
}

@test "trainings under way show how far they are on a terminal, and in no log" {
    command -v script > /dev/null || skip "script is not installed"
    run_dir=$BATS_TEST_TMPDIR/run
    mkdir -p "$run_dir/router"
    echo '{"trunk":{"steps":200},"dense":{"long":{"steps":1000},"wide":{"steps":100}},"experts":{"steps":50}}' > "$run_dir/budget.json"
    echo '{"step":90,"loss":1.5}' > "$run_dir/dense-long.jsonl"
    printf '{"step":230}\n{"st' > "$run_dir/router/expert-1.jsonl"
    echo '{"step":200}' > "$run_dir/trunk.jsonl" # done
    echo '{"step":5}' > "$run_dir/dense-wide.jsonl" && touch -d '1 minute ago' "$run_dir/dense-wide.jsonl"
    sleep 2.5 &
    run script -qec "pipelines/smalltalk/progress '$run_dir' $!" /dev/null
    [ "$status" -eq 0 ]
    [ "${output%%$'\r'*}" = "  dense-long 9%, router: expert 1 60%"$'\e[K' ]
    # make starts it
    rm "$RUN_DIR/router/oracle.lp"
    run script -qec "env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make --no-print-directory PRESET=quick CORPUS='$CORPUS_DIR' RUN='$RUN_DIR' \
        DEVICE=cpu BIN='$TACIT_BIN' BUILD='$TACIT_BUILD' smalltalk" /dev/null
    [[ "$output" == *$'\e[K  router: mix oracle '* ]]
    [ "$(grep -c $'[\e\r]' "$BATS_FILE_TMPDIR/output")" -eq 0 ]
}

@test "a second make in the same folder is refused, and told whom it meets" {
    sleep 60 &
    pipelines/lock "$BATS_TEST_TMPDIR/run" $!
    run pipeline smalltalk RUN="$BATS_TEST_TMPDIR/run"
    [ "$status" -eq 2 ]
    assert_line "$BATS_TEST_TMPDIR/run: in use by process $! on $(uname -n) since "
    [ "$(ls "$BATS_TEST_TMPDIR/run")" = lock ]
    run pipeline -n smalltalk RUN="$BATS_TEST_TMPDIR/run"
    [ "$status" -eq 0 ]
    run pipeline help RUN="$BATS_TEST_TMPDIR/run"
    [ "$status" -eq 0 ]
    # the mark of a process that was killed counts for nothing, nor does another's that took its number
    kill -9 $!
    wait $! || true
    pipelines/lock "$BATS_TEST_TMPDIR/run" $$
    echo "$$ 1 $(uname -n) 2020-01-01T00:00:00+0000" > "$BATS_TEST_TMPDIR/run/lock"
    pipelines/lock "$BATS_TEST_TMPDIR/run" $PPID
    # another host's processes cannot be asked
    echo "1 1 elsewhere 2020-01-01T00:00:00+0000" > "$BATS_TEST_TMPDIR/run/lock"
    run pipelines/lock "$BATS_TEST_TMPDIR/run" $$
    [ "$status" -eq 1 ]
    assert_line "in use by process 1 on elsewhere since 2020-01-01T00:00:00+0000; if it is gone, remove"
}

@test "of many that ask at once for one folder, one gets it" {
    for ((i = 0; i < 8; i++)); do sleep 60 & done
    for pid in $(jobs -p); do
        pipelines/lock "$BATS_TEST_TMPDIR/run" "$pid" > /dev/null && echo "$pid" >> "$BATS_TEST_TMPDIR/winners" &
        asked+=($!)
    done
    for pid in "${asked[@]}"; do wait "$pid" || true; done
    kill $(jobs -p)
    [ "$(wc -l < "$BATS_TEST_TMPDIR/winners")" -eq 1 ]
}

@test "numbers take K, M and G as the tools do; wrong ones end in a line before anything is made" {
    refused() { # VARIABLE CAUSE
        run pipeline smalltalk RUN="$BATS_TEST_TMPDIR/none" "$1"
        [ "$status" -eq 2 ]
        [ "${#lines[@]}" -eq 1 ]
        [[ "$output" == *" $1: $2.  Stop." ]] || { echo "$output" >&2; return 1; }
        [ ! -e "$BATS_TEST_TMPDIR/none/variables" ]
    }
    for name in E VOCAB LENGTH ROUTE_PREFIX BATCH TOKENS ROUNDS EVALS EXPERT_HIDDEN ROUTER_LAYERS SEED THREADS JOBS; do
        refused "$name=600k" "not a whole number; K, M and G are capitals"
    done
    refused TOKENS= "not a whole number"
    refused WARMUP=1.5 "not a whole number"
    refused E=0 "at least 1"
    refused TOKENS=2000000G "more than 1000000000000000"
    refused TRUNK=1 "not a share from 0 to below 1"
    refused RATE=fast "not a number"
    pipeline smalltalk > /dev/null
    run pipeline -n smalltalk TOKENS=400K TRUNK=.5 WARMUP=010 # what it was
    [ "$status" -eq 0 ]
    [[ "$output" != *"$TACIT_BIN"* ]]
}

@test "a part without text is said before anything is trained" {
    mkdir -p "$BATS_TEST_TMPDIR/corpus/one"
    cat "$CORPUS_DIR"/*/*.txt > "$BATS_TEST_TMPDIR/corpus/one/document.txt"
    run pipeline smalltalk CORPUS="$BATS_TEST_TMPDIR/corpus" RUN="$BATS_TEST_TMPDIR/run"
    [ "$status" -ne 0 ]
    [[ "$output" == *"/valid.tok: no sequences"* || "$output" == *"not enough text"* ]]
    [ ! -e "$BATS_TEST_TMPDIR/run/dense-long" ]
}
