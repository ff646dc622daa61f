#!/usr/bin/env bats
# The README's pipe examples, run as they stand.

load helpers

@test "the README's pipe examples run" {
    cd "$BATS_TEST_TMPDIR"
    root=$BATS_TEST_DIRNAME/..
    for kind in sums brackets hex; do
        mkdir -p text/$kind
        awk -v kind=$kind -v seed=3 -v documents=40 -f "$root/test/corpus.awk" > text/$kind/all.txt
    done
    "$root/pipelines/smalltalk/config" 512 64 1 32 2 > model.json
    sed -n '/^```sh$/,/^```$/p' "$root/README.md" | sed '/^```/d' > examples.sh
    [ "$(wc -l < examples.sh)" -ge 8 ]
    run bash -eo pipefail examples.sh
    echo "$output"
    [ "$status" -eq 0 ]
}
