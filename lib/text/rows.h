// The text while merges are learned: every distinct word as a row of symbols, about 1.25 bytes of memory a byte.
//
// A symbol of n bytes takes n places. Two bits a place say whether a symbol starts there and whether a word does.
// What a symbol is follows from its length: one byte and two bytes stand for themselves (tables give the id),
// longer ones begin with their id in three bytes. So both neighbours are found without links, and a merge clears
// one bit and writes three bytes. Words lie by descending count, so a place's weight is found in a short list of
// steps.
//
// The rows are cut into parts, between words, whose places and bits share no byte: a thread may change each.
#ifndef TACIT_TEXT_ROWS_H
#define TACIT_TEXT_ROWS_H

#include "base/memory.h"

#include <stdbool.h>

enum { ROW_PARTS_MOST = 4, ROW_SYMBOLS_MOST = 1 << 24, ROW_MARGIN = 64 };

struct row_step {
    uint32_t begin; // words from this place on, up to the next step's,
    uint64_t count; // occur so often
};

struct rows {
    uint8_t *bytes, *marks, *marks_memory;
    uint32_t places, room;
    struct buffer steps;   // struct row_step, ascending places
    struct buffer lengths; // uint32_t by id: a symbol's bytes
    uint32_t one[1 << 8], *two;
    int parts, parts_begun;
    uint32_t part_begin[ROW_PARTS_MOST + 1];
};

// Room for `size` bytes of words, in `parts` parts of about the same size (1 .. ROW_PARTS_MOST). ERROR_INPUT where
// they are too many.
int rows_new(struct rows *r, uint64_t size, int parts);
void rows_release(struct rows *r);
// The next id, of a symbol of so many bytes; 0: the words have no such symbol.
int rows_add_id(struct rows *r, const uint8_t *bytes, uint32_t size);
// Add a word, then its symbols; counts never rise from one word to the next.
int rows_begin_word(struct rows *r, uint64_t count);
void rows_add_symbol(struct rows *r, const uint8_t *bytes, uint32_t size, uint32_t id);
int rows_finish(struct rows *r);

// ---- reading and changing them ----

enum { MARK_SYMBOL = 1, MARK_WORD = 2, MARKS_AT_ONCE = 29 };
#define ROW_SYMBOL_BITS 0x5555555555555555u

// The marks of MARKS_AT_ONCE or more places from p on, two bits each.
static inline uint64_t row_marks(const struct rows *r, uint32_t p) {
    return load_le(r->marks + p / 4, 8) >> p % 4 * 2;
}

// The symbol at p, whose marks these are.
static inline uint32_t row_symbol(const struct rows *r, uint32_t p, uint64_t marks) {
    const uint8_t *b = r->bytes + p;
    if (marks & MARK_SYMBOL << 2)
        return r->one[*b];
    if (marks & MARK_SYMBOL << 4)
        return r->two[load_le(b, 2)];
    return (uint32_t)load_le(b, 4) & (ROW_SYMBOLS_MOST - 1);
}

// The place of the symbol behind that at p, which may be the next word's.
static inline uint32_t row_next(const struct rows *r, uint32_t p, uint64_t marks) {
    uint64_t ahead = (marks & ~(uint64_t)MARK_SYMBOL) & ROW_SYMBOL_BITS;
    for (; ahead == 0; ahead = row_marks(r, p) & ROW_SYMBOL_BITS)
        p += MARKS_AT_ONCE;
    return p + (uint32_t)__builtin_ctzll(ahead) / 2;
}

// The place of the symbol in front of p; p > 0.
static inline uint32_t row_previous(const struct rows *r, uint32_t p) {
    for (;; p -= MARKS_AT_ONCE) {
        uint32_t last = p - 1;
        uint64_t behind = load_le(r->marks + last / 4 - 7, 8) << (3 - last % 4) * 2 & ROW_SYMBOL_BITS;
        if (behind)
            return last - ((uint32_t)__builtin_clzll(behind) - 1) / 2;
    }
}

// The symbol at p, with this length now, has this id.
static inline void row_write(struct rows *r, uint32_t p, uint32_t size, uint32_t id) {
    if (size > 2) {
        r->bytes[p] = (uint8_t)id;
        r->bytes[p + 1] = (uint8_t)(id >> 8);
        r->bytes[p + 2] = (uint8_t)(id >> 16);
    }
}

// No symbol starts at p any more.
static inline void row_clear(struct rows *r, uint32_t p) {
    r->marks[p / 4] &= (uint8_t) ~(MARK_SYMBOL << p % 4 * 2);
}

static inline uint32_t row_length(const struct rows *r, uint32_t id) {
    return ((const uint32_t *)r->lengths.data)[id];
}

// The step that a place belongs to, at or behind step `i`.
static inline size_t row_step_at(const struct rows *r, size_t i, uint32_t p) {
    const struct row_step *steps = (const struct row_step *)r->steps.data;
    while (steps[i + 1].begin <= p)
        i++;
    return i;
}
size_t row_step_find(const struct rows *r, uint32_t p);

// All pairs of neighbours of a part, in order.
struct row_walk {
    const struct rows *rows;
    uint32_t at, end; // the symbol to come
    uint32_t left, right, left_place, right_place;
    size_t step;
    uint64_t count; // of the word
};

static inline struct row_walk row_walk_part(const struct rows *r, int part) {
    uint32_t begin = r->part_begin[part];
    return (struct row_walk){
        .rows = r, .at = begin, .end = r->part_begin[part + 1], .step = row_step_find(r, begin)};
}

static inline bool row_walk_next(struct row_walk *w) {
    const struct rows *r = w->rows;
    while (w->at < w->end) {
        uint64_t marks = row_marks(r, w->at);
        w->left = w->right;
        w->left_place = w->right_place;
        w->right = row_symbol(r, w->at, marks);
        w->right_place = w->at;
        w->at = row_next(r, w->at, marks);
        if (!(marks & MARK_WORD))
            return true;
        w->step = row_step_at(r, w->step, w->right_place);
        w->count = ((const struct row_step *)r->steps.data)[w->step].count;
    }
    return false;
}

#endif
