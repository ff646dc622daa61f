// route: token stream -> score stream, or the log-probs of single tokens.
#include "base/error.h"
#include "base/json.h"
#include "base/options.h"
#include "base/tool.h"
#include "route/route.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { SCORE_F32, SCORE_F16 };
// Tokens of one pass over all models together, so that what a layer hands to the next one is still in the caches;
// and sequences of one block at most.
enum { BATCH_TOKENS = 8192, BATCH_MOST = 4096, STRIDE_MOST = 1 << 24 };

static struct string_list models;
static const char *prefix_text, *assignment;
static bool per_token;
static int64_t batch, stride, expert = -1;
static int score_dtype = SCORE_F32, compute = KERNEL_DTYPE_AUTO;
static struct range sequences = {0, INT64_MAX};

static const char *const score_dtypes[] = {"f32", "f16", NULL};
static const char *const computes[] = {"f32", "bf16", "auto", NULL};

static struct option table[] = {
    {.name = "model",
     .letter = 'm',
     .type = OPTION_LIST,
     .value = &models,
     .argument = "CKPT",
     .help = "a model; may be given several times"},
    {.name = "prefix",
     .type = OPTION_STRING,
     .value = &prefix_text,
     .argument = "M|context",
     .help = "score the first M tokens only, or those before the first scored position (default: all)"},
    {.name = "per-token",
     .type = OPTION_FLAG,
     .value = &per_token,
     .help = "write the log-prob of every predicted token under the one model"},
    {.name = "assignment",
     .type = OPTION_STRING,
     .value = &assignment,
     .argument = "FILE",
     .help = "only sequences assigned to --expert"},
    {.name = "expert",
     .type = OPTION_INTEGER,
     .value = &expert,
     .argument = "E",
     .low = 0,
     .high = STREAM_EXPERTS_LIMIT - 1,
     .help = "whose share to score"},
    {.name = "sequences",
     .type = OPTION_RANGE,
     .value = &sequences,
     .argument = "A..B",
     .help = "only these sequences of the stream"},
    {.name = "stride",
     .type = OPTION_INTEGER,
     .value = &stride,
     .argument = "T",
     .low = 1,
     .high = STRIDE_MOST,
     .help = "score sequences longer than the model's positions in windows that advance by T tokens"},
    {.name = "batch",
     .letter = 'B',
     .type = OPTION_INTEGER,
     .value = &batch,
     .argument = "B",
     .low = 1,
     .high = BATCH_MOST,
     .help = "sequences of one pass (default: 8192 tokens over all models)"},
    {.name = "dtype",
     .type = OPTION_CHOICE,
     .value = &score_dtype,
     .choices = score_dtypes,
     .argument = "NAME",
     .help = "of the scores written"},
    {.name = "compute",
     .type = OPTION_CHOICE,
     .value = &compute,
     .choices = computes,
     .argument = "NAME",
     .help = "dtype of the products' operands"},
    {.name = NULL},
};

struct routing {
    struct device *device;
    struct panel panel;
    struct share *share;
    struct scorer scorer;
    struct scorer_options options;
    struct emitter emitter;
    uint64_t written;
    double compute_seconds; // in the models, not in files
};

// ---- the command line ----

static int settle_options(struct routing *r, int count) {
    int64_t prefix = PREFIX_WHOLE;
    if (count > 1)
        return error_set(ERROR_USAGE, "takes one token stream, not %d (shard --join)", count);
    if (models.count == 0)
        return error_set(ERROR_USAGE, "needs at least one -m CKPT");
    if (models.count > STREAM_EXPERTS_LIMIT)
        return error_set(ERROR_USAGE, "-m: at most %d models", STREAM_EXPERTS_LIMIT);
    if (per_token && models.count > 1)
        return error_set(ERROR_USAGE, "--per-token takes one model, not %d", models.count);
    if (per_token && (prefix_text || score_dtype != SCORE_F32))
        return error_set(ERROR_USAGE, "--per-token excludes --prefix and --dtype f16");
    if (!assignment != (expert < 0))
        return error_set(ERROR_USAGE, "--assignment and --expert belong together");
    if (prefix_text && strcmp(prefix_text, "context") == 0) {
        prefix = PREFIX_CONTEXT;
    } else if (prefix_text) {
        int code = parse_integer(prefix_text, 1000, &prefix);
        if (code != OK || prefix < 2 || prefix > UINT32_MAX)
            return error_set(ERROR_USAGE, "--prefix: '%s' is neither a number from 2 on nor context", prefix_text);
    }
    r->options.prefix = prefix;
    r->options.stride = stride;
    return OK;
}

static int open_share(struct routing *r, const char *path) {
    struct share_options part = {(uint64_t)sequences.begin,
                                 sequences.end == INT64_MAX ? UINT64_MAX : (uint64_t)sequences.end, assignment,
                                 assignment ? (uint32_t)expert : 0};
    return share_open(&r->share, path, &part);
}

// The longest row, and how many rows fit into one pass.
static int settle_sizes(struct routing *r) {
    uint32_t longest = stream_header(share_tokens(r->share))->length;
    int window = r->panel.positions;
    if (stride >= window)
        return error_set(ERROR_USAGE, "--stride: %" PRId64 " is not below the model's %d positions", stride,
                         window);
    if (longest > 0 && longest < (uint32_t)window)
        window = longest > 1 ? (int)longest : 2;
    if (r->options.prefix > 0 && longest > 0 && r->options.prefix > longest)
        tool_notice("--prefix %" PRId64 ": sequences of %s have at most %" PRIu32 " tokens, so all of them count",
                    (int64_t)r->options.prefix, stream_name(share_tokens(r->share)), longest);
    if (r->options.prefix > 0 && r->options.prefix < window)
        window = (int)r->options.prefix;
    int64_t rows = BATCH_TOKENS / ((int64_t)window * r->panel.model_count);
    rows = rows < 1 ? 1 : rows > BATCH_MOST ? BATCH_MOST : rows;
    r->options.window = window;
    r->options.rows = batch > 0 ? (int)batch : (int)rows;
    return OK;
}

// ---- the run ----

static int flush_block(struct routing *r) {
    double began = clock_seconds();
    int code = scorer_run(&r->scorer);
    r->compute_seconds += clock_seconds() - began;
    for (int i = 0; i < r->scorer.count && code == OK; i++)
        code = emitter_write(&r->emitter, &r->scorer, i);
    r->written += (uint64_t)r->scorer.count;
    scorer_clear(&r->scorer);
    return code;
}

static int score_all(struct routing *r) {
    struct progress progress;
    int code = OK;
    // How many sequences a share has is not known before its end.
    progress_start(&progress, "route", "sequences", assignment ? 0 : (double)share_range(r->share),
                   common.progress);
    for (bool got = true; code == OK && got;) {
        struct record record;
        code = share_next(r->share, &record, &got);
        if (code == OK && got)
            code = scorer_add(&r->scorer, share_tokens(r->share), &record);
        if (code == OK && (!got || scorer_full(&r->scorer)))
            code = flush_block(r);
        progress_update(&progress, (double)r->written, NULL);
    }
    progress_finish(&progress);
    if (code == OK)
        code = share_finish(r->share);
    if (code == OK)
        code = stream_add_parent(r->emitter.writer, share_tokens(r->share));
    if (code == OK && share_assignment(r->share))
        code = stream_add_parent(r->emitter.writer, share_assignment(r->share));
    return code;
}

static int report(const struct routing *r, double seconds) {
    json_int_t n = (json_int_t)r->written;
    json_t *line =
        json_pack("{s:I,s:I,s:I,s:f,s:f,s:f,s:s}", "sequences", n, "tokens", (json_int_t)r->scorer.tokens_scored,
                  "pairs", n * r->panel.model_count, "flops", r->scorer.flops, "seconds", seconds,
                  "compute_seconds", r->compute_seconds, "device", device_describe(r->device));
    char *text = line ? json_canonical(line) : NULL;
    int code = text ? log_line(text) : error_set(ERROR_SYSTEM, "out of memory: writing json");
    json_decref(line);
    free(text);
    tool_verbose("%" PRIu64 " sequences under %d models in %.1f s, %.3g TFLOP/s", r->written, r->panel.model_count,
                 seconds, seconds > 0 ? r->scorer.flops / seconds / 1e12 : 0);
    return code;
}

static int route(struct routing *r, const char *path) {
    double start = clock_seconds();
    int code = panel_open(&r->panel, models.items, models.count);
    if (code == OK)
        code = open_share(r, path);
    if (code == OK)
        code = panel_check(&r->panel, models.items, share_tokens(r->share));
    if (code == OK)
        code = settle_sizes(r);
    if (code == OK)
        code = device_open(&r->device, common.device, (int)common.threads, (enum kernel_dtype)compute);
    if (code == OK && device_notice(r->device))
        tool_notice("%s", device_notice(r->device));
    if (code == OK)
        code = panel_load(&r->panel, models.items, r->device, r->options.rows, r->options.window);
    if (code == OK)
        code = scorer_open(&r->scorer, &r->panel, &r->options);
    if (code == OK)
        code =
            emitter_open(&r->emitter, common.output, per_token, score_dtype == SCORE_F16 ? STREAM_F16 : STREAM_F32,
                         &r->scorer, share_tokens(r->share));
    if (code == OK)
        code = score_all(r);
    // Before the output gets its name: where the output is, the log is too.
    if (code == OK)
        code = report(r, clock_seconds() - start);
    return code == OK ? emitter_commit(&r->emitter) : code;
}

static int run(int count, char **operands) {
    struct routing r = {0};
    int code = settle_options(&r, count);
    if (code == OK)
        code = route(&r, count > 0 ? operands[0] : NULL);
    emitter_close(&r.emitter);
    scorer_close(&r.scorer);
    panel_close(&r.panel);
    share_close(r.share);
    device_close(r.device);
    return code;
}

static struct tool tool = {
    .name = "route",
    .purpose = "score sequences under one or many models",
    .synopsis = "-m CKPT [-m CKPT]... [OPTION]... [TOKENS] -o SCORES\n"
                "-m CKPT --per-token [--assignment FILE --expert E] [OPTION]... [TOKENS] -o LOGPROBS",
    .description =
        "Writes one score per sequence and model: the mean log-likelihood in nats per predicted token, of the\n"
        "whole sequence or of its prefix. Models of one shape run together, and the tokens are read once. With\n"
        "--per-token, the log-prob of each predicted token. With an assignment, only the expert's share.",
    .example = "route -m router.0 -m router.1 --prefix 32 chunk.tok | assign --method balanced -o chunk.asg\n"
               "route -m expert.1 --per-token --assignment test.asg --expert 1 test.tok -o 1.lp",
    .see_also = "train, assign, mix, ppl",
    .options = table,
    .run = run,
};

int main(int argc, char **argv) {
    return tool_main(&tool, TOOL_OUTPUT | TOOL_DEVICE | TOOL_THREADS | TOOL_PROGRESS | TOOL_LOG, argc, argv);
}
