// Merges from ranked tokens. Where two symbols are left of a token's piece when it is merged on its own, with the
// merges of all shorter tokens, they are its merge. So the shorter ones come first. Nearly always the two are
// found by trying the places where the piece is two tokens; else the piece is merged, in O(n log n) of its size.
#include "base/error.h"
#include "base/utf8.h"
#include "text/vocabulary_private.h"

#include <stdlib.h>

enum {
    PIECE_MOST = 1 << 16, // a longer one is damage, and would take memory as no other does
    TRIED_MOST = 64       // bytes: the places of longer pieces are not tried
};

// How a token comes about. Its time is 0 where it is a symbol; its rank + 1 where merges make it in the order of
// their ranks: of the two tokens that it is merged from, each with a time, none ranks behind it or beside it; else
// no_id.
struct making {
    uint32_t time;
    uint32_t left, right; // what it is merged from, or no_id
    uint32_t prefix;      // the longest token that its piece begins with; no_id: not known
};

struct symbol {
    uint32_t id; // no_id: merged into the one before
    uint32_t previous, next;
};

struct ranking {
    struct vocabulary *vocabulary;
    const uint32_t *rank;
    struct making *making; // by id
    uint32_t *made;        // what two tokens are merged to, by their pair: open addressing, 0: free, else id + 1
    uint64_t mask, *bits;  // and the filter in front of it
    struct buffer symbols; // struct symbol, of the current piece
    struct buffer heap;    // uint64_t: rank << 32 | position, a min-heap
};

// ---- what two tokens are merged to ----

static int make_table(struct ranking *r, uint64_t count) {
    uint64_t slots = 64;
    while (slots < 2 * count)
        slots *= 2;
    r->mask = slots - 1;
    r->made = memory_new(slots, sizeof *r->made);
    r->bits = memory_new(slots * FILTER_BITS / 64, sizeof *r->bits);
    return r->made && r->bits ? OK : ERROR_SYSTEM;
}

static void put_made(struct ranking *r, uint32_t id) {
    uint64_t hash = pair_hash(pair_key(r->making[id].left, r->making[id].right)), i = hash & r->mask;
    while (r->made[i] != 0)
        i = (i + 1) & r->mask;
    r->made[i] = id + 1;
    *filter_word(r->bits, r->mask, hash) |= filter_bit(hash);
}

static inline uint32_t find_made(const struct ranking *r, uint32_t left, uint32_t right) {
    uint64_t hash = pair_hash(pair_key(left, right));
    if (!(*filter_word(r->bits, r->mask, hash) & filter_bit(hash)))
        return no_id;
    for (uint64_t i = hash & r->mask; r->made[i] != 0; i = (i + 1) & r->mask) {
        const struct making *m = &r->making[r->made[i] - 1];
        if (m->left == left && m->right == right)
            return r->made[i] - 1;
    }
    return no_id;
}

// ---- trying places ----

// Whether text that merges to `left` and then text that merges to `right`, both with a time, merges to these two
// when they stand behind each other. If not, something was merged across the place between them before the tokens
// beside it became parts of others. Back in time: the later one of these is taken apart, the one behind where both
// have one rank, for the leftmost is merged first; then only a merge of a lower rank than that can have come
// across.
static bool stay_apart(const struct ranking *r, uint32_t left, uint32_t right) {
    for (uint32_t limit = no_id;;) {
        uint32_t across = find_made(r, left, right);
        if (across != no_id && r->rank[across] < limit)
            return false;
        const struct making *before = &r->making[left], *behind = &r->making[right];
        if (before->time > behind->time) {
            limit = before->time - 1;
            left = before->right;
        } else if (behind->time > 0) {
            limit = behind->time; // a merge across of this rank is the leftmost
            right = behind->left;
        } else {
            return true;
        }
    }
}

// Find two tokens that the piece merges to. Of these there is one pair at most; where none is found, one that has
// no time may be in the way.
static bool find_parts(const struct ranking *r, const uint8_t *piece, size_t size, struct making *found) {
    const struct vocabulary *v = r->vocabulary;
    uint32_t left = no_id, right;
    for (size_t at = size - 1; at > 0;) {
        if (left == no_id)
            left = vocabulary_find(v, piece, at);
        if (left == no_id) {
            at--;
            continue;
        }
        if (found->prefix == no_id)
            found->prefix = left;
        const struct making *made = &r->making[left];
        if (made->time != no_id && (right = vocabulary_find(v, piece + at, size - at)) != no_id &&
            r->making[right].time != no_id && stay_apart(r, left, right)) {
            found->left = left;
            found->right = right;
            return true;
        }
        if (made->time == 0)
            return false; // no token is shorter than a symbol
        left = made->prefix;
        if (left != no_id)
            vocabulary_piece(v, left, &at);
        else
            at--;
    }
    return false;
}

// ---- merging ----

static int push(struct ranking *r, uint32_t position) {
    const struct symbol *s = (const struct symbol *)r->symbols.data;
    uint32_t next = s[position].next;
    uint32_t made = next == no_id ? no_id : find_made(r, s[position].id, s[next].id);
    if (made == no_id)
        return OK;
    uint64_t key = (uint64_t)r->rank[made] << 32 | position;
    int code = buffer_append(&r->heap, &key, sizeof key);
    if (code != OK)
        return code;
    uint64_t *keys = (uint64_t *)r->heap.data;
    size_t i = r->heap.size / sizeof key - 1;
    for (size_t parent; i > 0 && keys[parent = (i - 1) / 2] > key; i = parent)
        keys[i] = keys[parent];
    keys[i] = key;
    return OK;
}

static uint64_t pop(struct ranking *r) {
    uint64_t *keys = (uint64_t *)r->heap.data, top = keys[0];
    r->heap.size -= sizeof top;
    size_t n = r->heap.size / sizeof top, i = 0;
    uint64_t last = keys[n];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && keys[child + 1] < keys[child])
            child++;
        if (keys[child] >= last)
            break;
        keys[i] = keys[child];
    }
    if (n > 0)
        keys[i] = last;
    return top;
}

static int take_symbols(struct ranking *r, const uint8_t *piece, size_t size) {
    const struct vocabulary *v = r->vocabulary;
    buffer_clear(&r->symbols);
    buffer_clear(&r->heap);
    int code = OK;
    uint32_t count = 0;
    for (size_t i = 0, n; i < size && code == OK; i += n, count++) {
        n = v->scheme.symbols == SYMBOLS_BYTES ? 1 : utf8_size(piece[i]);
        n = n < size - i ? n : size - i;
        struct symbol symbol = {vocabulary_find(v, piece + i, n), count - 1, count + 1};
        if (symbol.id == no_id)
            return error_set(ERROR_INPUT, "token \"%.*s\": \"%.*s\" is no token", size < 64 ? (int)size : 64,
                             (const char *)piece, (int)n, (const char *)piece + i);
        code = buffer_append(&r->symbols, &symbol, sizeof symbol);
    }
    struct symbol *s = (struct symbol *)r->symbols.data;
    if (code == OK)
        s[count - 1].next = no_id; // s[0].previous is no_id already
    for (uint32_t i = 0; i + 1 < count && code == OK; i++)
        code = push(r, i);
    return code;
}

// Merge the piece of a token as far as the shorter tokens go.
static int merge_symbols(struct ranking *r) {
    struct symbol *s = (struct symbol *)r->symbols.data;
    int code = OK;
    while (r->heap.size > 0 && code == OK) {
        uint64_t top = pop(r);
        uint32_t position = (uint32_t)top, right = s[position].next;
        // An entry is stale once either of its symbols was merged into something else.
        uint32_t made =
            s[position].id == no_id || right == no_id ? no_id : find_made(r, s[position].id, s[right].id);
        if (made == no_id || r->rank[made] != top >> 32)
            continue;
        s[position].id = made;
        s[position].next = s[right].next;
        s[right].id = no_id;
        if (s[right].next != no_id)
            s[s[right].next].previous = position;
        code = push(r, position);
        if (code == OK && s[position].previous != no_id)
            code = push(r, s[position].previous);
    }
    return code;
}

static int find_merged_parts(struct ranking *r, const uint8_t *piece, size_t size, struct making *found) {
    int code = take_symbols(r, piece, size);
    if (code == OK)
        code = merge_symbols(r);
    const struct symbol *s = (const struct symbol *)r->symbols.data;
    if (code != OK || s[0].next == no_id || s[s[0].next].next != no_id)
        return code; // one that text comes to only as a whole word
    found->left = s[0].id;
    found->right = s[s[0].next].id;
    return OK;
}

static int find_merge(struct ranking *r, uint32_t id) {
    struct making *m = &r->making[id];
    size_t size;
    const uint8_t *piece = vocabulary_piece(r->vocabulary, id, &size);
    if (size > PIECE_MOST)
        return error_set(ERROR_INPUT, "token %u: %zu bytes are too many", id, size);
    if (size > TRIED_MOST || !find_parts(r, piece, size, m)) {
        int code = find_merged_parts(r, piece, size, m);
        if (code != OK || m->left == no_id)
            return code;
    }
    uint32_t rank = r->rank[id];
    if (r->making[m->left].time <= rank && r->making[m->right].time <= rank)
        m->time = rank + 1;
    put_made(r, id);
    return OK;
}

// ---- the order ----

static int compare_result_sizes(const void *a, const void *b, void *vocabulary) {
    size_t x, y;
    vocabulary_piece(vocabulary, ((const struct merge *)a)->result, &x);
    vocabulary_piece(vocabulary, ((const struct merge *)b)->result, &y);
    return (x < y) - (x > y);
}

// Whether merges of one rank only lengthen a run of one symbol that no merge makes: (x x), (xx x), (xxx x) ...
// They come out with the longest first.
static bool is_run(struct vocabulary *v, struct merge *merges, uint32_t count, const bool *made) {
    uint32_t x = merges[0].right;
    for (uint32_t i = 0; i < count; i++)
        if (merges[i].right != x || made[x])
            return false;
    qsort_r(merges, count, sizeof *merges, compare_result_sizes, v);
    for (uint32_t i = 0; i + 1 < count; i++)
        if (merges[i].left != merges[i + 1].result)
            return false;
    return merges[count - 1].left == x;
}

// Ranks from 0, ascending with the place. Of equal ranks the leftmost pair comes first, which no list of merges in
// Hugging Face's files can say. For a run, though (Llama 2's spaces have one score), it means that the first one
// grows as far as tokens go, then the next; and so does an order of its merges, the longest first: whenever there
// is a longer one to lengthen, it is the leftmost, for what lies left of it had its turn before.
static int number_merges(struct vocabulary *v) {
    struct merge *merges = (struct merge *)v->merges.data;
    uint32_t count = vocabulary_merge_count(v), rank = 0;
    bool *made = memory_new(v->size, sizeof *made);
    if (!made)
        return ERROR_SYSTEM;
    for (uint32_t i = 0; i < count; i++)
        made[merges[i].result] = true;
    for (uint32_t i = 0, end; i < count; i = end) {
        for (end = i + 1; end < count && merges[end].rank == merges[i].rank;)
            end++;
        uint32_t step = end - i > 1 && is_run(v, merges + i, end - i, made);
        for (uint32_t k = i; k < end; k++, rank += step)
            merges[k].rank = rank;
        rank += 1 - step;
    }
    free(made);
    return OK;
}

// Sort the ids whose key, by id, is not no_id: ascending keys up to `most`, of equal ones ascending ids.
static int sort_ids(uint32_t *sorted, uint32_t *count, const uint32_t *key, uint32_t size, uint32_t most) {
    uint32_t *begin = memory_new((size_t)most + 2, sizeof *begin);
    if (!begin)
        return ERROR_SYSTEM;
    for (uint32_t id = 0; id < size; id++)
        if (key[id] != no_id)
            begin[key[id] + 1]++;
    for (uint32_t i = 0; i <= most; i++)
        begin[i + 1] += begin[i];
    *count = begin[most + 1];
    for (uint32_t id = 0; id < size; id++)
        if (key[id] != no_id)
            sorted[begin[key[id]]++] = id;
    free(begin);
    return OK;
}

static bool is_symbol(const struct vocabulary *v, const uint8_t *piece, size_t size) {
    return size == 1 || (v->scheme.symbols == SYMBOLS_CHARACTERS && size > 0 && size <= utf8_size(*piece));
}

// The tokens that merges may make, the shorter ones first.
static int sort_by_size(struct ranking *r, uint32_t *order, uint32_t *count) {
    struct vocabulary *v = r->vocabulary;
    uint32_t *sizes = memory_new(v->size, sizeof *sizes), most = 0;
    if (!sizes)
        return ERROR_SYSTEM;
    for (uint32_t id = 0; id < v->size; id++) {
        size_t size;
        const uint8_t *piece = vocabulary_piece(v, id, &size);
        bool symbol = is_symbol(v, piece, size);
        r->making[id] = (struct making){symbol ? 0 : no_id, no_id, no_id, no_id};
        sizes[id] = symbol || size == 0 || r->rank[id] == no_id ? no_id
                    : size <= PIECE_MOST                        ? (uint32_t)size
                                                                : PIECE_MOST + 1;
        if (sizes[id] != no_id && sizes[id] > most)
            most = sizes[id];
    }
    int code = sort_ids(order, count, sizes, v->size, most);
    free(sizes);
    return code;
}

static int list_merges(struct ranking *r, uint32_t *order) {
    struct vocabulary *v = r->vocabulary;
    uint32_t count = 0;
    int code = sort_ids(order, &count, r->rank, v->size, v->size);
    for (uint32_t i = 0; i < count && code == OK; i++) {
        const struct making *m = &r->making[order[i]];
        struct merge merge = {m->left, m->right, order[i], r->rank[order[i]]};
        if (m->left != no_id)
            code = vocabulary_add_ranked_merge(v, &merge);
    }
    return code;
}

int vocabulary_merge_ranked(struct vocabulary *v, const uint32_t *rank) {
    struct ranking r = {.vocabulary = v, .rank = rank};
    uint32_t count = 0, *order = memory_new(v->size, sizeof *order);
    r.making = memory_new(v->size, sizeof *r.making);
    int code = order && r.making ? sort_by_size(&r, order, &count) : ERROR_SYSTEM;
    if (code == OK)
        code = make_table(&r, count);
    for (uint32_t i = 0; i < count && code == OK; i++)
        code = find_merge(&r, order[i]);
    free(r.made);
    free(r.bits);
    if (code == OK)
        code = list_merges(&r, order);
    free(order);
    free(r.making);
    if (code == OK)
        code = number_merges(v);
    buffer_release(&r.symbols);
    buffer_release(&r.heap);
    return code;
}
