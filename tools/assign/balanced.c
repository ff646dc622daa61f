#include "balanced.h"

#include "brackets.h"
#include "sorter.h"

#include "base/error.h"
#include "base/memory.h"
#include "base/random.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCKS_LEAST = 64,     // of neighbouring sequences that make the sample, spread evenly
    BLOCK_MOST = 4096,     // sequences in one: more of a frame that is decoded anyway
    PLACE = 2,             // floats behind the scores of a sorted row: its place in the stream
    MARGIN_DEVIATIONS = 4, // of the number of sequences that an expert gets up to a rank
    MARGIN_WIDER = 16      // where these turned out too few
};

struct balance {
    struct gathered *g;
    size_t memory;
    uint32_t experts;
    uint64_t capacity;
    int shift; // of the ranks
    struct brackets brackets;
    struct sorter *sorter;
    uint64_t contested;
    float *sorted_row; // the scores and the place
};

static int open_sorter(struct balance *b) {
    sorter_free(b->sorter);
    return sorter_new(&b->sorter, b->experts + PLACE, b->memory);
}

static int sort_subject(struct balance *b, const struct subject *s) {
    memcpy(b->sorted_row, s->row, b->experts * sizeof *s->row);
    memcpy(b->sorted_row + b->experts, &s->ordinal, sizeof s->ordinal);
    return sorter_add(b->sorter, s->row[s->best], s->best, b->sorted_row);
}

static uint64_t sorted_rank(const struct balance *b, const struct sorted_row *row) {
    uint64_t place;
    memcpy(&place, row->row + b->experts, sizeof place);
    return rank_of(row->row[row->best], place, b->shift);
}

// ---- the sample ----

// How much more the counts of neighbouring blocks differ than those of independent sequences do: text comes in
// runs of one kind. Differences of neighbours, for a slow drift is no error of an evenly spread sample.
struct spread {
    uint64_t *count, *before; // by expert: arg maxes in this block, in the block before
    double squares, sum;
    uint64_t blocks;
};

static void spread_block(struct spread *d, uint32_t experts) {
    for (uint32_t e = 0; e < experts; e++) {
        double change = (double)d->count[e] - (double)d->before[e];
        if (d->blocks > 0) {
            d->squares += change * change / 2;
            d->sum += ((double)d->count[e] + (double)d->before[e]) / 2;
        }
        d->before[e] = d->count[e];
        d->count[e] = 0;
    }
    d->blocks++;
}

static int draw_sample(struct balance *b, uint64_t blocks, uint64_t length, struct spread *d) {
    uint64_t n = b->g->r->sequences;
    int rc = OK;
    for (uint64_t k = 0; k < blocks && rc == OK; k++) {
        uint64_t begin = n / blocks * k, room = n / blocks - length + 1;
        begin += random_below(0, 0, k, room);
        for (uint64_t i = 0; i < length && rc == OK; i++) {
            struct subject s;
            rc = gathered_row(b->g, begin + i, &s);
            if (rc != OK)
                break;
            d->count[s.best]++;
            rc = sort_subject(b, &s);
        }
        spread_block(d, b->experts);
    }
    return rc;
}

static int learn(struct balance *b, uint64_t samples, double effect, double deviations) {
    double share = (double)samples / (double)b->g->r->sequences, capacity = (double)b->capacity * share;
    brackets_begin(&b->brackets, capacity, deviations * sqrt(capacity * effect) + 2);
    for (uint64_t i = 0; i < samples; i++) {
        struct sorted_row row;
        int rc = sorter_next(b->sorter, &row);
        if (rc != OK)
            return rc;
        brackets_observe(&b->brackets, row.row, row.best, sorted_rank(b, &row));
    }
    brackets_end(&b->brackets);
    return OK;
}

// A sequence of the sample costs as much as a contested one, and of these there are E expert's margins on both
// sides, 2 x 4 x N x sqrt(E / size): the sum is least where its derivative vanishes.
static uint64_t sample_size(const struct balance *b, uint64_t sequences) {
    double best = pow((double)MARGIN_DEVIATIONS * (double)sequences * sqrt(b->experts), 2.0 / 3.0);
    uint64_t most = sorter_capacity(b->sorter);
    return best < (double)most ? (uint64_t)best : most;
}

static int learn_brackets(struct balance *b, double deviations) {
    uint64_t n = b->g->r->sequences, size = sample_size(b, n), length = size / BLOCKS_LEAST;
    if (n <= sorter_capacity(b->sorter) || size < BLOCKS_LEAST || size > n / 2)
        return OK; // all can be contested, or must be
    length = length < BLOCK_MOST ? length : BLOCK_MOST;
    struct spread d = {.count = memory_new(b->experts, sizeof *d.count),
                       .before = memory_new(b->experts, sizeof *d.before)};
    int rc = d.count && d.before ? draw_sample(b, size / length, length, &d) : ERROR_SYSTEM;
    free(d.count);
    free(d.before);
    double effect = d.sum > 0 && d.squares > d.sum ? d.squares / d.sum : 1;
    if (rc == OK)
        rc = learn(b, size / length * length, effect, deviations);
    return rc == OK ? open_sorter(b) : rc;
}

// ---- one attempt ----

// Decide what is certain, sort the rest.
static int decide_certain(struct balance *b) {
    struct run *r = b->g->r;
    b->contested = 0;
    for (uint32_t e = 0; e < b->experts; e++)
        r->room[e] = b->capacity;
    int rc = gathered_rewind(b->g);
    for (uint64_t i = 0; i < r->sequences && rc == OK; i++) {
        struct subject s;
        uint32_t expert;
        rc = gathered_next(b->g, &s);
        if (rc != OK)
            break;
        uint64_t rank = rank_of(s.row[s.best], i, b->shift);
        if (brackets_decide(&b->brackets, s.row, s.best, rank, &expert)) {
            r->room[expert]--; // wraps where the brackets are wrong
            run_count(r, &s, expert);
        } else {
            rc = sort_subject(b, &s);
            expert = CONTESTED;
            b->contested++;
        }
        if (rc == OK)
            rc = gathered_choose(b->g, expert);
    }
    return rc == OK ? gathered_end(b->g) : rc;
}

// Decide the contested ones in their order; *good: the brackets hold.
static int decide_contested(struct balance *b, bool *good) {
    struct run *r = b->g->r;
    *good = true;
    for (uint32_t e = 0; e < b->experts; e++)
        *good &= r->room[e] <= b->capacity && (r->room[e] > 0 || b->contested == 0);
    for (uint64_t i = 0; i < b->contested && *good; i++) {
        struct sorted_row next;
        int rc = sorter_next(b->sorter, &next);
        if (rc != OK)
            return rc;
        uint32_t e = balanced_choose(next.row, b->experts, next.best, r->room);
        rc = decisions_set(b->g->contested, next.ordinal, e);
        if (rc != OK)
            return rc;
        if (--r->room[e] == 0)
            *good = brackets_hold(&b->brackets, e, sorted_rank(b, &next));
        run_count(r, &(struct subject){.row = next.row, .best = next.best}, e);
    }
    for (uint32_t e = 0; e < b->experts; e++)
        *good &= r->room[e] == 0 || b->brackets.high[e] == UINT64_MAX; // surely full, and is not
    return OK;
}

static int decide(struct balance *b, bool *good) {
    struct run *r = b->g->r;
    tally_clear(&r->job->tally);
    int rc = decide_certain(b);
    if (rc != OK)
        return rc;
    decisions_free(b->g->contested);
    rc = decisions_new(&b->g->contested, b->contested, r->job->memory / 16);
    if (rc == OK)
        rc = decide_contested(b, good);
    r->job->contested = b->contested;
    r->job->attempts++;
    r->job->runs = sorter_runs(b->sorter);
    return rc;
}

// With brackets that are so many deviations wide; infinitely many: with none, so that everything is sorted.
static int attempt(struct balance *b, double deviations, bool *good) {
    int rc = open_sorter(b);
    if (rc == OK)
        rc = brackets_init(&b->brackets, b->experts);
    if (rc == OK && isfinite(deviations))
        rc = learn_brackets(b, deviations);
    if (rc == OK)
        rc = decide(b, good);
    brackets_release(&b->brackets);
    return rc;
}

int balanced_decide(struct gathered *g, size_t memory) {
    struct run *r = g->r;
    struct balance b = {.g = g,
                        .memory = memory,
                        .experts = r->header->experts,
                        .capacity = r->job->capacity,
                        .shift = rank_shift(r->sequences)};
    bool good = false;
    b.sorted_row = memory_new(b.experts + (size_t)PLACE, sizeof *b.sorted_row);
    int rc = b.sorted_row ? attempt(&b, MARGIN_DEVIATIONS, &good) : ERROR_SYSTEM;
    if (rc == OK && !good)
        rc = attempt(&b, MARGIN_WIDER, &good);
    if (rc == OK && !good)
        rc = attempt(&b, INFINITY, &good); // nothing can be wrong
    sorter_free(b.sorter);
    free(b.sorted_row);
    return rc;
}
