# What a tool says about itself: --help, the manual and the completion are one, and their examples run.
load helpers
load train_helpers

pages="assign mix ppl route shard tokenize train view"

# The source of a page as it is installed.
page() {
    awk -f "$root/build-aux/man-page" -v version=x "$root/man/common.man" "$root/man/$1"
}

# Roff lines as the text that they print: fonts dropped, the arguments of .BR and its like joined.
plain() {
    awk '{
        alternates = $1 ~ /^\.(BI|BR|IB|IR|RB|RI)$/
        sub(/^\.[A-Z]+ /, "")
        gsub(/\\f./, ""); gsub(/\\-/, "-"); gsub(/\\&/, ""); gsub(/\\e/, "\\")
        if (alternates && !/"/) gsub(/ /, "")
        gsub(/"/, "")
        print
    }'
}

# name, letter, argument, default and choices of every option of a page, as --help-options prints them
page_options() {
    page "tacit-$1.1" | sed -n '/^\.SH OPTIONS/,/^\.SH EXIT/p' | awk '
        /^\.TP/ { getline tag; print ".TP"; print tag; next } { print }' | plain | awk '
        function finish() {
            if (name == "") return
            value = choices = ""
            if (match(text, /he default is [^ ]+\.( |$)/)) {
                value = substr(text, RSTART + 14, RLENGTH - 14)
                sub(/\. ?$/, "", value)
            }
            if (match(text, / is one of [^.:]+[.:]/)) {
                choices = substr(text, RSTART + 11, RLENGTH - 12)
                gsub(/, /, " ", choices)
            }
            printf "%s\t%s\t%s\t%s\t%s\n", name, letter, argument, value, choices
            name = text = ""
        }
        tag && /^(-., )?--/ {
            finish()
            letter = /^-[^-]/ ? substr($0, 2, 1) : ""
            sub(/^-., /, "")
            name = substr($1, 3)
            argument = $2
            tag = 0
            next
        }
        { tag = $0 == ".TP"; if (!tag) text = text $0 " " }
        END { finish() }'
}

@test "manual: every option of --help with its letter, argument, default and choices, and no other" {
    local tool
    for tool in $pages; do
        diff <(page_options "$tool" | sort) <("$tool" --help-options | cut -f 1-5 | sort) >&2
    done
    assert_equal "$(echo $pages)" "$(ls "$root/tools" | xargs)"
}

@test "manual: purpose and synopsis are those of --help" {
    local tool
    for tool in $pages; do
        assert_equal "$(page "tacit-$tool.1" | sed -n '/^\.SH NAME/{n;p}' | plain)" "tacit-$("$tool" --help | head -1)"
        diff <(page "tacit-$tool.1" | sed -n '/^\.SH SYNOPSIS/,/^\.SH DESC/p' | sed '1d;$d' | plain |
            awk '{ line = line (line == "" ? "" : " ") $0 } /^\.br$/ { sub(/ ?\.br$/, "", line); print line; line = "" }
                 END { print line }') \
            <("$tool" --help | sed -n '/^Usage:/,/^$/p' | sed -n 's/^\(Usage:\|      \) /tacit-/p') >&2
    done
}

@test "manual: pages are whole: formatted without a warning, neighbours that exist, formats as documented" {
    command -v man > /dev/null || skip "man is not installed"
    env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s -C "$root" BUILD="$T/build" man
    local file neighbour
    for file in "$T"/build/man/*; do
        assert_equal "$(man -l --warnings -E UTF-8 -Tutf8 "$file" 2>&1 > /dev/null)" ""
        for neighbour in $(sed -n '/^\.SH SEE ALSO/,$p' "$file" | grep -oE 'tacit[a-z\\-]* \([0-9]\)' | sed 's/ (\(.\))/.\1/; s/\\//'); do
            [ -e "$T/build/man/$neighbour" ] || { echo "${file##*/}: no page $neighbour" >&2; return 1; }
        done
    done
    # every word of docs/formats.md
    MANWIDTH=20000 man -l --no-hyphenation --no-justification -Tutf8 "$T/build/man/tacit-formats.5" | col -bx | tr -d '|`*#' |
        tr -s ' -' '\n' | sort | uniq > page.words
    sed '/^#/d; s/^ *[0-9]*\. //' "$root/docs/formats.md" | tr -d '|`*#' | tr -s ' -' '\n' | sort | uniq > text.words
    assert_equal "$(comm -13 page.words text.words)" ""
}

# ---- completion ----

# complete WORD...: what bash offers for the last word
offers() {
    bash -c '
        source "$1"
        shift
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
        compopt() { :; }
        _tacit
        printf "%s\n" "${COMPREPLY[@]}"' - "$root/completion/tacit.bash" "$@" | sort | sed '/^$/d'
}

@test "completion: every option and every choice of every tool, under both names" {
    mkdir installed
    local tool name letter argument choices
    for tool in $pages; do
        ln -s "$bin/$tool" "installed/tacit-$tool"
        assert_equal "$(offers "$bin/$tool" --)" "$("$tool" --help | grep -oE '^ {2,6}(-., )?--[a-z0-9-]+' | grep -oE -- '--[a-z0-9-]+' | sort)"
        assert_equal "$(offers "$T/installed/tacit-$tool" --)" "$(offers "$tool" --)"
        while IFS=$'\x1f' read -r name letter argument _ choices _; do
            [ -n "$choices" ] || continue
            assert_equal "$(offers "$tool" "--$name" "" | xargs)" "$(tr ' ' '\n' <<<"$choices" | sort | xargs)"
            assert_equal "$(offers "$tool" "--$name" = "" | xargs)" "$(tr ' ' '\n' <<<"$choices" | sort | xargs)"
        done < <("$tool" --help-options | tr '\t' '\037')
    done
    assert_equal "$(offers train --device c | xargs)" "cpu cuda"
    assert_equal "$(offers route --prefix "")" context
    assert_equal "$(offers assign --met)" --method
}

@test "completion: files of the right kind, in folders too" {
    touch a.tok b.tok a.scr a.asg a.lp model.json text.txt
    mkdir "my folder"
    touch "my folder/c.tok"
    assert_equal "$(offers train "" | tr '\n' '|')" "a.tok|b.tok|my folder|"
    assert_equal "$(offers train "my folder/")" "my folder/c.tok"
    assert_equal "$(offers train --model m | tr '\n' '|')" "model.json|my folder|"
    assert_equal "$(offers route -m "")" "my folder"
    assert_equal "$(offers train --assignment a)" a.asg
    assert_equal "$(offers assign a)" a.scr
    assert_equal "$(offers assign --method label a | xargs)" "a.asg a.lp a.scr a.tok"
    assert_equal "$(offers ppl --baseline a)" a.lp
    assert_equal "$(offers mix --rule bayes a)" a.lp
    assert_equal "$(offers tokenize t)" text.txt
    assert_equal "$(offers tokenize --decode a)" a.tok
    assert_equal "$(offers view a | xargs)" "a.asg a.lp a.scr a.tok"
    assert_equal "$(offers shard -o t)" text.txt
}

@test "completion: a program that only has a tool's name is not run" {
    mkdir other
    printf '#!/bin/sh\ntouch ran\n' > other/view
    chmod +x other/view
    assert_equal "$(offers "$T/other/view" --)" ""
    assert_absent ran
    run bash -c "complete() { echo \"\$@\"; }; cp '$root/completion/tacit.bash' .; source ./tacit.bash"
    assert_no_line " view"
    assert_line "tacit-view"
}

# ---- examples ----

# examples FILE: the commands of a page
examples() {
    awk '/^\.SH / { on = $2 ~ /^EXAMPLE/ } on && /^\.EE/ { show = 0 } show { print } on && /^\.EX/ { show = 1 }' |
        sed 's/\\-/-/g; s/\\e/\\/g'
}

@test "manual: the examples run, that of tacit(7) first and those of the tools on what it left" {
    mkdir installed
    local tool kind
    for tool in $pages; do ln -s "$bin/$tool" "installed/tacit-$tool"; done
    export PATH="$T/installed:$PATH"
    mkdir work && cd work
    for kind in sums brackets hex; do
        mkdir -p text/$kind
        for i in $(seq 10 99); do
            awk -v kind=$kind -v seed=$i -v documents=2 -f "$root/test/corpus.awk" > text/$kind/$i
        done
    done
    local p
    for p in tacit.7 $(printf 'tacit-%s.1 ' $pages); do
        page "$p" | examples > commands
        [ -s commands ]
        bash -eo pipefail commands > out 2>&1 || { echo "$p" >&2; cat out >&2; return 1; }
    done
}

@test "help: the examples run" {
    config > config.json
    mkstream tokens n=8192 length=8 vocab=64 o=corpus.tok
    mkstream assignment n=8192 length=8 vocab=64 experts=2 o=1.asg
    mkstream tokens n=60 length=8 vocab=64 o=test.tok
    mkstream assignment n=60 length=8 vocab=64 experts=2 o=test.asg
    cp test.tok chunk.tok
    local i
    for i in 0 1 2; do mkstream logprobs n=60 model=$i o=e$i.lp; done
    mkstream logprobs n=60 model=5 o=dense.lp
    train -q --model config.json --steps 2 --batch 8 -o router.0 corpus.tok
    cp -r router.0 router.1
    cp -r router.0 expert.1
    cp config.json router.json
    mkstream assignment n=8192 length=8 vocab=64 experts=32 o=0.asg
    mkdir -p routers texts/a
    cp -r router.0 routers/0
    cp -r router.0 routers/1
    echo "the river carries the sand" > texts/a/b
    cp "$golden/tokenizer/tokenizer.json" .
    local tool
    for tool in $pages; do
        "$tool" --help | sed -n '/^Example:/,/^See also/p' | sed '1d;$d;s/^  //' > commands
        [ -s commands ]
        bash -eo pipefail commands > out 2>&1 || { echo "$tool" >&2; cat out >&2; return 1; }
    done
}
