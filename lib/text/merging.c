#include "text/merging.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK = 64, SLOTS_FIRST = 1 << 12 };
static const uint32_t separator = UINT32_MAX;     // between words
static const uint32_t swallowed = UINT32_MAX - 1; // a place inside a symbol that once started one

struct candidate {
    int64_t count;
    uint64_t key;
    uint32_t pair;
};

// ---- the heap: counts only fall between pushes, so a candidate is an upper bound that is corrected on top ----

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

static uint64_t slot_of(uint64_t key, uint64_t slot_count) {
    key *= 0x9e3779b97f4a7c15u;
    return (key ^ key >> 32) & (slot_count - 1);
}

static int grow_pairs(struct merging *m) {
    uint64_t n = m->slot_count ? 2 * m->slot_count : SLOTS_FIRST;
    if (n > UINT32_MAX)
        return error_set(ERROR_INPUT, "too many distinct pairs");
    int code = memory_resize(&m->pairs, n / 2, sizeof *m->pairs);
    if (code != OK)
        return code;
    m->pair_room = (uint32_t)(n / 2);
    uint32_t *slots = memory_new(n, sizeof *slots);
    if (!slots)
        return ERROR_SYSTEM;
    for (uint32_t k = 0; k < m->pair_count; k++) {
        uint64_t i = slot_of(m->pairs[k].key, n);
        while (slots[i])
            i = (i + 1) & (n - 1);
        slots[i] = k + 1;
    }
    free(m->slots);
    m->slots = slots;
    m->slot_count = n;
    return OK;
}

// The pair's index, made where it is new.
static int find_pair(struct merging *m, uint32_t left, uint32_t right, uint32_t *index) {
    if (m->pair_count == m->pair_room) {
        int code = grow_pairs(m);
        if (code != OK)
            return code;
    }
    uint64_t key = (uint64_t)left << 32 | right, i = slot_of(key, m->slot_count);
    for (; m->slots[i]; i = (i + 1) & (m->slot_count - 1)) {
        *index = m->slots[i] - 1;
        if (m->pairs[*index].key == key)
            return OK;
    }
    *index = m->pair_count++;
    m->slots[i] = m->pair_count;
    m->pairs[*index] = (struct pair){.key = key};
    return OK;
}

static int add_place(struct merging *m, uint32_t left, uint32_t right, uint32_t place, int64_t count) {
    uint32_t index;
    int code = find_pair(m, left, right, &index);
    if (code != OK)
        return code;
    struct pair *p = &m->pairs[index];
    if (p->place_count == p->place_room) {
        uint32_t room = p->place_room < 4 ? 4 : p->place_room + p->place_room / 2;
        code = memory_resize(&p->places, room, sizeof *p->places);
        if (code != OK)
            return code;
        p->place_room = room;
    }
    p->places[p->place_count++] = place;
    p->count += count;
    if (p->touched)
        return OK;
    p->touched = true;
    return buffer_append(&m->touched, &index, sizeof index);
}

static int remove_place(struct merging *m, uint32_t left, uint32_t right, int64_t count) {
    uint32_t index;
    int code = find_pair(m, left, right, &index);
    if (code == OK)
        m->pairs[index].count -= count;
    return code;
}

// Make what grew since the last call candidates.
static int push_touched(struct merging *m) {
    const uint32_t *touched = (const uint32_t *)m->touched.data;
    int code = OK;
    for (size_t i = 0; i < m->touched.size / sizeof *touched && code == OK; i++) {
        struct pair *p = &m->pairs[touched[i]];
        p->touched = false;
        if (p->count > 0)
            code = heap_push(&m->heap, (struct candidate){p->count, p->key, touched[i]});
    }
    buffer_clear(&m->touched);
    return code;
}

// ---- the rows of symbols ----

static int spread(struct merging *m, const struct word_counts *words, const uint32_t byte_id[256]) {
    uint32_t n = word_counts_size(words);
    uint64_t places = words->bytes.size + (uint64_t)n + 1;
    if (places >= swallowed)
        return error_set(ERROR_INPUT, "too much text: %zu bytes of distinct words (at most 4G)",
                         words->bytes.size);
    m->places = (uint32_t)places;
    m->words = (const struct word *)words->words.data;
    m->symbols = memory_new(places, sizeof *m->symbols);
    m->starts = memory_new((size_t)n + 1, sizeof *m->starts);
    m->word_at = memory_new(places / BLOCK + 1, sizeof *m->word_at);
    if (!m->symbols || !m->starts || !m->word_at)
        return ERROR_SYSTEM;
    uint32_t at = 0;
    for (uint32_t k = 0; k < n; k++) {
        m->symbols[at++] = separator;
        m->starts[k] = at;
        const uint8_t *bytes = words->bytes.data + m->words[k].begin;
        for (uint32_t i = 0; i < m->words[k].size; i++, at++) {
            m->symbols[at] = byte_id[bytes[i]];
            if (at % BLOCK == 0)
                m->word_at[at / BLOCK] = k;
        }
        if (at % BLOCK == 0)
            m->word_at[at / BLOCK] = k; // the separator behind the word
    }
    m->symbols[at] = separator;
    m->starts[n] = at + 1;
    return OK;
}

// Occurrences of the word that holds a place.
static int64_t weight(const struct merging *m, uint32_t place) {
    uint32_t k = m->word_at[place / BLOCK];
    while (m->starts[k + 1] <= place)
        k++;
    return (int64_t)m->words[k].count;
}

int merging_new(struct merging *m, const struct word_counts *words, const uint32_t byte_id[256]) {
    *m = (struct merging){0};
    int code = spread(m, words, byte_id);
    uint32_t one = 1;
    for (int b = 0; b < 256 && code == OK; b++)
        code = buffer_append(&m->lengths, &one, sizeof one);
    for (uint32_t k = 0; k < word_counts_size(words) && code == OK; k++)
        for (uint32_t p = m->starts[k], i = 1; i < m->words[k].size && code == OK; p++, i++)
            code = add_place(m, m->symbols[p], m->symbols[p + 1], p, (int64_t)m->words[k].count);
    if (code == OK)
        code = push_touched(m);
    return code;
}

void merging_release(struct merging *m) {
    for (uint32_t i = 0; i < m->pair_count; i++)
        free(m->pairs[i].places);
    free(m->pairs);
    free(m->slots);
    free(m->symbols);
    free(m->starts);
    free(m->word_at);
    buffer_release(&m->lengths);
    buffer_release(&m->heap);
    buffer_release(&m->touched);
    *m = (struct merging){0};
}

bool merging_best(struct merging *m, uint32_t *left, uint32_t *right) {
    while (m->heap.size > 0) {
        struct candidate top = *(const struct candidate *)m->heap.data;
        const struct pair *p = &m->pairs[top.pair];
        if (p->count <= 0) {
            heap_replace(&m->heap, NULL);
        } else if (p->count < top.count) {
            top.count = p->count;
            heap_replace(&m->heap, &top);
        } else {
            *left = (uint32_t)(p->key >> 32);
            *right = (uint32_t)p->key;
            return true;
        }
    }
    return false;
}

// Join the pair at a place where it stands: recount the neighbours, rewrite the symbols.
static int join_at(struct merging *m, uint32_t place, uint32_t left, uint32_t right, uint32_t result) {
    const uint32_t *length = (const uint32_t *)m->lengths.data;
    uint32_t middle = place + length[left], end = middle + length[right];
    uint32_t before = m->symbols[place - 1], after = m->symbols[end];
    int64_t count = weight(m, place);
    int code = remove_place(m, left, right, count);
    if (before != separator && code == OK)
        code = remove_place(m, before, left, count);
    if (after != separator && code == OK)
        code = remove_place(m, right, after, count);
    m->symbols[middle] = swallowed;
    m->symbols[place] = result;
    m->symbols[end - 1] = result;
    if (before != separator && code == OK)
        code = add_place(m, before, result, place - length[before], count);
    if (after != separator && code == OK)
        code = add_place(m, result, after, place, count);
    return code;
}

int merging_join(struct merging *m, uint32_t left, uint32_t right, uint32_t result) {
    const uint32_t *length = (const uint32_t *)m->lengths.data;
    uint32_t sum = length[left] + length[right], index;
    int code = buffer_append(&m->lengths, &sum, sizeof sum);
    if (code == OK)
        code = find_pair(m, left, right, &index);
    if (code != OK)
        return code;
    length = (const uint32_t *)m->lengths.data;
    uint32_t *places = m->pairs[index].places, n = m->pairs[index].place_count;
    m->pairs[index].places = NULL; // the pair never comes back
    m->pairs[index].place_count = m->pairs[index].place_room = 0;
    // All places of a pair were noted in one pass, so they ascend: in "aaa" the left "aa" is joined.
    for (uint32_t i = 0; i < n && code == OK; i++)
        if (m->symbols[places[i]] == left && m->symbols[places[i] + length[left]] == right)
            code = join_at(m, places[i], left, right, result);
    free(places);
    return code == OK ? push_touched(m) : code;
}
