#include "report.h"

#include "collect.h"

#include "base/error.h"
#include "base/memory.h"
#include "stream/stream.h"

#include <stdlib.h>
#include <string.h>

static int compare_rows(const void *a, const void *b) {
    const struct measured *x = a, *y = b;
    int order = x->domain ? strcmp(x->domain, y->domain) : 0;
    return order ? order : (x->expert > y->expert) - (x->expert < y->expert);
}

static int measure_row(struct measured *m, const struct collection *c, const struct tallied *t, uint32_t row,
                       uint32_t resamples, struct threads *pool) {
    int rc = tallied_measure(t, c->sequences, resamples, pool, m);
    if (rc != OK)
        return rc;
    if (t->domain >= 0)
        m->domain = stream_domain(c->in, t->domain);
    if (c->choices) {
        struct accuracy a = questions_accuracy(&c->questions, row, 0);
        struct accuracy b = questions_accuracy(&c->questions, row, 1);
        m->questions = (double)a.questions;
        score_accuracy(&m->model, &a);
        score_accuracy(&m->baseline, &b);
    }
    return OK;
}

int report_make(struct report *r, const struct collection *c, uint32_t resamples, struct threads *pool) {
    const struct stream_header *h = stream_header(c->in);
    *r = (struct report){.stream = stream_name(c->in),
                         .rule = h->rule,
                         .improper = h->improper,
                         .by = c->by,
                         .has_baseline = c->baseline != NULL,
                         .has_choices = c->choices,
                         .from = c->from};
    r->groups = memory_new(c->group_count ? c->group_count : 1, sizeof *r->groups);
    int rc = r->groups ? measure_row(&r->total, c, &c->total, UINT32_MAX, resamples, pool) : ERROR_SYSTEM;
    if (rc == OK && c->from)
        rc = measure_row(&r->all_positions, c, &c->all_positions, UINT32_MAX, resamples, pool);
    for (uint32_t i = 0; i < c->group_count && rc == OK; i++, r->group_count++)
        rc = measure_row(&r->groups[i], c, &c->groups[i], i, resamples, pool);
    if (rc == OK && r->group_count)
        qsort(r->groups, r->group_count, sizeof *r->groups, compare_rows);
    return rc;
}

void report_release(struct report *r) {
    free(r->groups);
    r->groups = NULL;
}
