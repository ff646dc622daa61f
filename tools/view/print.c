#include "print.h"
#include "text.h"

#include "base/error.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PIECE = 256, NUMBER_SIZE = 24 };

// Behind id and domain.
static const char *const column_names[] = {"predicted", "bytes", "first",      "group",
                                           "choice",    "gold",  "norm_length"};
enum { MORE_COLUMNS = sizeof column_names / sizeof *column_names };

static void column_values(const struct record *r, uint32_t values[MORE_COLUMNS]) {
    const uint32_t all[MORE_COLUMNS] = {r->predicted, r->bytes, r->first,      r->group,
                                        r->choice,    r->gold,  r->norm_length};
    memcpy(values, all, sizeof all);
}

static const char *payload_name(const struct stream_header *h, const struct view_style *style) {
    if (style->vocabulary)
        return "text";
    if (h->kind != STREAM_ASSIGNMENT)
        return stream_kind_name(h->kind);
    return h->topk == 1 ? "expert" : "experts";
}

int view_print_names(struct buffer *out, const struct stream_header *h, const struct view_style *style) {
    int code = buffer_append_string(out, "id\tdomain\t");
    for (int c = 0; code == OK && style->columns && c < MORE_COLUMNS; c++)
        code = buffer_append_format(out, "%s\t", column_names[c]);
    if (code == OK)
        code = buffer_append_format(out, "%s%s\n", payload_name(h, style), h->topk > 1 ? "\tweights" : "");
    return code;
}

// ---- elements ----

// Elements as text with `between` between them, or rows of `row` elements with `between_rows` between them.
struct layout {
    const char *between, *between_rows;
    uint32_t row; // 0: no rows
    bool json;
};

static int separate(struct buffer *out, const struct layout *l, uint32_t i) {
    if (i == 0)
        return OK;
    return buffer_append_string(out, l->row > 0 && i % l->row == 0 ? l->between_rows : l->between);
}

static int print_integers(struct buffer *out, const uint32_t *values, uint32_t n, uint32_t begin,
                          const struct layout *l) {
    int code = buffer_reserve(out, (size_t)n * NUMBER_SIZE);
    for (uint32_t i = 0; code == OK && i < n; i++) {
        code = separate(out, l, begin + i);
        if (code == OK)
            code = buffer_append_format(out, "%" PRIu32, values[i]);
    }
    return code;
}

static int print_float(struct buffer *out, float value, const struct layout *l) {
    if (isinf(value))
        return buffer_append_string(out, l->json ? "\"-inf\"" : "-inf");
    return buffer_append_format(out, "%.9g", (double)value);
}

static int print_payload(struct buffer *out, const struct stream_header *h, const struct record *r,
                         const struct layout *l) {
    uint32_t integers[PIECE];
    float floats[PIECE];
    int code = OK;
    for (uint32_t begin = 0; code == OK && begin < r->count; begin += PIECE) {
        uint32_t n = r->count - begin < PIECE ? r->count - begin : PIECE;
        if (h->kind == STREAM_TOKENS) {
            record_tokens(h, r, begin, n, integers);
            code = print_integers(out, integers, n, begin, l);
            continue;
        }
        record_floats(h, r, begin, n, floats);
        for (uint32_t i = 0; code == OK && i < n; i++) {
            code = separate(out, l, begin + i);
            if (code == OK)
                code = print_float(out, floats[i], l);
        }
    }
    return code;
}

// The experts of an assignment, then (K > 1) `middle` and their log-weights.
static int print_assignment(struct buffer *out, const struct stream_header *h, const struct record *r,
                            const char *middle, const struct layout *l) {
    int code = OK;
    for (uint32_t k = 0; code == OK && k < h->topk; k++) {
        uint32_t expert = record_expert(h, r, k);
        code = print_integers(out, &expert, 1, k, l);
    }
    if (code == OK && h->topk > 1)
        code = buffer_append_string(out, middle);
    for (uint32_t k = 0; code == OK && h->topk > 1 && k < h->topk; k++) {
        code = separate(out, l, k);
        if (code == OK)
            code = print_float(out, record_expert_weight(h, r, k), l);
    }
    return code;
}

// ---- lines ----

static int print_tsv(struct buffer *out, const struct stream *s, const struct record *r,
                     const struct view_style *style) {
    const struct stream_header *h = stream_header(s);
    struct layout l = {.between = " ", .between_rows = ";", .row = h->per_position ? h->experts : 0};
    uint32_t values[MORE_COLUMNS];
    column_values(r, values);
    int code = buffer_append_format(out, "%" PRIu64 "\t%s\t", r->id, stream_domain(s, r->domain));
    for (int c = 0; code == OK && style->columns && c < MORE_COLUMNS; c++)
        code = buffer_append_format(out, "%" PRIu32 "\t", values[c]);
    if (code == OK && style->vocabulary)
        code = view_print_text(out, s, r, style->vocabulary, false);
    else if (code == OK)
        code = h->kind == STREAM_ASSIGNMENT ? print_assignment(out, h, r, "\t", &l) : print_payload(out, h, r, &l);
    return code == OK ? buffer_append_string(out, "\n") : code;
}

// A domain name has no control characters, so only these two need an escape.
static int print_string(struct buffer *out, const char *text) {
    int code = buffer_append_string(out, "\"");
    for (; code == OK && *text; text++) {
        if (*text == '"' || *text == '\\')
            code = buffer_append_string(out, "\\");
        if (code == OK)
            code = buffer_append(out, text, 1);
    }
    return code == OK ? buffer_append_string(out, "\"") : code;
}

static int print_json(struct buffer *out, const struct stream *s, const struct record *r,
                      const struct view_style *style) {
    const struct stream_header *h = stream_header(s);
    struct layout l = {
        .between = ",", .between_rows = "],[", .row = h->per_position ? h->experts : 0, .json = true};
    uint32_t values[MORE_COLUMNS];
    bool list = h->kind != STREAM_ASSIGNMENT || h->topk > 1;
    bool rows = h->per_position && r->count > 0;
    column_values(r, values);
    int code = buffer_append_format(out, "{\"id\":%" PRIu64 ",\"domain\":", r->id);
    if (code == OK)
        code = print_string(out, stream_domain(s, r->domain));
    for (int c = 0; code == OK && style->columns && c < MORE_COLUMNS; c++)
        code = buffer_append_format(out, ",\"%s\":%" PRIu32, column_names[c], values[c]);
    if (code == OK && style->vocabulary) {
        code = buffer_append_string(out, ",\"text\":\"");
        if (code == OK)
            code = view_print_text(out, s, r, style->vocabulary, true);
        return code == OK ? buffer_append_string(out, "\"}\n") : code;
    }
    if (code == OK)
        code = buffer_append_format(out, ",\"%s\":%s%s", payload_name(h, style), list ? "[" : "", rows ? "[" : "");
    if (code == OK)
        code = h->kind == STREAM_ASSIGNMENT ? print_assignment(out, h, r, "],\"weights\":[", &l)
                                            : print_payload(out, h, r, &l);
    return code == OK ? buffer_append_format(out, "%s%s}\n", rows ? "]" : "", list ? "]" : "") : code;
}

int view_print_record(struct buffer *out, const struct stream *s, const struct record *r,
                      const struct view_style *style) {
    return style->json ? print_json(out, s, r, style) : print_tsv(out, s, r, style);
}
