// Brackets: from a sample of the sequences, between which two ranks each expert will be full.
//
// Balanced assignment hands out room in the order of the best scores, so all there is to know about an expert is
// the rank at which it fills up. Before its bracket an expert is surely open, behind it surely full; a sequence
// whose most likely open expert is certain needs no sorting. The others are contested: they are sorted and decided
// exactly, which also shows where every expert really filled up. Where that is within its bracket, all decisions
// are those of the full sort; otherwise the brackets were wrong, and the work is done again with wider ones.
#ifndef TACIT_ASSIGN_BRACKETS_H
#define TACIT_ASSIGN_BRACKETS_H

#include <stdbool.h>
#include <stdint.h>

struct brackets {
    uint32_t experts;
    uint64_t *low, *high; // by expert: open at ranks below low, full at ranks above high
    uint64_t *breaks;     // the ranks at which that changes, ascending
    uint32_t break_count;
    int32_t *open_until, *full_after; // the same as numbers of breaks passed
    double full, surely_open, surely_full;
    uint64_t *wanted; // learning: sequences of the sample that an expert got, and would have got since it was full
};

// The order of the sequences as a number: key descending, then (in units of 2^shift) the place in the stream.
uint64_t rank_of(float key, uint64_t place, int shift);
int rank_shift(uint64_t sequences);

// Nothing is sure: every sequence is contested. brackets_release() it, after a failure too.
int brackets_init(struct brackets *b, uint32_t experts);
// Start to learn: an expert takes `capacity` sequences of the sample, known but for `margin` sequences.
void brackets_begin(struct brackets *b, double capacity, double margin);
// Every sequence of the sample, in the order of the ranks.
void brackets_observe(struct brackets *b, const float *row, uint32_t best, uint64_t rank);
void brackets_end(struct brackets *b);

// Whether the sequence is decided, and for whom; best is its most likely expert.
bool brackets_decide(const struct brackets *b, const float *row, uint32_t best, uint64_t rank, uint32_t *expert);
// Whether an expert that filled up at this rank did so within its bracket (UINT64_MAX: it never did).
bool brackets_hold(const struct brackets *b, uint32_t expert, uint64_t rank);
void brackets_release(struct brackets *b);

#endif
