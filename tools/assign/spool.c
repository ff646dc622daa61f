#include "spool.h"

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

int spool_init(struct spool *s, size_t item, size_t memory) {
    *s = (struct spool){.item = item, .capacity = memory / item, .fd = -1};
    if (s->capacity == 0)
        s->capacity = 1;
    s->data = memory_new(s->capacity, item);
    return s->data ? OK : ERROR_SYSTEM;
}

static int spool_spill(struct spool *s) {
    int rc = s->fd < 0 ? scratch_open(&s->fd) : OK;
    if (rc == OK)
        rc = descriptor_write_at(s->fd, s->spilled * s->item, s->data, s->used * s->item);
    if (rc != OK)
        return rc;
    s->spilled += s->used;
    s->used = 0;
    return OK;
}

int spool_add(struct spool *s, const void *item) {
    if (s->used == s->capacity) {
        int rc = spool_spill(s);
        if (rc != OK)
            return rc;
    }
    memcpy(s->data + s->used++ * s->item, item, s->item);
    s->count++;
    return OK;
}

static int spool_fetch(struct spool *s) {
    uint64_t left = s->spilled - s->fetched;
    size_t want = left < s->capacity ? (size_t)left : s->capacity, got;
    int rc = input_read_at(s->fd, s->fetched * s->item, s->data, want * s->item, &got);
    if (rc != OK)
        return rc;
    if (got != want * s->item)
        return error_set(ERROR_SYSTEM, "scratch file: shorter than what was written to it");
    s->fetched += want;
    s->used = want;
    s->at = 0;
    return OK;
}

int spool_next(struct spool *s, const void **item) {
    int rc = OK;
    if (!s->reading) {
        s->reading = true;
        s->at = 0;
        if (s->fd >= 0) {
            rc = spool_spill(s);
            s->at = s->used = 0;
        }
    }
    if (rc == OK && s->at == s->used)
        rc = spool_fetch(s);
    if (rc == OK)
        *item = s->data + s->at++ * s->item;
    return rc;
}

void spool_release(struct spool *s) {
    free(s->data);
    if (s->fd >= 0)
        input_close(s->fd);
    *s = (struct spool){.fd = -1};
}
