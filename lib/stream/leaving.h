// Frames on their way out, for lib/stream alone: while records gather in one frame, a thread encodes, compresses,
// hashes and writes the one before. Short streams, and processes that have enough threads, do without.
#ifndef TACIT_STREAM_LEAVING_H
#define TACIT_STREAM_LEAVING_H

#include "stream/frame.h"

#include <stdatomic.h>

struct output;

// The records of one frame: room for its header and the payloads, to be followed by columns and names.
struct gathered {
    struct buffer raw;
    struct record *records; // domain is the file's number
    uint32_t count, capacity;
};

struct leaving {
    struct output *out;
    const struct stream_header *header;
    int level;
    uint64_t position, frames; // bytes written, frames that left or are leaving
    struct buffer index;
    XXH3_state_t *content;

    // The thread has the frame, zstd and `stored` until the caller has waited for it; out and position as well,
    // where it is not awaited. A caller that awaits it has nothing else to do: it writes the compressed frame, and
    // the thread goes on with the next one meanwhile.
    struct background *thread;
    ZSTD_CCtx *zstd;
    struct gathered frame;
    struct buffer names;
    struct frame_header frame_header;
    struct index_entry entry;
    struct buffer stored; // header and compressed content, ...
    struct buffer late;   // ... and those of the frame before, for the caller to write
    bool pending, written;
    atomic_bool awaited;
    atomic_bool uncounted; // the records are still to be added to the content digest
};

// `header` is the stream's, and stays.
int leaving_init(struct leaving *l, const struct stream_header *header, int level);
int leaving_write(struct leaving *l, const void *data, size_t size); // bytes of no frame
// A frame leaves; the domain names from `first` on are new in it. `g` is empty afterwards, with room for a header.
int leaving_frame(struct leaving *l, struct gathered *g, const struct domains *names, uint32_t first);
int leaving_finish(struct leaving *l); // until every frame is written
// Write the end frame, whose content stands in `raw` behind room for its header.
int leaving_end(struct leaving *l, struct buffer *raw);
void leaving_stop(struct leaving *l); // whatever is under way, before `out` goes
void leaving_release(struct leaving *l);

int gathered_clear(struct gathered *g);
void gathered_release(struct gathered *g);

#endif
