// A spool: items of one size, added once and read back once in the same order. It keeps up to `memory` bytes
// of them in memory; what is more goes to an unlinked scratch file.
#ifndef TACIT_ASSIGN_SPOOL_H
#define TACIT_ASSIGN_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct spool {
    size_t item, capacity; // bytes of an item; items in `data`
    size_t used, at;       // items in `data` now; the next one to read
    uint8_t *data;
    uint64_t count;            // items added
    uint64_t spilled, fetched; // items written to and read from the scratch file
    int fd;                    // -1: nothing was spilled
    bool reading;
};

// spool_release() it, after a failure too.
int spool_init(struct spool *s, size_t item, size_t memory);
int spool_add(struct spool *s, const void *item);
// The next item, valid until the next call; the first call ends the adding. Call it at most s->count times.
int spool_next(struct spool *s, const void **item);
void spool_release(struct spool *s);

#endif
