// Encoding: a text is normalized and cut into words; a word's ids come from the cache of the words seen lately, or
// else from the model.
#include "base/error.h"
#include "text/bpe.h"
#include "text/vocabulary_private.h"
#include "text/word_cache.h"

#include <stdlib.h>

enum { WORDS_AT_ONCE = 256, SMALL_WORD = 64 };

struct batch { // words in a row, and where the cache has them
    size_t ends[WORDS_AT_ONCE];
    struct word_key keys[WORDS_AT_ONCE];
    void *places[WORDS_AT_ONCE]; // struct short_set or, of a longer word, struct long_slot
};

struct encoder {
    const struct vocabulary *vocabulary;
    struct word_cache cache;
    struct bpe bpe;
    uint32_t *symbols; // of a word that is longer than SMALL_WORD
    size_t symbol_room;
    struct buffer *ids; // where the current call appends
    struct batch batch;
};

int encoder_new(struct encoder **out, const struct vocabulary *v) {
    struct encoder *e = *out = memory_new(1, sizeof *e);
    if (!e)
        return ERROR_SYSTEM;
    e->vocabulary = v;
    e->bpe.vocabulary = v;
    int code = word_cache_new(&e->cache);
    if (code != OK) {
        encoder_free(e);
        *out = NULL;
    }
    return code;
}

void encoder_free(struct encoder *e) {
    if (!e)
        return;
    word_cache_release(&e->cache);
    bpe_release(&e->bpe);
    free(e->symbols);
    free(e);
}

// ---- one word ----

static size_t byte_symbols(const struct vocabulary *v, const uint8_t *word, size_t size, uint32_t *symbols) {
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        uint32_t id = v->byte_id[word[i]];
        symbols[n] = id != no_id ? id : v->scheme.unknown;
        n += symbols[n] != no_id;
    }
    return n;
}

static int encode_bpe(struct encoder *e, const uint8_t *word, size_t size, uint32_t *ids, size_t *count) {
    uint32_t few[SMALL_WORD], *symbols = few;
    if (size > SMALL_WORD) {
        if (size > e->symbol_room) {
            int code = memory_resize(&e->symbols, size, sizeof *e->symbols);
            if (code != OK)
                return code;
            e->symbol_room = size;
        }
        symbols = e->symbols;
    }
    size_t n = byte_symbols(e->vocabulary, word, size, symbols);
    *count = 0;
    return n > 0 ? bpe_merge(&e->bpe, symbols, n, ids, count) : OK;
}

static int encode_word(struct encoder *e, const uint8_t *word, size_t size, uint32_t *ids, size_t *count) {
    const struct vocabulary *v = e->vocabulary;
    int code = OK;
    uint32_t id = no_id;
    if (v->scheme.whole_words && (id = vocabulary_find(v, word, size)) != no_id) {
        *ids = id;
        *count = 1;
    } else
        code = encode_bpe(e, word, size, ids, count);
    if (code == OK)
        word_cache_put(&e->cache, word, size, ids, *count);
    return code;
}

// ---- words in batches ----

static void find_places(struct encoder *e, const uint8_t *text, const uint8_t *text_end, size_t begin, size_t n) {
    struct batch *b = &e->batch;
    for (size_t i = 0; i < n; begin = b->ends[i++]) {
        const uint8_t *word = text + begin;
        size_t size = b->ends[i] - begin;
        if (size <= SHORT_WORD) {
            b->keys[i] = word_key_of(word, size, text_end);
            b->places[i] = word_cache_short(&e->cache, b->keys[i]);
            __builtin_prefetch(b->places[i]);
        } else if (size <= LONG_WORD) {
            uint8_t *slot = b->places[i] = word_cache_long(&e->cache, word, size);
            __builtin_prefetch(slot);
            __builtin_prefetch(slot + sizeof(struct long_slot) / 2);
        }
    }
}

// A word that is not in the short slots.
static int take_long(struct encoder *e, const uint8_t *word, size_t size, struct long_slot *slot, uint32_t *ids,
                     size_t *count) {
    if (!slot || !word_cache_find_long(slot, word, size))
        return encode_word(e, word, size, ids, count);
    memcpy(ids, slot->ids, sizeof slot->ids[0] * slot->count);
    *count = slot->count;
    return OK;
}

static int take_words(struct encoder *e, const uint8_t *text, size_t begin, size_t n) {
    struct batch *b = &e->batch;
    uint32_t *ids = (uint32_t *)(void *)(e->ids->data + e->ids->size);
    for (size_t i = 0; i < n; begin = b->ends[i++]) {
        const uint8_t *word = text + begin;
        size_t size = b->ends[i] - begin, count;
        struct long_slot *slot = NULL;
        if (size <= SHORT_WORD) {
            const uint32_t *found = word_cache_find_short(b->places[i], b->keys[i]);
            if (found && found[0] != no_id) {
                memcpy(ids, found, SHORT_IDS * sizeof *ids); // there is room for them, and it is one instruction
                ids += 1 + (found[1] != no_id) + (found[2] != no_id) + (found[3] != no_id);
                continue;
            }
            if (found)
                slot = word_cache_long(&e->cache, word, size);
        } else if (size <= LONG_WORD)
            slot = b->places[i];
        int code = take_long(e, word, size, slot, ids, &count);
        if (code != OK)
            return code;
        ids += count;
    }
    e->ids->size = (size_t)((uint8_t *)ids - e->ids->data);
    return OK;
}

int encoder_encode(struct encoder *e, const uint8_t *text, size_t size, struct buffer *ids) {
    const struct batch *b = &e->batch;
    e->ids = ids;
    int code = OK;
    for (size_t begin = 0, n; code == OK; begin = b->ends[n - 1]) {
        n = split_words(e->vocabulary->scheme.pattern, text, size, begin, e->batch.ends, WORDS_AT_ONCE);
        if (n == 0)
            break;
        // No token is of less than a byte.
        code = buffer_reserve(ids, (b->ends[n - 1] - begin + SHORT_IDS) * sizeof(uint32_t));
        if (code != OK)
            break;
        find_places(e, text, text + size, begin, n);
        code = take_words(e, text, begin, n);
    }
    return code;
}
