// What a word is before any merge: the tokens of its bytes, or those of its characters.
#ifndef TACIT_TEXT_SYMBOLS_H
#define TACIT_TEXT_SYMBOLS_H

#include <stddef.h>
#include <stdint.h>

struct vocabulary;

// The tokens of single characters by code point (SYMBOLS_CHARACTERS): pages of 256, NULL where none has a token.
struct character_table;
int character_table_new(struct character_table **table, const struct vocabulary *v); // the pieces are indexed
void character_table_free(struct character_table *table);

// The symbols of a word, at most one per byte; how many. A character without a token is its bytes' tokens
// (byte_fallback) or the unknown token, a byte without one the unknown token; where there is none it is dropped. A
// malformed byte is a character of its own.
size_t word_symbols(const struct vocabulary *v, const uint8_t *word, size_t size, uint32_t *symbols);

#endif
