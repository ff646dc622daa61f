// Places inside a long word of a BPE model where a token ends, whatever follows. Cut there, both parts of the word
// have the tokens that they have in the whole.
#ifndef TACIT_TEXT_WORD_CUT_H
#define TACIT_TEXT_WORD_CUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vocabulary;

// One such place below size - 1; 0: none was found where it was looked for. As vocabulary_cut() (cutting.h) has
// the text, `from` and `goes_on`. Words are those of a byte-level pattern, or begin at U+2581 at most. Time is in
// proportion to the size.
size_t word_cut(const struct vocabulary *v, const uint8_t *text, size_t from, size_t size, bool goes_on);

#endif
