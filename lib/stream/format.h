// The bytes of a stream, for lib/stream alone: magic, header block, frame headers, end frame, trailer.
// docs/formats.md specifies them; every number is little-endian.
#ifndef TACIT_STREAM_FORMAT_H
#define TACIT_STREAM_FORMAT_H

#include "base/memory.h"
#include "stream/domains.h"
#include "stream/stream.h"

#include <jansson.h>

enum {
    MAGIC_SIZE = 8,
    HEADER_FIXED = 16, // magic, length of the JSON, zero
    HEADER_JSON_LIMIT = 1 << 20,
    HASH_SIZE = 8, // XXH3-64 behind the header and behind every frame
    FRAME_HEADER_SIZE = 32,
    FRAME_TARGET = 1 << 20, // raw bytes at which a writer ends a frame
    FRAME_LIMIT = 64 << 20, // raw bytes of a data frame
    FRAME_RECORDS_LIMIT = 65536,
    END_LIMIT = 256 << 20, // raw bytes of an end frame
    END_FIXED = 64,        // its part before the lists
    INDEX_ENTRY_SIZE = 20,
    TRAILER_SIZE = 32,
};

static inline uint64_t round_up_8(uint64_t n) {
    return (n + 7) & ~UINT64_C(7);
}

// ---- header block ----

// Bytes of the whole block (JSON padded, hash) once the first HEADER_FIXED bytes are known; ERROR_INPUT where
// they are no stream of this version. Nothing is allocated.
int header_block_size(const uint8_t *fixed, size_t got, size_t *size);
// Verify and decode a whole block into a fresh header (header_release it).
int header_block_decode(struct stream_header *h, const uint8_t *block, size_t size);
int header_block_encode(struct buffer *out, const struct stream_header *h);

int header_copy(struct stream_header *to, const struct stream_header *from);
void header_release(struct stream_header *h);
int header_check(const struct stream_header *h);                        // that the fields agree with each other
json_t *header_to_json(const struct stream_header *h, bool with_names); // NULL with the error set

// ---- kinds ----

size_t dtype_size(enum stream_dtype dtype);
// Elements and bytes of the payload of a record with these columns.
uint64_t payload_count(const struct stream_header *h, uint32_t first, uint32_t predicted);
uint64_t payload_size(const struct stream_header *h, uint64_t count);
// A dtype that the kind can have.
bool kind_takes(enum stream_kind kind, enum stream_dtype dtype);
// Judge `size` bytes of payload elements: ERROR_INPUT for a token or expert that does not exist,
// ERROR_NUMERIC for NaN or +inf. The message names the element.
int payload_check(const struct stream_header *h, const uint8_t *payload, size_t size);

// ---- frames ----

struct frame_header {
    bool end, compressed;
    uint32_t records; // sequences in the frame; 0 in the end frame
    uint64_t number;  // 0, 1, ...; the end frame has the count of the others
    uint32_t raw, stored, payload;
};
void frame_header_encode(uint8_t out[FRAME_HEADER_SIZE], const struct frame_header *f);
int frame_header_decode(struct frame_header *f, const uint8_t in[FRAME_HEADER_SIZE]); // sizes within the limits
static inline uint64_t frame_length(const struct frame_header *f) {
    return FRAME_HEADER_SIZE + round_up_8(f->stored) + HASH_SIZE;
}

// ---- end frame ----

struct totals {
    uint64_t sequences, predicted, bytes;
};
// What the index says of one data frame.
struct index_entry {
    uint32_t length, records, domains; // bytes in the stream, sequences, new domain names
    uint64_t hash;
};
void index_entry_encode(uint8_t out[INDEX_ENTRY_SIZE], const struct index_entry *e);

struct end {
    uint64_t header_hash;
    struct totals totals;
    struct digest content, corpus;
    uint32_t parent_count;
    struct digest *parents;
    struct domains domains;
    uint64_t frames;
    uint8_t *index; // `frames` encoded entries
    // Sums over the entries before frame f, f = 0..frames: byte offset, first sequence, domains.
    uint64_t *offsets, *firsts;
    uint32_t *domains_before;
};
// Everything but header_hash and the sums (which need the size of the header block).
int end_encode(struct buffer *out, const struct end *e);
int end_decode(struct end *e, const uint8_t *raw, size_t size);
// Fill the sums; ERROR_INPUT where they disagree with the totals or with the end frame's place.
int end_sum(struct end *e, uint64_t first_frame, uint64_t end_offset);
void end_entry(const struct end *e, uint64_t frame, struct index_entry *entry);
void end_release(struct end *e);

// ---- trailer ----

void trailer_encode(uint8_t out[TRAILER_SIZE], uint64_t end_offset, uint64_t size);
int trailer_decode(const uint8_t in[TRAILER_SIZE], uint64_t *end_offset, uint64_t *size);

// ---- content digest ----

// XXH3-128 over the header without names, every record in order, the domain names and the totals.
int content_begin(XXH3_state_t *state, const struct stream_header *h);
struct content {
    XXH3_state_t *state;
    size_t used;
    uint8_t waiting[4096]; // short records are hashed together: a call costs more than their bytes
};
void content_record(struct content *c, const struct record *r, uint16_t domain, size_t payload);
void content_flush(struct content *c); // behind the last of some records
struct digest content_end(XXH3_state_t *state, const struct domains *domains, const struct totals *totals);

#endif
