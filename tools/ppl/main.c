// ppl: log-probs in, perplexity and its relatives out.
#include "collect.h"
#include "report.h"

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/threads.h"
#include "base/tool.h"
#include "stream/stream.h"

static const char *const by_names[] = {"total", "domain", "expert", "domain,expert", NULL}; // sets of BY_
static int by = 0;
static int64_t from, resamples = 1000;
static const char *baseline, *assignment;
static bool choices, json, tsv;

static struct option options[] = {
    {.name = "by",
     .type = OPTION_CHOICE,
     .value = &by,
     .argument = "GROUP",
     .help = "rows of the report",
     .choices = by_names},
    {.name = "assignment",
     .type = OPTION_STRING,
     .value = &assignment,
     .argument = "FILE",
     .help = "which expert has which sequence (--by expert); of several, the first counts"},
    {.name = "from",
     .type = OPTION_INTEGER,
     .value = &from,
     .argument = "POSITION",
     .help = "leave out tokens before this position of their sequence",
     .low = 0,
     .high = 4294967295.0},
    {.name = "baseline",
     .type = OPTION_STRING,
     .value = &baseline,
     .argument = "FILE",
     .help = "log-probs of the same sequences, for the paired difference"},
    {.name = "choices", .type = OPTION_FLAG, .value = &choices, .help = "accuracy of multiple-choice tasks"},
    {.name = "resamples",
     .type = OPTION_INTEGER,
     .value = &resamples,
     .argument = "N",
     .help = "bootstrap resamples for the 95% intervals (0: none)",
     .low = 0,
     .high = 1e6},
    {.name = "json", .type = OPTION_FLAG, .value = &json, .help = "write one JSON object"},
    {.name = "tsv", .type = OPTION_FLAG, .value = &tsv, .help = "write tab-separated values"},
    {0},
};

static int check_options(int count) {
    if (count > 1)
        return error_set(ERROR_USAGE, "one stream of log-probs, not %d", count);
    if (json && tsv)
        return error_set(ERROR_USAGE, "--json and --tsv exclude each other");
    if ((by & BY_EXPERT) && !assignment)
        return error_set(ERROR_USAGE, "--by %s needs --assignment", by_names[by]);
    if (assignment && !(by & BY_EXPERT))
        return error_set(ERROR_USAGE, "--assignment: only with --by expert or domain,expert");
    if (choices && from)
        return error_set(ERROR_USAGE, "--choices takes whole continuations: leave --from out");
    return OK;
}

static int collect(struct collection *c, const char *path) {
    int rc = stream_open(&c->in, path, 1u << STREAM_LOGPROBS);
    if (rc == OK && baseline)
        rc = stream_open(&c->baseline, baseline, 1u << STREAM_LOGPROBS);
    if (rc == OK && assignment)
        rc = stream_open(&c->assignment, assignment, 1u << STREAM_ASSIGNMENT);
    if (rc != OK)
        return rc;
    struct progress progress;
    progress_start(&progress, tool_name(), "sequences", stream_seekable(c->in) ? (double)stream_count(c->in) : 0,
                   common.progress);
    c->progress = &progress;
    rc = collection_read(c);
    progress_finish(&progress);
    return rc;
}

static int write_report(const struct report *r) {
    struct buffer text = {0}, line = {0};
    struct output *out = NULL;
    int rc = json ? report_json(r, &text) : tsv ? report_tsv(r, &text) : report_table(r, &text);
    if (rc == OK && common.log)
        rc = report_json(r, &line);
    if (rc == OK && line.size) {
        line.data[line.size - 1] = '\0'; // log_line ends the line itself
        rc = log_line((const char *)line.data);
    }
    if (rc == OK)
        rc = output_open(&out, common.output, false);
    if (rc == OK) {
        rc = output_write(out, text.data, text.size);
        if (rc == OK)
            rc = output_commit(out);
        else
            output_abort(out);
    }
    buffer_release(&text);
    buffer_release(&line);
    return rc;
}

static int run(int count, char **operands) {
    int rc = check_options(count);
    if (rc != OK)
        return rc;
    struct collection c = {
        .by = (unsigned)by, .from = (uint32_t)from, .choices = choices, .seed = (uint64_t)common.seed};
    struct threads *pool = NULL;
    struct report report = {0};
    rc = collect(&c, count ? operands[0] : NULL);
    if (rc == OK)
        rc = threads_new(&pool, (int)common.threads);
    if (rc == OK)
        rc = report_make(&report, &c, (uint32_t)resamples, pool);
    if (rc == OK)
        rc = write_report(&report);
    report_release(&report);
    threads_free(pool);
    stream_close(c.in);
    stream_close(c.baseline);
    stream_close(c.assignment);
    collection_release(&c);
    return rc;
}

int main(int argc, char **argv) {
    struct tool tool = {
        .name = "ppl",
        .purpose = "perplexity, bits per byte and accuracy of a stream of log-probs",
        .synopsis =
            "[--by domain|expert] [--baseline dense.lp] [--from POSITION] [--choices] [--json|--tsv] [LOGPROBS]",
        .description =
            "perplexity is exp(nats per predicted token), all tokens weighing the same; bits per byte are nats /\n"
            "(ln 2 x UTF-8 bytes of the predicted tokens), unknown where there are no bytes or where --from cuts\n"
            "into a sequence. Intervals of 95% are percentiles of a bootstrap over sequences; those of the\n"
            "difference to the baseline come from the same resamples. The improvement is\n"
            "100 (1 - perplexity / the baseline's).\n"
            "With --from, the numbers of all positions are reported too. A log-prob of -inf makes a perplexity\n"
            "infinite: `inf` in the table and in TSV, null with \"infinite\": true in JSON. What is unknown is\n"
            "`-`, `nan` and null. Domains without sequences are left out,\n"
            "experts without any are not.",
        .example = "mix --rule bayes e0.lp e1.lp | ppl --by domain --baseline dense.lp --json",
        .see_also = "mix, route, view",
        .options = options,
        .run = run,
    };
    return tool_main(&tool, TOOL_OUTPUT | TOOL_SEED | TOOL_THREADS | TOOL_PROGRESS | TOOL_LOG, argc, argv);
}
