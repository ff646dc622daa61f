#include "text/joints.h"
#include "base/error.h"
#include "text/utf8.h"
#include "text/vocabulary_private.h"

#include <stdlib.h>

// Only in front of characters of three bytes or more; of those in front, one to four bytes.
enum { LEAD_OF_THREE = 0xe0, LEAD_OF_FOUR = 0xf0, SIDES_FIRST = 1 << 10 };

// What tokens have on both sides of such a place: the character in front or its last bytes, where the token begins
// inside it; the character behind or its first bytes. As the bytes' numbers, left << 32 | right; 0: free.
struct joints {
    uint64_t *sides, mask, count; // NULL: no place is one
};

static uint64_t *find_side(const struct joints *j, uint64_t side) {
    uint64_t i = pair_hash(side) & j->mask;
    while (j->sides[i] != 0 && j->sides[i] != side)
        i = (i + 1) & j->mask;
    return &j->sides[i];
}

static int grow(struct joints *j) {
    struct joints old = *j;
    j->mask = old.sides ? 2 * old.mask + 1 : SIDES_FIRST - 1;
    j->sides = memory_new(j->mask + 1, sizeof *j->sides);
    if (!j->sides) {
        *j = old;
        return ERROR_SYSTEM;
    }
    for (uint64_t i = 0; old.sides && i <= old.mask; i++)
        if (old.sides[i] != 0)
            *find_side(j, old.sides[i]) = old.sides[i];
    free(old.sides);
    return OK;
}

static uint64_t number_of(const uint8_t *bytes, size_t size) {
    uint64_t number = 0;
    for (size_t i = 0; i < size; i++)
        number = number << 8 | bytes[i];
    return number;
}

static bool is_continuation(uint8_t byte) {
    return (byte & 0xc0) == 0x80;
}

// The sides of a place inside a token.
static int add_place(struct joints *j, const uint8_t *piece, size_t size, size_t at) {
    size_t begin = at - 1, end = at + 1, most = piece[at] >= LEAD_OF_FOUR ? 4 : 3;
    while (begin > 0 && at - begin < 4 && is_continuation(piece[begin]))
        begin--;
    while (end < size && end - at < most && is_continuation(piece[end]))
        end++;
    if (j->count * 2 >= j->mask) {
        int code = grow(j);
        if (code != OK)
            return code;
    }
    uint64_t side = number_of(piece + begin, at - begin) << 32 | number_of(piece + at, end - at);
    uint64_t *slot = find_side(j, side);
    j->count += *slot == 0;
    *slot = side;
    return OK;
}

int joints_new(struct joints **out, const struct vocabulary *v) {
    struct joints *j = *out = memory_new(1, sizeof *j);
    if (j && scheme_drops(&v->scheme))
        return OK;
    int code = j ? grow(j) : ERROR_SYSTEM;
    for (uint32_t id = 0; id < v->size && code == OK; id++) {
        size_t size;
        const uint8_t *piece = vocabulary_piece(v, id, &size);
        for (size_t at = 1; at < size && code == OK; at++)
            if (piece[at] >= LEAD_OF_THREE)
                code = add_place(j, piece, size, at);
    }
    return code;
}

void joints_free(struct joints *j) {
    if (j)
        free(j->sides);
    free(j);
}

static bool is_joined(const struct joints *j, const uint8_t *left, size_t left_size, const uint8_t *right,
                      size_t right_size) {
    for (size_t i = 1; i <= left_size; i++)
        for (size_t k = 1; k <= right_size; k++) {
            uint64_t side = number_of(left + left_size - i, i) << 32 | number_of(right, k);
            if (*find_side(j, side) == side)
                return true;
        }
    return false;
}

size_t joints_cut(const struct joints *j, struct joint_cache *cache, const uint8_t *word, size_t size,
                  size_t begin) {
    if (!j->sides)
        return size;
    uint32_t c;
    size_t left = begin, left_size = utf8_character(word + begin, size - begin, &c);
    for (size_t at = begin + (left_size > 0 ? left_size : 1); at < size;) {
        size_t length = utf8_character(word + at, size - at, &c);
        if (length == 3 && left_size > 0 && left_size < 4) {
            uint64_t both = number_of(word + left, left_size) << 24 | number_of(word + at, length);
            uint64_t *entry = &cache->entries[pair_hash(both) >> 8 & (JOINTS_LATELY - 1)];
            if (*entry >> 1 != both)
                *entry = both << 1 | is_joined(j, word + left, left_size, word + at, length);
            if (!(*entry & 1))
                return at;
        }
        left = at;
        left_size = length;
        at += length > 0 ? length : 1;
    }
    return size;
}
