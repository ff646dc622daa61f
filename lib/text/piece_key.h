// Pieces by their bytes, hashed and compared without a call and without a loop: up to 16 bytes are two numbers,
// which together with the size say them all. Longer ones are few.
#ifndef TACIT_TEXT_PIECE_KEY_H
#define TACIT_TEXT_PIECE_KEY_H

#include "base/hash.h"
#include "base/memory.h"

#include <stdbool.h>

enum { KEY_SIZE = 16 };

struct piece_key {
    uint64_t low, high;
};

// Of up to KEY_SIZE bytes; nothing outside them is read. Four to 16 are four loads of four bytes, which may
// overlap.
static inline struct piece_key piece_key_of(const uint8_t *piece, size_t size) {
    if (size >= 4) {
        const uint8_t *end = piece + size - 4;
        size_t step = size / 8 * 4;
        return (struct piece_key){load_le(piece, 4) << 32 | load_le(piece + step, 4),
                                  load_le(end, 4) << 32 | load_le(end - step, 4)};
    }
    uint64_t few = size > 0 ? (uint64_t)piece[0] << 16 | (uint64_t)piece[size / 2] << 8 | piece[size - 1] : 0;
    return (struct piece_key){few, 0};
}

static inline uint64_t piece_key_hash(struct piece_key key, size_t size) {
    uint64_t hash = (key.low ^ size) * 0x9e3779b97f4a7c15u;
    hash = ((hash >> 32 | hash << 32) ^ key.high) * 0xc2b2ae3d27d4eb4fu;
    return hash ^ hash >> 32;
}

static inline uint64_t piece_hash(const uint8_t *piece, size_t size) {
    return size > KEY_SIZE ? XXH3_64bits(piece, size) : piece_key_hash(piece_key_of(piece, size), size);
}

static inline bool piece_equal(const uint8_t *a, const uint8_t *b, size_t size) {
    if (size > KEY_SIZE)
        return memcmp(a, b, size) == 0;
    struct piece_key x = piece_key_of(a, size), y = piece_key_of(b, size);
    return ((x.low ^ y.low) | (x.high ^ y.high)) == 0;
}

#endif
