# assign: sequences find their experts, whatever the memory and the way the scores come in.

load helpers

mkstream() {
    "$build/test/mkstream" "$@"
}

# rows SCORES... : a score stream of the given JSON rows on standard output.
rows() {
    local n=$1 row
    shift
    for row; do echo "{\"scores\":$row}"; done | mkstream scores experts="$n" from=json
}

# experts FILE: its experts in stream order, on one line.
experts() {
    view --json "$1" | jq -r .expert | paste -sd' '
}

# field NAME: a number of the report log.json.
field() {
    jq -r ".$1" log.json
}

# ---- balanced ----

@test "assign: figure 1 gives 14 in stream order and 12 sorted" {
    rows 3 '[-3,-4,-9]' '[-8,-2,-8]' '[-1,-6,-9]' > figure.scr
    assign -q --method balanced-sequential --log log.json figure.scr -o a.asg
    assert_equal "$(experts a.asg)" "0 1 2"
    assert_close "$(field 'mean_score * 3')" -14 1e-12
    rm log.json
    assign -q --method balanced --log log.json figure.scr -o b.asg
    assert_equal "$(experts b.asg)" "2 1 0"
    assert_close "$(field 'mean_score * 3')" -12 1e-12
    assert_equal "$(field capacity)" 1
}

# The definition again in sort and awk: a stable sort by the best score, then each to its best with room.
balanced_by_hand() {
    jq -r '.scores | [max] + . | @tsv' "$1" | awk '{ print NR - 1 "\t" $0 }' | sort -s -t "$(printf '\t')" -k2,2gr |
        awk -v capacity="$2" '{
            chosen = -1
            for (e = 0; e < NF - 2; e++)
                if (load[e] < capacity && (chosen < 0 || $(e + 3) > $(chosen + 3))) chosen = e
            load[chosen]++
            print $1 "\t" chosen
        }' | sort -n | cut -f2 | paste -sd' '
}

@test "assign: balanced equals a full stable sort, with many ties" {
    awk 'BEGIN { srand(5); for (i = 0; i < 1000; i++) { printf "{\"scores\":["
        for (e = 0; e < 5; e++) printf "%s%d", (e ? "," : ""), -int(6 * rand() * rand()) + (e == 2)
        print "]}" } }' > rows.json
    mkstream scores experts=5 from=json < rows.json > s.scr
    assign -q s.scr -o a.asg
    assert_equal "$(experts a.asg)" "$(balanced_by_hand rows.json 200)"
    assign -q --capacity 230 s.scr -o b.asg
    assert_equal "$(experts b.asg)" "$(balanced_by_hand rows.json 230)"
    [ "$(experts a.asg)" != "$(experts b.asg)" ]
}

@test "assign: a small memory spools and gives the same bytes" {
    mkstream scores n=20000 experts=6 o=s.scr
    assign -q s.scr -o whole.asg
    run assign -v --memory 64K s.scr -o spooled.asg
    assert_exit 0
    assert_match "[0-9]+ sorted runs were spooled"
    assert_same whole.asg spooled.asg
    for method in balanced-sequential random; do
        cat s.scr | assign -q --method $method -o whole.asg
        cat s.scr | assign -q --method $method --memory 64K -o spooled.asg
        assert_same whole.asg spooled.asg
    done
}

# Most sequences are decided from a sample of the others; whatever the sample says, the result is the full sort's.
@test "assign: what is decided without sorting is what sorting would decide" {
    mkstream scores n=60000 experts=9 o=s.scr
    assign -q s.scr -o whole.asg
    run assign -v --memory 900K s.scr -o part.asg
    assert_match ": [0-9]{4} sequences were sorted, attempt 1"
    assert_same whole.asg part.asg
    cat s.scr | assign -q --memory 900K -o part.asg
    assert_same whole.asg part.asg
    assign -q --memory 900K --capacity 9000 s.scr -o part.asg
    assign -q --capacity 9000 s.scr -o whole.asg
    assert_same whole.asg part.asg
}

# Everybody prefers expert 0, so the sample's blocks look alike; but the second choice comes in runs as long as a block.
# second_choices N EXPERTS RUN SEED
second_choices() {
    awk -v n="$1" -v experts="$2" -v run="$3" -v x="$4" '
        function uniform() { x = x * 16807 % 2147483647; return x / 2147483647 }
        BEGIN {
            for (i = 0; i < n; i++) {
                if (i % run == 0) { u = uniform(); second = 1 + int((experts - 1) * u * u) }
                printf "{\"scores\":[%.6f", -1 - uniform()
                for (e = 1; e < experts; e++) printf ",%d", e == second ? -3 : -3 - e
                print "]}"
            }
        }' | mkstream scores experts="$2" from=json
}

@test "assign: where the sample misleads, wider brackets and at last a full sort decide the same" {
    local attempt
    second_choices 40000 9 100 1 > 2.scr
    second_choices 40000 17 200 1 > 3.scr
    for attempt in 2 3; do
        run assign -v --log whole.$attempt $attempt.scr -o whole.asg
        assert_line "40000 sequences were sorted, attempt 1"
        run assign -v --memory 500K --log part.$attempt $attempt.scr -o part.asg
        assert_match "[0-9]{5} sequences were sorted, attempt $attempt"
        assert_same whole.asg part.asg
        assert_same whole.$attempt part.$attempt
    done
}

@test "assign: memory stays bounded where the scores are larger" {
    (ulimit -d 14000 && assign --version) > /dev/null 2>&1 || skip "no tool runs in 14 MB here"
    mkstream scores n=60000 experts=64 o=s.scr # 15 MB of scores
    run_pipe 'cat s.scr | (ulimit -d 14000; assign -q --memory 1M -o a.asg)'
    assert_exit 0
    run_pipe 'cat s.scr | (ulimit -d 14000; assign -q --memory 256M -o b.asg)'
    assert_exit 1
    assert_absent b.asg
    assign -q s.scr -o c.asg
    assert_same a.asg c.asg
}

@test "assign: loads never exceed the capacity, by default ceil(N/E)" {
    mkstream scores n=1003 experts=4 o=s.scr
    for method in balanced balanced-sequential; do
        rm -f log.json
        assign -q --method $method --log log.json s.scr -o a.asg
        assert_equal "$(field capacity)" 251
        assert_equal "$(field 'loads | (add == 1003) and (max <= 251)')" true
        assert_equal "$(view --json a.asg | jq -s -c '[.[].expert] | group_by(.) | map(length)')" "$(jq -c .loads log.json)"
    done
    run assign --capacity 250 s.scr -o b.asg
    assert_exit 2
    assert_line "s.scr: --capacity 250 leaves no room: 1003 sequences, 4 experts"
    assert_absent b.asg
}

# ---- the other methods ----

@test "assign: argmax takes the best expert, ties to the lowest index" {
    rows 3 '[-3,-2,-2]' '[-1,-1,-1]' '[-5,-4,-3]' '["-inf","-inf",-9]' > s.scr
    assign -q --method argmax --log log.json s.scr -o a.asg
    assert_equal "$(experts a.asg)" "1 0 2 2"
    assert_equal "$(jq -c .loads log.json)" "[1,1,2]"
    assert_equal "$(field 'displaced + .regret')" 0
}

@test "assign: topk gives the posterior of the prefix over the best K" {
    echo '{"scores":[-2,-1.5,"-inf",-1]}' | mkstream scores experts=4 prefix=5 length=32 from=json > s.scr
    assign -q --method topk --topk 3 s.scr -o a.asg
    assert_equal "$(view --json a.asg | jq -c .experts)" "[3,1,0]"
    # 4 predictions: weights exp(-4 x (1, 1.5, 2)) normalised
    for k in 0 1 2; do
        assert_close "$(view --json a.asg | jq ".weights[$k]")" \
            "$(awk -v k=$k 'BEGIN { printf "%.9f", -2 * k - log(1 + exp(-2) + exp(-4)) }')" 1e-6
    done
    assert_equal "$(view --header a.asg | jq -c '[.experts, .topk, .rule]')" '[4,3,"topk"]'
    run assign --method topk --topk 5 s.scr -o b.asg
    assert_exit 2
    assert_absent b.asg
}

@test "assign: random gives equal shares of any stream, from a file and from a pipe" {
    for kind in tokens logprobs scores; do
        mkstream $kind n=1003 o=s.$kind
        rm -f log.json
        assign -q --method random --experts 4 --log log.json s.$kind -o a.asg
        assert_equal "$(field 'loads | sort | join(" ")')" "250 251 251 251"
        cat s.$kind | assign -q --method random --experts 4 -o b.asg
        assert_equal "$(experts a.asg)" "$(experts b.asg)"
    done
    assign -q --method random --experts 4 --seed 1 s.tokens -o c.asg
    [ "$(experts a.asg)" != "$(experts c.asg)" ]
    assign -q --method random --experts 7 s.scores -o d.asg # not the scores' experts
    assert_equal "$(view --header d.asg | jq .experts)" 7
    run assign --method random s.tokens -o e.asg
    assert_exit 2
    assert_line "s.tokens: does not tell the number of experts: give --experts"
}

@test "assign: label sends domains where the table says" {
    for d in law math law code math; do echo "{\"domain\":\"$d\",\"tokens\":[1,2,3]}"; done |
        mkstream tokens from=json o=s.tok
    printf 'math\t2\nlaw\t0\n\ncode\t2\nunused\t1\n' > labels.tsv
    assign -q --method label --labels labels.tsv s.tok -o a.asg
    assert_equal "$(experts a.asg)" "0 2 0 2 2"
    assert_equal "$(view --header a.asg | jq -c '[.experts, .rule]')" '[3,"label"]'
    cat s.tok | assign -q --method label --labels labels.tsv -o b.asg
    assert_same a.asg b.asg
    assign -q --method label s.tok -o c.asg # domain i belongs to expert i
    assert_equal "$(experts c.asg)" "0 1 0 2 1"
    assert_equal "$(view --header c.asg | jq .experts)" 3
}

@test "assign: label takes a table of 300,000 domains within seconds" {
    mkstream tokens n=20 o=s.tok # d0 d1 d2
    seq 0 299999 | sed 's/.*/d&\t1/' > large.tsv
    timeout 10 assign --method label --labels large.tsv s.tok -o a.asg
    [ "$(view a.asg | sed 1d | cut -f3 | sort -u)" = 1 ]
}

@test "assign: label refuses a domain without expert, and a bad table" {
    mkstream tokens n=20 o=s.tok # d0 d1 d2
    printf 'd0\t0\nd1\t1\n' > short.tsv
    run assign --method label --labels short.tsv s.tok -o a.asg
    assert_exit 3
    assert_line "domain 'd2' is not in the table of labels"
    printf 'd0\t0\nd1\t1\nd2\t5\n' > far.tsv
    run assign --method label --labels far.tsv --experts 4 s.tok -o a.asg
    assert_exit 3
    assert_line "domain 'd2' belongs to expert 5, but there are 4 experts"
    run assign --method label --experts 2 s.tok -o a.asg
    assert_exit 3
    printf 'd0\t0\nd1 1\n' > bad.tsv
    run assign --method label --labels bad.tsv s.tok -o a.asg
    assert_exit 3
    assert_line "bad.tsv: line 2: not \`domain<TAB>expert index\`"
    printf 'd0\t0\nd0\t1\n' > twice.tsv
    run assign --method label --labels twice.tsv s.tok -o a.asg
    assert_exit 3
    assert_line "twice.tsv: line 2: domain 'd0' a second time"
    assert_absent a.asg
}

# ---- what goes in and comes out ----

@test "assign: columns and ids come through, from a pipe as from a file" {
    mkstream scores n=300 ragged=1 tasks=3 start=1000 o=s.scr
    view --json --columns s.scr | jq -c 'del(.scores)' > in.json
    for method in balanced balanced-sequential argmax random label; do
        assign -q --method $method s.scr --experts 4 -o a.asg
        assert_equal "$(view --json --columns a.asg | jq -c 'del(.expert)' | cmp - in.json && echo same)" same
        cat s.scr | assign -q --method $method --experts 4 > b.asg
        assert_same a.asg b.asg
        assert_equal "$(view --header a.asg | jq -r .rule)" $method
    done
}

@test "assign: half-precision scores are read as what they are" {
    mkstream scores n=200 dtype=f16 o=half.scr
    view --json half.scr | mkstream scores n=200 from=json o=full.scr
    assign -q half.scr -o a.asg
    assign -q full.scr -o b.asg
    assert_equal "$(experts a.asg)" "$(experts b.asg)"
}

@test "assign: --sequences takes a slice, and asks for no more than there is" {
    mkstream scores n=100 o=s.scr
    assign -q --method argmax s.scr -o all.asg
    assign -q --method argmax --sequences 20..50 s.scr -o part.asg
    assert_equal "$(experts part.asg)" "$(view --json all.asg | sed -n 21,50p | jq -r .expert | paste -sd' ')"
    assign -q --sequences 20..50 s.scr -o a.asg
    cat s.scr | assign -q --sequences 20..50 -o b.asg
    assert_equal "$(experts a.asg)" "$(experts b.asg)"
    assert_equal "$(view --json a.asg | jq -s 'length')" 30
    assign -q --sequences 90.. --method random s.scr -o a.asg
    assert_equal "$(view --json a.asg | jq -s -c '[.[].expert] | group_by(.) | map(length) | sort')" "[2,2,3,3]"
    for method in balanced argmax random; do
        run assign --sequences 90..101 --method $method s.scr -o c.asg
        assert_exit 3
        assert_line "s.scr: sequences 90..101: there are only 100"
        run_pipe "cat s.scr | assign --sequences 90..101 --method $method -o c.asg"
        assert_exit 3
    done
    assert_absent c.asg
}

@test "assign: a pipe is verified to its end, though a slice is taken" {
    mkstream scores n=2000 frame=4000 o=s.scr
    cat s.scr | assign -q --sequences 30..900 -o a.asg
    assign -q --sequences 30..900 s.scr -o b.asg
    assert_same a.asg b.asg
    cp s.scr bad.scr
    printf 'x' | dd of=bad.scr bs=1 seek=$(($(stat -c %s s.scr) * 3 / 4)) conv=notrunc status=none
    for method in balanced balanced-sequential random; do
        run_pipe "cat bad.scr | assign --method $method --sequences 30..900 -o c.asg"
        assert_exit 3
        assert_match "standard input: frame [0-9]+ at byte [0-9]+: content hash mismatch"
    done
    assert_absent c.asg
}

@test "assign: what is neither a pipe nor a file from its start is spooled as well" {
    mkstream scores n=2000 o=s.scr
    assign -q s.scr -o a.asg
    { printf x; cat s.scr; } > behind.scr
    { read -rN 1 && assign -q -o b.asg; } < behind.scr
    assert_same a.asg b.asg
}

@test "assign: an empty stream gives an empty assignment" {
    mkstream scores n=0 o=s.scr
    for method in balanced argmax random; do
        assign -q --method $method s.scr -o a.asg
        assert_equal "$(view --json a.asg | wc -l)" 0
    done
}

@test "assign: the report gives loads, mean score, displaced share and regret" {
    rows 2 '[-1,-3]' '[-2,-4]' '[-3,-4]' '[-4,-9]' > s.scr # all prefer expert 0
    run_separate assign --log log.json s.scr -o a.asg
    assert_equal "$(experts a.asg)" "0 0 1 1"
    assert_equal "$(jq -c '[.sequences, .experts, .capacity, .loads, .mean_score + 0, .displaced, .regret]' log.json)" \
        '[4,2,2,[2,2],-4,0.5,1.5]'
    output=$errors
    assert_line "balanced: 4 sequences, loads 2 2"
    assert_line "mean score -4 nats per token, 50.00% displaced from the arg max, regret 1.5 nats per token"
}

# ---- refusals ----

@test "assign: NaN, and all experts at -inf, end in exit 4" {
    mkstream scores n=50 start=700 nan=33 o=nan.scr
    rows 2 '[-1,"-inf"]' '["-inf","-inf"]' > lost.scr
    for method in balanced argmax topk; do
        run assign --method $method nan.scr -o a.asg
        assert_exit 4
        assert_line "nan.scr: "
        assert_line "is NaN"
        run assign --method $method lost.scr -o a.asg
        assert_exit 4
        assert_line "lost.scr: sequence 1 (id 1): every expert's score is -inf"
    done
    assert_absent a.asg
}

@test "assign: bad usage exits 2 and creates nothing" {
    mkstream scores n=5 o=s.scr
    mkstream tokens n=5 o=s.tok
    local bad
    for bad in '--bogus s.scr' '--method best s.scr' '--topk 2 s.scr' '--capacity 3 --method argmax s.scr' \
        '--labels x s.scr' '--experts 5 s.scr' '--memory 1 s.scr' 's.scr s.scr' '--sequences 5..2 s.scr'; do
        run assign $bad -o a.asg
        assert_exit 2
    done
    run assign s.tok -o a.asg
    assert_exit 3
    assert_absent a.asg
}

@test "assign: a truncated file leaves no output" {
    mkstream scores n=2000 o=s.scr
    for method in balanced argmax random; do
        head -c -1 s.scr > short.scr
        run assign --method $method short.scr -o a.asg
        assert_exit 3
        assert_absent a.asg
    done
}

@test "assign: the same seed gives the same bytes" {
    mkstream scores n=500 o=s.scr
    for method in balanced random topk; do
        assign -q --method $method --seed 4 s.scr -o a.asg
        assign -q --method $method --seed 4 s.scr > b.asg
        assert_same a.asg b.asg
    done
}
