#include "stream/ahead.h"
#include "base/error.h"
#include "stream/reader.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { FORGET_SIZE = 4 << 20 };

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
static int get_bytes(struct stream *s, struct ahead_frame *f) {
    struct ahead *a = &s->ahead;
    int code = a->reading ? background_wait(a->reader) : read_frame(s);
    a->reading = false;
    f->offset = s->source.position;
    f->bytes = a->incoming;
    if (code == OK && f->bytes.header.number != a->number)
        code = error_set(ERROR_INPUT, "frame %" PRIu64 " stands where %" PRIu64 " was expected",
                         f->bytes.header.number, a->number);
    if (code != OK || f->bytes.header.end)
        return code;
    exchange(&s->source, &f->held);
    source_advance(&s->source, frame_length(&f->bytes.header));
    if (a->reader) {
        a->reading = true;
        background_start(a->reader, read_frame, s);
    }
    return OK;
}

static int decode(struct stream *s, struct ahead_frame *f) {
    struct ahead *a = &s->ahead;
    if (s->seekable) {
        f->offset = s->end.offsets[a->number];
        return stream_decode_frame(s, a->number, &f->frame, a->zstd);
    }
    int code = get_bytes(s, f);
    if (code != OK || f->bytes.header.end)
        return code;
    code = frame_decode(&f->frame, &s->header, &f->bytes, a->domains, a->zstd);
    a->domains += f->frame.domains;
    return code;
}

static int make_ready(void *context) {
    struct stream *s = context;
    struct ahead *a = &s->ahead;
    struct ahead_frame *f = &a->ready[a->number % BACKGROUND_JOBS];
    if (a->stuck)
        return OK; // the caller never comes to it
    int code = decode(s, f);
    a->stuck = code != OK || (!s->seekable && f->bytes.header.end);
    a->number++;
    return code;
}

static int make_ready_and_count(void *context) {
    int code = make_ready(context);
    stream_count_frame(context);
    return code;
}

int ahead_take(struct stream *s) {
    struct ahead *a = &s->ahead;
    struct ahead_frame *f = &a->ready[s->next_frame % BACKGROUND_JOBS];
    int code;
    if (a->decoding > 0) {
        a->decoding--;
        code = background_wait(a->decoder);
    } else {
        a->number = s->next_frame;
        a->stuck = false;
        code = make_ready(s);
    }
    a->offset = f->offset;
    a->bytes = f->bytes;
    if (code != OK || (!s->seekable && a->bytes.header.end))
        return code;
    // The memory of the frame that goes is used again.
    struct frame frame = s->frame;
    struct ahead_bytes held = a->held;
    s->frame = f->frame;
    f->frame = frame;
    a->held = f->held;
    f->held = held;
    forget_pages(s);
    return OK;
}

void ahead_start(struct stream *s) {
    struct ahead *a = &s->ahead;
    if (s->next_frame < FRAMES_ALONE)
        return;
    if (!a->tried) {
        a->tried = true;
        a->decoder = background_new();
        if (a->decoder && !s->seekable)
            a->reader = background_new();
    }
    while (a->decoder && a->decoding < BACKGROUND_JOBS) {
        uint64_t n = s->next_frame + a->decoding;
        if (s->seekable && (n >= s->end.frames || s->end.firsts[n] >= s->stop))
            return;
        if (a->decoding == 0) {
            a->number = n;
            a->stuck = false;
        }
        a->decoding++;
        background_start(a->decoder, make_ready_and_count, s);
    }
}

void ahead_forget(struct stream *s) {
    struct ahead *a = &s->ahead;
    for (; a->decoding > 0; a->decoding--)
        (void)background_wait(a->decoder);
    a->forgotten = 0;
}

void ahead_release(struct ahead *a) {
    background_stop(a->decoder);
    background_stop(a->reader); // for which the decoder may be waiting
    background_free(a->decoder);
    background_free(a->reader);
    for (int i = 0; i < BACKGROUND_JOBS; i++) {
        frame_release(&a->ready[i].frame);
        free(a->ready[i].held.buffer);
    }
    ZSTD_freeDCtx(a->zstd);
    free(a->held.buffer);
}
