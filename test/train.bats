load helpers
load train_helpers

setup_file() {
    export small="--model $BATS_FILE_TMPDIR/config.json --batch 8 --lr 3e-3 --dtype f32 -q"
    load helpers
    load train_helpers
    cd "$BATS_FILE_TMPDIR"
    config > config.json
    pattern 160 32 > a.tok
    assignment 160 3 32 > a.asg
    export data=$BATS_FILE_TMPDIR
}

losses() { # of the steps in a log
    jq -r 'select(.loss) | [.step, .loss] | @tsv' "$1"
}

@test "train: the loss falls on a repeating stream" {
    train $small --steps 60 --log log -o m "$data/a.tok"
    first=$(losses log | head -1 | cut -f2) last=$(losses log | tail -1 | cut -f2)
    assert_close "$first" 4.1589 0.02 # log 64: the model starts undecided
    awk -v l="$last" 'BEGIN { exit !(l < 0.6) }'
    [ -e m/config.json ] && [ -e m/model.safetensors ] && [ -e m/optimizer.safetensors ]
    assert_absent m.part
}

@test "train: the log has a line every --log-every steps, the first and the last, and cumulative FLOPs" {
    train $small --steps 25 --log log -o m "$data/a.tok"
    assert_equal "$(losses log | cut -f1 | xargs)" "1 10 20 25"
    # 6 N + 6 L S H per token, N = 12 L H^2 + V H
    assert_equal "$(jq -s '.[-1].flops == 25 * 8 * 32 * (6 * (12 * 2 * 32 * 32 + 64 * 32) + 6 * 2 * 32 * 32)' log)" true
    assert_equal "$(jq -s '.[-1].tokens' log)" $((25 * 8 * 32))
    assert_equal "$(jq -sc '.[1] | keys' log)" \
        '["flops","grad_norm","loss","lr","seconds","step","tokens","tokens_per_second","waited"]'
    assert_equal "$(jq '.step, .tokens, .flops == .flops_run, .epochs' m/state.json | xargs)" "25 6400 true 1.25"
}

@test "train: one and two threads give the same bytes, in float32 and bfloat16" {
    for dtype in f32 bf16; do
        train $small --dtype $dtype --steps 8 --threads 1 -o one.$dtype "$data/a.tok"
        train $small --dtype $dtype --steps 8 --threads 2 -o two.$dtype "$data/a.tok"
        same_weights one.$dtype two.$dtype
    done
}

@test "train: the seed decides the initial weights" {
    train $small --steps 1 --seed 1 -o a "$data/a.tok"
    train $small --steps 1 --seed 2 -o b "$data/a.tok"
    run cmp -s a/model.safetensors b/model.safetensors
    assert_exit 1
}

@test "train: accumulated gradients equal the large batch, whether or not it divides" {
    train $small --steps 10 --log whole.log -o whole "$data/a.tok"
    for b in 1 3 4; do
        train $small --steps 10 --micro-batch $b --log $b.log -o m$b "$data/a.tok"
        assert_close "$(losses $b.log | tail -1 | cut -f2)" "$(losses whole.log | tail -1 | cut -f2)" 1e-5
        assert_close "$(jq -s '.[-1].grad_norm' $b.log)" "$(jq -s '.[-1].grad_norm' whole.log)" 1e-4
    done
}

@test "train: by default it makes one pass over the data" {
    train $small -o m "$data/a.tok"
    assert_equal "$(jq .step m/state.json)" 20
}

@test "train: --continue twice equals one long run" {
    train $small --sequences 0..160 -o once "$data/a.tok"
    train $small --sequences 0..80 -o half "$data/a.tok"
    train --continue half --batch 8 --lr 3e-3 --dtype f32 -q --sequences 80..160 -o twice "$data/a.tok"
    same_weights once twice
    assert_equal "$(jq '.step, .tokens, .tokens_run' twice/state.json | xargs)" "20 5120 2560"
    assert_equal "$(jq .flops twice/state.json)" "$(jq .flops once/state.json)"
}

@test "train: a trunk runs the first part of a schedule, and a branch the rest" {
    schedule="--schedule cosine --warmup 4 --schedule-steps 20"
    train $small $schedule --steps 20 --log whole.log -o whole "$data/a.tok"
    train $small $schedule --sequences 0..80 -o trunk "$data/a.tok"
    train --continue trunk --batch 8 --lr 3e-3 --dtype f32 -q $schedule --sequences 80..160 -o branch "$data/a.tok"
    same_weights whole branch
    # the floor is 10% of the peak
    assert_close "$(jq -s '.[-1].lr' whole.log)" 0.0003 1e-12
    assert_equal "$(jq -s '.[0].lr' whole.log)" 0.00075
}

@test "train: --tokenizer of another format becomes the checkpoint's tokenizer.json" {
    local models=$BATS_TEST_DIRNAME/golden/sentencepiece
    tokenize -q -t "$models/llama.model" --length 8 -o text.tok "$models/documents.txt"
    config 600 > wide.json
    train --model wide.json --batch 2 --lr 1e-3 --steps 1 -q --tokenizer "$models/llama.model" -o m text.tok
    tokenize -q -t m/tokenizer.json --length 8 -o again.tok "$models/documents.txt"
    assert_same text.tok again.tok
    run train --model wide.json --batch 2 --lr 1e-3 --steps 1 -q --tokenizer "$models/symbols.model" -o x text.tok
    assert_exit 3
    assert_match "^train: $models/symbols.model: vocabulary [0-9a-f]{32}, but that of the tokens is $(view --header text.tok |
        jq -r .vocab); give the vocabulary that made them\$"
    tokenize -q -t "$models/unigram.model" --length 8 -o text.tok "$models/documents.txt"
    run train --model wide.json --batch 2 --lr 1e-3 --steps 1 -q --tokenizer "$models/unigram.model" -o x text.tok
    assert_exit 3
    assert_equal "$output" "train: $models/unigram.model: a tokenizer.json for a unigram model cannot be written"
}

@test "train: --tokenizer: of tokens of another vocabulary it is refused, another form of theirs is told" {
    local ours=$golden/tokenizer/tokenizer.json foreign=$golden/tokenizer/foreign.json
    tokenize -q -t "$ours" --length 32 -o text.tok "$golden/tokenizer/train.txt"
    config 1000 > wide.json
    local model="--model wide.json --batch 2 --lr 1e-3 --steps 1"
    run train $model --tokenizer "$foreign" -o x text.tok
    assert_exit 3
    assert_match "^train: $foreign: vocabulary [0-9a-f]{32}, but that of the tokens is $(view --header text.tok |
        jq -r .vocab); give the vocabulary that made them\$"
    assert_absent x
    # the same ids from other words, as where whole words are looked up
    jq '.model.ignore_merges = true' "$ours" > other.json
    run train $model --tokenizer other.json -o m text.tok
    assert_exit 0
    assert_match "^train: other.json: another form of the tokens' vocabulary, by the bytes of ([0-9]+) of \\1 sequences\$"
    assert_same other.json m/tokenizer.json
    run train $model --tokenizer <(cat "$ours") -o n text.tok
    assert_exit 0
    assert_equal "$output" ""
    assert_same "$ours" n/tokenizer.json
    # what cannot be compared is told
    run_pipe "cat text.tok | train $model --tokenizer $foreign -o p"
    assert_exit 0
    assert_line "train: $foreign: another form of the tokens' vocabulary or another vocabulary: tokens in a pipe do not say"
    jq '.model.type = "WordPiece"' "$ours" > unknown.json
    run train $model --tokenizer unknown.json -o q text.tok
    assert_exit 0
    assert_match "^train: unknown.json: .*; so it is not compared with the tokens' vocabulary\$"
    assert_same unknown.json q/tokenizer.json
}

@test "train: a tokenizer.json with more tokens than the model has is refused, whatever made the tokens" {
    run train $small --steps 1 --tokenizer "$golden/tokenizer/tokenizer.json" -o m "$data/a.tok"
    assert_exit 3
    assert_match "tokenizer.json: vocabulary of [0-9]+ tokens, but the model's has 64\$"
}

@test "train: the tokenizer.json of an ancestor from elsewhere is compared with the tokens" {
    local ours=$golden/tokenizer/tokenizer.json foreign=$golden/tokenizer/foreign.json text=$golden/tokenizer/train.txt
    tokenize -q -t "$ours" --length 32 -o text.tok "$text"
    head -c 4096 /dev/zero > zeros.bin
    tokenize -q --import-tokens u16 --vocab-size 900 --length 32 --no-eot -o zeros.tok zeros.bin
    config 1000 > wide.json
    # weights that do not say what they were trained on
    train -q --model wide.json --batch 2 --steps 1 --tokenizer "$foreign" -o elsewhere zeros.tok
    run train -q --init elsewhere --batch 2 --steps 1 -o x text.tok
    assert_exit 3
    assert_match "^train: elsewhere/tokenizer.json: vocabulary [0-9a-f]{32}, but that of the tokens is [0-9a-f]{32}; \
tokenize with it, or give the tokens' own with --tokenizer\$"
    train -q --init elsewhere --batch 2 --steps 1 --tokenizer "$ours" -o y text.tok
    assert_same "$ours" y/tokenizer.json
    tokenize -q -t "$foreign" --length 32 -o foreign.tok "$text"
    train --init elsewhere --batch 2 --steps 1 -o z foreign.tok 2> notes
    assert_same /dev/null notes
}

@test "train: --init starts a new run from old weights" {
    train $small --steps 5 --tokenizer "$data/config.json" -o old "$data/a.tok"
    train --init old --batch 8 --lr 0 --steps 1 --dtype f32 -q -o new "$data/a.tok"
    assert_same old/model.safetensors new/model.safetensors
    assert_same new/tokenizer.json "$data/config.json"
    assert_equal "$(jq '.step, .tokens' new/state.json | xargs)" "1 256"
    assert_equal "$(jq -s '.[1].flops == .[0].flops + .[1].flops_run' old/state.json new/state.json)" true
}

@test "train: an expert sees only what was assigned to it" {
    lines 160 32 | awk 'NR % 3 == 2' | mkstream tokens from=json length=32 vocab=64 > share.tok
    train $small --steps 12 -o alone share.tok
    train $small --steps 12 --assignment "$data/a.asg" --expert 1 -o expert "$data/a.tok"
    same_weights alone expert
}

@test "train: an assignment of the whole stream is sliced with it" {
    lines 160 32 | awk 'NR > 40 && NR <= 100' | awk 'NR % 3 == 0' | mkstream tokens from=json length=32 vocab=64 > share.tok
    train $small --steps 3 -o alone share.tok
    train $small --steps 3 --sequences 40..100 --assignment "$data/a.asg" --expert 0 -o sliced "$data/a.tok"
    assert_same alone/model.safetensors sliced/model.safetensors
}

@test "train: an assignment of other sequences is refused" {
    assignment 100 3 32 > short.asg
    run train $small --assignment short.asg --expert 0 -o m "$data/a.tok"
    assert_exit 3
    assert_line "short.asg: assigns 100 sequences, but 160 of $data/a.tok are selected"
    awk 'BEGIN { for (i = 0; i < 160; i++) printf "{\"id\":%d,\"predicted\":31,\"expert\":0}\n", i + 7 }' |
        mkstream assignment from=json length=32 vocab=64 experts=2 > other.asg
    run train $small --assignment other.asg --expert 0 -o m "$data/a.tok"
    assert_exit 3
    assert_line "id 0, but other.asg has id 7"
    run train $small --assignment "$data/a.asg" --expert 3 -o m "$data/a.tok"
    assert_exit 3
    assert_absent m m.part
}

@test "train: several streams follow each other, or are mixed by weight" {
    lines 160 32 | head -80 | mkstream tokens from=json length=32 vocab=64 > 1.tok
    lines 160 32 | tail -80 | mkstream tokens from=json length=32 vocab=64 > 2.tok
    train $small -o whole "$data/a.tok"
    train $small -o joined 1.tok 2.tok
    same_weights whole joined
    train $small --steps 100 --weights 3,1 -o mixed 1.tok 2.tok
    # 800 draws with probability 3/4: 600, give or take four standard deviations (12.2)
    jq -e '.position | add == 800 and .[0] > 551 and .[0] < 649' mixed/state.json
    run train $small --weights 1,2,3 -o m 1.tok 2.tok
    assert_exit 2
    assert_line "3 weights for 2 streams"
}

@test "train: --shuffle takes another order each epoch, the same from the same seed" {
    train $small --steps 20 -o plain "$data/a.tok"
    train $small --steps 40 --shuffle --seed 5 -o a "$data/a.tok"
    train $small --steps 40 --shuffle --seed 5 -o b "$data/a.tok"
    same_weights a b
    train $small --steps 20 --shuffle --seed 0 -o shuffled "$data/a.tok"
    run cmp -s plain/model.safetensors shuffled/model.safetensors
    assert_exit 1
}

@test "train: a shorter --length trains on prefixes" {
    pattern 160 16 > short.tok
    train $small --steps 10 -o short short.tok
    train $small --steps 10 --length 16 -o cut "$data/a.tok"
    assert_same short/model.safetensors cut/model.safetensors
}

@test "train: only tokens from the first scored position on are learned" {
    lines 160 32 | sed 's/}$/,"first":32}/' | mkstream tokens from=json length=32 vocab=64 > none.tok
    train $small --steps 2 --weight-decay 0 --log log -o m none.tok
    assert_equal "$(jq -s 'map(.loss) | unique' -c log)" "[0]"
}

@test "train: from a pipe it makes one pass in the stream's order" {
    train $small -o file "$data/a.tok"
    train $small -o pipe < <(cat "$data/a.tok")
    same_weights file pipe
    run_pipe "cat $data/a.tok | train $small --steps 5 -o few"
    assert_exit 0
    run_pipe "cat $data/a.tok | train $small --steps 21 -o many"
    assert_exit 3
    assert_line "ends after 160 sequences, at step 20 of 21"
    assert_absent many
    run_pipe "cat $data/a.tok | train $small --shuffle -o m"
    assert_exit 2
    run_pipe "head -c 400 $data/a.tok | train $small -o torn"
    assert_exit 3
    assert_absent torn
}

@test "train: --plan of a model that no machine holds still counts it" {
    config 64 32 65536 | jq '.num_attention_heads = 512 | .num_key_value_heads = 512' > huge.json
    train --plan --json --model huge.json --batch 8 > plan.json
    jq -e '.parameters > 1e11 and .memory.total > 1e12 and .tokens_per_second == 0' plan.json
    run train --plan --model huge.json --batch 8
    assert_exit 0
    assert_match 'not known'
}

@test "train: --plan prints parameters, FLOPs, memory and speed, and trains nothing" {
    run train --plan --model "$data/config.json" --batch 8 --steps 10
    assert_exit 0
    assert_match '^parameters +26944$' # V H + L (12 H^2 + 4 H) + 2 H
    assert_match '^tokens/s \(estimate\)'
    assert_equal "$(train --plan --json --model "$data/config.json" --batch 8 "$data/a.tok" |
        jq -c '[.parameters, .product_parameters, .flops_per_token, .steps, .tokens, .memory.total > 0, .tokens_per_second > 0]')" \
        "[26944,26624,172032,20,5120,true,true]"
    assert_equal "$(ls)" ""
}

# memory_of FILE 1|2: MiB at most and MiB planned, of what train -v printed
memory_of() {
    sed -n "s/.*memory: \\([0-9.]*\\) MiB at most, \\([0-9.]*\\) MiB planned.*/\\$2/p" "$1"
}

# Single jumps of about 300 KiB move the peak from run to run and do not follow the steps, so the steps are many and the
# bound is absolute: 2 MiB in 3960 steps are half a KiB per step, less than a micro-batch's tokens and targets.
@test "train: memory stays within 32 MB of the plan, and does not grow with the steps" {
    case $build in *-asan) skip "the sanitizer takes memory of its own" ;; esac
    config 64 32 64 4 > wide.json
    train --model wide.json --batch 64 --micro-batch 64 --steps 40 --shuffle -v -o m "$data/a.tok" 2> wide.err
    for steps in 40 4000; do
        train --model wide.json --batch 4 --micro-batch 4 --steps $steps --shuffle -v -o m "$data/a.tok" 2> $steps.err
    done
    for run in wide 40 4000; do
        awk -v peak="$(memory_of $run.err 1)" -v plan="$(memory_of $run.err 2)" \
            'BEGIN { exit !(plan > 3 && peak < plan + 32 && peak > plan - 32) }'
    done
    awk -v few="$(memory_of 40.err 1)" -v many="$(memory_of 4000.err 1)" 'BEGIN { exit !(few > 0 && many < few + 2) }'
}

@test "train: nothing to predict in --eval gives no loss, and says so" {
    mkstream tokens n=4 length=1 vocab=64 > none.tok
    run train $small --steps 1 --eval none.tok --log log -o m "$data/a.tok"
    assert_exit 0
    assert_equal "$(jq -c 'select(has("eval_loss")) | [.eval_loss, .eval_tokens]' log)" "[null,0]"
    run train --model "$data/config.json" --steps 1 --eval none.tok -o m2 "$data/a.tok"
    assert_match 'no loss on none.tok: the selected sequences predict no token'
}

@test "train: --eval reports the held-out loss at the start, every N steps and at the end" {
    train $small --steps 25 --eval "$data/a.tok" --eval-every 10 --eval-sequences 0..16 --log log -o m "$data/a.tok"
    assert_equal "$(jq 'select(.eval_loss) | .step' log | xargs)" "0 10 20 25"
    assert_equal "$(jq -s 'map(select(.eval_loss) | .eval_tokens) | unique' -c log)" "[496]"
    jq -se 'map(select(.eval_loss)) | all(.[]; (.eval_loss - .eval_nats / .eval_tokens) | fabs < 1e-9)' log
    train $small --steps 1 --eval "$data/a.tok" --eval-assignment "$data/a.asg" --expert 2 --log share -o m "$data/a.tok"
    assert_equal "$(jq 'select(.eval_loss) | .eval_tokens' share)" $((53 * 31))
}

@test "train: --keep leaves the latest saved states as snapshots" {
    train $small --steps 20 --save-every 4 --keep 2 -o m "$data/a.tok"
    assert_equal "$(ls m/snapshots | xargs)" "step-12 step-16"
    train --continue m/snapshots/step-16 --batch 8 --lr 3e-3 --dtype f32 -q --sequences 128..160 -o end "$data/a.tok"
    same_weights m end
}

@test "train: data that do not fit the model are refused with both numbers named" {
    config 32 > small.json
    run train --model small.json -o m "$data/a.tok"
    assert_exit 3
    assert_line "vocabulary of 64 tokens, but the model's has 32"
    config 64 16 > short.json
    run train --model short.json -o m "$data/a.tok"
    assert_exit 3
    assert_line "32 tokens, but the model has 16 positions"
    mkstream tokens n=20 length=32 vocab=64 vocab_name=other > other.tok
    train $small --steps 1 -o m "$data/a.tok"
    run train --continue m --batch 8 -o n other.tok
    assert_exit 3
    assert_match 'vocabulary [0-9a-f]{32}, but that of m is [0-9a-f]{32}'
    assert_absent n n.part
}

@test "train: a corrupt stream leaves no finished checkpoint" {
    cp "$data/a.tok" bad.tok
    printf '\125' | dd of=bad.tok bs=1 seek=200 conv=notrunc status=none
    run train $small -o m bad.tok
    assert_exit 3
    assert_line "train: bad.tok: frame"
    assert_absent m m.part
}

@test "train: a NaN ends in exit 4 and leaves the last good state" {
    train $small --steps 3 -o good "$data/a.tok"
    cp -r good bad
    with_nan bad
    run train --init bad --batch 8 --steps 3 -o m "$data/a.tok"
    assert_exit 4
    assert_match 'train: step 1: '
    assert_absent m
    # a rate at which the weights explode: the step before was saved
    run train $small --lr 1e30 --steps 9 --save-every 1 -o n "$data/a.tok"
    assert_exit 4
    assert_absent n
    [ -e "n.part/$(cat n.part/current)/model.safetensors" ]
}

@test "train: contradictory or unknown options exit 2 and create nothing" {
    for options in "--unknown" "--steps 0" "--steps 1x" "--eps 0" "--batch -1" "--expert 1" "--assignment x" "--eval-every 5" \
        "--init x --continue y" "--schedule square" "--beta1 1" "--json" "--keep 2 --save-every 0" "--length 1"; do
        run train --model "$data/config.json" $options -o m "$data/a.tok"
        assert_exit 2
        assert_absent m m.part
    done
    run train --model "$data/config.json" "$data/a.tok"
    assert_exit 2
    assert_line "-o CKPT"
    run train -o m "$data/a.tok"
    assert_exit 2
    assert_line "--model"
}

@test "train: a folder that is no checkpoint is not replaced" {
    mkdir home && touch home/letter
    run train $small --steps 1 -o home "$data/a.tok"
    assert_exit 1
    assert_line "home: exists and is no checkpoint"
    assert_equal "$(ls home)" letter
}

@test "train: an old checkpoint is replaced only at the end" {
    train $small --steps 2 -o m "$data/a.tok"
    cp -r m old
    run train $small --lr 1e30 --steps 9 -o m "$data/a.tok"
    assert_exit 4
    assert_same m/model.safetensors old/model.safetensors
    train $small --steps 4 --restart -o m "$data/a.tok"
    assert_equal "$(jq .step m/state.json)" 4
    assert_absent m.part
}

@test "train: a log that cannot be written is an error" {
    run train $small --steps 1 --log /dev/full -o m "$data/a.tok"
    assert_exit 1
    assert_absent m
}

@test "formats: every file of a checkpoint and every key of its state and log stand in docs/formats.md" {
    train $small --steps 4 --save-every 2 --keep 1 --eval "$data/a.tok" --log log --tokenizer "$data/config.json" -o m "$data/a.tok"
    local name
    for name in $(ls m) $(jq -r keys[] m/state.json) $(jq -r '.interval | keys[]' m/state.json) $(jq -r keys[] log | sort -u); do
        grep -qE "\`$name(/step-N/)?\`" "$root/docs/formats.md" || { echo "not documented: $name"; return 1; }
    done
}
