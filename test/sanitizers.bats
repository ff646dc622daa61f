# AddressSanitizer and UndefinedBehaviorSanitizer over what reads bytes from outside and over the library: every unit
# program (the hostile and damaged streams, vocabularies, JSON, safetensors and configurations are among them), and
# the files that feed damaged input to a tool. `make asan` runs the whole suite so.
load helpers

@test "sanitizers: the library and every parser run clean" {
    [ -z "${SANITIZE:-}" ] || skip "this is the sanitizers' tree"
    cd "$root"
    run env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -j2 --no-print-directory asan BUILD="$build-asan" BIN="$build-asan/bin" \
        TESTS="test/unit.bats test/view.bats test/tokenize_learn.bats test/tokenize_input.bats test/fuzz.bats"
    printf '%s\n' "$output" | tail -40
    [ "$status" -eq 0 ]
}
