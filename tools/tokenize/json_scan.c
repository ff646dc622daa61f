#include "tokenize/json_scan.h"
#include "base/byte_vector.h"
#include "base/error.h"
#include "base/json.h"
#include "base/utf8.h"

#include <string.h>

// Less than jansson takes: what has more goes there.
enum { DEPTH_MOST = 16, NAMES_MOST = 64 };
enum { ESCAPE_MOST = 12, NUMBER_FITS = 18 }; // bytes; of a number without an exponent that jansson takes

struct name {
    const uint8_t *begin;
    size_t size;
};

struct scan {
    const uint8_t *at, *end;
    struct name names[NAMES_MOST]; // of the objects that are open
    int name_count, depth;
    struct json_member *members; // wanted, of the outermost object
    int member_count;
};

static void skip_space(struct scan *s) {
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\r' || *s->at == '\n'))
        s->at++;
}

static bool skip(struct scan *s, uint8_t byte) {
    skip_space(s);
    if (s->at == s->end || *s->at != byte)
        return false;
    s->at++;
    return true;
}

// ---- strings ----

// The first quote, backslash or control character at or behind `p`; `end`: there is none.
static const uint8_t *find_special(const uint8_t *p, const uint8_t *end) {
    for (; end - p >= BYTE_VECTOR; p += BYTE_VECTOR) {
        byte_vector v = byte_vector_load(p);
        uint64_t bits =
            byte_vector_bits((byte_vector)(v == '"') | (byte_vector)(v == '\\') | (byte_vector)(v < 0x20));
        if (bits)
            return p + __builtin_ctzll(bits);
    }
    while (p < end && *p >= 0x20 && *p != '"' && *p != '\\')
        p++;
    return p;
}

static int hex_value(uint8_t c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

// The four digits behind \u, or -1.
static int32_t read_hex(const uint8_t *p, const uint8_t *end) {
    int32_t value = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_value(p[i]);
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

// The code point of \uXXXX or \uXXXX\uXXXX at `p`, and its bytes; -1: half of a pair, or none.
static int32_t read_code_point(const uint8_t *p, const uint8_t *end, size_t *size) {
    int32_t value = read_hex(p + 2, end);
    *size = 6;
    if (value < 0xd800 || value > 0xdfff)
        return value;
    if (value > 0xdbff || end - p < 12 || p[6] != '\\' || p[7] != 'u')
        return -1;
    int32_t low = read_hex(p + 8, end);
    *size = 12;
    return low >= 0xdc00 && low <= 0xdfff ? 0x10000 + ((value - 0xd800) << 10) + (low - 0xdc00) : -1;
}

// The bytes of the escape at `p`, or 0.
static size_t escape_size(const uint8_t *p, const uint8_t *end) {
    size_t size = 2;
    if (end - p < 2)
        return 0;
    if (p[1] == 'u')
        return read_code_point(p, end, &size) >= 0 ? size : 0;
    return memchr("\"\\/bfnrt", p[1], 8) ? 2 : 0;
}

// At an opening quote; behind the closing one afterwards.
static bool scan_string(struct scan *s, struct json_member *string) {
    const uint8_t *p = s->at + 1, *end = s->end;
    *string = (struct json_member){.name = string->name, .begin = p};
    while ((p = find_special(p, end)) < end && *p == '\\') {
        size_t size = escape_size(p, end);
        if (size == 0)
            return false;
        string->escaped = true;
        p += size;
    }
    if (p == end || *p != '"')
        return false;
    string->size = (size_t)(p - string->begin);
    s->at = p + 1;
    return true;
}

bool json_scan_part(const uint8_t *text, size_t size, size_t *used, bool *closed) {
    const uint8_t *p = text, *end = p + size;
    size_t escape = 1;
    while (escape > 0 && (p = find_special(p, end)) < end && *p == '\\') {
        escape = escape_size(p, end);
        p += escape;
    }
    *closed = p < end && *p == '"';
    if (p == end) // a character may go on
        p -= json_utf8_open((const char *)text, size);
    else if (!*closed && (escape > 0 || end - p >= ESCAPE_MOST))
        return false;
    *used = (size_t)(p - text);
    return json_is_utf8((const char *)text, *used);
}

// Copy up to the next backslash, which `from` and `to` are moved to; `to` has room for a vector more.
static inline void copy_plain(const uint8_t **from, const uint8_t *end, uint8_t **to) {
    const uint8_t *p = *from;
    uint8_t *q = *to;
    for (; end - p >= BYTE_VECTOR; p += BYTE_VECTOR, q += BYTE_VECTOR) {
        byte_vector v = byte_vector_load(p);
        uint64_t bits = byte_vector_bits((byte_vector)(v == '\\'));
        memcpy(q, &v, sizeof v);
        if (bits) {
            *from = p + __builtin_ctzll(bits);
            *to = q + __builtin_ctzll(bits);
            return;
        }
    }
    while (p < end && *p != '\\')
        *q++ = *p++;
    *from = p;
    *to = q;
}

int json_unescape(struct buffer *out, const uint8_t *text, size_t size) {
    const uint8_t *p = text, *end = p + size;
    int code = buffer_reserve(out, size + BYTE_VECTOR); // escapes are longer than what they stand for
    if (code != OK || size == 0)
        return code;
    uint8_t *to = out->data + out->size;
    for (copy_plain(&p, end, &to); p < end; copy_plain(&p, end, &to)) {
        size_t used = 2;
        if (p[1] == 'u')
            to += utf8_write((uint32_t)read_code_point(p, end, &used), to);
        else
            *to++ = p[1] == 'n'   ? '\n'
                    : p[1] == 't' ? '\t'
                    : p[1] == 'r' ? '\r'
                    : p[1] == 'b' ? '\b'
                    : p[1] == 'f' ? '\f'
                                  : p[1];
        p += used;
    }
    out->size = (size_t)(to - out->data);
    return OK;
}

// ---- values ----

static size_t skip_digits(struct scan *s) {
    const uint8_t *begin = s->at;
    while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
        s->at++;
    return (size_t)(s->at - begin);
}

// A number as JSON's grammar has it, of any size: its value is nothing to us.
static bool scan_number(struct scan *s) {
    if (*s->at == '-')
        s->at++;
    bool zero = s->at < s->end && *s->at == '0';
    size_t digits = skip_digits(s);
    if (digits == 0 || (zero && digits > 1))
        return false;
    if (s->at < s->end && *s->at == '.') {
        s->at++;
        if (skip_digits(s) == 0)
            return false;
    }
    if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
        s->at++;
        if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
            s->at++;
        return skip_digits(s) > 0;
    }
    return true;
}

static bool is_scalar_byte(uint8_t c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '+' || c == '-' ||
           c == '.';
}

size_t json_scan_token(const uint8_t *text, size_t size) {
    size_t n = 0;
    while (n < size && is_scalar_byte(text[n]))
        n++;
    return n;
}

// Whether these bytes are a number, and one that may be too much for jansson.
static bool is_great(uint8_t *text, size_t size) {
    struct scan s = {.at = text, .end = text + size};
    bool small = size <= NUMBER_FITS && !memchr(text, 'e', size) && !memchr(text, 'E', size);
    return !small && scan_number(&s) && s.at == s.end;
}

bool json_shrink_numbers(uint8_t *text, size_t size) {
    struct scan s = {.at = text, .end = text + size};
    struct json_member string = {0};
    bool any = false;
    for (uint8_t *p = text; p < s.end; p = text + (s.at - text)) {
        size_t n = json_scan_token(p, (size_t)(s.end - p));
        if (*p == '"') {
            if (!scan_string(&s, &string))
                break;
            continue;
        }
        s.at += n > 0 ? n : 1;
        if (n > 0 && is_great(p, n)) {
            memset(p, ' ', n);
            *p = '0';
            any = true;
        }
    }
    return any;
}

static bool scan_word(struct scan *s, const char *word) {
    size_t n = strlen(word);
    if ((size_t)(s->end - s->at) < n || memcmp(s->at, word, n) != 0)
        return false;
    s->at += n;
    return true;
}

static bool scan_value(struct scan *s);

static bool scan_array(struct scan *s) {
    s->at++;
    if (skip(s, ']'))
        return true;
    do
        if (!scan_value(s))
            return false;
    while (skip(s, ','));
    return skip(s, ']');
}

// The member of this name, if it is wanted.
static struct json_member *find_wanted(struct scan *s, const struct name *name) {
    for (int i = 0; s->depth == 1 && i < s->member_count; i++) {
        const char *wanted = s->members[i].name;
        if (strncmp(wanted, (const char *)name->begin, name->size) == 0 && !wanted[name->size])
            return &s->members[i];
    }
    return NULL;
}

static bool scan_member(struct scan *s, int first) {
    struct json_member string = {0};
    skip_space(s);
    if (s->at == s->end || *s->at != '"' || !scan_string(s, &string) || string.escaped ||
        s->name_count == NAMES_MOST)
        return false;
    struct name *name = &s->names[s->name_count++];
    *name = (struct name){string.begin, string.size};
    for (struct name *other = s->names + first; other < name; other++)
        if (other->size == name->size && memcmp(other->begin, name->begin, name->size) == 0)
            return false;
    if (!skip(s, ':'))
        return false;
    struct json_member *wanted = find_wanted(s, name);
    if (!wanted)
        return scan_value(s);
    skip_space(s);
    if (s->at < s->end && *s->at == '"')
        return scan_string(s, wanted);
    return scan_word(s, "null");
}

static bool scan_object(struct scan *s) {
    int first = s->name_count;
    s->at++;
    if (skip(s, '}'))
        return true;
    do
        if (!scan_member(s, first))
            return false;
    while (skip(s, ','));
    s->name_count = first;
    return skip(s, '}');
}

static bool scan_value(struct scan *s) {
    struct json_member string = {0};
    bool good;
    skip_space(s);
    if (s->at == s->end || s->depth == DEPTH_MOST)
        return false;
    s->depth++;
    switch (*s->at) {
    case '"':
        good = scan_string(s, &string);
        break;
    case '{':
        good = scan_object(s);
        break;
    case '[':
        good = scan_array(s);
        break;
    case 't':
        good = scan_word(s, "true");
        break;
    case 'f':
        good = scan_word(s, "false");
        break;
    case 'n':
        good = scan_word(s, "null");
        break;
    default:
        good = scan_number(s);
    }
    s->depth--;
    return good;
}

bool json_scan_scalar(const uint8_t *text, size_t size) {
    struct scan s = {.at = text, .end = text + size};
    return scan_value(&s) && s.at == s.end;
}

bool json_scan(const uint8_t *text, size_t size, struct json_member *members, int count) {
    struct scan s = {.at = text, .end = text + size, .members = members, .member_count = count};
    for (int i = 0; i < count; i++)
        members[i] = (struct json_member){.name = members[i].name};
    skip_space(&s);
    if (s.at == s.end || *s.at != '{' || !scan_value(&s))
        return false;
    skip_space(&s);
    return s.at == s.end && json_is_utf8((const char *)text, size);
}
