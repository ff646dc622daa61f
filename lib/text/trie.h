// A trie over byte strings, read only once it is built: a double array. All that a search from one position of a
// text touches is one unit of 8 bytes per byte of text.
#ifndef TACIT_TEXT_TRIE_H
#define TACIT_TEXT_TRIE_H

#include <stddef.h>
#include <stdint.h>

// A node's children lie at its base ^ byte, and no two nodes with children have the same base: so a unit whose
// label is that byte is the node's child. Unit 0 is the root; the first 256 units are nobody's children, and the
// base of the nodes without children is 0.
struct trie_unit {
    uint32_t base;
    uint32_t label_value; // label (TRIE_FREE: no node), and above its 9 bits the key's value + 1, or 0: no key
};

struct trie {
    struct trie_unit *units; // NULL: no keys
    size_t size;
};

struct trie_key {
    const uint8_t *bytes; // of size > 0
    size_t size;
    uint32_t value; // at most TRIE_VALUE_MOST
};

enum { TRIE_LABEL_BITS = 9, TRIE_FREE = 256 };
#define TRIE_VALUE_MOST ((UINT32_MAX >> TRIE_LABEL_BITS) - 1)

// The trie of `count` keys, which are sorted in place; of equal keys the first value counts. ERROR_INPUT where a
// trie cannot hold them, ERROR_SYSTEM. trie_release() it.
int trie_build(struct trie *trie, struct trie_key *keys, size_t count);
void trie_release(struct trie *trie);

// The child of a node, 0: none.
static inline uint32_t trie_child(const struct trie *trie, uint32_t node, uint8_t byte) {
    uint32_t child = trie->units[node].base ^ byte;
    return (trie->units[child].label_value & ((1u << TRIE_LABEL_BITS) - 1)) == byte ? child : 0;
}

// The value + 1 of the key that ends in a node, 0: none.
static inline uint32_t trie_value(const struct trie *trie, uint32_t node) {
    return trie->units[node].label_value >> TRIE_LABEL_BITS;
}

// The longest key that the text begins with: its size, and its value; 0: none.
size_t trie_longest(const struct trie *trie, const uint8_t *text, size_t size, uint32_t *value);

#endif
