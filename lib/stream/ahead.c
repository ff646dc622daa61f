#include "stream/ahead.h"
#include "base/error.h"
#include "stream/reader.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>

enum {
    FRAMES_BEFORE = 2, // so many are read without a thread
    FORGET_SIZE = 4 << 20
};

// A file that is read from end to end does not count as this process's memory; it stays in the system's cache.
static void forget_pages(struct stream *s) {
    struct ahead *a = &s->ahead;
    uint64_t whole = a->offset / FORGET_SIZE * FORGET_SIZE;
    if (!s->seekable || whole <= a->forgotten)
        return;
    madvise((void *)(uintptr_t)(s->source.map + a->forgotten), whole - a->forgotten, MADV_DONTNEED);
    a->forgotten = whole;
}

static void exchange(struct source *s, struct ahead_bytes *bytes) {
    struct ahead_bytes other = *bytes;
    *bytes = (struct ahead_bytes){s->buffer, s->capacity};
    s->buffer = other.buffer;
    s->capacity = other.capacity;
}

static int read_frame(void *context) {
    struct stream *s = context;
    return source_frame(&s->source, &s->ahead.incoming);
}

// The bytes of the frame that is made ready; the reader goes on to the next one. An end frame stays in the source.
static int get_bytes(struct stream *s) {
    struct ahead *a = &s->ahead;
    int code = a->reading ? background_wait(a->reader) : read_frame(s);
    a->reading = false;
    a->offset = s->source.position;
    a->bytes = a->incoming;
    if (code == OK && a->bytes.header.number != a->number)
        code = error_set(ERROR_INPUT, "frame %" PRIu64 " stands where %" PRIu64 " was expected",
                         a->bytes.header.number, a->number);
    if (code != OK || a->bytes.header.end)
        return code;
    exchange(&s->source, &a->ready);
    source_advance(&s->source, frame_length(&a->bytes.header));
    if (a->reader) {
        a->reading = true;
        background_start(a->reader, read_frame, s);
    }
    return OK;
}

static int make_ready(void *context) {
    struct stream *s = context;
    struct ahead *a = &s->ahead;
    if (s->seekable) {
        a->offset = s->end.offsets[a->number];
        return stream_decode_frame(s, a->number, &a->frame, a->zstd);
    }
    int code = get_bytes(s);
    if (code != OK || a->bytes.header.end)
        return code;
    return frame_decode(&a->frame, &s->header, &a->bytes, s->domains.count, a->zstd);
}

static int make_ready_and_count(void *context) {
    int code = make_ready(context);
    stream_count_frame(context);
    return code;
}

int ahead_take(struct stream *s) {
    struct ahead *a = &s->ahead;
    int code;
    if (a->decoding) {
        a->decoding = false;
        code = background_wait(a->decoder);
    } else {
        a->number = s->next_frame;
        code = make_ready(s);
    }
    if (code != OK || (!s->seekable && a->bytes.header.end))
        return code;
    // The memory of the frame that goes is used again.
    struct frame frame = s->frame;
    struct ahead_bytes held = a->held;
    s->frame = a->frame;
    a->frame = frame;
    a->held = a->ready;
    a->ready = held;
    forget_pages(s);
    return OK;
}

void ahead_start(struct stream *s) {
    struct ahead *a = &s->ahead;
    uint64_t n = s->next_frame;
    if (n < FRAMES_BEFORE || (s->seekable && (n == s->end.frames || s->end.firsts[n] >= s->stop)))
        return;
    if (!a->tried) {
        a->tried = true;
        a->decoder = background_new();
        if (a->decoder && !s->seekable)
            a->reader = background_new();
    }
    if (!a->decoder)
        return;
    a->number = n;
    a->decoding = true;
    background_start(a->decoder, make_ready_and_count, s);
}

void ahead_release(struct ahead *a) {
    background_stop(a->reader); // for which the decoder may be waiting
    background_free(a->decoder);
    background_free(a->reader);
    frame_release(&a->frame);
    ZSTD_freeDCtx(a->zstd);
    free(a->ready.buffer);
    free(a->held.buffer);
}
