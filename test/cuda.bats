# The CUDA backend without a GPU: its own files run on the emulated device (test/emulate/emulate.h), against float64,
# PyTorch's recorded steps and the CPU backend. On a GPU: make test-gpu.
load helpers
load train_helpers

setup_file() {
    load helpers
    load train_helpers
    cd "$BATS_FILE_TMPDIR"
    config > config.json
    pattern 64 32 > a.tok
    for i in 0 1 2; do
        train -q --device cpu --dtype f32 --model config.json --batch 8 --lr 3e-3 --steps 5 --seed $i -o m$i a.tok
    done
    export data=$BATS_FILE_TMPDIR
    export small="--model $data/config.json --batch 8 --lr 3e-3 --steps 20 --log-every 1 -q"
}

# Programs whose device "cuda" is emulated come first on PATH.
emulated() {
    [ -e "$build/emulated/libtacit-cuda.so" ] || skip "no emulated CUDA device: it needs g++"
    export PATH="$build/emulated:$PATH"
}

# --device auto asks for no GPU where there is no driver: here another library has its name.
driver() {
    mkdir -p libs
    ln -sf "$(ldd "$build/emulated/train" | awk '/libm\.so/ { print $3 }')" libs/libcuda.so.1
    export LD_LIBRARY_PATH=$PWD/libs
}

# unit NAME: a unit program on device "cuda"; what it computed, as a digest, is left in $bytes
unit() {
    emulated
    TACIT_TEST_DEVICE=cuda run "$1"
    printf '%s%s\n' "${EMULATE_ORDER:+EMULATE_ORDER=$EMULATE_ORDER }" "$output"
    assert_exit 0
    bytes=$(grep ': bytes ' <<<"$output" || true)
}

# The same checks, and the same bytes, in whatever order threads, warps and blocks run.
unit_in_orders() {
    unit "$1"
    local first=$bytes order
    for order in "${@:2}"; do
        EMULATE_ORDER=$order unit "$1"
        assert_equal "$bytes" "$first"
    done
}

@test "emulator: fragments are the PTX ISA's, and every misuse ends with its place" {
    emulated
    run check
    printf '%s\n' "$output"
    assert_exit 0
}

@test "cuda: attention equals float64, in any order of threads, and with the tiles for 99 KB of shared memory" {
    unit kernels_attention
    local first=$bytes
    EMULATE_CAPABILITY=8.6 EMULATE_ORDER=random:$RANDOM unit kernels_attention
    assert_equal "$bytes" "$first"
}
@test "cuda: attention by wgmma equals float64, in any order of threads" {
    export EMULATE_CAPABILITY=9.0 TACIT_ATTENTION=wgmma
    unit_in_orders kernels_attention "random:$RANDOM"
}
@test "cuda: products and the classifier equal float64, in any order of threads" { unit_in_orders kernels_products backward; }
@test "cuda: embedding, norms and SwiGLU equal float64, in any order of threads" { unit_in_orders kernels_rows backward "random:$RANDOM"; }
@test "cuda: the optimizer equals float64, in any order of threads" { unit_in_orders kernels_update backward "random:$RANDOM"; }
@test "cuda: logits, gradients and 200 steps equal PyTorch's" { unit model_golden; }
@test "cuda: micro-batches and neighbours change nothing" { EMULATE_ORDER=backward unit model_invariance; }
@test "cuda: NaN and Inf stop with the parameters untouched" { unit model_numeric; }

# losses LOG: one a line
losses() {
    jq -r 'select(.loss) | .loss' "$1"
}

# close FILE FILE TOLERANCE: two columns of numbers, of one length
close() {
    paste "$1" "$2" | awk -v t="$3" '
        NF != 2 { print "line " NR ": " $0; exit bad = 1 }
        { d = $1 - $2; if (d < 0) d = -d; if (!(d <= t)) { print "line " NR ": " $0; exit bad = 1 } }
        END { if (!NR) { print "empty"; bad = 1 } exit bad }' >&2
}

@test "train --device cuda: the loss curve is the CPU's, in float32 and bfloat16, and comes out the same twice" {
    emulated
    local dtype
    for dtype in f32 bf16; do
        train $small --device cpu --dtype f32 --log cpu.log -o cpu "$data/a.tok"
        train $small --device cuda --dtype $dtype --log $dtype.log -o $dtype "$data/a.tok"
        assert_equal "$(losses $dtype.log | wc -l)" 20
        EMULATE_ORDER=backward train $small --device cuda --dtype $dtype -o again.$dtype "$data/a.tok"
        same_weights $dtype again.$dtype
        rm -r cpu
    done
    close <(losses f32.log) <(losses cpu.log) 2e-5
    close <(losses bf16.log) <(losses cpu.log) 0.02
    assert_equal "$(jq -r .device bf16/state.json)" "cuda (bf16, emulated device)"
}

@test "train --device cuda: attention by wgmma follows the CPU's loss, where the device has it" {
    emulated
    export EMULATE_CAPABILITY=9.0
    config 64 32 128 | jq '.num_attention_heads = 2 | .num_key_value_heads = 1' > wide.json # heads of 64
    local run="--model wide.json --batch 8 --lr 3e-3 --steps 20 --log-every 1 -q" way
    train $run --device cpu --dtype f32 --log cpu.log -o cpu "$data/a.tok"
    for way in mma wgmma; do
        TACIT_ATTENTION=$way train $run --device cuda --log $way.log -o $way "$data/a.tok"
        close <(losses $way.log) <(losses cpu.log) 0.02
        assert_equal "$(jq -r .device $way/state.json)" "cuda (bf16, emulated device, attention by $way)"
    done
    if cmp -s mma/model.safetensors wgmma/model.safetensors; then false; fi
    TACIT_ATTENTION=other run train $run --device cuda -o m "$data/a.tok"
    assert_exit 2
    assert_equal "$output" "train: TACIT_ATTENTION: 'other' is neither mma nor wgmma"
    EMULATE_CAPABILITY=8.0 TACIT_ATTENTION=wgmma run train $run --device cuda -o m "$data/a.tok"
    assert_exit 1
    assert_equal "$output" "train: TACIT_ATTENTION: device 'cuda:0' has no wgmma (only compute capability 9.0 has)"
    assert_absent m m.part
}

@test "train --device cuda --resume: an interrupted run ends in the same bytes" {
    emulated
    local run="$small --device cuda --save-every 5"
    train $run -o whole "$data/a.tok"
    train $run --resume -o m "$data/a.tok" &
    while [ ! -e m.part/current ] && kill -0 $!; do
        sleep 0.01
    done
    kill -9 $! 2>/dev/null || true
    wait $! || true
    train $run --resume -o m "$data/a.tok"
    same_weights m whole
    assert_absent m.part
}

# --log without what the clock says
timeless() {
    jq -c 'del(.seconds, .tokens_per_second, .waited)' "$1"
}

@test "train --device cuda: the host waits twice a step, for losses and norms, however many micro-batches there are" {
    emulated
    local micro steps
    for micro in 8 3 1; do
        for steps in 5 7; do
            EMULATE_COUNT=$micro.$steps train $small --device cuda --micro-batch $micro --steps $steps -o m "$data/a.tok"
        done
        assert_equal $(($(sed 's/.*waits //' $micro.7) - $(sed 's/.*waits //' $micro.5))) 4
    done
}

@test "train --device cuda: what the device does late comes out the same" {
    emulated
    local run="$small --device cuda --micro-batch 3"
    train $run --log at-once.log -o at-once "$data/a.tok"
    EMULATE_STREAM=late train $run --log late.log -o late "$data/a.tok"
    same_weights at-once late
    assert_equal "$(timeless late.log)" "$(timeless at-once.log)"
    EMULATE_STREAM=late unit model_invariance
}

@test "route --device cuda: log-probs are the CPU's, and many models score as each alone" {
    emulated
    route --device cpu --compute f32 --per-token -m "$data/m1" "$data/a.tok" -o cpu.lp
    local compute tolerance
    for compute in f32:1e-5 bf16:0.05; do
        tolerance=${compute#*:} compute=${compute%:*}
        route --device cuda --compute $compute --per-token -m "$data/m1" "$data/a.tok" -o cuda.lp
        close <(view --json cpu.lp | jq '.logprobs[]') <(view --json cuda.lp | jq '.logprobs[]') $tolerance
    done
    route --device cuda --compute f32 -m "$data/m0" -m "$data/m1" -m "$data/m2" "$data/a.tok" -o all.scr
    local i
    for i in 0 1 2; do
        route --device cuda --compute f32 -m "$data/m$i" "$data/a.tok" -o one.scr
        close <(view --json all.scr | jq ".scores[$i]") <(view --json one.scr | jq '.scores[0]') 1e-6
    done
}

# ---- what can be wrong with a device ----

@test "cuda: no device, an old driver, an old chip, a number too high are one line and exit 1" {
    emulated
    fails() { # fails "VARIABLE=VALUE..." DEVICE MESSAGE
        run env $1 train $small --device "$2" -o m "$data/a.tok"
        assert_exit 1
        assert_equal "$output" "train: $3"
        assert_absent m m.part
        run env $1 route --device "$2" -m "$data/m0" "$data/a.tok" -o s.scr
        assert_exit 1
        assert_equal "$output" "route: $3"
        assert_absent s.scr
    }
    fails EMULATE_DEVICES=0 cuda "device 'cuda': no CUDA-capable device is detected; use --device cpu"
    fails EMULATE_DRIVER=12040 cuda \
        "device 'cuda': the driver serves CUDA 12.4, and this build needs 13.0: update the driver, or use --device cpu"
    fails EMULATE_CAPABILITY=7.5 cuda "device 'cuda:0': compute capability 7.x, and 8.0 is needed"
    fails EMULATE_DEVICES=1 cuda:1 "device 'cuda:1': there is 1 (0)"
    fails EMULATE_DEVICES=3 cuda:3 "device 'cuda:3': there are 3 (0 and up)"
    EMULATE_DEVICES=3 train $small --device cuda:2 --steps 1 -o m "$data/a.tok"
}

@test "cuda: a kernel that a block's shared memory does not hold is named with both sizes" {
    emulated
    config 64 32 128 1 | jq '.num_attention_heads = 1 | .num_key_value_heads = 1' > heads.json
    EMULATE_SHARED=90000 run train $small --model heads.json --device cuda -o m "$data/a.tok"
    assert_exit 1
    assert_equal "$output" "train: step 1: device 'cuda:0': attention backward needs 97536 bytes of shared memory a block, and this device has 90000"
    EMULATE_SHARED=90000 run train --plan --model heads.json --batch 8 --device cuda "$data/a.tok"
    assert_exit 1
    assert_equal "${#lines[@]}" 1
}

@test "cuda: a product that cuBLASLt has not as a batch runs model by model; one that it has not at all is named" {
    emulated
    local all="-m $data/m0 -m $data/m1 -m $data/m2"
    route --device cuda $all "$data/a.tok" -o whole.scr
    EMULATE_BATCH=1 route --device cuda $all "$data/a.tok" -o single.scr
    close <(view --json single.scr | jq '.scores[]') <(view --json whole.scr | jq '.scores[]') 0.02
    EMULATE_BATCH=0 run route --device cuda -m "$data/m0" "$data/a.tok" -o s.scr
    assert_exit 1
    assert_match "^route: device 'cuda:0': cuBLASLt [0-9]+ refuses the product [0-9]+x[0-9]+x[0-9]+ models 1 NT bf16>bf16 ld [0-9]+ .* align 16 16 16 16: it has no algorithm"
    assert_absent s.scr
}

@test "cuda: memory that is too small is named in bytes, with what to lower" {
    emulated
    EMULATE_MEMORY=34000000 run train $small --device cuda -o m "$data/a.tok"
    assert_exit 1
    assert_match "^train: .*device 'cuda:0': cannot allocate [0-9]+ bytes \([0-9]+ in use here, [0-9]+ of 34000000 are free\); a smaller --micro-batch"
    assert_absent m m.part
    EMULATE_MEMORY=34000000 run route --device cuda -m "$data/m0" "$data/a.tok" -o s.scr
    assert_exit 1
    assert_match "^route: .*device 'cuda:0': cannot allocate [0-9]+ bytes .*; a smaller --batch"
    assert_absent s.scr
    EMULATE_MEMORY=1000 run train $small --device cuda -o m "$data/a.tok" # not even the backend's own
    assert_exit 1
    assert_equal "${#lines[@]}" 1
}

@test "cuda: a broken or foreign shared object is one line and exit 1" {
    emulated
    cp "$build/emulated/train" .
    head -c 20000 "$build/emulated/libtacit-cuda.so" > libtacit-cuda.so
    run ./train $small --device cuda -o m "$data/a.tok"
    assert_exit 1
    assert_equal "$output" "train: device 'cuda': $T/libtacit-cuda.so: the file was cut off at byte 20000; use --device cpu"
    head -c 20 "$build/emulated/libtacit-cuda.so" > libtacit-cuda.so
    run ./train $small --device cuda -o m "$data/a.tok"
    assert_exit 1
    assert_match "^train: device 'cuda': $T/libtacit-cuda.so: .*; use --device cpu"
    assert_equal "${#lines[@]}" 1
    printf 'int nothing;' | gcc -shared -x c -o libtacit-cuda.so -
    run ./train $small --device cuda -o m "$data/a.tok"
    assert_exit 1
    assert_equal "$output" "train: device 'cuda': $T/libtacit-cuda.so: no kernels_cuda_open in it"
    assert_absent m m.part
}

@test "cuda: --version names the backend where it lies beside the tools" {
    emulated
    assert_equal "$("$build/emulated/train" --version | tail -1)" "backends: cpu cuda"
    cp "$build/emulated/train" .
    assert_equal "$(./train --version | tail -1)" "backends: cpu"
}

@test "cuda: the backend as nvcc made it loads, and says that no driver is here" {
    [ -e "$bin/libtacit-cuda.so" ] || skip "built without CUDA"
    [ -z "$(ldconfig -p | grep 'libcuda\.so\.1')" ] || skip "a driver is here"
    run "$bin/train" $small --device cuda -o m "$data/a.tok"
    assert_exit 1
    assert_equal "$output" "train: device 'cuda': there is no NVIDIA driver here; use --device cpu"
    assert_absent m m.part
}

@test "--device auto: without a driver the CPU, and not a word" {
    emulated
    [ -z "$(ldconfig -p | grep 'libcuda\.so\.1')" ] || skip "a driver is here"
    run train $small --device auto --steps 1 -o m "$data/a.tok"
    assert_exit 0
    assert_equal "$output" ""
    assert_equal "$(jq -r .device m/state.json | cut -d' ' -f1)" cpu
}

@test "--device auto: CUDA where it starts, otherwise the CPU with a notice that says why" {
    emulated
    driver
    train $small --device auto --steps 1 -o m "$data/a.tok"
    assert_match_text "$(jq -r .device m/state.json)" '^cuda '
    EMULATE_DEVICES=0 run train ${small% -q} --device auto --steps 1 -o n "$data/a.tok"
    assert_exit 0
    assert_line "train: device 'cuda': no CUDA-capable device is detected; running on the CPU"
    assert_match_text "$(jq -r .device n/state.json)" '^cpu '
    EMULATE_DEVICES=0 run route --device auto -m "$data/m0" "$data/a.tok" -o s.scr
    assert_exit 0
    assert_line "route: device 'cuda': no CUDA-capable device is detected; running on the CPU"
    EMULATE_DEVICES=0 run train $small --device auto --steps 1 -o q "$data/a.tok"
    assert_equal "$output" "" # -q
    cp "$build/emulated/train" . # without a backend there is nothing to say
    run ./train ${small% -q} --device auto --steps 1 -o p "$data/a.tok"
    assert_exit 0
    assert_no_line "device 'cuda'"
    head -c 20000 "$build/emulated/libtacit-cuda.so" > libtacit-cuda.so
    run ./train ${small% -q} --device auto --steps 1 -o r "$data/a.tok"
    assert_exit 0
    assert_line "train: device 'cuda': $T/libtacit-cuda.so: the file was cut off at byte 20000; running on the CPU"
}

assert_match_text() {
    grep -qE "$2" <<<"$1" || { printf 'got: %s\n' "$1" >&2; return 1; }
}

# ---- on a GPU ----

# Its runner, from a folder as it would be carried; the emulated device is its GPU.
@test "make test-gpu: one folder has everything, and its runner ends with a count" {
    emulated
    bash "$root/test/gpu/collect" "$T/gpu-kit" "$bin" "$build" "$build/emulated/libtacit-cuda.so"
    run env -i HOME="$HOME" PATH=/usr/bin:/bin EMULATE_MEMORY=1000000000 "$T/gpu-kit/run" --quick
    printf '%s\n' "$output"
    assert_exit 0
    assert_match '^device   cuda \(bf16, emulated device\)$'
    assert_match '^[1-9][0-9]* passed, 0 failed, [0-9]+ skipped$'
    EMULATE_DEVICES=0 run "$T/gpu-kit/run" --quick
    assert_exit 1
    assert_line "no CUDA-capable device is detected"
    assert_line "0 passed, 1 failed, 0 skipped"
}
