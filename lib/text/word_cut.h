// Places inside a long word of a BPE model where a token ends, whatever stands around. Cut there, both parts of
// the word have the tokens that they have in the whole.
#ifndef TACIT_TEXT_WORD_CUT_H
#define TACIT_TEXT_WORD_CUT_H

#include <stddef.h>
#include <stdint.h>

struct vocabulary;

// One such place below size - 1; 0: none was found where it was looked for. As vocabulary_cut() (cutting.h) has
// the text and `from`; the time is bounded by the vocabulary's longest token, for all but o200k's words by it
// alone. Words are those of byte-level patterns, or the text has none but U+2581's.
size_t word_cut(const struct vocabulary *v, const uint8_t *text, size_t from, size_t size);

#endif
