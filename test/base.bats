# The contract that every tool has from lib/base: options, help, messages, exit codes, outputs, the log.
# test/base_tool.c is a tool with one option of every type.

load helpers

tool() {
    "$build/test/base_tool" "$@"
}

# ---- options ----

@test "base: defaults hold where nothing is given" {
    run_separate tool
    assert_exit 0
    assert_line "flag=0 mode=print count=10 unset=-1 memory=268435456 rate=0.0005"
    assert_line "label=(none) sequences=0..9223372036854775807 given=0"
    assert_line "device=auto threads=0 seed=0 quiet=0 verbose=0"
    assert_equal "$errors" "base_tool: a notice"
}

@test "base: every form of an option is taken, and operands may stand between" {
    run tool a --count 5 -f b --label=x=y -m one -mtwo --model three - --memory 2G -- --rate
    assert_exit 0
    assert_line "flag=1 mode=print count=5 unset=-1 memory=2147483648"
    assert_line "label=x=y "
    assert_line "given=1"
    assert_equal "$(grep -o '^model=.*' <<<"$output" | tr '\n' ' ')" "model=one model=two model=three "
    assert_equal "$(grep -o '^operand=.*' <<<"$output" | tr '\n' ' ')" "operand=a operand=b operand=- operand=--rate "
}

@test "base: flags may share one dash, and a value may start with a dash" {
    run tool -fqn7 --label -x
    assert_exit 0
    assert_line "flag=1 mode=print count=7"
    assert_line "label=-x"
    assert_no_line "a notice"
}

@test "base: numbers take K, M and G, by 1000, and sizes by 1024" {
    run tool --count 3K --memory 3K --rate 0.5 --sequences 1K..2M
    assert_exit 0
    assert_line "count=3000 unset=-1 memory=3072 rate=0.5"
    assert_line "sequences=1000..2000000"
    run tool --sequences ..5
    assert_line "sequences=0..5"
    run tool --sequences 5..
    assert_line "sequences=5..9223372036854775807"
}

@test "base: a bad value is refused with the option, the value and what is permitted" {
    local value
    for value in 12x x '' ' 5' 5.0 0x10 1T 5KK - +5; do
        run tool --count "$value"
        assert_exit 2
        assert_equal "$output" "base_tool: --count: '$value' is not a whole number (1 to 1000000); try 'base_tool --help'"
    done
    for value in 0 -5 1000001 2M; do
        run tool --count="$value"
        assert_exit 2
        assert_line "--count: '$value' is out of range (1 to 1000000)"
    done
    run tool --memory 99999999999999999999
    assert_exit 2
    assert_line "--memory: '99999999999999999999' is too large"
    run tool --memory 9999999999G
    assert_exit 2
    assert_line "is too large"
    for value in nan inf 0x1p3 1e999 0.5x ''; do
        run tool --rate "$value"
        assert_exit 2
        assert_line "--rate: '$value' is"
    done
    for value in 5 5..5 6..5 -1..5 a..b 1..2..3; do
        run tool --sequences "$value"
        assert_exit 2
        assert_line "--sequences: '"
    done
    run tool --mode fly
    assert_exit 2
    assert_line "--mode: 'fly' is not one of print, copy, wait, fail, log, progress"
    run tool --device gpu
    assert_exit 2
    assert_line "--device: 'gpu' is not auto, cpu, cuda or cuda:N"
}

@test "base: the smallest and the largest 64-bit numbers are whole numbers" {
    run tool --memory 9223372036854775807
    assert_line "memory=9223372036854775807"
    run tool --memory -9223372036854775808
    assert_line "memory=-9223372036854775808"
    run tool --memory 9223372036854775808
    assert_exit 2
}

@test "base: an unknown, abbreviated or incomplete option exits 2" {
    run tool --nonsense
    assert_exit 2
    assert_equal "$output" "base_tool: unknown option '--nonsense'; try 'base_tool --help'"
    run tool --coun 5
    assert_exit 2
    assert_line "unknown option '--coun'"
    run tool -fz
    assert_exit 2
    assert_line "unknown option '-z'"
    run tool --flag=yes
    assert_exit 2
    assert_line "--flag: takes no value"
    run tool --count
    assert_exit 2
    assert_line "--count: needs a value (N)"
    run tool -n
    assert_exit 2
    assert_line "-n: needs a value (N)"
    run tool --progress --no-progress
    assert_exit 2
}

@test "base: a usage error creates nothing" {
    echo x > in
    run tool --mode copy in -o out --count 0
    assert_exit 2
    run tool --mode copy in -o out --log log --nonsense
    assert_exit 2
    assert_equal "$(ls)" in
}

@test "base: TACIT_DEVICE is the default of --device" {
    TACIT_DEVICE=cuda:1 run tool
    assert_line "device=cuda:1"
    TACIT_DEVICE=cuda:1 run tool --device cpu
    assert_line "device=cpu"
    TACIT_DEVICE=cuda:1 run tool --help
    assert_line "[default: cuda:1]"
    TACIT_DEVICE=none run tool
    assert_exit 2
}

# ---- help and version ----

@test "base: --help says all on standard output, with live defaults" {
    run_separate tool --help
    assert_exit 0
    assert_equal "$errors" ""
    assert_equal "$(head -1 <<<"$output")" "base_tool - show the common contract"
    assert_line "Usage: base_tool [OPTION]... [FILE]..."
    assert_line "       base_tool --mode copy [FILE] -o FILE"
    assert_line "  -n, --count N           a number [default: 10]"
    assert_line "      --unset N           a number without a default"
    assert_no_line "default: -1"
    assert_line "      --memory BYTES      a number of bytes [default: 256M]"
    assert_line "what to do: print, copy, wait, fail, log, progress"
    assert_line "[default: print]"
    assert_line "  -o, --output FILE"
    assert_line "  base_tool -n 5 --label x a b"
    assert_line "See also: route, view"
    assert_line "Exit status: 0 done"
    assert_equal "$(awk 'length > 100' <<<"$output")" ""
    run tool -h --nonsense
    assert_exit 0
    run tool --count 77 -h
    assert_line "[default: 77]"
}

@test "base: --help-options lists exactly the options that --help shows" {
    run tool --help
    shown=$(grep -oE '^ +(-., )?--[a-z-]+' <<<"$output" | grep -oE -- '--[a-z-]+')
    run tool --help-options
    assert_exit 0
    assert_equal "$(cut -f1 <<<"$output" | sed 's/^/--/')" "$shown"
    assert_line "$(printf 'count\tn\tN\t10\t\ta number')"
    assert_line "$(printf 'mode\t\tNAME\tprint\tprint copy wait fail log progress\twhat to do')"
    assert_equal "$(awk -F'\t' 'NF != 6' <<<"$output")" ""
}

@test "base: --version names tool, library, formats, compiler and backends" {
    run tool --version
    assert_exit 0
    assert_match '^base_tool \(tacit\) .'
    assert_match '^library: [0-9]+\.[0-9]+\.[0-9]+$'
    assert_match '^formats: stream 1$'
    assert_match '^compiler: .'
    assert_match '^backends: cpu'
}

@test "base: -v says more, -q says only errors" {
    run tool -v
    assert_line "base_tool: a detail"
    run_separate tool -q -v
    assert_equal "$errors" ""
    run_separate tool -q --mode fail
    assert_equal "${errors%%:*}" base_tool
}

# ---- messages and exit codes ----

@test "base: an error is one line with the tool's name, and its code is the exit status" {
    local expected
    for expected in 1 2 3 4; do
        run_separate tool --mode fail --code $expected
        assert_exit $expected
        assert_equal "$output" ""
        assert_equal "$errors" 'base_tool: a.tok: frame 17 at byte 4194304: "bad?hash"'
    done
}

@test "base: a failure removes its unfinished output and keeps the old one" {
    echo old > out
    run tool --mode fail -o out
    assert_exit 3
    assert_equal "$(cat out)" old
    assert_equal "$(ls)" out
}

# ---- outputs ----

@test "base: a missing input is named, and nothing is created" {
    run tool --mode copy absent -o out
    assert_exit 1
    assert_equal "$output" "base_tool: absent: cannot open: No such file or directory"
    assert_absent out
}

@test "base: an output in an absent folder is an error" {
    run tool --mode copy /dev/null -o absent/out
    assert_exit 1
    assert_line "absent/out: cannot create: No such file or directory"
}

@test "base: a full device is a write error, for data, text and files alike" {
    head -c 300000 /dev/zero > in
    run_pipe "'$build/test/base_tool' --mode copy in > /dev/full"
    assert_exit 1
    assert_line "base_tool: standard output: write failed: No space left on device"
    run tool --mode copy in -o /dev/full
    assert_exit 1
    assert_line "base_tool: /dev/full: write failed: No space left on device"
    local option
    for option in -q --help --version --help-options; do
        run_pipe "'$build/test/base_tool' $option > /dev/full"
        assert_exit 1
        assert_line "base_tool: standard output: write failed: No space left on device"
    done
}

@test "base: a closed standard output is a write error, and no other file takes its place" {
    echo data > in
    run_pipe "'$build/test/base_tool' --mode copy in >&-"
    assert_exit 1
    assert_line "standard output: write failed: Bad file descriptor"
    run_pipe "'$build/test/base_tool' --help >&-"
    assert_exit 1
    run_pipe "'$build/test/base_tool' --mode copy in -o out <&- >&- 2>&-"
    assert_exit 0
    assert_same in out
}

@test "base: a reader that closes early ends the tool by SIGPIPE" {
    head -c 3000000 /dev/zero > in
    run bash -c "'$build/test/base_tool' --mode copy in | head -c 10 > /dev/null; exit \${PIPESTATUS[0]}"
    assert_exit 141
    assert_equal "$output" ""
}

@test "base: a signal removes the unfinished output and kills with that signal" {
    echo data > in
    echo old > out
    local name
    for name in INT TERM HUP QUIT; do
        # An interactive INT default: a shell's background job would ignore it.
        run env -i "$(command -v perl)" -e '
            my ($signal, $tool) = @ARGV;
            my $pid = open(my $from, "-|") // die;
            if (!$pid) { $SIG{INT} = $SIG{QUIT} = "DEFAULT"; exec $tool, "--mode", "wait", "in", "-o", "out" or die }
            <$from>;
            print join(" ", glob("out*")), "\n";
            kill $signal, $pid;
            waitpid $pid, 0;
            print "signal ", $? & 127, "\n"' "$name" "$build/test/base_tool"
        assert_match '^out out\.tmp\.[0-9]+\.[0-9]+$'
        assert_line "signal $(kill -l "$name")"
        assert_equal "$(ls)" "$(printf 'in\nout')"
        assert_equal "$(cat out)" old
    done
}

@test "base: -o - and no -o are standard output; -o /dev/stdout too, whatever it is" {
    echo data > in
    tool --mode copy in -o - > a
    tool --mode copy < in > b
    tool --mode copy in -o /dev/stdout > c
    tool --mode copy - -o /dev/stdout < in | cat > d
    echo first > e
    tool --mode copy in -o /dev/stdout >> e
    local file
    for file in a b c d; do
        assert_same in $file
    done
    assert_equal "$(cat e)" "$(printf 'first\ndata')"
    assert_equal "$(ls | tr '\n' ' ')" "a b c d e in "
}

@test "base: a fifo is written to, not replaced" {
    mkfifo pipe
    echo data > in
    cat pipe > copy &
    tool --mode copy in -o pipe
    wait
    assert_same in copy
    [ -p pipe ]
}

@test "base: binary output to a terminal is refused with the remedy named" {
    echo data > in
    command -v script > /dev/null || skip "script is not installed"
    run script -qec "'$build/test/base_tool' --mode copy in" /dev/null
    assert_exit 2
    assert_line "use -o FILE"
    run script -qec "'$build/test/base_tool' --mode copy in -o out" /dev/null
    assert_exit 0
    assert_same in out
}

@test "base: two runs that write the same file leave one whole file" {
    head -c 2000000 /dev/zero | tr '\0' a > a
    head -c 2000000 /dev/zero | tr '\0' b > b
    tool --mode copy a -o out &
    tool --mode copy b -o out
    wait
    cmp -s a out || assert_same b out
    assert_equal "$(ls | tr '\n' ' ')" "a b out "
}

# ---- log and progress ----

@test "base: --log holds one line per event, begins anew, and goes on when a run resumes" {
    run tool --mode log --log log '{"a":1}' '{"a":2}'
    assert_exit 0
    assert_equal "$(cat log)" "$(printf '{"a":1}\n{"a":2}')"
    tool --mode log --log log '{"a":3}'
    assert_equal "$(cat log)" '{"a":3}'
    printf '{"tor' >> log
    tool --mode log --log log --keep-log '{"a":4}'
    assert_equal "$(cat log)" "$(printf '{"a":3}\n{"tor\n{"a":4}')"
    run tool --mode log --log /dev/full '{}'
    assert_exit 1
    assert_line "/dev/full: write failed: No space left on device"
    run tool --mode log --log absent/log '{}'
    assert_exit 1
    tool --mode log '{}'
}

@test "base: progress shows share, rate and time left, and stays out of files unless asked for" {
    run_separate tool --mode progress
    assert_equal "$errors" ""
    run_separate tool --mode progress --progress
    output=$errors
    assert_match '^base_tool:  33% 1.00M tokens, [45][0-9][0-9]K/s, 0:0[45] left, loss 1.234$'
    run_separate tool --mode progress -q
    assert_equal "$errors" ""
    command -v script > /dev/null || skip "script is not installed"
    run script -qec "'$build/test/base_tool' --mode progress" /dev/null
    assert_line "loss 1.234"
    run script -qec "'$build/test/base_tool' --mode progress --no-progress" /dev/null
    assert_no_line "loss 1.234"
}
