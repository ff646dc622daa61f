#include "tokenize/json_scan.h"
#include "base/error.h"

#include <string.h>

// Less than jansson takes: what has more goes there.
enum { DEPTH_MOST = 16, NAMES_MOST = 64, DIGITS_MOST = 17, EXPONENT_DIGITS = 2 };

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

// Whether one of 8 bytes is below 0x20, above 0x7f, a quote or a backslash: Hacker's Delight's test for a zero
// byte.
static bool is_special(uint64_t bytes) {
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    uint64_t quote = bytes ^ ones * '"', slash = bytes ^ ones * '\\';
    return ((bytes | (bytes - ones * 0x20) | (quote - ones) | (slash - ones)) & high) != 0;
}

// One character above 0x7f, as json_is_utf8() takes it: its bytes, or 0.
static size_t character_size(const uint8_t *p, size_t left) {
    if (*p < 0xc2 || *p > 0xf4)
        return 0;
    size_t n = *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4;
    if (left < n)
        return 0;
    uint8_t low = *p == 0xe0 ? 0xa0 : *p == 0xf0 ? 0x90 : 0x80;  // not longer than need be,
    uint8_t most = *p == 0xed ? 0x9f : *p == 0xf4 ? 0x8f : 0xbf; // no surrogate, at most U+10FFFF
    if (p[1] < low || p[1] > most)
        return 0;
    for (size_t i = 2; i < n; i++)
        if (p[i] >> 6 != 2)
            return 0;
    return n;
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
    return strchr("\"\\/bfnrt", p[1]) && p[1] ? 2 : 0;
}

// At an opening quote; behind the closing one afterwards.
static bool scan_string(struct scan *s, struct json_member *string) {
    const uint8_t *p = s->at + 1, *end = s->end;
    *string = (struct json_member){.name = string->name, .begin = p};
    for (;;) {
        uint64_t bytes;
        while (end - p >= 8 && (memcpy(&bytes, p, 8), !is_special(bytes)))
            p += 8;
        while (p < end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\')
            p++;
        if (p == end || *p < 0x20)
            return false;
        if (*p == '"')
            break;
        size_t size = *p == '\\' ? escape_size(p, end) : character_size(p, (size_t)(end - p));
        if (size == 0)
            return false;
        string->escaped = string->escaped || *p == '\\';
        p += size;
        // Text of one script goes on in it.
        while (p < end && *p >= 0x80) {
            size = character_size(p, (size_t)(end - p));
            if (size == 0)
                return false;
            p += size;
        }
    }
    string->size = (size_t)(p - string->begin);
    s->at = p + 1;
    return true;
}

int json_unescape(struct buffer *out, const struct json_member *member) {
    static const char names[] = "bfnrt", values[] = "\b\f\n\r\t";
    const uint8_t *p = member->begin, *end = p + member->size;
    int code = buffer_reserve(out, member->size); // escapes are longer than what they stand for
    if (code != OK || member->size == 0)
        return code;
    uint8_t *to = out->data + out->size;
    while (p < end) {
        const uint8_t *escape = memchr(p, '\\', (size_t)(end - p));
        size_t plain = (size_t)((escape ? escape : end) - p), size = 2;
        memcpy(to, p, plain);
        to += plain;
        p += plain;
        if (!escape)
            break;
        if (p[1] != 'u') {
            const char *named = strchr(names, p[1]);
            *to++ = named ? (uint8_t)values[named - names] : p[1];
        } else {
            uint32_t value = (uint32_t)read_code_point(p, end, &size);
            if (value < 0x80) {
                *to++ = (uint8_t)value;
            } else {
                int more = value < 0x800 ? 1 : value < 0x10000 ? 2 : 3;
                *to++ = (uint8_t)((0xff00u >> (more + 1)) | value >> 6 * more);
                for (int i = more - 1; i >= 0; i--)
                    *to++ = (uint8_t)(0x80 | (value >> 6 * i & 0x3f));
            }
        }
        p += size;
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

// Numbers that fit in jansson's integers and doubles whatever they are.
static bool scan_number(struct scan *s) {
    if (*s->at == '-')
        s->at++;
    bool zero = s->at < s->end && *s->at == '0';
    size_t digits = skip_digits(s);
    if (digits == 0 || digits > DIGITS_MOST || (zero && digits > 1))
        return false;
    if (s->at < s->end && *s->at == '.') {
        s->at++;
        digits = skip_digits(s);
        if (digits == 0 || digits > 10 * DIGITS_MOST)
            return false;
    }
    if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
        s->at++;
        if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
            s->at++;
        digits = skip_digits(s);
        return digits > 0 && digits <= EXPONENT_DIGITS;
    }
    return true;
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

bool json_scan(const uint8_t *text, size_t size, struct json_member *members, int count) {
    struct scan s = {.at = text, .end = text + size, .members = members, .member_count = count};
    for (int i = 0; i < count; i++)
        members[i] = (struct json_member){.name = members[i].name};
    skip_space(&s);
    if (s.at == s.end || *s.at != '{' || !scan_value(&s))
        return false;
    skip_space(&s);
    return s.at == s.end;
}
