// A stream being read, for lib/stream alone.
#ifndef TACIT_STREAM_READER_H
#define TACIT_STREAM_READER_H

#include "stream/ahead.h"
#include "stream/source.h"

#include <pthread.h>

struct cached_frame; // random access, cache.c

struct stream {
    char *name;
    uint64_t serial; // distinct for every stream that this process opened
    struct stream_header header;
    uint64_t header_hash, first_frame; // of the header block; bytes before frame 0
    struct source source;
    bool seekable, ended;
    bool spooled;  // a pipe that is read from its copy
    bool complete; // every frame so far was read in order, from the first
    int failure;   // sticky: a stream that failed once does not finish
    ZSTD_DCtx *zstd;

    // Sequential reading: the frame in hand, the next record in it, and its ordinal in the stream.
    struct frame frame;
    struct ahead ahead;
    uint32_t at;
    uint64_t next_frame, ordinal, begin, stop;
    XXH3_state_t *content, *index; // running digest of the content, and (a pipe) hash of the index entries
    struct totals totals;
    bool uncounted; // the frame in hand is still to be added to them
    pthread_mutex_t counting;

    struct domains domains; // a pipe's, so far
    bool has_end;
    struct end end;

    struct cached_frame **cache, *newest, *oldest;
    uint64_t cache_bytes, cache_limit;
};

// A failure at frame F, byte B: prefix the stored message with name and place, and remember the code.
int stream_failed(struct stream *s, int code, uint64_t frame, uint64_t byte);
// Map what the source's descriptor holds, to read it as a file.
int stream_map(struct stream *s, uint64_t size);
// Find header, end frame and index of a mapped file, or the header of a pipe.
int stream_open_source(struct stream *s);
// Find end frame and index, behind the header.
int stream_open_end(struct stream *s);
// Add the frame in hand to content digest and totals, where that is still to be done: by the reading thread before
// it takes the next frame, or by the one that decodes ahead, whichever has the time first.
void stream_count_frame(struct stream *s);
// Verify what follows the data frames; `b` is the end frame at the current position.
int stream_read_end(struct stream *s, const struct frame_bytes *b);
// Read, verify and decode data frame n of a seekable stream; any thread may do it, with a context of its own.
int stream_decode_frame(const struct stream *s, uint64_t n, struct frame *f, ZSTD_DCtx *zstd);
void stream_cache_release(struct stream *s);

#endif
