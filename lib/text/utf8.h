// Reading UTF-8, inlined where text is read character by character.
#ifndef TACIT_TEXT_UTF8_H
#define TACIT_TEXT_UTF8_H

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

#endif
