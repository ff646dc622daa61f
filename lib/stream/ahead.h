// Reading ahead, for lib/stream alone: while the caller uses one frame, a thread verifies and decodes the next
// two, and on a pipe another thread reads the one behind those. Short streams, and processes that have enough
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

// A frame that is made ready: where it stands, and what it becomes.
struct ahead_frame {
    uint64_t offset;
    struct frame_bytes bytes;
    struct ahead_bytes held;
    struct frame frame;
};

struct ahead {
    struct background *decoder, *reader;       // the reader on a pipe only
    bool tried;                                // to start them
    unsigned decoding;                         // jobs under way
    struct ahead_frame ready[BACKGROUND_JOBS]; // by frame number

    // Of the frame in hand; also where it failed.
    uint64_t offset;
    struct frame_bytes bytes;
    struct ahead_bytes held;
    uint64_t forgotten; // so far the mapped pages of a file were given back

    // The decoder's, while it has jobs.
    uint64_t number;  // the frame that comes next
    uint32_t domains; // of a pipe, before that frame
    bool stuck;       // it failed, or is the end
    bool reading;     // the reader has a job
    struct frame_bytes incoming;
    ZSTD_DCtx *zstd;
};

// Put frame s->next_frame in hand, whose names start behind those of s->domains; on a pipe it may be the end frame
// (s->ahead.bytes tells), which is then still to be read. s->ahead.offset is its place, also on failure.
int ahead_take(struct stream *s);
// The frame in hand is going to be used: start on those behind it, as far as they are wanted; and where there is
// time, count the one in hand.
void ahead_start(struct stream *s);
// Let go of what was started; the next frame is s->next_frame, wherever that is.
void ahead_forget(struct stream *s);
void ahead_release(struct ahead *a);

#endif
