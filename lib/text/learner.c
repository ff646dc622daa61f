// Learning a vocabulary: count words, then join the most frequent pair until the vocabulary is full.
//
// A new token is never one that exists already: no merge ever crossed the borders of its occurrence, so the same
// merges in the same order made its inside everywhere, and a string has one last pair that makes it.
#include "text/learner.h"
#include "base/error.h"
#include "base/progress.h"
#include "text/merging.h"
#include "text/vocabulary_private.h"
#include "text/word_counts.h"

#include <stdlib.h>

struct learner {
    struct learner_options options;
    struct word_counts words;
    uint64_t word_count;
    struct threads *pool;
    struct buffer specials; // const char *: all, in the order of their ids
};

static int collect_specials(struct learner *l) {
    const struct learner_options *o = &l->options;
    bool has_end = false;
    for (int i = 0; i < o->special_count; i++) {
        if (!*o->specials[i])
            return error_set(ERROR_USAGE, "a special token is empty");
        for (int k = 0; k < i; k++)
            if (strcmp(o->specials[i], o->specials[k]) == 0)
                return error_set(ERROR_USAGE, "special token '%s': twice", o->specials[i]);
        has_end = has_end || strcmp(o->specials[i], END_OF_TEXT) == 0;
    }
    const char *end = END_OF_TEXT;
    int code = has_end ? OK : buffer_append(&l->specials, &end, sizeof end);
    for (int i = 0; i < o->special_count && code == OK; i++)
        code = buffer_append(&l->specials, &o->specials[i], sizeof end);
    return code;
}

int learner_new(struct learner **out, const struct learner_options *options) {
    struct learner *l = *out = memory_new(1, sizeof *l);
    if (!l)
        return ERROR_SYSTEM;
    l->options = *options;
    int code = collect_specials(l);
    if (code == OK)
        code = threads_new(&l->pool, options->threads);
    l->words = (struct word_counts){.pool = l->pool, .pattern = options->pattern};
    return code;
}

void learner_free(struct learner *l) {
    if (!l)
        return;
    word_counts_release(&l->words);
    threads_free(l->pool);
    buffer_release(&l->specials);
    free(l);
}

int learner_add(struct learner *l, const uint8_t *text, size_t size) {
    return word_counts_add(&l->words, text, size);
}

uint64_t learner_words(const struct learner *l) {
    return l->word_count;
}

// ---- the words as rows of symbols ----

static int lay_words(struct learner *l, struct rows *rows, const uint32_t byte_id[BYTES]) {
    uint32_t *order = NULL;
    int code = word_counts_sort(&l->words, &order);
    for (uint64_t k = 0; k < l->word_count && code == OK; k++) {
        const uint8_t *bytes;
        const struct word *word = word_counts_word(&l->words, order[k], &bytes);
        code = rows_begin_word(rows, word->count);
        for (uint32_t i = 0; i < word->size; i++)
            rows_add_symbol(rows, bytes + i, 1, byte_id[bytes[i]]);
    }
    free(order);
    return code == OK ? rows_finish(rows) : code;
}

static int make_rows(struct learner *l, const struct vocabulary *v, struct rows *rows) {
    int parts = threads_count(l->pool) < ROW_PARTS_MOST ? threads_count(l->pool) : ROW_PARTS_MOST;
    uint32_t byte_id[BYTES];
    int code = rows_new(rows, word_counts_bytes(&l->words), parts);
    for (uint32_t id = 0; id < BYTES && code == OK; id++) {
        size_t size;
        const uint8_t *byte = vocabulary_bytes(v, id, &size);
        byte_id[*byte] = id;
        code = rows_add_id(rows, byte, 1);
    }
    if (code == OK)
        code = lay_words(l, rows, byte_id);
    word_counts_release(&l->words);
    return code;
}

// ---- merges ----

// A token's text in the file must not be that of a special token.
static int check_token(const struct learner *l, const uint8_t *bytes, size_t size) {
    const char *const *specials = (const char *const *)l->specials.data;
    for (size_t i = 0; i < l->specials.size / sizeof *specials; i++) {
        const uint8_t *at = (const uint8_t *)specials[i];
        size_t k = 0;
        for (; k < size && *at; k++) {
            uint32_t c = byte_to_code_point(bytes[k]);
            if (c < 0x80 ? *at != c : at[0] != (0xc0 | c >> 6) || at[1] != (0x80 | (c & 0x3f)))
                break;
            at += c < 0x80 ? 1 : 2;
        }
        if (k == size && !*at)
            return error_set(ERROR_INPUT, "special token '%s': the text makes an ordinary token of it, too",
                             specials[i]);
    }
    return OK;
}

static int add_joined(const struct learner *l, struct vocabulary *v, uint32_t left, uint32_t right,
                      struct buffer *bytes) {
    buffer_clear(bytes);
    for (int i = 0; i < 2; i++) {
        size_t size;
        const uint8_t *half = vocabulary_bytes(v, i == 0 ? left : right, &size);
        int code = buffer_append(bytes, half, size);
        if (code != OK)
            return code;
    }
    uint32_t result = vocabulary_size(v);
    int code = check_token(l, bytes->data, bytes->size);
    if (code == OK)
        code = vocabulary_add_token(v, bytes->data, bytes->size);
    return code == OK ? vocabulary_add_merge(v, left, right, result) : code;
}

static int learn_merges(const struct learner *l, struct vocabulary *v, struct merging *m, uint32_t size,
                        struct progress *progress) {
    struct buffer bytes = {0};
    uint32_t left, right;
    bool got = true;
    int code = OK;
    while (code == OK && got && vocabulary_size(v) < size) {
        code = merging_best(m, &left, &right, &got);
        if (code != OK || !got)
            break;
        code = add_joined(l, v, left, right, &bytes);
        if (code == OK)
            code = merging_join(m, left, right, bytes.data, (uint32_t)bytes.size);
        if (progress)
            progress_update(progress, vocabulary_size(v), NULL);
    }
    buffer_release(&bytes);
    return code;
}

static int add_bytes(const struct learner *l, struct vocabulary *v) {
    uint8_t order[BYTES];
    int code = OK;
    bytes_in_alphabet_order(order);
    for (int id = 0; id < BYTES && code == OK; id++) {
        code = check_token(l, &order[id], 1);
        if (code == OK)
            code = vocabulary_add_token(v, &order[id], 1);
    }
    return code;
}

static int make_vocabulary(struct learner *l, uint32_t size, struct progress *progress, struct vocabulary *v) {
    const char *const *specials = (const char *const *)l->specials.data;
    uint32_t special_count = (uint32_t)(l->specials.size / sizeof *specials);
    struct rows rows = {0};
    struct merging m = {0};
    if (size < BYTES + special_count)
        return error_set(ERROR_USAGE, "a vocabulary of %u: at least %u (256 bytes and %u special tokens)", size,
                         BYTES + special_count, special_count);
    v->scheme.pattern = l->options.pattern;
    int code = add_bytes(l, v);
    if (code == OK && size > BYTES + special_count) {
        code = make_rows(l, v, &rows);
        if (code == OK)
            code = merging_new(&m, &rows, l->pool, l->options.min_frequency > 0 ? l->options.min_frequency : 1);
        if (code == OK)
            code = learn_merges(l, v, &m, size - special_count, progress);
        merging_release(&m);
        rows_release(&rows);
    }
    for (uint32_t i = 0; i < special_count && code == OK; i++)
        code = vocabulary_add_special(v, specials[i], false);
    return code == OK ? vocabulary_seal(v) : code;
}

int learner_finish(struct learner *l, uint32_t size, struct progress *progress, struct vocabulary **out) {
    struct vocabulary *v = NULL;
    *out = NULL;
    int code = word_counts_flush(&l->words);
    l->word_count = word_counts_size(&l->words);
    if (code == OK)
        code = vocabulary_new(&v);
    if (code == OK)
        code = make_vocabulary(l, size, progress, v);
    if (code == OK)
        *out = v;
    else
        vocabulary_free(v);
    return code;
}
