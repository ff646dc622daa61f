// The training loop.
#include "base/error.h"
#include "base/memory.h"
#include "train/train.h"

#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct model_size training_size(const struct training *t) {
    const struct train_options *o = t->options;
    return (struct model_size){.models = t->count,
                               .batch = (int)o->micro_batch,
                               .length = (int)o->length,
                               .train = true,
                               .recompute = o->recompute,
                               .passes = (int)((o->batch + o->micro_batch - 1) / o->micro_batch)};
}

int training_allocate(struct training *t) {
    const struct train_options *o = t->options;
    struct model_size size = training_size(t);
    size_t one = (size_t)size.batch * (size_t)size.length, n = (size_t)t->count * one;
    int code = o->evaluation ? batch_new(&t->held_out, size.batch, size.length) : OK;
    if (code != OK)
        return code;
    t->row = memory_new((size_t)size.length, sizeof *t->row);
    t->tokens = memory_new_aligned(n * sizeof *t->tokens);
    t->targets = memory_new_aligned(n * sizeof *t->targets);
    t->scores = memory_new_aligned(one * sizeof *t->scores);
    t->scales = memory_new((size_t)t->count, sizeof *t->scales);
    t->nats = memory_new((size_t)t->count, sizeof *t->nats);
    t->norms = memory_new((size_t)t->count, sizeof *t->norms);
    if (!t->row || !t->tokens || !t->targets || !t->scores || !t->scales || !t->nats || !t->norms)
        return ERROR_SYSTEM;
    code = model_new(&t->model, t->device, &t->config, &size);
    return code == ERROR_SYSTEM
               ? error_set(code, "%s; a smaller --micro-batch or model, or --recompute, needs less",
                           error_message())
               : code;
}

// ---- interruption: save, then die of the signal ----

static volatile sig_atomic_t interrupted;

static void note_signal(int number) {
    interrupted = number;
}

static void catch_signals(void) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction action;
        // What the parent ignores (nohup) stays ignored; a second signal kills at once.
        if (sigaction(numbers[i], NULL, &action) != 0 || action.sa_handler == SIG_IGN)
            continue;
        memset(&action, 0, sizeof action);
        action.sa_handler = note_signal;
        action.sa_flags = (int)SA_RESETHAND;
        sigaction(numbers[i], &action, NULL);
    }
}

static int save_and_die(struct training *t) {
    int code = training_save(t);
    if (code != OK)
        return code;
    tool_notice("%s: saved at step %" PRId64 "; --resume goes on", t->runs[0].folder.part, training_step(t));
    signal(interrupted, SIG_DFL);
    raise(interrupted);
    return error_set(ERROR_SYSTEM, "interrupted");
}

// ---- one step ----

// The next B sequences of every model; *got = false where the pipe ended before they were complete.
static int take_batches(struct training *t, bool *got) {
    int64_t step = training_step(t);
    int code = supply_next(t->supply, t->last_step == 0 || step + 1 < t->last_step, got);
    const struct feed *feed = t->runs[0].feed; // files have no end
    if (code == OK && !*got && t->last_step > 0)
        code = error_set(ERROR_INPUT, "%s: ends after %" PRIu64 " sequences, at step %" PRId64 " of %" PRId64,
                         feed_latest(feed), feed_drawn(feed), step, t->last_step);
    // The signal that ends us may have ended the pipe's writer first.
    if (code != OK && interrupted && step > t->runs[0].state.first_step)
        code = save_and_die(t);
    for (int g = 0; g < t->count; g++)
        t->runs[g].batch = supply_batch(t->supply, g);
    return code;
}

static void account(struct training *t, struct run *r) {
    struct train_state *s = &r->state;
    for (int i = 0; i < r->batch->count; i++) {
        int n = r->batch->lengths[i];
        double flops = model_flops_per_token(&t->config, n) * n;
        s->tokens += n;
        s->tokens_run += n;
        r->interval_tokens += n;
        s->flops += flops;
        s->flops_run += flops;
    }
    s->interval_predicted += r->batch->predicted;
    s->step++;
}

// Start with the same sequences of every model's batch, padded to the longest of them all.
static int start_pass(struct training *t, int begin, int n) {
    int S = 1;
    for (int g = 0; g < t->count; g++) {
        int longest = batch_longest(t->runs[g].batch, begin, n);
        S = longest > S ? longest : S;
    }
    size_t one = (size_t)n * (size_t)S;
    for (int g = 0; g < t->count; g++)
        batch_pack(t->runs[g].batch, begin, n, S, t->tokens + (size_t)g * one, t->targets + (size_t)g * one);
    return model_gradient_start(t->model, t->tokens, t->targets, n, S, t->scales);
}

// The mean over all predicted tokens of the step is one loss, however it is cut into micro-batches.
static int accumulate(struct training *t) {
    int micro = (int)t->options->micro_batch, rows = (int)t->options->batch;
    for (int g = 0; g < t->count; g++) {
        int64_t predicted = t->runs[g].batch->predicted;
        t->scales[g] = predicted > 0 ? (float)(1.0 / (double)predicted) : 0;
        t->nats[g] = 0;
    }
    int code = OK;
    for (int begin = 0; begin < rows && code == OK; begin += micro)
        code = start_pass(t, begin, rows - begin < micro ? rows - begin : micro);
    return code == OK ? model_gradient_finish(t->model, t->nats) : code;
}

static int step(struct training *t, double *rate) {
    const struct train_options *o = t->options;
    int64_t number = training_step(t) + 1;
    int code = accumulate(t);
    if (code != OK)
        return error_prefix(code, "step %" PRId64, number);
    for (int g = 0; g < t->count; g++)
        if (!isfinite(t->nats[g]))
            return error_set(ERROR_NUMERIC, "step %" PRId64 ": the loss is %g", number, t->nats[g]);
    *rate = schedule_rate((enum schedule)o->schedule, o->rate, o->min_rate, o->warmup, t->schedule_steps, number);
    struct model_optimizer optimizer = {.rate = *rate,
                                        .beta1 = o->beta1,
                                        .beta2 = o->beta2,
                                        .epsilon = o->epsilon,
                                        .decay = o->decay,
                                        .clip = o->clip,
                                        .step = number};
    code = model_update(t->model, &optimizer, t->norms);
    if (code != OK)
        return error_prefix(code, "step %" PRId64, number);
    for (int g = 0; g < t->count; g++) {
        t->runs[g].state.interval_nats += t->nats[g];
        account(t, &t->runs[g]);
    }
    return OK;
}

// ---- the loop ----

static bool is_due(int64_t step_number, int64_t every) {
    return every > 0 && step_number % every == 0;
}

static int evaluate_run(struct training *t, int g) {
    struct run *r = &t->runs[g];
    double nats;
    int64_t predicted;
    int code = training_evaluate(t, g, &nats, &predicted);
    if (code != OK)
        return code;
    if (predicted > 0)
        tool_verbose("step %" PRId64 ": loss on %s %.4f", r->state.step, t->options->evaluation,
                     nats / (double)predicted);
    else
        tool_notice("step %" PRId64 ": no loss on %s: the selected sequences predict no token", r->state.step,
                    t->options->evaluation);
    return report_evaluation(t, r, nats, predicted);
}

// Time in steps and evaluations is every model's.
static void add_compute(struct training *t, double seconds) {
    for (int g = 0; g < t->count; g++)
        t->runs[g].state.compute_seconds += seconds;
}

static int evaluate(struct training *t) {
    double began = clock_seconds();
    int code = OK;
    for (int g = 0; g < t->count && code == OK; g++)
        code = evaluate_run(t, g);
    add_compute(t, clock_seconds() - began);
    return code;
}

static double tokens_of_all(const struct training *t) {
    double tokens = 0;
    for (int g = 0; g < t->count; g++)
        tokens += (double)t->runs[g].state.tokens_run;
    return tokens;
}

// What follows a step: a log line, an evaluation, a generation, in this order, so that a saved step has its lines.
static int after_step(struct training *t, double rate, struct progress *progress) {
    const struct train_options *o = t->options;
    const struct train_state *s = &t->runs[0].state;
    bool last = s->step == t->last_step, first = s->step == s->first_step + 1;
    char note[96];
    double nats = 0, predicted = 0;
    for (int g = 0; g < t->count; g++) {
        nats += t->runs[g].state.interval_nats;
        predicted += (double)t->runs[g].state.interval_predicted;
    }
    snprintf(note, sizeof note, "step %" PRId64 ", loss %.4f", s->step, predicted > 0 ? nats / predicted : 0);
    progress_update(progress, tokens_of_all(t), note);
    int code = OK;
    if (first || last || is_due(s->step, o->log_every))
        code = report_step(t, rate, t->norms);
    if (code == OK && o->evaluation && !last && is_due(s->step, o->eval_every))
        code = evaluate(t);
    if (code == OK && !last && is_due(s->step, o->save_every))
        code = training_save(t);
    if (code == OK && interrupted && !last)
        code = save_and_die(t);
    return code;
}

// What was read from a pipe has a digest now that it has ended.
static int add_digests(struct run *r) {
    if (!feed_piped(r->feed))
        return OK;
    char *data = feed_digests(r->feed);
    int code = OK;
    if (!data || json_object_set_new(r->configuration, "data", json_string(data)) != 0)
        code = error_set(ERROR_SYSTEM, "out of memory: writing json");
    free(data);
    return code;
}

static int finish_folders(struct training *t) {
    int code = OK;
    for (int g = 0; g < t->count && code == OK; g++)
        code = folder_finish(&t->runs[g].folder, t->options->keep);
    return code;
}

// The data were read to their verified end before anything looks finished.
static int finish(struct training *t) {
    int code = OK;
    for (int g = 0; g < t->count && code == OK; g++)
        code = feed_finish(t->runs[g].feed);
    if (code == OK && t->runs[0].state.complete) // saved by a run that was killed before it could rename
        return finish_folders(t);
    for (int g = 0; g < t->count && code == OK; g++)
        code = add_digests(&t->runs[g]);
    if (code == OK && t->options->evaluation)
        code = evaluate(t);
    for (int g = 0; g < t->count; g++)
        t->runs[g].state.complete = true;
    if (code == OK)
        code = training_save(t);
    return code == OK ? finish_folders(t) : code;
}

static int open_supply(struct training *t) {
    const struct train_options *o = t->options;
    struct supply_shape shape = {t->count, (int)o->batch, (int)o->length, t->config.vocab};
    struct feed **feeds = memory_new((size_t)t->count, sizeof *feeds);
    if (!feeds)
        return ERROR_SYSTEM;
    for (int g = 0; g < t->count; g++)
        feeds[g] = t->runs[g].feed;
    int code = supply_new(&t->supply, feeds, &shape);
    free(feeds);
    return code;
}

static int run_steps(struct training *t, struct progress *progress) {
    const struct train_state *s = &t->runs[0].state;
    const struct train_options *o = t->options;
    int code = o->evaluation && o->eval_every > 0 && s->step == s->first_step ? evaluate(t) : OK;
    bool got = true;
    double rate = 0;
    while (code == OK && (t->last_step == 0 || s->step < t->last_step) && !s->complete) {
        code = take_batches(t, &got);
        if (code != OK || !got)
            break;
        double began = clock_seconds();
        code = step(t, &rate);
        add_compute(t, clock_seconds() - began);
        if (code == OK)
            code = after_step(t, rate, progress);
    }
    progress_finish(progress);
    training_report_memory(t);
    if (code == OK && s->interval_predicted > 0 && !s->complete)
        code = report_step(t, rate, t->norms);
    return code;
}

int training_run(struct training *t) {
    const struct train_state *s = &t->runs[0].state;
    const struct train_options *o = t->options;
    struct progress progress;
    int code = open_supply(t);
    if (code != OK)
        return code;
    catch_signals();
    progress_start(&progress, "train", "tokens", (double)t->count * (double)(o->steps * o->batch * o->length),
                   common.progress);
    progress.done_at_start = tokens_of_all(t);
    t->interval_at = clock_seconds();
    t->resumed_at = t->interval_at - s->seconds;
    code = run_steps(t, &progress);
    if (code == OK && s->step == s->first_step)
        code = error_set(ERROR_INPUT, "%" PRIu64 " sequences are less than one batch of %" PRId64,
                         feed_drawn(t->runs[0].feed), o->batch);
    return code == OK ? finish(t) : code;
}
