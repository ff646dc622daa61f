# What machines do: memory, files and folders fail, one call after another (test/faults/faults.h). Each tool, on a small
# input, runs once for every call of a kind that fails alone, and once more with all later ones failing too. It must
# end in exit 1 and one line, leave the old output as it was and nothing else, and not hinder the next run.
#
# FAULTS_MOST=N tries N places per kind and command (the first ones, then evenly spread), 0 all of them (`make faults`).
load helpers
load train_helpers

setup_file() {
    load helpers
    load train_helpers
    export data=$BATS_FILE_TMPDIR/data FAULTS_MOST=${FAULTS_MOST:-80}
    rm -f "$build/faults/report"
    mkdir -p "$data" && cd "$data"
    mkdir -p text/a text/b
    for i in $(seq 12); do echo "the river carries $i sands, die Wellen $((i * i)) 波"; done | tee text/a/1 > text/b/2
    gzip -k text/a/1 && mv text/a/1.gz packed.gz
    zstd -q text/b/2 -o packed.zst
    vocabulary=$golden/tokenizer/tokenizer.json
    tokenize -q -t "$vocabulary" --length 16 text > text.tok
    config 64 16 8 1 > config.json
    pattern 60 16 > a.tok
    lines 60 16 | mkstream tokens from=json length=16 vocab=64 frame=600 > frames.tok
    assignment 60 2 16 > a.asg
    mkstream assignment n=60 experts=1 length=16 vocab=64 o=one.asg
    mkstream scores n=60 length=16 vocab=64 o=a.scr
    mkstream scores n=6000 length=16 vocab=64 o=long.scr
    mkstream tokens n=4000 length=16 vocab=64 o=long.tok
    mkstream logprobs n=60 length=16 vocab=64 tasks=2 o=a.lp
    mkstream logprobs n=60 length=16 vocab=64 tasks=2 model=1 o=b.lp
    train -q --model config.json --steps 2 --batch 4 --length 16 -o m a.tok
    train -q --continue m --steps 2 --batch 4 --length 16 -o n a.tok
    config 600 16 8 1 > wide.json
    train -q --model wide.json --steps 2 --batch 4 --length 16 -o wide a.tok
}

# suffer NAME TOOL ARGUMENT...: every fault, beginning with what this folder holds; in memory, where syncing is free.
suffer() {
    local name=$1 folder
    shift
    folder=$(mktemp -d -p /dev/shm 2> /dev/null || mktemp -d)
    cp -r . "$folder"
    run env -C "$folder" FAULTS="${FAULTS:-all}" "$build/faults/$1" "${@:2}"
    rm -r "$folder"
    grep -E ' calls +[0-9]+ faults' <<<"$output" | sed "s/^$1/$name/" >> "$build/faults/report"
    if [ "$status" -ne 0 ]; then
        printf '%s\n%s\n' "$*" "$output" >&2
        return 1
    fi
}

@test "faults: nothing beside the layer calls the system" {
    local calls='malloc calloc realloc aligned_alloc posix_memalign strdup strndup vasprintf asprintf realpath mmap mmap64
        open open64 openat openat64 creat fopen fopen64 fdopen read pread pread64 readv write pwrite pwrite64 writev close
        pipe pipe2 tee splice fsync fdatasync sync_file_range ftruncate ftruncate64 rename renameat renameat2 unlink unlinkat remove mkdir rmdir stat stat64 fstat
        fstat64 lstat lstat64 access mkstemp mkostemp mkostemp64 flock opendir readdir readdir64 scandir utimensat nftw
        nftw64 clock_gettime time gettimeofday'
    run_pipe "nm -A --undefined-only $build/libtacit.a $build/libtools.a $build/tools/*/main.o | grep -vE ':system[.]o:' |
        grep -E ' U ($(xargs <<<"$calls" | tr ' ' '|'))(@|$)' || true"
    assert_exit 0
    assert_equal "$output" ""
}

tokenizer() { echo "tokenize -q -t $golden/tokenizer/tokenizer.json"; }

@test "faults: tokenize packs a folder of texts" {
    echo old > out
    suffer tokenize-pack $(tokenizer) --length 16 --domain-from dir "$data/text" -o out
}

@test "faults: tokenize reads gzip and zstd, and splits" {
    suffer tokenize-split $(tokenizer) --length 16 --split a=0.5,b=0.5 --documents line "$data/packed.gz" "$data/packed.zst" \
        -o 'out.%s'
}

@test "faults: tokenize reads JSON lines on several threads, leaves documents out, and counts" {
    jq -Rc '{text: ., title: null, meta: {source: "\(length)"}}' "$data/text/a/1" > lines.jsonl
    echo '{"text": "tab\there", "meta": {"source": "\u0061"}}' >> lines.jsonl
    mv lines.jsonl "$data/lines.jsonl"
    echo old > out
    suffer tokenize-filter $(tokenizer) --threads 3 --length 16 --field 'title?,text' --domain-field meta.source --dedup exact \
        --filter repeats --filter code-frequency:28 "$data/lines.jsonl" "$data/text/b" -o out
    suffer tokenize-stats $(tokenizer) --threads 2 --stats --domain-from dir "$data/text" -o out
    suffer tokenize-stats $(tokenizer) --stats "$data/text.tok" -o out
    FAULTS_INPUT=$data/text.tok suffer tokenize-stats-pipe $(tokenizer) --stats -o out
}

@test "faults: tokenize imports tokens" {
    printf '\1\0\2\0\3\0\4\0' > "$data/plain.bin"
    cp "$data/plain.bin" "$data/other.bin"
    printf 'MMIDIDX\0\0\1\0\0\0\0\0\0\0\10\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0' > "$data/other.idx"
    echo old > out
    suffer tokenize-import $(tokenizer) --import-tokens u16 --length 3 "$data/plain.bin" "$data/other.bin" -o out
}

@test "faults: tokenize learns" {
    echo old > out
    suffer tokenize-learn tokenize -q --learn --vocab-size 270 "$data/text/a/1" -o out
}

@test "faults: tokenize decodes" {
    echo old > out
    FAULTS_INPUT=$data/text.tok suffer tokenize-decode $(tokenizer) --decode -o out
}

@test "faults: train starts over an old checkpoint" {
    cp -r "$data/m" m
    suffer train-start train -q --restart --model "$data/config.json" --steps 2 --batch 4 --length 16 --save-every 1 \
        --keep 1 --threads 2 --seed 1 --log log --eval "$data/a.tok" -o m "$data/a.tok"
}

@test "faults: train resumes" {
    resumed=(-q --resume --model "$data/config.json" --steps 12 --batch 4 --length 16 --threads 1 --save-every 1 -o m)
    run_pipe "head -c -200 $data/frames.tok | train ${resumed[*]}"
    assert_exit 3
    [ -e m.part/current ]
    FAULTS_INPUT=$data/frames.tok suffer train-resume train "${resumed[@]}"
}

# unfinished COMMAND...: m.part of a run whose last state is saved, with a snapshot, but that published nothing
unfinished() {
    "$@" --save-every 2 --keep 1 -o finished "$data/a.tok"
    mkdir -p m.part
    mv finished/snapshots/step-* m.part
    rmdir finished/snapshots
    mv finished m.part/step-4
    echo step-4 > m.part/current
}

@test "faults: train publishes what a killed run had completed, and killed again before each call leaves all or nothing" {
    ending=(train -q --resume --model "$data/config.json" --steps 4 --batch 4 --length 16 --threads 1)
    again=("${ending[@]}" --save-every 2 --keep 1 -o m "$data/a.tok")
    unfinished "${ending[@]}"
    FAULTS=kill FAULTS_MOST=0 suffer train-end "${again[@]}"
    [[ $output =~ ([0-9]+)\ left\ the\ result && ${BASH_REMATCH[1]} -ge 3 ]]
    # make has made the folder
    mkdir m
    FAULTS=kill FAULTS_MOST=0 suffer train-end "${again[@]}"
    rmdir m
    # moved out of m.part, which is gone or empty
    mv m.part/step-4 m.part.done
    mkdir -p m.part.done/snapshots
    mv m.part/step-2 m.part.done/snapshots
    rm -r m.part
    FAULTS=kill FAULTS_MOST=0 suffer train-end "${again[@]}"
    suffer train-end "${again[@]}"
    rm -r m.part.done
    # in the place of an older one
    cp -r "$data/m" m
    unfinished "${ending[@]}"
    FAULTS=kill FAULTS_MOST=0 suffer train-end "${again[@]}"
}

@test "faults: what a killed tool leaves beside a whole output, make finds out of date and the next run clears" {
    echo old > out
    export FAULTS=kill
    suffer tokenize-pack $(tokenizer) --length 16 "$data/text" -o out
    suffer route route -q -m "$data/m" --prefix 8 --threads 2 "$data/a.tok" -o out
    suffer assign assign -q "$data/a.scr" -o out
    suffer shard-shuffle shard -q --shuffle "$data/a.tok" -o out
    suffer mix-bayes mix -q --rule bayes "$data/a.lp" "$data/b.lp" -o out
    suffer ppl-json ppl -q --json "$data/a.lp" -o out
    [[ $output =~ ([0-9]+)\ left\ the\ result && ${BASH_REMATCH[1]} -ge 3 ]]
}

@test "faults: train goes on from a checkpoint, with an assignment, from a pipe" {
    FAULTS_INPUT=$data/a.tok suffer train-continue train -q --resume --continue "$data/wide" --assignment "$data/a.asg" --expert 1 \
        --batch 4 --length 16 --threads 1 --tokenizer "$golden/tokenizer/tokenizer.json" -o m
}

@test "faults: route scores, with several models" {
    echo old > out
    suffer route route -q -m "$data/m" -m "$data/n" --prefix 8 --threads 2 "$data/a.tok" -o out
}

@test "faults: route scores tokens of one share, from a pipe" {
    FAULTS_INPUT=$data/frames.tok suffer route-tokens route -q -m "$data/m" --per-token --assignment "$data/a.asg" --expert 1 \
        --threads 1 -o out
}

@test "faults: assign balances in memory and with a spool" {
    echo old > out
    suffer assign assign -q --log log "$data/a.scr" -o out
    FAULTS_INPUT=$data/long.scr suffer assign-spool assign -q --memory 64K -o out
}

@test "faults: assign labels and takes the best" {
    suffer assign-label assign -q --method label --experts 3 "$data/a.tok" -o out
    suffer assign-topk assign -q --method topk "$data/a.scr" -o out
}

@test "faults: shard shuffles in memory and with a spool" {
    echo old > out
    suffer shard-shuffle shard -q --shuffle "$data/a.tok" -o out
    suffer shard-spool shard -q --shuffle --memory 64K "$data/long.tok" -o out
}

@test "faults: shard splits and joins" {
    suffer shard-split shard -q --split 'out.%d' --assignment "$data/a.asg" "$data/frames.tok"
    suffer shard-join shard -q --join "$data/a.tok" "$data/frames.tok" -o out
}

@test "faults: mix mixes" {
    echo old > out
    suffer mix-bayes mix -q --rule bayes "$data/a.lp" "$data/b.lp" -o out
    suffer mix-select mix -q --rule select --assignment "$data/one.asg" "$data/a.lp" -o out
}

@test "faults: ppl reports" {
    echo old > out
    suffer ppl-table ppl -q --by domain --baseline "$data/b.lp" "$data/a.lp" -o out
    suffer ppl-json ppl -q --json --by domain "$data/a.lp" -o out
}

@test "faults: view prints" {
    echo old > out
    suffer view view -q --json --columns "$data/a.tok" -o out
    FAULTS_INPUT=$data/frames.tok suffer view-pipe view -q -o out
    suffer view-text view -q --text -t "$golden/tokenizer/tokenizer.json" "$data/text.tok" -o out
}
