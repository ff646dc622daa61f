// The bytes that a stream is read from, for lib/stream alone: a mapped file, or a pipe read front to back
// into a buffer that grows only as bytes arrive, so that a hostile length allocates nothing.
#ifndef TACIT_STREAM_SOURCE_H
#define TACIT_STREAM_SOURCE_H

#include "stream/frame.h"

struct source {
    int fd;             // a pipe
    const uint8_t *map; // or a file of `size` bytes
    uint64_t size;
    uint64_t position; // of the unit in hand: header block, frame, trailer
    uint8_t *buffer;   // the unit's first `filled` bytes (a pipe)
    size_t filled, capacity;
};

// Make the first `size` bytes of the unit contiguous at *data; *got < size only at the end of the input.
int source_take(struct source *s, size_t size, const uint8_t **data, size_t *got);
// Go on to the next unit, `size` bytes further; no more than that was taken.
void source_advance(struct source *s, uint64_t size);
void source_release(struct source *s);

// Read and verify the frame at the current position, without going on: its size is frame_length().
int source_frame(struct source *s, struct frame_bytes *b);
// Read the trailer at the current position, which ends the input, and hold it against the end frame's place.
int source_trailer(struct source *s, uint64_t end_offset);

#endif
