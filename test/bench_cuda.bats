# `make tune` and `make bench DEVICE=cuda` without a GPU, at toy size on the emulated device.
load helpers
load train_helpers

setup() {
    T=$BATS_TEST_TMPDIR
    cd "$T"
    [ -e "$build/emulated/libtacit-cuda.so" ] || skip "no emulated CUDA device: it needs g++"
    export PATH="$build/emulated:$PATH"
    unset TACIT_TUNE
}

@test "tune: the table names each product with its algorithm, and runs that load it say so" {
    config > config.json
    pattern 64 32 > a.tok
    run tune --device cuda table config.json:2:32 config.json:1:16:3
    assert_exit 0
    assert_equal "$(grep -v '^#' table | cut -f 1-2 | sort -u)" $'emulated device\t130000'
    assert_equal "$(grep -v '^#' table | cut -f 4- | grep -vE $'^([0-9a-f]{128}|apart)\t[0-9.]+\t[0-9.]+$')" ""
    # forward qkv, out, up with GELU, down; the same backward to the input; the same to the weights
    cut -f 3 table | grep '^64x96x32 models 1 NT bf16>bf16 '
    cut -f 3 table | grep '^64x128x32 models 1 NT bf16>bf16 gelu-keep '
    cut -f 3 table | grep '^64x128x32 models 1 NN bf16>bf16 gelu-slope '
    cut -f 3 table | grep '^96x32x64 models 1 TN bf16>f32 add '
    cut -f 3 table | grep '^16x96x32 models 3 NT bf16>bf16 '
    run train --device cuda --model config.json --batch 2 --plan a.tok
    assert_no_line tuned
    TACIT_TUNE=table run train --device cuda --model config.json --batch 2 --plan a.tok
    assert_exit 0
    assert_match 'device +cuda \(bf16, emulated device, tuned [0-9a-f]{8}\)'
    TACIT_TUNE=table train -q --device cuda --model config.json --batch 2 --steps 2 -o m a.tok
    jq -e '.device | test("tuned")' m/state.json
}

@test "tune: where there are two kernels for attention, the table chooses by shape" {
    export EMULATE_CAPABILITY=9.0
    config 64 32 128 | jq '.num_attention_heads = 2 | .num_key_value_heads = 1' > config.json # heads of 64
    pattern 16 32 > a.tok
    run tune --device cuda table config.json:2:32
    assert_exit 0
    grep -P '^emulated device\t130000\tattention forward 2x32 heads 2 of 64 keys 1\t(mma|wgmma)\t[0-9.]+\t[0-9.]+$' table
    grep -P '^emulated device\t130000\tattention backward 2x32 heads 2 of 64 keys 1\t(mma|wgmma)\t[0-9.]+\t[0-9.]+$' table
    local way run="-q --device cuda --model config.json --batch 2 --steps 2"
    for way in mma wgmma; do
        awk -F '\t' -v OFS='\t' -v way=$way '$3 ~ /^attention/ { $4 = way } 1' table > $way.table
        TACIT_TUNE=$way.table train $run -o by.$way a.tok
        TACIT_TUNE=$way.table TACIT_ATTENTION=$way train $run -o said.$way a.tok
        same_weights by.$way said.$way
    done
    if same_weights by.mma by.wgmma; then false; fi
    TACIT_TUNE=wgmma.table TACIT_ATTENTION=mma train $run -o other a.tok # what is said counts before the table
    same_weights other by.mma
    awk -F '\t' -v OFS='\t' '$3 ~ /^attention/ { $4 = "fast" } 1' table > damaged
    TACIT_TUNE=damaged run train $run -o m a.tok
    assert_exit 1
    assert_line "the table of \`make tune\` has 'fast' for attention forward 2x32 heads 2 of 64 keys 1"
}

@test "tune: a table that is missing, foreign or damaged is one line and no run" {
    config > config.json
    pattern 64 32 > a.tok
    tune --device cuda table config.json:2:32
    sed 's/^emulated device/another device/' table > other
    sed 's/\t0000/\tzz00/' table > damaged
    echo nonsense > nonsense
    run env TACIT_TUNE=missing train --device cuda --model config.json --batch 2 --steps 1 -o m a.tok
    assert_exit 1
    assert_equal "$output" "train: TACIT_TUNE: missing: cannot open it"
    run env TACIT_TUNE=nonsense train --device cuda --model config.json --batch 2 --steps 1 -o m a.tok
    assert_exit 3
    assert_equal "$output" 'train: nonsense: not a table of `make tune`'
    run env TACIT_TUNE=other train --device cuda --model config.json --batch 2 --steps 1 -o m a.tok
    assert_exit 3
    assert_match 'TACIT_TUNE: other: no line is for emulated device with cuBLASLt [0-9]+'
    run env TACIT_TUNE=damaged train --device cuda --model config.json --batch 2 --steps 1 -o m a.tok
    assert_exit 1
    assert_line 'has an algorithm that cuBLASLt refuses'
    TACIT_TUNE= train -q --device cuda --model config.json --batch 2 --steps 1 -o m a.tok
    run tune --device cpu table config.json:2:32
    assert_exit 2
    assert_line "has nothing to tune"
}

@test "bench DEVICE=cuda: rows with rates, shares, kernels against floors; the peer's absence is said" {
    command -v python3 > /dev/null || skip "no python3"
    bash "$root/test/gpu/collect" "$T/kit" "$bin" "$build" "$build/emulated/libtacit-cuda.so"
    export BENCH_RESULTS=$T/results
    make_bench() { # as on a machine where only the kit is
        BENCH_QUICK=1 BENCH_PEERS=0 MAKEFLAGS= run make -C "$root" --no-print-directory bench DEVICE=cuda \
            BENCH="$*" GPU_KIT="$T/kit" BUILD="$T/b" BIN="$T/none" VERSION=unknown
    }
    make_bench attention-backward train-router train-routers-32
    printf '%s\n' "$output"
    assert_exit 0
    jq -e '.device == "cuda (bf16, emulated device)" and .quick and (.rows | length == 3) and (.rows | all(.value > 0
        and .tflops > 0 and .share_of_product > 0 and (.kernels | length > 0) and .vs_pytorch.value == null)
        )' results/*.json
    jq -e '.roofline | all(.kernels | length == '"$(grep -c '^    {"' "$root/bench/kernels.c")"' - 4
        and all(.microseconds > 0 and .floor_microseconds > 0))' results/*.json
    jq -e --arg commit "$(cat kit/version)" '.commit == $commit' results/*.json
    make_bench no-such-row
    [ "$status" != 0 ]
    assert_line "no row no-such-row; there are attention-forward"
    # by itself, from another place, with what travelled along; tuning as well
    config > config.json
    mv kit moved
    run env -i HOME="$HOME" PATH=/usr/bin:/bin moved/bench tune config.json:2:32
    assert_exit 0
    grep -q '^emulated device' moved/libtacit-cuda.tune
    pattern 64 32 > a.tok
    PATH=$T/moved:$PATH run train --device cuda --model config.json --batch 2 --plan a.tok
    assert_match 'tuned [0-9a-f]{8}'
    mv moved kit; rm -r results
    make_bench attention-forward
    jq -e '.tuned | length > 10 and all(.microseconds > 0 and .microseconds <= .untuned_microseconds)' results/*.json
}
