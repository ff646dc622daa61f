// A domain table, for lib/stream alone: names by index, indices by name; bounded as docs/formats.md says.
#ifndef TACIT_STREAM_DOMAINS_H
#define TACIT_STREAM_DOMAINS_H

#include "base/memory.h"

enum { DOMAINS_LIMIT = 65536, DOMAINS_BYTES_LIMIT = 16 << 20 };

struct domains {
    char **names; // owned
    uint32_t count, capacity;
    uint64_t bytes;  // of all names
    uint32_t *slots; // open addressing: index + 1, 0 = empty
    uint32_t slot_count;
};

// Add a name that the table lacks. `code` is the error for a bad name or a full table: ERROR_INPUT in a
// reader, ERROR_USAGE in a writer.
int domains_add(struct domains *d, const char *name, size_t size, int code);
// The index of a name, or -1.
int64_t domains_find(const struct domains *d, const char *name, size_t size);
void domains_release(struct domains *d);

// The list as it stands in a frame: u32 count, then u16 length and bytes of each name begin..end-1.
int domains_encode(struct buffer *out, const struct domains *d, uint32_t begin, uint32_t end);
// Where an encoded list of `*count` names ends (its bytes), bounds checked, nothing added.
int domains_measure(const uint8_t *data, size_t size, uint32_t *count, size_t *used);
// Add every name of a measured list.
int domains_decode(struct domains *d, const uint8_t *data);
// Whether a measured list repeats the names begin.. of the table.
int domains_compare(const struct domains *d, uint32_t begin, const uint8_t *data);

#endif
