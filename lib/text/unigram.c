#include "text/unigram.h"
#include "base/error.h"
#include "text/vocabulary_private.h"

#include <math.h>
#include <stdlib.h>

enum { CACHE_SLOTS = 1 << 16, CACHE_TEXT = 26, CACHE_IDS = 8, AHEAD = 64 };

struct unigram_model {
    struct trie trie; // pieces -> ids
    size_t longest;   // bytes of a piece
};

// 64 bytes: one cache line. A slot holds the latest word that fell on it.
struct cache_slot {
    uint8_t size, count; // size 0: free; count 0: too many ids, or bytes in place of an unknown character
    uint8_t text[CACHE_TEXT];
    float limit; // the ids are right where the sum before the word is nearer to 0 than this
    uint32_t ids[CACHE_IDS];
};

struct unigram {
    const struct vocabulary *vocabulary;
    const float *scores;
    void *memory;
    struct cache_slot *cache; // in it, aligned
    struct buffer *ids;       // where the current call appends
    float sum;                // of the text so far
    bool behind_unknown;      // the latest id is `unknown`
    // One word's: by its bytes, the piece that ends there in the best way to it; a ring of the best ways' sums;
    // the best way from the end.
    struct buffer last, way;
    float *sums;
    size_t ring_mask;
};

static const uint32_t no_way = UINT32_MAX, unknown_character = UINT32_MAX - 1; // in `last`
static const float sum_most = 100000; // a larger sum becomes 0 and those ahead of it their distance from it

// ---- the model ----

int unigram_model_new(struct unigram_model **out, const struct vocabulary *v) {
    struct unigram_model *m = *out = memory_new(1, sizeof *m);
    struct trie_key *keys = memory_new(v->size, sizeof *keys);
    if (!m || !keys) {
        free(keys);
        return ERROR_SYSTEM;
    }
    const float *scores = (const float *)v->scores.data;
    size_t count = 0;
    for (uint32_t id = 0; id < v->size; id++) {
        struct trie_key *key = &keys[count];
        *key = (struct trie_key){.value = id};
        key->bytes = vocabulary_piece(v, id, &key->size);
        if (key->size == 0 || isnan(scores[id]))
            continue;
        m->longest = key->size > m->longest ? key->size : m->longest;
        count++;
    }
    int code = count == 0 ? error_set(ERROR_INPUT, "no pieces") : trie_build(&m->trie, keys, count);
    free(keys);
    return code;
}

void unigram_model_free(struct unigram_model *m) {
    if (!m)
        return;
    trie_release(&m->trie);
    free(m);
}

// ---- a thread's ----

int unigram_new(struct unigram **out, const struct vocabulary *v) {
    *out = NULL;
    struct unigram *u = memory_new(1, sizeof *u);
    if (!u)
        return ERROR_SYSTEM;
    u->vocabulary = v;
    u->scores = (const float *)v->scores.data;
    while (u->ring_mask <= v->unigram->longest + 4) // an unknown character may be longer than any piece
        u->ring_mask = u->ring_mask * 2 + 1;
    // The system has zeroed pages for what is used of it, and a short text uses little.
    u->memory = memory_new(CACHE_SLOTS + 1, sizeof *u->cache);
    u->sums = memory_new(u->ring_mask + 1, sizeof *u->sums);
    if (!u->memory || !u->sums) {
        unigram_free(u);
        return ERROR_SYSTEM;
    }
    u->cache =
        (struct cache_slot *)(((uintptr_t)u->memory + sizeof *u->cache - 1) / sizeof *u->cache * sizeof *u->cache);
    *out = u;
    return OK;
}

void unigram_free(struct unigram *u) {
    if (!u)
        return;
    free(u->memory);
    free(u->sums);
    buffer_release(&u->last);
    buffer_release(&u->way);
    free(u);
}

void unigram_begin(struct unigram *u) {
    u->sum = 0;
    u->behind_unknown = false;
}

static inline size_t character_size(uint8_t first) { // of well-formed UTF-8
    return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

// ---- what a way becomes ----

static int append_unknown(struct unigram *u, const uint8_t *character, size_t size) {
    const struct vocabulary *v = u->vocabulary;
    int code = OK;
    if (v->scheme.byte_fallback)
        for (size_t i = 0; i < size && code == OK; i++)
            code = buffer_append(u->ids, &v->byte_id[character[i]], sizeof *v->byte_id);
    else if (!u->behind_unknown || !v->scheme.fuse_unknown)
        code = buffer_append(u->ids, &v->scheme.unknown, sizeof v->scheme.unknown);
    u->behind_unknown = true;
    return code;
}

// The ids of a word whose best way is known by `last`, that is, from its end.
static int append_way(struct unigram *u, const uint8_t *word, size_t size, const uint32_t *last) {
    buffer_clear(&u->way);
    int code = OK;
    for (size_t end = size; end > 0 && code == OK;) {
        code = buffer_append(&u->way, &last[end], sizeof *last);
        size_t bytes = 1;
        if (last[end] != unknown_character)
            vocabulary_piece(u->vocabulary, last[end], &bytes);
        else
            while ((word[end - bytes] & 0xc0) == 0x80)
                bytes++;
        end -= bytes;
    }
    const uint32_t *way = (const uint32_t *)u->way.data;
    for (size_t i = u->way.size / sizeof *way, at = 0; i-- > 0 && code == OK;) {
        size_t bytes;
        if (way[i] == unknown_character) {
            bytes = character_size(word[at]);
            code = append_unknown(u, word + at, bytes);
        } else {
            vocabulary_piece(u->vocabulary, way[i], &bytes);
            code = buffer_append(u->ids, &way[i], sizeof *way);
            u->behind_unknown = false;
        }
        at += bytes;
    }
    return code;
}

// ---- at the present sum ----

// The best way as SentencePiece finds it: in single precision, from the present sum on.
static int encode_exactly(struct unigram *u, const uint8_t *word, size_t size) {
    const struct trie *trie = &u->vocabulary->unigram->trie;
    buffer_clear(&u->last);
    int code = buffer_reserve(&u->last, (size + 1) * sizeof(uint32_t));
    if (code != OK)
        return code;
    uint32_t *last = (uint32_t *)u->last.data;
    memset(last, 0xff, (size + 1) * sizeof *last);
    float *sums = u->sums;
    size_t mask = u->ring_mask, frontier = 0;
    sums[0] = u->sum;
    for (size_t at = 0, length; at < size; at += length) {
        float sum = sums[at & mask];
        if (fabsf(sum) > sum_most) {
            for (size_t i = at + 1; i <= frontier; i++)
                if (last[i] != no_way)
                    sums[i & mask] -= sum;
            sum = 0;
        }
        length = character_size(word[at]);
        bool single = false; // the character is a piece
        uint32_t node = 0;
        for (size_t end = at; end < size && (node = trie_child(trie, node, word[end])) != 0;) {
            uint32_t id = trie_value(trie, node) - 1;
            end++;
            if (id == no_id)
                continue;
            float candidate = u->scores[id] + sum;
            if (last[end] == no_way || candidate > sums[end & mask]) {
                sums[end & mask] = candidate;
                last[end] = id;
            }
            single = single || end == at + length;
            frontier = end > frontier ? end : frontier;
        }
        float candidate = u->vocabulary->unknown_score + sum;
        size_t end = at + length;
        if (!single && (last[end] == no_way || candidate > sums[end & mask])) {
            sums[end & mask] = candidate;
            last[end] = unknown_character;
            frontier = end > frontier ? end : frontier;
        }
    }
    u->sum = sums[size & mask];
    return append_way(u, word, size, last);
}

// ---- from the cache ----

struct best {         // of the ways to a place
    double sum, lead; // over the second best
    uint32_t last;
};

static void offer_way(struct best *b, double sum, uint32_t last) {
    if (b->last != no_way && sum <= b->sum) {
        b->lead = fmin(b->lead, b->sum - sum);
        return;
    }
    b->lead = b->last == no_way ? INFINITY : sum - b->sum;
    b->sum = sum;
    b->last = last;
}

// The best ways to every place of a short word, from sum 0 in double precision; the largest sum seen.
static double find_ways(const struct unigram *u, const uint8_t *word, size_t size, struct best *best,
                        int *characters) {
    const struct trie *trie = &u->vocabulary->unigram->trie;
    double most = 0;
    for (size_t i = 0; i <= size; i++)
        best[i] = (struct best){.last = no_way};
    *characters = 0;
    for (size_t at = 0, length; at < size; at += length, ++*characters) {
        length = character_size(word[at]);
        bool single = false;
        uint32_t node = 0;
        for (size_t end = at; end < size && (node = trie_child(trie, node, word[end])) != 0;) {
            uint32_t id = trie_value(trie, node) - 1;
            end++;
            if (id == no_id)
                continue;
            double sum = best[at].sum + (double)u->scores[id];
            offer_way(&best[end], sum, id);
            most = fmax(most, fabs(sum));
            single = single || end == at + length;
        }
        if (!single) {
            double sum = best[at].sum + (double)u->vocabulary->unknown_score;
            offer_way(&best[at + length], sum, unknown_character);
            most = fmax(most, fabs(sum));
        }
    }
    return most;
}

// A sum in single precision that comes about in n additions and never exceeds B is off by at most n B 2^-24, and
// the difference of two by twice that. So a way that leads by more at every place that it goes through is the one
// that is taken, too. Here B is the sum before the word and the largest within it.
static void fill_slot(const struct unigram *u, const uint8_t *word, size_t size, struct cache_slot *slot) {
    struct best best[CACHE_TEXT + 1];
    int characters;
    double most = find_ways(u, word, size, best, &characters), lead = INFINITY;
    uint32_t ids[CACHE_TEXT];
    int count = 0;
    bool bytes_needed = false;
    for (size_t end = size, bytes; end > 0; end -= bytes) {
        const struct best *b = &best[end];
        lead = fmin(lead, b->lead);
        bytes = 1;
        ids[count++] = b->last;
        if (b->last != unknown_character)
            vocabulary_piece(u->vocabulary, b->last, &bytes);
        else {
            bytes_needed = u->vocabulary->scheme.byte_fallback;
            while ((word[end - bytes] & 0xc0) == 0x80)
                bytes++;
        }
    }
    double limit = fmin(lead * 0x1p23 * 0.99 / characters, (double)sum_most - 1) - most;
    *slot = (struct cache_slot){.size = (uint8_t)size, .limit = limit > 0 ? (float)limit : 0};
    memcpy(slot->text, word, size);
    if (count > CACHE_IDS || bytes_needed)
        return;
    slot->count = (uint8_t)count;
    for (int i = 0; i < count; i++)
        slot->ids[i] = ids[count - 1 - i];
}

static int append_slot(struct unigram *u, const struct cache_slot *slot) {
    const struct vocabulary *v = u->vocabulary;
    int code = buffer_reserve(u->ids, slot->count * sizeof(uint32_t));
    uint32_t *ids = (uint32_t *)(u->ids->data + u->ids->size), *end = ids;
    if (code != OK)
        return code;
    for (int i = 0; i < slot->count; i++) {
        uint32_t id = slot->ids[i];
        bool unknown = id == unknown_character;
        if (!unknown || !u->behind_unknown || !v->scheme.fuse_unknown)
            *end++ = unknown ? v->scheme.unknown : id;
        u->behind_unknown = unknown;
        u->sum += unknown ? v->unknown_score : u->scores[id];
    }
    u->ids->size += (size_t)(end - ids) * sizeof *ids;
    return code;
}

static int take_word(struct unigram *u, const uint8_t *word, size_t size, struct cache_slot *slot) {
    if (fabsf(u->sum) > sum_most)
        u->sum = 0;
    if (size > CACHE_TEXT)
        return encode_exactly(u, word, size);
    if (slot->size != size || memcmp(slot->text, word, size) != 0)
        fill_slot(u, word, size, slot);
    if (slot->count > 0 && fabsf(u->sum) < slot->limit)
        return append_slot(u, slot);
    return encode_exactly(u, word, size);
}

int unigram_words(struct unigram *u, const uint8_t *text, size_t begin, const size_t *ends, size_t count,
                  struct buffer *ids) {
    int code = OK;
    u->ids = ids;
    while (count > 0 && code == OK) {
        struct cache_slot *slots[AHEAD];
        size_t n = count < AHEAD ? count : AHEAD, at = begin;
        for (size_t i = 0; i < n; at = ends[i++]) { // that the memory's latencies overlap
            slots[i] =
                &u->cache[ends[i] - at > CACHE_TEXT ? 0 : XXH3_64bits(text + at, ends[i] - at) % CACHE_SLOTS];
            __builtin_prefetch(slots[i]);
        }
        for (size_t i = 0; i < n && code == OK; begin = ends[i++])
            code = take_word(u, text + begin, ends[i] - begin, slots[i]);
        ends += n;
        count -= n;
    }
    return code;
}
