// Encoding: the pre-tokenizer's words, each merged by rank (lowest first, leftmost among equals), as Hugging
// Face's BPE does. Short words come from a cache; the merges of a word cost O(n log n) whatever its length.
#include "base/error.h"
#include "text/vocabulary_private.h"

#include <stdlib.h>
#include <string.h>

enum { WORDS_AT_ONCE = 256, CACHE_SLOTS = 1 << 16, CACHE_TEXT = 30, CACHE_IDS = 8 };

// 64 bytes: one cache line. A slot holds the latest word that fell on it.
struct cache_slot {
    uint8_t size, count; // size 0: free
    uint8_t text[CACHE_TEXT];
    uint32_t ids[CACHE_IDS];
};

struct symbol {
    uint32_t id; // no_id: merged into the one before
    uint32_t previous, next;
};

struct encoder {
    const struct vocabulary *vocabulary;
    void *memory;
    struct cache_slot *cache; // in it, aligned
    struct symbol *symbols;
    size_t symbol_room;
    struct buffer heap; // uint64_t: rank << 32 | position, a min-heap
    struct buffer *ids; // where the current call appends
};

int encoder_new(struct encoder **out, const struct vocabulary *v) {
    *out = NULL;
    struct encoder *e = memory_new(1, sizeof *e);
    if (!e)
        return ERROR_SYSTEM;
    e->vocabulary = v;
    // The system has zeroed pages for what is used of it, and a short text uses little.
    e->memory = memory_new(CACHE_SLOTS + 1, sizeof *e->cache);
    if (!e->memory) {
        encoder_free(e);
        return ERROR_SYSTEM;
    }
    e->cache =
        (struct cache_slot *)(((uintptr_t)e->memory + sizeof *e->cache - 1) / sizeof *e->cache * sizeof *e->cache);
    *out = e;
    return OK;
}

void encoder_free(struct encoder *e) {
    if (!e)
        return;
    free(e->memory);
    free(e->symbols);
    buffer_release(&e->heap);
    free(e);
}

// ---- the heap of possible merges ----

static int heap_push(struct buffer *heap, uint64_t key) {
    int code = buffer_append(heap, &key, sizeof key);
    if (code != OK)
        return code;
    uint64_t *keys = (uint64_t *)heap->data;
    size_t i = heap->size / sizeof key - 1;
    for (size_t parent; i > 0 && keys[parent = (i - 1) / 2] > key; i = parent)
        keys[i] = keys[parent];
    keys[i] = key;
    return OK;
}

static uint64_t heap_pop(struct buffer *heap) {
    uint64_t *keys = (uint64_t *)heap->data, top = keys[0];
    heap->size -= sizeof top;
    size_t n = heap->size / sizeof top, i = 0;
    uint64_t last = keys[n];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && keys[child + 1] < keys[child])
            child++;
        if (keys[child] >= last)
            break;
        keys[i] = keys[child];
    }
    if (n > 0)
        keys[i] = last;
    return top;
}

// ---- one word ----

static const struct pair_slot *find_pair(const struct encoder *e, uint32_t position) {
    const struct symbol *s = e->symbols;
    uint32_t next = s[position].next;
    return next == no_id ? NULL : vocabulary_pair(e->vocabulary, s[position].id, s[next].id);
}

static int push_pair(struct encoder *e, uint32_t position) {
    const struct pair_slot *pair = find_pair(e, position);
    return pair ? heap_push(&e->heap, (uint64_t)pair->rank << 32 | position) : OK;
}

static int merge_pairs(struct encoder *e) {
    struct symbol *s = e->symbols;
    int code = OK;
    while (e->heap.size > 0 && code == OK) {
        uint64_t top = heap_pop(&e->heap);
        uint32_t position = (uint32_t)top;
        // An entry is stale once either of its symbols was merged into something else.
        const struct pair_slot *pair = s[position].id == no_id ? NULL : find_pair(e, position);
        if (!pair || pair->rank != top >> 32)
            continue;
        uint32_t right = s[position].next;
        s[position].id = pair->result;
        s[position].next = s[right].next;
        s[right].id = no_id;
        if (s[right].next != no_id)
            s[s[right].next].previous = position;
        code = push_pair(e, position);
        if (code == OK && s[position].previous != no_id)
            code = push_pair(e, s[position].previous);
    }
    return code;
}

static int encode_word(struct encoder *e, const uint8_t *word, size_t size) {
    if (size >= no_id)
        return error_set(ERROR_INPUT, "a word of %zu bytes is too long", size);
    if (size > e->symbol_room) {
        int code = memory_resize(&e->symbols, size, sizeof *e->symbols);
        if (code != OK)
            return code;
        e->symbol_room = size;
    }
    struct symbol *s = e->symbols;
    for (uint32_t i = 0; i < size; i++)
        s[i] = (struct symbol){e->vocabulary->byte_id[word[i]], i - 1, i + 1};
    s[size - 1].next = no_id; // s[0].previous is no_id already
    buffer_clear(&e->heap);
    int code = OK;
    for (uint32_t i = 0; i + 1 < size && code == OK; i++)
        code = push_pair(e, i);
    if (code == OK)
        code = merge_pairs(e);
    for (uint32_t i = 0; i != no_id && code == OK; i = s[i].next)
        code = buffer_append(e->ids, &s[i].id, sizeof s[i].id);
    return code;
}

static int take_word(struct encoder *e, const uint8_t *word, size_t size) {
    if (size > CACHE_TEXT)
        return encode_word(e, word, size);
    struct cache_slot *slot = &e->cache[XXH3_64bits(word, size) % CACHE_SLOTS];
    if (slot->size == size && memcmp(slot->text, word, size) == 0)
        return buffer_append(e->ids, slot->ids, slot->count * sizeof *slot->ids);
    size_t before = e->ids->size;
    int code = encode_word(e, word, size);
    size_t count = (e->ids->size - before) / sizeof *slot->ids;
    if (code == OK && count <= CACHE_IDS) {
        slot->size = (uint8_t)size;
        slot->count = (uint8_t)count;
        memcpy(slot->text, word, size);
        memcpy(slot->ids, e->ids->data + before, count * sizeof *slot->ids);
    }
    return code;
}

int encoder_encode(struct encoder *e, const uint8_t *text, size_t size, struct buffer *ids) {
    e->ids = ids;
    int code = buffer_reserve(ids, size); // a guess that saves steps: about four bytes of text to a token
    size_t ends[WORDS_AT_ONCE], n, begin = 0;
    while (code == OK &&
           (n = split_words(e->vocabulary->scheme.pattern, text, size, begin, ends, WORDS_AT_ONCE)) > 0)
        for (size_t i = 0; i < n && code == OK; begin = ends[i++])
            code = take_word(e, text + begin, ends[i] - begin);
    return code;
}
