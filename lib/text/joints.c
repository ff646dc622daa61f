#include "text/joints.h"
#include "base/error.h"
#include "base/utf8.h"
#include "text/vocabulary_private.h"

#include <stdlib.h>

// In front of characters of two bytes is no place: nearly all letters of the alphabets that have them stand side
// by side in some token.
enum { LEAD_OF_THREE = 0xe0, LEAD_OF_FOUR = 0xf0, SIDES_FIRST = 1 << 10, CODE_BITS = 21, ASCII = 128 };

// What tokens have on both sides of such a place: the character in front or its last bytes, where the token begins
// inside it; the character behind or its first bytes. As the bytes' numbers, left << 32 | right; 0: free.
struct joints {
    uint64_t *sides, mask, count;        // NULL: no place is one
    uint64_t *bits;                      // a filter in front of them
    size_t longest, longest_from[BYTES]; // bytes of a token, of one that begins with the byte
    bool whole;                          // tokens are of whole characters: the sides are their code points
    uint64_t ascii[ASCII][ASCII / 64];   // those of two characters of ASCII: of the one in front, what is behind
};

static uint64_t *find_side(const struct joints *j, uint64_t side) {
    uint64_t i = pair_hash(side) & j->mask;
    while (j->sides[i] != 0 && j->sides[i] != side)
        i = (i + 1) & j->mask;
    return &j->sides[i];
}

static inline bool has_side(const struct joints *j, uint64_t side) {
    uint64_t hash = pair_hash(side);
    return *filter_word(j->bits, j->mask, hash) & filter_bit(hash) && *find_side(j, side) == side;
}

static void put_side(struct joints *j, uint64_t side) {
    uint64_t *slot = find_side(j, side), hash = pair_hash(side);
    j->count += *slot == 0;
    *slot = side;
    *filter_word(j->bits, j->mask, hash) |= filter_bit(hash);
}

static int grow(struct joints *j) {
    struct joints old = *j;
    j->count = 0;
    j->mask = old.sides ? 2 * old.mask + 1 : SIDES_FIRST - 1;
    j->sides = memory_new(j->mask + 1, sizeof *j->sides);
    j->bits = memory_new((j->mask + 1) * FILTER_BITS / 64, sizeof *j->bits);
    if (!j->sides || !j->bits) {
        free(j->sides);
        free(j->bits);
        *j = old;
        return ERROR_SYSTEM;
    }
    for (uint64_t i = 0; old.sides && i <= old.mask; i++)
        if (old.sides[i] != 0)
            put_side(j, old.sides[i]);
    free(old.sides);
    free(old.bits);
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
    if (piece[at] < ASCII && piece[at - 1] < ASCII) {
        j->ascii[piece[at - 1]][piece[at] / 64] |= UINT64_C(1) << piece[at] % 64;
        return OK;
    }
    size_t begin = at - 1, end = at + 1, most = piece[at] >= LEAD_OF_FOUR ? 4 : piece[at] >= LEAD_OF_THREE ? 3 : 1;
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
    uint32_t left, right;
    if (j->whole && utf8_character(piece + begin, at - begin, &left) &&
        utf8_character(piece + at, end - at, &right))
        side = (uint64_t)left << 32 | right;
    put_side(j, side);
    return OK;
}

// Whether merges may join the bytes that a character without a token becomes: the tokens' pieces do not tell of
// these.
static bool may_merge_bytes(const struct vocabulary *v) {
    if (v->scheme.symbols != SYMBOLS_CHARACTERS || !v->scheme.byte_fallback)
        return false;
    uint32_t first = v->byte_id[0], last = first;
    for (int b = 1; b < BYTES; b++) {
        first = v->byte_id[b] < first ? v->byte_id[b] : first;
        last = v->byte_id[b] > last ? v->byte_id[b] : last;
    }
    const struct merge *merges = (const struct merge *)v->merges.data;
    for (uint32_t i = 0; i < vocabulary_merge_count(v); i++)
        if ((merges[i].left >= first && merges[i].left <= last) ||
            (merges[i].right >= first && merges[i].right <= last))
            return true;
    return false;
}

static void note_size(struct joints *j, const uint8_t *piece, size_t size) {
    j->longest = size > j->longest ? size : j->longest;
    if (size > 0 && size > j->longest_from[piece[0]])
        j->longest_from[piece[0]] = size;
}

int joints_new(struct joints **out, const struct vocabulary *v) {
    struct joints *j = *out = memory_new(1, sizeof *j);
    if (j && (scheme_drops(&v->scheme) || may_merge_bytes(v)))
        return OK;
    int code = j ? grow(j) : ERROR_SYSTEM;
    if (code == OK)
        j->whole = v->scheme.symbols == SYMBOLS_CHARACTERS;
    for (uint32_t id = 0; id < v->size && code == OK; id++) {
        size_t size;
        const uint8_t *piece = vocabulary_piece(v, id, &size);
        note_size(j, piece, size);
        for (size_t at = 1; at < size && code == OK; at++)
            if (piece[at] >= LEAD_OF_THREE || piece[at] < ASCII)
                code = add_place(j, piece, size, at);
    }
    return code;
}

void joints_free(struct joints *j) {
    if (!j)
        return;
    free(j->sides);
    free(j->bits);
    free(j);
}

static bool is_joined(const struct joints *j, const uint8_t *left, size_t left_size, const uint8_t *right,
                      size_t right_size) {
    for (size_t i = 1; i <= left_size; i++)
        for (size_t k = 1; k <= right_size; k++) {
            uint64_t side = number_of(left + left_size - i, i) << 32 | number_of(right, k);
            if (has_side(j, side))
                return true;
        }
    return false;
}

static inline bool is_joined_ascii(const struct joints *j, uint32_t left, uint8_t right) {
    return j->ascii[left][right / 64] >> right % 64 & 1;
}

// Whether a token has both characters side by side, of which not both are ASCII.
static bool may_join(const struct joints *j, struct joint_cache *cache, const uint8_t *place, size_t left_size,
                     uint32_t left, size_t right_size, uint32_t right) {
    if (j->whole)
        return has_side(j, (uint64_t)left << 32 | right);
    uint64_t both = (uint64_t)left << CODE_BITS | right;
    uint64_t *entry = &cache->entries[pair_hash(both) >> 8 & (JOINTS_LATELY - 1)];
    if (*entry >> 1 != both)
        *entry = both << 1 | is_joined(j, place - left_size, left_size, place, right_size);
    return *entry & 1;
}

bool joints_are_apart(const struct joints *j, const uint8_t *left, size_t left_size, const uint8_t *right,
                      size_t right_size) {
    if (!j->sides || right_size == 2)
        return false;
    if (left_size == 1 && right_size == 1)
        return !is_joined_ascii(j, *left, *right);
    uint32_t before, behind;
    utf8_character(left, left_size, &before);
    utf8_character(right, right_size, &behind);
    return j->whole ? !has_side(j, (uint64_t)before << 32 | behind)
                    : !is_joined(j, left, left_size, right, right_size);
}

size_t joints_longest(const struct joints *j) {
    return j->longest;
}

size_t joints_longest_from(const struct joints *j, uint8_t first) {
    return j->longest_from[first];
}

size_t joints_cut(const struct joints *j, struct joint_cache *cache, const uint8_t *word, size_t size,
                  size_t begin) {
    if (!j->sides)
        return size;
    uint32_t left, right;
    size_t left_size = utf8_character(word + begin, size - begin, &left), right_size;
    for (size_t at = begin + (left_size > 0 ? left_size : 1); at < size; at += (right_size > 0 ? right_size : 1)) {
        for (; left_size == 1 && at < size && word[at] < ASCII; left = word[at++])
            if (!is_joined_ascii(j, left, word[at]))
                return at;
        right_size = utf8_character(word + at, size - at, &right);
        if (left_size > 0 && right_size > 0 && right_size != 2 &&
            !may_join(j, cache, word + at, left_size, left, right_size, right))
            return at;
        left = right;
        left_size = right_size;
    }
    return size;
}
