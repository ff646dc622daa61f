# tokenize --learn, and which tokenizer.json files load.

load helpers

tokenizer=$golden/tokenizer/tokenizer.json
train=$golden/tokenizer/train.txt

@test "tokenize: --learn writes what Hugging Face's trainer writes, byte for byte" {
    tokenize -q --learn --vocab-size 600 --separator '\0' "$train" -o learned.json
    assert_same learned.json "$tokenizer"
    tokenize -q --learn --vocab-size 600 --separator '\0' <"$train" | assert_same - "$tokenizer"
}

@test "tokenize: --learn does not depend on the order of the documents" {
    tr '\0' '\n' <"$train" >lines
    sort -R lines >shuffled
    tokenize -q --learn --vocab-size 400 --documents line lines -o a.json
    tokenize -q --learn --vocab-size 400 --documents line shuffled -o b.json
    assert_same a.json b.json
}

@test "tokenize: --vocab-size 257 is a byte vocabulary in GPT-2's order" {
    tokenize -q --learn --vocab-size 257 "$train" -o bytes.json
    assert_equal "$(jq -c '[(.model.vocab | length), .model.merges, .added_tokens[0].id]' bytes.json)" '[256,[],256]'
    assert_equal "$(jq -c '.model.vocab | [.["!"], .["~"], .["¡"], .["ÿ"], .["Ā"], .["Ġ"], .["Ń"]]' bytes.json)" \
        '[0,93,94,187,188,220,255]'
    printf 'A!\0\xff' | tokenize -q -t bytes.json --length 8 -o d.tok
    assert_equal "$(view --json d.tok | jq -c .tokens)" '[32,0,188,187,256]'
}

@test "tokenize: --learn says when the text has no pair left" {
    printf 'abab' >text
    run tokenize --learn --vocab-size 300 text -o v.json
    assert_exit 0
    assert_line "the vocabulary has 259 tokens, not 300"
    assert_equal "$(jq -c .model.merges v.json)" '[["a","b"],["ab","ab"]]'
}

@test "tokenize: --learn merges what tokenizers' trainer merges, for every pattern and for characters" {
    tr '\0' '\n' <"$train" | tr -d '\r' >lines
    awk '/^# /{n++} {print > ("want." n)}' "$golden/tokenizer/learned.txt"
    for want in want.*; do
        read -r _ options <"$want"
        # shellcheck disable=SC2086 # several words
        tokenize -q --learn $options --documents line lines -o got.json
        {
            echo "# $options"
            [[ $options != *characters* ]] ||
                jq -r '"@" + ([.model.vocab | keys_unsorted[] | select(length == 1)] | join(""))' got.json
            jq -r '.model.merges[] | join(" ")' got.json
        } | assert_same - "$want"
    done
}

@test "tokenize: --learn does not depend on the number of threads" {
    for i in $(seq 4000); do printf 'word%d and an other one, %d times\n' "$((i * i % 977))" "$((i * 7919))"; done >text
    for symbols in bytes characters; do
        tokenize -q --learn --threads 1 --vocab-size 900 --symbols $symbols text -o one.json
        for threads in 2 3 5; do
            tokenize -q --learn --threads $threads --vocab-size 900 --symbols $symbols text -o many.json
            assert_same one.json many.json
        done
    done
}

@test "tokenize: --learn's special tokens stand behind end-of-text, which may be one of them" {
    printf 'abab' >text
    specials() { jq -c '[.added_tokens[] | [.id, .content]]' "$1"; }
    tokenize -q --learn --vocab-size 260 --special '<a>' --special '<b>' text -o v.json
    assert_equal "$(specials v.json)" '[[257,"<|endoftext|>"],[258,"<a>"],[259,"<b>"]]'
    tokenize -q --learn --vocab-size 260 --special '<a>' --special '<|endoftext|>' text -o v.json
    assert_equal "$(specials v.json)" '[[258,"<a>"],[259,"<|endoftext|>"]]'
    tokenize -q --learn --vocab-size 300 --symbols characters --special '<a>' text -o v.json
    assert_equal "$(specials v.json)" '[[0,"<unk>"],[1,"<s>"],[2,"</s>"],[3,"<a>"]]'
    while read -r status message options; do
        # shellcheck disable=SC2086 # several words
        run tokenize --learn --vocab-size 300 $options text -o no.json
        assert_exit "$status"
        assert_line "tokenize: ${message//_/ }"
        assert_absent no.json
    done <<'END'
2 special_token_'<a>':_twice --special <a> --special <a>
2 special_token_'<s>':_twice --special <s> --symbols characters
3 special_token_'ab':_an_ordinary_token_of_this_text,_too --special ab
3 special_token_'Ġ':_an_ordinary_token_of_this_text,_too --special Ġ
3 special_token_'<0x41>':_an_ordinary_token_of_this_text,_too --special <0x41> --symbols characters
2 a_vocabulary_of_257:_at_least_258 --vocab-size 257 --special <a>
2 a_vocabulary_of_261:_at_least_262 --vocab-size 261 --symbols characters
2 --pattern_'meta-space':_not_gpt2 --pattern meta-space
2 --pattern:_not_with_--symbols_characters --pattern gpt2 --symbols characters
2 --character-coverage:_only_with_--symbols_characters --character-coverage 1
END
}

@test "tokenize: --learn --min-frequency stops at rarer pairs" {
    printf 'abcabcabc abd' >text
    tokenize -q --learn --vocab-size 300 --min-frequency 3 text -o v.json
    assert_equal "$(jq -c .model.merges v.json)" '[["a","b"],["ab","c"]]'
}

@test "tokenize: --learn --symbols characters splits digits and lines, and falls back to bytes" {
    printf 'the year 2024  was\nthe year 2025 漢' >text
    tokenize -q --learn --vocab-size 330 --symbols characters --character-coverage 0.97 text -o v.json
    assert_equal "$(jq -c '[.model.vocab | keys[] | select(test("[0-9\n].|.[0-9\n]")) | select(test("^<0x") | not)]' v.json)" '[]'
    assert_equal "$(jq -c '.model.vocab | [."<unk>", ."<s>", ."</s>", ."<0x00>", ."漢", has("▁year")]' v.json)" \
        '[0,1,2,3,null,true]'
    printf 'the year 2099\n\xff漢' >other
    tokenize -q -t v.json --length 64 other -o d.tok
    tokenize -t v.json --decode d.tok | assert_same - other
    assert_equal "$(view --json d.tok | jq -c '.tokens[-6:]')" '[13,258,233,191,165,2]'
}

@test "tokenize: what --learn writes gives Hugging Face's tokenizers the same ids" {
    [ -n "${TACIT_PYTHON:-}" ] && "$TACIT_PYTHON" -c 'import tokenizers' 2>/dev/null ||
        skip "TACIT_PYTHON names no python with tokenizers"
    tr '\0' '\n' <"$golden/tokenizer/documents.txt" | grep . >lines
    for options in "--pattern "{gpt2,starcoder2,cl100k,llama3,qwen2,o200k} "--symbols characters --character-coverage 0.9"; do
        # shellcheck disable=SC2086 # several words
        tokenize -q --learn --vocab-size 900 $options --documents line lines -o v.json
        tokenize -q -t v.json --ragged --documents line lines -o d.tok
        "$TACIT_PYTHON" -c 'import sys, tokenizers
t = tokenizers.Tokenizer.from_file("v.json")
end = [t.token_to_id(e) for e in ("<|endoftext|>", "</s>") if t.token_to_id(e) is not None]
for line in open("lines", newline="\n"): print(t.encode(line.rstrip("\n"), add_special_tokens=False).ids + end)' >want
        view --json d.tok | jq -c .tokens | sed 's/,/, /g' | assert_same - want
    done
}

@test "tokenize: --learn with a split sees its part only" {
    for i in $(seq 200); do printf 'line %d of text\n' "$((i * 7919))"; done >text
    split=train=0.7,valid=0.3
    tokenize -q --learn --vocab-size 290 --split $split --documents line text -o a.json
    tokenize -q -t a.json --length 64 --split $split --documents line text -o 'c.%s.tok'
    for part in train valid; do
        tokenize -t a.json --decode --separator '\n' "c.$part.tok" >"$part"
        tokenize -q --learn --vocab-size 290 --documents line "$part" -o b.json
        tokenize -q --learn --vocab-size 290 --split $split --part "$part" --documents line text -o c.json
        assert_same b.json c.json
    done
    tokenize -q --learn --vocab-size 290 --documents line train | assert_same - a.json
}

@test "tokenize: a broken tokenizer.json exits 3 with the place" {
    printf 'x' >text
    while IFS='~' read -r change message; do
        jq "$change" "$tokenizer" >bad.json
        run tokenize -t bad.json --length 8 text -o out.tok
        assert_exit 3
        assert_line "tokenize: bad.json: $message"
        assert_absent out.tok
    done <<'END'
[]~not an object
del(.model)~key 'model': not an object
del(.model.vocab)~key 'vocab': not an object
del(.model.merges)~key 'merges': not an array
.model.vocab["a"] = "1"~token "a": id is not an integer
.model.vocab["a"] = -1~token "a": id -1 is out of range
.model.vocab["a"] = 4294967296~token "a": id 4294967296 is out of range
.model.vocab["a"] = 2224~token "a": id 2224 is out of range
.model.vocab["a"] = 65~id 65: both 
.model.vocab["漢"] = 599 | .added_tokens = []~token "漢": not in the byte-level alphabet
.model.vocab[" "] = 599 | .added_tokens = []~token " ": not in the byte-level alphabet
.model.vocab["xyz"] = .model.vocab["a"] | del(.model.vocab["a"]) | .model.merges = []~byte 0x61 has no token
.model.merges[3] = "th"~merge 3: not a pair of tokens
.model.merges[3] = ["t"]~merge 3: not a pair of tokens
.model.merges[3] = ["t", 5]~merge 3: not a pair of tokens
.model.merges[3] = ["t", "qqq"]~merge 3: "qqq" is no token
.model.merges[3] = ["q", "q"]~merge 3: "qq" is no token
.model.merges[3] = .model.merges[0]~merge 3: the same pair as merge 0
.added_tokens[0].id = 5~added_tokens: id 5: both 
.added_tokens[0].id = 600~added_tokens: "<|endoftext|>": id 600, where tokenizers takes 599
.added_tokens[0].lstrip = 1~added_tokens: "<|endoftext|>": key 'lstrip'
.added_tokens[0].content = ""~added_tokens: an empty token
.model.vocab[""] = 599 | .added_tokens = []~an empty token
.model.merges[3] = "t h e"~merge 3: not a pair of tokens
.model.merges[3] = ["", "t"]~merge 3: "" is no token
.model.merges[3] = ["<|endoftext|>", "t"]~merge 3: "<|endoftext|>" is no token
.added_tokens += .added_tokens~
.added_tokens += [.added_tokens[0] + {id: 600}]~tokens 599 and 600 are both "<|endoftext|>"
.added_tokens = 1~key 'added_tokens': not an array
.added_tokens[0].content = 1~added_tokens: key 'content'
END
    head -c 5000 "$tokenizer" >bad.json
    run tokenize -t bad.json --length 8 text -o out.tok
    assert_exit 3
    assert_line "tokenize: bad.json: line "
    head -c 100000 /dev/zero | tr '\0' '[' >bad.json
    run tokenize -t bad.json --length 8 text -o out.tok
    assert_exit 3
    run tokenize -t missing.json --length 8 text -o out.tok
    assert_exit 1
    assert_line "tokenize: missing.json: "
}

@test "tokenize: what a tokenizer.json asks for and is not implemented is refused by name" {
    printf 'x' >text
    regex='{"type": "Split", "pattern": {"Regex": $r}, "behavior": "Isolated", "invert": false}'
    bytes='{"type": "ByteLevel", "add_prefix_space": false, "use_regex": $u}'
    meta='{"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": false}'
    def="def split(\$r): $regex; def bytes(\$u): $bytes; def meta: $meta;
        def steps(\$s): {type: \"Sequence\", pretokenizers: \$s};"
    while IFS='~' read -r change message; do
        jq "$def $change" "$tokenizer" >foreign.json
        run tokenize -t foreign.json --length 8 text -o out.tok
        assert_exit 3
        assert_line "tokenize: foreign.json: $message"
        assert_line "is not supported"
    done <<'END'
.model.type = "Unigram"~model: Unigram
.model.type = "WordPiece"~model: WordPiece
.model.dropout = 0.1~model: dropout
.model.end_of_word_suffix = "</w>"~model: end_of_word_suffix
.model.continuing_subword_prefix = "##"~model: continuing_subword_prefix
.normalizer = {"type": "NFKC"}~normalizer: NFKC
.normalizer = {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]}~normalizer: Lowercase
.normalizer = {"type": "Prepend", "prepend": "x"}~normalizer: Prepend or Replace of other characters
.normalizer = {"type": "Prepend", "prepend": "\u2581"}~normalizer: Prepend without Replace
.pre_tokenizer = null~pre_tokenizer: none
.pre_tokenizer = {"type": "Whitespace"}~pre_tokenizer: Whitespace
.pre_tokenizer.add_prefix_space = true~pre_tokenizer: add_prefix_space
.pre_tokenizer = {"type": "Sequence", "pretokenizers": []}~pre_tokenizer: none
.pre_tokenizer = steps([split("\\w+"), bytes(false)])~pre_tokenizer: Split by the expression "\w+"
.pre_tokenizer = steps([split("gpt2"), bytes(false)])~pre_tokenizer: Split by the expression "gpt2"
.pre_tokenizer = steps([split("\\w+"), bytes(true)])~pre_tokenizer: Split beside use_regex
.pre_tokenizer = steps([split("\\w+") + {"pattern": {"String": " "}}, bytes(false)])~pre_tokenizer: Split without a Regex
.pre_tokenizer = steps([split("\\w+") + {"behavior": "Removed"}, bytes(false)])~pre_tokenizer: Split with this behavior
.pre_tokenizer = steps([{"type": "Digits", "individual_digits": false}, bytes(true)])~pre_tokenizer: Digits without individual_digits
.pre_tokenizer = steps([bytes(true), {"type": "Digits", "individual_digits": true}])~pre_tokenizer: this order of steps
.pre_tokenizer = meta + {"replacement": "_"}~pre_tokenizer: Metaspace with another replacement
.pre_tokenizer = meta + {"prepend_scheme": "last"}~pre_tokenizer: Metaspace with this prepend_scheme
.decoder = null | .pre_tokenizer = meta + {"split": true}~pre_tokenizer: Metaspace with split
.decoder = null | .pre_tokenizer = meta | .added_tokens[0] += {content: "a", id: 64}~added_tokens: "a": a special token that the model makes
.model.ignore_merges = true | .added_tokens[0] += {content: "ab", id: 599} | .model.vocab["ab"] = 599~added_tokens: "ab": a special token that the model makes
.decoder = null | .pre_tokenizer = meta | .model.unk_token = "a"~unk_token: "a": a token that the model makes
.decoder = null | .pre_tokenizer = meta | .model.unk_token = "he"~unk_token: "he": a token that the model makes
.decoder = {"type": "Metaspace"}~decoder: Metaspace
.decoder = {"type": "WordPiece"}~decoder: WordPiece
.post_processor = {"type": "BertProcessing"}~post_processor: BertProcessing
.truncation = {"max_length": 5}~truncation: 
.padding = {"direction": "Right"}~padding: 
END
}

@test "tokenize: a vocabulary without end-of-text needs --no-eot" {
    printf 'x' >text
    jq '.added_tokens = []' "$tokenizer" >none.json
    run tokenize -t none.json --length 8 text -o out.tok
    assert_exit 3
    assert_line "use --no-eot"
    tokenize -q -t none.json --length 8 --no-eot text | tokenize -t none.json --decode | assert_same - text
}
