#include "decisions.h"

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"

#include <stdlib.h>

struct decisions {
    uint64_t sequences, at;
    uint16_t *experts;   // of all sequences, or of the bucket that is read
    uint64_t per_bucket; // sequences
    // in buckets only: entries are ordinal within the bucket << 16 | expert
    size_t buckets, buffered;
    uint64_t *buffers; // [buckets][buffered]
    uint64_t *filled;  // entries that each bucket got
    int fd;
};

int decisions_new(struct decisions **out, uint64_t sequences, size_t memory) {
    struct decisions *d = *out = memory_new(1, sizeof *d);
    if (!d)
        return ERROR_SYSTEM;
    d->sequences = d->per_bucket = sequences;
    d->fd = -1;
    int rc = OK;
    if (sequences > memory / sizeof *d->experts) {
        d->per_bucket = memory / 2 / sizeof *d->experts;
        if (d->per_bucket == 0)
            d->per_bucket = 1;
        d->buckets = (size_t)((sequences + d->per_bucket - 1) / d->per_bucket);
        d->buffered = memory / 2 / sizeof *d->buffers / d->buckets;
        if (d->buffered == 0)
            d->buffered = 1;
        d->buffers = memory_new(d->buckets * d->buffered, sizeof *d->buffers);
        d->filled = memory_new(d->buckets, sizeof *d->filled);
        rc = d->buffers && d->filled ? scratch_open(&d->fd) : ERROR_SYSTEM;
    }
    if (rc == OK) {
        d->experts = memory_new(d->per_bucket ? (size_t)d->per_bucket : 1, sizeof *d->experts);
        rc = d->experts ? OK : ERROR_SYSTEM;
    }
    if (rc != OK) {
        decisions_free(d);
        *out = NULL;
    }
    return rc;
}

// Write what bucket b has buffered: the last (filled - 1) % buffered + 1 of its entries.
static int bucket_flush(struct decisions *d, size_t b) {
    uint64_t held = (d->filled[b] - 1) % d->buffered + 1;
    uint64_t begin = (b * d->per_bucket + d->filled[b] - held) * sizeof *d->buffers;
    return descriptor_write_at(d->fd, begin, d->buffers + b * d->buffered, (size_t)held * sizeof *d->buffers);
}

int decisions_set(struct decisions *d, uint64_t ordinal, uint32_t expert) {
    if (!d->buckets) {
        d->experts[ordinal] = (uint16_t)expert;
        return OK;
    }
    size_t b = (size_t)(ordinal / d->per_bucket);
    uint64_t place = d->filled[b]++ % d->buffered;
    d->buffers[b * d->buffered + place] = ordinal % d->per_bucket << 16 | expert;
    return place + 1 == d->buffered ? bucket_flush(d, b) : OK;
}

static int bucket_load(struct decisions *d, size_t b) {
    if (d->filled[b] % d->buffered != 0) {
        int rc = bucket_flush(d, b);
        if (rc != OK)
            return rc;
    }
    for (uint64_t i = 0; i < d->filled[b]; i += d->buffered) {
        uint64_t n = d->filled[b] - i < d->buffered ? d->filled[b] - i : d->buffered;
        uint64_t *entries = d->buffers + b * d->buffered; // free again: its content is in the file
        size_t got;
        int rc = input_read_at(d->fd, (b * d->per_bucket + i) * sizeof *entries, entries,
                               (size_t)n * sizeof *entries, &got);
        if (rc == OK && got != n * sizeof *entries)
            rc = error_set(ERROR_SYSTEM, "scratch file: shorter than what was written to it");
        if (rc != OK)
            return rc;
        for (uint64_t k = 0; k < n; k++)
            d->experts[entries[k] >> 16] = (uint16_t)entries[k];
    }
    return OK;
}

int decisions_next(struct decisions *d, uint32_t *expert) {
    uint64_t place = d->at % d->per_bucket;
    if (d->buckets && place == 0) {
        int rc = bucket_load(d, (size_t)(d->at / d->per_bucket));
        if (rc != OK)
            return rc;
    }
    *expert = d->experts[place];
    d->at++;
    return OK;
}

void decisions_free(struct decisions *d) {
    if (!d)
        return;
    free(d->experts);
    free(d->buffers);
    free(d->filled);
    if (d->fd >= 0)
        input_close(d->fd);
    free(d);
}
