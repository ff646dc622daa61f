# tokenize: hostile inputs and mistakes with files: each ends in one line that names the place and the cause, in the
# right exit status, and nothing is written or lost.

load helpers

tokenizer=$golden/tokenizer/tokenizer.json # 600 tokens, end-of-text is 599

# refused STATUS MESSAGE ARGUMENT...: one line on standard error that begins so, and no x.tok.
refused() {
    local code=$1 message=$2
    shift 2
    run tokenize -t "$tokenizer" "$@"
    assert_exit "$code"
    assert_equal "${#lines[@]}" 1
    [[ "$output" == "tokenize: $message"* ]] || assert_equal "$output" "tokenize: $message..."
    assert_absent x.tok
}

# encode_refused: the same of an encoding to x.tok.
encode_refused() {
    refused "$@" --length 8 -o x.tok
}

@test "tokenize: no output replaces an input or the vocabulary" {
    mkdir text
    printf 'the river' | tee text/a text/b.train >kept
    cp "$tokenizer" v.json
    refused 2 "-o text/a: is an input, too, and would be lost" --length 8 text -o text/a
    refused 2 "-o text/a: is an input, too, and would be lost" --length 8 -o text/a <text/a
    refused 2 "-o text/a: is an input, too, and would be lost" --length 8 --files-from - -o text/a <<<'text/a'
    refused 2 "-o text/b.train: is an input" --length 8 --split train=0.5,test=0.5 text -o 'text/b.%s'
    refused 2 "-o text/a: is an input" --stats text -o text/a
    ln text/a linked
    refused 2 "-o linked: is an input" --length 8 text -o linked
    refused 2 "-o linked: is an input" --import-tokens u16 --length 8 text/a -o linked
    run tokenize --learn --vocab-size 300 text -o text/a
    assert_exit 2
    assert_line "-o text/a: is an input"
    run tokenize -t v.json --length 8 text -o v.json
    assert_exit 2
    assert_line "tokenize: -o v.json: is the vocabulary, and would be lost"
    assert_same v.json "$tokenizer"
    assert_same text/a kept
    assert_same text/b.train kept
    tokenize -q -t "$tokenizer" --length 8 text -o a.tok
    cp a.tok kept
    refused 2 "-o a.tok: is an input" --decode a.tok -o a.tok
    assert_same a.tok kept
    tokenize -q -t "$tokenizer" --length 8 text -o a.tok # what is no input is replaced
    assert_same a.tok kept
}

@test "tokenize: an output in a folder of inputs is not read while it is written" {
    mkdir text
    printf 'the river' | tee text/a >text/b
    tokenize -q -t "$tokenizer" --length 8 text -o expected.tok
    tokenize -t "$tokenizer" --length 8 text -o text/out.tok 2>messages
    assert_same text/out.tok expected.tok
    assert_equal "$(wc -l <messages)" 1 # no empty document
    refused 2 "-o text/out.tok: is an input, too" --length 8 text -o text/out.tok
    rm text/out.tok
    tokenize -q -t "$tokenizer" --length 8 --split x=0.5,y=0.5 text -o 'text/%s.tok' 2>messages
    rm text/?.tok
    # find may come to it, too.
    { sleep 0.3; find text -type f | sort; } | tokenize -q -t "$tokenizer" --length 8 --files-from - -o text/out.tok
    assert_same text/out.tok expected.tok
    # A shell opens the file itself.
    for job in "--length 8" --stats "--import-tokens u16 --length 8"; do
        run bash -c "tokenize -t $tokenizer $job text >text/out.tok"
        assert_exit 2
        assert_equal "$output" "tokenize: standard output: is an input, too"
    done
    run bash -c "tokenize -t $tokenizer --decode expected.tok >>expected.tok"
    assert_exit 2
    printf 'the river' >text/out.tok
    tokenize -q -t "$tokenizer" --length 8 text >out.tok
}

@test "tokenize: standard input is read once" {
    printf 'the river' >text
    for inputs in '- -' '--files-from - -'; do
        encode_refused 2 "standard input is named twice" $inputs <text
    done
    tokenize -q -t "$tokenizer" --length 8 text -o a.tok
    refused 2 "standard input is named twice" --decode - - <a.tok
    run tokenize -t - --length 8 -o x.tok - <"$tokenizer"
    assert_exit 2
    assert_line "standard input is named twice"
    run tokenize -t - --length 8 -o x.tok <"$tokenizer"
    assert_exit 2
    assert_line "tokenize: -t -: standard input is the vocabulary, so name the inputs"
    assert_absent x.tok
    tokenize -q -t - --length 8 text <"$tokenizer" | assert_same - a.tok
}

@test "tokenize: a file without a name is refused as such" {
    refused 2 "--output: the name is empty" --length 8 "$tokenizer" -o ''
    encode_refused 1 "'': cannot open: " ''
    run tokenize -t '' --length 8 -o x.tok "$tokenizer"
    assert_exit 1
    assert_line "tokenize: '': cannot open: "
}

@test "tokenize: options for JSON lines without any are a mistake" {
    printf '{"body": "the river", "from": "web"}\n' | tee a.json >a.jsonl
    encode_refused 2 "--field: no input is JSON lines by its name; --jsonl takes all inputs for such" --field body a.json
    encode_refused 2 "--field: no input is JSON lines" --field body <a.json
    encode_refused 2 "--field: no input is JSON lines" --field body --documents line a.jsonl
    encode_refused 2 "--domain-field: no input is JSON lines" --domain-field from a.json
    encode_refused 2 "--domain-field: a name is empty" --domain-field '' a.jsonl
    tokenize -q -t "$tokenizer" --length 8 --field body a.jsonl -o expected.tok
    tokenize -q -t "$tokenizer" --length 8 --field body --jsonl a.json | assert_same - expected.tok
    tokenize -q -t "$tokenizer" --length 8 --field body a.jsonl a.json >/dev/null # some may be other text
}

@test "tokenize: the name of a domain is checked where it comes from, as streams have it" {
    local cause="is not 1 to 1024 bytes of printable UTF-8"
    mkdir -p $'d/a\tb'
    printf 'the river' >$'d/a\tb/c'
    encode_refused 3 "d/a?b/c: domain name of 3 bytes $cause" --domain-from dir d
    refused 3 "d/a?b/c: domain name of 3 bytes $cause" --stats --domain-from dir d
    encode_refused 2 "--domain: domain name of 0 bytes $cause" --domain '' d
    encode_refused 2 "--domain: domain name of 1025 bytes $cause" --domain "$(printf '%01025d' 1)" d
    # Short lines, such that are not plain, and long ones say the same.
    head -c 1500000 /dev/zero | tr '\0' x >long
    for text in x '\u0041' "$(cat long)"; do
        while read -r name size; do
            printf '{"text": "fine", "d": "e"}\n{"text": "%s", "d": "%s"}\n' "$text" "$name" >a.jsonl
            encode_refused 3 "a.jsonl: line 2: key 'd': domain name of $size bytes $cause" --domain-field d a.jsonl
        done < <(printf '%s\n' 'a\u0009b 3' "$(printf '%01025d' 1) 1025" '\u007f 1')
        printf '{"text": "%s", "d": ""}\n' "$text" >a.jsonl
        encode_refused 3 "a.jsonl: line 1: key 'd': domain name of 0 bytes $cause" --domain-field d a.jsonl
        printf '{"text": "%s", "d": "%01024d"}\n' "$text" 1 >a.jsonl
        tokenize -q -t "$tokenizer" --length 100000 --domain-field d a.jsonl | view --header - |
            jq -e '.end.domains | length == 1 and (.[0] | length) == 1024'
    done
}

@test "tokenize: a line of JSON that is none says so of the line" {
    while IFS='~' read -r line cause; do
        printf "$line\\n" >a.jsonl
        encode_refused 3 "a.jsonl: line 1: $cause" a.jsonl
    done <<'END'
\xef\xbb\xbf{"text": "x"}~a byte order mark stands before the JSON; take it off
{~string or '}' expected near the line's end
{"text": "x"} {"text": "y"}~the line's end expected near '{'
{"text": "x", "n": [1, 2}~']' expected near '}'
{"text": "end of file", "n": x}~invalid token near 'x'
END
    awk 'BEGIN { for (i = 1; i <= 10000; i++) print i == 9999 ? "{\"body\": 1}" : "{\"text\": \"x\"}" }' >a.jsonl
    encode_refused 3 "a.jsonl: line 9999: key 'text': missing" --threads 3 a.jsonl
}

@test "tokenize: zstd frames that are to be skipped, in front, between and behind" {
    printf 'the river\n' >text
    printf '\x50\x2a\x4d\x18\x04\0\0\0abcd' >skip # as pzstd writes them
    printf '\x5f\x2a\x4d\x18\0\0\0\0' >skip.none
    zstd -q -c text >a.zst
    : | zstd -q -c >empty.zst
    cat skip a.zst skip.none empty.zst a.zst skip >all
    tokenize -q -t "$tokenizer" --length 8 <(cat text text) -o expected.tok
    tokenize -q -t "$tokenizer" --length 8 all | assert_same - expected.tok
    head -c -1 all >cut
    encode_refused 3 "cut: byte $(stat -c %s cut): zstd: truncated" cut
}

@test "tokenize: files of other formats are text, but not in silence" {
    while read -r bytes message; do
        printf "$bytes" >a
        run_separate tokenize -t "$tokenizer" --length 8 a -o a.tok
        assert_exit 0
        assert_equal "$(head -1 <<<"$errors")" "tokenize: a: is $message"
    done <<'END'
\xfd7zXZ\0. an xz file and taken as text; decompress it first
BZh91AY a bzip2 file and taken as text; decompress it first
\x04\x22\x4d\x18. an lz4 file and taken as text; decompress it first
PK\3\4. a zip file and taken as text; extract it first
PAR1. a Parquet file and taken as text; make JSON lines of it first
ARROW1\0. an Arrow file and taken as text; make JSON lines of it first
\xff\xfea\0 UTF-16 and taken as it is; make UTF-8 of it first
\xfe\xff\0a UTF-16 and taken as it is; make UTF-8 of it first
END
    tokenize -t "$tokenizer" --decode a.tok | assert_same - a
    cp a $'new\nline\e[31m'
    run_separate tokenize -t "$tokenizer" --length 8 $'new\nline\e[31m' -o a.tok
    assert_equal "$(head -1 <<<"$errors")" "tokenize: new?line?[31m: is UTF-16 and taken as it is; make UTF-8 of it first"
}

@test "tokenize: a list of names from DOS says what is wrong with it" {
    printf 'the river' >a
    printf 'a\r\na\r\n' >list
    encode_refused 1 "list: a?: cannot open: No such file or directory; the name ends in CR, as lines from DOS do" --files-from list
}

@test "import: what is no file of tokens is refused by what it is" {
    printf '\x93NUMPY\1\0v\0' >a.npy
    printf 'the river' | tokenize -q -t "$tokenizer" --length 8 -o a.tok
    : >b.idx
    import_refused() {
        refused "$@" --import-tokens u16 --length 8 -o x.tok
    }
    import_refused 3 "a.npy: is a .npy file of numpy's; tofile() writes plain tokens" a.npy
    import_refused 3 "a.tok: is a token stream already" a.tok
    import_refused 3 "b.idx: is an index; name its tokens, b.bin" b.idx
    run tokenize --import-tokens u16 --vocab-size 70000 --length 8 a.npy -o x.tok
    assert_line "tokenize: --import-tokens u16: has no id above 65535, and the vocabulary 70000 ids"
    # Documents that end before they begin, or behind the last sequence.
    printf '\1\0\2\0' >c.bin
    for ends in '\2\0\0\0\0\0\0\0\1' '\1\0\0\0\0\0\0\0\3'; do
        { printf 'MMIDIDX\0\0\1\0\0\0\0\0\0\0\x08\2\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0\1\0\0\0\1\0\0\0'
          printf '\0\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0'"$ends"'\0\0\0\0\0\0\0'; } >c.idx
        import_refused 3 "c.idx: document 1 ends at sequence " c.bin
    done
}

@test "stats: a stream is known on standard input and in a pipe; streams and text are not mixed" {
    printf 'the river' >text
    tokenize -q -t "$tokenizer" --length 8 text -o a.tok
    tokenize -q -t "$tokenizer" --stats a.tok >expected
    tokenize -q -t "$tokenizer" --stats <a.tok | assert_same - expected
    tokenize -q -t "$tokenizer" --stats - <a.tok | assert_same - expected
    refused 3 "a.tok is a token stream and text is none; --stats counts streams or text" --stats text a.tok
    refused 3 "standard input is a token stream and text is none; --stats counts" --stats text - <a.tok
    tokenize -t "$tokenizer" --stats < <(cat a.tok) | assert_same - expected
    tokenize -t "$tokenizer" --stats <(cat a.tok) | assert_same - expected
    tokenize -t "$tokenizer" --stats < <(head -c 3 a.tok; sleep 0.2; tail -c +4 a.tok) | assert_same - expected
    # Text is text, however short and slow.
    for text in '' r ri 'the river' $'\x8eTC'; do
        printf %s "$text" >text
        tokenize -t "$tokenizer" --stats text >expected
        tokenize -t "$tokenizer" --stats <text | assert_same - expected
        cat text | tokenize -t "$tokenizer" --stats | assert_same - expected
        { sleep 0.1; cat text; sleep 0.1; } | tokenize -t "$tokenizer" --stats | assert_same - expected
        tokenize -t "$tokenizer" --stats <(cat text) | assert_same - expected
    done
    # A pipe with a name, which can be opened only once.
    mkfifo named
    seq -f 'the river %g' 20000 >text
    tokenize -t "$tokenizer" --stats text >expected
    cat text >named &
    timeout 20 tokenize -t "$tokenizer" --stats named | assert_same - expected
}
