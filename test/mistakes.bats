# The mistakes that a new user is likeliest to make: each ends in one line that says what is wrong and what to do, in
# the right exit status, and nothing is created.
load helpers
load train_helpers

setup_file() {
    load helpers
    load train_helpers
    cd "$BATS_FILE_TMPDIR"
    mkdir text
    local kind
    for kind in de en; do
        for i in $(seq 200); do echo "$kind the river carries $i sands, die Wellen $((i * i))"; done > text/$kind
    done
    tokenize -q --learn --vocab-size 300 -o vocab.json text
    tokenize -q --learn --vocab-size 280 -o other.json text/de
    tokenize -q -t vocab.json --length 32 --domain-from file text -o a.tok
    tokenize -q -t other.json --length 32 text -o b.tok
    tokenize -q -t vocab.json --length 64 text -o long.tok
    config 300 > config.json
    train -q --model config.json --steps 2 --batch 8 -o m a.tok
    train -q --model config.json --seed 1 --steps 2 --batch 8 -o n a.tok
    route -q -m m -m n a.tok -o a.scr
    assign -q a.scr -o a.asg
    route -q --per-token -m m a.tok -o 0.lp
    route -q --per-token -m n a.tok -o 1.lp
    head -c 1000 a.tok > cut.tok
    gzip -k text/de a.tok
    cp -r m cut
    truncate -s 3000 cut/model.safetensors
    : > empty
    mkdir nothing
    mkstream tokens n=0 length=32 vocab=300 o=none.tok
    jq '.hidden_size = 65536 | .intermediate_size = 262144 | .num_attention_heads = 512 | .num_key_value_heads = 512 |
        .num_hidden_layers = 64' config.json > huge.json
    export data=$BATS_FILE_TMPDIR
}

setup() {
    cd "$BATS_FILE_TMPDIR"
}

# mistake STATUS 'COMMAND' 'MESSAGE': one line that has the message's parts (... stands for anything) in this order
mistake() {
    local before part rest=$3
    before=$(ls)
    run bash -c "$2" < /dev/null
    assert_exit "$1"
    assert_equal "$(wc -l <<<"$output"): $output" "1: $output"
    local left=$output
    while [ -n "$rest" ]; do
        part=${rest%%...*}
        [ "$part" = "$rest" ] && rest= || rest=${rest#*...}
        [[ "$left" == *"$part"* ]] || { printf 'got:      %s\nexpected: %s\n' "$output" "$3" >&2; return 1; }
        left=${left#*"$part"}
    done
    assert_equal "$(ls)" "$before"
}

@test "mistakes: no vocabulary, or a file that is none" {
    mistake 2 "tokenize --length 32 text -o x" "tokenize: no vocabulary: give -t tokenizer.json, or --learn one"
    mistake 3 "tokenize -t text/de --length 32 text -o x" "tokenize: text/de: no vocabulary: neither a tokenizer.json (tokenize --learn makes one) nor a rank file of tiktoken nor a model of SentencePiece"
    mistake 3 "tokenize -t a.tok --length 32 text -o x" "tokenize: a.tok: no vocabulary: neither a tokenizer.json (tokenize --learn makes one) nor a rank file of tiktoken nor a model of SentencePiece"
    mistake 3 "tokenize -t config.json --length 32 text -o x" "tokenize: config.json: key 'model': not an object; a tokenizer.json is wanted"
    mistake 1 "tokenize -t m --length 32 text -o x" "tokenize: m: is a directory; a checkpoint's vocabulary is m/tokenizer.json"
    mistake 2 "tokenize -t vocab.json text -o x" "tokenize: give --length S, the tokens in a sequence, or --ragged"
}

@test "mistakes: what is to be done with tokens, and of which vocabulary" {
    mistake 2 "tokenize --import-tokens u16 --length 32 text -o x" "tokenize: --import-tokens: give the vocabulary of the tokens with -t, or --vocab-size N"
    mistake 2 "tokenize --import-tokens u16 -t vocab.json text -o x" "tokenize: give --length S, the tokens in a sequence, or --ragged"
    mistake 3 "tokenize --import-tokens u16 -t vocab.json --length 32 text/de -o x" "tokenize: text/de: token 0 at byte 0: ... is not below the vocabulary's size, 300"
    mistake 2 "tokenize --stats a.tok" "tokenize: no vocabulary: give -t tokenizer.json"
    mistake 3 "tokenize --stats -t vocab.json b.tok" "tokenize: b.tok: vocabulary ..., but that of vocab.json is ...; give the vocabulary that made it"
    mistake 2 "view --text a.tok" "view: --text: give the vocabulary that made the tokens with -t"
    mistake 3 "view --text -t other.json a.tok" "view: a.tok: vocabulary ..., but that of other.json is ...; give the vocabulary that made it"
    mistake 3 "view --text -t vocab.json a.scr" "view: a.scr: holds scores, not tokens, so it has no text"
    mistake 2 "tokenize -t vocab.json --decode --stats a.tok" "tokenize: --learn, --decode, --stats and --import-tokens are jobs of their own"
    mistake 2 "tokenize -t vocab.json --length 32 --null text -o x" "tokenize: --null: only with --files-from"
    mistake 2 "tokenize -t vocab.json --length 32 --filter repeat text -o x" "tokenize: --filter 'repeat': not repeats or code-frequency"
}

@test "mistakes: text where a stream is wanted, a stream where text is" {
    mistake 3 "train --model config.json -o x text/de" "train: text/de: ...not a stream, but text; tokenize makes a token stream of it"
    mistake 3 "view vocab.json" "view: vocab.json: ...not a stream, but text"
    mistake 3 "view a.tok.gz" "view: a.tok.gz: ...not a stream, but a gzip file; decompress it first"
    run tokenize -q -t vocab.json --decode text/de
    assert_exit 3
    run_separate tokenize -t vocab.json --length 32 a.tok -o /dev/null # any bytes are text, so this is no error
    assert_exit 0
    assert_equal "$(head -1 <<<"$errors")" "tokenize: a.tok: is a stream and taken as text; --decode gives the text of tokens"
}

@test "mistakes: a stream of another kind" {
    mistake 3 "assign a.tok -o x" "assign: a.tok: holds tokens, not scores (route writes them)"
    mistake 3 "route -m m a.scr -o x" "route: a.scr: holds scores, not tokens (tokenize writes them)"
    mistake 3 "ppl a.scr" "ppl: a.scr: holds scores, not log-probs (route --per-token and mix write them)"
    mistake 3 "mix --rule bayes 0.lp a.tok -o x" "mix: a.tok: holds tokens, not log-probs"
    mistake 3 "train --model config.json --assignment a.scr --expert 0 -o x a.tok" "train: a.scr: holds scores, not an assignment (assign writes it)"
}

@test "mistakes: an empty corpus" {
    mistake 3 "tokenize --learn --vocab-size 300 empty -o x" "tokenize: no text to learn from: the input has no documents"
    mistake 3 "tokenize -t vocab.json --length 32 nothing -o x" "tokenize: nothing: a folder without files (hidden ones are left out)"
    mistake 3 "train --model config.json -o x none.tok" "train: none.tok: has no sequences, so there is nothing to train on"
}

@test "mistakes: a file or folder that is not there" {
    mistake 1 "tokenize --learn --vocab-size 300 absent -o x" "tokenize: absent: cannot open: No such file or directory"
    mistake 1 "tokenize -q -t vocab.json --length 32 text -o absent/x" "tokenize: absent/x: cannot create: No such file or directory; make its folder first"
    mistake 1 "route -m absent a.tok -o x" "route: absent...: cannot open: No such file or directory"
    mistake 1 "shard --level 1 a.tok -o m" "shard: m: is a directory; -o names a file"
}

@test "mistakes: a checkpoint that is none, or not yet one" {
    mistake 3 "route -m text a.tok -o x" "route: text: is no checkpoint: a folder with config.json and model.safetensors is wanted"
    mistake 3 "route -m m/model.safetensors a.tok -o x" "route: m/model.safetensors: is no checkpoint"
    mistake 3 "train --init a.tok -o x a.tok" "train: a.tok: is no checkpoint"
    mistake 3 "train --model vocab.json -o x a.tok" "train: vocab.json: key 'model_type': missing; a model's config.json is wanted"
    mkdir -p young.part
    mistake 1 "route -m young a.tok -o x" "route: young: is not there yet; young.part holds its unfinished run, train --resume goes on"
    rmdir young.part
    mistake 1 "train --model config.json --steps 1 -o text a.tok" "train: text: exists and is no checkpoint"
}

@test "mistakes: a wrong device" {
    mistake 2 "train --model config.json --device gpu -o x a.tok" "train: --device: 'gpu' is not auto, cpu, cuda or cuda:N; try 'train --help'"
    mistake 2 "TACIT_DEVICE=gpu route -m m a.tok -o x" "route: --device: 'gpu' is not auto, cpu, cuda or cuda:N"
    cp "$(command -v train)" plain # no backend beside it
    mistake 1 "./plain --model config.json --device cuda -o x a.tok" "train: device 'cuda': this build has no CUDA backend ...; use --device cpu"
    rm plain
}

@test "mistakes: sequences or a prefix longer than the model or the sequences" {
    mistake 3 "train --model config.json -o x long.tok" "train: long.tok: sequences of 64 tokens, but the model has 32 positions; --length cuts them"
    mistake 3 "route -m m long.tok -o x" "route: long.tok: sequence 0 has 64 tokens, but the model 32 positions; --stride scores it in windows"
    mistake 3 "route -m m --prefix 48 long.tok -o x" "route: long.tok: sequence 0 has 48 tokens, but the model 32 positions"
    mistake 2 "route -m m --prefix 1 a.tok -o x" "route: --prefix: '1' is neither a number from 2 on nor context"
    run_separate route -m m --prefix 64 a.tok -o "$BATS_TEST_TMPDIR/x" # the whole sequence, but not in silence
    assert_exit 0
    assert_equal "$errors" "route: --prefix 64: sequences of a.tok have at most 32 tokens, so all of them count"
}

@test "mistakes: two vocabularies" {
    mistake 3 "route -m m b.tok -o x" "route: b.tok: vocabulary ..., but that of m is ...; tokenize with its tokenizer.json"
    mistake 3 "train --continue m -o x b.tok" "train: b.tok: vocabulary ..., but that of m is ...; tokenize with its tokenizer.json"
    mistake 3 "shard --join a.tok b.tok -o x" "shard: a.tok: vocabulary ..., but that of b.tok is ...; use one tokenizer.json for both"
    mistake 3 "tokenize -t other.json --decode a.tok -o x" "tokenize: a.tok: vocabulary ..., but that of other.json is ...; give the vocabulary that made it"
}

@test "mistakes: a terminal where a stream goes, in or out" {
    command -v script > /dev/null || skip "script is not installed"
    run script -qec "shard --level 1 a.tok" /dev/null
    assert_exit 2
    assert_line "shard: standard output: is a terminal"
    assert_line "-o FILE"
    run script -qec "view" /dev/null
    assert_exit 2
    assert_line "view: standard input: is a terminal; name a FILE, or pipe a stream in"
    mistake 2 "train --model config.json a.tok" "train: needs -o CKPT, the checkpoint to make"
}

@test "mistakes: a misspelt option, a number with a bad suffix, a name that is none" {
    mistake 2 "tokenize -t vocab.json --lenght 32 text -o x" "tokenize: unknown option '--lenght' (did you mean --length?); try 'tokenize --help'"
    mistake 2 "train --model config.json --step 5 -o x a.tok" "train: unknown option '--step' (did you mean --steps?)"
    mistake 2 "train --model config.json --warmpu 5 -o x a.tok" "train: unknown option '--warmpu' (did you mean --warmup?)"
    mistake 2 "train --model config.json --optimizer adam -o x a.tok" "train: unknown option '--optimizer'; try 'train --help'"
    mistake 2 "train --model config.json --steps 2k -o x a.tok" "train: --steps: '2k' is not a whole number; K, M and G are capitals (1 to 1e+15)"
    mistake 2 "train --model config.json --steps 2x -o x a.tok" "train: --steps: '2x' is not a whole number (1 to 1e+15)"
    mistake 2 "assign --method best a.scr -o x" "assign: --method: 'best' is not one of balanced, balanced-sequential, argmax, random, label, topk"
    mistake 2 "shard --sequences 10 a.tok -o x" "shard: --sequences: '10' is not a range a..b"
}

@test "mistakes: too few experts, or none of that number" {
    mistake 3 "mix --rule select --assignment a.asg 0.lp -o x" "mix: a.asg: assigns to 2 experts, but 1 streams of log-probs were given; one each, in order"
    mistake 2 "mix --rule bayes -o x" "mix: no log-probs given: one stream per expert"
    mistake 2 "assign --method random a.tok -o x" "assign: a.tok: does not tell the number of experts: give --experts"
    mistake 2 "assign --capacity 3 a.scr -o x" "assign: a.scr: --capacity 3 leaves no room: ...; give ... or more"
    mistake 3 "assign --method label --experts 1 a.tok -o x" "assign: a.tok: domain 'en' belongs to expert 1, but there are 1 experts; give more with --experts"
    mistake 3 "train --model config.json --assignment a.asg --expert 7 -o x a.tok" "train: a.asg: has 2 experts, so none is number 7"
    mistake 2 "train --model config.json --assignment a.asg -o x a.tok" "train: --assignment needs --expert"
    mistake 2 "mix --rule bayes --prior half 0.lp 1.lp -o x" "mix: prior half: neither numbers nor a file"
}

@test "mistakes: files in the wrong order, or of other sequences" {
    shard -q --sequences 0..5 1.lp -o "$BATS_TEST_TMPDIR/part.lp"
    shard -q --shuffle 1.lp -o "$BATS_TEST_TMPDIR/mixed.lp"
    mistake 3 "mix --rule select --assignment a.asg 0.lp 1.lp -o x" "mix: a.asg and ...lp: sequence ...: id differs: ...; these are other sequences, or in another order"
    mistake 3 "ppl --baseline $BATS_TEST_TMPDIR/mixed.lp 0.lp" "ppl: 0.lp and ...mixed.lp: sequence ...: id differs: ...; these are other sequences, or in another order"
    mistake 3 "mix --rule bayes 0.lp $BATS_TEST_TMPDIR/part.lp -o x" "mix: ...part.lp: ends after 5 sequences, but 0.lp goes on"
    mistake 2 "route -m m a.tok b.tok -o x" "route: takes one token stream, not 2 (shard --join)"
}

@test "mistakes: a truncated download" {
    mistake 3 "shard --level 1 cut.tok -o x" "shard: cut.tok: frame 0 at byte ...: truncated: ... of ... bytes"
    mistake 3 "route -m cut a.tok -o x" "route: cut/model.safetensors: ...truncated"
    head -c 100 text/de.gz > "$BATS_TEST_TMPDIR/de.gz"
    mistake 3 "tokenize -t vocab.json --length 32 $BATS_TEST_TMPDIR/de.gz -o x" "tokenize: ...de.gz: "
}

@test "mistakes: another command than the one to resume" {
    mistake 3 "train --model config.json --steps 2 --batch 8 --lr 0.1 --resume -o m a.tok" "train: key 'lr': m has ..., this command says 0.1...; --restart starts over"
}

@test "mistakes: more than the disk, the memory or the permissions hold" {
    mistake 1 "tokenize -q -t vocab.json --length 32 text -o /dev/full" "tokenize: /dev/full: write failed: No space left on device"
    run train --model huge.json --steps 1 -o "$BATS_TEST_TMPDIR/x" a.tok
    assert_exit 1
    assert_match "^train: model of [0-9]+ bytes \(.*\): cannot allocate .*; a smaller --micro-batch or model, or --recompute, needs less$"
    assert_equal "${#lines[@]}" 1
    mkdir -p locked
    chmod 555 locked
    if [ "$(id -u)" = 0 ]; then
        command -v setpriv > /dev/null || skip "setpriv is not installed"
        chmod 755 "$BATS_FILE_TMPDIR"
        run setpriv --reuid 65534 --clear-groups "$bin/shard" --level 1 a.tok -o locked/x
    else
        run shard --level 1 a.tok -o locked/x
    fi
    assert_exit 1
    rmdir locked
    assert_match "(locked/x: cannot create|a.tok: cannot open): Permission denied"
}
