#include "gathered.h"

#include "balanced.h"

#include "base/error.h"

// ---- going through the sequences ----

int gathered_rewind(struct gathered *g) {
    int rc = g->spooled ? spool_rewind(&g->rows) : OK;
    spool_release(&g->choices);
    if (rc == OK)
        rc = spool_init(&g->choices, g->r->job->memory / 16);
    g->at = 0;
    return rc;
}

static void see_row(struct gathered *g, uint64_t ordinal, const float *row, struct subject *s) {
    *s = (struct subject){.ordinal = ordinal};
    if (g->r->scored) {
        s->row = row;
        scores_best(s->row, g->r->header->experts, &s->best); // reading it the first time refuses a lost one
    }
}

int gathered_row(struct gathered *g, uint64_t ordinal, struct subject *s) {
    struct run *r = g->r;
    uint32_t experts = r->scored ? r->header->experts : 0;
    const float *row = r->row;
    int rc;
    if (g->spooled) {
        rc = spool_read_at(&g->rows, ordinal * experts * sizeof *r->row, r->row, experts * sizeof *r->row);
    } else {
        struct record record;
        rc = stream_read(r->job->in, r->job->begin + ordinal, &record);
        if (rc == OK)
            row = run_row(r, &record);
    }
    if (rc == OK)
        see_row(g, ordinal, row, s);
    return rc;
}

int gathered_next(struct gathered *g, struct subject *s) {
    struct run *r = g->r;
    uint64_t ordinal = g->at++;
    if (g->spooled) {
        uint32_t experts = r->scored ? r->header->experts : 0;
        int rc = spool_read(&g->rows, r->row, experts * sizeof *r->row);
        if (rc == OK)
            see_row(g, ordinal, r->row, s);
        return rc;
    }
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
    int rc = g->spooled || g->read ? OK : stream_next(g->r->job->in, &record, &got);
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

// ---- a pipe ----

static int read_pipe(struct gathered *g) {
    struct run *r = g->r;
    struct record record;
    struct subject s = {0};
    bool got;
    size_t row_size = r->scored ? r->header->experts * sizeof *r->row : 0;
    int rc;
    while ((rc = run_next(r, &record, &s, &got)) == OK && got) {
        rc = columns_add(g->columns, &record);
        if (rc == OK)
            rc = spool_write(&g->rows, row_size > 0 ? s.row : r->row, row_size);
        if (rc != OK)
            return rc;
        s.ordinal++;
    }
    if (rc == OK)
        rc = stream_finish(r->job->in);
    if (rc == OK)
        rc = stream_check_selection(r->job->in);
    if (rc == OK)
        rc = spool_rewind(&g->rows);
    g->spooled = true;
    return rc == OK ? run_begin(r, s.ordinal) : rc;
}

// ---- decisions ----

static int decide_in_order(struct gathered *g, chooser *choose) {
    struct run *r = g->r;
    int rc = gathered_rewind(g);
    for (uint64_t i = 0; i < r->sequences && rc == OK; i++) {
        struct subject s;
        rc = gathered_next(g, &s);
        if (rc == OK)
            rc = choose(r, &s);
        if (rc != OK)
            break;
        run_count(r, &s, r->chosen[0]);
        rc = gathered_choose(g, r->chosen[0]);
    }
    return rc == OK ? gathered_end(g) : rc;
}

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

int run_gathered(struct run *r, chooser *choose) {
    struct assign_job *job = r->job;
    struct gathered g = {.r = r, .choices.fd = -1, .rows.fd = -1};
    bool seekable = stream_seekable(job->in);
    if (seekable)
        stream_cache(job->in, job->memory / 32);
    size_t rows = seekable ? 0 : job->memory / 4;
    int rc = columns_new(&g.columns, job->memory / 8);
    if (rc == OK)
        rc = spool_init(&g.rows, rows);
    if (rc == OK)
        rc = seekable ? run_begin(r, run_selected(r)) : read_pipe(&g);
    if (rc == OK)
        rc = choose ? decide_in_order(&g, choose) : balanced_decide(&g, job->memory / 4 * 3 - rows);
    spool_release(&g.rows);
    if (rc == OK)
        rc = write_decisions(&g);
    decisions_free(g.contested);
    spool_release(&g.choices);
    columns_free(g.columns);
    return rc;
}
