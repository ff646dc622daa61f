# tokenize: many threads, long documents in pieces: the same bytes as from one thread, in bounded memory.

load helpers

tokenizer=$golden/tokenizer/tokenizer.json

# A corpus with documents of all sizes, from empty to longer than any piece.
setup_file() {
    load helpers
    cd "$BATS_FILE_TMPDIR"
    awk 'BEGIN { for (i = 0; i < 60000; i++) printf "%d: the river carries %d sands, Wellen %d; \"said\" 3.14 x%d\n", i, i * 7, i * i, i % 9 }' > long
    mkdir texts
    cp long texts/a
    : > texts/b
    head -c 3000 long > texts/c
    head -c 1500000 long | tr -d '\n' > texts/d
    head -n 20000 long | jq -Rc '{text: ., title: (if length % 3 == 0 then null else "T\u00e9\n" end), meta: {source: (length | tostring)}}' > texts/e.jsonl
    zstd -q texts/e.jsonl -o e.jsonl.zst
    gzip -kc texts/c > texts/f.gz
}

# same ARGUMENT...: for 1, 2, 3 and 7 threads; the result is x.*
same() {
    local n
    rm -rf one x.* && mkdir one
    tokenize -q --threads 1 -t "$tokenizer" "$@" -o "one/x.%s"
    for n in 2 3 7; do
        tokenize -q --threads $n -t "$tokenizer" "$@" -o "x.%s"
        diff -r <(cd one && sha256sum x.*) <(sha256sum x.*) >&2
    done
}

@test "threads: the streams are the same, byte for byte, for any number of them" {
    local d=$BATS_FILE_TMPDIR
    local parts="--split a=0.6,b=0.4"
    same $parts --length 100 "$d/texts"
    same $parts --length 100 --documents line --domain-from file "$d/texts" --dedup exact --filter repeats
    same $parts --ragged --length 1000 "$d/texts" --filter code-frequency
    same $parts --length 64 --jsonl --field 'title?,text' --domain-field meta.source "$d/e.jsonl.zst"
    same $parts --length 64 --separator ';' "$d/long"
}

@test "threads: a document in pieces has the ids of the whole" {
    local d=$BATS_FILE_TMPDIR
    # The whole, as one line of JSON below 1 MB, is not cut; the same text as a file is.
    head -c 1000000 "$d/long" > part
    for options in "-t $tokenizer" "-t $golden/sentencepiece/unigram.model" "-t $golden/sentencepiece/llama.model"; do
        jq -Rsc '{text: .}' < part > whole.jsonl
        tokenize -q $options --length 512 whole.jsonl -o whole.tok
        tokenize -q $options --length 512 part -o pieces.tok
        assert_same whole.tok pieces.tok
        tokenize -q $options --length 512 --dedup exact --threads 3 - < part | assert_same - pieces.tok
    done
    # As a longer line it is cut, too.
    jq -Rsc '{text: .}' < "$d/long" > whole.jsonl
    tokenize -q -t "$tokenizer" --length 512 whole.jsonl -o whole.tok
    tokenize -q -t "$tokenizer" --length 512 "$d/long" -o pieces.tok
    assert_same whole.tok pieces.tok
    tokenize -q -t "$tokenizer" --ragged whole.jsonl -o whole.tok
    tokenize -q -t "$tokenizer" --ragged --dedup exact --filter repeats "$d/long" -o pieces.tok
    assert_same whole.tok pieces.tok
    tokenize -t "$tokenizer" --decode pieces.tok | assert_same - "$d/long"
    # A part is chosen by the whole document.
    for file in whole.jsonl "$d/long"; do
        tokenize -t "$tokenizer" --length 512 --split a=0.5,b=0.5 "$file" -o 'p.%s.tok' 2>&1 | head -2 > "said.${file##*/}"
    done
    assert_same said.whole.jsonl said.long
}

@test "threads: the first mistake in the input is told, whatever comes later" {
    local n
    for n in 1 2 5; do
        { head -n 30000 "$BATS_FILE_TMPDIR/long" | jq -Rc '{text: .}'; echo '{"text": 1}'; echo '{"text": '; } > bad.jsonl
        run tokenize --threads $n -t "$tokenizer" --length 8 bad.jsonl missing-is-found-first.jsonl -o out.tok
        assert_exit 1
        run tokenize --threads $n -t "$tokenizer" --length 8 bad.jsonl -o out.tok
        assert_exit 3
        assert_equal "$output" "tokenize: bad.jsonl: line 30001: key 'text': not a string"
        assert_absent out.tok
    done
}

@test "threads: memory does not grow with one document" {
    case $build in *-asan) skip "the sanitizer takes memory of its own" ;; esac
    local i # of 96 MiB of data
    for i in $(seq 26); do cat "$BATS_FILE_TMPDIR/long"; done > big
    [ "$(stat -c %s big)" -gt 100663296 ]
    bash -c "ulimit -d 98304; tokenize -q --threads 2 -t '$tokenizer' --length 512 big -o out.tok"
    bash -c "ulimit -d 98304; tokenize -q --threads 2 -t '$tokenizer' --length 512 --dedup exact --filter repeats \
        --split a=0.5,b=0.5 big -o 'out.%s.tok'"
}

@test "threads: memory does not grow with one line of JSON" {
    case $build in *-asan) skip "the sanitizer takes memory of its own" ;; esac
    local i # of 96 MiB of data
    jq -Rs . < "$BATS_FILE_TMPDIR/long" | head -c -2 | tail -c +2 > body
    { printf '{"text": "'; for i in $(seq 26); do cat body; done; printf '", "meta": {"source": "web"}}\n'; } > big.jsonl
    [ "$(stat -c %s big.jsonl)" -gt 100663296 ]
    bash -c "ulimit -d 98304; tokenize -q --threads 2 -t '$tokenizer' --length 512 --domain-field meta.source \
        big.jsonl -o out.tok"
    for i in $(seq 26); do cat "$BATS_FILE_TMPDIR/long"; done |
        tokenize -q -t "$tokenizer" --length 512 --domain web - | assert_same - out.tok
}

@test "threads: a pipe that is closed ends the tool as any other" {
    run_pipe "tokenize -q --threads 3 -t '$tokenizer' --length 64 '$BATS_FILE_TMPDIR/texts' | head -c 100 > head"
    assert_exit 141
    assert_equal "$output" ""
}
