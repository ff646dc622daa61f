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

#endif
