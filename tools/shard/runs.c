#include "runs.h"

#include "base/background.h"
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { PIECE_LEAST = 4096, PIECE_MOST = 1 << 20, MERGE_LEAST = 16, MERGE_PIECE = 65536 };

// A record as it stands in memory and in the scratch file, its payload behind it.
struct entry {
    uint64_t key;
    uint32_t payload;
    struct record record;
};

struct place {
    uint64_t key, offset; // of the entry in memory; offsets grow in the order of adding
};

struct run {
    uint64_t next, end; // what is still in the scratch file
    uint8_t *piece;     // the part in memory
    size_t at, filled, capacity;
};

// Records that gather in memory.
struct gathered {
    struct buffer entries;
    struct place *places;
    size_t count, capacity;
};

struct runs {
    uint64_t memory;
    struct gathered filling;
    // The first run fills all of the memory. Then, while one half fills, a thread sorts and writes the other; it
    // has `full` and the runs until end_spill().
    struct gathered full;
    struct background *thread;
    bool tried, spilling;
    int fd; // of the scratch file; -1 before the first run
    uint64_t size;
    struct run *runs;
    uint32_t run_count, run_capacity;
};

int runs_new(struct runs **runs, uint64_t memory) {
    *runs = memory_new(1, sizeof **runs);
    if (!*runs)
        return ERROR_SYSTEM;
    (*runs)->memory = memory;
    (*runs)->fd = -1;
    return OK;
}

static void close_scratch(struct runs *s) {
    if (s->fd >= 0)
        input_close(s->fd);
    s->fd = -1;
    for (uint32_t i = 0; i < s->run_count; i++)
        free(s->runs[i].piece);
    s->run_count = 0;
    s->size = 0;
}

static void release_gathered(struct gathered *g) {
    buffer_release(&g->entries);
    free(g->places);
    *g = (struct gathered){0};
}

void runs_free(struct runs *s) {
    if (!s)
        return;
    background_free(s->thread);
    close_scratch(s);
    release_gathered(&s->filling);
    release_gathered(&s->full);
    free(s->runs);
    free(s);
}

// ---- writing runs ----

// A run under construction at the end of a scratch file.
struct run_writer {
    int fd;
    uint64_t *size;
    struct buffer piece;
};

static int run_flush(struct run_writer *w) {
    int code = descriptor_write_at(w->fd, *w->size, w->piece.data, w->piece.size);
    *w->size += w->piece.size;
    buffer_clear(&w->piece);
    return code != OK ? error_prefix(code, "scratch file") : OK;
}

static int run_append(struct run_writer *w, const struct entry *e, const void *payload) {
    int code = buffer_append(&w->piece, e, sizeof *e);
    if (code == OK && e->payload > 0)
        code = buffer_append(&w->piece, payload, e->payload);
    return code == OK && w->piece.size >= PIECE_MOST ? run_flush(w) : code;
}

static int add_run(struct runs *s, uint64_t begin) {
    if (s->run_count == s->run_capacity) {
        uint32_t capacity = s->run_capacity ? 2 * s->run_capacity : MERGE_LEAST;
        int code = memory_resize(&s->runs, capacity, sizeof *s->runs);
        if (code != OK)
            return code;
        s->run_capacity = capacity;
    }
    s->runs[s->run_count++] = (struct run){.next = begin, .end = s->size};
    return OK;
}

static int by_key(const void *a, const void *b) {
    const struct place *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static void sort_places(struct gathered *g) {
    if (g->count > 1)
        qsort(g->places, g->count, sizeof *g->places, by_key);
}

// The entry of a place; its payload stands behind it.
static const void *entry_at(const struct gathered *g, const struct place *p, struct entry *e) {
    memcpy(e, g->entries.data + p->offset, sizeof *e);
    return g->entries.data + p->offset + sizeof *e;
}

static int write_run(void *context) {
    struct runs *s = context;
    struct gathered *g = &s->full;
    uint64_t begin = s->size;
    int code = s->fd < 0 ? scratch_open(&s->fd) : OK;
    if (code != OK)
        return code;
    struct run_writer w = {.fd = s->fd, .size = &s->size};
    sort_places(g);
    for (size_t i = 0; code == OK && i < g->count; i++) {
        struct entry e;
        const void *payload = entry_at(g, &g->places[i], &e);
        code = run_append(&w, &e, payload);
    }
    if (code == OK)
        code = run_flush(&w);
    buffer_release(&w.piece);
    buffer_clear(&g->entries);
    g->count = 0;
    return code == OK ? add_run(s, begin) : code;
}

static int end_spill(struct runs *s) {
    bool spilling = s->spilling;
    s->spilling = false;
    return spilling ? background_wait(s->thread) : OK;
}

static void exchange(struct runs *s) {
    struct gathered full = s->full;
    s->full = s->filling;
    s->filling = full;
}

// Sort what gathered and write it as a run; from the second on beside the caller, where there is a thread.
static int spill(struct runs *s) {
    int code = end_spill(s);
    if (code != OK)
        return code;
    exchange(s);
    if (s->thread) {
        s->spilling = true;
        background_start(s->thread, write_run, s);
        return OK;
    }
    code = write_run(s);
    exchange(s); // its memory is filled again
    if (code == OK && !s->tried) {
        s->tried = true;
        s->thread = background_new();
        if (s->thread)
            release_gathered(&s->filling); // it has all of the memory
    }
    return code;
}

// ---- merging ----

// Make `size` bytes of the run contiguous at piece + at.
static int run_need(struct run *r, int fd, size_t size) {
    if (r->filled - r->at >= size)
        return OK;
    memmove(r->piece, r->piece + r->at, r->filled - r->at);
    r->filled -= r->at;
    r->at = 0;
    if (r->capacity < size) {
        int code = memory_resize(&r->piece, size, 1);
        if (code != OK)
            return code;
        r->capacity = size;
    }
    size_t room = r->capacity - r->filled, got;
    if (room > r->end - r->next)
        room = (size_t)(r->end - r->next);
    int code = input_read_at(fd, r->next, r->piece + r->filled, room, &got);
    if (code == OK && (got < room || r->filled + got < size))
        code = error_set(ERROR_SYSTEM, "cut short");
    scratch_forget(fd, r->next, got);
    r->next += got;
    r->filled += got;
    return code != OK ? error_prefix(code, "scratch file") : OK;
}

static bool run_is_empty(const struct run *r) {
    return r->at == r->filled && r->next == r->end;
}

// Bring the run's first entry, payload included, into memory.
static int run_peek(struct run *r, int fd, struct entry *e) {
    int code = run_need(r, fd, sizeof *e);
    if (code != OK)
        return code;
    memcpy(e, r->piece + r->at, sizeof *e);
    return run_need(r, fd, sizeof *e + e->payload);
}

// A heap of runs by the key of their first entry, ties to the earlier run.
struct head {
    uint64_t key;
    uint32_t run;
};

static bool is_before(const struct head *a, const struct head *b) {
    return a->key != b->key ? a->key < b->key : a->run < b->run;
}

static void sift_down(struct head *heap, uint32_t n, uint32_t at) {
    struct head moved = heap[at];
    for (uint32_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && is_before(&heap[child + 1], &heap[child]))
            child++;
        if (!is_before(&heap[child], &moved))
            break;
        heap[at] = heap[child];
    }
    heap[at] = moved;
}

typedef int take_entry(void *context, const struct entry *e, const void *payload);

static int merge(struct runs *s, take_entry *take, void *context) {
    uint64_t piece = s->memory / (s->run_count + 1);
    struct head *heap = memory_new(s->run_count, sizeof *heap);
    struct entry e;
    int code = heap ? OK : ERROR_SYSTEM;
    piece = piece < PIECE_LEAST ? PIECE_LEAST : piece > PIECE_MOST ? PIECE_MOST : piece;
    for (uint32_t i = 0; code == OK && i < s->run_count; i++) {
        struct run *r = &s->runs[i];
        code = memory_resize(&r->piece, (size_t)piece, 1);
        r->capacity = code == OK ? (size_t)piece : 0;
        if (code == OK)
            code = run_peek(r, s->fd, &e);
        heap[i] = (struct head){e.key, i};
    }
    uint32_t n = s->run_count;
    for (uint32_t i = n / 2; code == OK && i-- > 0;)
        sift_down(heap, n, i);
    while (code == OK && n > 0) {
        struct run *r = &s->runs[heap[0].run];
        memcpy(&e, r->piece + r->at, sizeof e);
        code = take(context, &e, r->piece + r->at + sizeof e);
        r->at += sizeof e + e.payload;
        if (code == OK && run_is_empty(r)) {
            heap[0] = heap[--n];
        } else if (code == OK) {
            code = run_peek(r, s->fd, &e);
            heap[0].key = e.key;
        }
        if (n > 0)
            sift_down(heap, n, 0);
    }
    free(heap);
    return code;
}

static int take_to_run(void *context, const struct entry *e, const void *payload) {
    return run_append(context, e, payload);
}

// Merge all runs into one, so that their number stays in proportion to the memory.
static int collapse(struct runs *s) {
    int fd;
    uint64_t size = 0;
    int code = scratch_open(&fd);
    if (code != OK)
        return code;
    struct run_writer w = {.fd = fd, .size = &size};
    code = merge(s, take_to_run, &w);
    if (code == OK)
        code = run_flush(&w);
    buffer_release(&w.piece);
    close_scratch(s);
    s->fd = fd;
    s->size = size;
    return code == OK ? add_run(s, 0) : code;
}

// ---- adding and draining ----

static bool is_full(const struct runs *s, uint32_t payload) {
    const struct gathered *g = &s->filling;
    uint64_t used = g->entries.size + g->count * sizeof *g->places;
    uint64_t most = s->thread ? s->memory / 2 : s->memory;
    return g->count > 0 && used + sizeof(struct entry) + payload + sizeof *g->places > most;
}

static int add_place(struct gathered *g, uint64_t key) {
    if (g->count == g->capacity) {
        size_t capacity = g->capacity ? 2 * g->capacity : 1024;
        int code = memory_resize(&g->places, capacity, sizeof *g->places);
        if (code != OK)
            return code;
        g->capacity = capacity;
    }
    g->places[g->count++] = (struct place){key, g->entries.size};
    return OK;
}

// Write a run. Where there were many before, merge them all, with the memory that the records had.
static int make_room(struct runs *s) {
    uint64_t most = s->memory / MERGE_PIECE;
    int code = end_spill(s);
    bool many = s->run_count > (most < MERGE_LEAST ? MERGE_LEAST : most);
    if (code == OK)
        code = spill(s);
    if (code != OK || !many)
        return code;
    code = end_spill(s);
    release_gathered(&s->filling);
    release_gathered(&s->full);
    return code == OK ? collapse(s) : code;
}

int runs_add(struct runs *s, uint64_t key, const struct record *r, uint32_t payload) {
    struct gathered *g = &s->filling;
    int code = is_full(s, payload) ? make_room(s) : OK;
    if (code == OK)
        code = add_place(g, key);
    struct entry e = {.key = key, .payload = payload, .record = *r};
    if (code == OK)
        code = buffer_append(&g->entries, &e, sizeof e);
    return code == OK && payload > 0 ? buffer_append(&g->entries, r->payload, payload) : code;
}

struct taker {
    int (*take)(void *context, const struct record *r);
    void *context;
};

static int take_record(void *context, const struct entry *e, const void *payload) {
    const struct taker *t = context;
    struct record r = e->record;
    r.payload = payload;
    return t->take(t->context, &r);
}

int runs_drain(struct runs *s, int (*take)(void *context, const struct record *r), void *context) {
    struct taker taker = {take, context};
    struct gathered *g = &s->filling;
    int code = end_spill(s);
    if (code == OK && s->run_count > 0) {
        code = spill(s);
        if (code == OK)
            code = end_spill(s);
        release_gathered(&s->filling); // the pieces of the runs take its place
        release_gathered(&s->full);
        return code == OK ? merge(s, take_record, &taker) : code;
    }
    sort_places(g);
    for (size_t i = 0; code == OK && i < g->count; i++) {
        struct entry e;
        const void *payload = entry_at(g, &g->places[i], &e);
        code = take_record(&taker, &e, payload);
    }
    return code;
}
