// Cutting long texts, so that the ids of the parts, one behind the other, are the ids of the whole.
#ifndef TACIT_TEXT_CUTTING_H
#define TACIT_TEXT_CUTTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vocabulary;

// A place below size - 1, whatever follows text[0..size): the last border of words above `from`, or where there is
// none another one, maybe inside a word. 0 where none is known. The text begins where a document does or where it
// was cut, as `goes_on` says. `from`: that none was known when the text was known up to there; 0 at first. All
// parts but the first are to be encoded behind encoder_continue().
size_t vocabulary_cut(const struct vocabulary *v, const uint8_t *text, size_t from, size_t size, bool goes_on);

// The same for unigram models, too, whose sums of scores go on over the whole text. Where
// vocabulary_needs_order(), the parts are to be encoded in order by one encoder.
size_t vocabulary_cut_in_order(const struct vocabulary *v, const uint8_t *text, size_t from, size_t size,
                               bool goes_on);
bool vocabulary_needs_order(const struct vocabulary *v);

#endif
