// How often each distinct word occurs: what learning a vocabulary keeps of its text. The words are dealt out to
// shards by their hash, so that threads count side by side and a shard's table grows by little at a time.
#ifndef TACIT_TEXT_WORD_COUNTS_H
#define TACIT_TEXT_WORD_COUNTS_H

#include "base/memory.h"
#include "base/threads.h"
#include "text/split.h"

#include <stdbool.h>

enum { WORD_SHARD_BITS = 6, WORD_SHARDS = 1 << WORD_SHARD_BITS };

struct word {
    uint32_t begin, size; // in the shard's bytes
    uint64_t count;
};

struct word_shard {
    struct buffer bytes; // distinct words behind each other
    struct buffer words; // struct word
    uint64_t *slots;     // half a hash << 32 | index + 1 into words, 0: free; open addressing
    uint64_t slot_count; // a power of two
    int code;
};

struct word_counts {
    struct threads *pool;
    enum text_pattern pattern;
    bool characters; // words as in characters.h, whatever the pattern
    struct word_shard shards[WORD_SHARDS];
    struct buffer batch;       // documents that wait to be counted
    struct buffer pieces;      // struct word_piece: what to count
    struct piece_words *found; // by piece
    size_t found_room;
};

// One document, which is counted at once or by word_counts_flush.
int word_counts_add(struct word_counts *w, const uint8_t *text, size_t size);
int word_counts_flush(struct word_counts *w);
void word_counts_release(struct word_counts *w);

uint64_t word_counts_size(const struct word_counts *w);  // distinct words
uint64_t word_counts_bytes(const struct word_counts *w); // theirs
// All words in descending order of their counts, as numbers; free() it.
int word_counts_sort(const struct word_counts *w, uint32_t **order);

// A word by its number.
static inline const struct word *word_counts_word(const struct word_counts *w, uint32_t number,
                                                  const uint8_t **bytes) {
    const struct word_shard *shard = &w->shards[number % WORD_SHARDS];
    const struct word *word = (const struct word *)shard->words.data + (number >> WORD_SHARD_BITS);
    *bytes = shard->bytes.data + word->begin;
    return word;
}

#endif
