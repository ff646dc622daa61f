# The corpus stage: converters, sampling, and fetch itself against packages made here. No network.

load helpers

corpus=$root/pipelines/corpus

# package NAME VERSION TREE: NAME_VERSION_all.deb in pool/ from a folder
package() {
    mkdir -p "$3/DEBIAN" pool
    printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: t <t@example.org>\nDescription: t\n' \
        "$1" "$2" > "$3/DEBIAN/control"
    dpkg-deb --root-owner-group -Zgzip --build "$3" "pool/$1_${2//:/%3a}_all.deb" > /dev/null
}

# apt-get and apt-cache that know what lies in pool/ and count the downloads
fake_apt() {
    mkdir -p fake
    cat > fake/apt-cache <<'END'
#!/bin/bash
case " $* " in
*" pkgnames "*) for f in "$POOL"/*.deb; do dpkg-deb -f "$f" Package; done ;;
*) for f in "$POOL"/*.deb; do
        case " $* " in *" $(dpkg-deb -f "$f" Package) "*) ;; *) continue ;; esac
        dpkg-deb -f "$f" Package Version
        echo "SHA256: $(sha256sum < "$f" | cut -d ' ' -f 1)"
        echo
    done ;;
esac
END
    cat > fake/apt-get <<'END'
#!/bin/bash
case " $* " in *" update "*) exit 0 ;; esac
for word in "$@"; do
    case $word in
    *::*) ;;
    *=*) file=${word%%=*}_${word#*=}
        echo "$word" >> "$POOL/downloads"
        cp "$POOL/${file//:/%3a}_all.deb" . ;;
    esac
done
END
    chmod +x fake/*
    export POOL=$T/pool PATH="$T/fake:$PATH"
}

# prose_package VERSION: an "anarchism" of 40 pages that are all different
prose_package() {
    local i
    mkdir -p tree/usr/share/doc/anarchism/html
    for i in $(seq 40); do
        printf '<html><head><title>x</title></head><body><h1>Page %d</h1><p>%s</p></body></html>' "$i" \
            "$(seq -f "sentence $i.%g of a page that nobody else has;" 20 | paste -sd ' ' -)" \
            > "tree/usr/share/doc/anarchism/html/page$i.html"
    done
    package anarchism "$1" tree
}

@test "roff-to-text: fonts, paragraphs, links, strings and special characters" {
    cat > page.1 <<'END'
'\" t
.\" a comment
.TH FOO 1 "2022" "x"
.de XX
never seen
..
.SH NAME
foo \- do \fBbold\fP and \fIitalic\fR things
.SH "SEE ALSO"
.TP
\fB\-\-all\fP, \f[I]N\f[R]
Takes \(lqquotes\(rq, \(aq, \[u00E9], \e and \*(lqstrings\*(rq.
.PP
.BR bar (1),
.BI "int f(" x ", " y );
.UR https://example.org/
Example
.UE .
.if t .B not in a terminal
.ie n in a terminal
.el elsewhere
\&.dot at the start
END
    "$corpus/roff-to-text" page.1 | tr '\0' '@' > got
    cat > expected <<'END'
FOO(1)

NAME
foo - do bold and italic things

SEE ALSO

--all, N
Takes “quotes”, ', é, \ and “strings”.

bar(1),
int f(x, y);
Example
<https://example.org/>.
in a terminal
.dot at the start
END
    printf '@' >> expected
    diff -u expected got
}

@test "roff-to-text: tables, conditional blocks and mdoc; a page that includes another gives nothing" {
    printf '.if t \\{\n.B no\n.\\}\n.TS\nbox;\nl l.\na\tT{\nb b\nT}\n_\nT{\nlong\nT}\tc\n.TE\nend\n' > table.1
    [ "$("$corpus/roff-to-text" table.1 | tr '\0' '@')" = "$(printf 'a\tb b\nlong\tc\nend\n@')" ]
    printf '.Dt FOO 8\n.Sh NAME\n.Nm foo\n.Nd a thing\n.Op Fl a Ar file\n.Xr bar 1 ,\n' > mdoc.8
    "$corpus/roff-to-text" mdoc.8 | tr '\0' '@' > got
    [ "$(cat got)" = "$(printf 'FOO(8)\n\nNAME\nfoo\n- a thing\n[-a file]\nbar(1),\n@')" ]
    printf '.\\" x\n.so man1/foo.1\n' > link.1
    [ -z "$("$corpus/roff-to-text" link.1 | tr '\0' '@')" ]
}

@test "roff-to-text: a page compressed with gzip reads like the page itself" {
    printf '.SH N\ntext\n' | gzip > page.1.gz
    [ "$("$corpus/roff-to-text" page.1.gz | tr '\0' '@')" = "$(printf 'N\ntext\n@')" ]
    run "$corpus/roff-to-text" absent.1
    assert_exit 1
    assert_line "roff-to-text: absent.1: no such file"
}

@test "html-to-text: text without furniture, entities decoded, tables and pre kept" {
    cat > page.html <<'END'
<!DOCTYPE html><html><head><title>no</title><style>p {}</style></head><body>
<!-- no > comment --><nav><div>no</div></nav><header>no</header>
<h1 title="a > b">Caf&eacute; &amp; th&#233;&#x21;</h1>
<p>one
   line <b>of</b>&nbsp;text<br>next <span class="MAC">Cmd</span><span>Ctrl</span></p>
<ul><li>first</li><li>second</li></ul>
<table><tr><th>k</th><th><p>v</p></th></tr><tr><td>a</td><td><p>b</p><p>c</p></td></tr></table>
<pre>  x &lt; y
    z</pre><script>if (a < b) no();</script><footer>no</footer></body></html>
END
    "$corpus/html-to-text" page.html | tr '\0' '@' > got
    cat > expected <<'END'
Café & thé!

one line of text
next Ctrl

first
second

k	v
a	b c

  x < y
    z
END
    printf '@' >> expected
    diff -u expected got
}

@test "html-to-text: --split starts a document at a heading, and checks its level" {
    printf '<h1>A</h1><p>a</p><h2>B</h2><p>b</p><h3>C</h3>c' > page.html
    "$corpus/html-to-text" --split 2 page.html | tr '\0' '@' > got
    [ "$(cat got)" = "$(printf 'A\n\na\n@B\n\nb\n\nC\n\nc\n@')" ]
    run "$corpus/html-to-text" --split 7 page.html
    assert_exit 2
}

@test "split-records: every kind cuts at its own boundary" {
    printf 'a\nb\n\n \nc\n' | "$corpus/split-records" blank | tr '\0' '@' > got
    [ "$(cat got)" = "$(printf 'a\nb@c\n@')" ]
    printf 'ID x\n//\nID y\n//\n' | "$corpus/split-records" slashes | tr '\0' '@' > got
    [ "$(cat got)" = "$(printf 'ID x\n//\n@ID y\n//\n@')" ]
    printf 'Head one\n   body\n\n   more\n\nHead two\n   body\n' | "$corpus/split-records" dictd |
        tr '\0' '@' > got
    [ "$(cat got)" = "$(printf 'Head one\n   body\n\n   more@Head two\n   body\n@')" ]
    printf '$( a\n\n b $)\nt $a x $.\n\n${\n  e $e y $.\n\n  u $p z $= q $.\n$}\n\nv $a w $.\n' |
        "$corpus/split-records" metamath | tr '\0' '@' > got
    [ "$(tr -cd '@' < got | wc -c)" -eq 3 ]
    printf '2020-01-02  A  <a@b>\n\n\t* x: y.\n\n2020-01-01  B  <a@b>\n\n\t* z.\n' |
        "$corpus/split-records" changelog | tr '\0' '%' > got
    [ "$(tr -cd '%' < got | wc -c)" -eq 2 ]
    run "$corpus/split-records" sideways
    assert_exit 2
}

@test "select-documents: cleans, separates by one NUL, drops copies, malformed text and repeated blocks" {
    licence='This licence text stands at the head of every file in the source and is long enough.'
    body() { printf 'the body of document %s, which differs from the body of every document here' "$1"; }
    {
        printf '%s\n\n%s\r\n\0' "$licence" "$(body one) one"
        printf '%s\n\n%s two\001\033 and more\n\0' "$licence" "$(body two)"
        printf '%s\n\0%s\n\n\n\n\0' "$(body three)" "$(body three)"
        printf 'malformed \377 %s\n\0tiny\n\0' "$(body four)"
    } > in
    "$corpus/select-documents" --report report < in > out
    [ "$(tr -cd '\0' < out | wc -c)" -eq 2 ]
    [ "$(grep -ac 'This licence' out)" -eq 1 ]
    [ "$(grep -ac 'three' out)" -eq 1 ]
    [ "$(grep -ac 'here two and more$' out)" -eq 1 ]
    if grep -qa 'four\|tiny' out; then false; fi
    if LC_ALL=C grep -qaP '[\x01-\x08\x0b-\x1f\x7f]' out; then false; fi
    grep -q '"documents": 3, .*"whole_source": true' report
    grep -q '"duplicate_documents": 1, "malformed_documents": 1' report
}

@test "select-documents: a sample is bounded, spread, and depends on seed and text only" {
    seq -f 'record %g of the source, with words enough to be a document' 1000 | tr '\n' '\0' > in
    "$corpus/select-documents" --bytes 6000 < in > a
    perl -0ne 'push @d, $_; END { print reverse @d }' in | "$corpus/select-documents" --bytes 6000 > b
    cmp a b
    [ "$(stat -c %s a)" -le 6000 ]
    [ "$(stat -c %s a)" -gt 5800 ]
    # about half of the sample comes from each half of the source
    low=$(tr '\0' '\n' < a | awk '$1 == "record" && $2 <= 500' | wc -l)
    all=$(tr '\0' '\n' < a | grep -c '^record')
    [ $((low * 4)) -gt "$all" ] && [ $((low * 4)) -lt $((3 * all)) ]
    "$corpus/select-documents" --bytes 6000 --seed 2 < in > c
    if cmp -s a c; then false; fi
}

@test "select-documents: a long document is cut at blank lines, an untranslated one left out" {
    seq -f 'paragraph %g of a very long document that never seems to end' 3000 | sed G > in
    printf '\0' >> in
    "$corpus/select-documents" < in > out
    parts=$(($(tr -cd '\0' < out | wc -c) + 1))
    [ "$parts" -eq 3 ]
    perl -0ne 'chomp; exit 1 if length > 65536 || !/^paragraph/ || !/end\n\z/' out
    printf 'Это русский документ, в котором достаточно слов, чтобы остаться.\n\0%s\n\0' \
        'This one was never translated and does not belong to the domain.' |
        "$corpus/select-documents" --foreign 30 > out
    grep -q русский out
    if grep -q translated out; then false; fi
}

@test "fetch: usage errors are exit 2, name the choices and create nothing" {
    run "$corpus/fetch" --domains german,klingon out
    assert_exit 2
    assert_line "fetch: klingon: unknown domain, one of: german french"
    run "$corpus/fetch" --megabytes 1.5 out
    assert_exit 2
    run "$corpus/fetch" --domains , out
    assert_exit 2
    run "$corpus/fetch" --fast out
    assert_exit 2
    run "$corpus/fetch"
    assert_exit 2
    [ ! -e out ]
    run "$corpus/fetch" --list
    assert_exit 0
    [ "$(grep -c '^\*' <<< "$output")" -ge 8 ]
    [ "${#lines[@]}" -eq 19 ]
}

@test "fetch: packages to text, the record and its check; nothing is done twice" {
    fake_apt
    prose_package 1:2.0
    "$corpus/fetch" -q --domains prose out
    [ "$(tr -cd '\0' < out/prose/documents.txt | wc -c)" -eq 39 ]
    [ "$(wc -l < pool/downloads)" -eq 1 ]
    [ ! -e out/.fetch ]
    grep -q '"name": "anarchism", "version": "1:2.0", "sha256": "[0-9a-f]\{64\}"' out/corpus.json
    perl -MJSON::PP -0777 -ne '$d = decode_json($_)->{domains}[0]; print "$d->{name} $d->{text}{bytes}"' \
        out/corpus.json > got
    [ "$(cat got)" = "prose $(stat -c %s out/prose/documents.txt)" ]
    "$corpus/check" out
    "$corpus/fetch" -q --domains prose out
    [ "$(wc -l < pool/downloads)" -eq 1 ]
    cp out/prose/documents.txt first
    rm -rf out
    "$corpus/fetch" -q --domains prose out
    cmp first out/prose/documents.txt
}

@test "check: a changed or missing text is named, exit 3; no corpus is exit 1" {
    fake_apt
    prose_package 1.0
    "$corpus/fetch" -q --domains prose out
    printf 'x' >> out/prose/documents.txt
    run "$corpus/check" out
    assert_exit 3
    assert_line "out/prose/documents.txt: differs"
    rm out/prose/documents.txt
    run "$corpus/check" out
    assert_exit 3
    run "$corpus/check" .
    assert_exit 1
}

@test "fetch: goes on where it stopped, with the packages it already has" {
    fake_apt
    prose_package 1.0
    mkdir -p dict/usr/share/dictd
    printf 'Empty\n' > dict/usr/share/dictd/other
    package dict-gcide 1.0 dict
    run "$corpus/fetch" --domains prose,dictionary out
    assert_exit 1
    assert_line "fetch: dictionary: no document found"
    [ ! -e out/corpus.json ]
    rm -f pool/dict*
    for i in 1 2 3; do printf 'Word%d\n   A body that is long enough to be kept as an entry.\n\n' $i; done \
        > dict/usr/share/dictd/gcide.dict.dz
    package dict-gcide 1.1 dict
    touch -d '2001-01-01' out/prose/documents.txt
    "$corpus/fetch" -q --domains prose,dictionary out
    [ "$(sort pool/downloads | paste -sd ' ' -)" = "anarchism=1.0 dict-gcide=1.0 dict-gcide=1.1" ]
    [ "$(date -r out/prose/documents.txt +%Y)" = 2001 ]
    # another request leaves no folder of the last one behind
    "$corpus/fetch" -q --domains dictionary out
    [ ! -e out/prose ]
    "$corpus/check" out
}

@test "fetch: a package that cannot be had is named, and so is one with the wrong bytes" {
    fake_apt
    prose_package 1.0
    run "$corpus/fetch" --domains prose,metamath out
    assert_exit 1
    assert_line "no package in this machine's apt sources: metamath-databases"
    sed -i 's/cp .*/echo broken > "${file}_all.deb" ;;/' fake/apt-get
    run "$corpus/fetch" --domains prose out
    assert_exit 1
    assert_line "cannot download: anarchism=1.0"
    [ ! -e out/corpus.json ]
}
