// Learning a vocabulary: count words, then join the most frequent pair until the vocabulary is full.
//
// A new token is never one that exists already: no merge ever crossed the borders of its occurrence, so the same
// merges in the same order made its inside everywhere, and a string has one last pair that makes it.
#include "base/error.h"
#include "base/progress.h"
#include "text/merging.h"
#include "text/vocabulary_private.h"
#include "text/word_counts.h"

#include <stdlib.h>

enum { WORDS_AT_ONCE = 256 };

struct learner {
    struct word_counts words;
    struct progress *progress; // NULL: none
};

int learner_new(struct learner **l) {
    *l = memory_new(1, sizeof **l);
    return *l ? OK : ERROR_SYSTEM;
}

void learner_free(struct learner *l) {
    if (l)
        word_counts_release(&l->words);
    free(l);
}

int learner_add(struct learner *l, const uint8_t *text, size_t size) {
    size_t ends[WORDS_AT_ONCE], n, begin = 0;
    int code = OK;
    while (code == OK && (n = split_words(PATTERN_GPT2, text, size, begin, ends, WORDS_AT_ONCE)) > 0)
        for (size_t i = 0; i < n && code == OK; begin = ends[i++])
            code = word_counts_add(&l->words, text + begin, ends[i] - begin);
    return code;
}

uint32_t learner_words(const struct learner *l) {
    return word_counts_size(&l->words);
}

static int add_joined(struct vocabulary *v, uint32_t left, uint32_t right) {
    struct buffer bytes = {0};
    size_t left_size, right_size;
    const uint8_t *left_bytes = vocabulary_bytes(v, left, &left_size);
    const uint8_t *right_bytes = vocabulary_bytes(v, right, &right_size);
    int code = buffer_append(&bytes, left_bytes, left_size);
    if (code == OK)
        code = buffer_append(&bytes, right_bytes, right_size);
    if (code == OK)
        code = vocabulary_add_token(v, bytes.data, bytes.size);
    buffer_release(&bytes);
    return code;
}

void learner_progress(struct learner *l, struct progress *progress) {
    l->progress = progress;
}

static int learn_merges(struct vocabulary *v, struct merging *m, uint32_t size, struct progress *progress) {
    uint32_t left, right;
    int code = OK;
    while (code == OK && vocabulary_size(v) < size && merging_best(m, &left, &right)) {
        uint32_t result = vocabulary_size(v);
        code = add_joined(v, left, right);
        if (code == OK)
            code = vocabulary_add_merge(v, left, right, result);
        if (code == OK)
            code = merging_join(m, left, right, result);
        if (progress)
            progress_update(progress, vocabulary_size(v), NULL);
    }
    return code;
}

int learner_finish(struct learner *l, uint32_t size, struct vocabulary **out) {
    struct vocabulary *v = NULL;
    struct merging m = {0};
    uint8_t order[BYTES];
    uint32_t byte_id[BYTES];
    *out = NULL;
    if (size <= BYTES)
        return error_set(ERROR_USAGE, "a vocabulary of %u: at least 257 (256 bytes and end-of-text)", size);
    int code = vocabulary_new(&v);
    bytes_in_alphabet_order(order);
    for (uint32_t id = 0; id < BYTES && code == OK; id++) {
        byte_id[order[id]] = id;
        code = vocabulary_add_token(v, &order[id], 1);
    }
    if (code == OK && size > BYTES + 1)
        code = merging_new(&m, &l->words, byte_id);
    if (code == OK)
        code = learn_merges(v, &m, size - 1, l->progress);
    merging_release(&m);
    if (code == OK)
        code = vocabulary_add_special(v, END_OF_TEXT, false);
    if (code == OK)
        code = vocabulary_seal(v);
    if (code == OK)
        *out = v;
    else
        vocabulary_free(v);
    return code;
}
