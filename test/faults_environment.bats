# What a machine does to a tool from outside: signals at any moment, short reads and writes, slow and closed pipes, full
# disks, limits, kill -9, two runs at once. test/faults.bats lets single calls fail.
load helpers
load train_helpers

setup_file() {
    load helpers
    load train_helpers
    export data=$BATS_FILE_TMPDIR/data
    mkdir -p "$data" && cd "$data"
    for i in $(seq 30); do echo "the river carries $i sands, die Wellen $((i * i)) 波"; done > text
    tokenize -q -t "$golden/tokenizer/tokenizer.json" --length 16 text > text.tok
    config 64 16 8 1 > config.json
    pattern 200 16 > a.tok
    mkstream scores n=200 length=16 vocab=64 o=a.scr
    mkstream logprobs n=200 length=16 vocab=64 o=a.lp
    mkstream logprobs n=200 length=16 vocab=64 model=1 o=b.lp
    train -q --model config.json --steps 2 --batch 4 --length 16 -o m a.tok
    mkdir whole
    while read -r name fed command; do
        $command < "$fed" > "whole/$name"
    done < <(commands)
    $(training) -o whole/m a.tok
}

# Each tool with standard input and output: a name, what it is fed, the command.
commands() {
    cat <<END
tokenize text     tokenize -q -t $golden/tokenizer/tokenizer.json --length 16
learn    text     tokenize -q --learn --vocab-size 270
decode   text.tok tokenize -q -t $golden/tokenizer/tokenizer.json --decode
shuffle  a.tok    shard -q --shuffle
route    a.tok    route -q -m $data/m --prefix 8
tokens   a.tok    route -q -m $data/m --per-token --threads 2
assign   a.scr    assign -q
mix      a.lp     mix -q --rule bayes - $data/b.lp
ppl      a.lp     ppl -q --json
view     a.tok    view --json --columns
END
}

training() { echo "train -q --model $data/config.json --steps 3 --batch 4 --length 16 --threads 2"; }

# each FUNCTION: FUNCTION NAME FED COMMAND... for each of them
each() {
    local name fed command
    while read -r name fed command <&3; do
        "$1" "$name" "$data/$fed" $command || { echo "failed: $command" >&2; return 1; }
    done 3< <(commands)
}

# ---- signals, short counts, slow pipes ----

@test "environment: a storm of signals, a slow writer and a slow reader change nothing" {
    slowly() { # 30 portions with pauses
        perl -e '$| = 1; binmode STDIN; local $/; my $d = <STDIN>; my $n = int(length($d) / 30) + 1;
            while (length $d) { print substr($d, 0, $n, ""); select undef, undef, undef, 0.004 }'
    }
    stormy() {
        local name=$1 fed=$2
        shift 2
        slowly < "$fed" | FAULTS=storm "$build/faults/$1" "${@:2}" | slowly > out
        assert_same out "$data/whole/$name"
    }
    each stormy
    slowly < "$data/a.tok" | FAULTS=storm "$build/faults"/$(training) -o m
    assert_same m/model.safetensors "$data/whole/m/model.safetensors"
}

@test "environment: reads and writes of one byte, and interrupted calls, change nothing" {
    each_mode() {
        local name=$1 fed=$2 mode
        shift 2
        mkdir empty
        for mode in brief interrupted; do
            run env -C empty FAULTS=$mode FAULTS_INPUT="$fed" "$build/faults/$1" "${@:2}" -o out
            assert_exit 0
        done
        rm -r empty
    }
    each each_mode
    each_mode train "$data/a.tok" $(training) --log log
}

# ---- pipes ----

@test "environment: a reader that has closed is SIGPIPE, or a write error where that is ignored" {
    closed() {
        local fed=$2
        shift 2
        run perl -e '$SIG{PIPE} = shift; pipe(R, W); close R; open(STDOUT, ">&W"); exec @ARGV' DEFAULT "$@" < "$fed"
        assert_exit 141
        assert_equal "$output" ""
        run perl -e '$SIG{PIPE} = shift; pipe(R, W); close R; open(STDOUT, ">&W"); exec @ARGV' IGNORE "$@" < "$fed"
        assert_exit 1
        assert_equal "$output" "$1: standard output: write failed: Broken pipe"
    }
    each closed
    assert_equal "$(ls)" ""
}

@test "environment: a full pipe whose reader waits is waited for, non-blocking or not" {
    full() {
        local name=$1 fed=$2
        shift 2
        perl -e 'use Fcntl; pipe(R, W); fcntl(W, 1031, 4096); # the smallest pipe
            fcntl(W, F_SETFL, O_NONBLOCK) if $ENV{NONBLOCKING};
            if (!fork) { close R; open(STDOUT, ">&W"); exec @ARGV }
            close W; select undef, undef, undef, 0.05; print while <R>; wait; exit($? >> 8)' "$@" < "$fed" > out
        assert_same out "$data/whole/$name"
    }
    each full
    NONBLOCKING=1 each full
}

# ---- full disks and limits ----

@test "environment: a full device is one line and exit 1" {
    full() {
        local fed=$2
        shift 2
        run bash -c '"$@" > /dev/full' - "$@" < "$fed"
        assert_exit 1
        assert_equal "$output" "$1: standard output: write failed: No space left on device"
        run "$@" -o /dev/full < "$fed"
        assert_exit 1
        assert_equal "$output" "$1: /dev/full: write failed: No space left on device"
    }
    each full
}

@test "environment: a small disk that is full keeps the old output, and nothing more" {
    unshare -rm true 2> /dev/null || skip "no mount namespaces here"
    mkdir small
    fill() {
        cat <<'END'
mount -t tmpfs -o size=128k none small && cd small && echo old > out
head -c 1M /dev/zero > filler 2> /dev/null
code=0; "$@" || code=$?
rm filler; [ "$(cat out)" = old ] && [ "$(ls)" = out ] || { ls; exit 99; }
exit $code
END
    }
    no_room() {
        local fed=$2
        shift 2
        run unshare -rm bash -c "$(fill)" - "$@" -o out < "$fed"
        assert_exit 1
        assert_match "^$1: out: .*: No space left on device$"
    }
    each no_room
    run unshare -rm bash -c "$(fill)" - $(training) -o m "$data/a.tok"
    assert_exit 1
    assert_match "^train: m.part.*: No space left on device$"
}

@test "environment: a limit on the size of files is SIGXFSZ, or a write error where that is ignored" {
    echo old > out
    limited() {
        local fed=$2
        shift 2
        run bash -c 'ulimit -c 0; ulimit -f 0; exec "$@"' - "$@" -o out < "$fed"
        assert_exit $((128 + $(kill -l XFSZ)))
        assert_equal "$(cat out) $(ls)" "old out"
        run bash -c 'trap "" XFSZ; ulimit -f 0; exec "$@"' - "$@" -o out < "$fed"
        assert_exit 1
        assert_equal "$output" "$1: out: write failed: File too large"
        assert_equal "$(cat out) $(ls)" "old out"
    }
    each limited
    run bash -c 'trap "" XFSZ; ulimit -f 0; exec "$@"' - $(training) -o m "$data/a.tok"
    assert_exit 1
    assert_line "File too large"
    assert_equal "$(ls)" out
}

@test "environment: a limit on memory is one line and exit 1, at whatever size" {
    [ -z "${SANITIZE:-}" ] && ! ldd "$bin/view" | grep -q asan || skip "AddressSanitizer reserves more than any limit"
    starved() {
        local name=$1 fed=$2 size
        shift 2
        for size in $sizes; do
            status=0
            output=$(ulimit -c 0 -v "$size" && exec "$@" -o out < "$fed" 2>&1) || status=$?
            case $status in
            0) [ $name = m ] || assert_same out "$data/whole/$name" ;;
            1) assert_match "^$1: .*(memory|allocate|thread|map)" && assert_equal "$(wc -l <<<"$output")" 1 && assert_absent out ;;
            127) assert_line "error while loading shared libraries" ;; # not yet a tool
            *) assert_exit 1 ;;
            esac
            rm -rf out out.part
        done
    }
    # the libraries alone need 16 to 60 MB
    local sizes
    sizes=$(seq 16000 4000 140000)
    each starved
    starved m "$data/a.tok" $(training)
}

# ---- what kill -9 leaves ----

@test "environment: the next run removes what a killed one left, and nothing of one that lives" {
    mkfifo gate
    # a writer that lives: it has its output open and waits for input
    tokenize -q -t "$golden/tokenizer/tokenizer.json" --length 16 -o out < gate &
    alive=$!
    exec 4> gate
    until compgen -G 'out.tmp.*' > /dev/null; do sleep 0.01; done
    living=$(echo out.tmp.*)
    # one that was killed
    mkfifo other
    tokenize -q -t "$golden/tokenizer/tokenizer.json" --length 16 -o out < other 4>&- &
    dead=$!
    exec 5> other
    until [ "$(ls -d out.tmp.* | wc -l)" = 2 ]; do sleep 0.01; done
    kill -9 $dead
    wait $dead || true
    exec 5>&-
    assert_equal "$(ls -d out.tmp.* | wc -l)" 2
    # names that only look alike
    touch out.tmp.1.2x out.tmp.x.1 other.tmp.1.2 && mkdir out.tmp.3.4
    tokenize -q -t "$golden/tokenizer/tokenizer.json" --length 16 -o out "$data/text" 4>&-
    assert_same out "$data/whole/tokenize"
    assert_equal "$(ls -d out.tmp.* | xargs)" "$(printf '%s\n' "$living" out.tmp.1.2x out.tmp.3.4 out.tmp.x.1 | sort | xargs)"
    [ -e other.tmp.1.2 ]
    echo text >&4
    exec 4>&-
    wait $alive
    [ ! -e "$living" ]
    tokenize -q -t "$golden/tokenizer/tokenizer.json" --length 16 <<<text | cmp - out
}

@test "environment: writers of one file that are killed and started again leave one whole file" {
    local i
    for i in $(seq 12); do
        shard -q --shuffle "$data/a.tok" -o out &
        one=$!
        shard -q --shuffle "$data/a.tok" -o out &
        other=$!
        [ $((i % 2)) = 0 ] && kill -9 $one 2> /dev/null || true
        wait $one || true
        wait $other
        assert_same out "$data/whole/shuffle"
    done
    shard -q --shuffle "$data/a.tok" -o out
    assert_equal "$(ls)" out
}

# ---- one folder, two runs ----

@test "environment: runs that start while others end never share a checkpoint's folder" {
    local i k pids code
    for i in $(seq 6); do
        pids=
        for k in 1 2 3; do
            $(training) --restart -o m "$data/a.tok" 2> "said.$k" &
            pids+=" $!"
        done
        for k in $pids; do
            code=0
            wait $k || code=$?
            [ $code = 0 ] || [ $code = 1 ]
        done
        run cat said.1 said.2 said.3
        [ -z "$output" ] || ! grep -vE "^train: m.part: (process [0-9]+ is training here, on .* since |another process is training here)" <<<"$output"
        assert_same m/model.safetensors "$data/whole/m/model.safetensors"
        [ ! -e m.part ]
    done
}

@test "environment: a state of another version is refused" {
    cp -r "$data/whole/m" m
    jq '.version = 2' "$data/whole/m/state.json" > m/state.json
    run train -q --continue m --steps 1 --batch 4 --length 16 -o n "$data/a.tok"
    assert_exit 3
    assert_line "train: m/state.json: version 2, and this train knows version 1"
    assert_absent n
}
