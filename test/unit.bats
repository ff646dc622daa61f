# The unit programs, test/unit/NAME.c: one line per program, its name the promise that the program checks.
# What a failing program prints is shown.

load helpers

unit() {
    run "$build/unit/$1"
    printf '%s\n' "$output"
    [ "$status" -eq 0 ]
}

@test "base: an error keeps its code and one message per thread" { unit base_error; }
@test "base: sizes never overflow and buffers grow" { unit base_memory; }
@test "base: an output appears whole or not at all" { unit base_file; }
@test "base: random numbers are Philox, and permutations are one to one" { unit base_random; }
@test "base: every task of a region runs once, whatever the number of threads" { unit base_threads; }
@test "base: JSON is bounded, checked and written canonically" { unit base_json; }
@test "base: digests are XXH3-128 in canonical order" { unit base_hash; }

@test "unit: every program in test/unit is listed in this file" {
    for source in "$root"/test/unit/*.c; do
        name=$(basename "$source" .c)
        grep -q "{ unit $name; }" "$root/test/unit.bats" || { echo "not listed: $name"; return 1; }
    done
}
