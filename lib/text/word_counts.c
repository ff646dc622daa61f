// Documents are cut into pieces between words. A batch of pieces is first searched for words, piece by piece, then
// the words are counted, shard by shard: no two threads ever want the same table.
#include "text/word_counts.h"
#include "base/error.h"
#include "base/hash.h"
#include "text/characters.h"

#include <stdlib.h>

enum {
    BATCH = 4 << 20, // bytes
    PIECE = 64 << 10,
    WORDS_AT_ONCE = 256,
    SLOTS_FIRST = 1 << 8,
    PREFETCH = 8
};

struct word_piece {
    const uint8_t *text; // the whole document: look-ahead goes to its end
    size_t size, begin, end;
};

struct found_word {
    const uint8_t *text;
    uint32_t size, hash; // the hash's highest bits are the shard
};

struct piece_words {
    struct buffer text;          // where it is not the document's own
    struct buffer words, sorted; // struct found_word, in order of the text and by shard
    uint32_t ends[WORD_SHARDS];  // in `sorted`
    int code;
};

// ---- cutting documents ----

// Whether the character that ends in front of text[end] is white space, or may be.
static bool may_be_space(const uint8_t *text, size_t end) {
    uint8_t last = text[end - 1];
    if (last < 0x80)
        return last <= ' ';
    // Beyond ASCII: U+0085, U+00A0, U+1680, U+2000 .. U+205F, U+3000.
    size_t at = end - 1;
    while (at > 0 && end - at < 3 && (text[at] & 0xc0) == 0x80)
        at--;
    return text[at] == 0xc2 || text[at] == 0xe1 || text[at] == 0xe2 || (text[at] == 0xe3 && text[at + 1] == 0x80);
}

// Whether every pattern ends a word in front of text[at], whatever came before: a space behind something else, or
// what follows a line feed, but for white space and the '/' that o200k takes along.
static bool is_border(const uint8_t *text, size_t at) {
    if (text[at] == ' ')
        return !may_be_space(text, at);
    return text[at - 1] == '\n' && text[at] > ' ' && text[at] < 0x80 && text[at] != '/';
}

static int cut_document(struct word_counts *w, const uint8_t *text, size_t size, size_t *begin, size_t most) {
    size_t limit = *begin + most < size ? *begin + most : size;
    int code = OK;
    while (*begin < limit && code == OK) {
        size_t end = *begin + PIECE < size ? *begin + PIECE : size;
        while (end < size && !is_border(text, end))
            end++;
        code = buffer_append(&w->pieces, &(struct word_piece){text, size, *begin, end}, sizeof(struct word_piece));
        *begin = end;
    }
    return code;
}

// ---- searching and counting ----

static void sort_by_shard(struct piece_words *found) {
    const struct found_word *words = (const struct found_word *)found->words.data;
    struct found_word *sorted = (struct found_word *)found->sorted.data;
    size_t n = found->words.size / sizeof *words;
    uint32_t at[WORD_SHARDS] = {0}, sum = 0;
    for (size_t i = 0; i < n; i++)
        at[words[i].hash >> (32 - WORD_SHARD_BITS)]++;
    for (int s = 0; s < WORD_SHARDS; s++) {
        uint32_t count = at[s];
        at[s] = sum;
        found->ends[s] = sum += count;
    }
    for (size_t i = 0; i < n; i++)
        sorted[at[words[i].hash >> (32 - WORD_SHARD_BITS)]++] = words[i];
}

static int add_found(struct piece_words *found, const uint8_t *text, size_t size) {
    if (size >= UINT32_MAX)
        return ERROR_INPUT;
    struct found_word word = {text, (uint32_t)size, (uint32_t)XXH3_64bits(text, size)};
    return buffer_append(&found->words, &word, sizeof word);
}

static int search_pattern(enum text_pattern pattern, const struct word_piece *piece, struct piece_words *found) {
    size_t ends[WORDS_AT_ONCE], begin = piece->begin;
    int code = OK;
    while (begin < piece->end && code == OK) {
        size_t n = split_words(pattern, piece->text, piece->size, begin, ends, WORDS_AT_ONCE);
        for (size_t i = 0; i < n && begin < piece->end && code == OK; begin = ends[i++])
            code = add_found(found, piece->text + begin, ends[i] - begin);
    }
    return code;
}

static int search_characters(const struct word_piece *piece, struct piece_words *found) {
    struct buffer *text = &found->text;
    buffer_clear(text);
    int code = characters_escape(piece->text, piece->begin, piece->end, piece->begin == 0, text);
    for (size_t begin = 0, end; begin < text->size && code == OK; begin = end) {
        bool dropped;
        end = characters_word_end(text->data, text->size, begin, &dropped);
        if (!dropped)
            code = add_found(found, text->data + begin, end - begin);
    }
    return code;
}

static int search_piece(const struct word_counts *w, const struct word_piece *piece, struct piece_words *found) {
    buffer_clear(&found->words);
    buffer_clear(&found->sorted);
    int code = w->characters ? search_characters(piece, found) : search_pattern(w->pattern, piece, found);
    if (code == OK)
        code = buffer_reserve(&found->sorted, found->words.size);
    if (code == OK)
        sort_by_shard(found);
    return code;
}

static void search_task(void *context, int i, int thread) {
    struct word_counts *w = context;
    (void)thread;
    w->found[i].code = search_piece(w, (const struct word_piece *)w->pieces.data + i, &w->found[i]);
}

static int grow_slots(struct word_shard *s) {
    uint64_t n = s->slot_count ? 2 * s->slot_count : SLOTS_FIRST;
    uint64_t *slots = memory_new(n, sizeof *slots);
    if (!slots)
        return ERROR_SYSTEM;
    for (uint64_t k = 0; k < s->slot_count; k++) {
        if (s->slots[k] == 0)
            continue;
        uint64_t i = s->slots[k] >> 32 & (n - 1);
        while (slots[i])
            i = (i + 1) & (n - 1);
        slots[i] = s->slots[k];
    }
    free(s->slots);
    s->slots = slots;
    s->slot_count = n;
    return OK;
}

static int count_word(struct word_shard *s, const struct found_word *found) {
    uint64_t n = s->words.size / sizeof(struct word), hash = found->hash;
    if (4 * n >= 3 * s->slot_count) {
        int code = grow_slots(s);
        if (code != OK)
            return code;
    }
    uint64_t i = hash & (s->slot_count - 1);
    for (; s->slots[i]; i = (i + 1) & (s->slot_count - 1)) {
        if (s->slots[i] >> 32 != hash)
            continue;
        struct word *known = (struct word *)s->words.data + ((uint32_t)s->slots[i] - 1);
        if (known->size == found->size && memcmp(s->bytes.data + known->begin, found->text, found->size) == 0) {
            known->count++;
            return OK;
        }
    }
    if (s->bytes.size + found->size > UINT32_MAX || n + 1 >= UINT32_MAX >> WORD_SHARD_BITS)
        return ERROR_INPUT;
    struct word fresh = {.begin = (uint32_t)s->bytes.size, .size = found->size, .count = 1};
    int code = buffer_append(&s->bytes, found->text, found->size);
    if (code == OK)
        code = buffer_append(&s->words, &fresh, sizeof fresh);
    if (code == OK)
        s->slots[i] = hash << 32 | (n + 1);
    return code;
}

static void count_task(void *context, int i, int thread) {
    struct word_counts *w = context;
    struct word_shard *s = &w->shards[i];
    size_t pieces = w->pieces.size / sizeof(struct word_piece);
    (void)thread;
    s->code = OK;
    for (size_t k = 0; k < pieces && s->code == OK; k++) {
        const struct found_word *words = (const struct found_word *)w->found[k].sorted.data;
        uint32_t end = w->found[k].ends[i];
        for (uint32_t at = i > 0 ? w->found[k].ends[i - 1] : 0; at < end && s->code == OK; at++) {
            if (at + PREFETCH < end && s->slot_count > 0)
                __builtin_prefetch(&s->slots[words[at + PREFETCH].hash & (s->slot_count - 1)]);
            s->code = count_word(s, &words[at]);
        }
    }
}

// A thread's message stays with the thread.
static int fail(int code) {
    return code == ERROR_INPUT ? error_set(code, "too many distinct words: 4 GB in one of %d tables", WORD_SHARDS)
                               : error_set(code, "out of memory: counting words");
}

static int count_pieces(struct word_counts *w) {
    size_t pieces = w->pieces.size / sizeof(struct word_piece);
    if (pieces > w->found_room) {
        int code = memory_resize(&w->found, pieces, sizeof *w->found);
        if (code != OK)
            return code;
        memset(w->found + w->found_room, 0, (pieces - w->found_room) * sizeof *w->found);
        w->found_room = pieces;
    }
    threads_run(w->pool, (int)pieces, search_task, w);
    for (size_t i = 0; i < pieces; i++)
        if (w->found[i].code != OK)
            return fail(w->found[i].code);
    threads_run(w->pool, WORD_SHARDS, count_task, w);
    for (int i = 0; i < WORD_SHARDS; i++)
        if (w->shards[i].code != OK)
            return fail(w->shards[i].code);
    buffer_clear(&w->pieces);
    return OK;
}

int word_counts_flush(struct word_counts *w) {
    int code = count_pieces(w);
    buffer_clear(&w->batch);
    return code;
}

int word_counts_add(struct word_counts *w, const uint8_t *text, size_t size) {
    int code = OK;
    size_t begin = 0;
    if (size <= BATCH / 4) { // copied, for it does not stay
        if (w->batch.size + size > BATCH)
            code = word_counts_flush(w);
        if (code == OK)
            code = buffer_reserve(&w->batch, BATCH - w->batch.size); // once: the pieces point into it
        const uint8_t *copy = w->batch.data + w->batch.size;
        if (code == OK)
            code = buffer_append(&w->batch, text, size);
        return code == OK ? cut_document(w, copy, size, &begin, size) : code;
    }
    code = word_counts_flush(w);
    while (begin < size && code == OK) {
        code = cut_document(w, text, size, &begin, BATCH);
        if (code == OK)
            code = count_pieces(w);
    }
    return code;
}

void word_counts_release(struct word_counts *w) {
    for (int s = 0; s < WORD_SHARDS; s++) {
        buffer_release(&w->shards[s].bytes);
        buffer_release(&w->shards[s].words);
        free(w->shards[s].slots);
    }
    for (size_t i = 0; i < w->found_room; i++) {
        buffer_release(&w->found[i].text);
        buffer_release(&w->found[i].words);
        buffer_release(&w->found[i].sorted);
    }
    free(w->found);
    buffer_release(&w->batch);
    buffer_release(&w->pieces);
    *w = (struct word_counts){0};
}

// ---- the result ----

uint64_t word_counts_size(const struct word_counts *w) {
    uint64_t sum = 0;
    for (int s = 0; s < WORD_SHARDS; s++)
        sum += w->shards[s].words.size / sizeof(struct word);
    return sum;
}

uint64_t word_counts_bytes(const struct word_counts *w) {
    uint64_t sum = 0;
    for (int s = 0; s < WORD_SHARDS; s++)
        sum += w->shards[s].bytes.size;
    return sum;
}

struct frequent_word {
    uint64_t count;
    uint32_t number;
};

static int compare_counts(const void *a, const void *b) {
    const struct frequent_word *x = a, *y = b;
    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

// Most words are rare: those are sorted by counting them.
enum { RARE = 1 << 12 };

int word_counts_sort(const struct word_counts *w, uint32_t **order) {
    uint32_t at[RARE] = {0};
    struct buffer frequent = {0};
    int code = OK;
    for (int s = 0; s < WORD_SHARDS && code == OK; s++) {
        const struct word *words = (const struct word *)w->shards[s].words.data;
        uint32_t size = (uint32_t)(w->shards[s].words.size / sizeof *words);
        for (uint32_t k = 0; k < size && code == OK; k++) {
            struct frequent_word f = {words[k].count, k << WORD_SHARD_BITS | (uint32_t)s};
            if (f.count < RARE)
                at[f.count]++;
            else
                code = buffer_append(&frequent, &f, sizeof f);
        }
    }
    *order = code == OK ? memory_new(word_counts_size(w), sizeof **order) : NULL;
    if (!*order) {
        buffer_release(&frequent);
        return ERROR_SYSTEM;
    }
    struct frequent_word *f = (struct frequent_word *)frequent.data;
    uint32_t sum = (uint32_t)(frequent.size / sizeof *f);
    if (sum > 0)
        qsort(f, sum, sizeof *f, compare_counts);
    for (uint32_t k = 0; k < sum; k++)
        (*order)[k] = f[k].number;
    for (int c = RARE - 1; c > 0; c--) {
        uint32_t equal = at[c];
        at[c] = sum;
        sum += equal;
    }
    for (int s = 0; s < WORD_SHARDS; s++) {
        const struct word *words = (const struct word *)w->shards[s].words.data;
        uint32_t size = (uint32_t)(w->shards[s].words.size / sizeof *words);
        for (uint32_t k = 0; k < size; k++)
            if (words[k].count < RARE)
                (*order)[at[words[k].count]++] = k << WORD_SHARD_BITS | (uint32_t)s;
    }
    buffer_release(&frequent);
    return OK;
}
