# tokenize: OLMoE's filters and duplicates. Which documents are dropped is said by an awk of few lines, from the definition.

load helpers

tokenizer=$golden/tokenizer/tokenizer.json

# The lines that are left, one document each.
left() {
    tokenize -q -t "$tokenizer" --ragged --documents line "$@" | tokenize -t "$tokenizer" --decode --separator '\n'
}

@test "filter: repeats drops 32 and more n-grams of 1 to 13 tokens in a row, and nothing else" {
    # Tokens by hand: a byte vocabulary has one a byte.
    printf 'x' | tokenize -q --learn --vocab-size 257 -o bytes.json -
    awk 'BEGIN {
        letters = "abcdefghijklmnopqrstuvwxyz"
        for (n = 1; n <= 15; n++)
            for (times = 30; times <= 34; times++)
                for (more = 0; more < n; more += n > 1 ? n - 1 : 1) {
                    line = "-" (n % 2 ? "+" : "")
                    for (i = 0; i < times; i++) line = line substr(letters, 1, n)
                    print line substr(letters, 1, more) "=" n
                }
    }' > text
    awk '{
        dropped = 0
        for (n = 1; n <= 13; n++) {
            run = 0
            for (i = n + 1; i <= length($0); i++) {
                run = substr($0, i, 1) == substr($0, i - n, 1) ? run + 1 : 0
                if (run >= 31 * n) dropped = 1
            }
        }
        if (!dropped) print
    }' text > expected
    [ "$(wc -l < expected)" -gt 30 ] && [ "$(wc -l < expected)" -lt "$(wc -l < text)" ]
    tokenize -q -t bytes.json --ragged --documents line --filter repeats text |
        tokenize -t bytes.json --decode --separator '\n' | assert_same - expected
    run tokenize -t bytes.json --length 8 --documents line --filter repeats text -o /dev/null
    assert_line "$(($(wc -l < text) - $(wc -l < expected))) documents were left out by the filter repeats"
}

@test "filter: repeats across the pieces of a long document" {
    awk 'BEGIN { for (i = 0; i < 200000; i++) printf "%d ", i }' > base # longer than a piece
    size=$(stat -c %s base)
    [ "$size" -gt 1000000 ]
    # A run of 40 "ab,", also where the first piece is cut: the reads of 16K to 256K end at byte 507904.
    repeats=$(printf 'ab,%.0s' $(seq 40))
    printf 'x' | tokenize -q --learn --vocab-size 257 -o bytes.json -
    for at in 0 507780 507800 507850 507880 507900 $((size - 1)); do
        { head -c $at base; printf %s "$repeats"; tail -c +$((at + 1)) base; } > doc
        run_separate tokenize -t bytes.json --length 64 --filter repeats doc -o out.tok
            [[ $errors == *"1 documents were left out by the filter repeats"* ]]
    done
    tokenize -t bytes.json --length 64 --filter repeats base -o out.tok 2>&1 | grep -q "^tokenize: 0 documents were left out by"
}

@test "filter: code-frequency drops documents by their most frequent words" {
    cat > text <<'END'
a a a b c d e f g h
a a a a b c d e f g
a a a b b b c d e f
a a a b b c d e f g
one
one two
x y x y z z w
a a b b c c d d e e
END
    for i in 1 2 3 4 5; do awk -v seed=$i 'BEGIN { srand(seed)
        for (l = 0; l < 300; l++) { n = 3 + int(rand() * 60); k = 1 + int(rand() * 6); line = ""
            for (i = 0; i < n; i++) line = line (rand() < .1 ? "\t" : " ") "w" int(rand() * rand() * 8 * k)
            print line } }'; done >> text
    awk '{
        split("", count); first = second = 0
        for (i = 1; i <= NF; i++) count[$i]++
        for (w in count) if (count[w] > first) { second = first; first = count[w] } else if (count[w] > second) second = count[w]
        if (!(10 * first > 3 * NF || 2 * (first + second) > NF)) print
    }' text > expected
    [ "$(wc -l < expected)" -gt 100 ] && [ "$(wc -l < expected)" -lt 1400 ]
    left --filter code-frequency text | assert_same - expected
}

@test "filter: code-frequency of a document in pieces; of one domain alone" {
    mkdir -p t/code t/prose
    awk 'BEGIN { for (i = 0; i < 300000; i++) printf "%s ", i % 10 < 3 ? "if" : i }' > t/code/few
    { cat t/code/few; echo "if"; } > t/code/many
    cp t/code/many t/prose/many
    run tokenize -t "$tokenizer" --length 64 --domain-from dir --filter code-frequency:code t -o out.tok
    assert_exit 0
    assert_line "2 documents, "
    assert_line "1 documents were left out by the filter code-frequency"
    run tokenize -t "$tokenizer" --length 64 --filter code-frequency t -o out.tok
    assert_line "2 documents were left out by the filter code-frequency"
}

@test "dedup: the first of equal documents stays, wherever the others are" {
    for i in $(seq 3000); do echo "the river carries $((i * i % 997)) sands"; done > text
    awk '!seen[$0]++' text > expected
    for n in 1 4; do
        left --threads $n --dedup exact text | assert_same - expected
        { head -n 500 text | gzip -c; } > a.gz
        left --threads $n --dedup exact a.gz text --filter repeats | assert_same - expected
    done
    run tokenize -t "$tokenizer" --length 8 --documents line --dedup exact text -o out.tok
    assert_line "$((3000 - $(wc -l < expected))) documents were left out for their text was there before"
    # as one long document, too
    for i in $(seq 40); do cat text; done > long
    run tokenize -t "$tokenizer" --length 8 --dedup exact long text long -o out.tok
    assert_line "2 documents, "
    assert_line "1 documents were left out for their text was there before"
}

@test "filter: a domain that no document has is told" {
    mkdir -p t/code t/prose
    echo "the river" >t/code/a
    awk 'BEGIN { for (i = 0; i < 300000; i++) printf "%s ", i }' >t/prose/long
    for job in '--length 64 -o out.tok' --stats; do
        run_separate tokenize -t "$tokenizer" --domain-from dir $job --filter repeats:Code --filter code-frequency:prose t
        assert_exit 0
        [[ $errors == *"tokenize: --filter repeats:Code: no document is of this domain"* ]]
        [[ $errors != *"--filter code-frequency"* ]]
        run_separate tokenize -t "$tokenizer" --domain-from dir $job --filter repeats:code --filter code-frequency:text t
        [[ $errors != *"--filter repeats"* ]]
        [[ $errors == *"tokenize: --filter code-frequency:text: no document is of this domain"* ]]
    done
    # Dropped documents are of a domain, too.
    run_separate tokenize -t "$tokenizer" --domain-from dir --length 8 --filter code-frequency:code -o out.tok t/code
    [[ $errors == *"1 documents were left out by the filter code-frequency"* && $errors != *"--filter"* ]]
}

@test "filter: wrong names exit 2" {
    run tokenize -t "$tokenizer" --length 8 --filter nonsense -o out.tok
    assert_exit 2
    assert_line "--filter 'nonsense': not repeats or code-frequency"
    run tokenize -t "$tokenizer" --length 8 --filter repeats --filter repeats:x -o out.tok
    assert_exit 2
    run tokenize -t "$tokenizer" --length 8 --filter repeats: -o out.tok
    assert_exit 2
    assert_line "tokenize: --filter 'repeats:': domain name of 0 bytes"
    assert_absent out.tok
}
