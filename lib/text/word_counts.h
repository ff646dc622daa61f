// How often each distinct word occurs: what learning a vocabulary keeps of its text.
#ifndef TACIT_TEXT_WORD_COUNTS_H
#define TACIT_TEXT_WORD_COUNTS_H

#include "base/memory.h"

struct word_counts {
    struct buffer bytes; // all distinct words behind each other, in the order of their first occurrence
    struct buffer words; // struct word
    uint32_t *slots;     // index + 1 into words, 0: free; open addressing
    uint64_t slot_count; // a power of two; at most half full
};

struct word {
    uint64_t begin, count; // first byte in `bytes`; occurrences
    uint64_t hash;
    uint32_t size;
};

int word_counts_add(struct word_counts *w, const uint8_t *word, size_t size); // one occurrence
void word_counts_release(struct word_counts *w);
static inline uint32_t word_counts_size(const struct word_counts *w) {
    return (uint32_t)(w->words.size / sizeof(struct word));
}

#endif
