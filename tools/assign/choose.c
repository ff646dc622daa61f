#include "assign.h"

#include "rows.h"

#include "base/error.h"

#include <math.h>

int scores_best(const float *row, uint32_t experts, uint32_t *best) {
    *best = row_best(row, experts);
    return row[*best] > -INFINITY ? OK : error_set(ERROR_NUMERIC, "every expert's score is -inf");
}

uint32_t balanced_choose(const float *row, uint32_t experts, uint32_t best, const uint64_t *room) {
    return room[best] ? best : row_best_with_room(row, experts, room);
}

uint32_t prefix_predictions(uint32_t tokens, uint32_t prefix) {
    uint32_t seen = prefix > 0 && prefix < tokens ? prefix : tokens;
    return seen > 0 ? seen - 1 : 0;
}

void topk_choose(const float *row, uint32_t experts, uint32_t k, uint32_t predictions, uint16_t *chosen,
                 float *weights) {
    uint32_t n = 0;
    for (uint32_t e = 0; e < experts; e++) { // insertion into the best k so far; equal ones stay in order
        uint32_t at = n;
        while (at > 0 && row[e] > row[chosen[at - 1]])
            at--;
        if (at == k)
            continue;
        n += n < k;
        for (uint32_t i = n - 1; i > at; i--)
            chosen[i] = chosen[i - 1];
        chosen[at] = (uint16_t)e;
    }
    double sum = 0, top = (double)row[chosen[0]];
    for (uint32_t i = 0; i < k; i++)
        if (row[chosen[i]] > -INFINITY)
            sum += exp(predictions * ((double)row[chosen[i]] - top));
    double normaliser = log(sum);
    for (uint32_t i = 0; i < k; i++)
        weights[i] = row[chosen[i]] > -INFINITY
                         ? (float)(predictions * ((double)row[chosen[i]] - top) - normaliser)
                         : -INFINITY;
}
