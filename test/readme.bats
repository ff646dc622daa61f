#!/usr/bin/env bats
# The examples of the README and of docs/vocabularies.md, run as they stand.

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

# bytes FORMAT NUMBER...: as perl's pack() has them
bytes() {
    perl -e 'print pack(shift, @ARGV)' "$@"
}

@test "the examples of what becomes of one's vocabulary, text and tokens run" {
    cd "$BATS_TEST_TMPDIR"
    cp "$golden/tokenizer/tokenizer.json" .
    mkdir -p texts/a texts/b records
    printf 'the river' | tee texts/a/1 > texts/b/2
    printf '%s\n' '{"text": "the river", "meta": {"source": "web"}}' '{"title": "sand", "text": "", "meta": {"source": "book"}}' |
        zstd -q > records/1.jsonl.zst
    gzip < texts/a/1 > records/2.txt.gz
    bytes 'v*' 1 2 3 599 4 599 > train.bin
    cp train.bin corpus.bin
    { printf 'MMIDIDX\0\0'; bytes 'Q<CQ<2V2Q<2Q<3' 1 8 2 3 4 2 0 8 0 1 2; } > corpus.idx
    sed -n '/^```sh$/,/^```$/p' "$root/docs/vocabularies.md" | sed '/^```/d' > examples.sh
    [ "$(grep -c '^[tv]' examples.sh)" -eq 6 ]
    run bash -eo pipefail examples.sh
    echo "$output"
    [ "$status" -eq 0 ]
    cmp nanogpt.tok megatron.tok
    [[ "$output" == *$'\nweb\t1\t9\t'* ]]
    [[ "$output" == *'the river<|endoftext|>'* ]]
}
