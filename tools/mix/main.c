// mix: the experts' log-probs in, the mixture's log-probs out.
#include "mix.h"
#include "prior.h"

#include "base/error.h"
#include "base/memory.h"
#include "base/tool.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

static const char *const rule_names[] = {"select", "bayes", "mean", "geomean", "oracle", NULL};
static const struct rule {
    mix_rule *mix; // NULL: select
    bool improper; // its numbers do not sum to one over the vocabulary
    bool prior, topk, window;
} rules[] = {
    {.mix = NULL},
    {.mix = mix_bayes, .prior = true, .topk = true, .window = true},
    {.mix = mix_mean, .prior = true, .topk = true},
    {.mix = mix_geomean, .prior = true, .topk = true, .improper = true},
    {.mix = mix_oracle, .improper = true},
};

static int rule = 0;
static const char *assignment, *prior;
static int64_t topk, window;

static struct option options[] = {
    {.name = "rule",
     .type = OPTION_CHOICE,
     .value = &rule,
     .argument = "RULE",
     .help = "how experts combine",
     .choices = rule_names},
    {.name = "assignment",
     .type = OPTION_STRING,
     .value = &assignment,
     .argument = "FILE",
     .help = "which expert has which sequence (select)"},
    {.name = "prior",
     .type = OPTION_STRING,
     .value = &prior,
     .argument = "P",
     .help = "weights of the experts: 0.5,0.3,0.2 or a file of numbers (uniform if left out)"},
    {.name = "topk",
     .type = OPTION_INTEGER,
     .value = &topk,
     .argument = "K",
     .help = "only the K experts of the highest weight (bayes: at each token; 0: all)",
     .low = 0,
     .high = 65535},
    {.name = "window",
     .type = OPTION_INTEGER,
     .value = &window,
     .argument = "W",
     .help = "tokens of history that weigh the experts (bayes; 0: all)",
     .low = 0,
     .high = 4294967295.0},
    {0},
};

static int check_options(int count) {
    const struct rule *r = &rules[rule];
    const char *name = rule_names[rule];
    if (count == 0)
        return error_set(ERROR_USAGE, "no log-probs given: one stream per expert");
    if (!r->mix && !assignment)
        return error_set(ERROR_USAGE, "rule 'select' needs --assignment");
    if (r->mix && assignment)
        return error_set(ERROR_USAGE, "--assignment: only with --rule select");
    if (prior && !r->prior)
        return error_set(ERROR_USAGE, "--prior: rule '%s' has none", name);
    if (topk && !r->topk)
        return error_set(ERROR_USAGE, "--topk: rule '%s' has none", name);
    if (topk > count)
        return error_set(ERROR_USAGE, "--topk: %" PRId64 " of %d experts", topk, count);
    if (window && !r->window)
        return error_set(ERROR_USAGE, "--window: rule '%s' has none", name);
    return OK;
}

static int prepare_mixer(struct mix_job *job) {
    double *weights = NULL;
    int rc = prior ? prior_read(&weights, prior, job->in.count) : OK;
    if (rc == OK)
        rc = mixer_init(&job->mixer, job->in.count, weights, (uint32_t)topk, (uint32_t)window);
    free(weights);
    if (rc == OK && topk && !rules[rule].window) // the weights of these rules are the same at every token
        mixer_keep_best(&job->mixer, (uint32_t)topk);
    return rc;
}

static int report(const struct mix_job *job) {
    double mean = job->tokens ? job->nats / (double)job->tokens : NAN;
    tool_verbose("%s of %u experts: %" PRIu64 " sequences, %" PRIu64 " tokens, %.6g nats per token", job->rule,
                 job->in.count, job->sequences, job->tokens, mean);
    struct buffer line = {0};
    int rc = buffer_append_format(&line,
                                  "{\"tool\":\"mix\",\"rule\":\"%s\",\"experts\":%u,\"sequences\":%" PRIu64
                                  ",\"tokens\":%" PRIu64 ",\"nats_per_token\":",
                                  job->rule, job->in.count, job->sequences, job->tokens);
    if (rc == OK)
        rc = isfinite(mean) ? buffer_append_format(&line, "%.17g}", mean) : buffer_append_string(&line, "null}");
    if (rc == OK)
        rc = log_line((const char *)line.data);
    buffer_release(&line);
    return rc;
}

static int run(int count, char **operands) {
    int rc = check_options(count);
    if (rc != OK)
        return rc;
    struct mix_job job = {
        .rule = rule_names[rule], .improper = rules[rule].improper, .output = common.output, .report = report};
    rc = inputs_open(&job.in, operands, (uint32_t)count);
    if (rc == OK && assignment)
        rc = stream_open(&job.assignment, assignment, 1u << STREAM_ASSIGNMENT);
    if (rc == OK && rules[rule].mix)
        rc = prepare_mixer(&job);
    if (rc == OK) {
        struct progress progress;
        const struct stream *first = job.assignment ? job.assignment : job.in.streams[0];
        progress_start(&progress, tool_name(), "sequences",
                       stream_seekable(first) ? (double)stream_count(first) : 0, common.progress);
        job.progress = &progress;
        rc = rules[rule].mix ? mix_combine(&job, rules[rule].mix) : mix_select(&job);
        progress_finish(&progress);
    }
    mixer_release(&job.mixer);
    stream_close(job.assignment);
    inputs_close(&job.in);
    return rc;
}

int main(int argc, char **argv) {
    struct tool tool = {
        .name = "mix",
        .purpose = "combine the experts' log-probs into the mixture's",
        .synopsis =
            "--rule select --assignment a.asg e0.lp e1.lp ... -o mix.lp\n"
            "--rule bayes|mean|geomean|oracle [--prior P] [--topk K] [--window W] e0.lp e1.lp ... -o mix.lp",
        .description =
            "select: each stream holds only its expert's share; sequences are pulled in the order of the\n"
            "assignment. The other rules read the same sequences from every stream.\n"
            "bayes: experts are weighted by the prior and the likelihood of the sequence's tokens so far.\n"
            "mean: the mean of the probabilities under the prior. geomean: the mean of the log-probs under the\n"
            "prior; it does not sum to one and is marked improper. oracle: the best expert of each sequence,\n"
            "a bound and no model, marked improper too. Ties go to the lowest index.",
        .example = "mix --rule bayes e0.lp e1.lp e2.lp | ppl --by domain",
        .see_also = "route, assign, ppl, view",
        .options = options,
        .run = run,
    };
    return tool_main(&tool, TOOL_OUTPUT | TOOL_PROGRESS | TOOL_LOG, argc, argv);
}
