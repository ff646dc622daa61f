// Merging: the most frequent pair of neighbours becomes one symbol, again and again.
//
// Only pairs that occur at least `least` times are kept, with their places; every other pair's count can only
// fall, because all its occurrences were made at once, so it is found again when the kept ones are used up and
// `least` is lowered (frequent_pairs.h). All merges together visit O(bytes of distinct words) places, and the
// passes that look for frequent pairs are about as many as `least` has halves.
#ifndef TACIT_TEXT_MERGING_H
#define TACIT_TEXT_MERGING_H

#include "text/frequent_pairs.h"

struct merging_part;

struct merging {
    struct rows *rows;
    struct threads *pool;
    uint64_t floor; // pairs with a lower count are not merged
    struct frequent_pairs kept;
    uint32_t *slots; // index + 1 into kept.pairs, 0: free; a power of two, at most half full
    uint64_t slot_count;
    struct buffer heap; // candidates, best first
    struct merging_part *parts;
    uint32_t id_room;
};

// `rows`, which are changed, and `pool` must outlive the object. floor is at least 1.
int merging_new(struct merging *m, struct rows *rows, struct threads *pool, uint64_t floor);
void merging_release(struct merging *m);

// The pair with the highest count, among equals the smaller left, then right id; *got = false where no pair occurs
// `floor` times.
int merging_best(struct merging *m, uint32_t *left, uint32_t *right, bool *got);
// Join every occurrence of the pair that merging_best gave; the result is the next id. Its bytes are given.
int merging_join(struct merging *m, uint32_t left, uint32_t right, const uint8_t *bytes, uint32_t size);

#endif
