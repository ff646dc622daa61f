// The command line: the table, its defaults, and the rules that the parser cannot check.
#include "base/options.h"
#include "base/error.h"
#include "base/memory.h"
#include "train/train.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const schedules[] = {"constant", "cosine", "linear", NULL};
static const char *const dtypes[] = {"f32", "bf16", "auto", NULL};

// The optimizer's defaults are the paper's (SmallTalk LM, section 3.1).
struct train_options train_options = {
    .sequences = {0, INT64_MAX},
    .eval_sequences = {0, INT64_MAX},
    .expert_first = -1,
    .expert_count = 1,
    .batch = 32,
    .schedule = SCHEDULE_CONSTANT,
    .dtype = KERNEL_DTYPE_AUTO,
    .rate = 5e-4,
    .min_rate = 0.1,
    .beta1 = 0.9,
    .beta2 = 0.99,
    .epsilon = 1e-8,
    .decay = 0.1,
    .clip = 0.1,
    .save_every = 1000,
    .log_every = 10,
};

#define SOME .low = 1, .high = 1e15 // a count; 0 is "not set"
#define NONE .low = 0, .high = 1e15 // a count that may be 0
#define SIZE .low = 1, .high = 1 << 24

struct option train_option_table[] = {
    {.name = "model",
     .type = OPTION_STRING,
     .value = &train_options.model,
     .argument = "FILE",
     .help = "shape of a new model: config.json"},
    {.name = "init",
     .type = OPTION_STRING,
     .value = &train_options.init,
     .argument = "CKPT",
     .help = "start a new run from these weights"},
    {.name = "continue",
     .type = OPTION_STRING,
     .value = &train_options.continued,
     .argument = "CKPT",
     .help = "go on from these weights, moments and step with new data"},
    {.name = "resume",
     .type = OPTION_FLAG,
     .value = &train_options.resume,
     .help = "go on with what the same command left behind, if anything"},
    {.name = "restart",
     .type = OPTION_FLAG,
     .value = &train_options.restart,
     .help = "start over where an unfinished run is in the way; with --resume, where it was another command's"},
    {.name = "plan",
     .type = OPTION_FLAG,
     .value = &train_options.plan,
     .help = "print parameters, FLOPs, memory and speed; train nothing"},
    {.name = "json", .type = OPTION_FLAG, .value = &train_options.json, .help = "the plan as JSON"},
    {.name = "steps",
     .type = OPTION_INTEGER,
     .value = &train_options.steps,
     .argument = "N",
     SOME,
     .help = "optimizer steps of this run (default: one pass over the data)"},
    {.name = "batch",
     .letter = 'B',
     .type = OPTION_INTEGER,
     .value = &train_options.batch,
     .argument = "B",
     SIZE,
     .help = "sequences per step"},
    {.name = "micro-batch",
     .type = OPTION_INTEGER,
     .value = &train_options.micro_batch,
     .argument = "B",
     SIZE,
     .help = "sequences at a time, gradients adding up (default: 16384 tokens' worth)"},
    {.name = "recompute",
     .type = OPTION_FLAG,
     .value = &train_options.recompute,
     .help = "keep each layer's input alone, and compute the rest again: less memory, a third more work"},
    {.name = "length",
     .letter = 'S',
     .type = OPTION_INTEGER,
     .value = &train_options.length,
     .argument = "S",
     .low = 2,
     .high = 1 << 24,
     .help = "tokens per sequence; longer ones are cut (default: the stream's)"},
    {.name = "sequences",
     .type = OPTION_RANGE,
     .value = &train_options.sequences,
     .argument = "A..B",
     .help = "only these sequences of the stream"},
    {.name = "assignment",
     .type = OPTION_STRING,
     .value = &train_options.assignment,
     .argument = "FILE",
     .help = "only sequences assigned to --expert"},
    {.name = "expert",
     .type = OPTION_STRING,
     .value = &train_options.expert,
     .argument = "E|A..B",
     .help = "the expert to train; experts A to B side by side, with %d for the number in CKPT"},
    {.name = "weights",
     .type = OPTION_STRING,
     .value = &train_options.weights,
     .argument = "W,W...",
     .help = "sampling weights of several streams (default: one behind the other)"},
    {.name = "shuffle",
     .type = OPTION_FLAG,
     .value = &train_options.shuffle,
     .help = "a new order each epoch, from the seed"},
    {.name = "lr",
     .type = OPTION_NUMBER,
     .value = &train_options.rate,
     .argument = "X",
     .low = 0,
     .high = 1e30,
     .help = "peak learning rate"},
    {.name = "schedule",
     .type = OPTION_CHOICE,
     .value = &train_options.schedule,
     .argument = "NAME",
     .choices = schedules,
     .help = "after the warm-up"},
    {.name = "warmup",
     .type = OPTION_INTEGER,
     .value = &train_options.warmup,
     .argument = "N",
     NONE,
     .help = "steps of linear warm-up"},
    {.name = "schedule-steps",
     .type = OPTION_INTEGER,
     .value = &train_options.schedule_steps,
     .argument = "N",
     SOME,
     .help = "step at which the schedule ends (default: this run's last)"},
    {.name = "min-lr",
     .type = OPTION_NUMBER,
     .value = &train_options.min_rate,
     .argument = "R",
     .low = 0,
     .high = 1,
     .help = "the schedule's floor, as a part of the peak"},
    {.name = "beta1",
     .type = OPTION_NUMBER,
     .value = &train_options.beta1,
     .argument = "X",
     .low = 0,
     .high = 0.9999999,
     .help = "AdamW: decay of the first moment"},
    {.name = "beta2",
     .type = OPTION_NUMBER,
     .value = &train_options.beta2,
     .argument = "X",
     .low = 0,
     .high = 0.9999999,
     .help = "AdamW: decay of the second moment"},
    {.name = "eps",
     .type = OPTION_NUMBER,
     .value = &train_options.epsilon,
     .argument = "X",
     .low = 1e-30,
     .high = 1,
     .help = "AdamW: epsilon"},
    {.name = "weight-decay",
     .type = OPTION_NUMBER,
     .value = &train_options.decay,
     .argument = "X",
     .low = 0,
     .high = 1e6,
     .help = "AdamW: decoupled weight decay of matrices"},
    {.name = "clip",
     .type = OPTION_NUMBER,
     .value = &train_options.clip,
     .argument = "X",
     .low = 0,
     .high = 1e30,
     .help = "largest gradient norm; 0: no clipping"},
    {.name = "eval",
     .type = OPTION_STRING,
     .value = &train_options.evaluation,
     .argument = "FILE",
     .help = "held-out tokens: their loss goes to the log"},
    {.name = "eval-every",
     .type = OPTION_INTEGER,
     .value = &train_options.eval_every,
     .argument = "N",
     NONE,
     .help = "steps between evaluations; 0: only at the end"},
    {.name = "eval-assignment",
     .type = OPTION_STRING,
     .value = &train_options.eval_assignment,
     .argument = "FILE",
     .help = "only held-out sequences of --expert"},
    {.name = "eval-sequences",
     .type = OPTION_RANGE,
     .value = &train_options.eval_sequences,
     .argument = "A..B",
     .help = "only these held-out sequences"},
    {.name = "save-every",
     .type = OPTION_INTEGER,
     .value = &train_options.save_every,
     .argument = "N",
     NONE,
     .help = "steps between saved states; 0: only at the end"},
    {.name = "keep",
     .type = OPTION_INTEGER,
     .value = &train_options.keep,
     .argument = "K",
     NONE,
     .help = "older saved states to keep, in CKPT/snapshots"},
    {.name = "log-every",
     .type = OPTION_INTEGER,
     .value = &train_options.log_every,
     .argument = "N",
     SOME,
     .help = "steps between lines of --log"},
    {.name = "tokenizer",
     .type = OPTION_STRING,
     .value = &train_options.tokenizer,
     .argument = "FILE",
     .help = "the vocabulary for the checkpoint's tokenizer.json"},
    {.name = "pattern",
     .type = OPTION_STRING,
     .value = &train_options.pattern,
     .argument = "PATTERN",
     .help = "how --tokenizer cuts text, for a rank file of another name: as with tokenize"},
    {.name = "dtype",
     .type = OPTION_CHOICE,
     .value = &train_options.dtype,
     .argument = "NAME",
     .choices = dtypes,
     .help = "of the products' operands"},

    {.name = NULL},
};

static int parse_weights(struct train_options *o) {
    if (!o->weights)
        return OK;
    o->weight_list = memory_new((size_t)o->count + 1, sizeof *o->weight_list);
    char *text = string_copy(o->weights);
    int code = o->weight_list && text ? OK : ERROR_SYSTEM, n = 0;
    char *rest = NULL;
    for (char *word = code == OK ? strtok_r(text, ",", &rest) : NULL; word && code == OK;
         word = strtok_r(NULL, ",", &rest)) {
        double weight = 0;
        code = parse_number(word, &weight);
        if (code == OK && !(weight > 0))
            code = error_set(ERROR_USAGE, "'%s' is not positive", word);
        if (code == OK && n < o->count)
            o->weight_list[n] = weight;
        n++;
    }
    free(text);
    if (code == OK && n != o->count)
        return error_set(ERROR_USAGE, "--weights: %d weights for %d streams", n, o->count);
    return code == OK ? OK : error_prefix(code, "--weights");
}

static int parse_expert(const char *text, const char **end, int64_t *expert) {
    char *rest;
    errno = 0;
    long long n = strtoll(text, &rest, 10);
    *end = rest;
    if (*text < '0' || *text > '9' || errno || n >= STREAM_EXPERTS_LIMIT)
        return error_set(ERROR_USAGE, "--expert: '%s' is no expert's number (0..%d), nor a range of them as 0..31",
                         train_options.expert, STREAM_EXPERTS_LIMIT - 1);
    *expert = n;
    return OK;
}

// E, or A..B with both of them.
static int parse_experts(struct train_options *o) {
    const char *end = "";
    int64_t last;
    if (!o->expert)
        return OK;
    int code = parse_expert(o->expert, &end, &o->expert_first);
    last = o->expert_first;
    if (code == OK && strncmp(end, "..", 2) == 0) {
        code = parse_expert(end + 2, &end, &last);
        o->side_by_side = true;
    }
    if (code == OK && (*end || last < o->expert_first))
        code =
            error_set(ERROR_USAGE, "--expert: '%s' is neither a number nor a rising range, as 0..31", o->expert);
    o->expert_count = (int)(last - o->expert_first) + 1;
    return code;
}

// Models side by side have paths of their own.
static int check_pattern(const struct train_options *o, const char *name, const char *path) {
    const char *mark = path ? strchr(path, '%') : NULL;
    bool one = mark && mark[1] == 'd' && !strchr(mark + 1, '%');
    if (o->side_by_side && path && !one)
        return error_set(ERROR_USAGE, "%s: '%s' has not one %%d for the expert and no other %%", name, path);
    return OK;
}

static int check_experts(const struct train_options *o) {
    if ((o->assignment || o->eval_assignment) && o->expert_first < 0)
        return error_set(ERROR_USAGE, "--assignment needs --expert");
    if (o->expert_first >= 0 && !o->assignment && !o->eval_assignment)
        return error_set(ERROR_USAGE, "--expert needs --assignment");
    int code = check_pattern(o, "-o", common.output);
    if (code == OK)
        code = check_pattern(o, "--init", o->init && strchr(o->init, '%') ? o->init : NULL);
    if (code == OK)
        code = check_pattern(o, "--continue", o->continued);
    return code;
}

static bool is_part(const struct range *r) {
    return r->begin != 0 || r->end != INT64_MAX;
}

int train_options_settle(struct train_options *o) {
    if (o->init && o->continued)
        return error_set(ERROR_USAGE, "--init and --continue contradict each other");
    if (!o->model && !o->init && !o->continued)
        return error_set(ERROR_USAGE, "needs --model, --init or --continue");
    if (!common.output && !o->plan)
        return error_set(ERROR_USAGE, "needs -o CKPT, the checkpoint to make");
    if (common.output && strcmp(common.output, "-") == 0)
        return error_set(ERROR_USAGE, "-o: a checkpoint is a directory, not a stream");
    if (parse_experts(o) != OK || check_experts(o) != OK)
        return ERROR_USAGE;
    if ((o->eval_every || o->eval_assignment || is_part(&o->eval_sequences)) && !o->evaluation)
        return error_set(ERROR_USAGE, "--eval-every, --eval-assignment and --eval-sequences need --eval");
    if (o->count > 1 && (o->assignment || is_part(&o->sequences)))
        return error_set(ERROR_USAGE, "--sequences and --assignment need exactly one stream");
    if (o->json && !o->plan)
        return error_set(ERROR_USAGE, "--json needs --plan");
    if (o->pattern && !o->tokenizer)
        return error_set(ERROR_USAGE, "--pattern: only with --tokenizer");
    if (o->keep > 0 && o->save_every == 0)
        return error_set(ERROR_USAGE, "--keep needs --save-every");
    return parse_weights(o);
}
