#include "spool.h"

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

int spool_init(struct spool *s, size_t memory) {
    *s = (struct spool){.capacity = memory > 0 ? memory : 1, .fd = -1};
    s->data = memory_new(s->capacity, 1);
    return s->data ? OK : ERROR_SYSTEM;
}

static int spool_spill(struct spool *s) {
    int rc = s->fd < 0 ? scratch_open(&s->fd) : OK;
    if (rc == OK)
        rc = descriptor_write_at(s->fd, s->spilled, s->data, s->used);
    if (rc != OK)
        return rc;
    s->spilled += s->used;
    s->used = 0;
    return OK;
}

int spool_write(struct spool *s, const void *data, size_t size) {
    const uint8_t *from = data;
    s->size += size;
    while (size > 0) {
        if (s->used == s->capacity) {
            int rc = spool_spill(s);
            if (rc != OK)
                return rc;
        }
        size_t n = size < s->capacity - s->used ? size : s->capacity - s->used;
        memcpy(s->data + s->used, from, n);
        s->used += n;
        from += n;
        size -= n;
    }
    return OK;
}

int spool_rewind(struct spool *s) {
    s->at = 0;
    if (s->fd < 0)
        return OK;
    int rc = s->reading ? OK : spool_spill(s);
    s->reading = true;
    s->begin = 0;
    s->used = 0;
    return rc;
}

static int spool_fetch(struct spool *s, uint64_t place, void *data, size_t size) {
    size_t got;
    int rc = input_read_at(s->fd, place, data, size, &got);
    if (rc == OK && got != size)
        rc = error_set(ERROR_SYSTEM, "scratch file: shorter than what was written to it");
    return rc;
}

int spool_read(struct spool *s, void *data, size_t size) {
    uint8_t *to = data;
    while (size > 0) {
        if (s->at == s->used) {
            s->begin += s->used;
            uint64_t left = s->size - s->begin;
            s->used = left < s->capacity ? (size_t)left : s->capacity;
            s->at = 0;
            int rc = spool_fetch(s, s->begin, s->data, s->used);
            if (rc != OK)
                return rc;
        }
        size_t n = size < s->used - s->at ? size : s->used - s->at;
        memcpy(to, s->data + s->at, n);
        s->at += n;
        to += n;
        size -= n;
    }
    return OK;
}

void spool_release(struct spool *s) {
    free(s->data);
    if (s->fd >= 0)
        input_close(s->fd);
    *s = (struct spool){.fd = -1};
}
