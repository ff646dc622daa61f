// SentencePiece's normalizer: a compiled map from strings to strings (precompiled_charsmap: Unicode's NFKC, case
// folding, control characters), then its rules for white space.
//
// The map is applied from left to right: a user-defined symbol stays as it is; else the longest rule that matches;
// else the character. A byte that belongs to no well-formed character becomes U+FFFD, as it does in SentencePiece:
// equal ids come before getting such bytes back, and its vocabularies do not give the text back to the byte
// anyway. What comes out is well-formed UTF-8. NUL is a character.
#ifndef TACIT_TEXT_NORMALIZE_SENTENCEPIECE_H
#define TACIT_TEXT_NORMALIZE_SENTENCEPIECE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer;
struct vocabulary;

// Check the vocabulary's charsmap and make what normalizing needs; its user-defined symbols are there by then.
// ERROR_INPUT with the offset in the charsmap: a damaged one, and by name one that we do not take (rules of more
// than 255 bytes on either side).
int normalize_sentencepiece_prepare(struct vocabulary *v);

// Append the normalized text of a whole document to `out`; of one that goes on, of its next part.
int normalize_sentencepiece(const struct vocabulary *v, const uint8_t *text, size_t size, bool goes_on,
                            struct buffer *out);

// Whether text[begin..end), a character of more text up to `size`, stays as it is whatever stands around it and
// follows: no rule or symbol begins with it, holds it or might. Time is in proportion to the longest of them.
bool normalize_sentencepiece_keeps(const struct vocabulary *v, const uint8_t *text, size_t begin, size_t size);

#endif
