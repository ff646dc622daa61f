#include "sorter.h"

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { FAN_IN_LEAST = 4, READ_BYTES = 64 << 10, ROWS_AHEAD = 8, LINE = 64 };

// A row in a run: this, and `width` floats behind it.
struct run_head {
    uint64_t ordinal;
    uint32_t key, best;
};

struct run {
    uint64_t begin, rows; // place in the scratch file, in rows
};

struct reader {
    uint64_t next, left; // rows of the run not yet read
    uint8_t *data;
    size_t at, used; // rows in data
};

struct merge {
    int fd;
    struct reader *readers;
    uint64_t *heap; // key << 32 | reader, smallest on top: ties go to the earlier run
    size_t open;
    size_t buffered; // rows that a reader holds
};

struct sorter {
    uint32_t width;
    size_t memory, row_bytes;
    uint64_t added;

    // gathering
    size_t capacity, used;
    float *rows;
    uint32_t *best;
    uint64_t *entries, *other; // key << 32 | place in rows
    uint64_t first;            // ordinal of rows[0]

    struct run *runs;
    size_t run_count;
    uint64_t written; // rows in the scratch file
    uint64_t spilled_runs;
    int fd;

    bool reading;
    size_t at; // in memory: the next entry
    struct merge merge;
};

uint32_t sorter_key(float key) {
    uint32_t u;
    key += 0.0f;
    memcpy(&u, &key, sizeof u);
    return ~(u ^ (u >> 31 ? UINT32_MAX : (uint32_t)1 << 31));
}

// Stable radix sort by the upper 32 bits, 11 + 11 + 10; the result ends in *a.
static void sort_entries(uint64_t **a, uint64_t **b, size_t n) {
    enum { DIGITS = 3, BITS = 11, SIZE = 1 << BITS };
    static _Thread_local size_t counts[DIGITS][SIZE];
    memset(counts, 0, sizeof counts);
    for (size_t i = 0; i < n; i++)
        for (int d = 0; d < DIGITS; d++)
            counts[d][(*a)[i] >> (32 + d * BITS) & (SIZE - 1)]++;
    for (int d = 0; d < DIGITS; d++) {
        int shift = 32 + d * BITS;
        if (n == 0 || counts[d][(*a)[0] >> shift & (SIZE - 1)] == n)
            continue; // one digit only
        size_t sum = 0;
        for (size_t k = 0; k < SIZE; k++) {
            size_t c = counts[d][k];
            counts[d][k] = sum;
            sum += c;
        }
        for (size_t i = 0; i < n; i++)
            (*b)[counts[d][(*a)[i] >> shift & (SIZE - 1)]++] = (*a)[i];
        uint64_t *t = *a;
        *a = *b;
        *b = t;
    }
}

int sorter_new(struct sorter **out, uint32_t width, size_t memory) {
    struct sorter *s = *out = memory_new(1, sizeof *s);
    if (!s)
        return ERROR_SYSTEM;
    s->width = width;
    s->memory = memory;
    s->row_bytes = sizeof(struct run_head) + width * sizeof(float);
    s->fd = s->merge.fd = -1;
    size_t each = width * sizeof(float) + sizeof *s->best + 2 * sizeof *s->entries;
    s->capacity = memory / 8 * 7 / each; // an eighth for writing
    if (s->capacity < 2)
        s->capacity = 2;
    if (s->capacity > UINT32_MAX)
        s->capacity = UINT32_MAX;
    s->rows = memory_new(s->capacity, width ? width * sizeof(float) : 1);
    s->best = memory_new(s->capacity, sizeof *s->best);
    s->entries = memory_new(s->capacity, sizeof *s->entries);
    s->other = memory_new(s->capacity, sizeof *s->other);
    if (s->rows && s->best && s->entries && s->other)
        return OK;
    sorter_free(s);
    *out = NULL;
    return ERROR_SYSTEM;
}

uint64_t sorter_capacity(const struct sorter *s) {
    return s->capacity;
}

static void release_gathering(struct sorter *s) {
    free(s->rows);
    free(s->best);
    free(s->entries);
    free(s->other);
    s->rows = NULL;
    s->best = NULL;
    s->entries = s->other = NULL;
}

static int add_run(struct run **runs, size_t *count, uint64_t begin, uint64_t rows) {
    if ((*count & (*count - 1)) == 0 && memory_resize(runs, *count ? *count * 2 : 1, sizeof **runs) != OK)
        return ERROR_SYSTEM;
    (*runs)[(*count)++] = (struct run){begin, rows};
    return OK;
}

// Rows on their way into the scratch file.
struct row_writer {
    int fd;
    uint64_t rows; // in the file
    uint8_t *data;
    size_t used, capacity, row_bytes;
};

static int writer_flush(struct row_writer *w) {
    int rc = descriptor_write_at(w->fd, w->rows * w->row_bytes, w->data, w->used * w->row_bytes);
    w->rows += w->used;
    w->used = 0;
    return rc;
}

static int writer_open(struct row_writer *w, const struct sorter *s, int fd, uint64_t rows, size_t bytes) {
    *w = (struct row_writer){.fd = fd, .rows = rows, .row_bytes = s->row_bytes};
    w->capacity = bytes / s->row_bytes ? bytes / s->row_bytes : 1;
    w->data = memory_new(w->capacity, s->row_bytes);
    return w->data ? OK : ERROR_SYSTEM;
}

// Where the next row goes; it is in the file after the next flush.
static int writer_row(struct row_writer *w, uint8_t **place) {
    int rc = w->used == w->capacity ? writer_flush(w) : OK;
    if (rc == OK)
        *place = w->data + w->used++ * w->row_bytes;
    return rc;
}

static int spill_run(struct sorter *s) {
    sort_entries(&s->entries, &s->other, s->used);
    int rc = s->fd < 0 ? scratch_open(&s->fd) : OK;
    if (rc != OK)
        return rc;
    struct row_writer w;
    rc = writer_open(&w, s, s->fd, s->written, s->memory / 8);
    for (size_t i = 0; i < s->used && rc == OK; i++) {
        uint32_t place = (uint32_t)s->entries[i];
        struct run_head head = {s->first + place, (uint32_t)(s->entries[i] >> 32), s->best[place]};
        uint8_t *to;
        rc = writer_row(&w, &to);
        if (rc != OK)
            break;
        memcpy(to, &head, sizeof head);
        memcpy(to + sizeof head, s->rows + (size_t)place * s->width, s->width * sizeof(float));
    }
    if (rc == OK)
        rc = writer_flush(&w);
    free(w.data);
    if (rc == OK)
        rc = add_run(&s->runs, &s->run_count, s->written, s->used);
    s->written += s->used;
    s->spilled_runs++;
    s->first += s->used;
    s->used = 0;
    return rc;
}

int sorter_add(struct sorter *s, float key, uint32_t best, const float *row) {
    if (s->used == s->capacity) {
        int rc = spill_run(s);
        if (rc != OK)
            return rc;
    }
    size_t place = s->used++;
    s->entries[place] = (uint64_t)sorter_key(key) << 32 | place;
    s->best[place] = best;
    memcpy(s->rows + place * s->width, row, s->width * sizeof(float));
    s->added++;
    return OK;
}

// ---- merging ----

static int reader_fill(const struct sorter *s, const struct merge *m, struct reader *r) {
    size_t want = r->left < m->buffered ? (size_t)r->left : m->buffered, got;
    int rc = input_read_at(m->fd, r->next * s->row_bytes, r->data, want * s->row_bytes, &got);
    if (rc == OK && got != want * s->row_bytes)
        rc = error_set(ERROR_SYSTEM, "scratch file: shorter than what was written to it");
    if (rc != OK)
        return rc;
    r->next += want;
    r->left -= want;
    r->used = want;
    r->at = 0;
    return OK;
}

static uint64_t reader_key(const struct sorter *s, const struct merge *m, size_t reader) {
    const struct reader *r = &m->readers[reader];
    struct run_head head;
    memcpy(&head, r->data + r->at * s->row_bytes, sizeof head);
    return (uint64_t)head.key << 32 | reader;
}

static void heap_sink(struct merge *m, size_t i) {
    uint64_t value = m->heap[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= m->open)
            break;
        if (child + 1 < m->open && m->heap[child + 1] < m->heap[child])
            child++;
        if (m->heap[child] >= value)
            break;
        m->heap[i] = m->heap[child];
        i = child;
    }
    m->heap[i] = value;
}

static void merge_close(struct merge *m, size_t readers) {
    for (size_t i = 0; m->readers && i < readers; i++)
        free(m->readers[i].data);
    free(m->readers);
    free(m->heap);
    m->readers = NULL;
    m->heap = NULL;
}

static int merge_open(const struct sorter *s, struct merge *m, const struct run *runs, size_t count) {
    *m = (struct merge){.fd = s->fd, .open = count, .buffered = s->memory / (count + 1) / s->row_bytes};
    if (m->buffered == 0)
        m->buffered = 1;
    m->readers = memory_new(count, sizeof *m->readers);
    m->heap = memory_new(count, sizeof *m->heap);
    int rc = m->readers && m->heap ? OK : ERROR_SYSTEM;
    for (size_t i = 0; i < count && rc == OK; i++) {
        struct reader *r = &m->readers[i];
        r->next = runs[i].begin;
        r->left = runs[i].rows;
        r->data = memory_new(m->buffered, s->row_bytes);
        rc = r->data ? reader_fill(s, m, r) : ERROR_SYSTEM;
        if (rc == OK)
            m->heap[i] = reader_key(s, m, i);
    }
    for (size_t i = count / 2; i-- > 0 && rc == OK;)
        heap_sink(m, i);
    if (rc != OK)
        merge_close(m, count);
    return rc;
}

// The first row of all; it stays in place until merge_advance().
static const uint8_t *merge_top(const struct sorter *s, const struct merge *m) {
    const struct reader *r = &m->readers[(uint32_t)m->heap[0]];
    return r->data + r->at * s->row_bytes;
}

static int merge_advance(const struct sorter *s, struct merge *m) {
    size_t reader = (uint32_t)m->heap[0];
    struct reader *r = &m->readers[reader];
    if (++r->at == r->used && r->left > 0) {
        int rc = reader_fill(s, m, r);
        if (rc != OK)
            return rc;
    }
    if (r->at == r->used)
        m->heap[0] = m->heap[--m->open];
    else
        m->heap[0] = reader_key(s, m, reader);
    if (m->open > 0)
        heap_sink(m, 0);
    return OK;
}

static int merge_group(const struct sorter *s, const struct run *runs, size_t count, struct row_writer *w) {
    struct merge m;
    int rc = merge_open(s, &m, runs, count);
    if (rc != OK)
        return rc;
    while (m.open > 0 && rc == OK) {
        uint8_t *to;
        rc = writer_row(w, &to);
        if (rc != OK)
            break;
        memcpy(to, merge_top(s, &m), s->row_bytes);
        rc = merge_advance(s, &m);
    }
    merge_close(&m, count);
    return rc == OK ? writer_flush(w) : rc;
}

// Merge groups of neighbouring runs into longer ones, in a new scratch file.
static int merge_level(struct sorter *s, size_t fan_in) {
    struct run *runs = NULL;
    size_t count = 0;
    int fd;
    int rc = scratch_open(&fd);
    if (rc != OK)
        return rc;
    struct row_writer w;
    rc = writer_open(&w, s, fd, 0, s->memory / (fan_in + 1));
    for (size_t i = 0; i < s->run_count && rc == OK; i += fan_in) {
        size_t n = s->run_count - i < fan_in ? s->run_count - i : fan_in;
        uint64_t begin = w.rows;
        rc = merge_group(s, s->runs + i, n, &w);
        if (rc == OK)
            rc = add_run(&runs, &count, begin, w.rows - begin);
    }
    free(w.data);
    if (rc != OK) {
        free(runs);
        input_close(fd);
        return rc;
    }
    free(s->runs);
    input_close(s->fd);
    s->runs = runs;
    s->run_count = count;
    s->fd = fd;
    return OK;
}

static int start_reading(struct sorter *s) {
    s->reading = true;
    if (s->fd < 0) {
        sort_entries(&s->entries, &s->other, s->used);
        return OK;
    }
    int rc = s->used ? spill_run(s) : OK;
    release_gathering(s);
    size_t fan_in = s->memory / READ_BYTES < FAN_IN_LEAST ? FAN_IN_LEAST : s->memory / READ_BYTES;
    while (rc == OK && s->run_count > fan_in)
        rc = merge_level(s, fan_in);
    return rc == OK ? merge_open(s, &s->merge, s->runs, s->run_count) : rc;
}

// In memory the rows are in no order that the processor could foresee.
static void fetch_ahead(const struct sorter *s) {
    if (s->at + ROWS_AHEAD >= s->used)
        return;
    uint32_t place = (uint32_t)s->entries[s->at + ROWS_AHEAD];
    const char *row = (const char *)(s->rows + (size_t)place * s->width);
    __builtin_prefetch(&s->best[place]);
    for (size_t i = 0; i < s->width * sizeof *s->rows; i += LINE)
        __builtin_prefetch(row + i);
}

int sorter_next(struct sorter *s, struct sorted_row *out) {
    int rc = OK;
    if (!s->reading)
        rc = start_reading(s);
    else if (s->merge.readers && s->at > 0)
        rc = merge_advance(s, &s->merge);
    if (rc != OK)
        return rc;
    if (s->merge.readers) {
        const uint8_t *top = merge_top(s, &s->merge);
        struct run_head head;
        memcpy(&head, top, sizeof head);
        *out = (struct sorted_row){head.ordinal, head.best, (const float *)(const void *)(top + sizeof head)};
    } else {
        fetch_ahead(s);
        uint32_t place = (uint32_t)s->entries[s->at]; // NOLINT(clang-analyzer-*): in memory while nothing is spilt
        *out = (struct sorted_row){place, s->best[place], s->rows + (size_t)place * s->width};
    }
    s->at++;
    return OK;
}

uint64_t sorter_runs(const struct sorter *s) {
    return s->spilled_runs;
}

void sorter_free(struct sorter *s) {
    if (!s)
        return;
    release_gathering(s);
    merge_close(&s->merge, s->run_count);
    if (s->fd >= 0)
        input_close(s->fd);
    free(s->runs);
    free(s);
}
