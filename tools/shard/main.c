// shard: rearrange streams.
#include "shard.h"

#include "base/error.h"
#include "base/tool.h"

static bool shuffle, join;
static const char *split, *assignment;
static struct range sequences = {0, INT64_MAX};
static int64_t level = STREAM_LEVEL_DEFAULT, memory = 256 << 20;

static struct option options[] = {
    {.name = "shuffle",
     .type = OPTION_FLAG,
     .value = &shuffle,
     .help = "all sequences in the order that --seed gives"},
    {.name = "sequences",
     .type = OPTION_RANGE,
     .value = &sequences,
     .help = "sequences A to B-1 in stream order; with --split only these are split"},
    {.name = "split",
     .type = OPTION_STRING,
     .value = &split,
     .argument = "PATTERN",
     .help = "one file per expert, PATTERN with its %d replaced; all of them or none"},
    {.name = "assignment",
     .type = OPTION_STRING,
     .value = &assignment,
     .argument = "FILE",
     .help = "which expert has which sequence (--split)"},
    {.name = "join", .type = OPTION_FLAG, .value = &join, .help = "the FILEs one behind the other"},
    {.name = "level",
     .type = OPTION_INTEGER,
     .value = &level,
     .argument = "N",
     .help = "zstd level of the output, 0 = stored; alone it rewrites the stream",
     .low = 0,
     .high = 19},
    {.name = "memory",
     .type = OPTION_SIZE,
     .value = &memory,
     .help = "for --shuffle; beyond it a scratch file in $TMPDIR; the result does not depend on it",
     .low = 65536,
     .high = 1e15},
    {0},
};

static int check_options(int count) {
    bool slice = option_given(options, "sequences");
    int modes = shuffle + join + (split || slice);
    if (modes > 1)
        return error_set(ERROR_USAGE,
                         "--shuffle, --split, --sequences and --join exclude each other (but a split may "
                         "have --sequences)");
    if (modes == 0 && !option_given(options, "level"))
        return error_set(ERROR_USAGE, "one of --shuffle, --sequences, --split, --join and --level is wanted");
    if (!split != !assignment)
        return error_set(ERROR_USAGE, "--split and --assignment go together");
    if (split && common.output)
        return error_set(ERROR_USAGE, "--split names its outputs by its pattern: no -o");
    if (option_given(options, "memory") && !shuffle)
        return error_set(ERROR_USAGE, "--memory goes with --shuffle");
    if (join && count == 0)
        return error_set(ERROR_USAGE, "--join needs FILEs");
    if (!join && count > 1)
        return error_set(ERROR_USAGE, "%d FILEs: only --join takes more than one", count);
    return OK;
}

static int run(int count, char **operands) {
    int code = check_options(count);
    if (code != OK)
        return code;
    struct progress progress;
    struct shard_job job = {.input = count > 0 ? operands[0] : NULL,
                            .output = common.output,
                            .begin = (uint64_t)sequences.begin,
                            .end = sequences.end == INT64_MAX ? UINT64_MAX : (uint64_t)sequences.end,
                            .level = (int)level,
                            .seed = (uint64_t)common.seed,
                            .memory = (uint64_t)memory,
                            .assignment = assignment,
                            .progress = &progress};
    progress_start(&progress, tool_name(), "sequences", 0, common.progress);
    if (shuffle)
        code = shard_shuffle(&job);
    else if (join)
        code = shard_join(&job, operands, count);
    else
        code = split ? shard_split(&job, split) : shard_slice(&job);
    progress_finish(&progress);
    return code;
}

int main(int argc, char **argv) {
    struct tool tool = {
        .name = "shard",
        .purpose = "rearrange streams of any kind: shuffle, slice, split by assignment, join",
        .synopsis = "--shuffle [--seed N] [--memory BYTES] [FILE] -o OUTPUT\n"
                    "--sequences A..B [FILE] -o OUTPUT\n"
                    "--split 'expert.%d.tok' --assignment FILE [--sequences A..B] [FILE]\n"
                    "--join FILE... -o OUTPUT\n"
                    "--level N [FILE] -o OUTPUT",
        .description =
            "Sequences keep their ids and domains. --join keeps the ids of inputs that belong to one corpus;\n"
            "inputs of several corpora get fresh ids 0, 1, ..., and domains of the same name become one.\n"
            "An assignment to K > 1 experts gives a sequence to each of them. A range beyond the stream's end\n"
            "is an error. Joined inputs are regular files.",
        .example = "shard --shuffle --seed 1 corpus.tok -o shuffled.tok",
        .see_also = "view, assign, tokenize",
        .options = options,
        .run = run,
    };
    return tool_main(&tool, TOOL_OUTPUT | TOOL_THREADS | TOOL_SEED | TOOL_PROGRESS, argc, argv);
}
