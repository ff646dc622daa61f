#include "text/word_counts.h"
#include "base/error.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

enum { SLOTS_FIRST = 1 << 12 };

static int grow(struct word_counts *w) {
    uint64_t n = w->slot_count ? 2 * w->slot_count : SLOTS_FIRST;
    uint32_t *slots = memory_new(n, sizeof *slots);
    if (!slots)
        return ERROR_SYSTEM;
    const struct word *words = (const struct word *)w->words.data;
    for (uint32_t k = 0; k < word_counts_size(w); k++) {
        uint64_t i = words[k].hash & (n - 1);
        while (slots[i])
            i = (i + 1) & (n - 1);
        slots[i] = k + 1;
    }
    free(w->slots);
    w->slots = slots;
    w->slot_count = n;
    return OK;
}

int word_counts_add(struct word_counts *w, const uint8_t *word, size_t size) {
    uint32_t n = word_counts_size(w);
    if (size >= UINT32_MAX || n >= UINT32_MAX / 2)
        return error_set(ERROR_INPUT, "%s",
                         n >= UINT32_MAX / 2 ? "too many distinct words" : "a word is too long");
    if (2 * (uint64_t)n >= w->slot_count) {
        int code = grow(w);
        if (code != OK)
            return code;
    }
    struct word *words = (struct word *)w->words.data;
    uint64_t hash = XXH3_64bits(word, size), i = hash & (w->slot_count - 1);
    for (uint32_t k; (k = w->slots[i]) != 0; i = (i + 1) & (w->slot_count - 1)) {
        struct word *known = &words[k - 1];
        if (known->hash == hash && known->size == size && memcmp(w->bytes.data + known->begin, word, size) == 0) {
            known->count++;
            return OK;
        }
    }
    struct word fresh = {.begin = w->bytes.size, .count = 1, .hash = hash, .size = (uint32_t)size};
    int code = buffer_append(&w->bytes, word, size);
    if (code == OK)
        code = buffer_append(&w->words, &fresh, sizeof fresh);
    if (code == OK)
        w->slots[i] = n + 1;
    return code;
}

void word_counts_release(struct word_counts *w) {
    buffer_release(&w->bytes);
    buffer_release(&w->words);
    free(w->slots);
    *w = (struct word_counts){0};
}
