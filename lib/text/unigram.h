// Unigram models (Kudo 2018): a text is cut into the pieces with the highest sum of scores, as SentencePiece 0.2
// does it.
//
// The sums are its own, too: single precision, from the beginning of the text, and near 0 again where they passed
// 100,000; among equal sums the piece that begins first is taken. Where two ways to cut a word are close, which
// one wins depends on how far the sum has come, so a word is taken from the cache only where its best cut leads by
// more than rounding can take away at the present sum; else it is computed at that sum. Ids are therefore
// SentencePiece's for any text, and not a function of each word alone.
#ifndef TACIT_TEXT_UNIGRAM_H
#define TACIT_TEXT_UNIGRAM_H

#include <stddef.h>
#include <stdint.h>

struct buffer;
struct vocabulary;

// Of a vocabulary whose tokens, scores (float by id; NAN: the piece is never produced) and score of an unknown
// character are there; special tokens take no part. The scores are borrowed. ERROR_INPUT: more pieces than a trie
// can hold.
struct unigram_model;
int unigram_model_new(struct unigram_model **m, const struct vocabulary *v);
void unigram_model_free(struct unigram_model *m);

// One thread's scratch and cache.
struct unigram;
int unigram_new(struct unigram **u, const struct vocabulary *v);
void unigram_free(struct unigram *u);

// A text begins; then the whole of it, normalized, well-formed UTF-8, at once or in pieces that end where no piece
// of the vocabulary crosses. Its ids are appended; nothing is read from `text_end` on, which is behind the text or
// further. Time is in proportion to the size times that of the longest piece, memory 8 bytes per byte of the
// longest stretch that pieces might cross.
void unigram_begin(struct unigram *u);
int unigram_add(struct unigram *u, const uint8_t *text, size_t size, const uint8_t *text_end, struct buffer *ids);

#endif
