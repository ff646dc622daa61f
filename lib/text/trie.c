#include "text/trie.h"
#include "base/error.h"
#include "base/memory.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

// A node's children share a block of 256 units (base ^ byte changes the low 8 bits). New nodes go into the latest
// OPEN_BLOCKS blocks, at one of the first TRIES places that are free there, so that the work per node is bounded.
enum { BLOCK = 256, OPEN_BLOCKS = 16, TRIES = 128 };

struct range { // the keys [first, last) share their first `depth` bytes: those of `node`
    uint32_t node, first, last, depth;
};

struct builder {
    struct trie *trie;
    const struct trie_key *keys;
    size_t room;         // units
    uint32_t *next_free; // by unit: the next free one in the open blocks, in a ring
    uint8_t *base_used;  // by unit
    uint32_t free_head;  // 0: none is free
    uint32_t *previous_free;
    struct buffer ranges; // struct range, a stack
};

static int compare_keys(const void *a, const void *b) {
    const struct trie_key *x = a, *y = b;
    int order = memcmp(x->bytes, y->bytes, x->size < y->size ? x->size : y->size);
    if (order != 0 || x->size != y->size)
        return order != 0 ? order : x->size < y->size ? -1 : 1;
    return x->value < y->value ? -1 : x->value > y->value;
}

static void take_unit(struct builder *b, uint32_t unit) {
    uint32_t next = b->next_free[unit], previous = b->previous_free[unit];
    b->next_free[previous] = next;
    b->previous_free[next] = previous;
    if (b->free_head == unit)
        b->free_head = next == unit ? 0 : next;
    b->next_free[unit] = 0;
}

static void free_unit(struct builder *b, uint32_t unit) {
    if (b->free_head == 0)
        b->free_head = b->next_free[unit] = b->previous_free[unit] = unit;
    uint32_t last = b->previous_free[b->free_head];
    b->next_free[last] = unit;
    b->previous_free[unit] = last;
    b->next_free[unit] = b->free_head;
    b->previous_free[b->free_head] = unit;
}

// One more block; the oldest open one is closed.
static int add_block(struct builder *b, bool open) {
    struct trie *t = b->trie;
    if (t->size + BLOCK > (size_t)1 << 31)
        return error_set(ERROR_INPUT, "a trie of more than %zu nodes is not implemented", t->size);
    if (t->size + BLOCK > b->room) {
        size_t room = b->room > 0 ? b->room * 2 : 4 * BLOCK;
        int code = memory_resize(&t->units, room, sizeof *t->units);
        if (code == OK)
            code = memory_resize(&b->next_free, room, sizeof *b->next_free);
        if (code == OK)
            code = memory_resize(&b->previous_free, room, sizeof *b->previous_free);
        if (code == OK)
            code = memory_resize(&b->base_used, room, sizeof *b->base_used);
        if (code != OK)
            return code;
        b->room = room;
    }
    uint32_t first = (uint32_t)t->size;
    t->size += BLOCK;
    memset(b->base_used + first, 0, BLOCK);
    memset(b->next_free + first, 0, BLOCK * sizeof *b->next_free);
    for (uint32_t i = first; i < first + BLOCK; i++) {
        t->units[i] = (struct trie_unit){0, TRIE_FREE};
        if (open)
            free_unit(b, i);
    }
    if (first / BLOCK > OPEN_BLOCKS)
        for (uint32_t i = first - OPEN_BLOCKS * BLOCK; i < first - (OPEN_BLOCKS - 1) * BLOCK; i++)
            if (b->next_free[i] != 0)
                take_unit(b, i);
    return OK;
}

static bool fits(const struct builder *b, uint32_t base, const uint8_t *labels, int count) {
    if (b->base_used[base])
        return false;
    for (int i = 0; i < count; i++)
        if (b->next_free[base ^ labels[i]] == 0)
            return false;
    return true;
}

static int find_base(struct builder *b, const uint8_t *labels, int count, uint32_t *base) {
    uint32_t unit = b->free_head;
    for (int i = 0; i < TRIES && unit != 0; i++) {
        *base = unit ^ labels[0];
        if (fits(b, *base, labels, count))
            return OK;
        unit = b->next_free[unit];
        if (unit == b->free_head)
            break;
    }
    *base = (uint32_t)b->trie->size;
    return add_block(b, true);
}

// Give a node its children.
static int expand(struct builder *b, struct range range) {
    const struct trie_key *keys = b->keys;
    struct trie_unit *unit = &b->trie->units[range.node];
    if (keys[range.first].size == range.depth) {
        unit->label_value |= (keys[range.first].value + 1) << TRIE_LABEL_BITS;
        while (range.first < range.last && keys[range.first].size == range.depth)
            range.first++;
    }
    if (range.first == range.last)
        return OK;
    uint8_t labels[BLOCK];
    uint32_t firsts[BLOCK + 1], base;
    int count = 0;
    for (uint32_t i = range.first; i < range.last; i++)
        if (count == 0 || keys[i].bytes[range.depth] != labels[count - 1]) {
            firsts[count] = i;
            labels[count++] = keys[i].bytes[range.depth];
        }
    firsts[count] = range.last;
    int code = find_base(b, labels, count, &base);
    if (code != OK)
        return code;
    b->trie->units[range.node].base = base;
    b->base_used[base] = 1;
    for (int i = 0; i < count && code == OK; i++) {
        uint32_t child = base ^ labels[i];
        take_unit(b, child);
        b->trie->units[child].label_value = labels[i];
        struct range below = {child, firsts[i], firsts[i + 1], range.depth + 1};
        code = buffer_append(&b->ranges, &below, sizeof below);
    }
    return code;
}

int trie_build(struct trie *trie, struct trie_key *keys, size_t count) {
    *trie = (struct trie){0};
    if (count == 0)
        return OK;
    if (count > TRIE_VALUE_MOST)
        return error_set(ERROR_INPUT, "a trie of %zu keys is not implemented", count);
    struct builder b = {.trie = trie, .keys = keys};
    qsort(keys, count, sizeof *keys, compare_keys);
    struct range range = {0, 0, (uint32_t)count, 0};
    int code = add_block(&b, false);
    if (code == OK)
        code = buffer_append(&b.ranges, &range, sizeof range);
    while (code == OK && b.ranges.size > 0) {
        b.ranges.size -= sizeof range;
        memcpy(&range, b.ranges.data + b.ranges.size, sizeof range);
        code = expand(&b, range);
    }
    free(b.next_free);
    free(b.previous_free);
    free(b.base_used);
    buffer_release(&b.ranges);
    if (code != OK)
        trie_release(trie);
    return code;
}

void trie_release(struct trie *trie) {
    free(trie->units);
    *trie = (struct trie){0};
}

size_t trie_longest(const struct trie *trie, const uint8_t *text, size_t size, uint32_t *value) {
    size_t longest = 0;
    uint32_t node = 0;
    for (size_t i = 0; trie->units && i < size && (node = trie_child(trie, node, text[i])) != 0; i++)
        if (trie_value(trie, node) > 0) {
            longest = i + 1;
            *value = trie_value(trie, node) - 1;
        }
    return longest;
}
