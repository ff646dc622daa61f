# The fuzz targets: test/fuzz/targets/NAME.c says of each what it feeds and what must hold. The kept inputs are
# replayed everywhere; where clang is, each target also runs for a moment (`make fuzz` runs them for longer).
load helpers

@test "fuzz: every kept input is read without harm" {
    for corpus in "$root"/test/fuzz/corpus/*/; do
        run "$build/fuzz/$(basename "$corpus")" "$corpus"*
        printf '%s\n' "$output"
        assert_exit 0
    done
}

@test "fuzz: kept streams are read without harm where no thread reads ahead" {
    for target in stream stream-unhashed; do
        run env FUZZ_THREADS=0 "$build/fuzz/$target" "$root/test/fuzz/corpus/$target/"*
        printf '%s\n' "$output"
        assert_exit 0
    done
}

@test "fuzz: every target has kept inputs" {
    for target in "$root"/test/fuzz/targets/*.c; do
        target=$(basename "$target" .c)
        [ -x "$build/fuzz/$target" ] && [ -n "$(ls "$root/test/fuzz/corpus/$target")" ]
    done
}

@test "fuzz: the build without hash checks takes streams whose hashes are 0" {
    run env FUZZ_ACCEPT=1 "$build/fuzz/stream-unhashed" "$root"/test/fuzz/corpus/stream-unhashed/seed-*
    assert_exit 0
    run env FUZZ_ACCEPT=1 "$build/fuzz/stream" "$root"/test/fuzz/corpus/stream/seed-*
    assert_exit 0
    run env FUZZ_ACCEPT=1 "$build/fuzz/stream" "$root"/test/fuzz/corpus/stream-unhashed/seed-*
    [ "$status" -ne 0 ]
}

@test "fuzz: a moment with every target finds nothing" {
    [ -z "${SANITIZE:-}" ] || skip "clang has its own sanitizers"
    command -v clang > /dev/null || skip "no clang, and libFuzzer comes with it"
    cd "$root"
    run env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -j2 --no-print-directory fuzz BUILD="$build" BIN="$bin" \
        FUZZ_SECONDS=1
    printf '%s\n' "$output" | tail -40
    assert_exit 0
}
