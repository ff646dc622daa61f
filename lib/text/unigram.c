#include "text/unigram.h"
#include "base/error.h"
#include "text/vocabulary_private.h"

#include <math.h>
#include <stdlib.h>

enum { CACHE_SLOTS = 1 << 15, CACHE_ROOM = 120, CACHE_TEXT = 60, AHEAD = 64 };

struct unigram_model {
    struct trie trie; // pieces -> ids
    size_t longest;   // bytes of a piece
    uint16_t *sizes;  // by id: its bytes
    // By id, what it adds to the sum. An unknown character in bytes adds its score with its first byte, and
    // nothing with the others.
    float *steps;
};

// 128 bytes: two cache lines, of which most words need the first. A slot holds the latest word that fell on it.
struct cache_slot {
    uint8_t size, count; // size 0: free; count 0: there is no room for the ids
    float limit;         // the ids are right where the sum before the word is nearer to 0 than this
    uint8_t text_ids[CACHE_ROOM];
};

struct unigram {
    const struct vocabulary *vocabulary;
    const struct unigram_model *model;
    const float *scores;
    void *memory;
    struct cache_slot *cache; // in it, aligned
    struct buffer *ids;       // where the current call appends; it has room for an id per byte of the words
    float sum;                // of the text so far
    bool behind_unknown;      // the latest id is `unknown`
    // One word's: by its bytes, the piece that ends there in the best way to it; a ring of the best ways' sums;
    // the best way from the end.
    struct buffer last;
    uint32_t *way;
    size_t way_room;
    float *sums;
    size_t ring_mask;
};

static const uint32_t no_way = UINT32_MAX, unknown_character = UINT32_MAX - 1; // in `last`
static const float sum_most = 100000; // a larger sum becomes 0 and those ahead of it their distance from it

// ---- the model ----

static int find_steps(struct unigram_model *m, const struct vocabulary *v) {
    const float *scores = (const float *)v->scores.data;
    m->sizes = memory_new(v->size, sizeof *m->sizes);
    m->steps = memory_new(v->size, sizeof *m->steps);
    if (!m->sizes || !m->steps)
        return ERROR_SYSTEM;
    for (uint32_t id = 0; id < v->size; id++) {
        size_t size;
        vocabulary_piece(v, id, &size);
        if (size > UINT16_MAX)
            return error_set(ERROR_INPUT, "token %u: %zu bytes are too many", id, size);
        m->sizes[id] = (uint16_t)size;
        m->steps[id] = scores[id];
    }
    if (v->scheme.unknown != no_id)
        m->steps[v->scheme.unknown] = v->unknown_score;
    for (int b = 0; b < BYTES && v->scheme.byte_fallback; b++)
        m->steps[v->byte_id[b]] = (b & 0xc0) == 0x80 ? 0 : v->unknown_score;
    return OK;
}

int unigram_model_new(struct unigram_model **out, const struct vocabulary *v) {
    struct unigram_model *m = *out = memory_new(1, sizeof *m);
    struct trie_key *keys = memory_new(v->size, sizeof *keys);
    int code = m && keys ? find_steps(m, v) : ERROR_SYSTEM;
    const float *scores = (const float *)v->scores.data;
    size_t count = 0;
    for (uint32_t id = 0; id < v->size && code == OK; id++) {
        struct trie_key *key = &keys[count];
        *key = (struct trie_key){.value = id};
        key->bytes = vocabulary_piece(v, id, &key->size);
        if (key->size == 0 || isnan(scores[id]))
            continue;
        m->longest = key->size > m->longest ? key->size : m->longest;
        count++;
    }
    if (code == OK)
        code = count == 0 ? error_set(ERROR_INPUT, "no pieces") : trie_build(&m->trie, keys, count);
    free(keys);
    return code;
}

void unigram_model_free(struct unigram_model *m) {
    if (!m)
        return;
    trie_release(&m->trie);
    free(m->sizes);
    free(m->steps);
    free(m);
}

// ---- a thread's ----

int unigram_new(struct unigram **out, const struct vocabulary *v) {
    *out = NULL;
    struct unigram *u = memory_new(1, sizeof *u);
    if (!u)
        return ERROR_SYSTEM;
    u->vocabulary = v;
    u->model = v->unigram;
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
    free(u->way);
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

static inline void append_id(struct unigram *u, uint32_t id) {
    const struct scheme *s = &u->vocabulary->scheme;
    bool unknown = id == s->unknown;
    if (!unknown || !u->behind_unknown || !s->fuse_unknown) {
        memcpy(u->ids->data + u->ids->size, &id, sizeof id);
        u->ids->size += sizeof id;
    }
    u->behind_unknown = unknown;
}

// The best way's ids, from the end, of a word whose places know where it came from; how many. Of an unknown
// character in bytes, all of them.
static size_t collect_way(const struct unigram *u, const uint8_t *word, size_t size, const uint32_t *last,
                          uint32_t *way) {
    const struct vocabulary *v = u->vocabulary;
    size_t count = 0;
    for (size_t end = size; end > 0;)
        if (last[end] != unknown_character) {
            way[count++] = last[end];
            end -= u->model->sizes[last[end]];
        } else {
            bool more = true;
            if (!v->scheme.byte_fallback)
                way[count++] = v->scheme.unknown;
            while (more) {
                uint8_t byte = word[--end];
                if (v->scheme.byte_fallback)
                    way[count++] = v->byte_id[byte];
                more = (byte & 0xc0) == 0x80;
            }
        }
    return count;
}

// ---- at the present sum ----

// The best way as SentencePiece finds it: in single precision, from the present sum on.
static int encode_exactly(struct unigram *u, const uint8_t *word, size_t size) {
    const struct trie *trie = &u->vocabulary->unigram->trie;
    buffer_clear(&u->last);
    int code = buffer_reserve(&u->last, (size + 1) * sizeof(uint32_t));
    if (code == OK && size > u->way_room) {
        code = memory_resize(&u->way, size, sizeof *u->way);
        u->way_room = code == OK ? size : u->way_room;
    }
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
    for (size_t n = collect_way(u, word, size, last, u->way); n-- > 0;)
        append_id(u, u->way[n]);
    return OK;
}

// ---- from the cache ----

struct best {         // of the ways to a place
    double sum, lead; // over the second best
};

static void offer_way(struct best *b, uint32_t *last, double sum, uint32_t id) {
    if (*last != no_way && sum <= b->sum) {
        b->lead = b->sum - sum < b->lead ? b->sum - sum : b->lead;
        return;
    }
    b->lead = *last == no_way ? INFINITY : sum - b->sum;
    b->sum = sum;
    *last = id;
}

// The best ways to every place of a short word, from sum 0 in double precision; the largest sum seen.
static double find_ways(const struct unigram *u, const uint8_t *word, size_t size, struct best *best,
                        uint32_t *last, int *characters) {
    const struct trie *trie = &u->vocabulary->unigram->trie;
    double most = 0;
    memset(last, 0xff, (size + 1) * sizeof *last);
    best[0] = (struct best){0};
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
            offer_way(&best[end], &last[end], sum, id);
            most = fabs(sum) > most ? fabs(sum) : most;
            single = single || end == at + length;
        }
        if (!single) {
            double sum = best[at].sum + (double)u->vocabulary->unknown_score;
            offer_way(&best[at + length], &last[at + length], sum, unknown_character);
            most = fabs(sum) > most ? fabs(sum) : most;
        }
    }
    return most;
}

// A sum in single precision that comes about in n additions and never exceeds B is off by at most n B 2^-24, and
// the difference of two by twice that. So a way that leads by more at every place that it goes through is the one
// that is taken, too. Here B is the sum before the word and the largest within it.
static void fill_slot(const struct unigram *u, const uint8_t *word, size_t size, struct cache_slot *slot) {
    struct best best[CACHE_TEXT + 1];
    uint32_t last[CACHE_TEXT + 1], way[CACHE_TEXT];
    int characters;
    double most = find_ways(u, word, size, best, last, &characters), lead = INFINITY;
    for (size_t end = size; end > 0;) {
        lead = best[end].lead < lead ? best[end].lead : lead;
        size_t bytes = 1;
        if (last[end] != unknown_character)
            bytes = u->model->sizes[last[end]];
        else
            while ((word[end - bytes] & 0xc0) == 0x80)
                bytes++;
        end -= bytes;
    }
    double limit = lead * 0x1p23 * 0.99 / characters;
    limit = (limit < sum_most - 1 ? limit : sum_most - 1) - most;
    size_t count = collect_way(u, word, size, last, way);
    slot->size = (uint8_t)size;
    slot->limit = limit > 0 ? (float)limit : 0;
    memcpy(slot->text_ids, word, size);
    slot->count = size + count * sizeof *way <= CACHE_ROOM ? (uint8_t)count : 0;
    for (size_t i = 0; i < slot->count; i++)
        memcpy(slot->text_ids + size + i * sizeof *way, &way[count - 1 - i], sizeof *way);
}

static void append_slot(struct unigram *u, const struct cache_slot *slot) {
    const uint8_t *ids = slot->text_ids + slot->size;
    for (int i = 0; i < slot->count; i++, ids += sizeof(uint32_t)) {
        uint32_t id;
        memcpy(&id, ids, sizeof id);
        append_id(u, id);
        u->sum += u->model->steps[id];
    }
}

static int take_word(struct unigram *u, const uint8_t *word, size_t size, struct cache_slot *slot) {
    if (fabsf(u->sum) > sum_most)
        u->sum = 0;
    if (size > CACHE_TEXT)
        return encode_exactly(u, word, size);
    if (slot->size != size || memcmp(slot->text_ids, word, size) != 0)
        fill_slot(u, word, size, slot);
    if (slot->count == 0 || !(fabsf(u->sum) < slot->limit))
        return encode_exactly(u, word, size);
    append_slot(u, slot);
    return OK;
}

int unigram_words(struct unigram *u, const uint8_t *text, size_t begin, const size_t *ends, size_t count,
                  struct buffer *ids) {
    u->ids = ids;
    int code = count > 0 ? buffer_reserve(ids, (ends[count - 1] - begin) * sizeof(uint32_t)) : OK;
    while (count > 0 && code == OK) {
        struct cache_slot *slots[AHEAD];
        size_t n = count < AHEAD ? count : AHEAD, at = begin;
        for (size_t i = 0; i < n; at = ends[i++]) { // that the memory's latencies overlap
            size_t size = ends[i] - at;
            slots[i] = &u->cache[size > CACHE_TEXT ? 0 : XXH3_64bits(text + at, size) % CACHE_SLOTS];
            __builtin_prefetch(slots[i]);
        }
        for (size_t i = 0; i < n && code == OK; begin = ends[i++])
            code = take_word(u, text + begin, ends[i] - begin, slots[i]);
        ends += n;
        count -= n;
    }
    return code;
}
