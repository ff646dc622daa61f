# What every Bats file shares. Use it so:
#
#     load helpers
#     @test "route: refuses a stream of another vocabulary" {
#         run route -m model other.tok
#         assert_exit 3
#         assert_line "other.tok: vocabulary"
#     }
#
# The tools under test come first on PATH: $TACIT_BIN, or bin/ of this tree. Each test starts in an empty
# folder of its own, $T, which Bats removes; $root is the tree, $build what was built beside the tools.

root=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
bin=${TACIT_BIN:-$root/bin}
build=${TACIT_BUILD:-$root/build}
golden=$root/test/golden
export TACIT_GOLDEN=$golden
export PATH="$bin:$PATH" LC_ALL=C
unset TACIT_DEVICE
# An allocation that fails is an error to report, under AddressSanitizer too.
export ASAN_OPTIONS=${ASAN_OPTIONS:-allocator_may_return_null=1}

setup() {
    T=$BATS_TEST_TMPDIR
    cd "$T"
}

# assert_exit CODE: what `run` left in $status.
assert_exit() {
    if [ "$status" -ne "$1" ]; then
        printf 'exit status %s, expected %s; output:\n%s\n' "$status" "$1" "$output" >&2
        return 1
    fi
}

# assert_line TEXT: some line of the output contains TEXT (fixed string).
assert_line() {
    if ! grep -qF -- "$1" <<<"$output"; then
        printf 'no line contains: %s\noutput:\n%s\n' "$1" "$output" >&2
        return 1
    fi
}

# assert_no_line TEXT: no line of the output contains TEXT.
assert_no_line() {
    if grep -qF -- "$1" <<<"$output"; then
        printf 'a line contains: %s\noutput:\n%s\n' "$1" "$output" >&2
        return 1
    fi
}

# assert_match REGEX: some line of the output matches the extended regular expression.
assert_match() {
    if ! grep -qE -- "$1" <<<"$output"; then
        printf 'no line matches: %s\noutput:\n%s\n' "$1" "$output" >&2
        return 1
    fi
}

# assert_equal ACTUAL EXPECTED
assert_equal() {
    if [ "$1" != "$2" ]; then
        printf 'got:      %s\nexpected: %s\n' "$1" "$2" >&2
        return 1
    fi
}

# assert_same FILE FILE: byte for byte.
assert_same() {
    cmp -- "$1" "$2" >&2
}

# assert_absent PATH...: nothing is there, and no temporary file of it either.
assert_absent() {
    local path
    for path in "$@"; do
        if compgen -G "$path" >/dev/null || compgen -G "$path.tmp.*" >/dev/null; then
            printf 'exists: %s\n' "$path" "$path".tmp.* >&2
            return 1
        fi
    done
}

# assert_close ACTUAL EXPECTED TOLERANCE: |actual - expected| <= tolerance x max(1, |expected|).
assert_close() {
    awk -v a="$1" -v b="$2" -v t="$3" 'BEGIN {
        d = a - b; if (d < 0) d = -d
        m = b < 0 ? -b : b; if (m < 1) m = 1
        if (a == "" || !(d <= t * m)) { printf "got %s, expected %s within %s\n", a, b, t; exit 1 }
    }' >&2
}

# run_pipe 'SHELL PIPELINE': run it under bash -eo pipefail, as the pipelines do; $status and $output as `run`.
run_pipe() {
    run bash -eo pipefail -c "$1"
}

# run_separate COMMAND...: as `run`, but $output is standard output alone and $errors standard error.
run_separate() {
    local file=$BATS_TEST_TMPDIR/.errors
    status=0
    output=$("$@" 2>"$file") || status=$?
    errors=$(cat "$file")
}
