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

int training_allocate(struct training *t) {
    const struct train_options *o = t->options;
    struct model_size size = {.models = 1,
                              .batch = (int)o->micro_batch,
                              .length = (int)o->length,
                              .train = true,
                              .recompute = o->recompute};
    size_t n = (size_t)size.batch * (size_t)size.length;
    int code = o->evaluation ? batch_new(&t->held_out, size.batch, size.length) : OK;
    if (code != OK)
        return code;
    t->row = memory_new((size_t)size.length, sizeof *t->row);
    t->tokens = memory_new_aligned(n * sizeof *t->tokens);
    t->targets = memory_new_aligned(n * sizeof *t->targets);
    t->scores = memory_new_aligned(n * sizeof *t->scores);
    if (!t->row || !t->tokens || !t->targets || !t->scores)
        return ERROR_SYSTEM;
    code = model_new(&t->model, t->device, &t->config, &size);
    return code == ERROR_SYSTEM
               ? error_set(code, "%s; a smaller --micro-batch or model, or --recompute, needs less", error_message())
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
    tool_notice("%s: saved at step %" PRId64 "; --resume goes on", t->folder.part, t->state.step);
    signal(interrupted, SIG_DFL);
    raise(interrupted);
    return error_set(ERROR_SYSTEM, "interrupted");
}

// ---- one step ----

// The next B sequences; *got = false where the pipe ended before they were complete.
static int take_batch(struct training *t, bool *got) {
    bool more = t->last_step == 0 || t->state.step + 1 < t->last_step;
    int code = supply_next(t->supply, more, &t->batch, got);
    if (code == OK && !*got && t->last_step > 0)
        code = error_set(ERROR_INPUT, "%s: ends after %" PRIu64 " sequences, at step %" PRId64 " of %" PRId64,
                         feed_latest(t->feed), feed_drawn(t->feed), t->state.step, t->last_step);
    // The signal that ends us may have ended the pipe's writer first.
    if (code != OK && interrupted && t->state.step > t->state.first_step)
        code = save_and_die(t);
    return code;
}

static void account(struct training *t) {
    struct train_state *s = &t->state;
    for (int i = 0; i < t->batch->count; i++) {
        int n = t->batch->lengths[i];
        double flops = model_flops_per_token(&t->config, n) * n;
        s->tokens += n;
        s->tokens_run += n;
        t->interval_tokens += n;
        s->flops += flops;
        s->flops_run += flops;
    }
}

// The mean over all predicted tokens of the step is one loss, however it is cut into micro-batches.
static int accumulate(struct training *t, double *nats) {
    int micro = (int)t->options->micro_batch;
    float scale = t->batch->predicted > 0 ? (float)(1.0 / (double)t->batch->predicted) : 0;
    *nats = 0;
    for (int begin = 0; begin < t->batch->count; begin += micro) {
        int n = t->batch->count - begin < micro ? t->batch->count - begin : micro;
        int S = batch_pack(t->batch, begin, n, t->tokens, t->targets);
        int code = model_gradient(t->model, t->tokens, t->targets, n, S, scale, nats);
        if (code != OK)
            return code;
    }
    return OK;
}

static int step(struct training *t, double *rate, double *norm) {
    const struct train_options *o = t->options;
    struct train_state *s = &t->state;
    double nats;
    int64_t number = s->step + 1;
    int code = accumulate(t, &nats);
    if (code != OK)
        return error_prefix(code, "step %" PRId64, number);
    if (!isfinite(nats))
        return error_set(ERROR_NUMERIC, "step %" PRId64 ": the loss is %g", number, nats);
    *rate = schedule_rate((enum schedule)o->schedule, o->rate, o->min_rate, o->warmup, t->schedule_steps, number);
    struct model_optimizer optimizer = {.rate = *rate,
                                        .beta1 = o->beta1,
                                        .beta2 = o->beta2,
                                        .epsilon = o->epsilon,
                                        .decay = o->decay,
                                        .clip = o->clip,
                                        .step = number};
    code = model_update(t->model, &optimizer, norm);
    if (code != OK)
        return error_prefix(code, "step %" PRId64, number);
    s->step = number;
    s->interval_nats += nats;
    s->interval_predicted += t->batch->predicted;
    account(t);
    return OK;
}

// ---- the loop ----

static bool is_due(int64_t step_number, int64_t every) {
    return every > 0 && step_number % every == 0;
}

static int evaluate(struct training *t) {
    double nats, began = clock_seconds();
    int64_t predicted;
    int code = training_evaluate(t, &nats, &predicted);
    t->state.compute_seconds += clock_seconds() - began;
    if (code != OK)
        return code;
    if (predicted > 0)
        tool_verbose("step %" PRId64 ": loss on %s %.4f", t->state.step, t->options->evaluation,
                     nats / (double)predicted);
    else
        tool_notice("step %" PRId64 ": no loss on %s: the selected sequences predict no token", t->state.step,
                    t->options->evaluation);
    return report_evaluation(t, nats, predicted);
}

// What follows a step: a log line, an evaluation, a generation, in this order, so that a saved step has its lines.
static int after_step(struct training *t, double rate, double norm, struct progress *progress) {
    const struct train_options *o = t->options;
    struct train_state *s = &t->state;
    bool last = s->step == t->last_step, first = s->step == s->first_step + 1;
    char note[96];
    double loss = s->interval_predicted > 0 ? s->interval_nats / (double)s->interval_predicted : 0;
    snprintf(note, sizeof note, "step %" PRId64 ", loss %.4f", s->step, loss);
    progress_update(progress, (double)s->tokens_run, note);
    int code = OK;
    if (first || last || is_due(s->step, o->log_every))
        code = report_step(t, rate, norm);
    if (code == OK && o->evaluation && !last && is_due(s->step, o->eval_every))
        code = evaluate(t);
    if (code == OK && !last && is_due(s->step, o->save_every))
        code = training_save(t);
    if (code == OK && interrupted && !last)
        code = save_and_die(t);
    return code;
}

// The data were read to their verified end before anything looks finished.
static int finish(struct training *t) {
    struct train_state *s = &t->state;
    int code = feed_finish(t->feed);
    if (code == OK && s->complete) // saved by a run that was killed before it could rename
        return folder_finish(&t->folder, t->options->keep);
    if (code == OK && feed_piped(t->feed)) {
        char *data = feed_digests(t->feed);
        if (!data || json_object_set_new(t->configuration, "data", json_string(data)) != 0)
            code = error_set(ERROR_SYSTEM, "out of memory: writing json");
        free(data);
    }
    if (code == OK && t->options->evaluation)
        code = evaluate(t);
    s->complete = true;
    if (code == OK)
        code = training_save(t);
    return code == OK ? folder_finish(&t->folder, t->options->keep) : code;
}

int training_run(struct training *t) {
    struct train_state *s = &t->state;
    const struct train_options *o = t->options;
    struct progress progress;
    double total = (double)o->steps * (double)o->batch * (double)o->length;
    int code = supply_new(&t->supply, t->feed, (int)o->batch, (int)o->length, t->config.vocab);
    catch_signals();
    progress_start(&progress, "train", "tokens", total, common.progress);
    progress.done_at_start = (double)s->tokens_run;
    t->interval_at = clock_seconds();
    t->resumed_at = t->interval_at - s->seconds;
    if (code == OK && o->evaluation && o->eval_every > 0 && s->step == s->first_step)
        code = evaluate(t);
    bool got = true;
    double rate = 0, norm = 0;
    while (code == OK && (t->last_step == 0 || s->step < t->last_step) && !s->complete) {
        code = take_batch(t, &got);
        if (code != OK || !got)
            break;
        double began = clock_seconds();
        code = step(t, &rate, &norm);
        s->compute_seconds += clock_seconds() - began;
        if (code == OK)
            code = after_step(t, rate, norm, &progress);
    }
    progress_finish(&progress);
    if (code == OK)
        training_report_memory(t);
    if (code == OK && s->interval_predicted > 0 && !s->complete)
        code = report_step(t, rate, norm);
    if (code == OK && s->step == s->first_step)
        code = error_set(ERROR_INPUT, "%" PRIu64 " sequences are less than one batch of %" PRId64,
                         feed_drawn(t->feed), o->batch);
    return code == OK ? finish(t) : code;
}
