# tokenize: the vocabularies that there are. Expected ids are those of the libraries they come from
# (golden/vocabularies/make.py).

load helpers

vocabularies=$golden/vocabularies
tokenizer=$golden/tokenizer/tokenizer.json
data=${TACIT_DATA:-$root/../shared/data}/vocab

# shape NAME: the tokenizer.json of shapes.json's NAME.
shape() {
    local base
    base=$(jq -r --arg name "$1" '.[$name].base // "tokenizer.json"' "$vocabularies/shapes.json")
    [ "$base" = characters.json ] && base=$vocabularies/$base || base=$tokenizer
    jq --arg name "$1" --slurpfile shapes "$vocabularies/shapes.json" '
        $shapes[0][$name] as $s | . + ($s.set // {}) | .model += ($s.model // {})
        | .model.vocab += ($s.vocab // {}) | .model.merges += ($s.merges // [])' "$base"
}

# The texts that make.py names, in this folder.
texts() {
    ln -sf "$golden/tokenizer/documents.txt" documents
    ln -sf "$vocabularies/texts.txt" texts
    perl -CO -e 'no warnings; my $n = 0;
        for my $c (0x20 .. 0x33ff, (map { 0x3400 + 16 * $_ } 0 .. (0x110000 - 0x3400) / 16 - 1), 0x1f000 .. 0x1fbff) {
            next if $c >= 0xd800 && $c < 0xe000;
            print "\0" if $n % 512 == 0 && $n > 0;
            my $x = chr $c; print "a${x}b $x $x$x\n"; $n++;
        }' >points
}

# check_ids NAME OPTION...: the ids of the three texts are NAME's in ids.txt.
check_ids() {
    local name=$1 text
    shift
    for text in documents texts points; do
        tokenize -q "$@" --ragged --no-eot --separator '\0' "$text" -o d.tok
        view --json d.tok | sed 's/.*"tokens":\[//; s/\].*//; s/,/ /g' | sha256sum >sum
        assert_equal "$name $text $(cut -d' ' -f1 sum)" \
            "$(grep "^$name $text " "$vocabularies/ids.txt")"
    done
}

@test "tokenize: ids are Hugging Face's under what the vocabularies in use ask for" {
    texts
    jq -r 'keys[]' "$vocabularies/shapes.json" >names
    while read -r name; do
        shape "$name" >shape.json
        check_ids "$name" -t shape.json
    done <names
}

@test "tokenize: ids are tiktoken's under a rank file and a pattern" {
    texts
    for pattern in gpt2 cl100k o200k; do
        check_ids "ranks.tiktoken:$pattern" -t "$vocabularies/ranks.tiktoken" --pattern "$pattern"
    done
}

@test "tokenize: ids are the libraries' under real vocabularies" {
    [ -d "$data" ] || skip "no vocabularies in $data (TACIT_DATA)"
    texts
    sed 's/ .*//' "$vocabularies/ids.txt" | sort -u | grep -E '\.(tiktoken|json|model)$' >names
    while read -r name; do
        [ ! -e "$data/$name" ] || check_ids "$name" -t "$data/$name"
    done <names
}

@test "tokenize: a rank file needs a pattern, by its name or given" {
    printf 'a b' >text
    run tokenize -t "$vocabularies/ranks.tiktoken" --length 8 text -o d.tok
    assert_exit 3
    assert_line "ranks.tiktoken: ranks of tiktoken do not say how text is split"
    run tokenize -t "$vocabularies/ranks.tiktoken" --pattern '\w+' --length 8 text -o d.tok
    assert_exit 3
    assert_line 'the pattern "\w+" is not supported'
    run tokenize -t "$tokenizer" --pattern gpt2 --length 8 text -o d.tok
    assert_exit 2
    cp "$vocabularies/ranks.tiktoken" cl100k_base.tiktoken
    run tokenize -t cl100k_base.tiktoken --length 8 text -o d.tok
    assert_exit 3
    assert_line "cl100k_base.tiktoken: line 503: the end after 502 ranks, where cl100k_base has 100256"
}

# bad_ranks COMMAND MESSAGE: the rank file that the command makes of ours is refused so.
bad_ranks() {
    bash -c "$1" <"$vocabularies/ranks.tiktoken" >bad.tiktoken
    run tokenize -t bad.tiktoken --pattern gpt2 --length 8 text -o d.tok
    assert_exit 3
    assert_line "tokenize: bad.tiktoken: $2"
    assert_absent d.tok
}

@test "tokenize: a rank file of another name goes through view and train with its pattern" {
    load train_helpers
    local ranks=$vocabularies/ranks.tiktoken
    for i in $(seq 40); do echo "the river carries $i"; done >text
    tokenize -q -t "$ranks" --pattern cl100k --no-eot --length 8 text -o a.tok
    assert_equal "$(view --text -t "$ranks" --pattern cl100k --json a.tok | jq -j .text)" "$(cat text)"
    run view --text -t "$ranks" --pattern gpt2 a.tok
    assert_exit 3
    assert_match "view: a.tok: vocabulary [0-9a-f]{32}, but that of $ranks is [0-9a-f]{32}"
    run view --pattern gpt2 a.tok
    assert_exit 2
    config "$(view --header a.tok | jq .vocab_size)" 8 >config.json
    train -q --model config.json --batch 2 --lr 1e-3 --steps 1 --tokenizer "$ranks" --pattern cl100k -o m a.tok
    tokenize -q -t m/tokenizer.json --no-eot --length 8 text -o b.tok
    assert_equal "$(view --json b.tok)" "$(view --json a.tok)"
    run train -q --model config.json --batch 2 --lr 1e-3 --steps 1 --tokenizer m/tokenizer.json --pattern cl100k -o x a.tok
    assert_exit 2
    run train -q --model config.json --batch 2 --lr 1e-3 --steps 1 --pattern cl100k -o x a.tok
    assert_exit 2
    assert_equal "$output" "train: --pattern: only with --tokenizer"
}

@test "tokenize: a rank file may be called by its release's name, and has special tokens then" {
    [ -d "$data" ] || skip "no vocabularies in $data (TACIT_DATA)"
    printf 'the river' >text
    ln -s "$data/r50k_base.tiktoken" mine
    tokenize -q -t "$data/r50k_base.tiktoken" --length 8 text -o expected.tok
    tokenize -q -t mine --pattern r50k_base --length 8 text | assert_same - expected.tok
    run tokenize -t mine --pattern gpt2 --length 8 text -o x.tok
    assert_exit 3
    assert_line "or use --no-eot"
    run tokenize -t mine --pattern cl100k_base --length 8 text -o x.tok
    assert_exit 3
}

@test "tokenize: a broken rank file exits 3 with the line" {
    printf 'a b' >text
    bad_ranks "sed '5s/ .*/ 999999999999/'" 'line 5: "999999999999" is not a rank'
    bad_ranks "sed '5s/ .*/ 4294967295/'" 'line 5: "4294967295" is not a rank'
    bad_ranks "sed '5s/ .*/ 04/'" 'line 5: "04" is not a rank'
    bad_ranks "sed '5s/ .*/ -4/'" 'line 5: "-4" is not a rank'
    bad_ranks "sed '5s/ .*/ 4x/'" 'line 5: "4x" is not a rank'
    bad_ranks "sed '5s/ .*/ 1000000000/'" 'line 5: rank 1000000000 where 4 is next'
    bad_ranks "sed '5s/ .*/ 3/'" 'line 5: rank 3 where 4 is next'
    bad_ranks "sed 5d" 'line 5: rank 5 where 4 is next'
    bad_ranks "sed '5s/ .*//'" 'line 5: not a token in base64, a space and its rank'
    bad_ranks "sed '5s/^/\n/'" 'line 5: not a token in base64, a space and its rank'
    bad_ranks "sed '5s/=//'" 'line 5: not base64'
    bad_ranks "sed '5s/^.. */!!/'" 'line 5: not base64'
    bad_ranks "sed '5s/^..==/JR==/'" 'line 5: not base64'
    bad_ranks "sed '5s/^/====/'" 'line 5: not base64'
    bad_ranks "sed '5s/^/ /'" 'line 5: not base64'
    bad_ranks "sed '1s/^/!/'" 'line 1: not base64'
    bad_ranks "sed '300s/^[^ ]*/IQ==/'" 'line 300: rank 299: the same token as rank 0'
    bad_ranks "head -n 200" 'byte 0x'
    bad_ranks "sed '65s/^.*/aGVsbG8= 64/'" 'byte 0x61 has no token'
    bad_ranks "head -c 4000" 'line '
    head -c 98304 /dev/zero | base64 -w 0 >long
    bad_ranks "sed '\$d'; echo \"\$(<long) 501\"" 'token 501: 98304 bytes are too many'
}

@test "tokenize: a file that is no vocabulary exits 3" {
    printf 'x' >text
    for content in '' 'x' 'IQ==' '\n' '\n\n\n' '\0\0\0' '\377\376{'; do
        printf "$content" >bad
        run tokenize -t bad --length 8 text -o d.tok
        assert_exit 3
        assert_line "tokenize: bad: "
        assert_absent d.tok
    done
}

@test "tokenize: ids may have gaps, and memory is bounded by the file" {
    printf 'a' >text
    jq '.model.vocab["a"] = 1500' "$tokenizer" >gap.json
    tokenize -q -t gap.json --length 8 --no-eot text -o d.tok
    assert_equal "$(view --json d.tok | jq -c .tokens)" '[1500]'
    for id in 2224 1000000000 9223372036854775807; do
        jq ".model.vocab[\"a\"] = $id" "$tokenizer" | sed 's/9223372036854776000/9223372036854775807/' >bad.json
        run tokenize -t bad.json --length 8 text -o d.tok
        assert_exit 3
        assert_line "bad.json: token \"a\": id $id is out of range"
    done
}

@test "tokenize: the end of text is the vocabulary's own" {
    printf 'a' >text
    while read -r name end; do
        shape "$name" >shape.json
        tokenize -q -t shape.json --length 8 text -o d.tok
        assert_equal "$(view --json d.tok | jq -c '.tokens[-1]')" "$end"
    done <<'END'
gpt2 599
llama3 601
llama2 2
gap 700
END
}

@test "tokenize: special tokens within the text are text, and with --allow-special their ids" {
    shape qwen2 >shape.json
    a=$(jq '.model.vocab["a"]' shape.json) b=$(jq '.model.vocab["b"]' shape.json)
    printf 'a<|im_start|>b<|endoftext|>' >text
    tokenize -q -t shape.json --ragged --no-eot text -o d.tok
    assert_equal "$(view --json d.tok | jq '[.tokens[] | select(. >= 599)] | length')" 0
    tokenize -t shape.json --decode d.tok | assert_same - text
    tokenize -q -t shape.json --ragged --no-eot --allow-special text -o d.tok
    assert_equal "$(view --json d.tok | jq -c .tokens)" "[$a,600,$b,599]"
    # Back again they are nothing, but for the end of text; or their text.
    assert_equal "$(tokenize -t shape.json --decode --separator '|' d.tok)" 'ab|'
    assert_equal "$(tokenize -t shape.json --decode --separator '|' --allow-special d.tok)" 'a<|im_start|>b|'
    # One that is not special is found either way.
    printf 'a<tool_call>' >text
    for how in '' --allow-special; do
        tokenize -q -t shape.json --ragged --no-eot $how text -o d.tok
        assert_equal "$(view --json d.tok | jq -c .tokens)" "[$a,601]"
        tokenize -t shape.json --decode d.tok | assert_same - text
    done
}

@test "tokenize: --decode takes off the space that a scheme puts in front of each document" {
    printf 'one two\0 three\0\0  f\xc3\xb6ur \xf0\x9f\x98\x80' >text
    for model in llama2 "$golden/sentencepiece/llama.model"; do
        [ -e "$model" ] || { shape "$model" >shape.json && model=shape.json; }
        for how in '--length 1' '--length 3' '--length 4096' --ragged '--ragged --no-eot'; do
            end='\0'
            [[ $how != *--no-eot ]] || end=''
            tokenize -q -t "$model" $how --separator '\0' text | tokenize -t "$model" --decode --separator "$end" >back
            printf "one two$end three$end  f\xc3\xb6ur \xf0\x9f\x98\x80$end" | assert_same back -
        done
    done
    # A sequence that goes on with a document has none to take off.
    printf 'one two three' >text
    tokenize -q -t shape.json --length 1 text | tokenize -t shape.json --decode | assert_same - text
}

@test "tokenize: a vocabulary of far more values than a file has is refused before they take memory" {
    perl -e 'print "{\"model\": [", "[]," x 2e6, "0]}"' >many.json # with them it would take 250 MB
    printf 'a b' >text
    run tokenize -t many.json --length 8 text -o x.tok
    assert_exit 3
    assert_equal "$output" \
        "tokenize: many.json: 2000002 arrays and objects in 6000014 bytes of json; at most 750001 are read"
    assert_absent x.tok
}
