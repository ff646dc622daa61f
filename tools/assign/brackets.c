#include "brackets.h"

#include "rows.h"
#include "sorter.h"

#include "base/error.h"
#include "base/memory.h"

#include <stdlib.h>

uint64_t rank_of(float key, uint64_t place, int shift) {
    return (uint64_t)sorter_key(key) << 32 | place >> shift;
}

int rank_shift(uint64_t sequences) {
    int shift = 0;
    while (sequences >> shift > UINT32_MAX)
        shift++;
    return shift;
}

static int compare_ranks(const void *a, const void *b) {
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

// How many breaks lie below a rank: they are counted, for a search would wait for every one of its steps.
static int32_t breaks_below(const struct brackets *b, uint64_t rank) {
    return (int32_t)count_below(b->breaks, b->break_count, rank);
}

int brackets_init(struct brackets *b, uint32_t experts) {
    *b = (struct brackets){.experts = experts};
    b->low = memory_new(experts, sizeof *b->low);
    b->high = memory_new(experts, sizeof *b->high);
    b->breaks = memory_new(experts, 2 * sizeof *b->breaks);
    b->open_until = memory_new(experts, sizeof *b->open_until);
    b->full_after = memory_new(experts, sizeof *b->full_after);
    b->wanted = memory_new(experts, sizeof *b->wanted);
    if (!b->low || !b->high || !b->breaks || !b->open_until || !b->full_after || !b->wanted)
        return ERROR_SYSTEM;
    for (uint32_t e = 0; e < experts; e++)
        b->high[e] = UINT64_MAX;
    brackets_end(b);
    return OK;
}

void brackets_release(struct brackets *b) {
    free(b->low);
    free(b->high);
    free(b->breaks);
    free(b->open_until);
    free(b->full_after);
    free(b->wanted);
    *b = (struct brackets){0};
}

// ---- learning ----

void brackets_begin(struct brackets *b, double capacity, double margin) {
    b->full = capacity;
    b->surely_open = capacity - margin;
    b->surely_full = capacity + margin;
    for (uint32_t e = 0; e < b->experts; e++) {
        b->low[e] = b->surely_open > 0 ? UINT64_MAX : 0;
        b->high[e] = UINT64_MAX;
        b->wanted[e] = 0;
    }
}

static void take(struct brackets *b, uint32_t e, uint64_t rank) {
    b->wanted[e]++;
    if (b->low[e] == UINT64_MAX && (double)b->wanted[e] >= b->surely_open)
        b->low[e] = rank;
    if (b->high[e] == UINT64_MAX && (double)b->wanted[e] >= b->surely_full)
        b->high[e] = rank;
}

void brackets_observe(struct brackets *b, const float *row, uint32_t best, uint64_t rank) {
    uint32_t chosen = (double)b->wanted[best] < b->full ? best : b->experts;
    if (chosen == best) {
        take(b, best, rank);
        return;
    }
    for (uint32_t e = 0; e < b->experts; e++)
        if ((double)b->wanted[e] < b->full && (chosen == b->experts || row[e] > row[chosen]))
            chosen = e;
    for (uint32_t e = 0; e < b->experts; e++) // those that are full would have liked to have it
        if (e != chosen && (double)b->wanted[e] >= b->full &&
            (chosen == b->experts || row[e] > row[chosen] || (row[e] == row[chosen] && e < chosen)))
            take(b, e, rank);
    if (chosen < b->experts)
        take(b, chosen, rank);
}

// A rank below `low` has passed at most as many breaks as lie below `low`, every other one more; the first rank
// above `high` is a break in the same way.
void brackets_end(struct brackets *b) {
    b->break_count = 0;
    for (uint32_t e = 0; e < b->experts; e++) {
        b->breaks[b->break_count++] = b->low[e];
        if (b->high[e] < UINT64_MAX)
            b->breaks[b->break_count++] = b->high[e] + 1;
    }
    qsort(b->breaks, b->break_count, sizeof *b->breaks, compare_ranks);
    for (uint32_t e = 0; e < b->experts; e++) {
        b->open_until[e] = breaks_below(b, b->low[e]);
        b->full_after[e] = b->high[e] < UINT64_MAX ? breaks_below(b, b->high[e] + 1) : INT32_MAX;
    }
}

bool brackets_hold(const struct brackets *b, uint32_t expert, uint64_t rank) {
    return rank >= b->low[expert] && rank <= b->high[expert];
}

bool brackets_decide(const struct brackets *b, const float *row, uint32_t best, uint64_t rank, uint32_t *expert) {
    *expert = best;
    return rank < b->low[best] ||
           row_best_open(row, b->experts, breaks_below(b, rank + 1), b->open_until, b->full_after, expert);
}
