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
.pre_tokenizer = meta + {"split": true}~pre_tokenizer: Metaspace with split
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
