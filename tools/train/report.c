// The lines of --log, and what a resumed run does with the ones that are already there.
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/system.h"
#include "train/train.h"

#include <stdlib.h>
#include <string.h>

enum { LOG_LIMIT = 1 << 30 };

// Takes the object; NULL is out of memory.
static int write_line(json_t *line) {
    char *text = line ? json_canonical(line) : NULL;
    int code = text ? log_line(text) : error_set(ERROR_SYSTEM, "out of memory: writing json");
    json_decref(line);
    free(text);
    return code;
}

// The line tells whose it is where there are several models.
static int write_line_of(const struct training *t, const struct run *r, json_t *line) {
    if (line && t->count > 1 && json_object_set_new(line, "expert", json_integer(r->expert)) != 0) {
        json_decref(line);
        line = NULL;
    }
    return write_line(line);
}

static int report_run(const struct training *t, struct run *r, double now, double waited, double rate,
                      double norm) {
    struct train_state *s = &r->state;
    double elapsed = now - t->interval_at;
    double loss = s->interval_predicted > 0 ? s->interval_nats / (double)s->interval_predicted : 0;
    int code = write_line_of(t, r,
                             json_pack("{s:I,s:I,s:f,s:f,s:f,s:f,s:f,s:f,s:f}", "step", (json_int_t)s->step,
                                       "tokens", (json_int_t)s->tokens, "loss", loss, "lr", rate, "grad_norm",
                                       norm, "flops", s->flops, "seconds", now - t->resumed_at,
                                       "tokens_per_second", elapsed > 0 ? (double)r->interval_tokens / elapsed : 0,
                                       "waited", elapsed > 0 ? waited / elapsed : 0));
    s->interval_nats = 0;
    s->interval_predicted = 0;
    r->interval_tokens = 0;
    return code;
}

int report_step(struct training *t, double rate, const double *norms) {
    double now = clock_seconds(), waited = supply_waited(t->supply) - t->interval_waited;
    int code = OK;
    for (int g = 0; g < t->count && code == OK; g++)
        code = report_run(t, &t->runs[g], now, waited, rate, norms[g]);
    t->interval_at = now;
    t->interval_waited += waited;
    return code;
}

// No loss (null) where nothing was predicted.
int report_evaluation(struct training *t, const struct run *r, double nats, int64_t predicted) {
    const struct train_state *s = &r->state;
    json_t *loss = predicted > 0 ? json_real(nats / (double)predicted) : json_null();
    return write_line_of(t, r,
                         json_pack("{s:I,s:I,s:f,s:I,s:o,s:f,s:f}", "step", (json_int_t)s->step, "tokens",
                                   (json_int_t)s->tokens, "eval_nats", nats, "eval_tokens", (json_int_t)predicted,
                                   "eval_loss", loss, "flops", s->flops, "seconds",
                                   clock_seconds() - t->resumed_at));
}

// Whether a line is whole and belongs to the first `step` steps.
static bool is_kept(const char *line, size_t size, int64_t step) {
    json_t *value;
    int64_t its = 0;
    if (json_parse(&value, line, size) != OK)
        return false;
    bool kept = json_get_integer(value, "step", true, 0, step, &its) == OK;
    json_decref(value);
    return kept;
}

int report_resume(int64_t step) {
    struct stat status;
    log_keep();
    if (!common.log || system_stat(common.log, &status) != 0 || !S_ISREG(status.st_mode))
        return OK;
    struct buffer text = {0};
    int code = file_read(common.log, LOG_LIMIT, &text);
    size_t kept = 0;
    for (size_t at = 0; code == OK && at < text.size;) {
        const uint8_t *line = text.data + at, *end = memchr(line, '\n', text.size - at);
        size_t size = end ? (size_t)(end - line) : text.size - at;
        at += size + 1;
        if (!end || !is_kept((const char *)line, size, step))
            continue;
        memmove(text.data + kept, line, size + 1);
        kept += size + 1;
    }
    if (code == OK && kept < text.size)
        code = file_write(common.log, text.data, kept);
    buffer_release(&text);
    return code;
}
