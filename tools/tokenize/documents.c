#include "tokenize/documents.h"
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "tokenize/byte_source.h"
#include "tokenize/long_line.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { READ_FIRST = 1 << 14, READ_MOST = 1 << 18 };

struct documents {
    struct documents_options options;
    struct byte_source *source; // NULL: of a long line
    struct long_line *line;     // made for the first
    struct documents *text;     // of the one that is under way
    struct buffer window;       // read and not yet handed out: from `begin`
    size_t begin, piece;        // bytes of the latest read, which grow: a small file has a small window
    size_t searched;            // bytes behind `begin` where no separator starts
    size_t tried;               // ... and where there is no place to cut
    bool at_end, over;          // of the input; of the documents
    bool inside;                // a piece of the document at `begin` was handed out
    uint64_t line_number;       // JSON lines: the latest
};

// ---- names ----

static bool ends_with(const char *path, const char *suffix) {
    size_t n = strlen(path), m = strlen(suffix);
    return n >= m && strcmp(path + n - m, suffix) == 0;
}

static bool is_named_json(const char *path) {
    static const char *const suffixes[] = {".jsonl",    ".jsonl.zst", ".jsonl.gz",   ".json.gz",
                                           ".json.zst", ".ndjson",    ".ndjson.zst", ".ndjson.gz"};
    for (size_t i = 0; path && i < sizeof suffixes / sizeof *suffixes; i++)
        if (ends_with(path, suffixes[i]))
            return true;
    return false;
}

bool documents_are_json(const struct documents_options *options, const char *path) {
    return options->unit == DOCUMENTS_JSON || (options->by_name && is_named_json(path));
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

int separator_parse(const char *option, const char *text, struct buffer *bytes) {
    static const char names[] = "abfnrtv\\", values[] = "\a\b\f\n\r\t\v\\";
    for (const char *t = text; *t;) {
        unsigned value = (unsigned char)*t++;
        if (value == '\\') {
            const char *named = *t ? strchr(names, *t) : NULL;
            int digits = *t == 'x' ? parse_digits(t + 1, 16, 2, &value) : parse_digits(t, 8, 3, &value);
            if (named)
                value = (unsigned char)values[named - names];
            else if (digits == 0 || value > 255)
                return error_set(ERROR_USAGE, "--%s '%s': unknown escape", option, text);
            t += named ? 1 : digits + (*t == 'x');
        }
        uint8_t byte = (uint8_t)value;
        int code = buffer_append(bytes, &byte, 1);
        if (code != OK)
            return code;
    }
    return bytes->size > 0 ? OK : error_set(ERROR_USAGE, "--%s: empty", option);
}

// ---- reading ----

// With room in the window; of a long line, where there is one.
static int make(struct documents **out, const struct documents_options *options, struct long_line *line) {
    struct documents *d = *out = memory_new(1, sizeof *d);
    if (!d)
        return ERROR_SYSTEM;
    d->options = *options;
    d->line = line;
    return buffer_reserve(&d->window, READ_FIRST);
}

int documents_open(struct documents **out, const char *path, const struct documents_options *options) {
    struct documents *d;
    int code = make(&d, options, NULL);
    if (code == OK) {
        if (documents_are_json(options, path))
            d->options.unit = DOCUMENTS_JSON;
        if (d->options.unit != DOCUMENTS_SEPARATOR) {
            d->options.separator = (const uint8_t *)"\n";
            d->options.separator_size = 1;
        }
        if (d->options.long_line == 0)
            d->options.long_line = DOCUMENTS_LONG_LINE;
        code = byte_source_open(&d->source, path);
    } else {
        error_prefix(code, "%s", input_name(path));
    }
    if (code != OK) {
        documents_close(d);
        d = NULL;
    }
    *out = d;
    return code;
}

void documents_close(struct documents *d) {
    if (!d)
        return;
    documents_close(d->text);
    if (d->source) {
        byte_source_close(d->source);
        long_line_free(d->line);
    }
    buffer_release(&d->window);
    free(d);
}

uint64_t documents_consumed(const struct documents *d) {
    return byte_source_consumed(d->source);
}

const char *documents_name(const struct documents *d) {
    return byte_source_name(d->source);
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
    size_t got = 0, want = w->size < d->piece ? d->piece : w->size;
    int code = buffer_reserve(w, want);
    if (code == OK && !d->source)
        code = long_line_read(d->line, w->data + w->size, want, &got);
    else if (code == OK)
        code = byte_source_read(d->source, w->data + w->size, want, &got);
    else if (d->source)
        error_prefix(code, "%s", byte_source_name(d->source));
    if (code != OK)
        return code;
    w->size += got;
    d->at_end = got < want;
    return OK;
}

// Hand `size` bytes out, and leave the separator behind them.
static void take(struct documents *d, struct piece *piece, size_t size, bool last, size_t separator) {
    *piece = (struct piece){.bytes = d->window.data + d->begin, .size = size, .first = !d->inside, .last = last};
    d->begin += size + separator;
    d->inside = !last;
    d->searched = d->searched > size && !last ? d->searched - size : 0;
    d->tried = 0;
}

// A long document's first part, where it may be cut: not where a separator may have begun.
static bool take_part(struct documents *d, struct piece *piece) {
    size_t size = d->options.unit == DOCUMENTS_FILE ? d->window.size - d->begin : d->searched;
    if (!d->options.cut || d->options.unit == DOCUMENTS_JSON || size < DOCUMENTS_PIECE)
        return false;
    size_t cut = d->options.cut(d->options.cut_context, d->window.data + d->begin, d->tried, size, d->inside);
    if (cut > 0)
        take(d, piece, cut, false, 0);
    else
        d->tried = size - 2;
    return cut > 0;
}

// The line at `begin` goes through the long line to its end, and its text is what comes next, unless it is blank.
static int parse_long_line(struct documents *d) {
    bool last = false;
    int code = d->line ? OK : long_line_new(&d->line, d->options.records);
    if (code != OK)
        return code;
    for (long_line_begin(d->line); code == OK && !last;) {
        const uint8_t *text = d->window.data + d->begin, *end;
        size_t size = d->window.size - d->begin, used;
        end = size > d->searched ? memchr(text + d->searched, '\n', size - d->searched) : NULL;
        last = end || d->at_end;
        code = long_line_add(d->line, text, end ? (size_t)(end - text) : size, last, &used);
        if (code != OK)
            error_prefix(code, "%s: line %" PRIu64, byte_source_name(d->source), d->line_number);
        d->begin += used + (end != NULL);
        d->searched = last ? 0 : size - used;
        if (code == OK && !last)
            code = read_more(d);
    }
    struct documents_options options = {
        .unit = DOCUMENTS_FILE, .cut = d->options.cut, .cut_context = d->options.cut_context};
    return code == OK && !long_line_blank(d->line) ? make(&d->text, &options, d->line) : code;
}

static int next_piece(struct documents *d, struct piece *piece, bool *got) {
    bool whole = d->options.unit == DOCUMENTS_FILE;
    size_t n = d->options.separator_size;
    *got = !d->over;
    while (!d->over) {
        const uint8_t *text = d->window.data + d->begin;
        size_t size = d->window.size - d->begin;
        const uint8_t *found = !whole && size - d->searched >= n
                                   ? memmem(text + d->searched, size - d->searched, d->options.separator, n)
                                   : NULL;
        if (found) {
            take(d, piece, (size_t)(found - text), true, n);
            return OK;
        }
        if (d->at_end) {
            d->over = true;
            *got = size > 0 || whole; // a file without text is an empty document
            take(d, piece, size, true, 0);
            return OK;
        }
        d->searched = size >= n ? size - n + 1 : 0;
        if (take_part(d, piece))
            return OK;
        if (d->options.unit == DOCUMENTS_JSON && d->options.records && size >= d->options.long_line) {
            *got = false;
            return parse_long_line(d);
        }
        int code = read_more(d);
        if (code != OK)
            return code;
    }
    return OK;
}

static bool is_blank(const struct piece *line) {
    for (size_t i = 0; i < line->size; i++)
        if (!isspace(line->bytes[i]))
            return false;
    return true;
}

// Of the text of a long line.
static int next_of_text(struct documents *d, struct piece *piece, bool *got) {
    int code = next_piece(d->text, piece, got);
    *got = *got && code == OK;
    piece->domain = long_line_domain(d->line);
    if (code == OK && !*got) {
        documents_close(d->text);
        d->text = NULL;
    }
    return code;
}

int documents_next(struct documents *d, struct piece *piece, bool *got) {
    const bool json = d->options.unit == DOCUMENTS_JSON;
    int code = OK;
    *got = false;
    while (code == OK && !*got && (d->text || !d->over)) {
        if (d->text) {
            code = next_of_text(d, piece, got);
            continue;
        }
        d->line_number++;
        code = next_piece(d, piece, got);
        piece->json = json;
        *got = code == OK && *got && !(json && is_blank(piece));
    }
    piece->line = d->line_number;
    return code;
}
