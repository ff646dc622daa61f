#include "text/bpe.h"
#include "base/error.h"
#include "base/memory.h"
#include "text/vocabulary_private.h"

#include <stdbool.h>
#include <stdlib.h>

// A narrow window fits in the bits of a word. A wide one starts with WIDE symbols and grows by GROWTH each time
// that two neighbours have no token in common.
enum { NARROW = 64, POSITION_BITS = 6, LANES = 16, WIDE = 4096, GROWTH = 16, LEVELS = 8 };
static const uint32_t no_rank = UINT32_MAX;

void bpe_release(struct bpe *b) {
    for (int i = 0; i < 2; i++) {
        free(b->windows[i].begins);
        free(b->windows[i].ids);
    }
    free(b->ranks);
    *b = (struct bpe){0};
}

// ---- up to 64 symbols ----

// A pair's place in the order: rank << 6 | position of its left symbol. vocabulary_seal holds ranks below 2^26.
struct narrow {
    uint32_t key[NARROW], result[NARROW];
    uint64_t alive; // the symbols that were not merged into the one before
};

static inline void set_pair(const struct vocabulary *v, struct narrow *w, const uint32_t *symbols, int left,
                            int right) {
    const struct pair_slot *pair = vocabulary_pair(v, symbols[left], symbols[right]);
    w->key[left] = pair ? pair->rank << POSITION_BITS | (uint32_t)left : no_rank;
    w->result[left] = pair ? pair->result : no_id;
}

typedef uint32_t lanes __attribute__((vector_size(LANES / 2 * sizeof(uint32_t))));

static inline lanes smaller(lanes a, lanes b) {
    lanes mask = (lanes)(a < b);
    return (a & mask) | (b & ~mask);
}

// Of `count` keys, with no_rank up to a multiple of LANES behind them.
static inline uint32_t least(const uint32_t *key, int count) {
    lanes all = {0}, more;
    memcpy(&all, key, sizeof all);
    for (int i = LANES / 2; i < count; i += LANES / 2) {
        memcpy(&more, key + i, sizeof more);
        all = smaller(all, more);
    }
    all = smaller(all, __builtin_shuffle(all, (lanes){4, 5, 6, 7, 0, 1, 2, 3}));
    all = smaller(all, __builtin_shuffle(all, (lanes){2, 3, 0, 1, 6, 7, 4, 5}));
    all = smaller(all, __builtin_shuffle(all, (lanes){1, 0, 3, 2, 5, 4, 7, 6}));
    return all[0];
}

// Merge in place without closing the gaps; the symbols that are left, as bits.
static uint64_t merge_narrow(const struct vocabulary *v, uint32_t *symbols, int count) {
    struct narrow w;
    w.alive = count == NARROW ? UINT64_MAX : (UINT64_C(1) << count) - 1;
    for (int i = 0; i + 1 < count; i++)
        set_pair(v, &w, symbols, i, i + 1);
    for (int i = count - 1; i < NARROW && (i == count - 1 || i % LANES > 0); i++)
        w.key[i] = no_rank;
    for (uint32_t key; (key = least(w.key, count)) != no_rank;) {
        int left = (int)(key % NARROW);
        uint64_t behind = w.alive >> left >> 1;
        int right = left + 1 + __builtin_ctzll(behind);
        symbols[left] = w.result[left];
        w.key[right] = no_rank;
        w.alive &= ~(UINT64_C(1) << right);
        behind = w.alive >> left >> 1;
        if (behind)
            set_pair(v, &w, symbols, left, left + 1 + __builtin_ctzll(behind));
        else
            w.key[left] = no_rank;
        uint64_t before = w.alive & ((UINT64_C(1) << left) - 1);
        if (before)
            set_pair(v, &w, symbols, NARROW - 1 - __builtin_clzll(before), left);
    }
    return w.alive;
}

// ---- any number of symbols ----

// Ranks by the position of the left symbol, and over every LANES of them their least, up to a single group: the
// lowest rank is found, and a change carried up, in as many steps as there are levels.
struct tree {
    uint32_t *level[LEVELS];
    int levels;
    uint64_t *alive;
    size_t words; // of `alive`
};

static size_t round_lanes(size_t n) {
    return (n + LANES - 1) / LANES * LANES;
}

static int grow_tree(struct bpe *b, struct tree *t, size_t count) {
    size_t sizes[LEVELS], need = 0;
    t->levels = 0;
    for (size_t n = count;; n /= LANES) {
        n = round_lanes(n);
        need += sizes[t->levels++] = n;
        if (n <= LANES)
            break;
    }
    t->words = (count + 63) / 64;
    if (need + 2 * t->words + 1 > b->room) {
        int code = memory_resize(&b->ranks, need + 2 * t->words + 1, sizeof *b->ranks);
        if (code != OK)
            return code;
        b->room = need + 2 * t->words + 1;
    }
    // the bits first: they need the alignment of 8 bytes
    t->alive = (uint64_t *)(void *)b->ranks;
    uint32_t *at = b->ranks + 2 * t->words;
    for (int i = 0; i < t->levels; at += sizes[i++])
        t->level[i] = at;
    memset(t->alive, 0xff, t->words * sizeof *t->alive);
    if (count % 64 > 0)
        t->alive[t->words - 1] = (UINT64_C(1) << count % 64) - 1;
    memset(t->level[0], 0xff, need * sizeof *b->ranks);
    return OK;
}

static inline uint32_t least_of_group(const uint32_t *group) {
    return least(group, LANES);
}

static void tree_set(struct tree *t, size_t position, uint32_t rank) {
    t->level[0][position] = rank;
    for (int i = 1; i < t->levels; i++) {
        position /= LANES;
        uint32_t now = least_of_group(t->level[i - 1] + position * LANES);
        if (t->level[i][position] == now)
            return;
        t->level[i][position] = now;
    }
}

// The leftmost of the lowest; SIZE_MAX: no pair is left.
static size_t tree_first(const struct tree *t) {
    size_t position = 0;
    uint32_t rank = least_of_group(t->level[t->levels - 1]);
    if (rank == no_rank)
        return SIZE_MAX;
    for (int i = t->levels; i-- > 0;) {
        position *= LANES;
        while (t->level[i][position] != rank)
            position++;
    }
    return position;
}

static size_t alive_behind(const struct tree *t, size_t position) {
    size_t word = position / 64;
    uint64_t bits = position % 64 == 63 ? 0 : t->alive[word] >> (position % 64 + 1) << (position % 64 + 1);
    while (bits == 0)
        if (++word == t->words)
            return SIZE_MAX;
        else
            bits = t->alive[word];
    return word * 64 + (size_t)__builtin_ctzll(bits);
}

static size_t alive_before(const struct tree *t, size_t position) {
    size_t word = position / 64;
    uint64_t bits = t->alive[word] & ((UINT64_C(1) << position % 64) - 1);
    while (bits == 0)
        if (word-- == 0)
            return SIZE_MAX;
        else
            bits = t->alive[word];
    return word * 64 + 63 - (size_t)__builtin_clzll(bits);
}

static uint32_t rank_of(const struct vocabulary *v, const uint32_t *symbols, size_t left, size_t right) {
    const struct pair_slot *pair = vocabulary_pair(v, symbols[left], symbols[right]);
    return pair ? pair->rank : no_rank;
}

static void merge_wide(const struct vocabulary *v, struct tree *t, uint32_t *symbols, size_t count) {
    for (size_t i = 0; i + 1 < count; i++)
        t->level[0][i] = rank_of(v, symbols, i, i + 1);
    for (int i = 1; i < t->levels; i++)
        for (size_t j = 0, n = (size_t)(t->level[i] - t->level[i - 1]) / LANES; j < n; j++)
            t->level[i][j] = least_of_group(t->level[i - 1] + j * LANES);
    for (size_t left; (left = tree_first(t)) != SIZE_MAX;) {
        size_t right = alive_behind(t, left), before = alive_before(t, left);
        symbols[left] = vocabulary_pair(v, symbols[left], symbols[right])->result;
        t->alive[right / 64] &= ~(UINT64_C(1) << right % 64);
        tree_set(t, right, no_rank);
        right = alive_behind(t, left);
        tree_set(t, left, right == SIZE_MAX ? no_rank : rank_of(v, symbols, left, right));
        if (before != SIZE_MAX)
            tree_set(t, before, rank_of(v, symbols, before, left));
    }
}

// ---- windows ----

static int grow_window(struct bpe_window *w, size_t symbols) {
    if (symbols <= w->room)
        return OK;
    int code = memory_resize(&w->begins, symbols, sizeof *w->begins);
    if (code == OK)
        code = memory_resize(&w->ids, symbols, sizeof *w->ids);
    if (code == OK)
        w->room = symbols;
    return code;
}

// The tokens of symbols[first..first + count).
static int merge_window(struct bpe *b, struct bpe_window *w, const uint32_t *symbols, size_t first, size_t count) {
    int code = grow_window(w, count);
    if (code != OK)
        return code;
    memcpy(w->ids, symbols + first, count * sizeof *symbols);
    w->first = first;
    w->symbols = count;
    w->count = 0;
    uint64_t narrow[1], *alive = narrow;
    size_t words = 1;
    if (count <= NARROW)
        narrow[0] = merge_narrow(b->vocabulary, w->ids, (int)count);
    else {
        struct tree t;
        code = grow_tree(b, &t, count);
        if (code != OK)
            return code;
        merge_wide(b->vocabulary, &t, w->ids, count);
        alive = t.alive;
        words = t.words;
    }
    for (size_t i = 0; i < words; i++)
        for (uint64_t bits = alive[i]; bits; bits &= bits - 1) {
            size_t at = i * 64 + (size_t)__builtin_ctzll(bits);
            w->begins[w->count] = (uint32_t)at;
            w->ids[w->count++] = w->ids[at];
        }
    return OK;
}

static size_t token_begin(const struct bpe_window *w, size_t i) {
    return w->first + (i < w->count ? w->begins[i] : w->symbols);
}

// The first token that both windows have, as its place in each.
static bool find_common(const struct bpe_window *a, size_t *i, const struct bpe_window *b, size_t *j) {
    while (*i < a->count && *j < b->count) {
        size_t left = token_begin(a, *i), right = token_begin(b, *j);
        if (left == right && token_begin(a, *i + 1) == token_begin(b, *j + 1))
            return true;
        *i += left <= right;
        *j += right <= left;
    }
    return false;
}

// A window may also start anew, wider, at a token that is common to two already: what stands before it is right
// only if the token comes out again.
static bool is_same_token(const struct bpe_window *w, size_t from, size_t end) {
    return token_begin(w, 0) == from && token_begin(w, 1) == end;
}

// Windows from left to right. Where one starts, a token of the one before does, about three quarters into it.
static int merge_windows(struct bpe *b, const uint32_t *symbols, size_t count, uint32_t *ids, size_t *tokens) {
    struct bpe_window *a = &b->windows[0], *next = &b->windows[1];
    size_t width = NARROW, done = 0, out = 0; // the tokens of *a before `done` are out already, or not to be used
    int code = merge_window(b, a, symbols, 0, width);
    while (code == OK && a->first + a->symbols < count) {
        size_t last = a->count - 1;
        while (last > done && a->begins[last] > a->symbols / 4 * 3)
            last--;
        size_t from = token_begin(a, last), left = count - from, keep = last, common = 0;
        if (last > done && a->begins[last] >= a->symbols / 4) {
            code = merge_window(b, next, symbols, from, left < width ? left : width);
            if (code == OK && find_common(a, &keep, next, &common)) {
                memcpy(ids + out, a->ids + done, (keep - done) * sizeof *ids);
                out += keep - done;
                done = common;
                struct bpe_window *other = a;
                a = next;
                next = other;
                continue;
            }
        }
        if (code != OK)
            break;
        size_t end = token_begin(a, done + 1);
        from = token_begin(a, done);
        left = count - from;
        width = width < WIDE ? WIDE : width * GROWTH;
        code = merge_window(b, a, symbols, from, left < width ? left : width);
        if (code == OK && from > 0 && !is_same_token(a, from, end)) {
            out = 0;
            code = merge_window(b, a, symbols, 0, count < width ? count : width);
        }
        done = 0;
    }
    if (code == OK) {
        memcpy(ids + out, a->ids + done, (a->count - done) * sizeof *ids);
        *tokens = out + a->count - done;
    }
    return code;
}

int bpe_merge(struct bpe *b, uint32_t *symbols, size_t count, uint32_t *ids, size_t *tokens) {
    if (count >= no_id)
        return error_set(ERROR_INPUT, "a word of %zu symbols is too long", count);
    if (count > NARROW)
        return merge_windows(b, symbols, count, ids, tokens);
    size_t n = 0;
    for (uint64_t alive = merge_narrow(b->vocabulary, symbols, (int)count); alive; alive &= alive - 1)
        ids[n++] = symbols[__builtin_ctzll(alive)];
    *tokens = n;
    return OK;
}
