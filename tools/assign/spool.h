// A spool: bytes that are written once and read back in the same order, as often as wanted. It keeps up to
// `memory` bytes of them in memory; what is more goes to an unlinked scratch file.
#ifndef TACIT_ASSIGN_SPOOL_H
#define TACIT_ASSIGN_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct spool {
    size_t capacity;
    uint8_t *data;
    uint64_t size;    // bytes written
    uint64_t spilled; // of these, how many the scratch file has
    uint64_t begin;   // place of data[0] among all bytes
    size_t used, at;  // bytes in `data`; the next one to read
    int fd;           // -1: nothing was spilled
    bool reading;
};

// spool_release() it, after a failure too.
int spool_init(struct spool *s, size_t memory);
int spool_write(struct spool *s, const void *data, size_t size);
// Start reading, from the first byte; a spool that is read is not written to any more.
int spool_rewind(struct spool *s);
// The next bytes; the caller asks for no more than were written.
int spool_read(struct spool *s, void *data, size_t size);
void spool_release(struct spool *s);

#endif
