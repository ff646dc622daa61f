#include "tokenize/documents.h"
#include "base/error.h"
#include "base/json.h"
#include "base/memory.h"
#include "tokenize/byte_source.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { READ_FIRST = 1 << 14, READ_MOST = 1 << 20 };

struct documents {
    struct documents_options options;
    struct byte_source *source;
    struct buffer window; // read and not yet handed out: from `begin`
    size_t begin, piece;  // bytes of the latest read, which grow: a small file has a small window
    bool at_end;
    uint64_t line; // JSON lines: of the latest record
    json_t *record;
};

// ---- names ----

static bool ends_with(const char *path, const char *suffix) {
    size_t n = strlen(path), m = strlen(suffix);
    return n >= m && strcmp(path + n - m, suffix) == 0;
}

static bool is_json_lines(const char *path) {
    static const char *const suffixes[] = {".jsonl",    ".jsonl.zst", ".jsonl.gz",   ".json.gz",
                                           ".json.zst", ".ndjson",    ".ndjson.zst", ".ndjson.gz"};
    for (size_t i = 0; path && i < sizeof suffixes / sizeof *suffixes; i++)
        if (ends_with(path, suffixes[i]))
            return true;
    return false;
}

// ---- separators ----

static int digit_value(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : 99;
}

// Digits of a base, at most `most` of them; the number of digits, or 0.
static int parse_digits(const char *text, int base, int most, unsigned *value) {
    int n = 0;
    *value = 0;
    for (; n < most && digit_value(text[n]) < base; n++)
        *value = *value * (unsigned)base + (unsigned)digit_value(text[n]);
    return n;
}

int separator_parse(const char *text, struct buffer *bytes) {
    static const char names[] = "abfnrtv\\", values[] = "\a\b\f\n\r\t\v\\";
    for (const char *t = text; *t;) {
        unsigned value = (unsigned char)*t++;
        if (value == '\\') {
            const char *named = *t ? strchr(names, *t) : NULL;
            int digits = *t == 'x' ? parse_digits(t + 1, 16, 2, &value) : parse_digits(t, 8, 3, &value);
            if (named)
                value = (unsigned char)values[named - names];
            else if (digits == 0 || value > 255)
                return error_set(ERROR_USAGE, "--separator '%s': unknown escape", text);
            t += named ? 1 : digits + (*t == 'x');
        }
        uint8_t byte = (uint8_t)value;
        int code = buffer_append(bytes, &byte, 1);
        if (code != OK)
            return code;
    }
    return bytes->size > 0 ? OK : error_set(ERROR_USAGE, "--separator: empty");
}

// ---- reading ----

int documents_open(struct documents **out, const char *path, const struct documents_options *options) {
    *out = NULL;
    struct documents *d = memory_new(1, sizeof *d);
    if (!d)
        return ERROR_SYSTEM;
    d->options = *options;
    if (options->by_name && is_json_lines(path))
        d->options.unit = DOCUMENTS_JSON;
    if (d->options.unit != DOCUMENTS_SEPARATOR) {
        d->options.separator = (const uint8_t *)"\n";
        d->options.separator_size = 1;
    }
    int code = byte_source_open(&d->source, path);
    if (code == OK && (code = buffer_reserve(&d->window, READ_FIRST)) != OK)
        error_prefix(code, "%s", byte_source_name(d->source));
    if (code != OK) {
        documents_close(d);
        return code;
    }
    *out = d;
    return OK;
}

void documents_close(struct documents *d) {
    if (!d)
        return;
    json_decref(d->record);
    byte_source_close(d->source);
    buffer_release(&d->window);
    free(d);
}

uint64_t documents_consumed(const struct documents *d) {
    return byte_source_consumed(d->source);
}

// Put more text behind the window; what was handed out leaves it.
static int read_more(struct documents *d) {
    struct buffer *w = &d->window;
    if (d->begin > 0) {
        memmove(w->data, w->data + d->begin, w->size - d->begin);
        w->size -= d->begin;
        d->begin = 0;
    }
    d->piece = d->piece == 0 ? READ_FIRST : d->piece < READ_MOST ? 2 * d->piece : READ_MOST;
    size_t got, want = w->size < d->piece ? d->piece : w->size;
    int code = buffer_reserve(w, want);
    if (code == OK)
        code = byte_source_read(d->source, w->data + w->size, want, &got);
    else
        error_prefix(code, "%s", byte_source_name(d->source));
    if (code != OK)
        return code;
    w->size += got;
    d->at_end = got < want;
    return OK;
}

static int next_file(struct documents *d, struct document *document, bool *got) {
    *got = !d->at_end;
    while (!d->at_end) {
        int code = read_more(d);
        if (code != OK)
            return code;
    }
    *document = (struct document){.text = d->window.data, .size = d->window.size};
    return OK;
}

static int next_piece(struct documents *d, struct document *document, bool *got) {
    size_t n = d->options.separator_size, searched = 0; // bytes behind `begin` where no separator starts
    for (;;) {
        const uint8_t *text = d->window.data + d->begin;
        size_t size = d->window.size - d->begin;
        const uint8_t *found =
            size - searched >= n ? memmem(text + searched, size - searched, d->options.separator, n) : NULL;
        if (found || (d->at_end && size > 0)) {
            *got = true;
            *document = (struct document){.text = text, .size = found ? (size_t)(found - text) : size};
            d->begin += document->size + (found ? n : 0);
            return OK;
        }
        if (d->at_end) {
            *got = false;
            return OK;
        }
        searched = size >= n ? size - n + 1 : 0;
        int code = read_more(d);
        if (code != OK)
            return code;
    }
}

static bool is_blank(const struct document *line) {
    for (size_t i = 0; i < line->size; i++)
        if (!isspace(line->text[i]))
            return false;
    return true;
}

static int parse_record(struct documents *d, const struct document *line, struct document *document) {
    const struct documents_options *o = &d->options;
    json_decref(d->record);
    int code = json_parse(&d->record, (const char *)line->text, line->size);
    if (code == OK && !json_is_object(d->record))
        code = error_set(ERROR_INPUT, "not a JSON object");
    const json_t *text = code == OK ? json_object_get(d->record, o->field) : NULL;
    if (code == OK && !json_is_string(text))
        code = error_set(ERROR_INPUT, "key '%s': %s", o->field, text ? "not a string" : "missing");
    if (code != OK)
        return code;
    *document =
        (struct document){.text = (const uint8_t *)json_string_value(text), .size = json_string_length(text)};
    return o->domain_field ? json_get_string(d->record, o->domain_field, true, &document->domain) : OK;
}

static int next_record(struct documents *d, struct document *document, bool *got) {
    struct document line;
    int code;
    do {
        code = next_piece(d, &line, got);
        d->line++;
    } while (code == OK && *got && is_blank(&line));
    if (code != OK || !*got)
        return code;
    code = parse_record(d, &line, document);
    if (code == OK)
        return OK;
    // The JSON reader counts lines within the record, which has one.
    static const char first[] = "line 1: ";
    const char *message = error_message();
    char *cause = string_copy(strncmp(message, first, strlen(first)) == 0 ? message + strlen(first) : message);
    if (!cause)
        return ERROR_SYSTEM;
    error_set(code, "%s: line %llu: %s", byte_source_name(d->source), (unsigned long long)d->line, cause);
    free(cause);
    return code;
}

int documents_next(struct documents *d, struct document *document, bool *got) {
    *got = false;
    switch (d->options.unit) {
    case DOCUMENTS_FILE:
        return next_file(d, document, got);
    case DOCUMENTS_JSON:
        return next_record(d, document, got);
    default:
        return next_piece(d, document, got);
    }
}
