// A row's best expert among all, among the surely open ones and among those with room, and where every expert
// fills up: against plain loops.
#include "check.h"

#include "assign/assign.h"
#include "assign/brackets.h"
#include "assign/rows.h"
#include "base/random.h"

#include <stdlib.h>

enum { MOST = 70, TIMES = 9 };

// Few values, so that ties are common; -0, 0 and -inf among them.
static float score_at(uint64_t seed, uint64_t i) {
    uint64_t v = random_below(seed, 0, i, 7);
    return v == 0 ? -INFINITY : v == 1 ? -0.0f : 2.0f - (float)v;
}

static void check_row(uint64_t seed, uint32_t n) {
    float row[MOST];
    int32_t open_until[MOST], full_after[MOST];
    for (uint32_t e = 0; e < n; e++) {
        row[e] = score_at(seed, e);
        open_until[e] = (int32_t)random_below(seed, 1, e, TIMES);
        full_after[e] = open_until[e] + (int32_t)random_below(seed, 2, e, 3);
    }
    uint32_t best = 0;
    for (uint32_t e = 1; e < n; e++)
        best = row[e] > row[best] ? e : best;
    CHECK_EQUAL_INT(row_best(row, n), best);
    for (int32_t time = 0; time <= TIMES; time++) {
        uint32_t chosen = n, got;
        bool rival = false;
        for (uint32_t e = 0; e < n; e++)
            if (time <= open_until[e] && (chosen == n || row[e] > row[chosen]))
                chosen = e;
        for (uint32_t e = 0; e < n && chosen < n; e++)
            rival |= time > open_until[e] && time <= full_after[e] && row[e] >= row[chosen];
        bool sure = row_best_open(row, n, time, open_until, full_after, &got);
        CHECK_EQUAL_INT(sure, chosen < n && !rival);
        CHECK(!sure || got == chosen);
    }
}

// None, one, some or all of the experts have room.
static void check_room(uint64_t seed, uint32_t n) {
    float row[MOST];
    uint64_t room[MOST];
    for (uint32_t e = 0; e < n; e++)
        row[e] = score_at(seed, e);
    for (uint64_t full = 0; full <= 4; full++) { // of four experts, about so many
        uint32_t best = n;
        for (uint32_t e = 0; e < n; e++) {
            // more than 32 bits: all of a room counts
            room[e] = random_below(seed, 3 + full, e, 4) < full ? 0 : (uint64_t)1 << random_below(seed, 9, e, 64);
            if (room[e] > 0 && (best == n || row[e] > row[best]))
                best = e;
        }
        CHECK_EQUAL_INT(row_best_with_room(row, n, room), best);
        for (uint32_t first = 0; first < n; first++) { // what assignment does with the arg max in hand
            uint32_t chosen = room[first] ? first : best;
            CHECK(best == n || balanced_choose(row, n, first, room) == chosen);
        }
    }
}

static void check_count_below(uint64_t seed, uint32_t n) {
    uint64_t values[MOST];
    for (uint32_t i = 0; i < n; i++) // neighbours, and far ones: the order is that of all 64 bits, unsigned
        values[i] = random_below(seed, 4, i, 3) + (random_below(seed, 5, i, 4) << 62);
    for (uint32_t k = 0; k < n; k++) {
        for (int change = -1; change <= 1; change++) {
            uint64_t other = values[k] + (uint64_t)change, below = 0;
            for (uint32_t i = 0; i < n; i++)
                below += values[i] < other;
            CHECK_EQUAL_INT(count_below(values, n, other), below);
        }
    }
    CHECK_EQUAL_INT(count_below(values, n, 0), 0);
    CHECK_EQUAL_INT(count_below(values, 0, UINT64_MAX), 0);
}

// Two experts, room for `capacity` each; everybody prefers expert 0. It is full at rank `capacity`.
static void check_brackets(uint64_t n, uint64_t capacity, double margin) {
    const float row[2] = {-1, -2};
    struct brackets b;
    uint32_t expert;
    CHECK_OK(brackets_init(&b, 2));
    CHECK(!brackets_decide(&b, row, 0, 0, &expert));
    CHECK(brackets_hold(&b, 0, 0) && brackets_hold(&b, 1, UINT64_MAX));
    brackets_begin(&b, (double)capacity, margin);
    for (uint64_t i = 0; i < n; i++)
        brackets_observe(&b, row, 0, 10 * i);
    brackets_end(&b);
    CHECK_EQUAL_INT(b.low[0], 10 * (capacity - (uint64_t)margin - 1));
    CHECK_EQUAL_INT(b.high[0], 10 * (capacity + (uint64_t)margin - 1));
    CHECK(brackets_decide(&b, row, 0, b.low[0] - 1, &expert) && expert == 0);
    CHECK(!brackets_decide(&b, row, 0, b.low[0], &expert));
    CHECK(!brackets_decide(&b, row, 0, b.high[0], &expert));
    CHECK(brackets_decide(&b, row, 0, b.high[0] + 1, &expert) && expert == 1);
    CHECK(brackets_hold(&b, 0, b.low[0]) && brackets_hold(&b, 0, b.high[0]));
    CHECK(!brackets_hold(&b, 0, b.low[0] - 1) && !brackets_hold(&b, 0, b.high[0] + 1));
    brackets_release(&b);
}

static void check_ranks(void) {
    CHECK(rank_of(-1, 5, 0) < rank_of(-2, 4, 0));
    CHECK(rank_of(-1, 4, 0) < rank_of(-1, 5, 0));
    CHECK_EQUAL_INT(rank_of(0.0f, 5, 0), rank_of(-0.0f, 5, 0));
    CHECK(rank_of(-INFINITY, 0, 0) > rank_of(-3e38f, 9, 0));
    CHECK_EQUAL_INT(rank_shift(UINT32_MAX), 0);
    CHECK_EQUAL_INT(rank_shift((uint64_t)1 << 40), 9);
}

int main(void) {
    for (uint64_t seed = 0; seed < 500; seed++) {
        check_row(seed, 1 + (uint32_t)(seed % MOST));
        check_room(seed, 1 + (uint32_t)(seed % MOST));
        check_count_below(seed, 1 + (uint32_t)(seed % MOST));
    }
    check_brackets(1000, 500, 20);
    check_ranks();
    return check_report();
}
