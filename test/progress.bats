#!/usr/bin/env bats
# Progress: rate, share and time left while a stage takes its time; into a log only where --progress asks for it.

load helpers

# A stream that takes three seconds to arrive: the tools that read it have something to tell.
slowly() { # FILE
    local size
    size=$(stat -c %s "$1")
    head -c $((size / 2)) "$1"
    sleep 3
    tail -c +$((size / 2 + 1)) "$1"
}

setup_file() {
    cd "$BATS_FILE_TMPDIR"
    for ((i = 0; i < 20000; i++)); do echo "$i: the quick brown fox jumps over the lazy dog ${i}th"; done > text
    tokenize -q --learn --vocab-size 257 text -o tokenizer.json
    tokenize -q -t tokenizer.json --length 16 --documents line text -o tokens.tok
    assign -q --method random --experts 2 tokens.tok -o a.asg
}

line='^TOOL: ( *[0-9]+% )?[0-9.]+[KMGT]? [a-z ]+, [0-9.]+[KMGT]?/s(, [0-9:]+ left)?(, .*)?$'

# The tool says so under --progress, and says nothing of it in a log without.
tells() { # TOOL OPTION...
    local tool=$1
    slowly "$input" | "$tool" --progress "${@:2}" -o forced 2> forced.log &
    slowly "$input" | "$tool" "${@:2}" -o plain 2> plain.log
    wait
    grep -qE -- "${line/TOOL/$tool}" forced.log || { cat forced.log >&2; return 1; }
    if grep -E -- "${line/TOOL/$tool}" plain.log; then return 1; fi
    assert_same forced plain
}

@test "tokenize tells its progress" {
    input=$BATS_FILE_TMPDIR/text
    tells tokenize -t "$BATS_FILE_TMPDIR/tokenizer.json" --length 16 --documents line
}

@test "assign tells its progress" {
    input=$BATS_FILE_TMPDIR/tokens.tok
    tells assign --method random --experts 2
}

@test "shard tells its progress" {
    input=$BATS_FILE_TMPDIR/tokens.tok
    tells shard --shuffle
}

@test "route, mix and ppl tell their progress" {
    "$root/pipelines/smalltalk/config" 257 16 1 16 2 > model.json
    train -q --model model.json --length 16 --batch 8 --steps 2 -o m "$BATS_FILE_TMPDIR/tokens.tok"
    input=$BATS_FILE_TMPDIR/tokens.tok
    tells route --per-token -m m
    mv forced all.lp
    input=$PWD/all.lp
    tells ppl
    tells mix --rule mean - all.lp
}

@test "view tells its progress, checking and printing" {
    input=$BATS_FILE_TMPDIR/tokens.tok
    tells view --check
    tells view --json
}

@test "train tells its progress, with the loss" {
    "$root/pipelines/smalltalk/config" 257 256 2 128 4 > model.json
    train --progress --model model.json --length 256 --batch 16 --steps 100000 -o m "$BATS_FILE_TMPDIR/tokens.tok" 2> log &
    pid=$!
    for ((i = 0; i < 100; i++)); do
        grep -q ' left, step ' log && break
        sleep 0.1
    done
    kill -9 $pid
    wait $pid || true
    grep -qE '^train: +[0-9]+% .* tokens, [0-9.]+K?/s, [0-9:]+ left, step [0-9]+, loss [0-9.]+$' log
}

@test "on a terminal the line is drawn in place, and cleared at the end" {
    command -v script > /dev/null || skip "needs script"
    cp "$BATS_FILE_TMPDIR/tokens.tok" .
    script -qec "bash -c '(head -c 20000 tokens.tok; sleep 1; tail -c +20001 tokens.tok) | assign --method random --experts 2 -o t.asg'" typescript > /dev/null
    grep -qP '\rassign: [0-9.]+K? sequences, [0-9.]+[KM]?/s' typescript
    grep -qP '\r\x1b\[K' typescript
}
