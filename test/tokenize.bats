# tokenize: text to token streams and back. Expected ids are Hugging Face's (golden/tokenizer/make.py).

load helpers

tokenizer=$golden/tokenizer/tokenizer.json
documents=$golden/tokenizer/documents.txt

# ids STREAM: one line per sequence, ids with spaces between.
ids() {
    view --json "$1" | sed 's/.*"tokens":\[//; s/\].*//; s/,/ /g'
}

@test "tokenize: ids are Hugging Face's, in 20 scripts, code, white space and contractions" {
    tokenize -q -t "$tokenizer" --ragged --no-eot --separator '\0' "$documents" -o d.tok
    ids d.tok >got
    assert_same got "$golden/tokenizer/ids.txt"
}

@test "tokenize: ids are Hugging Face's under a vocabulary that no trainer made" {
    tokenize -q -t "$golden/tokenizer/foreign.json" --ragged --no-eot --separator '\0' "$documents" -o d.tok
    ids d.tok >got
    assert_same got "$golden/tokenizer/foreign.ids"
}

@test "tokenize: --decode gives any bytes back" {
    head -c 300000 /dev/urandom >random
    printf 'a\0b\xff\xfe\xe2\x82\n\r\n' >odd
    cat "$documents" "$tokenizer" >text
    : >empty
    for file in random odd text empty; do
        for how in '--length 64' '--length 1' '--ragged' '--ragged --length 7' '--length 4096 --no-eot --level 0'; do
            tokenize -q -t "$tokenizer" $how "$file" | tokenize -t "$tokenizer" --decode >back
            assert_same back "$file"
        done
    done
}

@test "tokenize: --decode writes --separator for end-of-text" {
    printf 'one\0two\0\0three' >text
    tokenize -q -t "$tokenizer" --length 8 --separator '\0' text -o d.tok
    tokenize -t "$tokenizer" --decode d.tok >back
    printf 'onetwothree' | assert_same back -
    tokenize -t "$tokenizer" --decode --separator '|\n\x41\101\\' d.tok >back
    printf 'one|\nAA\\two|\nAA\\three|\nAA\\' | assert_same back -
}

@test "tokenize: documents end in end-of-text and fill sequences without a gap; the tail is shorter" {
    tokenize -q -t "$tokenizer" --length 100 --separator '\0' "$documents" -o d.tok
    # The reference: golden ids, 599 behind each document, cut every 100.
    awk '{ print $0, 599 }' "$golden/tokenizer/ids.txt" | tr -s ' \n' '\n\n' |
        awk '{ printf "%s%s", $0, NR % 100 ? " " : "\n" } END { print "" }' | sed 's/ $//; /^$/d' >expected
    ids d.tok >got
    assert_same got expected
    view --header d.tok >header
    assert_equal "$(jq -c '[.kind, .dtype, .length, .vocab_size]' header)" '["tokens","u16",100,600]'
}

@test "tokenize: columns count predicted tokens and their bytes" {
    # In tokenizer.json a token has one character per byte; end-of-text is not in its vocabulary and has none.
    jq '.model.vocab | to_entries | sort_by(.value) | map(.key | length)' "$tokenizer" >sizes
    for how in '--length 1' '--length 2' '--length 50' '--ragged'; do
        tokenize -q -t "$tokenizer" $how --separator '\0' "$documents" -o d.tok
        view --json d.tok | jq -c --slurpfile sizes sizes \
            '[(.tokens | length) - 1, ([.tokens[1:][] | $sizes[0][.] // 0] | add // 0)]' >expected
        view --json --columns d.tok | jq -c '[.predicted, .bytes]' | assert_same - expected
        assert_equal "$(view --json --columns d.tok | jq -c '[.first, .group, .choice]' | sort -u)" '[1,0,0]'
    done
}

@test "tokenize: --ragged keeps a document a sequence and cuts long ones at --length" {
    printf 'the river\nthe sand\nto the sea, to the sea, to the sea\n' >text
    tokenize -q -t "$tokenizer" --ragged --documents line text -o d.tok
    assert_equal "$(ids d.tok | wc -l)" 3
    assert_equal "$(ids d.tok | grep -c ' 599$')" 3
    assert_equal "$(view --header d.tok | jq '.length // 0')" 0
    tokenize -q -t "$tokenizer" --ragged --length 4 --documents line text -o d.tok
    assert_equal "$(view --header d.tok | jq .length)" 4
    assert_equal "$(ids d.tok | awk 'NF > 4' | wc -l)" 0
    tokenize -t "$tokenizer" --decode --separator '\n' d.tok >back
    assert_same back text
}

@test "tokenize: packing crosses no domain, and tails come last" {
    mkdir -p texts/{b,a}
    for i in 1 2 3 4 5 6; do
        printf 'the river carries %d' "$i" >"texts/a/$i.txt"
        printf 'Der Müller mahlt %d' "$i" >"texts/b/$i.txt"
    done
    tokenize -q -t "$tokenizer" --length 16 --domain-from dir texts -o d.tok
    # Each domain alone gives the same sequences.
    for domain in a b; do
        tokenize -q -t "$tokenizer" --length 16 --domain "$domain" "texts/$domain" -o "$domain.tok"
        view --json d.tok | jq -c --arg d "$domain" 'select(.domain == $d) | .tokens' >got
        view --json "$domain.tok" | jq -c .tokens | assert_same - got
    done
    assert_equal "$(view --json d.tok | jq -c 'select((.tokens | length) < 16) | .id' | tr '\n' ' ')" \
        "$(view --json d.tok | tail -n 2 | jq -c .id | tr '\n' ' ')"
    assert_equal "$(view --json d.tok | jq .id | tr '\n' ' ')" "$(seq 0 $(($(ids d.tok | wc -l) - 1)) | tr '\n' ' ')"
}

@test "tokenize: same input, same bytes; the digest knows no path and no level" {
    cp "$documents" elsewhere
    tokenize -q -t "$tokenizer" --length 32 "$documents" -o a.tok
    tokenize -q -t "$tokenizer" --length 32 <elsewhere >b.tok
    assert_same a.tok b.tok
    tokenize -q -t "$tokenizer" --length 32 --level 9 elsewhere -o c.tok
    for key in content corpus; do
        assert_equal "$(view --header c.tok | jq ".end.$key")" "$(view --header a.tok | jq ".end.$key")"
    done
}

@test "tokenize: --split goes by the document alone, so duplicates never cross" {
    for i in $(seq 400); do printf 'document number %d of the river\n' "$i"; done >once
    { cat once; tac once; cat once; } >thrice
    split=train=0.5,valid=0.25,test=0.25
    for name in once thrice; do
        tokenize -q -t "$tokenizer" --length 64 --documents line --split $split "$name" -o "$name.%s.tok"
        for part in train valid test; do
            tokenize -t "$tokenizer" --decode --separator '\n' "$name.$part.tok" | sort -u >"$name.$part"
        done
    done
    for part in train valid test; do
        assert_same "once.$part" "thrice.$part" # stable, whatever else the corpus holds
        n=$(wc -l <"once.$part")
        case $part in train) low=160 high=240 ;; *) low=65 high=135 ;; esac
        [ "$n" -ge "$low" ] && [ "$n" -le "$high" ]
    done
    sort -u once | assert_same - <(sort once.train once.valid once.test) # every line once
}

@test "tokenize: all parts of a split share one corpus, whose ids count every sequence once" {
    for i in $(seq 300); do printf 'document number %d of the river\n' "$i"; done >text
    tokenize -q -t "$tokenizer" --length 64 --documents line --split a=0.6,b=0.4 text -o 'c.%s.tok'
    assert_equal "$(view --header c.a.tok | jq .end.corpus)" "$(view --header c.b.tok | jq .end.corpus)"
    { view --json c.a.tok; view --json c.b.tok; } | jq .id | sort -n >got
    seq 0 "$(($(wc -l <got) - 1))" | assert_same - got
    [ "$(view --header c.a.tok | jq .end.corpus)" != "$(view --header c.a.tok | jq .end.content)" ]
}

@test "tokenize: the parts of a split appear together or not at all" {
    printf 'one\ntwo\nthree\n' >text
    printf '{"text": "a"}\n{"text": 1}\n' >bad.jsonl
    run tokenize -t "$tokenizer" --length 8 --split a=0.5,b=0.5 text bad.jsonl -o 'c.%s.tok'
    assert_exit 3
    assert_absent c.a.tok c.b.tok
    mkdir c.b.tok
    run tokenize -t "$tokenizer" --length 8 --split a=0.5,b=0.5 text -o 'c.%s.tok'
    [ "$status" -ne 0 ]
    assert_absent c.a.tok
}

@test "tokenize: a part without documents is an empty stream" {
    printf 'one' | tokenize -q -t "$tokenizer" --length 8 --split a=0.5,b=0.5 -o 'c.%s.tok'
    assert_equal "$(for p in a b; do view --header c.$p.tok | jq .end.sequences; done | sort | tr '\n' ' ')" "0 1 "
    view --check c.a.tok
    view --check c.b.tok
}

@test "tokenize: the report counts documents, bytes and tokens" {
    printf 'one\ntwo\n\nthree\n' >text
    run tokenize -t "$tokenizer" --length 8 --documents line text -o d.tok
    assert_exit 0
    assert_line "3 documents, 11 bytes, "
    assert_line "1 empty documents were left out"
    run tokenize -q -t "$tokenizer" --length 8 text -o d.tok
    assert_equal "$output" ""
}

@test "tokenize: wrong use exits 2 and creates nothing" {
    printf 'text' >text
    t=(-t "$tokenizer" --length 8)
    while read -r arguments; do
        eval "set -- $arguments"
        run tokenize "$@" text -o out.tok
        assert_exit 2
        assert_absent out.tok
    done <<'END'
--length 8
"${t[@]}" --unknown
"${t[@]}" --length 0
"${t[@]}" --length 8x
-t "$tokenizer"
"${t[@]}" --learn --vocab-size 300
"${t[@]}" --vocab-size 300
"${t[@]}" --decode
-t "$tokenizer" --learn --decode
--learn
--learn --vocab-size 256
--learn --vocab-size 300 --part a
--learn --vocab-size 300 --split a=1 --part b
"${t[@]}" --split a=0.5,b=0.4
"${t[@]}" --split a=0.5,a=0.5
"${t[@]}" --split a=1
"${t[@]}" --split a/b=1
"${t[@]}" --split ''
"${t[@]}" --documents separator
"${t[@]}" --documents line --separator x
"${t[@]}" --documents page
"${t[@]}" --separator ''
"${t[@]}" --separator '\q'
"${t[@]}" --separator '\400'
"${t[@]}" --jsonl --documents line
"${t[@]}" --domain a --domain-from dir
"${t[@]}" --domain-from dir -
"${t[@]}" --level 20
- - "${t[@]}"
END
    run tokenize "${t[@]}" text --split a=0.5,b=0.5 -o 'c.tok'
    assert_exit 2
    assert_line 'needs one %s'
}

@test "tokenize: --decode refuses another vocabulary, another kind and a damaged stream" {
    printf 'the river carries the sand' >text
    tokenize -q -t "$tokenizer" --length 8 text -o d.tok
    run tokenize -t "$golden/tokenizer/foreign.json" --decode d.tok
    assert_exit 3
    assert_line "d.tok: vocabulary $(view --header d.tok | jq -r .vocab), but that of $golden/tokenizer/foreign.json is "
    head -c -1 d.tok >cut.tok
    run tokenize -t "$tokenizer" --decode cut.tok -o out
    assert_exit 3
    assert_line "tokenize: cut.tok: "
    assert_absent out
    run tokenize -t "$tokenizer" --decode text
    assert_exit 3
}
