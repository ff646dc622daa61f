// Balanced assignment: figure 1 of SmallTalk LM, and against brute force for up to 8 sequences.
#include "check.h"

#include "assign/assign.h"
#include "assign/sorter.h"
#include "base/random.h"

#include <stdlib.h>

enum { MOST = 8, EXPERTS = 3 };

// In stream order (sorted = false) or in the order of the sorter; returns the summed scores of the chosen.
static double assign_rows(const float *rows, int n, int experts, const uint64_t *capacity, bool sorted,
                          int *chosen) {
    struct sorter *sorter;
    uint64_t room[MOST];
    double sum = 0;
    memcpy(room, capacity, (size_t)experts * sizeof *room);
    CHECK_OK(sorter_new(&sorter, (uint32_t)experts, 1 << 16));
    for (int i = 0; i < n; i++) {
        uint32_t best;
        const float *row = rows + i * experts;
        CHECK_OK(scores_best(row, (uint32_t)experts, &best));
        CHECK_OK(sorter_add(sorter, sorted ? row[best] : 0, best, row));
    }
    for (int i = 0; i < n; i++) {
        struct sorted_row next;
        CHECK_OK(sorter_next(sorter, &next));
        uint32_t e = balanced_choose(next.row, (uint32_t)experts, next.best, room);
        CHECK(room[e] > 0);
        room[e]--;
        chosen[next.ordinal] = (int)e;
        sum += (double)next.row[e];
    }
    sorter_free(sorter);
    return sum;
}

// The best sum of any assignment within the capacities.
static double optimum(const float *rows, int n, int experts, const uint64_t *capacity) {
    uint64_t all = 1;
    for (int i = 0; i < n; i++)
        all *= (uint64_t)experts;
    double best = -INFINITY;
    for (uint64_t code = 0; code < all; code++) {
        uint64_t load[MOST] = {0}, rest = code;
        double sum = 0;
        bool good = true;
        for (int i = 0; i < n; i++, rest /= (uint64_t)experts) {
            uint64_t e = rest % (uint64_t)experts;
            good &= ++load[e] <= capacity[e];
            sum += (double)rows[i * experts + (int)e];
        }
        if (good && sum > best)
            best = sum;
    }
    return best;
}

static void check_figure_1(void) {
    const float rows[9] = {-3, -4, -9, -8, -2, -8, -1, -6, -9};
    const uint64_t one[3] = {1, 1, 1};
    int chosen[3];
    CHECK_CLOSE(assign_rows(rows, 3, 3, one, false, chosen), -14, 0);
    CHECK_CLOSE(assign_rows(rows, 3, 3, one, true, chosen), -12, 0);
    CHECK_CLOSE(optimum(rows, 3, 3, one), -12, 0);
}

static float best_of(const float *row) {
    float best = row[0];
    for (int e = 1; e < EXPERTS; e++)
        best = row[e] > best ? row[e] : best;
    return best;
}

// Whether sequence i comes before k: a higher best score, ties by number.
static bool before(const float *rows, int i, int k) {
    float a = best_of(rows + i * EXPERTS), b = best_of(rows + k * EXPERTS);
    return a > b || (a == b && i < k);
}

// Capacity holds, and every expert that a sequence would have preferred was filled by sequences before it.
static void check_small(uint64_t seed, int n) {
    float rows[MOST * EXPERTS];
    int chosen[MOST];
    uint64_t capacity[EXPERTS], load[EXPERTS] = {0};
    for (int i = 0; i < n * EXPERTS; i++) // few values, so that ties are common; -inf among them
        rows[i] = -(float)random_below(seed, 0, (uint64_t)i, 4);
    if (seed % 3 == 0)
        rows[random_below(seed, 1, 0, (uint64_t)n * EXPERTS)] = -INFINITY;
    for (int i = 0; i < n; i++)
        if (best_of(rows + i * EXPERTS) == -INFINITY)
            rows[i * EXPERTS] = -9;
    for (int e = 0; e < EXPERTS; e++)
        capacity[e] = (uint64_t)(n + EXPERTS - 1) / EXPERTS;
    double sum = assign_rows(rows, n, EXPERTS, capacity, true, chosen);
    CHECK(sum <= optimum(rows, n, EXPERTS, capacity));
    for (int i = 0; i < n; i++)
        load[chosen[i]]++;
    for (int e = 0; e < EXPERTS; e++)
        CHECK(load[e] <= capacity[e]);
    for (int i = 0; i < n; i++) {
        for (int e = 0; e < EXPERTS; e++) {
            float here = rows[i * EXPERTS + e], got = rows[i * EXPERTS + chosen[i]];
            if (!(here > got || (here == got && e < chosen[i])))
                continue;
            uint64_t earlier = 0;
            for (int k = 0; k < n; k++)
                earlier += chosen[k] == e && before(rows, k, i);
            CHECK_EQUAL_INT(earlier, capacity[e]);
        }
    }
}

static void check_scores(void) {
    uint32_t best;
    const float ties[4] = {-2, -1, -1, -3};
    const float lost[3] = {-INFINITY, -INFINITY, -INFINITY}, one[3] = {-INFINITY, -INFINITY, -5};
    CHECK_OK(scores_best(ties, 4, &best));
    CHECK_EQUAL_INT(best, 1);
    CHECK_OK(scores_best(one, 3, &best));
    CHECK_EQUAL_INT(best, 2);
    CHECK_ERROR(scores_best(lost, 3, &best), ERROR_NUMERIC);
}

// The weights are softmax(predictions x score) over the chosen, in closed form.
static void check_topk(void) {
    const float row[5] = {-2, -1, -INFINITY, -1, -1.5f};
    uint16_t chosen[5];
    float weights[5];
    topk_choose(row, 5, 3, 4, chosen, weights);
    CHECK_EQUAL_INT(chosen[0], 1);
    CHECK_EQUAL_INT(chosen[1], 3);
    CHECK_EQUAL_INT(chosen[2], 4);
    double sum = 2 + exp(-2);
    CHECK_CLOSE(weights[0], -log(sum), 1e-7);
    CHECK_CLOSE(weights[1], -log(sum), 1e-7);
    CHECK_CLOSE(weights[2], -2 - log(sum), 1e-7);
    topk_choose(row, 5, 5, 0, chosen, weights);
    CHECK_EQUAL_INT(chosen[4], 2);
    CHECK_CLOSE(weights[3], -log(4), 1e-7);
    CHECK(weights[4] == -INFINITY);
    CHECK_EQUAL_INT(prefix_predictions(1024, 256), 255);
    CHECK_EQUAL_INT(prefix_predictions(100, 256), 99);
    CHECK_EQUAL_INT(prefix_predictions(100, 0), 99);
    CHECK_EQUAL_INT(prefix_predictions(0, 0), 0);
}

int main(void) {
    check_figure_1();
    for (uint64_t seed = 0; seed < 300; seed++)
        check_small(seed, 1 + (int)(seed % MOST));
    check_scores();
    check_topk();
    return check_report();
}
