// Learning a vocabulary: count words, then join the most frequent pair until the vocabulary is full.
//
// A new token is never one that exists already: no merge ever crossed the borders of its occurrence, so the same
// merges in the same order made its inside everywhere, and a string has one last pair that makes it.
#include "text/learner.h"
#include "base/error.h"
#include "base/progress.h"
#include "base/utf8.h"
#include "text/characters.h"
#include "text/merging.h"
#include "text/vocabulary_private.h"
#include "text/word_counts.h"

#include <stdio.h>
#include <stdlib.h>

struct learner {
    struct learner_options options;
    struct word_counts words;
    uint64_t word_count;
    struct threads *pool;
    struct buffer specials; // const char *: all, in the order of their ids
    struct alphabet alphabet;
};

static int add_special(struct learner *l, const char *text) {
    const char *const *specials = (const char *const *)l->specials.data;
    if (!*text)
        return error_set(ERROR_USAGE, "a special token is empty");
    for (size_t i = 0; i < l->specials.size / sizeof *specials; i++)
        if (strcmp(specials[i], text) == 0)
            return error_set(ERROR_USAGE, "special token '%s': twice", text);
    return buffer_append(&l->specials, &text, sizeof text);
}

static int collect_specials(struct learner *l) {
    static const char *const own[] = {"<unk>", "<s>", "</s>"};
    const struct learner_options *o = &l->options;
    bool has_end = o->characters;
    int code = OK;
    for (size_t i = 0; o->characters && i < sizeof own / sizeof *own && code == OK; i++)
        code = add_special(l, own[i]);
    for (int i = 0; i < o->special_count; i++)
        has_end = has_end || strcmp(o->specials[i], END_OF_TEXT) == 0;
    if (code == OK && !has_end)
        code = add_special(l, END_OF_TEXT);
    for (int i = 0; i < o->special_count && code == OK; i++)
        code = add_special(l, o->specials[i]);
    return code;
}

static uint32_t special_count(const struct learner *l) {
    return (uint32_t)(l->specials.size / sizeof(const char *));
}

int learner_new(struct learner **out, const struct learner_options *options) {
    struct learner *l = *out = memory_new(1, sizeof *l);
    if (!l)
        return ERROR_SYSTEM;
    l->options = *options;
    int code = collect_specials(l);
    if (code == OK)
        code = threads_new(&l->pool, options->threads);
    l->words =
        (struct word_counts){.pool = l->pool, .pattern = options->pattern, .characters = options->characters};
    return code;
}

void learner_free(struct learner *l) {
    if (!l)
        return;
    word_counts_release(&l->words);
    threads_free(l->pool);
    buffer_release(&l->specials);
    alphabet_release(&l->alphabet);
    free(l);
}

int learner_add(struct learner *l, const uint8_t *text, size_t size) {
    return word_counts_add(&l->words, text, size);
}

uint64_t learner_words(const struct learner *l) {
    return l->word_count;
}

// ---- the tokens before any merge ----

// A token's text in the file must not be that of a special token.
static int check_token(const struct learner *l, const uint8_t *piece, size_t size) {
    const char *const *specials = (const char *const *)l->specials.data;
    for (uint32_t i = 0; i < special_count(l); i++) {
        const uint8_t *at = (const uint8_t *)specials[i];
        size_t k = 0;
        for (; k < size && *at; k++) {
            uint32_t c = l->options.characters ? piece[k] : byte_to_code_point(piece[k]);
            uint8_t text[4] = {piece[k]};
            uint32_t n = l->options.characters ? 1 : utf8_write(c, text);
            if (strncmp((const char *)at, (const char *)text, n) != 0)
                break;
            at += n;
        }
        if (k == size && !*at)
            return error_set(ERROR_INPUT, "special token '%s': an ordinary token of this text, too", specials[i]);
    }
    return OK;
}

static int add_token(const struct learner *l, struct vocabulary *v, const uint8_t *piece, size_t size, int byte) {
    int code = check_token(l, piece, size);
    if (code != OK)
        return code;
    return l->options.characters ? vocabulary_add_piece(v, (const char *)piece, size, byte)
                                 : vocabulary_add_token(v, piece, size);
}

static int add_specials(const struct learner *l, struct vocabulary *v) {
    const char *const *specials = (const char *const *)l->specials.data;
    int code = OK;
    for (uint32_t i = 0; i < special_count(l) && code == OK; i++)
        code = vocabulary_add_special(v, specials[i], l->options.characters);
    return code;
}

static int add_bytes(const struct learner *l, struct vocabulary *v) {
    uint8_t order[BYTES];
    int code = OK;
    bytes_in_alphabet_order(order);
    for (int i = 0; i < BYTES && code == OK; i++) {
        char name[8];
        int size = snprintf(name, sizeof name, "<0x%02X>", (unsigned)i);
        code = l->options.characters ? add_token(l, v, (const uint8_t *)name, (size_t)size, i)
                                     : add_token(l, v, &order[i], 1, -1);
    }
    return code;
}

static int add_characters(const struct learner *l, struct vocabulary *v) {
    int code = OK;
    for (uint32_t i = 0; i < l->alphabet.count && code == OK; i++) {
        uint8_t bytes[4];
        uint32_t size = utf8_write(l->alphabet.codes[i], bytes);
        code = add_token(l, v, bytes, size, -1);
    }
    return code;
}

// ---- the words as rows of symbols ----

struct laying {
    struct rows *rows;
    uint32_t *id_of; // by byte or code point; 0: none (id 0 is special where that can be)
    bool characters;
};

static int lay_word(const struct laying *a, const uint8_t *bytes, const struct word *word) {
    bool open = false;
    int code = OK;
    for (size_t at = 0, next; at < word->size && code == OK; at = next) {
        uint32_t c = bytes[at];
        next = at + 1;
        if (a->characters && c >= 0x80)
            utf8_read(bytes, word->size, at, &c, &next);
        bool known = !a->characters || a->id_of[c] > 0;
        if (known && !open)
            code = rows_begin_word(a->rows, word->count);
        if (known && code == OK)
            rows_add_symbol(a->rows, bytes + at, (uint32_t)(next - at), a->id_of[c]);
        open = known;
    }
    return code;
}

static int lay_words(struct learner *l, const struct laying *a) {
    uint32_t *order = NULL;
    int code = word_counts_sort(&l->words, &order);
    for (uint64_t k = 0; k < l->word_count && code == OK; k++) {
        const uint8_t *bytes;
        const struct word *word = word_counts_word(&l->words, order[k], &bytes);
        code = lay_word(a, bytes, word);
    }
    free(order);
    return code == OK ? rows_finish(a->rows) : code;
}

static int make_rows(struct learner *l, const struct vocabulary *v, struct rows *rows) {
    int parts = threads_count(l->pool) < ROW_PARTS_MOST ? threads_count(l->pool) : ROW_PARTS_MOST;
    struct laying a = {.rows = rows, .characters = l->options.characters};
    a.id_of = memory_new(CODE_POINTS, sizeof *a.id_of);
    int code = a.id_of ? rows_new(rows, word_counts_bytes(&l->words), parts) : ERROR_SYSTEM;
    uint32_t first = vocabulary_size(v) - l->alphabet.count; // of the characters
    for (uint32_t id = 0; id < vocabulary_size(v) && code == OK; id++) {
        size_t size;
        const uint8_t *piece = vocabulary_piece(v, id, &size);
        bool symbol = !a.characters || id >= first;
        code = rows_add_id(rows, piece, symbol ? (uint32_t)size : 0);
        if (symbol)
            a.id_of[a.characters ? l->alphabet.codes[id - first] : *piece] = id;
    }
    if (code == OK)
        code = lay_words(l, &a);
    free(a.id_of);
    word_counts_release(&l->words);
    return code;
}

// ---- merges ----

static int add_joined(const struct learner *l, struct vocabulary *v, uint32_t left, uint32_t right,
                      struct buffer *piece) {
    buffer_clear(piece);
    for (int i = 0; i < 2; i++) {
        size_t size;
        const uint8_t *half = vocabulary_piece(v, i == 0 ? left : right, &size);
        int code = buffer_append(piece, half, size);
        if (code != OK)
            return code;
    }
    uint32_t result = vocabulary_size(v);
    int code = add_token(l, v, piece->data, piece->size, -1);
    return code == OK ? vocabulary_add_merge(v, left, right, result) : code;
}

static int learn_merges(const struct learner *l, struct vocabulary *v, struct merging *m, uint32_t size,
                        struct progress *progress) {
    struct buffer piece = {0};
    uint32_t left, right;
    bool got = true;
    int code = OK;
    while (code == OK && got && vocabulary_size(v) < size) {
        code = merging_best(m, &left, &right, &got);
        if (code != OK || !got)
            break;
        code = add_joined(l, v, left, right, &piece);
        if (code == OK)
            code = merging_join(m, left, right, piece.data, (uint32_t)piece.size);
        if (progress)
            progress_update(progress, vocabulary_size(v), NULL);
    }
    buffer_release(&piece);
    return code;
}

static int make_merges(struct learner *l, struct vocabulary *v, uint32_t size, struct progress *progress) {
    struct rows rows = {0};
    struct merging m = {0};
    if (size <= vocabulary_size(v))
        return OK;
    int code = make_rows(l, v, &rows);
    if (code == OK)
        code = merging_new(&m, &rows, l->pool, l->options.min_frequency > 0 ? l->options.min_frequency : 1);
    if (code == OK)
        code = learn_merges(l, v, &m, size, progress);
    merging_release(&m);
    rows_release(&rows);
    return code;
}

static int make_vocabulary(struct learner *l, uint32_t size, struct progress *progress, struct vocabulary *v) {
    bool characters = l->options.characters;
    int code = characters ? alphabet_choose(&l->alphabet, &l->words, l->options.coverage) : OK;
    uint32_t least = BYTES + special_count(l) + l->alphabet.count;
    if (code == OK && size < least)
        return error_set(ERROR_USAGE,
                         "a vocabulary of %u: at least %u (256 bytes, %u special tokens, %u characters)", size,
                         least, special_count(l), l->alphabet.count);
    v->scheme.pattern = l->options.pattern;
    if (characters)
        v->scheme = (struct scheme){.normalizer = NORMALIZE_META_SPACE,
                                    .pattern = PATTERN_NONE,
                                    .model = MODEL_BPE,
                                    .symbols = SYMBOLS_CHARACTERS,
                                    .byte_fallback = true,
                                    .fuse_unknown = true,
                                    .dummy_prefix = true};
    if (code == OK && characters)
        code = add_specials(l, v);
    if (code == OK)
        code = add_bytes(l, v);
    if (code == OK)
        code = add_characters(l, v);
    if (code == OK)
        code = make_merges(l, v, characters ? size : size - special_count(l), progress);
    if (code == OK && !characters)
        code = add_specials(l, v);
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
