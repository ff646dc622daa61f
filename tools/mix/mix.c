#include "mix.h"

#include "base/error.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdlib.h>

static int create_output(struct mix_job *job, struct stream_writer **w) {
    struct stream_header h;
    *w = NULL;
    int rc = inputs_header(&job->in, &h);
    h.rule = job->rule;
    h.improper |= job->improper;
    if (rc == OK)
        rc = stream_create(w, job->output, &h, STREAM_LEVEL_DEFAULT);
    free(h.models);
    free(h.names);
    return rc;
}

static int finish_output(struct mix_job *job, struct stream_writer *w, int rc) {
    if (w && rc == OK)
        rc = inputs_parents(&job->in, w);
    if (w && rc == OK && job->assignment) {
        rc = stream_add_parent(w, job->assignment);
        if (rc == OK)
            rc = stream_match_corpus(job->assignment, job->in.streams[0]);
    }
    if (w && rc == OK)
        rc = job->report(job);
    if (w && rc == OK)
        return stream_commit(w, NULL);
    stream_abort(w);
    return rc;
}

// Count what goes out, and write it under the columns of `from`'s record.
static int write_sequence(struct mix_job *job, struct stream_writer *w, const struct stream *from,
                          struct record *r, const float *values, uint32_t count) {
    double sum = 0;
    for (uint32_t t = 0; t < count; t++)
        sum += (double)values[t];
    job->nats -= sum;
    job->tokens += count;
    if (job->progress && job->sequences % 256 == 0)
        progress_update(job->progress, (double)job->sequences, NULL);
    job->sequences++;
    r->count = count;
    r->payload = values;
    return stream_write_from(w, from, r);
}

int mix_combine(struct mix_job *job, mix_rule *rule) {
    struct inputs *in = &job->in;
    struct stream_writer *w;
    float *mixed = NULL;
    size_t capacity = 0;
    bool got = true;
    int rc = create_output(job, &w);
    while (rc == OK) {
        rc = inputs_next(in, &got);
        if (rc != OK || !got)
            break;
        struct record r = in->records[0];
        if (r.count > capacity) {
            capacity = capacity * 2 > r.count ? capacity * 2 : r.count;
            rc = memory_resize(&mixed, capacity, sizeof *mixed);
            if (rc != OK)
                break;
        }
        rc = rule(&job->mixer, (const float *const *)in->values, r.count, mixed);
        if (rc != OK) {
            rc = error_prefix(rc, "%s: sequence %" PRIu64 " (id %" PRIu64 ")", stream_name(in->streams[0]),
                              in->sequences - 1, r.id);
            break;
        }
        rc = write_sequence(job, w, in->streams[0], &r, mixed, r.count);
    }
    free(mixed);
    return finish_output(job, w, rc);
}

static int check_assignment(const struct mix_job *job) {
    const struct stream_header *h = stream_header(job->assignment);
    if (h->experts != job->in.count)
        return error_set(ERROR_INPUT,
                         "%s: assigns to %u experts, but %u streams of log-probs were given; one each, in order",
                         stream_name(job->assignment), h->experts, job->in.count);
    if (h->topk != 1)
        return error_set(ERROR_INPUT, "%s: names %u experts per sequence, select takes one",
                         stream_name(job->assignment), h->topk);
    return stream_match(job->assignment, job->in.streams[0]);
}

static int check_leftovers(struct mix_job *job) {
    for (uint32_t j = 0; j < job->in.count; j++) {
        bool got;
        int rc = inputs_next_of(&job->in, j, &got);
        if (rc != OK)
            return rc;
        if (got)
            return error_set(ERROR_INPUT, "%s: holds id %" PRIu64 ", which %s does not give to expert %u",
                             stream_name(job->in.streams[j]), job->in.records[j].id, stream_name(job->assignment),
                             j);
    }
    return OK;
}

int mix_select(struct mix_job *job) {
    struct inputs *in = &job->in;
    struct stream_writer *w = NULL;
    int rc = check_assignment(job);
    if (rc == OK)
        rc = create_output(job, &w);
    while (rc == OK) {
        struct record a;
        bool got;
        rc = stream_next(job->assignment, &a, &got);
        if (rc != OK || !got)
            break;
        uint32_t e = record_expert(stream_header(job->assignment), &a, 0);
        rc = inputs_next_of(in, e, &got);
        if (rc != OK)
            break;
        if (!got) {
            rc = error_set(ERROR_INPUT, "%s: ends before id %" PRIu64 ", which %s gives to expert %u",
                           stream_name(in->streams[e]), a.id, stream_name(job->assignment), e);
            break;
        }
        rc = record_match(job->assignment, &a, in->streams[e], &in->records[e], job->sequences);
        if (rc == OK)
            rc = write_sequence(job, w, job->assignment, &a, in->values[e], in->records[e].count);
    }
    if (rc == OK)
        rc = check_leftovers(job);
    return finish_output(job, w, rc);
}
