// Text as a vocabulary in SentencePiece's style learns from it: ' ' is U+2581, with one more in front of the text,
// and words are cut where SentencePiece lets no piece go across: in front of a U+2581 behind another character,
// around every digit and line feed, and between letters (with their marks), white space and everything else.
//
// Whether two neighbours belong to one word follows from these two alone. So no merge learned within words ever
// joins across a border of words, and a text that is encoded without cutting it has the same tokens.
#ifndef TACIT_TEXT_CHARACTERS_H
#define TACIT_TEXT_CHARACTERS_H

#include "base/memory.h"

#include <stdbool.h>

enum { META_SPACE_CODE_POINT = 0x2581, CODE_POINTS = 0x110000 };

struct word_counts;

// Replace the spaces of text[begin..end); `first`: with a U+2581 in front. Appends to `out`.
int characters_escape(const uint8_t *text, size_t begin, size_t end, bool first, struct buffer *out);
// The end of the word at `begin`. *dropped: a line feed or a malformed byte, which no vocabulary has a character
// for.
size_t characters_word_end(const uint8_t *text, size_t size, size_t begin, bool *dropped);

// The characters that a vocabulary has: the most frequent ones (ties: the smaller code point), until they make up
// `coverage` of all characters of the words; U+2581 always.
struct alphabet {
    uint32_t *codes; // ascending
    uint32_t count;
};
int alphabet_choose(struct alphabet *a, const struct word_counts *words, double coverage);
void alphabet_release(struct alphabet *a);

#endif
