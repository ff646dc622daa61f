// Cutting long texts, so that the ids of the parts, one behind the other, are the ids of the whole.
#ifndef TACIT_TEXT_CUTTING_H
#define TACIT_TEXT_CUTTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vocabulary;

// The last such place above `from` and below size - 1, whatever follows text[0..size) and whatever came before it;
// 0 where none is known: the text has none of the usual borders of words there, or the vocabulary knows no
// borders.
size_t vocabulary_cut(const struct vocabulary *v, const uint8_t *text, size_t from, size_t size);
// So many bytes at the start of every part but the first are not to be encoded: a scheme that puts a space in
// front of every text does so for them.
size_t vocabulary_cut_skip(const struct vocabulary *v);

// The same for unigram models, too, whose sums of scores go on over the whole text. Where
// vocabulary_needs_order(), the parts are to be encoded in order by one encoder, all but the first behind
// encoder_continue().
size_t vocabulary_cut_in_order(const struct vocabulary *v, const uint8_t *text, size_t from, size_t size);
bool vocabulary_needs_order(const struct vocabulary *v);

#endif
