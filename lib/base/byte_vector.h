// Sixteen bytes at a time, on any processor: vectors as gcc and clang have them, and what these have no words for.
#ifndef TACIT_BASE_BYTE_VECTOR_H
#define TACIT_BASE_BYTE_VECTOR_H

#include <stdint.h>
#include <string.h>

typedef uint8_t byte_vector __attribute__((vector_size(16)));
enum { BYTE_VECTOR = sizeof(byte_vector) };

static inline __attribute__((always_inline)) byte_vector byte_vector_load(const uint8_t *p) {
    byte_vector v;
    memcpy(&v, p, sizeof v);
    return v;
}

// Bit i: the highest bit of byte i. So a comparison has a bit for each byte for which it is true.
static inline __attribute__((always_inline)) uint64_t byte_vector_bits(byte_vector v) {
#ifdef __SSE2__
    typedef char signed_vector __attribute__((vector_size(16)));
    return (uint64_t)__builtin_ia32_pmovmskb128((signed_vector)v);
#else
    uint64_t bits = 0;
    for (int i = 0; i < BYTE_VECTOR; i++)
        bits |= (uint64_t)(v[i] >> 7) << i;
    return bits;
#endif
}

#endif
