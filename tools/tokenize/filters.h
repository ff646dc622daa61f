// Filters: which documents OLMoE leaves out of its corpus (arXiv 2409.02060, section 2).
#ifndef TACIT_TOKENIZE_FILTERS_H
#define TACIT_TOKENIZE_FILTERS_H

#include "base/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// An n-gram of 1 to 13 tokens that is repeated 32 times or more, one right behind the other. The time is linear.
enum { REPEATS_LEAST = 32, REPEATS_GRAM = 13 };
enum { REPEATS_SPAN = REPEATS_LEAST * REPEATS_GRAM }; // tokens that show any of them
bool ids_repeat(const uint32_t *ids, size_t count);

// Words are runs of bytes that are not ASCII's white space. Two passes over the document, in pieces of any size:
// the first keeps the words that may be more than a fifth of all, the second counts those. Both are linear, and
// hold four words whatever the document.
enum { FREQUENT_WORDS = 4 };
struct frequency {
    struct {
        struct digest word;
        uint64_t count;
    } words[FREQUENT_WORDS];
    uint64_t total;      // words of the document
    bool counting;       // the second pass
    bool inside;         // of a word that the next piece may go on with
    XXH3_state_t *state; // of it
};
int frequency_init(struct frequency *f);
void frequency_release(struct frequency *f);
void frequency_start(struct frequency *f); // the first pass over a document
void frequency_add(struct frequency *f, const uint8_t *text, size_t size);
void frequency_again(struct frequency *f); // the second pass
// Whether the most frequent word is over 30% of all, or the two most frequent ones over 50%.
bool frequency_is_high(struct frequency *f);

#endif
