# Models that are trained side by side (--expert A..B) end as if each had been trained alone.
load helpers
load train_helpers

setup_file() {
    export data=$BATS_FILE_TMPDIR
    export common="--model $data/config.json --batch 8 --lr 3e-3 --dtype f32 -q --assignment $data/a.asg"
    cd "$data"
    config > config.json
    pattern 240 32 > a.tok
    assignment 240 3 32 > a.asg
}

# Train expert $1 alone, as $2.$1, with the seed that it has beside others (--seed 7 there).
alone() {
    train $common --expert "$1" --seed $((7 + $1)) "${@:3}" -o "$2.$1" "$data/a.tok"
}

account() {
    jq -c 'del(.seconds, .compute_seconds)' "$1/state.json"
}

@test "train --expert A..B: weights, moments and accounts of each model trained alone" {
    train $common --expert 0..2 --seed 7 --steps 20 --shuffle -o 'm.%d' "$data/a.tok"
    for e in 0 1 2; do
        alone $e s --steps 20 --shuffle
        same_weights m.$e s.$e
        assert_equal "$(account m.$e)" "$(account s.$e)"
    done
    assert_equal "$(ls -d m.*)" "$(printf 'm.0\nm.1\nm.2')"
}

@test "train --expert A..B: goes on from each one's own ancestor, and evaluates each on its share" {
    train $common --expert 1..2 --seed 7 --steps 5 -o 'm.%d' "$data/a.tok"
    train $common --expert 1..2 --seed 7 --steps 5 --continue 'm.%d' --micro-batch 3 --recompute --log log \
        --eval "$data/a.tok" --eval-assignment "$data/a.asg" -o 'n.%d' "$data/a.tok"
    for e in 1 2; do
        alone $e s --steps 5 --continue m.$e --micro-batch 3 --log log.$e --eval "$data/a.tok" \
            --eval-assignment "$data/a.asg"
        same_weights n.$e s.$e
        assert_equal "$(jq -c "select(.expert == $e) | del(.expert, .seconds, .tokens_per_second, .waited)" log)" \
            "$(jq -c 'del(.seconds, .tokens_per_second, .waited)' log.$e)"
    done
}

@test "train --expert A..B: killed at any moment, --resume ends in the same bytes" {
    local run="$common --expert 0..2 --seed 7 --steps 60 --save-every 7 -o m.%d $data/a.tok" i
    train $run
    for e in 0 1 2; do mv m.$e whole.$e; done
    for i in 1 2 3 4 5 6 7 8; do
        timeout -s KILL 0.0$((i * 3 % 10))$i train $run --resume || true
        [ ! -d m.2 ] || break
    done
    train $run --resume
    for e in 0 1 2; do same_weights m.$e whole.$e; done
    assert_equal "$(ls -d m.*)" "$(printf 'm.0\nm.1\nm.2')"
    run train ${run/ -q/} --resume
    assert_exit 0
    assert_line "m.1: is complete"
}

# A kill while the folders advance leaves some of them one generation ahead.
@test "train --expert A..B: goes on from the step that all have" {
    local run="$common --expert 0..1 --seed 7 --steps 40 --save-every 10 -o m.%d $data/a.tok"
    train $run
    for e in 0 1; do mv m.$e whole.$e; done
    train $run & pid=$!
    while [ ! -e m.1.part/current ]; do sleep 0.01; done
    kill -9 $pid
    wait $pid || true
    cp -r m.1.part behind
    train $common --expert 0 --seed 7 --steps 40 --save-every 10 --keep 9 -o ahead "$data/a.tok"
    rm -rf m.0.part m.1.part
    mkdir m.0.part
    cp -r ahead/snapshots/step-10 ahead/snapshots/step-20 m.0.part/
    echo step-20 > m.0.part/current
    cp -r behind m.1.part
    run train ${run/ -q/} --resume
    assert_exit 0
    assert_match "m.0.part: goes on from step 10"
    for e in 0 1; do same_weights m.$e whole.$e; done
}

@test "train --expert A..B: finished models are left alone, and the others trained" {
    local run="$common --expert 0..2 --seed 7 --steps 6 -o m.%d $data/a.tok"
    train $run
    for e in 0 1 2; do cp -r m.$e whole.$e; done
    rm -r m.1
    run train ${run/ -q/} --resume
    assert_exit 0
    assert_line "m.0: is complete"
    for e in 0 1 2; do same_weights m.$e whole.$e; done
}

@test "train --expert: mistakes are named" {
    local e
    for e in x 1..x 2..1 1.. -1 0..70000 1...2; do
        run train $common --expert $e -o 'm.%d' "$data/a.tok"
        assert_exit 2
        assert_match "--expert"
    done
    run train $common --expert 0..1 -o m "$data/a.tok"
    assert_exit 2
    assert_line "train: -o: 'm' has not one %d for the expert and no other %"
    run train $common --expert 0..1 --continue m -o 'm.%d' "$data/a.tok"
    assert_exit 2
    run train $common --expert 0..3 -o 'm.%d' "$data/a.tok"
    assert_exit 3
    assert_line "has 3 experts, so none is number 3"
    run bash -c "cat $data/a.tok | train $common --expert 0..1 -o 'm.%d'"
    assert_exit 2
    assert_line "train: --expert: several of them read the same stream, so it must be a file"
    assert_equal "$(ls)" ""
    train $common --plan --expert 0..2 "$data/a.tok" | grep -q '^models  *3$'
}
