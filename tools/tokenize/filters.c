#include "tokenize/filters.h"
#include "base/error.h"

#include <string.h>

// ---- repeats ----

// Whether a run of 31 n ids that equal the ones n before them goes through position i. The n-gram before the run
// is the first of the 32.
static bool repeats_at(const uint32_t *ids, size_t count, size_t i, size_t n) {
    size_t least = (REPEATS_LEAST - 1) * n, begin = i, end = i + 1;
    if (ids[i] != ids[i - n])
        return false;
    while (begin > n && i - begin < least && ids[begin - 1] == ids[begin - 1 - n])
        begin--;
    while (end < count && end - begin < least && ids[end] == ids[end - n])
        end++;
    return end - begin >= least;
}

bool ids_repeat(const uint32_t *ids, size_t count) {
    // A run is so long that a look at every 31 n-th position meets it.
    for (size_t n = 1; n <= REPEATS_GRAM; n++)
        for (size_t step = (REPEATS_LEAST - 1) * n, i = n + step - 1; i < count; i += step)
            if (repeats_at(ids, count, i, n))
                return true;
    return false;
}

// ---- frequent words ----

int frequency_init(struct frequency *f) {
    *f = (struct frequency){.state = XXH3_createState()};
    return f->state ? OK : error_set(ERROR_SYSTEM, "out of memory: counting words");
}

void frequency_release(struct frequency *f) {
    XXH3_freeState(f->state);
    f->state = NULL;
}

void frequency_start(struct frequency *f) {
    *f = (struct frequency){.state = f->state};
}

// Misra and Gries: a word that finds no room takes one from each count, so what more than a fifth of the words are
// is among the four at the end.
static void take_word(struct frequency *f, const struct digest *word) {
    int room = -1;
    f->total += !f->counting;
    for (int i = 0; i < FREQUENT_WORDS; i++) {
        if (digest_equal(&f->words[i].word, word)) {
            f->words[i].count++;
            return;
        }
        if (f->words[i].count == 0)
            room = i;
    }
    if (f->counting)
        return;
    if (room >= 0) {
        f->words[room].word = *word;
        f->words[room].count = 1;
        return;
    }
    for (int i = 0; i < FREQUENT_WORDS; i++)
        f->words[i].count--;
}

static bool is_space(uint8_t byte) {
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static void end_word(struct frequency *f) {
    struct digest word = digest_final(f->state);
    f->inside = false;
    take_word(f, &word);
}

void frequency_add(struct frequency *f, const uint8_t *text, size_t size) {
    for (size_t i = 0; i < size;) {
        size_t begin = i;
        while (i < size && !is_space(text[i]))
            i++;
        bool ends = i < size;
        if (ends && !f->inside && i > begin) {
            struct digest word = digest_of(text + begin, i - begin);
            take_word(f, &word);
        } else if (i > begin) {
            if (!f->inside)
                XXH3_128bits_reset(f->state);
            XXH3_128bits_update(f->state, text + begin, i - begin);
            f->inside = true;
        }
        if (ends && f->inside)
            end_word(f);
        i += ends;
    }
}

void frequency_again(struct frequency *f) {
    if (f->inside)
        end_word(f);
    for (int i = 0; i < FREQUENT_WORDS; i++) {
        if (f->words[i].count == 0)
            f->words[i].word = (struct digest){0};
        f->words[i].count = 0;
    }
    f->counting = true;
}

bool frequency_is_high(struct frequency *f) {
    uint64_t first = 0, second = 0;
    if (f->inside)
        end_word(f);
    for (int i = 0; i < FREQUENT_WORDS; i++) {
        uint64_t count = f->words[i].count;
        if (count > first) {
            second = first;
            first = count;
        } else if (count > second) {
            second = count;
        }
    }
    return 10 * first > 3 * f->total || 2 * (first + second) > f->total;
}
