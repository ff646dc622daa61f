#include "text/merging.h"
#include "base/error.h"

#include <stdlib.h>

enum { SLOTS_FIRST = 1 << 12, IDS_FIRST = 1 << 12, PLACES_FOR_THREADS = 1 << 12, PREFETCH = 12 };

// ---- the heap: counts only fall, so a candidate is an upper bound that is corrected on top ----

struct candidate {
    uint64_t count, key;
    uint32_t pair;
};

static bool is_better(const struct candidate *a, const struct candidate *b) {
    return a->count != b->count ? a->count > b->count : a->key < b->key;
}

static int heap_push(struct buffer *heap, struct candidate c) {
    int code = buffer_append(heap, &c, sizeof c);
    if (code != OK)
        return code;
    struct candidate *heap_data = (struct candidate *)heap->data;
    size_t i = heap->size / sizeof c - 1;
    for (size_t parent; i > 0 && is_better(&c, &heap_data[parent = (i - 1) / 2]); i = parent)
        heap_data[i] = heap_data[parent];
    heap_data[i] = c;
    return OK;
}

// Put c into the place of the top, or (c NULL) remove the top.
static void heap_replace(struct buffer *heap, const struct candidate *c) {
    struct candidate *data = (struct candidate *)heap->data;
    size_t n = heap->size / sizeof *c, i = 0;
    struct candidate moved;
    if (c) {
        moved = *c;
    } else {
        moved = data[--n];
        heap->size = n * sizeof *c;
    }
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && is_better(&data[child + 1], &data[child]))
            child++;
        if (!is_better(&data[child], &moved))
            break;
        data[i] = data[child];
    }
    if (n > 0)
        data[i] = moved;
}

// ---- the pairs ----

static uint32_t pair_count(const struct merging *m) {
    return (uint32_t)(m->kept.pairs.size / sizeof(struct pair));
}

static struct pair *pairs_of(const struct merging *m) {
    return (struct pair *)m->kept.pairs.data;
}

// Where the pair is, or the free slot where it belongs.
static uint32_t *find_slot(const struct merging *m, uint64_t key) {
    uint64_t i = pair_mix(key) & (m->slot_count - 1);
    while (m->slots[i] && pairs_of(m)[m->slots[i] - 1].key != key)
        i = (i + 1) & (m->slot_count - 1);
    return &m->slots[i];
}

static int index_pairs(struct merging *m) {
    uint64_t n = SLOTS_FIRST;
    while (n < 4 * (uint64_t)pair_count(m))
        n *= 2;
    free(m->slots);
    m->slots = memory_new(n, sizeof *m->slots);
    m->slot_count = n;
    if (!m->slots)
        return ERROR_SYSTEM;
    for (uint32_t k = 0; k < pair_count(m); k++)
        *find_slot(m, pairs_of(m)[k].key) = k + 1;
    return OK;
}

// A new pair, with room for its places.
static int keep_pair(struct merging *m, uint64_t key, uint64_t count, uint32_t places, uint32_t **out) {
    struct pair pair = {.key = key,
                        .count = count,
                        .places = memory_new(places, sizeof *pair.places),
                        .place_count = places,
                        .own_places = true};
    if (!pair.places)
        return ERROR_SYSTEM;
    int code = buffer_append(&m->kept.pairs, &pair, sizeof pair);
    if (code != OK) {
        free(pair.places);
        return code;
    }
    *out = pair.places;
    uint32_t n = pair_count(m);
    if (2 * (uint64_t)n >= m->slot_count)
        code = index_pairs(m);
    else
        *find_slot(m, key) = n;
    return code == OK ? heap_push(&m->heap, (struct candidate){count, key, n - 1}) : code;
}

static void lower_pair(struct merging *m, uint64_t key, uint64_t count) {
    uint32_t index = *find_slot(m, key);
    if (index)
        pairs_of(m)[index - 1].count -= count;
}

static void drop_pairs(struct merging *m) {
    for (uint32_t k = 0; k < pair_count(m); k++)
        if (pairs_of(m)[k].own_places)
            free(pairs_of(m)[k].places);
    frequent_pairs_release(&m->kept);
    buffer_clear(&m->heap);
}

// No pair is left that occurs m->kept.least times: keep rarer ones.
static int keep_rarer(struct merging *m) {
    uint64_t below = m->kept.least;
    drop_pairs(m);
    int code = frequent_pairs_find(&m->kept, m->rows, m->pool, below, m->floor);
    if (code == OK)
        code = index_pairs(m);
    for (uint32_t k = 0; k < pair_count(m) && code == OK; k++)
        code = heap_push(&m->heap, (struct candidate){pairs_of(m)[k].count, pairs_of(m)[k].key, k});
    return code;
}

int merging_best(struct merging *m, uint32_t *left, uint32_t *right, bool *got) {
    int code = OK;
    for (*got = false; code == OK;) {
        struct candidate top = {0};
        const struct pair *p = NULL;
        if (m->heap.size > 0) {
            top = *(const struct candidate *)m->heap.data;
            p = &pairs_of(m)[top.pair];
        }
        if (!p && m->kept.least <= m->floor)
            return OK;
        if (!p) {
            code = keep_rarer(m);
        } else if (p->count < m->kept.least) {
            heap_replace(&m->heap, NULL);
        } else if (p->count < top.count) {
            top.count = p->count;
            heap_replace(&m->heap, &top);
        } else {
            *left = (uint32_t)(p->key >> 32);
            *right = (uint32_t)p->key;
            *got = true;
            return OK;
        }
    }
    return code;
}

// ---- joining ----

// What a merge changes about the neighbours on one side: the pair with the old symbol loses, the pair with the new
// one gains.
struct change {
    uint64_t count;   // 0: none
    uint32_t *cursor; // where the gaining pair's places are noted; NULL: it is not kept
    uint32_t places;
};

enum side { BEFORE, AFTER, SIDES };

// A thread's part of a merge.
struct merging_part {
    struct change *changes[SIDES]; // by the neighbour's id
    uint32_t *touched[SIDES], touched_count[SIDES];
    uint32_t begin, end, joined; // of the pair's places; those where it stood still, at the beginning afterwards
};

struct joining {
    struct merging *m;
    uint32_t left, right, result, left_size, right_size;
    uint32_t *places;
    int parts;
};

static void change(struct merging_part *part, enum side side, uint32_t id, uint64_t count) {
    struct change *c = &part->changes[side][id];
    if (c->count == 0)
        part->touched[side][part->touched_count[side]++] = id;
    c->count += count;
    c->places++;
}

static void prefetch(const struct rows *r, uint32_t place) {
    __builtin_prefetch(r->bytes + place, 1);
    __builtin_prefetch(r->marks + place / 4, 1);
}

// Join the pair wherever it stands still: in "aaa" the left "aa", because places ascend.
static void join_part(void *context, int i, int thread) {
    struct joining *j = context;
    struct rows *r = j->m->rows;
    struct merging_part *part = &j->m->parts[i];
    const struct row_step *steps = (const struct row_step *)r->steps.data;
    size_t step = part->begin < part->end ? row_step_find(r, j->places[part->begin]) : 0;
    (void)thread;
    part->joined = 0;
    for (uint32_t k = part->begin; k < part->end; k++) {
        if (k + PREFETCH < part->end)
            prefetch(r, j->places[k + PREFETCH]);
        uint32_t p = j->places[k], middle = p + j->left_size, end = middle + j->right_size;
        uint64_t marks = row_marks(r, p), middle_marks, end_marks;
        if (!(marks & MARK_SYMBOL) || row_symbol(r, p, marks) != j->left)
            continue;
        middle_marks = row_marks(r, middle);
        if ((middle_marks & MARK_WORD) || row_symbol(r, middle, middle_marks) != j->right)
            continue;
        step = row_step_at(r, step, p);
        if (!(marks & MARK_WORD)) {
            uint32_t q = row_previous(r, p);
            change(part, BEFORE, row_symbol(r, q, row_marks(r, q)), steps[step].count);
        }
        end_marks = row_marks(r, end);
        if (!(end_marks & MARK_WORD))
            change(part, AFTER, row_symbol(r, end, end_marks), steps[step].count);
        row_clear(r, middle);
        row_write(r, p, end - p, j->result);
        j->places[part->begin + part->joined++] = p;
    }
}

// Note the places of the new pairs that are kept. Of two new symbols side by side, the left one notes them.
static void note_part(void *context, int i, int thread) {
    struct joining *j = context;
    const struct rows *r = j->m->rows;
    struct merging_part *part = &j->m->parts[i];
    (void)thread;
    for (uint32_t k = 0; k < part->joined; k++) {
        const uint32_t *places = j->places + part->begin;
        if (k + PREFETCH < part->joined)
            prefetch(r, places[k + PREFETCH]);
        uint32_t p = places[k], end = p + j->left_size + j->right_size;
        if (!(row_marks(r, p) & MARK_WORD)) {
            uint32_t q = row_previous(r, p), before = row_symbol(r, q, row_marks(r, q));
            struct change *c = &part->changes[BEFORE][before];
            if (before != j->result && c->cursor)
                *c->cursor++ = q;
        }
        uint64_t end_marks = row_marks(r, end);
        if (!(end_marks & MARK_WORD)) {
            struct change *c = &part->changes[AFTER][row_symbol(r, end, end_marks)];
            if (c->cursor)
                *c->cursor++ = p;
        }
    }
}

// The pair of the new symbol and its neighbour `id`: kept if it occurs often enough, each part with its share of
// the list of places.
static int gain(const struct joining *j, enum side side, uint32_t id) {
    struct merging *m = j->m;
    uint64_t count = 0;
    uint32_t places = 0, shares[ROW_PARTS_MOST], *list;
    for (int k = 0; k < j->parts; k++) {
        const struct change *c = &m->parts[k].changes[side][id];
        count += c->count;
        shares[k] = c->places;
        if (side == AFTER && id == j->left) { // where the next occurrence followed, it took that neighbour away
            const struct change *lost = &m->parts[k].changes[BEFORE][j->result];
            count -= lost->count;
            shares[k] -= lost->places;
        }
        places += shares[k];
    }
    if (count < m->kept.least)
        return OK;
    int code =
        keep_pair(m, side == BEFORE ? pair_of(id, j->result) : pair_of(j->result, id), count, places, &list);
    for (int k = 0; k < j->parts && code == OK; list += shares[k++])
        m->parts[k].changes[id == j->result ? AFTER : side][id].cursor = list;
    return code;
}

static bool is_first_part(const struct joining *j, int part, enum side side, uint32_t id) {
    for (int k = 0; k < part; k++)
        if (j->m->parts[k].changes[side][id].count > 0)
            return false;
    return true;
}

// Take over what the parts have counted: the neighbours' old pairs lose, their new ones are kept or not.
static int take_changes(const struct joining *j, enum side side) {
    struct merging *m = j->m;
    int code = OK;
    for (int k = 0; k < j->parts; k++) {
        for (uint32_t i = 0; i < m->parts[k].touched_count[side] && code == OK; i++) {
            uint32_t id = m->parts[k].touched[side][i];
            if (id != j->result)
                lower_pair(m, side == BEFORE ? pair_of(id, j->left) : pair_of(j->right, id),
                           m->parts[k].changes[side][id].count);
            if (is_first_part(j, k, side, id))
                code = gain(j, side, id);
        }
    }
    return code;
}

static void forget_changes(const struct joining *j) {
    for (int k = 0; k < j->parts; k++) {
        struct merging_part *part = &j->m->parts[k];
        for (int side = BEFORE; side < SIDES; side++) {
            for (uint32_t i = 0; i < part->touched_count[side]; i++)
                part->changes[side][part->touched[side][i]] = (struct change){0};
            part->touched_count[side] = 0;
        }
        part->changes[AFTER][j->result] = (struct change){0};
    }
}

// Deal the pair's places out to the parts of the rows; few are not worth waking threads for.
static void deal_places(struct joining *j, uint32_t count) {
    const struct rows *r = j->m->rows;
    j->parts = count < PLACES_FOR_THREADS ? 1 : r->parts;
    uint32_t begin = 0;
    for (int k = 0; k < j->parts; k++) {
        uint32_t low = begin, high = count;
        while (low < high && k + 1 < j->parts) {
            uint32_t middle = low + (high - low) / 2;
            if (j->places[middle] < r->part_begin[k + 1])
                low = middle + 1;
            else
                high = middle;
        }
        j->m->parts[k].begin = begin;
        begin = j->m->parts[k].end = high;
    }
}

static int make_room(struct merging *m, uint32_t ids) {
    if (ids <= m->id_room)
        return OK;
    uint32_t room = ids < IDS_FIRST ? IDS_FIRST : 2 * ids;
    for (int k = 0; k < m->rows->parts; k++) {
        for (int side = BEFORE; side < SIDES; side++) {
            struct merging_part *part = &m->parts[k];
            free(part->changes[side]); // all zero between merges
            part->changes[side] = memory_new(room, sizeof *part->changes[side]);
            if (!part->changes[side])
                return ERROR_SYSTEM;
            int code = memory_resize(&part->touched[side], room, sizeof *part->touched[side]);
            if (code != OK)
                return code;
        }
    }
    m->id_room = room;
    return OK;
}

int merging_join(struct merging *m, uint32_t left, uint32_t right, const uint8_t *bytes, uint32_t size) {
    struct joining j = {.m = m,
                        .left = left,
                        .right = right,
                        .result = (uint32_t)(m->rows->lengths.size / sizeof(uint32_t)),
                        .left_size = row_length(m->rows, left),
                        .right_size = row_length(m->rows, right)};
    uint32_t index = *find_slot(m, pair_of(left, right)) - 1;
    int code = rows_add_id(m->rows, bytes, size);
    if (code == OK)
        code = make_room(m, j.result + 1);
    if (code != OK)
        return code;
    j.places = pairs_of(m)[index].places;
    deal_places(&j, pairs_of(m)[index].place_count);
    threads_run(j.parts > 1 ? m->pool : NULL, j.parts, join_part, &j);
    uint32_t kept = pair_count(m);
    code = take_changes(&j, BEFORE);
    if (code == OK)
        code = take_changes(&j, AFTER);
    if (code == OK && pair_count(m) > kept)
        threads_run(j.parts > 1 ? m->pool : NULL, j.parts, note_part, &j);
    forget_changes(&j);
    struct pair *done = &pairs_of(m)[index];
    done->count = 0; // it never comes back
    if (done->own_places)
        free(done->places);
    done->own_places = false;
    return code;
}

int merging_new(struct merging *m, struct rows *rows, struct threads *pool, uint64_t floor) {
    *m = (struct merging){.rows = rows, .pool = pool, .floor = floor};
    m->kept.least = UINT64_MAX;
    m->parts = memory_new((size_t)rows->parts, sizeof *m->parts);
    return m->parts ? OK : ERROR_SYSTEM;
}

void merging_release(struct merging *m) {
    drop_pairs(m);
    for (int k = 0; m->parts && k < m->rows->parts; k++) {
        for (int side = BEFORE; side < SIDES; side++) {
            free(m->parts[k].changes[side]);
            free(m->parts[k].touched[side]);
        }
    }
    free(m->parts);
    free(m->slots);
    buffer_release(&m->heap);
    *m = (struct merging){0};
}
