#include "collect.h"

#include "base/error.h"
#include "base/memory.h"
#include "stream/stream.h"

#include <inttypes.h>
#include <stdlib.h>

enum { DOMAINS = 65536 };

// The group of a domain and an expert (0 for what is not grouped by), made if new.
static int find_group(struct collection *c, uint32_t domain, uint32_t expert, uint32_t *group) {
    uint32_t experts = c->by & BY_EXPERT ? stream_header(c->assignment)->experts : 1;
    if (!c->index && !(c->index = memory_new(DOMAINS, sizeof *c->index)))
        return ERROR_SYSTEM;
    if (!c->index[domain] && !(c->index[domain] = memory_new(experts, sizeof **c->index)))
        return ERROR_SYSTEM;
    uint32_t *place = &c->index[domain][expert];
    if (!*place) {
        if ((c->group_count & (c->group_count - 1)) == 0) {
            uint32_t capacity = c->group_count ? 2 * c->group_count : 1;
            int rc = memory_resize(&c->groups, capacity, sizeof *c->groups);
            if (rc != OK)
                return rc;
        }
        tallied_init(&c->groups[c->group_count], c->by & BY_DOMAIN ? (int)domain : -1,
                     c->by & BY_EXPERT ? (int)expert : -1, c->seed, 2 + c->group_count);
        *place = ++c->group_count;
    }
    *group = *place - 1;
    return OK;
}

// Every expert has a row of its own, whether it gets a sequence or not.
static int make_expert_groups(struct collection *c) {
    int rc = OK;
    for (uint32_t e = 0, group; e < stream_header(c->assignment)->experts && rc == OK; e++)
        rc = find_group(c, 0, e, &group);
    return rc;
}

static int load_values(struct collection *c, int which, const struct stream *s, const struct record *r) {
    if (r->count > c->capacity[which]) {
        int rc = memory_resize(&c->values[which], r->count, sizeof **c->values);
        if (rc != OK)
            return rc;
        c->capacity[which] = r->count;
    }
    if (r->count > 0)
        record_floats(stream_header(s), r, 0, r->count, c->values[which]);
    return OK;
}

// The record of `other` that belongs to record r of the main stream.
static int next_beside(struct collection *c, struct stream *other, const struct record *r, bool got,
                       struct record *out) {
    bool more;
    int rc = stream_next(other, out, &more);
    if (rc != OK)
        return rc;
    if (more != got)
        return error_set(ERROR_INPUT, "%s: ends after %" PRIu64 " sequences, but %s goes on",
                         stream_name(more ? c->in : other), c->sequences, stream_name(more ? other : c->in));
    return got ? record_match(c->in, r, other, out, c->sequences) : OK;
}

static int add_sequence(struct collection *c, const struct record *r, uint32_t expert) {
    const float *baseline = c->baseline ? c->values[1] : NULL;
    uint32_t skip = c->from > r->first ? c->from - r->first : 0, group = UINT32_MAX;
    int rc = OK;
    if (c->by)
        rc = find_group(c, c->by & BY_DOMAIN ? r->domain : 0, c->by & BY_EXPERT ? expert : 0, &group);
    if (rc == OK)
        rc = tallied_add(&c->total, c->values[0], baseline, r->count, skip, r->bytes);
    if (rc == OK && c->from)
        rc = tallied_add(&c->all_positions, c->values[0], baseline, r->count, 0, r->bytes);
    if (rc == OK && c->by)
        rc = tallied_add(&c->groups[group], c->values[0], baseline, r->count, skip, r->bytes);
    if (rc != OK || !c->choices)
        return rc;
    double sums[CHOICE_MODELS] = {0};
    for (uint32_t i = 0; i < r->count; i++) {
        sums[0] += (double)c->values[0][i];
        sums[1] += baseline ? (double)baseline[i] : 0;
    }
    rc = questions_add(&c->questions, r, group, sums);
    return rc == OK ? OK : error_prefix(rc, "%s: sequence %" PRIu64, stream_name(c->in), c->sequences);
}

static int read_all(struct collection *c) {
    for (;;) {
        struct record r, b = {0}, a = {0};
        bool got;
        uint32_t expert = 0;
        int rc = stream_next(c->in, &r, &got);
        if (rc == OK && c->baseline)
            rc = next_beside(c, c->baseline, &r, got, &b);
        if (rc == OK && c->assignment)
            rc = next_beside(c, c->assignment, &r, got, &a);
        if (rc != OK || !got)
            return rc;
        if (c->assignment)
            expert = record_expert(stream_header(c->assignment), &a, 0);
        rc = load_values(c, 0, c->in, &r);
        if (rc == OK && c->baseline)
            rc = load_values(c, 1, c->baseline, &b);
        if (rc == OK)
            rc = add_sequence(c, &r, expert);
        if (rc != OK)
            return rc;
        c->sequences++;
        if (c->progress && c->sequences % 256 == 0)
            progress_update(c->progress, (double)c->sequences, NULL);
    }
}

// The verified end of a stream beside the main one, and that its ids count the same corpus.
static int finish_beside(const struct collection *c, struct stream *other) {
    int rc = stream_finish(other);
    return rc == OK ? stream_match_corpus(c->in, other) : rc;
}

int collection_read(struct collection *c) {
    tallied_init(&c->total, -1, -1, c->seed, 0);
    tallied_init(&c->all_positions, -1, -1, c->seed, 1);
    int rc = OK;
    if (c->baseline)
        rc = stream_match(c->in, c->baseline);
    if (rc == OK && c->assignment)
        rc = stream_match(c->in, c->assignment);
    if (rc == OK && c->by == BY_EXPERT)
        rc = make_expert_groups(c);
    if (rc == OK)
        rc = read_all(c);
    if (rc == OK)
        rc = stream_finish(c->in);
    if (rc == OK && c->baseline)
        rc = finish_beside(c, c->baseline);
    if (rc == OK && c->assignment)
        rc = finish_beside(c, c->assignment);
    if (rc == OK && c->choices)
        rc = questions_check(&c->questions, c->in);
    return rc;
}

void collection_release(struct collection *c) {
    tallied_release(&c->total);
    tallied_release(&c->all_positions);
    for (uint32_t i = 0; i < c->group_count; i++)
        tallied_release(&c->groups[i]);
    free(c->groups);
    questions_release(&c->questions);
    for (int i = 0; c->index && i < DOMAINS; i++)
        free(c->index[i]);
    free(c->index);
    free(c->values[0]);
    free(c->values[1]);
}
