# tokenize: token files of other programs, and counts.

load helpers

tokenizer=$golden/tokenizer/tokenizer.json # 600 tokens, end-of-text is 599

# u16 ID..., u32, u64: little-endian numbers
u16() { local i; for i; do printf "\\x$(printf %02x $((i & 255)))\\x$(printf %02x $((i >> 8 & 255)))"; done; }
u32() { local i; for i; do u16 $((i & 65535)) $((i >> 16)); done; }
u64() { local i; for i; do u32 $i 0; done; }

tokens() {
    view --json "$1" | jq -c .tokens | tr '\n' ' '
}

@test "import: nanoGPT's u16 and plain u32 files are what the text's own stream is" {
    printf 'the river\nthe sand carries\nto the sea\n' > text
    tokenize -q -t "$tokenizer" --length 5 --documents line text -o expected.tok
    ids=$(view --json expected.tok | jq '.tokens[]')
    u16 $ids > train.bin
    u32 $ids > train.u32
    tokenize -q --import-tokens u16 -t "$tokenizer" --length 5 train.bin -o got.tok
    assert_same got.tok expected.tok
    tokenize -q --import-tokens u32 -t "$tokenizer" --length 5 - < train.u32 > got.tok
    assert_same got.tok expected.tok
    tokenize -q -t "$tokenizer" --ragged --documents line text -o expected.tok
    tokenize -q --import-tokens u16 -t "$tokenizer" --ragged train.bin -o got.tok
    assert_same got.tok expected.tok
}

@test "import: Megatron's documents, of several sequences, with and without their end" {
    u16 1 2 3 4 5 599 6 7 > a.bin
    # sequences [1 2] [3] | [4 5 599] | [6 7]
    { printf 'MMIDIDX\0\0'; u64 1; printf '\x08'; u64 4 4; u32 2 1 3 2; u64 0 4 6 12; u64 0 2 3 4; } > a.idx
    tokenize -q --import-tokens u16 -t "$tokenizer" --ragged a.bin -o a.tok
    assert_equal "$(tokens a.tok)" "[1,2,3,599] [4,5,599] [6,7,599] "
    tokenize -q --import-tokens u16 -t "$tokenizer" --length 4 --no-eot a.bin a.idx -o a.tok
    assert_equal "$(tokens a.tok)" "[1,2,3,4] [5,599,6,7] "
    # sequences out of order in the file
    { printf 'MMIDIDX\0\0'; u64 1; printf '\x08'; u64 2 3; u32 2 3; u64 12 0; u64 0 1 2; } > a.idx
    tokenize -q --import-tokens u16 --vocab-size 700 --ragged a.bin -o a.tok
    assert_equal "$(tokens a.tok)" "[6,7] [1,2,3] "
    assert_equal "$(view --header a.tok | jq -c '[.vocab_size, .vocab]')" "[700,null]"
    run tokenize --import-tokens u32 --vocab-size 700 --ragged a.bin -o b.tok
    assert_exit 3
    assert_line "a.idx: has tokens of 2 bytes: --import-tokens u16"
}

@test "import: what is broken exits 3 by name, and leaves nothing" {
    u16 1 2 600 > a.bin
    run tokenize --import-tokens u16 -t "$tokenizer" --length 4 a.bin -o x.tok
    assert_exit 3
    assert_equal "$output" "tokenize: a.bin: token 2 at byte 4: 600 is not below the vocabulary's size, 600"
    printf 'abc' > b.bin
    run tokenize --import-tokens u16 --vocab-size 70000 --length 4 b.bin -o x.tok
    assert_exit 3
    assert_line "b.bin: 3 bytes are no whole number of tokens of 2 bytes"
    u16 1 2 3 > c.bin
    good() { printf 'MMIDIDX\0\0'; u64 1; printf '\x08'; u64 1 2; u32 3; u64 0; u64 0 1; }
    good > c.idx
    tokenize -q --import-tokens u16 --vocab-size 10 --length 4 c.bin -o good.tok
    for size in 0 8 33 40 $(($(stat -c %s c.idx) - 1)); do
        good | head -c $size > c.idx
        run tokenize --import-tokens u16 --vocab-size 10 --length 4 c.bin -o x.tok
        assert_exit 3
        assert_line "tokenize: c.idx: is "
    done
    { printf 'MMIDIDX\0\0'; u64 1; printf '\x05'; u64 1 2; u32 3; u64 0; u64 0 1; } > c.idx
    run tokenize --import-tokens u16 --vocab-size 10 --length 4 c.bin -o x.tok
    assert_exit 3
    assert_line "c.idx: type 5: only int16, uint16 and int32 tokens are read"
    { printf 'MMIDIDX\0\0'; u64 1; printf '\x08'; u64 1 2; u32 4; u64 0; u64 0 1; } > c.idx
    run tokenize --import-tokens u16 --vocab-size 10 --length 4 c.bin -o x.tok
    assert_exit 3
    assert_line "c.bin: ends before byte 8, where its index has tokens"
    assert_absent x.tok
}

@test "stats: documents, bytes and tokens by domain, of text and of its stream" {
    mkdir -p t/a t/b
    printf 'the river\n\nthe sand' > t/a/1
    printf 'Der M\xc3\xbcller' > t/b/1
    printf '' > t/b/2
    tokenize -q -t "$tokenizer" --length 4 --documents line --domain-from dir t -o t.tok
    view --json t.tok | jq -r '[.domain, (.tokens | length)] | @tsv' | awk -v OFS='\t' '
        { tokens[$1] += $2 }
        END {
            print "domain", "documents", "bytes", "tokens", "bytes_per_token"
            printf "a\t2\t17\t%d\t%.4f\n", tokens["a"], 17 / tokens["a"]
            printf "b\t1\t11\t%d\t%.4f\n", tokens["b"], 11 / tokens["b"]
            all = tokens["a"] + tokens["b"]
            printf "all\t3\t28\t%d\t%.4f\n", all, 28 / all
        }' > expected
    tokenize -q -t "$tokenizer" --stats t.tok > got
    assert_same got expected
    tokenize -q -t "$tokenizer" --stats --documents line --domain-from dir t | assert_same - expected
    run tokenize -q -t "$golden/tokenizer/foreign.json" --stats t.tok
    assert_exit 3
    run tokenize -q -t "$tokenizer" --stats t.tok t
    assert_exit 3
}
