// The text while merges are learned: every distinct word as a row of symbols, and for each pair of neighbouring
// symbols its count (weighted by the words' counts) and the places where it was seen.
//
// A symbol of n bytes takes n places of one array; its id stands at the first and at the last of them, so both
// neighbours are found without links, and a merge rewrites three numbers. A place in a pair's list may be out of
// date; it is checked when the pair is merged. All merges together visit O(bytes of distinct words) places.
#ifndef TACIT_TEXT_MERGING_H
#define TACIT_TEXT_MERGING_H

#include "text/word_counts.h"

#include <stdbool.h>

struct pair {
    uint64_t key;     // left << 32 | right
    int64_t count;    // weighted places where the two are neighbours now
    uint32_t *places; // where `left` starts
    uint32_t place_count, place_room;
    bool touched; // grew during the current merge
};

struct merging {
    uint32_t *symbols; // by place; `separator` between words
    uint32_t places;
    const struct word *words;
    uint32_t *starts, *word_at; // first place of each word (one more behind the last); word of every 64th place
    struct buffer lengths;      // uint32_t by id: its bytes
    struct pair *pairs;
    uint32_t pair_count, pair_room;
    uint32_t *slots; // index + 1 into pairs, 0: free
    uint64_t slot_count;
    struct buffer heap;    // candidates, best first
    struct buffer touched; // uint32_t: pairs that grew
};

// Spread out the words; ids of the 256 bytes as given. `words` must outlive the object.
int merging_new(struct merging *m, const struct word_counts *words, const uint32_t byte_id[256]);
void merging_release(struct merging *m);

// The pair with the highest count, among equals the smaller left, then right id; false where no pair is left.
bool merging_best(struct merging *m, uint32_t *left, uint32_t *right);
// Join every occurrence of the pair that merging_best gave into `result`, the next new id.
int merging_join(struct merging *m, uint32_t left, uint32_t right, uint32_t result);

#endif
