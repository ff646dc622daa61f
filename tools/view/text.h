// Token sequences as text.
#ifndef TACIT_VIEW_TEXT_H
#define TACIT_VIEW_TEXT_H

#include "base/memory.h"
#include "stream/stream.h"

#include <stdbool.h>

struct vocabulary;

// The text of a sequence in one line, with the special tokens as they are named: C's escapes for line feeds, tabs,
// backslashes, control characters and bytes that are no UTF-8 (a character may be cut at either end). As JSON:
// what stands between the quotes of a string, with U+FFFD for bytes that are no UTF-8. ERROR_INPUT where a token
// is not in the vocabulary.
int view_print_text(struct buffer *out, const struct stream *s, const struct record *r, const struct vocabulary *v,
                    bool json);

#endif
