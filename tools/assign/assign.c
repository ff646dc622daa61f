#include "run.h"

#include "labels.h"

#include "base/error.h"
#include "base/memory.h"
#include "base/random.h"

#include <endian.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int choose_room(struct run *r, const struct subject *s) {
    uint32_t e = balanced_choose(s->row, r->job->experts, s->best, r->room);
    r->room[e]--;
    r->chosen[0] = (uint16_t)e;
    return OK;
}

static int choose_best(struct run *r, const struct subject *s) {
    r->chosen[0] = (uint16_t)s->best;
    return OK;
}

// Equal shares: place p of a random permutation belongs to expert p mod E.
static int choose_random(struct run *r, const struct subject *s) {
    uint64_t place = random_permute(r->job->seed, 0, r->sequences, s->ordinal);
    r->chosen[0] = (uint16_t)(place % r->job->experts);
    return OK;
}

static int choose_label(struct run *r, const struct subject *s) {
    uint32_t e;
    int rc = labels_find(r->job->labels, r->job->in, s->record->domain, r->job->experts, &e);
    if (rc == OK)
        r->chosen[0] = (uint16_t)e;
    return rc;
}

static int choose_topk(struct run *r, const struct subject *s) {
    uint32_t predictions = prefix_predictions(s->record->first + s->record->predicted, r->header->prefix);
    topk_choose(s->row, r->job->experts, r->job->topk, predictions, r->chosen, r->weights);
    return OK;
}

static const struct method {
    chooser *choose;
    bool scores;   // needs a score stream
    bool capacity; // experts fill up
    bool count;    // needs the number of sequences before the first decision
} methods[ASSIGN_METHODS] = {
    [ASSIGN_BALANCED] = {NULL, .scores = true, .capacity = true, .count = true}, // in the order of the scores
    [ASSIGN_SEQUENTIAL] = {choose_room, .scores = true, .capacity = true, .count = true},
    [ASSIGN_ARGMAX] = {choose_best, .scores = true},
    [ASSIGN_RANDOM] = {choose_random, .count = true},
    [ASSIGN_LABEL] = {choose_label},
    [ASSIGN_TOPK] = {choose_topk, .scores = true},
};

const char *const assign_method_names[] = {"balanced", "balanced-sequential", "argmax", "random", "label", "topk",
                                           NULL};

bool assign_needs_scores(enum assign_method m) {
    return methods[m].scores;
}

bool assign_has_capacity(enum assign_method m) {
    return methods[m].capacity;
}

// ---- common steps ----

static void run_release(struct run *r) {
    free(r->room);
    free(r->row);
    free(r->chosen);
    free(r->weights);
    free(r->payload);
}

static int run_init(struct run *r, struct assign_job *job) {
    *r = (struct run){.job = job, .header = stream_header(job->in)};
    r->scored = r->header->kind == STREAM_SCORES;
    uint32_t width = r->header->experts > job->experts ? r->header->experts : job->experts;
    r->room = memory_new(job->experts, sizeof *r->room);
    r->row = memory_new(width, sizeof *r->row);
    r->chosen = memory_new(job->topk, sizeof *r->chosen);
    r->weights = memory_new(job->topk, sizeof *r->weights);
    r->payload = memory_new(job->topk, sizeof *r->chosen + sizeof *r->weights);
    return r->room && r->row && r->chosen && r->weights && r->payload ? OK : ERROR_SYSTEM;
}

int run_begin(struct run *r, uint64_t sequences) {
    struct assign_job *job = r->job;
    r->sequences = sequences;
    if (!methods[job->method].capacity)
        return OK;
    if (job->capacity == 0)
        job->capacity = sequences / job->experts + (sequences % job->experts != 0);
    else if (job->capacity < sequences / job->experts + (sequences % job->experts != 0))
        return error_set(ERROR_USAGE,
                         "%s: --capacity %" PRIu64 " leaves no room: %" PRIu64
                         " sequences, %u experts; give %" PRIu64 " or more",
                         stream_name(job->in), job->capacity, sequences, job->experts,
                         sequences / job->experts + (sequences % job->experts != 0));
    for (uint32_t e = 0; e < job->experts; e++)
        r->room[e] = job->capacity;
    return OK;
}

const float *run_row(struct run *r, const struct record *record) {
    if (r->header->dtype == STREAM_F32 && BYTE_ORDER == LITTLE_ENDIAN &&
        (uintptr_t)record->payload % sizeof(float) == 0)
        return record->payload;
    record_floats(r->header, record, 0, r->header->experts, r->row);
    return r->row;
}

int run_next(struct run *r, struct record *record, struct subject *s, bool *got) {
    int rc = stream_next(r->job->in, record, got);
    if (rc != OK || !*got)
        return rc;
    if (r->job->progress && s->ordinal % 4096 == 0)
        progress_update(r->job->progress, (double)s->ordinal, NULL);
    s->record = record;
    s->row = NULL;
    s->best = 0;
    if (!r->scored)
        return OK;
    uint32_t experts = r->header->experts;
    s->row = run_row(r, record);
    rc = scores_best(s->row, experts, &s->best);
    return rc == OK ? OK
                    : error_prefix(rc, "%s: sequence %" PRIu64 " (id %" PRIu64 ")", stream_name(r->job->in),
                                   r->job->begin + s->ordinal, record->id);
}

void run_count(struct run *r, const struct subject *s, uint32_t expert) {
    // without a score stream of these experts (random shares of another number) there is nothing to compare
    const float *row = s->row && r->header->experts == r->job->experts ? s->row : NULL;
    tally_add(&r->job->tally, row, s->best, expert);
}

int run_create(struct run *r, struct stream_writer **w) {
    const struct assign_job *job = r->job;
    struct stream_header h = {
        .kind = STREAM_ASSIGNMENT,
        .dtype = STREAM_U16,
        .length = r->header->length,
        .vocab_size = r->header->vocab_size,
        .vocab = r->header->vocab,
        .experts = job->experts,
        .topk = job->topk,
        .prefix = r->header->prefix,
        .rule = assign_method_names[job->method],
    };
    if (methods[job->method].scores) { // the routers that decided
        h.model_count = r->header->model_count;
        h.models = r->header->models;
        h.names = r->header->names;
    }
    return stream_create(w, job->output, &h, STREAM_LEVEL_DEFAULT);
}

int run_write(struct run *r, struct stream_writer *w, struct record *record) {
    uint32_t k = r->job->topk;
    for (uint32_t i = 0; i < k; i++) {
        store_le(r->payload + 2 * i, r->chosen[i], 2);
        if (k > 1) {
            uint32_t bits;
            memcpy(&bits, &r->weights[i], sizeof bits);
            store_le(r->payload + 2 * k + 4 * i, bits, 4);
        }
    }
    record->count = k;
    record->payload = r->payload;
    return stream_write_from(w, r->job->in, record);
}

int run_finish(struct run *r, struct stream_writer *w, int rc) {
    if (w && rc == OK)
        rc = stream_add_parent(w, r->job->in);
    if (w && rc == OK)
        rc = stream_check_selection(r->job->in);
    if (w && rc == OK)
        rc = r->job->report(r->job);
    if (w && rc == OK)
        return stream_commit(w, NULL);
    stream_abort(w);
    return rc;
}

// ---- direct ----

static int run_direct(struct run *r) {
    struct assign_job *job = r->job;
    struct stream_writer *w = NULL;
    struct record record;
    struct subject s = {0};
    bool got = true;
    int rc = run_create(r, &w);
    while (rc == OK) {
        rc = run_next(r, &record, &s, &got);
        if (rc != OK || !got)
            break;
        rc = methods[job->method].choose(r, &s);
        if (rc != OK)
            break;
        run_count(r, &s, r->chosen[0]);
        rc = run_write(r, w, &record);
        s.ordinal++;
    }
    return run_finish(r, w, rc);
}

// ---- all ----

static void tell_arrived(void *progress, uint64_t sequences) {
    progress_update(progress, (double)sequences, NULL);
}

// What needs to know all sequences before the first decision reads a pipe as a file.
static int run_spool(struct assign_job *job) {
    struct progress *p = job->progress;
    int rc = stream_spool(job->in, p ? tell_arrived : NULL, p);
    if (rc == OK && p)
        progress_start(p, p->tool, p->unit, (double)stream_count(job->in),
                       p->enabled ? PROGRESS_ON : PROGRESS_OFF);
    return rc;
}

uint64_t run_selected(const struct run *r) {
    uint64_t held = stream_count(r->job->in);
    return (r->job->end < held ? r->job->end : held) - r->job->begin;
}

int assign_run(struct assign_job *job) {
    const struct method *m = &methods[job->method];
    struct run r;
    int rc = tally_init(&job->tally, job->experts);
    if (rc != OK)
        return rc;
    rc = run_init(&r, job);
    if (rc == OK && (!m->choose || m->count) && !stream_seekable(job->in))
        rc = run_spool(job);
    bool known = stream_seekable(job->in);
    if (rc == OK && (job->begin > 0 || job->end != UINT64_MAX))
        rc = stream_select(job->in, job->begin, job->end);
    if (rc == OK && known)
        rc = stream_check_selection(job->in);
    if (rc == OK && !m->choose) {
        rc = run_balanced(&r);
    } else if (rc == OK) {
        rc = m->count ? run_begin(&r, run_selected(&r)) : OK;
        if (rc == OK)
            rc = run_direct(&r);
    }
    run_release(&r);
    return rc;
}
