#include "text/characters.h"
#include "base/error.h"
#include "base/utf8.h"
#include "text/split.h"
#include "text/vocabulary_private.h"
#include "text/word_counts.h"

#include <stdlib.h>

int characters_escape(const uint8_t *text, size_t begin, size_t end, bool first, struct buffer *out) {
    size_t spaces = first && begin < end, meta = strlen(META_SPACE);
    for (size_t i = begin; i < end; i++)
        spaces += text[i] == ' ';
    int code = buffer_reserve(out, end - begin + spaces * meta);
    if (code != OK)
        return code;
    uint8_t *to = out->data + out->size;
    if (first && begin < end) {
        memcpy(to, META_SPACE, meta);
        to += meta;
    }
    for (size_t i = begin; i < end; i++) {
        if (text[i] == ' ') {
            memcpy(to, META_SPACE, meta);
            to += meta;
        } else {
            *to++ = text[i];
        }
    }
    out->size = (size_t)(to - out->data);
    return OK;
}

// ---- words ----

enum kind { META, LETTERS, SPACES, OTHERS, DIGIT, DROPPED };

static enum kind kind_of(uint32_t c) {
    if (c == META_SPACE_CODE_POINT)
        return META;
    if ((c >= '0' && c <= '9') || (c >= 0xff10 && c <= 0xff19)) // SentencePiece's digits
        return DIGIT;
    if (c == '\n')
        return DROPPED;
    enum text_class class = character_class(c);
    return class == CLASS_LETTER || class == CLASS_MARK ? LETTERS : class == CLASS_SPACE ? SPACES : OTHERS;
}

static enum kind kind_at(const uint8_t *text, size_t size, size_t at, size_t *next) {
    static const uint8_t ascii_letter = 0x20;
    uint32_t c = text[at];
    *next = at + 1;
    if ((c | ascii_letter) >= 'a' && (c | ascii_letter) <= 'z')
        return LETTERS;
    return c < 0x80 || utf8_read(text, size, at, &c, next) ? kind_of(c) : DROPPED;
}

static bool is_border(enum kind left, enum kind right) {
    if (right == META)
        return left != META;
    if (left == META)
        return right != LETTERS && right != OTHERS;
    return left != right || left == DIGIT || left == DROPPED;
}

size_t characters_word_end(const uint8_t *text, size_t size, size_t begin, bool *dropped) {
    size_t at, next;
    enum kind kind = kind_at(text, size, begin, &at);
    *dropped = kind == DROPPED;
    while (at < size) {
        enum kind following = kind_at(text, size, at, &next);
        if (is_border(kind, following))
            break;
        kind = following;
        at = next;
    }
    return at;
}

// ---- the alphabet ----

struct character {
    uint64_t count;
    uint32_t code;
};

static int compare_characters(const void *a, const void *b) {
    const struct character *x = a, *y = b;
    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    return x->code < y->code ? -1 : x->code > y->code;
}

static int compare_codes(const void *a, const void *b) {
    const uint32_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static uint64_t count_characters(const struct word_counts *words, uint64_t *counts) {
    uint64_t all = 0;
    for (int s = 0; s < WORD_SHARDS; s++) {
        const struct word_shard *shard = &words->shards[s];
        const struct word *word = (const struct word *)shard->words.data;
        for (size_t k = 0; k < shard->words.size / sizeof *word; k++) {
            const uint8_t *bytes = shard->bytes.data + word[k].begin;
            for (size_t at = 0, next; at < word[k].size; at = next) {
                uint32_t c = bytes[at];
                next = at + 1;
                if (c >= 0x80)
                    utf8_read(bytes, word[k].size, at, &c, &next);
                counts[c] += word[k].count;
                all += word[k].count;
            }
        }
    }
    return all;
}

int alphabet_choose(struct alphabet *a, const struct word_counts *words, double coverage) {
    uint64_t *counts = memory_new(CODE_POINTS, sizeof *counts);
    struct buffer found = {0};
    *a = (struct alphabet){0};
    if (!counts)
        return ERROR_SYSTEM;
    uint64_t all = count_characters(words, counts), covered = 0;
    int code = OK;
    for (uint32_t c = 0; c < CODE_POINTS && code == OK; c++)
        if (counts[c] > 0 || c == META_SPACE_CODE_POINT)
            code = buffer_append(&found, &(struct character){counts[c], c}, sizeof(struct character));
    free(counts);
    struct character *by_count = (struct character *)found.data;
    size_t n = found.size / sizeof *by_count;
    if (code == OK) {
        qsort(by_count, n, sizeof *by_count, compare_characters);
        a->codes = memory_new(n, sizeof *a->codes);
        code = a->codes ? OK : ERROR_SYSTEM;
    }
    for (size_t i = 0; i < n && code == OK; i++) {
        if ((double)covered < coverage * (double)all || by_count[i].code == META_SPACE_CODE_POINT)
            a->codes[a->count++] = by_count[i].code;
        covered += by_count[i].count;
    }
    if (code == OK)
        qsort(a->codes, a->count, sizeof *a->codes, compare_codes);
    buffer_release(&found);
    return code;
}

void alphabet_release(struct alphabet *a) {
    free(a->codes);
    *a = (struct alphabet){0};
}
