#include "text/unigram.h"
#include "base/error.h"
#include "base/utf8.h"
#include "text/joints.h"
#include "text/vocabulary_private.h"
#include "text/word_cache.h"

#include <math.h>
#include <stdlib.h>

// The cache: sets of two slots, for words of up to SHORT_WORD bytes of one cache line each, for longer ones of
// two.
enum { SETS = 1 << 15, SETS_OF_LONG = 1 << 14, SHORT_SLOT = 64, LONG_SLOT = 128, CACHE_TEXT = 60, AHEAD = 64 };
enum { SCALE_MOST = 1 << 16 };

struct unigram_model {
    struct trie trie; // pieces -> ids
    uint32_t *nodes;  // of the trie, by the code point of a first character below BASIC_PLANE; 0: no piece has it
    size_t longest;   // bytes of a piece
    uint16_t *sizes;  // by id: its bytes
    // By id, what it adds to the sum. An unknown character in bytes adds its score with its first byte, and
    // nothing with the others.
    float *steps;
    // For words of the cache, scores in whole numbers: they take a compare and a move where floats take a branch.
    double scale;                   // of them
    int32_t *scores, unknown_score; // by a node's value; 0 is no piece
    double most;                    // the largest score, positive or negative
};

// A slot holds the latest words that fell on it; of a set, the one that was used last stays.
struct cache_slot {
    struct word_key key; // of a longer word than SHORT_WORD, its hash and size; all 0: free
    float limit;         // the ids are right where the sum before the word is nearer to 0 than this
    uint8_t count;       // 0: there is no room for the ids
    bool unknown, used;  // one of the ids is; the set's latest
    uint32_t ids[];      // and behind them the bytes of a longer word
};

struct unigram {
    const struct vocabulary *vocabulary;
    const struct unigram_model *model;
    const float *scores;
    void *memory;
    uint8_t *cache;      // in it, aligned: the short sets, behind them the long ones
    struct buffer *ids;  // where the current call appends; it has room for an id per byte of the words
    float sum;           // of the text so far
    bool behind_unknown; // the latest id is `unknown`
    // The words that are taken up together, or parts of them.
    size_t count;
    const uint8_t *words[AHEAD];
    size_t sizes[AHEAD];
    struct joint_cache joints;
    // One word's: by its bytes, the piece that ends there in the best way to it; a ring of the best ways' sums;
    // the best way from the end.
    struct buffer last;
    uint32_t *way;
    size_t way_room;
    float *sums;
    size_t ring_mask;
};

static const uint32_t no_way = UINT32_MAX, unknown_character = UINT32_MAX - 1; // in `last`
static const int32_t no_sum = INT32_MIN / 2, no_score = INT32_MIN / 4; // below any sum; what makes any sum so
static const float sum_most = 100000; // a larger sum becomes 0 and those ahead of it their distance from it

// ---- the model ----

static int find_steps(struct unigram_model *m, const struct vocabulary *v) {
    const float *scores = (const float *)v->scores.data;
    m->sizes = memory_new(v->size, sizeof *m->sizes);
    m->steps = memory_new(v->size, sizeof *m->steps);
    m->scores = memory_new((size_t)v->size + 1, sizeof *m->scores);
    if (!m->sizes || !m->steps || !m->scores)
        return ERROR_SYSTEM;
    m->most = fabs((double)v->unknown_score);
    for (uint32_t id = 0; id < v->size; id++) {
        size_t size;
        vocabulary_piece(v, id, &size);
        if (size > UINT16_MAX)
            return error_set(ERROR_INPUT, "token %u: %zu bytes are too many", id, size);
        m->sizes[id] = (uint16_t)size;
        m->steps[id] = scores[id];
        m->most = fmax(m->most, fabs((double)scores[id])); // not NAN, where there is a number
    }
    m->scale = fmin(SCALE_MOST, -no_score / 2 / (CACHE_TEXT * fmax(m->most, 1)));
    m->unknown_score = (int32_t)(m->scale * (double)v->unknown_score);
    m->scores[0] = no_score;
    for (uint32_t id = 0; id < v->size; id++)
        m->scores[id + 1] = isnan(scores[id]) ? no_score : (int32_t)(m->scale * (double)scores[id]);
    if (v->scheme.unknown != no_id)
        m->steps[v->scheme.unknown] = v->unknown_score;
    for (int b = 0; b < BYTES && v->scheme.byte_fallback; b++)
        m->steps[v->byte_id[b]] = (b & 0xc0) == 0x80 ? 0 : v->unknown_score;
    return OK;
}

static uint32_t walk(const struct trie *trie, const uint8_t *bytes, size_t size) {
    uint32_t node = 0;
    for (size_t i = 0; i < size && (i == 0 || node != 0); i++)
        node = trie_child(trie, node, bytes[i]);
    return node;
}

static int find_nodes(struct unigram_model *m) {
    m->nodes = memory_new(BASIC_PLANE, sizeof *m->nodes);
    if (!m->nodes)
        return ERROR_SYSTEM;
    for (uint32_t c = 0; c < BASIC_PLANE; c++) {
        uint8_t bytes[4];
        m->nodes[c] = walk(&m->trie, bytes, utf8_write(c, bytes));
    }
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
    if (code == OK)
        code = find_nodes(m);
    free(keys);
    return code;
}

void unigram_model_free(struct unigram_model *m) {
    if (!m)
        return;
    trie_release(&m->trie);
    free(m->sizes);
    free(m->steps);
    free(m->scores);
    free(m->nodes);
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
    u->memory = memory_new(2 * SETS * SHORT_SLOT + 2 * SETS_OF_LONG * LONG_SLOT + LONG_SLOT, 1);
    u->sums = memory_new(u->ring_mask + 1, sizeof *u->sums);
    if (!u->memory || !u->sums) {
        unigram_free(u);
        return ERROR_SYSTEM;
    }
    u->cache = (uint8_t *)(((uintptr_t)u->memory + LONG_SLOT - 1) / LONG_SLOT * LONG_SLOT);
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

// The trie's node behind a character of well-formed text, and the character's size.
static inline uint32_t first_node(const struct unigram_model *m, const uint8_t *text, size_t *size) {
    uint32_t c = text[0];
    *size = utf8_size(text[0]);
    if (*size == 2)
        c = (c & 0x1f) << 6 | (text[1] & 0x3f);
    else if (*size == 3)
        c = (c & 0xf) << 12 | (text[1] & 0x3fu) << 6 | (text[2] & 0x3f);
    return *size < 4 ? m->nodes[c] : walk(&m->trie, text, 4);
}

// The node behind one more byte of the word, 0: none.
static inline uint32_t next_node(const struct trie *trie, uint32_t node, const uint8_t *word, size_t size,
                                 size_t *end) {
    return *end < size ? trie_child(trie, node, word[(*end)++]) : 0;
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
        uint32_t node = first_node(u->model, word + at, &length);
        bool single = node != 0 && trie_value(trie, node) > 0; // the character is a piece
        for (size_t end = at + length; node != 0; node = next_node(trie, node, word, size, &end)) {
            uint32_t value = trie_value(trie, node);
            if (value == 0)
                continue;
            float candidate = u->scores[value - 1] + sum;
            if (last[end] == no_way || candidate > sums[end & mask]) {
                sums[end & mask] = candidate;
                last[end] = value - 1;
            }
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

struct best {          // of the ways to a place
    int32_t sum, lead; // over the second best
    uint32_t last;
};

static inline void offer_way(struct best *b, int32_t sum, uint32_t last) {
    int32_t ahead = sum - b->sum, behind = -ahead < b->lead ? -ahead : b->lead;
    bool wins = ahead > 0;
    b->lead = wins ? ahead : behind;
    b->sum = wins ? sum : b->sum;
    b->last = wins ? last : b->last;
}

// The best ways to every place of a short word, from sum 0; how many characters it has. What is no piece is
// offered, too, and loses: that costs less than asking.
static int find_ways(const struct unigram *u, const uint8_t *word, size_t size, struct best *best) {
    const struct unigram_model *m = u->model;
    int characters = 0;
    for (size_t i = 1; i <= size; i++)
        best[i] = (struct best){no_sum, 0, no_way};
    best[0] = (struct best){0};
    for (size_t at = 0, length; at < size; at += length, characters++) {
        uint32_t node = first_node(m, word + at, &length);
        if (node == 0 || trie_value(&m->trie, node) == 0)
            offer_way(&best[at + length], best[at].sum + m->unknown_score, unknown_character);
        for (size_t end = at + length; node != 0; node = next_node(&m->trie, node, word, size, &end)) {
            uint32_t value = trie_value(&m->trie, node);
            offer_way(&best[end], best[at].sum + m->scores[value], value - 1);
        }
    }
    return characters;
}

// A sum in single precision that comes about in n additions and never exceeds B is off by at most n B 2^-24, and
// the difference of two by twice that. So a way that leads by more at every place that it goes through is the one
// that is taken, too. Here B is the sum before the word and the largest within it.
static void fill_slot(const struct unigram *u, const uint8_t *word, size_t size, struct word_key key,
                      struct cache_slot *slot) {
    struct best best[CACHE_TEXT + 1];
    uint32_t last[CACHE_TEXT + 1], way[CACHE_TEXT];
    int characters = find_ways(u, word, size, best);
    int32_t lead = INT32_MAX;
    for (size_t i = 1; i <= size; i++)
        last[i] = best[i].last;
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
    // A score here is off by less than 1 / scale, so a way by less than `characters` times that.
    double most = characters * u->model->most, sure = (lead - 2.0 * characters) / u->model->scale;
    double limit = sure * 0x1p23 * 0.99 / characters;
    limit = (limit < sum_most - 1 ? limit : sum_most - 1) - most;
    size_t count = collect_way(u, word, size, last, way), text = size > SHORT_WORD ? size : 0;
    slot->key = key;
    slot->limit = limit > 0 ? (float)limit : 0;
    size_t room = (text > 0 ? LONG_SLOT : SHORT_SLOT) - sizeof *slot;
    slot->count = count * sizeof *way + text <= room ? (uint8_t)count : 0;
    slot->unknown = false;
    for (size_t i = 0; i < slot->count; i++) {
        slot->ids[i] = way[count - 1 - i];
        slot->unknown = slot->unknown || slot->ids[i] == u->vocabulary->scheme.unknown;
    }
    memcpy(slot->ids + slot->count, word, slot->count > 0 ? text : 0);
}

static void append_slot(struct unigram *u, const struct cache_slot *slot) {
    const float *steps = u->model->steps;
    uint32_t *ids = (uint32_t *)(void *)(u->ids->data + u->ids->size);
    float sum = u->sum;
    for (int i = 0; i < slot->count; i++) {
        sum += steps[slot->ids[i]];
        if (slot->unknown)
            append_id(u, slot->ids[i]);
        else
            ids[i] = slot->ids[i];
    }
    u->sum = sum;
    if (slot->unknown)
        return;
    u->ids->size += slot->count * sizeof *ids;
    u->behind_unknown = false;
}

// Where there are no ids, a longer word with the same hash will do: it is computed, too.
static bool is_of_word(const struct cache_slot *slot, struct word_key key, const uint8_t *word, size_t size) {
    return word_key_equal(slot->key, key) &&
           (size <= SHORT_WORD || slot->count == 0 || memcmp(slot->ids + slot->count, word, size) == 0);
}

static inline struct cache_slot *second_slot(struct cache_slot *set, size_t size) {
    return (struct cache_slot *)(void *)((uint8_t *)set + (size <= SHORT_WORD ? SHORT_SLOT : LONG_SLOT));
}

static inline struct cache_slot *find_set(const struct unigram *u, struct word_key key, size_t size) {
    uint64_t hash = word_key_hash(key);
    return (struct cache_slot *)(void *)(size <= SHORT_WORD ? u->cache + hash % SETS * (2 * SHORT_SLOT)
                                                            : u->cache + 2 * SETS * SHORT_SLOT +
                                                                  hash % SETS_OF_LONG * (2 * LONG_SLOT));
}

static int take_word(struct unigram *u, const uint8_t *word, size_t size, struct word_key key,
                     struct cache_slot *set) {
    if (fabsf(u->sum) > sum_most)
        u->sum = 0;
    if (size > CACHE_TEXT)
        return encode_exactly(u, word, size);
    struct cache_slot *slot = set, *other = second_slot(set, size);
    if (!is_of_word(slot, key, word, size)) {
        bool found = is_of_word(other, key, word, size);
        if (found || slot->used) {
            slot = other;
            other = set;
        }
        if (!found)
            fill_slot(u, word, size, key, slot);
    }
    if (!slot->used) {
        slot->used = true;
        other->used = false;
    }
    if (slot->count == 0 || !(fabsf(u->sum) < slot->limit))
        return encode_exactly(u, word, size);
    append_slot(u, slot);
    return OK;
}

// Those collected; their places first, that the memory's latencies overlap.
static int take_words(struct unigram *u, const uint8_t *text_end) {
    struct cache_slot *sets[AHEAD];
    struct word_key keys[AHEAD];
    size_t bytes = 0;
    for (size_t i = 0; i < u->count; i++) {
        const uint8_t *word = u->words[i];
        size_t size = u->sizes[i];
        bytes += size;
        keys[i] = size <= SHORT_WORD   ? word_key_of(word, size, 0, text_end)
                  : size <= CACHE_TEXT ? (struct word_key){XXH3_64bits(word, size), size}
                                       : (struct word_key){0};
        sets[i] = find_set(u, keys[i], size);
        __builtin_prefetch(sets[i]);
        __builtin_prefetch(second_slot(sets[i], size));
    }
    int code = buffer_reserve(u->ids, bytes * sizeof(uint32_t));
    for (size_t i = 0; i < u->count && code == OK; i++)
        code = take_word(u, u->words[i], u->sizes[i], keys[i], sets[i]);
    u->count = 0;
    return code;
}

static int add_word(struct unigram *u, const uint8_t *word, size_t size, const uint8_t *text_end) {
    u->words[u->count] = word;
    u->sizes[u->count++] = size;
    return u->count == AHEAD ? take_words(u, text_end) : OK;
}

int unigram_add(struct unigram *u, const uint8_t *text, size_t size, const uint8_t *text_end, struct buffer *ids) {
    int code = OK;
    u->ids = ids;
    for (size_t begin = 0, end; begin < size && code == OK; begin = end) {
        end = joints_cut(u->vocabulary->joints, &u->joints, text, size, begin);
        code = add_word(u, text + begin, end - begin, text_end);
    }
    return code == OK ? take_words(u, text_end) : code;
}
