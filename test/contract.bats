# What every tool promises (DESIGN.md section 4), held for all of them alike. What only one of them promises is
# in that tool's own file; what the library alone decides is in base.bats.
load helpers
load train_helpers

setup_file() {
    load helpers
    load train_helpers
    cd "$BATS_FILE_TMPDIR"
    for i in $(seq 400); do echo "the river carries $i sands, die Wellen $((i * i)) 波"; done > text
    tokenize -q -t "$golden/tokenizer/tokenizer.json" --length 32 text -o text.tok
    config > config.json
    pattern 3000 32 > a.tok
    mkstream assignment n=3000 experts=2 length=32 vocab=64 o=a.asg
    mkstream assignment n=3000 experts=1 o=one.asg
    mkstream scores n=3000 o=a.scr
    mkstream logprobs n=3000 o=a.lp
    mkstream logprobs n=3000 model=1 o=b.lp
    gzip -k text
    train --model config.json --steps 1 --batch 8 -q -o m a.tok
    export data=$BATS_FILE_TMPDIR
}

tools() {
    find "$root/tools" -name main.c -printf '%h\n' | xargs -n1 basename | sort
}

# Every form of every tool that reads standard input and writes standard output: what it writes (a stream, which
# is binary, or text), what it is fed, and the command.
commands() {
    cat <<END
stream text.gz  tokenize -q -t $golden/tokenizer/tokenizer.json --length 32
text   text.gz  tokenize -q --learn --vocab-size 300
text   text.tok tokenize -q -t $golden/tokenizer/tokenizer.json --decode
stream a.tok    shard -q --shuffle
stream a.tok    shard -q --sequences 0..2000
stream a.tok    shard -q --level 3
stream a.tok    route -q -m $data/m --prefix 4
stream a.tok    route -q -m $data/m --per-token --sequences 0..200
stream a.scr    assign -q
stream a.scr    assign -q --method random
stream a.scr    assign -q --method topk
stream one.asg  mix -q --rule select --assignment - $data/a.lp
stream a.lp     mix -q --rule bayes - $data/b.lp
text   a.lp     ppl -q
text   a.lp     ppl -q --json --baseline $data/b.lp
text   a.tok    view
text   a.scr    view --json --columns
text   a.asg    view --header
text   a.lp     view --check
END
}

# each_command KIND FUNCTION: FUNCTION FED COMMAND... for each that writes KIND ("": either)
each_command() {
    local kind fed rest
    while read -r kind fed rest <&3; do
        if [ -z "$1" ] || [ "$kind" = "$1" ]; then
            "$2" "$data/$fed" $rest || { echo "failed: $rest < $fed" >&2; return 1; }
        fi
    done 3< <(commands)
}

@test "contract: this file knows every tool" {
    assert_equal "$({ commands | awk '{ print $3 }'; echo train; } | sort -u)" "$(tools)"
}

# ---- help and version ----

@test "contract: --help gives purpose, synopsis, options, a runnable example and neighbours" {
    local tool
    for tool in $(tools); do
        run_separate "$tool" --help
        assert_exit 0
        assert_equal "$errors" ""
        assert_match "^$tool - [a-z]"
        assert_match "^Usage: $tool "
        assert_line "Options:"
        assert_line "Common options:"
        assert_match "^  ($tool|.*\| $tool) " # the example
        assert_match "^See also: "
        assert_match "^Exit status: 0 done, 1 "
        assert_equal "$(awk 'length > 110' <<<"$output")" ""
        assert_equal "$("$tool" -h)" "$output"
        assert_equal "$("$tool" --help-options | cut -f1 | sed 's/^/--/')" \
            "$(sed -n '/^Options:/,/^Numbers/p' <<<"$output" | grep -oE '^ {2,6}(-., )?--[a-z0-9-]+' | grep -oE -- '--[a-z0-9-]+')"
    done
}

@test "contract: --version names tool, build, library, formats, compiler and backends" {
    local tool
    for tool in $(tools); do
        run_separate "$tool" --version
        assert_exit 0
        assert_equal "$errors" ""
        assert_match "^$tool \(tacit\) [^ ]+$"
        assert_match '^library: [0-9]+\.[0-9]+\.[0-9]+$'
        assert_match '^formats: stream 1$'
        assert_match '^compiler: [a-zA-Z]+ .*[0-9]'
        assert_match '^backends: cpu'
    done
}

# ---- usage ----

@test "contract: unknown options and bad values exit 2 and create nothing" {
    unknown() {
        local fed=$1 option
        shift
        for option in --nonsense -Z --quiet=yes --output "--sequences=5..x"; do
            run "$@" -o out "$option" < "$fed"
            assert_exit 2 || return 1
            assert_match "^$1: .*; try '$1 --help'$" || return 1
            assert_equal "$(ls)" "" || return 1
        done
    }
    each_command "" unknown
    unknown "$data/a.tok" train --model "$data/config.json"
    local tool option
    for tool in $(tools); do
        for option in threads seed device; do
            "$tool" --help-options | grep -q "^$option	" || continue
            run "$tool" --$option x1 -o out
            assert_exit 2
            assert_line "--$option: 'x1' is"
        done
    done
    assert_equal "$(ls)" ""
}

# ---- output that cannot be written ----

@test "contract: a full device is a write error, whatever is written" {
    full() {
        local fed=$1
        shift
        run "$@" -o /dev/full < "$fed"
        assert_exit 1 || return 1
        assert_line "$1: /dev/full: write failed: No space left on device" || return 1
        run bash -c '"$@" > /dev/full' - "$@" < "$fed"
        assert_exit 1 || return 1
        assert_line "$1: standard output: write failed: No space left on device" || return 1
    }
    each_command "" full
    local tool option
    for tool in $(tools); do
        for option in --help --version; do
            run bash -c "$tool $option > /dev/full"
            assert_exit 1
        done
    done
    run bash -c "train --plan --model $data/config.json > /dev/full"
    assert_exit 1
    assert_equal "$(ls)" ""
}

@test "contract: a disk that fills up leaves the old file, the old checkpoint and nothing else" {
    echo old > out
    cp -r "$data/m" m
    limited() { # files of at most 8 KiB; without the signal the write fails as on a full disk
        bash -c 'trap "" XFSZ; ulimit -f 8; exec "$@"' - "$@"
    }
    overflow() {
        local fed=$1
        shift
        run limited "$@" -o out < "$fed"
        assert_exit 1 || return 1
        assert_line "$1: out: write failed: File too large" || return 1
        assert_equal "$(cat out)" old || return 1
    }
    overflow "$data/a.tok" shard --level 0
    overflow "$data/a.lp" mix --rule bayes - "$data/b.lp"
    overflow "$data/a.tok" view
    run limited train --restart --model "$data/config.json" --steps 2 -o m "$data/a.tok"
    assert_exit 1
    assert_line "File too large"
    same_weights m "$data/m"
    assert_equal "$(ls | grep -v '^m.part$' | xargs)" "m out"
}

@test "contract: a reader that has closed ends a tool by SIGPIPE, and nothing is left" {
    closed() {
        local fed=$1
        shift
        TMPDIR=$T run perl -e '$SIG{PIPE} = "DEFAULT"; pipe(R, W); close R; open(STDOUT, ">&W"); exec @ARGV' "$@" < "$fed"
        assert_exit 141 || return 1
        assert_equal "$output" "" || return 1
        assert_equal "$(ls)" "" || return 1
    }
    each_command "" closed
}

@test "contract: a stream to a terminal is refused with the remedy, text is shown" {
    command -v script > /dev/null || skip "script is not installed"
    refused() {
        run script -qec "${*:2} < $1" /dev/null
        assert_exit 2 || return 1
        assert_line "-o FILE" || return 1
    }
    shown() {
        run script -qec "${*:2} < $1" /dev/null
        assert_exit 0 || return 1
    }
    each_command stream refused
    each_command text shown
    assert_equal "$(ls)" ""
}

# ---- input that is not whole ----

@test "contract: a failed stage before it never leaves a tool's finished output" {
    echo old > out
    failed() {
        local fed=$1 cut
        shift
        for cut in 1 2000; do
            run bash -c '{ head -c -"$1" "$2"; exit 1; } | "${@:3}" -o out' - $cut "$fed" "$@"
            assert_exit 3 || return 1
            assert_match "^$1: standard input: " || return 1
            assert_equal "$(cat out)" old || return 1
        done
        case $1 in
        tokenize) ;; # no text is text
        *)
            run bash -c 'false | "$@" -o out' - "$@"
            assert_exit 3 || return 1
            ;;
        esac
        assert_equal "$(ls)" out || return 1
    }
    each_command "" failed
    run bash -c "head -c -1 $data/a.asg | shard --split 'e.%d' --assignment - $data/a.tok"
    assert_exit 3
    run bash -c "head -c -1 $data/a.tok | shard --split 'e.%d' --assignment $data/a.asg"
    assert_exit 3
    run bash -c "head -c -1 $data/a.tok | train -q --model $data/config.json -o m"
    assert_exit 3
    run bash -c "head -c -1 $data/a.asg | train -q --model $data/config.json --assignment - --expert 0 -o m $data/a.tok"
    assert_exit 3
    assert_equal "$(ls | grep -v '^m.part$')" out
}

@test "contract: an input that is not there exits 1 by name and creates nothing" {
    local tool
    for tool in "tokenize -t $golden/tokenizer/tokenizer.json --length 8" "tokenize -t absent --length 8" "shard --shuffle" \
        "route -m $data/m" "assign" "mix --rule bayes" "ppl" "view" "train --model $data/config.json"; do
        run $tool absent -o out
        assert_exit 1
        assert_match "^${tool%% *}: absent: .*No such file or directory"
        assert_equal "$(ls)" ""
    done
}

# ---- two runs at once ----

@test "contract: two runs into one file leave one whole file" {
    tokenize -q -t "$golden/tokenizer/tokenizer.json" --length 32 "$data/text" -o out &
    tokenize -q -t "$golden/tokenizer/tokenizer.json" --length 32 "$data/text" -o out
    wait $!
    assert_same out "$data/text.tok"
    assert_equal "$(ls)" out
}

# ---- inputs that do not belong together ----

@test "contract: tokens and an assignment of another vocabulary, length, id or corpus exit 3, both named" {
    local model="train -q --model $data/config.json --steps 2 --batch 8 --expert 0 -o out" other command
    tokens() { mkstream tokens n=300 length=32 vocab=64 "$@"; }
    tokens o=t.tok
    mkstream assignment n=300 length=32 vocab=64 experts=1 vocab_name=other o=vocab.asg
    mkstream assignment n=300 length=31 vocab=64 experts=1 o=length.asg
    mkstream assignment n=300 length=32 vocab=64 experts=1 start=1 o=id.asg
    mkstream assignment n=300 length=32 vocab=64 experts=1 corpus=other o=corpus.asg
    ls > before
    for other in vocab length id corpus; do
        for command in "$model --assignment $other.asg t.tok" \
            "$model --eval t.tok --eval-assignment $other.asg t.tok" \
            "route -q -m $data/m --assignment $other.asg --expert 0 --per-token t.tok -o out" \
            "shard -q --split out.%d --assignment $other.asg t.tok"; do
            run $command
            assert_exit 3
            assert_line "t.tok"
            assert_line "$other.asg"
        done
        # a pipe tells its corpus only at its end
        run_pipe "cat $other.asg | route -q -m $data/m --assignment - --expert 0 --per-token t.tok -o out"
        assert_exit 3
        run_pipe "cat t.tok | shard -q --split out.%d --assignment $other.asg"
        assert_exit 3
        assert_equal "$(ls | grep -v '^out.part$')" "$(cat before)"
    done
}

@test "contract: models and tokens of another vocabulary or length exit 3, both named" {
    mkstream tokens n=300 length=32 vocab=64 vocab_name=other o=vocab.tok
    mkstream tokens n=300 length=32 vocab=100 o=size.tok
    mkstream tokens n=300 length=64 vocab=64 o=length.tok
    local other
    for other in vocab size length; do
        run route -q -m "$data/m" "$other.tok" -o out
        assert_exit 3
        assert_match "^route: $other.tok: .*(of|under|model) .*"
        run train -q --continue "$data/m" --steps 2 --batch 8 -o out "$other.tok"
        assert_exit 3
        assert_line "train: $other.tok: "
        [ $other = length ] && continue # longer ones are cut
        run train -q --model "$data/config.json" --steps 2 --batch 8 --eval "$other.tok" -o out "$data/a.tok"
        assert_exit 3
        assert_line "train: $other.tok: "
    done
    run train -q --model "$data/config.json" --steps 2 --batch 8 -o out "$data/a.tok" vocab.tok
    assert_exit 3
    assert_match "train: $data/a.tok: vocabulary [0-9a-f]{32}, but that of vocab.tok is [0-9a-f]{32}"
    config 32 > small.json
    mkstream tokens n=30 length=32 vocab=32 o=small.tok
    train -q --model small.json --steps 1 --batch 8 -o small small.tok
    run route -q -m "$data/m" -m small "$data/a.tok" -o out
    assert_exit 3
    assert_line "small"
    assert_absent out
}
