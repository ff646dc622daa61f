// Random access: decoded frames of a seekable stream, the least recently used leaving first.
#include "base/error.h"
#include "stream/reader.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct cached_frame {
    struct frame frame;
    uint64_t number, bytes;
    struct cached_frame *newer, *older;
};

static void detach(struct stream *s, struct cached_frame *c) {
    *(c->newer ? &c->newer->older : &s->newest) = c->older;
    *(c->older ? &c->older->newer : &s->oldest) = c->newer;
    c->newer = c->older = NULL;
}

static void attach(struct stream *s, struct cached_frame *c) {
    c->older = s->newest;
    *(s->newest ? &s->newest->newer : &s->oldest) = c;
    s->newest = c;
}

static uint64_t stored_bytes(const struct stream *s, uint64_t n) {
    return s->end.offsets[n + 1] - s->end.offsets[n];
}

// Mapped pages count as this process's memory as long as they are not given back.
static void forget_mapped(const struct stream *s, uint64_t n) {
    uint64_t inside = s->end.offsets[n] & ((uint64_t)sysconf(_SC_PAGESIZE) - 1);
    const uint8_t *begin = s->source.map + s->end.offsets[n] - inside;
    if (s->source.map)
        madvise((void *)(uintptr_t)begin, stored_bytes(s, n) + inside, MADV_DONTNEED);
}

static void evict_oldest(struct stream *s) {
    struct cached_frame *c = s->oldest;
    s->oldest = c->newer;
    *(c->newer ? &c->newer->older : &s->newest) = NULL;
    s->cache[c->number] = NULL;
    s->cache_bytes -= c->bytes;
    frame_release(&c->frame);
    forget_mapped(s, c->number);
    free(c);
}

static int load(struct stream *s, uint64_t n) {
    struct cached_frame *c = memory_new(1, sizeof *c);
    if (!c)
        return ERROR_SYSTEM;
    c->number = n;
    int code = stream_decode_frame(s, n, &c->frame, s->zstd);
    if (code != OK) {
        frame_release(&c->frame);
        free(c);
        return stream_failed(s, code, n, s->end.offsets[n]);
    }
    c->bytes = frame_memory(&c->frame);
    if (c->frame.raw)
        forget_mapped(s, n);
    else // it lies in the mapped file
        c->bytes += stored_bytes(s, n);
    s->cache_bytes += c->bytes;
    s->cache[n] = c;
    attach(s, c);
    while (s->cache_bytes > s->cache_limit && s->oldest != c)
        evict_oldest(s);
    return OK;
}

static uint64_t frame_of(const struct stream *s, uint64_t n) {
    uint64_t low = 0, high = s->end.frames - 1;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (s->end.firsts[middle + 1] <= n)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int stream_read(struct stream *s, uint64_t n, struct record *r) {
    if (s->failure != OK)
        return error_set(s->failure, "%s: reading it failed before", s->name);
    if (!s->seekable)
        return error_set(ERROR_INPUT, "%s: is a pipe, which is read in order only", s->name);
    if (n >= s->end.totals.sequences)
        return error_set(ERROR_INPUT, "%s: has %" PRIu64 " sequences, %" PRIu64 " is not one of them", s->name,
                         s->end.totals.sequences, n);
    if (!s->cache && !(s->cache = memory_new(s->end.frames, sizeof *s->cache)))
        return ERROR_SYSTEM;
    uint64_t f = frame_of(s, n);
    if (!s->cache[f]) {
        int code = load(s, f);
        if (code != OK)
            return code;
    } else if (s->newest != s->cache[f]) {
        detach(s, s->cache[f]);
        attach(s, s->cache[f]);
    }
    frame_record(&s->cache[f]->frame, &s->header, (uint32_t)(n - s->end.firsts[f]), r);
    return OK;
}

void stream_cache(struct stream *s, uint64_t bytes) {
    s->cache_limit = bytes;
    while (s->cache_bytes > bytes && s->oldest)
        evict_oldest(s);
}

void stream_cache_release(struct stream *s) {
    while (s->oldest)
        evict_oldest(s);
    free(s->cache);
    s->cache = NULL;
}
