// Words of 64 bytes of ASCII at a time, for split.c: a bit for each byte, and the patterns as arithmetic on the
// bits.
#ifndef TACIT_TEXT_SPLIT_WINDOW_H
#define TACIT_TEXT_SPLIT_WINDOW_H

#include "text/split.h"

#include <stdbool.h>

enum { WINDOW = 64 };

// Bit i: a word starts at text[i], 0 < i < WINDOW. The text is WINDOW bytes of a longer one, text[0] starts a
// word. Only starts that no other byte could change are told, from before the first byte that is not ASCII;
// *whole: there is none, what lies behind the last start is the beginning of a word that is longer. For
// PATTERN_GPT2 to PATTERN_O200K.
uint64_t window_starts(enum text_pattern pattern, const uint8_t text[WINDOW], bool *whole);

#endif
