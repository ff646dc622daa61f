// Records as text: tab-separated lines, or one JSON object per line.
#ifndef TACIT_VIEW_PRINT_H
#define TACIT_VIEW_PRINT_H

#include "base/memory.h"
#include "stream/stream.h"

struct vocabulary;

struct view_style {
    bool json, columns;                  // columns: every column, not only id and domain
    const struct vocabulary *vocabulary; // of token streams: text is printed, not ids; NULL: ids
};

// The line of column names (TSV).
int view_print_names(struct buffer *out, const struct stream_header *h, const struct view_style *style);
// One line for record r of s. Floats have 9 significant digits, which is enough to read them back; -inf is -inf,
// in JSON the string "-inf".
int view_print_record(struct buffer *out, const struct stream *s, const struct record *r,
                      const struct view_style *style);

#endif
