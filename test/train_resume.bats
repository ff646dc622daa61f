# A run that is interrupted, in whatever way, ends in the same bytes as one that is not.
load helpers
load train_helpers

setup_file() {
    load helpers
    load train_helpers
    cd "$BATS_FILE_TMPDIR"
    config 64 32 64 2 > config.json
    pattern 500 32 > a.tok
    export data=$BATS_FILE_TMPDIR
    export run="--model $data/config.json --batch 16 --lr 1e-3 --steps 150 --schedule cosine --warmup 10 \
        --shuffle --seed 3 --save-every 7 --eval $data/a.tok --eval-sequences 0..20 --eval-every 25 -q"
    train $run --log whole.log -o whole "$data/a.tok"
}

# lines of a log without what the clock decides
timeless() {
    jq -c 'del(.seconds, .tokens_per_second, .waited)' "$1"
}

@test "train --resume: kill -9 at ten random moments changes neither the bytes nor the log" {
    kills=0
    for i in $(seq 10); do
        train $run --resume --log log -o m "$data/a.tok" &
        pid=$!
        sleep "0.$(printf %03d $((RANDOM % 250 + 20)))"
        if kill -9 $pid 2>/dev/null; then
            kills=$((kills + 1))
        fi
        wait $pid || true
        [ ! -e m ] || break
    done
    train $run --resume --log log -o m "$data/a.tok"
    same_weights m "$data/whole"
    assert_equal "$(timeless log)" "$(timeless "$data/whole.log")"
    assert_absent m.part
    [ $kills -ge 2 ]
}

@test "train --resume: nothing there is a fresh start, a finished checkpoint is left alone" {
    train $run --resume --steps 30 -o m "$data/a.tok"
    before=$(stat -c %i.%s m m/*)
    touch later
    run train ${run% -q} --resume --steps 30 -o m "$data/a.tok"
    assert_exit 0
    assert_line "train: m: is complete"
    assert_equal "$(stat -c %i.%s m m/*)" "$before"
    [ ! later -nt m/model.safetensors ] # so make does not ask again
}

# A run in m.part that stopped at its first saved state.
interrupted_run() {
    train $run --log log -o m "$data/a.tok" &
    pid=$!
    while [ ! -e m.part/current ]; do
        sleep 0.01
    done
    kill -"${1:-9}" $pid
    wait $pid || code=$?
}

@test "train --resume: refuses a changed configuration with key and both values" {
    interrupted_run
    run train $run --resume --lr 2e-3 -o m "$data/a.tok"
    assert_exit 3
    assert_match "m.part has 0.001[0-9]*, this command says 0.002"
    assert_line "key 'lr'"
    pattern 501 32 > b.tok
    run train $run --resume -o m b.tok
    assert_exit 3
    assert_line "key 'data'"
    config 64 32 32 2 > other.json
    run train $run --resume --model other.json -o m "$data/a.tok"
    assert_exit 3
    assert_line "key 'hidden': m.part has 64, this command says 32"
    # what does not decide the bytes may change
    train $run --resume --threads 1 --log-every 50 --save-every 40 -o m "$data/a.tok"
    same_weights m "$data/whole"
}

@test "train --resume: an older command's checkpoint does not bar the way to this command's unfinished run" {
    train $run --steps 20 -o m "$data/a.tok"
    interrupted_run
    train $run --resume --log log -o m "$data/a.tok"
    same_weights m "$data/whole"
    assert_equal "$(timeless log)" "$(timeless "$data/whole.log")"
    run train $run --resume --steps 20 -o m "$data/a.tok"
    assert_exit 3
    assert_line "key 'steps': m has 150, this command says 20"
    assert_absent m.part
    same_weights m "$data/whole"
}

@test "train --resume: states that cannot be found are not removed" {
    interrupted_run
    echo nonsense > m.part/current
    run train $run --resume -o m "$data/a.tok"
    assert_exit 3
    assert_line "m.part/current: names no generation"
    compgen -G "m.part/step-*/model.safetensors"
}

@test "train --resume: with --restart a changed configuration starts over" {
    interrupted_run
    train $run --resume --restart --steps 20 -o m "$data/a.tok"
    assert_equal "$(jq .step m/state.json)" 20
    run train $run --resume --steps 25 -o m "$data/a.tok"
    assert_exit 3
    assert_line "key 'steps': m has 20, this command says 25"
    train $run --resume --restart --steps 25 -o m "$data/a.tok"
    assert_equal "$(jq .step m/state.json)" 25
}

@test "train: without --resume an unfinished run is not thrown away" {
    interrupted_run
    run train $run -o m "$data/a.tok"
    assert_exit 1
    assert_line "m.part: holds an unfinished run; --resume goes on, --restart starts over"
    train $run --restart -o m "$data/a.tok"
    same_weights m "$data/whole"
}

@test "train: SIGTERM saves where it is, and --resume goes on from there" {
    train $run --save-every 0 --log log -o m "$data/a.tok" &
    pid=$!
    until [ -s log ]; do
        sleep 0.01
    done
    kill -TERM $pid
    code=0
    wait $pid || code=$?
    assert_equal $code 143
    [ -e m.part/current ]
    train $run --resume --log log -o m "$data/a.tok"
    same_weights m "$data/whole"
    assert_equal "$(timeless log)" "$(timeless "$data/whole.log")"
}

@test "train --resume: killed between its last state and the removal of the one before, it keeps no snapshot" {
    train $run --save-every 5 --keep 1 -o m "$data/a.tok"
    mkdir m.part
    mv m/snapshots/step-* m.part
    rmdir m/snapshots
    step=$(jq .step m/state.json)
    mv m "m.part/step-$step"
    echo "step-$step" > m.part/current
    train $run --save-every 5 --resume -o m "$data/a.tok"
    same_weights m "$data/whole"
    [ ! -e m/snapshots ]
}

@test "train: two runs do not share a folder" {
    train $run --steps 100000 -o m "$data/a.tok" &
    pid=$!
    until [ -s m.part/lock ]; do
        sleep 0.01
    done
    run train $run --resume --steps 100000 -o m "$data/a.tok"
    kill -9 $pid
    assert_exit 1
    assert_match "m.part: process $pid is training here, on $(uname -n) since 20[0-9-]+T"
}

@test "train --resume: a pipe is read again from its beginning" {
    once="--model $data/config.json --batch 4 --lr 1e-3 --dtype f32 -q"
    train $once -o whole < <(cat "$data/a.tok")
    for i in 1 2 3; do
        train $once --save-every 5 --resume -o m < <(cat "$data/a.tok") &
        pid=$!
        sleep 0.1
        kill -9 $pid 2>/dev/null || true
        wait $pid || true
    done
    train $once --resume -o m < <(cat "$data/a.tok")
    same_weights m whole
    run train $once --resume -o m < <(pattern 501 32)
    assert_exit 3
    assert_line "key 'data'"
}

@test "train --resume: a pipe whose writer died with us, in the middle of a batch, is no loss" {
    once="--model $data/config.json --batch 16 --lr 1e-3 --dtype f32 --save-every 1 --log-every 1 -q"
    lines 500 32 | mkstream tokens from=json length=32 vocab=64 level=0 frame=1000 > framed.tok
    train $once -o whole < <(cat framed.tok)
    {
        head -c $(($(stat -c %s framed.tok) / 2)) framed.tok
        until [ "$(cat log 2>/dev/null | wc -l)" -ge 12 ]; do
            sleep 0.05
        done
        sleep 0.5
        stat -c %i m.part/step-*/model.safetensors > before
        read -r pid _ < m.part/lock
        kill -TERM "$pid"
    } | train $once --log log -o m || code=$?
    assert_equal $code 143
    # the state of this step was there already, and stays where it is
    assert_same before <(stat -c %i m.part/step-*/model.safetensors)
    train $once --resume --log log -o m < <(cat framed.tok)
    same_weights m whole
}

# It is exchanged for the shorter log, and removed: a kill between the two leaves it.
@test "train --resume: removes a copy of the log that a killed run left" {
    interrupted_run
    echo half > log.tmp.4194303.0
    train $run --resume --log log -o m "$data/a.tok"
    assert_absent log.tmp.4194303.0
}
