#include "inputs.h"

#include "base/error.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdlib.h>

enum { PREFETCH_BYTES = 4096 };

int inputs_open(struct inputs *in, char **paths, uint32_t count) {
    *in = (struct inputs){0};
    in->streams = memory_new(count, sizeof *in->streams);
    in->records = memory_new(count, sizeof *in->records);
    in->values = memory_new(count, sizeof *in->values);
    in->capacity = memory_new(count, sizeof *in->capacity);
    if (!in->streams || !in->records || !in->values || !in->capacity)
        return ERROR_SYSTEM;
    for (in->count = 0; in->count < count; in->count++) {
        int rc = stream_open(&in->streams[in->count], paths[in->count], 1u << STREAM_LOGPROBS);
        if (rc == OK && in->count > 0)
            rc = stream_match(in->streams[0], in->streams[in->count]);
        if (rc != OK) {
            in->count++;
            return rc;
        }
    }
    return OK;
}

void inputs_close(struct inputs *in) {
    for (uint32_t j = 0; j < in->count; j++) {
        stream_close(in->streams[j]);
        free(in->values[j]);
    }
    free(in->streams);
    free(in->records);
    free(in->values);
    free(in->capacity);
    *in = (struct inputs){0};
}

// The next sequence of a frame lies behind this one: it comes into the cache while this one is mixed.
static void prefetch_next(const struct stream *s, const struct record *r) {
    size_t size = (size_t)r->count * (stream_header(s)->dtype == STREAM_F16 ? 2 : 4);
    const char *next = (const char *)r->payload + size;
    for (size_t i = 0; i < size && i < PREFETCH_BYTES; i += 64)
        __builtin_prefetch(next + i);
}

int inputs_next_of(struct inputs *in, uint32_t j, bool *got) {
    struct record *r = &in->records[j];
    int rc = stream_next(in->streams[j], r, got);
    if (rc != OK || !*got)
        return rc;
    if (r->count > in->capacity[j]) {
        size_t capacity = in->capacity[j] * 2 > r->count ? in->capacity[j] * 2 : r->count;
        rc = memory_resize(&in->values[j], capacity, sizeof **in->values);
        if (rc != OK)
            return rc;
        in->capacity[j] = capacity;
    }
    if (r->count > 0) {
        record_floats(stream_header(in->streams[j]), r, 0, r->count, in->values[j]);
        prefetch_next(in->streams[j], r);
    }
    return OK;
}

int inputs_next(struct inputs *in, bool *got) {
    int rc = inputs_next_of(in, 0, got);
    for (uint32_t j = 1; j < in->count && rc == OK; j++) {
        bool other;
        rc = inputs_next_of(in, j, &other);
        if (rc == OK && other != *got)
            return error_set(ERROR_INPUT, "%s: ends after %" PRIu64 " sequences, but %s goes on",
                             stream_name(in->streams[other ? 0 : j]), in->sequences,
                             stream_name(in->streams[other ? j : 0]));
        if (rc == OK && *got)
            rc = record_match(in->streams[0], &in->records[0], in->streams[j], &in->records[j], in->sequences);
    }
    if (rc == OK)
        in->sequences += *got;
    return rc;
}

int inputs_header(const struct inputs *in, struct stream_header *h) {
    *h = (struct stream_header){.kind = STREAM_LOGPROBS, .dtype = STREAM_F32};
    bool bounded = true, named = true;
    for (uint32_t j = 0; j < in->count; j++) {
        const struct stream_header *from = stream_header(in->streams[j]);
        if (!digest_known(&h->vocab))
            h->vocab = from->vocab;
        if (h->vocab_size == 0)
            h->vocab_size = from->vocab_size;
        if (from->length > h->length)
            h->length = from->length;
        bounded &= from->length > 0;
        h->improper |= from->improper;
        h->model_count += from->model_count;
        named &= from->names != NULL;
    }
    if (!bounded)
        h->length = 0;
    if (h->model_count == 0)
        return OK;
    h->models = memory_new(h->model_count, sizeof *h->models);
    h->names = named ? memory_new(h->model_count, sizeof *h->names) : NULL;
    if (!h->models || (named && !h->names))
        return ERROR_SYSTEM;
    uint32_t at = 0;
    for (uint32_t j = 0; j < in->count; j++) {
        const struct stream_header *from = stream_header(in->streams[j]);
        for (uint32_t i = 0; i < from->model_count; i++, at++) {
            h->models[at] = from->models[i];
            if (named)
                h->names[at] = from->names[i];
        }
    }
    return OK;
}

int inputs_parents(struct inputs *in, struct stream_writer *w) {
    int rc = OK;
    for (uint32_t j = 0; j < in->count && rc == OK; j++) {
        rc = stream_add_parent(w, in->streams[j]);
        if (rc == OK)
            rc = stream_match_corpus(in->streams[0], in->streams[j]);
    }
    return rc;
}
