// NFC, Unicode's composed form (Unicode Standard, section 3.11), as Hugging Face tokenizers 0.23 have it: of
// Unicode 12.1, pinned in lib/text/nfc_tables.h, whatever release the splitting goes by.
#ifndef TACIT_TEXT_NORMALIZE_NFC_H
#define TACIT_TEXT_NORMALIZE_NFC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer;

// *changed: the text in NFC is in `out` (what it held is gone). Else it was in NFC already and `out` is untouched.
// A byte that starts no well-formed sequence (split.h) stays as it is; no mark joins it or passes over it.
int normalize_nfc(const uint8_t *text, size_t size, struct buffer *out, bool *changed);

// Whether a text may be cut in front of the character, and both parts come out as they do in the whole: it begins
// no mark, and joins nothing before it; and it is in NFC itself. Not all such characters are known: all below the
// first marks, Cyrillic letters, kana without their voice marks, the unified ideographs, the syllables of Hangul,
// pictographs.
static inline bool normalize_nfc_begins(uint32_t c) {
    return c < 0x300 || (c >= 0x400 && c <= 0x482) || (c >= 0x48a && c <= 0x52f) ||
           (c >= 0x1f300 && c <= 0x1faff) || (c >= 0x3001 && c <= 0x3002) || (c >= 0x3041 && c <= 0x3096) ||
           (c >= 0x30a1 && c <= 0x30fa) || (c >= 0x4e00 && c <= 0x9fff) || (c >= 0xac00 && c <= 0xd7a3);
}

#endif
