// UTF-8, inlined where text is read character by character.
#ifndef TACIT_BASE_UTF8_H
#define TACIT_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The character of several bytes at `at`: its code point, `next` behind it; or false, `next` behind one byte: none
// starts well-formed there (Unicode Standard, table 3-7: no overlong forms, no surrogates, nothing above
// U+10FFFF).
static inline __attribute__((always_inline)) bool utf8_read(const uint8_t *text, size_t size, size_t at,
                                                            uint32_t *c, size_t *next) {
    const uint8_t *s = text + at;
    const size_t left = size - at;
    *next = at + 1;
    if (left < 2 || s[0] < 0xc2 || s[0] > 0xf4 || (s[1] & 0xc0) != 0x80)
        return false;
    if (s[0] < 0xe0) {
        *c = (s[0] & 0x1fu) << 6 | (s[1] & 0x3f);
        *next = at + 2;
        return true;
    }
    if (left < 3 || (s[2] & 0xc0) != 0x80)
        return false;
    if (s[0] < 0xf0) {
        *c = (s[0] & 0xfu) << 12 | (s[1] & 0x3fu) << 6 | (s[2] & 0x3f);
        if (*c < 0x800 || *c >> 11 == 0xd800 >> 11)
            return false;
        *next = at + 3;
        return true;
    }
    *c = (s[0] & 7u) << 18 | (s[1] & 0x3fu) << 12 | (s[2] & 0x3fu) << 6;
    if (left < 4 || (s[3] & 0xc0) != 0x80 || *c < 0x10000 || *c > 0x10ffff)
        return false;
    *c |= s[3] & 0x3f;
    *next = at + 4;
    return true;
}

// The bytes of the character at a text's beginning, and its code point; 0: malformed, or no text.
static inline size_t utf8_character(const uint8_t *text, size_t left, uint32_t *c) {
    size_t size;
    *c = left > 0 ? text[0] : 0;
    if (*c < 0x80)
        return left > 0;
    return utf8_read(text, left, 0, c, &size) ? size : 0;
}

// The bytes of a character of well-formed UTF-8, by the first.
static inline size_t utf8_size(uint8_t first) {
    return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

// UTF-8 of a code point; how many bytes.
static inline uint32_t utf8_write(uint32_t c, uint8_t bytes[4]) {
    static const uint8_t leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    uint32_t size = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (uint32_t i = size; i-- > 1; c >>= 6)
        bytes[i] = (uint8_t)(0x80 | (c & 0x3f));
    bytes[0] = (uint8_t)(leads[size] | c);
    return size;
}

#endif
