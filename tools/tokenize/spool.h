// A spool: bytes that are read again from the start, in memory while they are few, then in a scratch file.
#ifndef TACIT_TOKENIZE_SPOOL_H
#define TACIT_TOKENIZE_SPOOL_H

#include "base/memory.h"

struct spool {
    struct buffer memory; // behind what is in the file
    int fd;               // -1: none yet
    uint64_t written;     // bytes in the file
};

void spool_init(struct spool *s);
void spool_release(struct spool *s);
void spool_clear(struct spool *s);
int spool_add(struct spool *s, const void *data, size_t size);
uint64_t spool_size(const struct spool *s);
// Up to `size` bytes from there on, short only at the end.
int spool_read(const struct spool *s, uint64_t at, void *data, size_t size, size_t *got);
// All of it, in pieces of a multiple of 8 bytes but for the last.
int spool_each(struct spool *s, int (*take)(void *context, const uint8_t *data, size_t size), void *context);

#endif
