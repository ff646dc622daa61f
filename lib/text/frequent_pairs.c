// Three passes over the rows. The first adds up the pairs that share a slot of a small table: an upper bound of
// each pair's count, from which the least count is chosen. The second counts the pairs that may reach it, the
// third notes their places.
#include "text/frequent_pairs.h"
#include "base/error.h"

#include <stdlib.h>

enum {
    FILTER_BITS_LEAST = 12,
    FILTER_BITS_MOST = 21,
    TALLIES_FIRST = 1 << 10,
    BUCKETS = 64 * 8,     // of counts: eight to a power of two
    PLACES_FREE = 1 << 20 // a budget that is no bother
};
static const uint32_t not_wanted = UINT32_MAX;

struct tally {
    uint64_t key, count;
    uint32_t places, cursor; // free: no places
};

struct part {
    uint64_t *sums;  // by slot of the filter
    uint32_t *sizes; // places, by slot
    struct tally *tallies;
    uint64_t tally_count, tally_room; // room: a power of two
    uint64_t symbols;
    int code;
};

struct finding {
    const struct rows *rows;
    int filter_bits;
    uint64_t least;
    uint8_t *passes; // a bit by slot of the filter
    uint32_t *places;
    struct part parts[ROW_PARTS_MOST];
};

static uint64_t filter_slot(const struct finding *f, uint64_t key) {
    return pair_mix(key) >> (64 - f->filter_bits);
}

// ---- the first pass ----

static void bound_part(void *context, int i, int thread) {
    struct finding *f = context;
    struct part *part = &f->parts[i];
    struct row_walk w = row_walk_part(f->rows, i);
    (void)thread;
    while (row_walk_next(&w)) {
        uint64_t slot = filter_slot(f, pair_of(w.left, w.right));
        part->sums[slot] += w.count;
        part->sizes[slot]++;
        part->symbols++;
    }
}

static int bucket_of(uint64_t count) {
    int high = 63 - __builtin_clzll(count);
    return high < 3 ? (int)count : (high - 2) * 8 + (int)(count >> (high - 3) & 7);
}

static uint64_t bucket_begin(int bucket) {
    return bucket < 8 ? (uint64_t)bucket : (uint64_t)(8 + bucket % 8) << (bucket / 8 - 1);
}

// Sum the parts up into the first, choose the least count, and see which slots reach it.
static void choose_least(struct finding *f, uint64_t below, uint64_t floor) {
    struct part *sum = &f->parts[0];
    uint64_t sizes[BUCKETS] = {0}, slots = (uint64_t)1 << f->filter_bits, total = 0;
    for (int k = 1; k < f->rows->parts; k++) {
        sum->symbols += f->parts[k].symbols;
        for (uint64_t i = 0; i < slots; i++) {
            sum->sums[i] += f->parts[k].sums[i];
            sum->sizes[i] += f->parts[k].sizes[i];
        }
    }
    for (uint64_t i = 0; i < slots; i++)
        if (sum->sums[i] > 0)
            sizes[bucket_of(sum->sums[i])] += sum->sizes[i];
    uint64_t budget = sum->symbols / 4 > PLACES_FREE ? sum->symbols / 4 : PLACES_FREE;
    int bucket = BUCKETS - 1;
    f->least = below;
    for (; bucket > 0 && (f->least >= below || total + sizes[bucket] <= budget); bucket--) {
        total += sizes[bucket];
        if (total > 0)
            f->least = bucket_begin(bucket);
    }
    if (f->least < floor || total == 0)
        f->least = floor;
    for (uint64_t i = 0; i < slots; i++)
        if (sum->sums[i] >= f->least)
            f->passes[i / 8] |= (uint8_t)(1 << i % 8);
}

// ---- the second ----

static struct tally *find_tally(struct tally *tallies, uint64_t room, uint64_t key) {
    uint64_t i = pair_mix(key) & (room - 1);
    while (tallies[i].places > 0 && tallies[i].key != key)
        i = (i + 1) & (room - 1);
    return &tallies[i];
}

static int grow_tallies(struct part *part) {
    uint64_t room = part->tally_room ? 2 * part->tally_room : TALLIES_FIRST;
    struct tally *tallies = memory_new(room, sizeof *tallies);
    if (!tallies)
        return ERROR_SYSTEM;
    for (uint64_t i = 0; i < part->tally_room; i++)
        if (part->tallies[i].places > 0)
            *find_tally(tallies, room, part->tallies[i].key) = part->tallies[i];
    free(part->tallies);
    part->tallies = tallies;
    part->tally_room = room;
    return OK;
}

static bool may_reach(const struct finding *f, uint64_t key) {
    uint64_t slot = filter_slot(f, key);
    return f->passes[slot / 8] >> slot % 8 & 1;
}

static int tally(struct part *part, uint64_t key, uint64_t count, uint32_t places) {
    if (2 * part->tally_count >= part->tally_room) {
        int code = grow_tallies(part);
        if (code != OK)
            return code;
    }
    struct tally *t = find_tally(part->tallies, part->tally_room, key);
    part->tally_count += t->places == 0;
    t->key = key;
    t->count += count;
    t->places += places;
    return OK;
}

static void tally_part(void *context, int i, int thread) {
    struct finding *f = context;
    struct part *part = &f->parts[i];
    struct row_walk w = row_walk_part(f->rows, i);
    (void)thread;
    while (part->code == OK && row_walk_next(&w))
        if (may_reach(f, pair_of(w.left, w.right)))
            part->code = tally(part, pair_of(w.left, w.right), w.count, 1);
}

// The pairs that do reach the least count; the places of each lie by part.
static int gather(struct finding *f, struct frequent_pairs *found) {
    struct part sum = {0};
    int code = OK;
    uint64_t total = 0;
    for (int k = 0; k < f->rows->parts && code == OK; k++) {
        struct part *part = &f->parts[k];
        code = part->code == OK ? OK : error_set(ERROR_SYSTEM, "out of memory: counting pairs");
        for (uint64_t i = 0; i < part->tally_room && code == OK; i++)
            if (part->tallies[i].places > 0)
                code = tally(&sum, part->tallies[i].key, part->tallies[i].count, part->tallies[i].places);
    }
    for (uint64_t i = 0; i < sum.tally_room && code == OK; i++) {
        struct tally *t = &sum.tallies[i];
        if (t->places > 0 && t->count >= f->least)
            total += t->places;
    }
    if (code == OK) {
        found->places = memory_new(total, sizeof *found->places);
        code = found->places ? OK : ERROR_SYSTEM;
    }
    total = 0;
    for (uint64_t i = 0; i < sum.tally_room && code == OK; i++) {
        struct tally *t = &sum.tallies[i];
        if (t->places == 0 || t->count < f->least)
            continue;
        struct pair pair = {
            .key = t->key, .count = t->count, .places = found->places + total, .place_count = t->places};
        code = buffer_append(&found->pairs, &pair, sizeof pair);
        t->cursor = (uint32_t)total;
        total += t->places;
    }
    for (int k = 0; k < f->rows->parts && code == OK; k++) {
        for (uint64_t i = 0; i < f->parts[k].tally_room; i++) {
            struct tally *mine = &f->parts[k].tallies[i];
            if (mine->places == 0)
                continue;
            struct tally *t = find_tally(sum.tallies, sum.tally_room, mine->key);
            mine->cursor = t->count >= f->least ? t->cursor : not_wanted;
            t->cursor += mine->places;
        }
    }
    free(sum.tallies);
    return code;
}

// ---- the third ----

static void note_part(void *context, int i, int thread) {
    struct finding *f = context;
    struct part *part = &f->parts[i];
    struct row_walk w = row_walk_part(f->rows, i);
    (void)thread;
    while (row_walk_next(&w)) {
        if (!may_reach(f, pair_of(w.left, w.right)))
            continue;
        struct tally *t = find_tally(part->tallies, part->tally_room, pair_of(w.left, w.right));
        if (t->cursor != not_wanted)
            f->places[t->cursor++] = w.left_place;
    }
}

static int new_filters(struct finding *f) {
    f->filter_bits = FILTER_BITS_LEAST;
    while (f->filter_bits < FILTER_BITS_MOST && (uint64_t)1 << f->filter_bits < 2 * (uint64_t)f->rows->places)
        f->filter_bits++;
    size_t slots = (size_t)1 << f->filter_bits;
    f->passes = memory_new(slots / 8, 1);
    for (int k = 0; k < f->rows->parts; k++) {
        f->parts[k].sums = memory_new(slots, sizeof *f->parts[k].sums);
        f->parts[k].sizes = memory_new(slots, sizeof *f->parts[k].sizes);
        if (!f->parts[k].sums || !f->parts[k].sizes)
            return ERROR_SYSTEM;
    }
    return f->passes ? OK : ERROR_SYSTEM;
}

static void release_filters(struct finding *f) {
    for (int k = 0; k < f->rows->parts; k++) {
        free(f->parts[k].sums);
        free(f->parts[k].sizes);
        f->parts[k].sums = NULL;
        f->parts[k].sizes = NULL;
    }
}

int frequent_pairs_find(struct frequent_pairs *found, const struct rows *r, struct threads *pool, uint64_t below,
                        uint64_t floor) {
    struct finding f = {.rows = r};
    *found = (struct frequent_pairs){0};
    int code = new_filters(&f);
    if (code == OK) {
        threads_run(pool, r->parts, bound_part, &f);
        choose_least(&f, below, floor);
        release_filters(&f);
        threads_run(pool, r->parts, tally_part, &f);
        code = gather(&f, found);
    }
    if (code == OK) {
        f.places = found->places;
        threads_run(pool, r->parts, note_part, &f);
    }
    found->least = f.least;
    release_filters(&f);
    for (int k = 0; k < r->parts; k++)
        free(f.parts[k].tallies);
    free(f.passes);
    return code;
}

void frequent_pairs_release(struct frequent_pairs *f) {
    buffer_release(&f->pairs);
    free(f->places);
    *f = (struct frequent_pairs){0};
}
