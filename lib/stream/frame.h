// Frames of records, for lib/stream alone: columns and payload of consecutive sequences.
//
// Raw content: the payloads one behind the other, then the nine columns, then the new domain names. A column
// is plain (a value per sequence) or an arithmetic progression (first value and step).
#ifndef TACIT_STREAM_FRAME_H
#define TACIT_STREAM_FRAME_H

#include "stream/format.h"

#include <zstd.h>

enum {
    COLUMNS = 9,
    FRAMES_ALONE = 2 // so many are read and written without a thread beside the caller: short streams need none
};

struct column {
    const uint8_t *plain; // NULL: first + i x step, modulo the column's width
    uint64_t first, step;
};

// A decoded frame. `payload`, plain columns and `names` point into `raw`, or into the caller's stored bytes.
struct frame {
    uint64_t number;
    uint32_t records, domains; // domains: new names
    const uint8_t *payload, *names;
    struct column columns[COLUMNS];
    uint32_t *offsets; // of each record's payload, and of the end
    size_t offset_capacity;
    uint8_t *raw; // decompressed content, where it was compressed
    size_t raw_capacity;
};

// Verified bytes of one frame.
struct frame_bytes {
    struct frame_header header;
    const uint8_t *stored;
    uint64_t hash;
};

// Decompress into (or point to) the raw content of any frame. *raw is owned, of *capacity bytes.
int frame_raw(const struct frame_bytes *b, ZSTD_DCtx *zstd, uint8_t **raw, size_t *capacity,
              const uint8_t **content);

// Decode a data frame whose domains start behind `domains_before` earlier ones: every count, size, domain and
// element is checked. Memory of an earlier decode is used again.
int frame_decode(struct frame *f, const struct stream_header *h, const struct frame_bytes *b,
                 uint32_t domains_before, ZSTD_DCtx *zstd);
// Record i; its payload points into the frame.
void frame_record(const struct frame *f, const struct stream_header *h, uint32_t i, struct record *r);
uint32_t frame_payload_size(const struct frame *f, uint32_t i);
size_t frame_memory(const struct frame *f);
void frame_release(struct frame *f);

// Append the columns of n records; `domain` of each is the file's index.
int frame_encode_columns(struct buffer *out, const struct record *records, uint32_t n);
size_t frame_columns_most(uint32_t n); // bytes that it may append

#endif
