// Merges from ranked tokens. Every token's piece is merged on its own, the shorter ones first, with the merges
// that these have; where two symbols are left, they are its merge. A token is made in O(n log n) of its size.
#include "base/error.h"
#include "base/utf8.h"
#include "text/vocabulary_private.h"

#include <stdlib.h>

enum { PIECE_MOST = 1 << 16 }; // a longer one is damage, and would take memory as no other does

struct symbol {
    uint32_t id; // no_id: merged into the one before
    uint32_t previous, next;
};

struct ranking {
    struct vocabulary *vocabulary;
    const uint32_t *rank;
    struct buffer symbols; // struct symbol, of the current piece
    struct buffer heap;    // uint64_t: rank << 32 | position, a min-heap
};

static int push(struct ranking *r, uint32_t position) {
    const struct symbol *s = (const struct symbol *)r->symbols.data;
    uint32_t next = s[position].next;
    const struct pair_slot *pair =
        next == no_id ? NULL : vocabulary_pair(r->vocabulary, s[position].id, s[next].id);
    if (!pair)
        return OK;
    uint64_t key = (uint64_t)pair->rank << 32 | position;
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
        const struct pair_slot *pair = s[position].id == no_id || right == no_id
                                           ? NULL
                                           : vocabulary_pair(r->vocabulary, s[position].id, s[right].id);
        if (!pair || pair->rank != top >> 32)
            continue;
        s[position].id = pair->result;
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

static int find_merge(struct ranking *r, uint32_t id) {
    size_t size;
    const uint8_t *piece = vocabulary_piece(r->vocabulary, id, &size);
    if (size > PIECE_MOST)
        return error_set(ERROR_INPUT, "token %u: %zu bytes are too many", id, size);
    int code = take_symbols(r, piece, size);
    if (code == OK)
        code = merge_symbols(r);
    const struct symbol *s = (const struct symbol *)r->symbols.data;
    if (code != OK || s[0].next == no_id || s[s[0].next].next != no_id)
        return code; // a single symbol, or one that text comes to only as a whole word
    struct merge merge = {s[0].id, s[s[0].next].id, id, r->rank[id]};
    vocabulary_insert_pair(r->vocabulary, &merge);
    return vocabulary_add_ranked_merge(r->vocabulary, &merge);
}

struct sized {
    uint64_t size;
    uint32_t id;
};

static int compare_sizes(const void *a, const void *b) {
    const struct sized *x = a, *y = b;
    return x->size != y->size ? (x->size < y->size ? -1 : 1) : (x->id > y->id) - (x->id < y->id);
}

static int compare_ranks(const void *a, const void *b) {
    const struct merge *x = a, *y = b;
    return x->rank != y->rank ? (x->rank < y->rank ? -1 : 1) : (x->result > y->result) - (x->result < y->result);
}

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

int vocabulary_merge_ranked(struct vocabulary *v, const uint32_t *rank) {
    struct ranking r = {.vocabulary = v, .rank = rank};
    uint32_t count = 0;
    struct sized *order = memory_new(v->size, sizeof *order);
    int code = order ? vocabulary_reserve_pairs(v, v->size) : ERROR_SYSTEM;
    for (uint32_t id = 0; id < v->size && code == OK; id++) {
        size_t size;
        vocabulary_piece(v, id, &size);
        if (rank[id] != no_id && size > 0)
            order[count++] = (struct sized){size, id};
    }
    if (code == OK)
        qsort(order, count, sizeof *order, compare_sizes);
    for (uint32_t i = 0; i < count && code == OK; i++)
        code = find_merge(&r, order[i].id);
    if (code == OK && v->merges.size > 0)
        qsort(v->merges.data, vocabulary_merge_count(v), sizeof(struct merge), compare_ranks);
    if (code == OK)
        code = number_merges(v);
    free(order);
    buffer_release(&r.symbols);
    buffer_release(&r.heap);
    return code;
}
