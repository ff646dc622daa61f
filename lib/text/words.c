#include "text/words.h"
#include "base/error.h"
#include "text/symbols.h"
#include "text/vocabulary_private.h"

#include <stdlib.h>

enum { SMALL_WORD = 64 };

int words_init(struct words *w, const struct vocabulary *v) {
    w->vocabulary = w->bpe.vocabulary = v;
    return word_cache_new(&w->cache);
}

void words_release(struct words *w) {
    word_cache_release(&w->cache);
    bpe_release(&w->bpe);
    free(w->symbols);
    *w = (struct words){0};
}

// ---- one word ----

// SentencePiece's unused pieces are merged through but stand for others, of at least a byte each.
static void replace_unused(const struct vocabulary *v, const uint32_t *symbols, size_t n, uint32_t *ids,
                           size_t *count) {
    const uint32_t *ends = (const uint32_t *)v->unused_ends.data, *unused = (const uint32_t *)v->unused_ids.data;
    *count = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t from = symbols[i] > 0 ? ends[symbols[i] - 1] : 0, end = ends[symbols[i]];
        if (from == end)
            ids[(*count)++] = symbols[i];
        for (; from < end; from++)
            ids[(*count)++] = unused[from];
    }
}

static int encode_word(struct words *w, const uint8_t *word, size_t size, bool part, uint32_t *ids,
                       size_t *count) {
    const struct vocabulary *v = w->vocabulary;
    uint32_t few[SMALL_WORD], *symbols = few;
    *count = 0;
    if (v->scheme.whole_words && !part && (*ids = vocabulary_find(v, word, size)) != no_id) {
        *count = 1;
        return OK;
    }
    if (size > SMALL_WORD) {
        if (size > w->symbol_room) {
            int code = memory_resize(&w->symbols, size, sizeof *w->symbols);
            if (code != OK)
                return code;
            w->symbol_room = size;
        }
        symbols = w->symbols;
    }
    size_t n = word_symbols(v, word, size, symbols);
    int code = n > 0 ? bpe_merge(&w->bpe, symbols, n, ids, count) : OK;
    if (code == OK && v->unused_ends.size > 0) {
        memcpy(symbols, ids, *count * sizeof *ids);
        replace_unused(v, symbols, *count, ids, count);
    }
    return code;
}

// ---- many ----

static void find_places(struct words *w, const uint8_t *text_end) {
    for (size_t i = 0; i < w->count; i++) {
        const uint8_t *word = w->text[i];
        size_t size = w->size[i];
        if (!word)
            continue;
        if (size <= SHORT_WORD) {
            w->keys[i] = word_key_of(word, size, w->part[i], text_end);
            w->places[i] = word_cache_short(&w->cache, w->keys[i]);
            __builtin_prefetch(w->places[i]);
        } else if (size <= LONG_WORD) {
            struct long_slot *slot = w->places[i] = word_cache_long(&w->cache, word, size);
            __builtin_prefetch(slot);
            __builtin_prefetch(slot->ids);
        }
    }
}

// A word that is not in the short slots.
static int take_long(struct words *w, size_t i, struct long_slot *slot, uint32_t *ids, size_t *count) {
    const uint8_t *word = w->text[i];
    size_t size = w->size[i];
    if (slot && word_cache_holds(slot, word, size, w->part[i])) {
        memcpy(ids, slot->ids, sizeof slot->ids);
        *count = slot->count;
        return OK;
    }
    int code = encode_word(w, word, size, w->part[i], ids, count);
    if (code == OK)
        word_cache_put(&w->cache, word, size, w->part[i], ids, *count);
    return code;
}

int words_flush(struct words *w, const uint8_t *text_end, struct buffer *out) {
    size_t most = LONG_IDS; // what is copied from the cache may be more than counts
    for (size_t i = 0; i < w->count; i++)
        most += w->text[i] ? w->size[i] : 1; // no token is of less than a byte
    int code = buffer_reserve(out, most * sizeof(uint32_t));
    if (code != OK)
        return code;
    find_places(w, text_end);
    uint32_t *ids = (uint32_t *)(void *)(out->data + out->size);
    for (size_t i = 0, count; i < w->count && code == OK; i++) {
        struct long_slot *slot = NULL;
        if (!w->text[i]) {
            *ids++ = (uint32_t)w->size[i];
            continue;
        }
        if (w->size[i] <= SHORT_WORD) {
            const uint32_t *found = word_cache_find_short(w->places[i], w->keys[i]);
            if (found && found[0] != no_id) {
                memcpy(ids, found, SHORT_IDS * sizeof *ids);
                ids += 1 + (found[1] != no_id) + (found[2] != no_id) + (found[3] != no_id);
                continue;
            }
            if (found)
                slot = word_cache_long(&w->cache, w->text[i], w->size[i]);
        } else if (w->size[i] <= LONG_WORD)
            slot = w->places[i];
        code = take_long(w, i, slot, ids, &count);
        ids += code == OK ? count : 0;
    }
    out->size = (size_t)((uint8_t *)ids - out->data);
    w->count = 0;
    return code;
}

static int push(struct words *w, const uint8_t *text, size_t size, bool part, const uint8_t *text_end,
                struct buffer *ids) {
    w->text[w->count] = text;
    w->size[w->count] = size;
    w->part[w->count++] = part;
    return w->count == WORDS_AT_ONCE ? words_flush(w, text_end, ids) : OK;
}

// A word too long for the short slots, cut where it may be.
static int push_parts(struct words *w, const uint8_t *word, size_t size, const uint8_t *text_end,
                      struct buffer *ids) {
    int code = OK;
    for (size_t begin = 0, end; begin < size && code == OK; begin = end) {
        end = joints_cut(w->vocabulary->joints, &w->joints, word, size, begin);
        bool part = w->vocabulary->scheme.whole_words && end - begin < size;
        code = push(w, word + begin, end - begin, part, text_end, ids);
    }
    return code;
}

int words_add(struct words *w, const uint8_t *text, size_t size, const uint8_t *text_end, struct buffer *ids) {
    size_t ends[WORDS_AT_ONCE], n;
    int code = OK;
    for (size_t begin = 0; begin < size && code == OK;) {
        n = split_words(w->vocabulary->scheme.pattern, text, size, begin, ends, WORDS_AT_ONCE);
        for (size_t i = 0; i < n && code == OK; begin = ends[i++]) {
            size_t length = ends[i] - begin;
            code = length <= SHORT_WORD ? push(w, text + begin, length, false, text_end, ids)
                                        : push_parts(w, text + begin, length, text_end, ids);
        }
    }
    return code;
}

int words_add_id(struct words *w, uint32_t id, const uint8_t *text_end, struct buffer *ids) {
    return push(w, NULL, id, false, text_end, ids);
}
