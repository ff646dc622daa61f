// SentencePiece's models (.model): a protobuf message with the pieces, how they were learned and how text is
// normalized. BPE and unigram models, with and without byte fallback; ids as the library 0.2 gives them.
//
// One difference: where a BPE model normalizes nothing but spaces and has byte fallback (Llama 2), bytes that are
// not UTF-8 become their own tokens and come back; the library makes U+FFFD of them, as we do with all other
// models.
#ifndef TACIT_TEXT_SENTENCEPIECE_H
#define TACIT_TEXT_SENTENCEPIECE_H

#include <stddef.h>
#include <stdint.h>

struct vocabulary;

// Fill a fresh vocabulary, which the caller seals. ERROR_INPUT with the byte's offset and the field: a damaged
// file, and by name what is not implemented (word and character models, white space as a suffix, a denormalizer).
int sentencepiece_read(struct vocabulary *v, const uint8_t *data, size_t size);

#endif
