// An external sort of score rows: most likely first, equal keys in the order in which they were added.
//
// Rows are gathered in memory; a full memory is sorted (radix sort of an order-preserving integer image of the
// key) and written to a scratch file as a run, and the runs are merged when the rows are taken out. Runs hold
// consecutive rows and ties go to the earlier run, so the order is that of one stable sort whatever the memory.
#ifndef TACIT_ASSIGN_SORTER_H
#define TACIT_ASSIGN_SORTER_H

#include <stddef.h>
#include <stdint.h>

struct sorter;

struct sorted_row {
    uint64_t ordinal; // how many rows were added before it
    uint32_t best;    // as it was added
    const float *row; // its `width` values; valid until the next call
};

// Images that sort ascending as the keys sort descending; -0 and 0 are equal keys and get one image.
uint32_t sorter_key(float key);

// Rows of `width` values (0 is allowed); about `memory` bytes are used. sorter_free() it.
int sorter_new(struct sorter **s, uint32_t width, size_t memory);
uint64_t sorter_capacity(const struct sorter *s); // rows that stay in memory
// Add a row under a key, which is no NaN; `best` is handed back with it.
int sorter_add(struct sorter *s, float key, uint32_t best, const float *row);
// Take the rows out, exactly as many as were added; the first call ends the adding.
int sorter_next(struct sorter *s, struct sorted_row *out);
// Runs that were written to the scratch file; 0 where everything stayed in memory.
uint64_t sorter_runs(const struct sorter *s);
void sorter_free(struct sorter *s); // NULL is allowed

#endif
