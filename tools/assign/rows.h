// One row of scores: loops over all experts, which this file's flags turn into vector code.
#ifndef TACIT_ASSIGN_ROWS_H
#define TACIT_ASSIGN_ROWS_H

#include <stdbool.h>
#include <stdint.h>

// The highest score's index, the lowest among equals.
uint32_t row_best(const float *row, uint32_t n);

// Of the experts with time <= open_until, the highest score's index, the lowest among equals: false where there
// is none, or where another with time <= full_after has no lower score.
bool row_best_open(const float *row, uint32_t n, int32_t time, const int32_t *open_until,
                   const int32_t *full_after, uint32_t *best);

// Of the experts that have room, the highest score's index, the lowest among equals; n where there is none.
uint32_t row_best_with_room(const float *row, uint32_t n, const uint64_t *room);

// How many of n values are below another.
uint32_t count_below(const uint64_t *values, uint32_t n, uint64_t other);

#endif
