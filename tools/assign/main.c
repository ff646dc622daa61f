// assign: scores in, one expert (or the best few) per sequence out.
#include "assign.h"
#include "labels.h"

#include "base/error.h"
#include "base/memory.h"
#include "base/tool.h"
#include "stream/stream.h"

#include <inttypes.h>
#include <stdlib.h>

static int method = ASSIGN_BALANCED;
static int64_t capacity, experts, topk = 2, memory = (int64_t)256 << 20;
static struct range sequences = {0, INT64_MAX};
static const char *labels_path;

static struct option options[] = {
    {.name = "method",
     .type = OPTION_CHOICE,
     .value = &method,
     .argument = "METHOD",
     .help = "how sequences find their expert",
     .choices = assign_method_names},
    {.name = "capacity",
     .type = OPTION_INTEGER,
     .value = &capacity,
     .argument = "C",
     .help = "sequences that an expert takes (balanced methods; 0: ceil(N/E))",
     .low = 0,
     .high = 1e15},
    {.name = "experts",
     .type = OPTION_INTEGER,
     .value = &experts,
     .argument = "E",
     .help = "number of experts, where the input does not say (0: as the input says)",
     .low = 0,
     .high = STREAM_EXPERTS_LIMIT},
    {.name = "topk",
     .type = OPTION_INTEGER,
     .value = &topk,
     .argument = "K",
     .help = "experts per sequence (--method topk)",
     .low = 1,
     .high = STREAM_TOPK_LIMIT},
    {.name = "labels",
     .type = OPTION_STRING,
     .value = &labels_path,
     .argument = "FILE",
     .help = "lines `domain<TAB>expert index` (--method label)"},
    {.name = "sequences",
     .type = OPTION_RANGE,
     .value = &sequences,
     .argument = "A..B",
     .help = "only these sequences of the input, A inclusive, B exclusive"},
    {.name = "memory",
     .type = OPTION_SIZE,
     .value = &memory,
     .argument = "BYTES",
     .help = "working memory; beyond it sequences are spooled in TMPDIR",
     .low = 64 << 10,
     .high = 1e15},
    {0},
};

static int check_options(void) {
    if (option_given(options, "capacity") && !assign_has_capacity((enum assign_method)method))
        return error_set(ERROR_USAGE, "--capacity: method '%s' has none", assign_method_names[method]);
    if (option_given(options, "topk") && method != ASSIGN_TOPK)
        return error_set(ERROR_USAGE, "--topk: only with --method topk");
    if (labels_path && method != ASSIGN_LABEL)
        return error_set(ERROR_USAGE, "--labels: only with --method label");
    return OK;
}

// E: as asked for, as the input says, or as the labels say.
static int find_experts(struct assign_job *job) {
    const struct stream_header *h = stream_header(job->in);
    uint32_t held = h->kind == STREAM_SCORES || h->kind == STREAM_ASSIGNMENT ? h->experts : 0;
    job->experts = experts > 0 ? (uint32_t)experts : held;
    if (assign_needs_scores(job->method) && job->experts != held)
        return error_set(ERROR_USAGE, "%s: holds the scores of %u experts, --experts asks for %u",
                         stream_name(job->in), held, job->experts);
    if (job->experts == 0 && job->labels)
        job->experts = labels_experts(job->labels);
    if (job->experts == 0 && job->labels && stream_seekable(job->in))
        job->experts = (uint32_t)stream_domains(job->in);
    if (job->experts == 0)
        return error_set(ERROR_USAGE, "%s: does not tell the number of experts: give --experts",
                         stream_name(job->in));
    if (job->experts > STREAM_EXPERTS_LIMIT)
        return error_set(ERROR_USAGE, "%s: more than %d experts", stream_name(job->in), STREAM_EXPERTS_LIMIT);
    job->topk = method == ASSIGN_TOPK ? (uint32_t)topk : 1;
    if (job->topk > job->experts)
        return error_set(ERROR_USAGE, "--topk %u: there are %u experts", job->topk, job->experts);
    return OK;
}

static int report(const struct assign_job *job) {
    const struct tally *t = &job->tally;
    struct buffer loads = {0};
    int rc = OK;
    for (uint32_t e = 0; e < t->experts && rc == OK; e++)
        rc = buffer_append_format(&loads, " %" PRIu64, t->loads[e]);
    if (rc == OK) {
        tool_notice("%s: %" PRIu64 " sequences, loads%s", assign_method_names[job->method], t->sequences,
                    (const char *)loads.data);
        if (t->scored)
            tool_notice(
                "mean score %.6g nats per token, %.2f%% displaced from the arg max, regret %.6g nats per token",
                tally_mean_score(t), 100.0 * (double)t->displaced / (double)t->scored, tally_regret(t));
        if (job->attempts)
            tool_verbose("%" PRIu64 " sequences were sorted, attempt %d", job->contested, job->attempts);
        if (job->runs)
            tool_verbose("%" PRIu64 " sorted runs were spooled", job->runs);
        char *line =
            tally_json(t, assign_method_names[job->method], assign_has_capacity(job->method) ? job->capacity : 0);
        rc = line ? log_line(line) : ERROR_SYSTEM;
        free(line);
    }
    buffer_release(&loads);
    return rc;
}

static int run(int count, char **operands) {
    int rc = check_options();
    if (rc != OK)
        return rc;
    if (count > 1)
        return error_set(ERROR_USAGE, "one input, not %d", count);
    struct assign_job job = {.method = (enum assign_method)method,
                             .output = common.output,
                             .begin = (uint64_t)sequences.begin,
                             .end = sequences.end == INT64_MAX ? UINT64_MAX : (uint64_t)sequences.end,
                             .capacity = (uint64_t)capacity,
                             .seed = (uint64_t)common.seed,
                             .memory = (size_t)memory,
                             .report = report};
    struct progress progress;
    job.progress = &progress;
    rc = stream_open(&job.in, count ? operands[0] : NULL,
                     assign_needs_scores(job.method) ? 1u << STREAM_SCORES : STREAM_ANY);
    if (rc == OK && method == ASSIGN_LABEL)
        rc = labels_open(&job.labels, labels_path);
    if (rc == OK)
        rc = find_experts(&job);
    if (rc == OK) {
        progress_start(&progress, tool_name(), "sequences",
                       stream_seekable(job.in) ? (double)stream_count(job.in) : 0, common.progress);
        rc = assign_run(&job);
        progress_finish(&progress);
    }
    tally_release(&job.tally);
    labels_free(job.labels);
    stream_close(job.in);
    return rc;
}

int main(int argc, char **argv) {
    struct tool tool = {
        .name = "assign",
        .purpose = "give each sequence to an expert",
        .synopsis = "[OPTION]... [SCORES] -o chunk.asg\n"
                    "--method random --experts E [STREAM] -o chunk.asg\n"
                    "--method label [--labels FILE] [STREAM] -o chunk.asg",
        .description =
            "balanced: sequences in the order of their best score, most likely first (ties by sequence number),\n"
            "each to its most likely expert that has room (ties to the lowest index). balanced-sequential: the\n"
            "same in stream order. argmax: the most likely expert, no capacity. topk: the K most likely, with\n"
            "log-weights: the posterior of the scored prefix under a uniform prior, renormalised over the K.\n"
            "random: equal shares by a seeded permutation, of any stream. label: by domain, of any stream;\n"
            "without --labels, domain number i belongs to expert i.\n"
            "\n"
            "The report (standard error, and one JSON object with --log) gives the loads, the mean score of the\n"
            "chosen experts, the share of sequences displaced from their arg max, and the regret: the mean of\n"
            "best minus chosen score.",
        .example =
            "route -m routers/0 -m routers/1 --prefix 256 corpus.tok | assign --method balanced -o chunk.asg",
        .see_also = "route, shard, mix, view",
        .options = options,
        .run = run,
    };
    return tool_main(&tool, TOOL_OUTPUT | TOOL_SEED | TOOL_PROGRESS | TOOL_LOG, argc, argv);
}
