# view: prints and checks streams of every kind. Streams are made by mkstream (test/mkstream.c).

load helpers
PATH="$build/test:$PATH"

kinds=("tokens" "tokens vocab=70000" "tokens ragged=1" "scores" "scores dtype=f16" "logprobs inf=7" "weights"
    "weights per_position=1" "assignment" "assignment topk=3")

# ---- text ----

@test "view: tokens as TSV, below a line of column names" {
    printf '{"id":7,"domain":"law","tokens":[3,1,2]}\n{"id":9,"domain":"x y","tokens":[255]}\n' |
        mkstream tokens from=json >a.tok
    run_separate view a.tok
    assert_exit 0
    assert_equal "$output" $'id\tdomain\ttokens\n7\tlaw\t3 1 2\n9\tx y\t255'
    run_separate view --columns a.tok
    assert_equal "$(head -2 <<<"$output")" $'id\tdomain\tpredicted\tbytes\tfirst\tgroup\tchoice\tgold\tnorm_length\ttokens
7\tlaw\t2\t2\t1\t0\t0\t0\t0\t3 1 2'
}

@test "view: one JSON object per sequence, in the shape of its kind" {
    echo '{"id":1,"domain":"a\"b\\","tokens":[3,4]}' | mkstream tokens from=json | view --json >out
    assert_equal "$(cat out)" '{"id":1,"domain":"a\"b\\","tokens":[3,4]}'
    echo '{"id":1,"scores":[-1.5,"-inf"]}' | mkstream scores experts=2 from=json | view --json >out
    assert_equal "$(cat out)" '{"id":1,"domain":"text","scores":[-1.5,"-inf"]}'
    echo '{"id":1,"logprobs":[-0.1]}' | mkstream logprobs from=json | view --json >out
    assert_equal "$(cat out)" '{"id":1,"domain":"text","logprobs":[-0.100000001]}'
    echo '{"id":1,"expert":3}' | mkstream assignment from=json | view --json >out
    assert_equal "$(cat out)" '{"id":1,"domain":"text","expert":3}'
    echo '{"id":1,"experts":[3,0],"weights":[-1,-2]}' | mkstream assignment topk=2 from=json | view --json >out
    assert_equal "$(cat out)" '{"id":1,"domain":"text","experts":[3,0],"weights":[-1,-2]}'
    echo '{"id":1,"predicted":2,"weights":[[-1,-2],[-3,-4]]}' |
        mkstream weights experts=2 per_position=1 from=json >w.wts
    assert_equal "$(view --json w.wts)" '{"id":1,"domain":"text","weights":[[-1,-2],[-3,-4]]}'
    assert_equal "$(view w.wts | tail -1)" $'1\ttext\t-1 -2;-3 -4'
}

@test "view: what --json --columns prints makes the same stream again" {
    local kind
    for kind in "${kinds[@]}"; do
        mkstream $kind n=200 length=9 tasks=4 first=2 >a
        view --json --columns a | mkstream $kind from=json length=9 >b
        assert_same a b
        view --json a | jq -e 'has("id") and has("domain")' >/dev/null
    done
}

@test "view: --text shows token sequences as text, in TSV and in JSON" {
    local t=$golden/tokenizer/tokenizer.json
    printf 'the "river"\n\ta\\b\1 M\xc3\xbcller \xff' > text
    tokenize -q -t "$t" --length 1000 text -o a.tok
    assert_equal "$(view --text -t "$t" a.tok)" $'id\tdomain\ttext\n0\tdefault\tthe "river"\\n\\ta\\\\b\\x01 M\xc3\xbcller \\xff<|endoftext|>'
    view --text -t "$t" --json --columns a.tok > got
    assert_equal "$(jq -c '[.id, .predicted, (keys | length)]' got)" "[0,$(view --columns a.tok | tail -1 | cut -f 3),10]"
    jq -r .text got | assert_same - <(printf 'the "river"\n\ta\\b\1 M\xc3\xbcller \xef\xbf\xbd<|endoftext|>\n')
    # A character may be cut: bytes on either side.
    printf '\xe2\x82\xac' | tokenize -q -t "$t" --length 1 --no-eot | view --text -t "$t" | tail -n +2 | cut -f 3 | xargs > got
    [ "$(cat got)" = 'xe2 x82 xac' ] || [ "$(cat got)" = $'\xe2\x82\xac' ]
}

@test "view: several files print one line of names, and another where the columns change" {
    mkstream scores n=2 o=a.scr
    mkstream assignment n=2 o=a.asg
    assert_equal "$(view a.scr a.scr | grep -c id)" 1
    assert_equal "$(view a.scr a.asg a.asg | grep -c id)" 2
}

@test "view: a range of sequences, from a file and from a pipe" {
    mkstream tokens n=100 frame=500 start=1000 o=a.tok
    assert_equal "$(view --sequences 10..13 a.tok | cut -f1 | tr '\n' ' ')" "id 1010 1011 1012 "
    assert_equal "$(cat a.tok | view --sequences 98.. | cut -f1 | tr '\n' ' ')" "id 1098 1099 "
    run view --sequences 98..101 a.tok
    assert_exit 3
    assert_line "view: a.tok: sequences 98..101: there are only 100"
    run_pipe 'cat a.tok | view --sequences 101..'
    assert_exit 3
    assert_line "view: standard input: sequences 101..: there are only 100"
}

# ---- header and check ----

@test "view: --header is the header and the end frame as JSON, from a pipe too" {
    mkstream scores n=100 experts=3 prefix=8 names=a,b,c domains=1 level=0 >a.scr
    view --header a.scr >file
    view --header <a.scr >redirected
    cat a.scr | view --header >pipe
    assert_same file pipe
    assert_same file redirected
    assert_equal "$(jq -c '[.format, .kind, .dtype, .experts, .prefix, .names, .end.sequences, .end.domains]' file)" \
        '[1,"scores","f32",3,8,["a","b","c"],100,["d0"]]'
    assert_equal "$(view --json --columns a.scr | jq -s 'map(.bytes) | add')" "$(jq .end.bytes file)"
    assert_equal "$(view --json --columns a.scr | jq -s 'map(.predicted) | add')" "$(jq .end.predicted file)"
}

@test "view: --check verifies every kind and says so" {
    local kind
    for kind in "${kinds[@]}"; do
        mkstream $kind n=100 frame=400 o=a
        run view --check a
        assert_exit 0
        assert_match '^a: ok: 100 sequences in [0-9]+ frames$'
        run_pipe 'cat a | view --check'
        assert_match '^standard input: ok: 100 sequences in [0-9]+ frames$'
    done
    mkstream tokens n=0 o=empty
    run view --check empty a
    assert_exit 0
    assert_line "empty: ok: 0 sequences in 0 frames"
    assert_line "a: ok: 100 sequences"
}

@test "view: damage is exit status 3 with stream, frame, byte and cause" {
    mkstream tokens n=100 frame=500 o=a.tok
    local size at
    size=$(stat -c %s a.tok)
    for at in 300 1500 $((size / 2)) $((size - 50)); do
        cp a.tok bad.tok
        printf '\xa5' | dd of=bad.tok bs=1 seek=$at conv=notrunc status=none
        cmp -s a.tok bad.tok && printf '\x5a' | dd of=bad.tok bs=1 seek=$at conv=notrunc status=none
        run view --check bad.tok
        assert_exit 3
        assert_match '^view: bad\.tok: frame [0-9]+ at byte [0-9]+: [a-z]'
        run_pipe 'cat bad.tok | view'
        assert_exit 3
        assert_match '^view: standard input: frame [0-9]+ at byte [0-9]+: [a-z]'
    done
    head -c -1 a.tok >short.tok
    run view --check short.tok
    assert_exit 3
    cat a.tok a.tok >twice.tok
    run view --check twice.tok
    assert_exit 3
    assert_line "bytes behind the end of the stream"
}

@test "view: what is no stream is refused by name" {
    echo hello >text
    : >empty
    mkstream tokens n=3 | sed 's/\r$//' >unix2dos
    run view text
    assert_exit 3
    assert_equal "$output" "view: text: header at byte 0: not a stream, but text; tokenize makes a token stream of it"
    run view empty
    assert_exit 3
    assert_equal "$output" "view: empty: header at byte 0: empty"
    run view unix2dos
    assert_exit 3
    assert_equal "$output" "view: unix2dos: header at byte 0: damaged by a transfer as text"
    run view absent
    assert_exit 1
    assert_line "view: absent: cannot open"
    run view .
    assert_exit 1
}

@test "view: a NaN or +inf that a stream carries is exit status 4" {
    for kind in scores logprobs weights "assignment topk=2" "scores dtype=f16"; do
        mkstream $kind nan=5 o=bad
        run view --check bad
        assert_exit 4
        assert_match 'view: bad: frame 0 at byte [0-9]+: element [0-9]+ of the payload is NaN'
    done
}

# ---- the common contract ----

@test "view: -o writes whole or not at all" {
    mkstream tokens n=2000 frame=500 o=a.tok
    view -o out a.tok
    view a.tok | cmp - out
    head -c -9 a.tok >bad.tok
    run view -o out2 bad.tok
    assert_exit 3
    assert_absent out2
}

@test "view: what does not go together is exit status 2" {
    mkstream tokens n=2 o=a.tok
    local options
    for options in --unknown "--header --check" "--json --header" "--columns --check" "--check --sequences 0..1" \
        "--sequences 3..1" "--sequences x"; do
        run view $options a.tok
        assert_exit 2
    done
}

# ---- the specification ----

@test "formats: a decoder written from docs/formats.md alone agrees with view" {
    local kind
    for kind in "${kinds[@]}"; do
        mkstream $kind n=60 length=9 tasks=4 first=2 frame=700 level=0 >a
        view --json --columns a >expected
        perl "$root/test/decode.pl" a >got
        assert_same got expected
    done
    mkstream scores n=0 level=0 >a
    assert_equal "$(perl "$root/test/decode.pl" a)" ""
}
