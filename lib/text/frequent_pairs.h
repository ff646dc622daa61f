// The most frequent pairs of neighbouring symbols, with all their places, found in bounded memory however many
// different pairs there are.
#ifndef TACIT_TEXT_FREQUENT_PAIRS_H
#define TACIT_TEXT_FREQUENT_PAIRS_H

#include "base/threads.h"
#include "text/rows.h"

struct pair {
    uint64_t key, count; // left << 32 | right; places weighted by their words' counts
    uint32_t *places;    // ascending, where `left` starts; in frequent_pairs.places, or their own memory
    uint32_t place_count;
    bool own_places;
};

struct frequent_pairs {
    struct buffer pairs; // struct pair
    uint64_t least;      // these are all with at least this count
    uint32_t *places;
};

static inline uint64_t pair_of(uint32_t left, uint32_t right) {
    return (uint64_t)left << 32 | right;
}
static inline uint64_t pair_mix(uint64_t key) {
    key *= 0x9e3779b97f4a7c15u;
    key = (key ^ key >> 32) * 0xff51afd7ed558ccdu;
    return key ^ key >> 32;
}

// The pairs with a count of at least `least`, which is chosen here, below `below` and not below `floor` (at least
// 1), so low that they have about a quarter of all places. No pair may have a count of `below` or more. What is
// found does not depend on the threads.
int frequent_pairs_find(struct frequent_pairs *f, const struct rows *r, struct threads *pool, uint64_t below,
                        uint64_t floor);
void frequent_pairs_release(struct frequent_pairs *f);

#endif
