#include "gathered.h"

#include "balanced.h"

#include "base/error.h"

// ---- going through the sequences ----

int gathered_rewind(struct gathered *g) {
    spool_release(&g->choices);
    g->at = 0;
    return spool_init(&g->choices, g->r->job->memory / 16);
}

int gathered_row(struct gathered *g, uint64_t ordinal, struct subject *s) {
    struct run *r = g->r;
    struct record record;
    int rc = stream_read(r->job->in, r->job->begin + ordinal, &record);
    if (rc != OK)
        return rc;
    *s = (struct subject){.ordinal = ordinal, .row = run_row(r, &record)};
    scores_best(s->row, r->header->experts, &s->best); // reading it in order refuses a lost one
    return OK;
}

int gathered_next(struct gathered *g, struct subject *s) {
    struct run *r = g->r;
    uint64_t ordinal = g->at++;
    if (g->read)
        return gathered_row(g, ordinal, s);
    struct record record;
    bool got;
    s->ordinal = ordinal;
    int rc = run_next(r, &record, s, &got);
    if (rc == OK && !got)
        rc = error_set(ERROR_INPUT, "%s: has fewer sequences than its index says", stream_name(r->job->in));
    return rc == OK ? columns_add(g->columns, &record) : rc;
}

int gathered_end(struct gathered *g) {
    struct record record;
    bool got = false;
    int rc = g->read ? OK : stream_next(g->r->job->in, &record, &got);
    g->read = true;
    return rc == OK && got
               ? error_set(ERROR_INPUT, "%s: has more sequences than its index says", stream_name(g->r->job->in))
               : rc;
}

int gathered_choose(struct gathered *g, uint32_t choice) {
    size_t i = (g->at - 1) % CHOICES_BLOCK;
    g->block[i] = (uint16_t)choice;
    bool full = i + 1 == CHOICES_BLOCK || g->at == g->r->sequences;
    return full ? spool_write(&g->choices, g->block, sizeof g->block) : OK;
}

static int next_choice(struct gathered *g, uint64_t ordinal, uint32_t *expert) {
    size_t i = ordinal % CHOICES_BLOCK;
    int rc = i == 0 ? spool_read(&g->choices, g->block, sizeof g->block) : OK;
    *expert = g->block[i];
    return rc == OK && *expert == CONTESTED ? decisions_next(g->contested, expert) : rc;
}

// ---- all ----

static int write_decisions(struct gathered *g) {
    struct run *r = g->r;
    struct stream_writer *w = NULL;
    int rc = columns_rewind(g->columns);
    if (rc == OK)
        rc = spool_rewind(&g->choices);
    if (rc == OK)
        rc = run_create(r, &w);
    for (uint64_t i = 0; i < r->sequences && rc == OK; i++) {
        struct record record = {0};
        uint32_t expert;
        rc = columns_next(g->columns, &record);
        if (rc == OK)
            rc = next_choice(g, i, &expert);
        if (rc != OK)
            break;
        r->chosen[0] = (uint16_t)expert;
        rc = run_write(r, w, &record);
    }
    return run_finish(r, w, rc);
}

int run_balanced(struct run *r) {
    struct assign_job *job = r->job;
    struct gathered g = {.r = r, .choices.fd = -1};
    stream_cache(job->in, job->memory / 32);
    int rc = columns_new(&g.columns, job->memory / 8);
    if (rc == OK)
        rc = run_begin(r, run_selected(r));
    if (rc == OK)
        rc = balanced_decide(&g, job->memory / 4 * 3);
    if (rc == OK)
        rc = write_decisions(&g);
    decisions_free(g.contested);
    spool_release(&g.choices);
    columns_free(g.columns);
    return rc;
}
