// Reading ahead, for lib/stream alone: while the caller uses one frame, a thread verifies and decodes the next
// one, and on a pipe another thread reads the one behind that. Short streams, and processes that have enough
// threads, do without.
#ifndef TACIT_STREAM_AHEAD_H
#define TACIT_STREAM_AHEAD_H

#include "base/background.h"
#include "stream/source.h"

struct stream;

// The bytes of a pipe's frame.
struct ahead_bytes {
    uint8_t *buffer;
    size_t capacity;
};

struct ahead {
    struct background *decoder, *reader; // the reader on a pipe only
    bool tried;                          // to start them
    bool decoding, reading;              // a job is under way
    uint64_t number;                     // the frame that is made ready, ...
    uint64_t offset;                     // ... where it stands, ...
    struct frame frame;                  // ... and what it becomes
    struct frame_bytes bytes, incoming;
    ZSTD_DCtx *zstd;
    struct ahead_bytes ready, held; // of the frame that is made ready, and of the one in hand
    uint64_t forgotten;             // so far the mapped pages of a file were given back
};

// Put frame s->next_frame in hand, whose names start behind those of s->domains; on a pipe it may be the end frame
// (s->ahead.bytes tells), which is then still to be read. s->ahead.offset is its place, also on failure.
int ahead_take(struct stream *s);
// The frame in hand is going to be used: start on the one behind it, if there is one that is wanted, and then
// count the one in hand. Until the next ahead_take() a thread may read what s holds; none of it may change.
void ahead_start(struct stream *s);
void ahead_release(struct ahead *a);

#endif
