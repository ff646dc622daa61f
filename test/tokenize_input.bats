# tokenize: what may be read: files and folders, lines and separators, JSON lines, gzip and zstd, standard input.

load helpers

tokenizer=$golden/tokenizer/tokenizer.json

# back ARGUMENT...: encode ragged, decode with a bar behind each document.
back() {
    tokenize -q -t "$tokenizer" --ragged "$@" | tokenize -t "$tokenizer" --decode --separator '|'
}

# domains ARGUMENT...: the documents' domains in order.
domains() {
    tokenize -q -t "$tokenizer" --ragged "$@" | view --json - | jq -r .domain | tr '\n' ' '
}

@test "tokenize: a document is a file, a line, or what stands between separators" {
    printf 'a\nb\0c\n\nd' >text
    back text | assert_same - <(printf 'a\nb\0c\n\nd|')
    back --documents line text | assert_same - <(printf 'a|b\0c|d|')
    back --separator '\0' text | assert_same - <(printf 'a\nb|c\n\nd|')
    back --separator '\n\n' text | assert_same - <(printf 'a\nb\0c|d|')
    back --separator 'no such' text | assert_same - <(printf 'a\nb\0c\n\nd|')
    back --documents line <text | assert_same - <(printf 'a|b\0c|d|')
    back - --documents line <text | assert_same - <(printf 'a|b\0c|d|')
}

@test "tokenize: separators are found across the reader's blocks" {
    # Documents around one and two MiB, where blocks meet, with a separator of 9 bytes.
    awk 'BEGIN { for (i = 0; i < 40000; i++) printf "%0" (20 + i % 67) "d<|split|>", i }' >text
    [ "$(stat -c %s text)" -gt 2200000 ]
    back --separator '<|split|>' text | tr '|' '\n' >got
    awk 'BEGIN { for (i = 0; i < 40000; i++) printf "%0" (20 + i % 67) "d\n", i }' >expected
    assert_same got expected
}

@test "tokenize: gzip and zstd are recognised by content, several members too" {
    awk 'BEGIN { for (i = 0; i < 60000; i++) print i, "the river carries the sand" }' >text
    gzip -c text >packed.gz
    zstd -q -c text >packed.zst
    head -n 100 text | gzip -c >members
    tail -n +101 text | gzip -c >>members
    head -n 100 text | zstd -q -c >frames
    tail -n +101 text | zstd -q -c >>frames
    tokenize -q -t "$tokenizer" --length 512 text -o expected.tok
    for file in packed.gz packed.zst members frames; do
        tokenize -q -t "$tokenizer" --length 512 "$file" -o got.tok
        assert_same got.tok expected.tok
        tokenize -q -t "$tokenizer" --length 512 <"$file" | assert_same - expected.tok
    done
}

@test "tokenize: compressed input that is cut or goes on with rubbish exits 3 and leaves nothing" {
    head -c 200000 /dev/urandom >text
    gzip -c text >a.gz
    zstd -q -c text >a.zst
    for name in a.gz a.zst; do
        size=$(stat -c %s "$name")
        for cut in 5 20 1000 $((size / 2)) $((size - 1)); do
            head -c "$cut" "$name" >cut
            run tokenize -t "$tokenizer" --length 8 cut -o out.tok
            assert_exit 3
            assert_line "tokenize: cut: byte $cut: "
            assert_absent out.tok
        done
        { cat "$name"; echo rubbish; } >more
        run tokenize -t "$tokenizer" --length 8 more -o out.tok
        assert_exit 3
        assert_line "tokenize: more: byte "
        { head -c 30000 "$name"; printf 'flip'; tail -c +30005 "$name"; } >flipped
        run tokenize -t "$tokenizer" --length 8 flipped -o out.tok
        assert_exit 3
        assert_absent out.tok
    done
}

@test "tokenize: JSON lines are known by their names, or by --jsonl" {
    printf '%s\n' '{"text": "one\ntwo", "id": 1}' '' '  ' '{"n": [1, {"text": "no"}], "text": "thr\u00e9\u0000e"}' >a.jsonl
    printf '{"text": "last"}' >>a.jsonl
    printf 'one\ntwo|thr\xc3\xa9\0e|last|' >expected
    back a.jsonl | assert_same - expected
    gzip -c a.jsonl >a.jsonl.gz
    gzip -c a.jsonl >a.json.gz
    zstd -q -c a.jsonl >a.jsonl.zst
    for file in a.jsonl.gz a.json.gz a.jsonl.zst; do
        back "$file" | assert_same - expected
    done
    back --jsonl <a.jsonl | assert_same - expected
    back --documents file a.jsonl | assert_same - <(cat a.jsonl; printf '|')
    printf '{"text": "no", "body": "yes"}\n' | back --jsonl --field body | assert_same - <(printf 'yes|')
}

@test "tokenize: a bad JSON line exits 3 with file and line" {
    while IFS='~' read -r bad cause; do
        printf '{"text": "fine"}\n\n%s\n{"text": "fine"}\n' "$bad" >bad.jsonl
        run tokenize -t "$tokenizer" --length 8 bad.jsonl -o out.tok
        assert_exit 3
        assert_line "tokenize: bad.jsonl: line 3: $cause"
        assert_absent out.tok
    done <<'END'
{"text": "open~
{"text": 1}~key 'text': not a string
{"body": "x"}~key 'text': missing
["text"]~not a JSON object
{"text": "x"} {"text": "y"}~
{"text": "\ud800"}~
{"text": "x", "text": "y"}~
END
}

@test "tokenize: JSON lines may have numbers of any size, which nobody asked for" {
    local numbers='18446744073709551615 -9223372036854775809 1e999 -0.5E+4000 1e-999'
    numbers+=" $(printf '9%.0s' {1..400}) 0.$(printf '3%.0s' {1..400})e5"
    for number in $numbers; do
        # the second is no plain line, for its name; the third is one in pieces
        printf '{"hash": %s, "text": "one", "all": [%s,{"n":%s}]}\n' $number $number $number
        printf '{"\\u0068ash": %s , "text": "a %s", "all": [%s,{"n":%s}]}\n' $number $number $number $number
    done >numbers.jsonl
    { printf '{"text": "%s", "hash": %s}\n' "$(head -c 3000000 /dev/zero | tr '\0' x)" 18446744073709551615; } >long.jsonl
    back numbers.jsonl | assert_same - <(for number in $numbers; do printf 'one|a %s|' $number; done)
    assert_equal "$(back long.jsonl | wc -c)" 3000001
    while IFS='~' read -r bad cause; do
        printf '{"text": "fine"}\n%s\n' "$bad" >bad.jsonl
        run tokenize -t "$tokenizer" --length 8 bad.jsonl -o out.tok
        assert_exit 3
        assert_line "tokenize: bad.jsonl: line 2: $cause"
        assert_absent out.tok
    done <<'END'
{"text": 18446744073709551615}~key 'text': not a string
{"text": "x", "n": 018446744073709551615}~invalid token near '0'
{"text": "x", "n": 1e}~
{"text": "x", "n": 18446744073709551615.}~
{"text": "x", "n": [1e999, +1]}~invalid token near '+'
{"text": "x", "n": 1e999, "m": NaN}~invalid token near 'NaN'
{"text": "x", "n": 1e999x}~
END
}

@test "tokenize: a line of JSON of more than a megabyte says what a short one says" {
    local i lines='{meta: {source: "w\u00e9b", text: 1}, n: [1, {text: 2}, -3.5e-7], title: ("T\"\\\n" * 99), text: .}
        {title: "x", text: ., meta: {source: ("long" * 9)}, "meta.source": "y"}
        {text: ., "a\tb": null, meta: {source: "web"}}'
    awk 'BEGIN { for (i = 0; i < 60000; i++) printf "%d \"\\ %c \xf0\x9f\x98\x80 \xd0\xb6\n", i, 1 + i % 31 }' >text
    while read -r line; do jq -Rsc "$line" text; done <<<"$lines" >long.jsonl
    head -n 50 text >few
    while read -r line; do jq -Rsc "$line" few; done <<<"$lines" >short.jsonl
    [ "$(wc -c <long.jsonl)" -gt 3145728 ]
    for how in '' '--field title?,text' '--field text,title? --join -' '--field text,nothing?'; do
        back $how short.jsonl >got
        # The same, but for the text itself: of the two it is a line "few" or "text".
        perl -0777 -pe 'BEGIN { open F, "few"; $t = <F> } s/\Q$t\E/(text)/g' got >expected
        back $how long.jsonl | perl -0777 -pe 'BEGIN { open F, "text"; $t = <F> } s/\Q$t\E/(text)/g' |
            assert_same - expected
        grep -q '(text)' expected
    done
    assert_equal "$(domains --domain-field meta.source --length 100000 long.jsonl | tr ' ' '\n' | uniq | tr '\n' ' ')" \
        "$(domains --domain-field meta.source --length 100000 short.jsonl)"
    # Blank lines count, and the last needs no end.
    { head -c 2000000 /dev/zero | tr '\0' ' '; printf '\n'; head -n 1 long.jsonl | head -c -1; } >spaces.jsonl
    back spaces.jsonl | assert_same - <(cat text; printf '|')
}

@test "tokenize: what is wrong with a long line of JSON exits 3 with file and line" {
    head -c 3000000 /dev/zero | tr '\0' x >x
    while IFS='~' read -r before behind cause; do
        { printf '{"text": "fine", "d": "e"}\n\n%s' "$before"; cat x; printf '%b\n{"text": 1}\n' "$behind"; } >bad.jsonl
        for n in 1 3; do
            run tokenize --threads $n -t "$tokenizer" --length 8 --domain-field d bad.jsonl -o out.tok
            assert_exit 3
            assert_line "tokenize: bad.jsonl: line 3: $cause"
            assert_absent out.tok
        done
        # What is taken for wrong is wrong for a short line, too.
        { printf '%s' "$before"; head -c 100 x; printf '%b\n' "$behind"; } >bad.jsonl
        run tokenize -t "$tokenizer" --length 8 --domain-field d bad.jsonl -o out.tok
        assert_exit 3
    done <<'END'
{"text": "~~byte 3000011: the line ends too early
{"text": "~"~byte 3000012: the line ends too early
{"text": "~", "d": "e"~
{"text": "~", "d": "e"} {}~byte 
{"text": "~", "d": "e"}}~byte 
{"text": "~", "d": "e",}~byte 
{"text": "~", "d": "e", "d": "f"}~byte 
{"text": "~", "d": "e", "z": [1, 2.]}~byte 
{"text": "~", "d": "e", "z": 1e+}~byte 
{"text": "~", "d": "e", "z": 099999999999999999999}~byte 
{"text": "~", "d": 99999999999999999999}~key 'd': not a string
{"text": "~", "d": "e", "z": nul}~byte 
{"text": "~\\ud800", "d": "e"}~byte 
{"text": "~\\q", "d": "e"}~byte 
{"text": "~\xc3", "d": "e"}~byte 
{"text": "~\001", "d": "e"}~byte 
{"text": "~", "d": "e", "a\\u0000": 1}~byte 
{"text": "~", "d": 1}~key 'd': not a string
{"text": "~", "d": "a\\u0000"}~key 'd': not a string without NUL
{"text": "~"}~key 'd': missing
{"texts": "~", "d": "e"}~key 'text': missing
{"text": null, "y": "~", "d": "e"}~key 'text': not a string
["~"]~not a JSON object
"~"~
END
}

@test "tokenize: folders are walked in byte order of their paths, hidden files left out" {
    mkdir -p 'd/a' d/a-b d/.hidden d/B/deep
    printf 1 >d/B/deep/x
    printf 2 >d/a-b/x
    printf 3 >d/a/x
    printf 4 >d/a/y.txt
    printf 5 >d/b
    printf 9 >d/.hidden/x
    printf 9 >d/a/.x
    ln -s ../b d/a/z # a link counts as what it points to
    back d | assert_same - <(printf '1|2|3|4|5|5|')
    (cd d && find . -type f -o -type l | grep -v '/\.[^/]' | LC_ALL=C sort | xargs cat) >order
    back d | tr -d '|' | assert_same - order
    ln -s nowhere d/dangling
    run tokenize -t "$tokenizer" --length 8 d -o out.tok
    assert_exit 1
    assert_line "d/dangling: "
    rm d/dangling
    ln -s .. d/a/loop
    run tokenize -t "$tokenizer" --length 8 d -o out.tok
    assert_exit 3
    assert_line "loop: "
}

@test "tokenize: domains come from folders, files, JSON or --domain" {
    mkdir -p texts/law/deep texts/math
    printf 'x' >texts/law/deep/a.txt
    printf 'x' >texts/law/b.v2.txt
    printf 'x' >texts/math/c
    printf 'x' >texts/top
    assert_equal "$(domains texts)" "default default default default "
    assert_equal "$(domains --domain mine texts)" "mine mine mine mine "
    assert_equal "$(domains --domain-from dir texts)" "law law math texts "
    assert_equal "$(domains --domain-from dir texts/)" "law law math texts "
    assert_equal "$(domains --domain-from file texts)" "b a c top "
    assert_equal "$(domains --domain-from dir texts/law/b.v2.txt texts/math/c)" "law math "
    assert_equal "$(cd texts && domains --domain-from dir .)" "law law math texts "
    assert_equal "$(cd texts/math && domains --domain-from dir c)" "math "
    printf '{"text": "x", "source": "web"}\n{"text": "y", "source": "book"}\n' >a.jsonl
    assert_equal "$(domains --domain-field source a.jsonl)" "web book "
    printf '{"text": "x"}\n' >b.jsonl
    run tokenize -t "$tokenizer" --length 8 --domain-field source b.jsonl -o out.tok
    assert_exit 3
    assert_line "b.jsonl: line 1: key 'source': missing"
}

@test "tokenize: names of inputs come from a list, by lines or by NULs, behind the operands" {
    mkdir -p d/sub
    printf 1 >d/a
    printf 2 >d/sub/b
    printf 3 >'c c'
    printf 4 >$'e\nf'
    printf 'c c\n\nd' >list
    back --files-from list | assert_same - <(printf '3|1|2|')
    back --files-from - d/a <list | assert_same - <(printf '1|3|1|2|')
    printf 'e\nf\0d/sub\0' >nulls
    back --files-from nulls --null | assert_same - <(printf '4|2|')
    find d -type f -print0 | sort -z | back --files-from - -0 | assert_same - <(printf '1|2|')
    assert_equal "$(domains --domain-from dir --files-from list)" "$(basename "$PWD") d sub "
    printf 'd/a\nmissing\n' >list
    run tokenize -t "$tokenizer" --length 8 --files-from list -o out.tok
    assert_exit 1
    assert_line "tokenize: list: missing: cannot open: "
    : >empty
    run tokenize -t "$tokenizer" --length 8 --files-from empty -o out.tok
    assert_exit 3
    assert_line "tokenize: empty: names no file"
    printf 'c c\0d\0' >nulls
    run tokenize -t "$tokenizer" --length 8 --files-from nulls -o out.tok
    assert_exit 3
    assert_line "use --null"
    run tokenize -t "$tokenizer" --length 8 --files-from - - -o out.tok
    assert_exit 2
    assert_absent out.tok
}

@test "tokenize: the text of several fields, some of which may be absent" {
    cat >a.jsonl <<'END'
{"title": "T", "text": "one", "meta": {"source": "web", "n": [1, 2.5e3, {"text": 3}]}}
{"text": "two", "meta": {"source": "b\u00f6ok"}}
{"meta": {"source": "web"}, "text": "thr\"ee", "title": null}
{"text": "", "title": "\u00dc\ud83d\ude00", "meta": {"source": "web"}}
END
    back --field 'title?,text' a.jsonl | assert_same - <(printf 'T\none|two|thr"ee|\xc3\x9c\xf0\x9f\x98\x80\n|')
    back --field 'text,title?' --join '\t- ' a.jsonl | assert_same - <(printf 'one\t- T|two|thr"ee|\t- \xc3\x9c\xf0\x9f\x98\x80|')
    back --field 'title?' a.jsonl | assert_same - <(printf 'T|\xc3\x9c\xf0\x9f\x98\x80|')
    assert_equal "$(domains --domain-field meta.source a.jsonl)" "web böok web "
    back --field meta.source a.jsonl | assert_same - <(printf 'web|b\xc3\xb6ok|web|web|')
    run tokenize -t "$tokenizer" --length 8 --field title,text a.jsonl -o out.tok
    assert_exit 3
    assert_line "tokenize: a.jsonl: line 2: key 'title': missing"
    run tokenize -t "$tokenizer" --length 8 --field 'title,' a.jsonl -o out.tok
    assert_exit 2
    run tokenize -t "$tokenizer" --length 8 --domain-field meta.n a.jsonl -o out.tok
    assert_exit 3
    assert_line "a.jsonl: line 1: key 'meta.n': not a string"
}

@test "tokenize: an input that is not there exits 1 by name" {
    printf 'x' >text
    run tokenize -t "$tokenizer" --length 8 text missing -o out.tok
    assert_exit 1
    assert_line "tokenize: missing: "
    assert_absent out.tok
}

@test "tokenize: memory does not grow with a file of many documents" {
    case $build in *-asan) skip "the sanitizer takes memory of its own" ;; esac
    awk 'BEGIN { for (i = 0; i < 900000; i++) print i, "the river carries the sand and the sand carries the river" }' >text
    [ "$(stat -c %s text)" -gt 50000000 ]
    # 48 MiB of data for a text of 57 MB.
    bash -c "ulimit -d 49152; tokenize -q -t '$tokenizer' --length 512 --documents line text -o out.tok"
}
