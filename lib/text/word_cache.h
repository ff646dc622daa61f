// The words seen lately and their ids, for one thread. Most words of a text have been in it before; what a hit
// costs decides how fast text is encoded.
//
// Words of up to 15 bytes that are up to 4 ids lie in slots of 32 bytes, two to a cache line; others of up to 62
// bytes and 16 ids in slots of two lines. The places of a batch of words are computed and prefetched first, and
// looked at afterwards, so that the memory's latencies overlap.
#ifndef TACIT_TEXT_WORD_CACHE_H
#define TACIT_TEXT_WORD_CACHE_H

#include "base/hash.h"
#include "base/memory.h"

#include <stdbool.h>

enum {
    SHORT_WORD = 15,
    SHORT_IDS = 4,
    LONG_WORD = 62,
    LONG_IDS = 16,
    SHORT_SETS = 1 << 16, // of two slots
    LONG_SLOTS = 1 << 15,
};

struct word_key { // the bytes, zeros, size and kind in the last byte; as little-endian numbers
    uint64_t low, high;
};
struct short_slot {
    struct word_key key;     // 0: free
    uint32_t ids[SHORT_IDS]; // the rest are UINT32_MAX; all of them: see the long slots
};
struct short_set {
    struct short_slot slots[2]; // the first was asked for again since it came
};
struct long_slot {
    uint8_t size, count; // size 0: free; the highest bit: the kind
    uint8_t text[LONG_WORD];
    uint32_t ids[LONG_IDS];
};
struct word_cache {
    void *memory;
    struct short_set *shorts;
    struct long_slot *longs;
};

int word_cache_new(struct word_cache *c);
void word_cache_release(struct word_cache *c);

// The key of a word of at most SHORT_WORD bytes. `text_end`: nothing is read from there on.
static inline struct word_key word_key_of(const uint8_t *word, size_t size, int kind, const uint8_t *text_end) {
    static const uint64_t all = UINT64_MAX;
    uint8_t copy[16] = {0};
    if (text_end - word < 16) {
        memcpy(copy, word, size);
        word = copy;
    }
    uint64_t low = size < 8 ? all >> (64 - 8 * size) : all, high = size > 8 ? all >> (128 - 8 * size) : 0;
    return (struct word_key){load_le(word, 8) & low,
                             (load_le(word + 8, 8) & high) | (uint64_t)size << 56 | (uint64_t)kind << 63};
}

static inline uint64_t word_key_hash(struct word_key key) {
    uint64_t hash = key.low * 0x9e3779b97f4a7c15u ^ key.high * 0xc2b2ae3d27d4eb4fu;
    return (hash ^ hash >> 32) * 0x9fb21c651e98df25u >> 40;
}

static inline struct short_set *word_cache_short(const struct word_cache *c, struct word_key key) {
    return &c->shorts[word_key_hash(key) & (SHORT_SETS - 1)];
}

static inline struct long_slot *word_cache_long(const struct word_cache *c, const uint8_t *word, size_t size) {
    return &c->longs[XXH3_64bits(word, size) & (LONG_SLOTS - 1)];
}

static inline bool word_key_equal(struct word_key a, struct word_key b) {
    return ((a.low ^ b.low) | (a.high ^ b.high)) == 0;
}

// The ids of a short word, or NULL. A word that is asked for again is kept before those that came once.
static inline const uint32_t *word_cache_find_short(struct short_set *set, struct word_key key) {
    if (word_key_equal(set->slots[0].key, key))
        return set->slots[0].ids;
    if (!word_key_equal(set->slots[1].key, key))
        return NULL;
    struct short_slot slot = set->slots[1];
    set->slots[1] = set->slots[0];
    set->slots[0] = slot;
    return set->slots[0].ids;
}

static inline uint8_t word_cache_mark(size_t size, int kind) {
    return (uint8_t)(size | (size_t)kind << 7);
}
static inline bool word_cache_holds(const struct long_slot *slot, const uint8_t *word, size_t size, int kind) {
    return slot->size == word_cache_mark(size, kind) && memcmp(slot->text, word, size) == 0;
}

// Keep what a word was encoded to, where it fits. `kind`: 0 or 1; words of different kinds are different.
void word_cache_put(struct word_cache *c, const uint8_t *word, size_t size, int kind, const uint32_t *ids,
                    size_t count);

#endif
