#include "text/rows.h"
#include "base/error.h"

#include <stdlib.h>

// So many places in front of a part are filled, and up to a multiple of it: no two parts share a byte of marks,
// and what is read of the marks around a symbol never reaches into another part.
enum { PART_ALIGNMENT = 64, MARKS_BEFORE = 8 };

int rows_new(struct rows *r, uint64_t size, int parts) {
    *r = (struct rows){.parts = parts};
    uint64_t room = size + (uint64_t)parts * 2 * PART_ALIGNMENT + 1;
    if (room > UINT32_MAX - ROW_MARGIN)
        return error_set(ERROR_INPUT, "too much text: %llu bytes of distinct words (at most 4G)",
                         (unsigned long long)size);
    r->room = (uint32_t)size;
    r->bytes = memory_new(room + ROW_MARGIN, 1);
    r->marks_memory = memory_new(MARKS_BEFORE + (room + ROW_MARGIN) / 4 + 8, 1);
    r->two = memory_new(1 << 16, sizeof *r->two);
    if (!r->bytes || !r->marks_memory || !r->two)
        return ERROR_SYSTEM;
    r->marks = r->marks_memory + MARKS_BEFORE;
    return OK;
}

void rows_release(struct rows *r) {
    free(r->bytes);
    free(r->marks_memory);
    free(r->two);
    buffer_release(&r->steps);
    buffer_release(&r->lengths);
    *r = (struct rows){0};
}

int rows_add_id(struct rows *r, const uint8_t *bytes, uint32_t size) {
    uint32_t id = (uint32_t)(r->lengths.size / sizeof id);
    if (id >= ROW_SYMBOLS_MOST)
        return error_set(ERROR_INPUT, "too many tokens: %u", id);
    if (size == 1)
        r->one[*bytes] = id;
    else if (size == 2)
        r->two[load_le(bytes, 2)] = id;
    return buffer_append(&r->lengths, &size, sizeof size);
}

static void mark(struct rows *r, uint32_t p, int marks) {
    r->marks[p / 4] |= (uint8_t)(marks << p % 4 * 2);
}

// A word of one symbol has no pairs, whatever it is.
static void fill(struct rows *r, uint32_t until) {
    for (; r->places < until; r->places++)
        mark(r, r->places, MARK_SYMBOL | MARK_WORD);
}

int rows_begin_word(struct rows *r, uint64_t count) {
    const struct row_step *steps = (const struct row_step *)r->steps.data;
    size_t n = r->steps.size / sizeof *steps;
    uint64_t due = (uint64_t)r->room * (uint64_t)r->parts_begun / (uint64_t)r->parts;
    if (r->parts_begun < r->parts && r->places >= due) {
        fill(r, (r->places + 2 * PART_ALIGNMENT - 1) / PART_ALIGNMENT * PART_ALIGNMENT);
        r->part_begin[r->parts_begun++] = r->places;
    }
    if (n == 0 || steps[n - 1].count != count) {
        int code = buffer_append(&r->steps, &(struct row_step){r->places, count}, sizeof *steps);
        if (code != OK)
            return code;
    }
    mark(r, r->places, MARK_WORD);
    return OK;
}

void rows_add_symbol(struct rows *r, const uint8_t *bytes, uint32_t size, uint32_t id) {
    memcpy(r->bytes + r->places, bytes, size);
    mark(r, r->places, MARK_SYMBOL);
    row_write(r, r->places, size, id);
    r->places += size;
}

int rows_finish(struct rows *r) {
    mark(r, r->places, MARK_SYMBOL | MARK_WORD);
    while (r->parts_begun <= r->parts)
        r->part_begin[r->parts_begun++] = r->places;
    return buffer_append(&r->steps, &(struct row_step){.begin = UINT32_MAX}, sizeof(struct row_step));
}

size_t row_step_find(const struct rows *r, uint32_t p) {
    const struct row_step *steps = (const struct row_step *)r->steps.data;
    size_t low = 0, high = r->steps.size / sizeof *steps - 1;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (steps[middle].begin <= p)
            low = middle;
        else
            high = middle;
    }
    return low;
}
