#include "choices.h"

#include "base/error.h"
#include "base/memory.h"
#include "stream/stream.h"

#include <math.h>
#include <stdlib.h>

static size_t slot_of(const struct questions *q, uint64_t key) {
    size_t slot = (size_t)(key * 0x9e3779b97f4a7c15u >> 20) & (q->table_size - 1);
    while (q->table[slot] && q->items[q->table[slot] - 1].key != key)
        slot = (slot + 1) & (q->table_size - 1);
    return slot;
}

static int grow(struct questions *q) {
    size_t capacity = q->capacity ? q->capacity * 2 : 64;
    if (capacity >= UINT32_MAX)
        return error_set(ERROR_SYSTEM, "more than 2^31 questions");
    int rc = memory_resize(&q->items, capacity, sizeof *q->items);
    if (rc != OK)
        return rc;
    q->capacity = capacity;
    uint32_t *table = memory_new(2 * capacity, sizeof *table);
    if (!table)
        return ERROR_SYSTEM;
    free(q->table);
    q->table = table;
    q->table_size = 2 * capacity;
    for (size_t i = 0; i < q->count; i++)
        q->table[slot_of(q, q->items[i].key)] = (uint32_t)i + 1;
    return OK;
}

// ---- choices that came already ----

static size_t far_slot(const struct questions *q, uint64_t key) {
    size_t slot = (size_t)(key * 0x9e3779b97f4a7c15u >> 20) & (q->far_size - 1);
    while (q->far[slot] && q->far[slot] != key)
        slot = (slot + 1) & (q->far_size - 1);
    return slot;
}

static int grow_far(struct questions *q) {
    struct questions larger = {.far_size = q->far_size ? 2 * q->far_size : 256};
    larger.far = memory_new(larger.far_size, sizeof *larger.far);
    if (!larger.far)
        return ERROR_SYSTEM;
    for (size_t i = 0; i < q->far_size; i++)
        if (q->far[i])
            larger.far[far_slot(&larger, q->far[i])] = q->far[i];
    free(q->far);
    q->far = larger.far;
    q->far_size = larger.far_size;
    return OK;
}

// Whether this choice of question `item` is new; it is noted.
static int note_choice(struct questions *q, struct question *item, uint32_t choice, bool *fresh) {
    if (choice < 64) {
        uint64_t bit = (uint64_t)1 << choice;
        *fresh = !(item->seen & bit);
        item->seen |= bit;
        return OK;
    }
    int rc = 2 * q->far_count >= q->far_size ? grow_far(q) : OK;
    if (rc != OK)
        return rc;
    uint64_t key = (uint64_t)(item - q->items) << 16 | choice, *place = &q->far[far_slot(q, key)];
    *fresh = *place == 0;
    q->far_count += *fresh;
    *place = key;
    return OK;
}

// ---- questions ----

static void consider(struct pick *p, double value, const struct record *r, bool only) {
    if (only || value > p->value || (value == p->value && r->choice < p->choice))
        *p = (struct pick){value, r->choice, r->gold != 0};
}

int questions_add(struct questions *q, const struct record *r, uint32_t row, const double sums[CHOICE_MODELS]) {
    uint64_t key = (uint64_t)r->domain << 32 | r->group;
    int rc = q->count == q->capacity ? grow(q) : OK;
    if (rc != OK)
        return rc;
    size_t slot = slot_of(q, key);
    if (!q->table[slot]) {
        q->items[q->count] = (struct question){.key = key, .row = row};
        q->table[slot] = (uint32_t)++q->count;
    }
    struct question *item = &q->items[q->table[slot] - 1];
    bool fresh;
    rc = note_choice(q, item, r->choice, &fresh);
    if (rc != OK)
        return rc;
    if (!fresh)
        return error_set(ERROR_INPUT, "choice %u of question %u comes a second time", r->choice, r->group);
    if (r->norm_length == 0)
        return error_set(ERROR_INPUT, "choice %u of question %u has no characters", r->choice, r->group);
    for (int m = 0; m < CHOICE_MODELS; m++) {
        consider(&item->sum[m], sums[m], r, item->choices == 0);
        consider(&item->norm[m], sums[m] / r->norm_length, r, item->choices == 0);
    }
    item->choices++;
    item->golds += r->gold != 0;
    return OK;
}

int questions_check(const struct questions *q, const struct stream *s) {
    for (size_t i = 0; i < q->count; i++)
        if (q->items[i].golds == 0)
            return error_set(ERROR_INPUT, "%s: no choice of question %u of domain '%s' is the right one",
                             stream_name(s), (uint32_t)q->items[i].key,
                             stream_domain(s, (int)(q->items[i].key >> 32)));
    return OK;
}

struct accuracy questions_accuracy(const struct questions *q, uint32_t row, int model) {
    struct accuracy a = {0};
    for (size_t i = 0; i < q->count; i++) {
        if (row != UINT32_MAX && q->items[i].row != row)
            continue;
        a.questions++;
        a.right += q->items[i].sum[model].right;
        a.right_norm += q->items[i].norm[model].right;
    }
    return a;
}

void questions_release(struct questions *q) {
    free(q->items);
    free(q->table);
    free(q->far);
    *q = (struct questions){0};
}
