# shard: shuffles, slices, splits and joins streams of every kind.

load helpers
PATH="$build/test:$PATH"

kinds=("tokens ragged=1" "scores" "scores dtype=f16" "logprobs" "weights per_position=1" "assignment" "assignment topk=2")

records() {
    view --json --columns "$@"
}

# ---- shuffle ----

@test "shard: a shuffle is a permutation, by the seed alone" {
    local kind
    for kind in "${kinds[@]}"; do
        mkstream $kind n=1000 o=a
        shard --shuffle --seed 1 a -o one
        shard --shuffle --seed 1 a >again
        cat a | shard --shuffle --seed 1 >piped
        shard --shuffle --seed 2 a -o two
        assert_same one again
        assert_same one piped
        if cmp -s one two; then false; fi
        diff <(records a | sort) <(records one | sort)
        diff <(records a | sort) <(records two | sort)
        if diff -q <(records a) <(records one) >/dev/null; then false; fi
    done
}

@test "shard: a shuffle does not depend on --memory" {
    mkstream tokens n=20000 o=a.tok # 2 MB of records: some 30 runs of 64K, merged twice
    shard --shuffle a.tok -o whole.tok
    for memory in 64K 100K 1M 3M; do
        shard --shuffle --memory $memory a.tok -o part.tok
        assert_same part.tok whole.tok
    done
    diff <(records a.tok | sort) <(records whole.tok | sort)
}

@test "shard: a shuffle spreads every part of the stream evenly" {
    mkstream scores n=20000 experts=1 o=a
    shard --shuffle --seed 3 a | view | awk 'NR > 1 { n[int((NR - 2) / 5000), int($1 / 5000)]++ }
        END { for (i in n) { x += (n[i] - 1250) ^ 2 / 1250; cells++ } print cells, x < 30 }' >cells
    assert_equal "$(cat cells)" "16 1" # chi squared, 9 degrees of freedom: 30 is beyond the 0.9995 quantile
}

@test "shard: a shuffled stream names its parent and keeps its corpus" {
    mkstream tokens n=100 o=a.tok
    shard --shuffle a.tok -o b.tok
    assert_equal "$(view --header b.tok | jq -r .end.parents[0])" "$(view --header a.tok | jq -r .end.content)"
    assert_equal "$(view --header b.tok | jq -r .end.corpus)" "$(view --header a.tok | jq -r .end.corpus)"
}

# ---- slice ----

@test "shard: a slice of a file and of a pipe" {
    local kind
    for kind in "${kinds[@]}"; do
        mkstream $kind n=300 frame=700 o=a
        shard --sequences 100..200 a -o file
        cat a | shard --sequences 100..200 >pipe
        assert_same file pipe
        diff <(records a | sed -n 101,200p) <(records file)
    done
    assert_equal "$(shard --sequences 290.. a | records | wc -l)" 10
}

@test "shard: a range beyond the end is refused, from a pipe too" {
    mkstream tokens n=30 o=a.tok
    run shard --sequences 20..31 a.tok -o b.tok
    assert_exit 3
    assert_line "shard: a.tok: sequences 20..31: there are only 30"
    run_pipe 'cat a.tok | shard --sequences 20..31 -o b.tok'
    assert_exit 3
    assert_absent b.tok
}

@test "shard: the level changes the bytes, not the content" {
    mkstream tokens n=1000 vocab=16 level=1 o=a.tok
    shard --level 0 a.tok -o stored.tok
    shard --level 12 a.tok -o packed.tok
    [ "$(stat -c %s packed.tok)" -lt "$(stat -c %s stored.tok)" ]
    for f in stored packed; do
        assert_equal "$(view --header $f.tok | jq -r .end.content)" "$(view --header a.tok | jq -r .end.content)"
    done
}

# ---- split and join ----

@test "shard: split, then join, restores every kind" {
    local kind
    for kind in "${kinds[@]}"; do
        mkstream $kind n=300 o=a
        mkstream assignment n=300 experts=3 ragged=$([[ $kind = *ragged* ]] && echo 1 || echo 0) o=a.asg
        shard --split 'part.%d' --assignment a.asg a
        for e in 0 1 2; do
            diff <(records part.$e | jq .id) <(records a.asg | jq "select(.expert == $e) | .id")
        done
        shard --join part.0 part.1 part.2 -o joined
        diff <(records a | sort) <(records joined | sort)
        assert_equal "$(view --header joined | jq -r .end.corpus)" "$(view --header a | jq -r .end.corpus)"
        assert_equal "$(view --header joined | jq '.end.parents | length')" 3
        assert_equal "$(view --header part.2 | jq -c .end.parents)" "$(view --header a a.asg | jq -sc 'map(.end.content)')"
    done
}

@test "shard: a split of a slice takes the assignment of the slice or of the whole" {
    mkstream tokens n=100 o=a.tok
    mkstream assignment n=100 experts=2 o=whole.asg
    shard --sequences 20..50 whole.asg -o slice.asg
    shard --split 'w.%d' --assignment whole.asg --sequences 20..50 a.tok
    shard --split 's.%d' --assignment slice.asg --sequences 20..50 a.tok
    for e in 0 1; do
        diff <(records w.$e) <(records s.$e)
    done
    assert_equal "$(cat <(records w.0) <(records w.1) | wc -l)" 30
    cat a.tok | shard --split 'p.%d' --assignment slice.asg --sequences 20..50
    diff <(records p.0) <(records w.0)
    run shard --split 'x.%d' --assignment slice.asg a.tok
    assert_exit 3
    assert_line "a.tok and slice.asg: sequence 0: id differs: 0 and 20"
    assert_absent 'x.*'
}

@test "shard: an assignment to several experts gives a sequence to each" {
    mkstream tokens n=100 o=a.tok
    mkstream assignment n=100 experts=4 topk=2 o=a.asg
    shard --split 'e.%d' --assignment a.asg a.tok
    assert_equal "$(records e.0 e.1 e.2 e.3 | wc -l)" 200
    diff <(records e.1 | jq .id) <(records a.asg | jq 'select(.experts | index(1)) | .id')
}

@test "shard: a split that fails leaves none of its outputs" {
    mkstream tokens n=2000 frame=500 o=a.tok
    mkstream assignment n=2000 frame=500 o=a.asg
    mkstream assignment n=1999 o=short.asg
    head -c -5 a.tok >bad.tok
    printf old >e.1
    run shard --split 'e.%d' --assignment a.asg bad.tok
    assert_exit 3
    run_pipe "cat bad.tok | shard --split 'e.%d' --assignment a.asg"
    assert_exit 3
    run shard --split 'e.%d' --assignment short.asg a.tok
    assert_exit 3
    assert_line "a.tok and short.asg: short.asg ends after 1999 sequences, the other goes on"
    mkdir e.3 # the last output cannot be made
    run shard --split 'e.%d' --assignment a.asg a.tok
    assert_exit 1
    assert_absent e.0 e.2
    assert_equal "$(cat e.1)" old
    assert_equal "$(ls)" "$(printf '%s\n' a.asg a.tok bad.tok e.1 e.3 short.asg)"
}

@test "shard: joining two corpora gives fresh ids, one domain table and a corpus of its own" {
    echo '{"id":5,"domain":"law","tokens":[1,2]}' | mkstream tokens from=json corpus=A >a.tok
    printf '{"id":5,"domain":"code","tokens":[3]}\n{"id":6,"domain":"law","tokens":[4]}\n' |
        mkstream tokens from=json corpus=B >b.tok
    shard --join a.tok b.tok -o c.tok
    assert_equal "$(view c.tok | tail -n +2)" $'0\tlaw\t1 2\n1\tcode\t3\n2\tlaw\t4'
    assert_equal "$(view --header c.tok | jq -c .end.domains)" '["law","code"]'
    # A stream of the same corpora, joined alike, has the same corpus: the two can be read in lockstep.
    echo '{"id":5,"domain":"law","predicted":1,"scores":[-1]}' | mkstream scores experts=1 from=json corpus=A >a.scr
    printf '{"id":5,"predicted":0,"scores":[-2]}\n{"id":6,"predicted":0,"scores":[-3]}\n' |
        mkstream scores experts=1 from=json corpus=B >b.scr
    shard --join a.scr b.scr -o c.scr
    assert_equal "$(view --header c.scr | jq .end.corpus)" "$(view --header c.tok | jq .end.corpus)"
    shard --join b.tok a.tok -o d.tok
    [ "$(view --header d.tok | jq .end.corpus)" != "$(view --header c.tok | jq .end.corpus)" ]
}

@test "shard: streams that do not belong together are refused, both named" {
    mkstream tokens n=3 o=a.tok
    mkstream tokens n=3 vocab_name=other o=other.tok
    mkstream tokens n=3 vocab=70000 o=wide.tok
    mkstream scores n=3 models=1 o=a.scr
    mkstream scores n=3 experts=3 o=b.scr
    mkstream scores n=3 dtype=f16 o=h.scr
    mkstream scores n=3 prefix=7 models=1 o=p.scr
    mkstream scores n=3 o=m.scr
    mkstream assignment n=3 vocab_name=other o=a.asg
    refuse() {
        run shard "${@:2}" -o out
        assert_exit 3
        assert_line "$1"
        assert_absent out
    }
    refuse "a.tok: vocabulary $(view --header a.tok | jq -r .vocab), but that of other.tok is $(view --header other.tok |
        jq -r .vocab); use one tokenizer.json for both" --join a.tok other.tok
    refuse "a.tok and wide.tok: dtype differs: u16 and u32" --join a.tok wide.tok
    refuse "a.tok and a.scr: kind differs: tokens and scores" --join a.tok a.scr
    refuse "a.scr and b.scr: number of experts differs: 4 and 3" --join a.scr b.scr
    refuse "a.scr and h.scr: dtype differs: f32 and f16" --join a.scr h.scr
    refuse "a.scr and p.scr: prefix differs: 0 and 7" --join a.scr p.scr
    refuse "a.scr and m.scr: number of models differs: 4 and 0" --join a.scr m.scr
    run shard --split 'out.%d' --assignment a.asg a.tok
    assert_exit 3
    assert_match "a.tok: vocabulary [0-9a-f]{32}, but that of a.asg is [0-9a-f]{32}"
    run shard --split 'out.%d' --assignment a.tok a.tok
    assert_exit 3
    assert_line "a.tok: holds tokens, not an assignment (assign writes it)"
    run_pipe 'cat a.tok | shard --join a.tok - -o out'
    assert_exit 2
    assert_line "standard input is no regular file"
}

# ---- the common contract ----

@test "shard: damage in the input stops every form, and leaves no output" {
    mkstream tokens n=400 frame=500 o=a.tok
    cp a.tok bad.tok
    printf '\xff\x00' | dd of=bad.tok bs=1 seek=9000 conv=notrunc status=none
    for form in --shuffle "--sequences 0..400" "--level 3" --join; do
        run shard $form bad.tok -o out
        assert_exit 3
        assert_match '^shard: bad\.tok: frame [0-9]+ at byte [0-9]+: '
        assert_absent out
    done
    # A pipe is verified to its end, a file where it was used.
    run_pipe 'cat bad.tok | shard --sequences 0..10 -o out'
    assert_exit 3
    assert_absent out
    shard --sequences 0..10 bad.tok -o out
    view --check out
}

@test "shard: a full disk stops a join, and a scratch folder that is not there a shuffle" {
    mkstream tokens n=20000 o=a.tok
    run shard --join a.tok -o /dev/full
    assert_exit 1
    assert_line "No space left on device"
    run env TMPDIR=/nonexistent shard --shuffle --memory 64K a.tok -o out
    assert_exit 1
    assert_line "/nonexistent: cannot make a temporary file"
    assert_absent out
}

@test "shard: exactly one form, and what goes with it" {
    mkstream tokens n=2 o=a.tok
    mkstream assignment n=2 o=a.asg
    refuse() {
        run shard "$@" -o out
        assert_exit 2
        assert_absent out
    }
    refuse a.tok
    refuse --unknown a.tok
    refuse --shuffle --join a.tok
    refuse --shuffle --sequences 0..1 a.tok
    refuse --shuffle a.tok a.tok
    refuse --sequences 0..1 --memory 1M a.tok
    refuse --shuffle --memory 1 a.tok
    refuse --level 20 a.tok
    refuse --join
    refuse --split 'e.%d' --assignment a.asg a.tok
    for pattern in e 'e.%s' 'e.%d.%d' '%'; do
        run shard --split "$pattern" --assignment a.asg a.tok
        assert_exit 2
    done
    run shard --split 'e.%d' a.tok
    assert_exit 2
    run shard --assignment a.asg --level 1 a.tok
    assert_exit 2
    assert_absent 'e*'
}
