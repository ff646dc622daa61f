#include "text/word_cache.h"
#include "base/error.h"

#include <stdlib.h>

enum { LINE = 64 };

int word_cache_new(struct word_cache *c) {
    // The system has zeroed pages for what is used of it, and a short text uses little.
    c->memory = memory_new(1, SHORT_SETS * sizeof *c->shorts + LONG_SLOTS * sizeof *c->longs + LINE);
    if (!c->memory)
        return ERROR_SYSTEM;
    c->shorts = (struct short_set *)(((uintptr_t)c->memory + LINE - 1) / LINE * LINE);
    c->longs = (struct long_slot *)(void *)(c->shorts + SHORT_SETS);
    return OK;
}

void word_cache_release(struct word_cache *c) {
    free(c->memory);
    *c = (struct word_cache){0};
}

static void put_short(struct word_cache *c, struct word_key key, const uint32_t *ids, size_t count) {
    struct short_slot *slots = word_cache_short(c, key)->slots;
    struct short_slot *slot = slots[0].key.high == 0 ? &slots[0] : &slots[1];
    slot->key = key;
    for (size_t i = 0; i < SHORT_IDS; i++)
        slot->ids[i] = i < count ? ids[i] : UINT32_MAX;
}

void word_cache_put(struct word_cache *c, const uint8_t *word, size_t size, int kind, const uint32_t *ids,
                    size_t count) {
    if (count == 0 || size > LONG_WORD || count > LONG_IDS)
        return;
    if (size <= SHORT_WORD)
        put_short(c, word_key_of(word, size, kind, word + size), ids, count <= SHORT_IDS ? count : 0);
    if (size <= SHORT_WORD && count <= SHORT_IDS)
        return;
    struct long_slot *slot = word_cache_long(c, word, size);
    slot->size = word_cache_mark(size, kind);
    slot->count = (uint8_t)count;
    memcpy(slot->text, word, size);
    memcpy(slot->ids, ids, count * sizeof *ids);
}
