#include "rules.h"

#include "base/error.h"

#include <math.h>
#include <string.h>

enum { SIDE_BY_SIDE = 4 };

static int dead_position(uint32_t t) {
    return error_set(ERROR_NUMERIC, "prediction %u: every expert is at -inf", t);
}

// Running sums of `count` log-probs under n neighbouring experts, side by side, for one waits for its own last
// addition.
static inline void add_history(struct mixer *m, const float *const *l, uint32_t first, uint32_t n, uint32_t begin,
                               uint32_t count) {
    const float *from[SIDE_BY_SIDE];
    double *rows = m->rows + (size_t)first * MIX_BLOCK, sums[SIDE_BY_SIDE];
    for (uint32_t k = 0; k < n; k++) {
        from[k] = l[m->place[first + k]] + begin;
        sums[k] = m->sums[first + k];
    }
    for (uint32_t t = 0; t < count; t++)
#pragma GCC unroll 4
        for (uint32_t k = 0; k < n; k++)
            rows[k * MIX_BLOCK + t] = sums[k] += (double)from[k][t];
    for (uint32_t k = 0; k < n; k++)
        m->sums[first + k] = sums[k];
}

// The whole history and all experts: with A_t = LSE_j(a_jt), log p_t = A_{t+1} - A_t, so each expert and position
// costs one exponential. After each block A is taken out of the a_j, which keeps them small.
static int bayes_whole(struct mixer *m, const float *const *l, uint32_t n, float *out) {
    double after[MIX_BLOCK], before = 0; // log_prior is normalised: A_0 = 0
    for (uint32_t j = 0; j < m->active; j++)
        m->sums[j] = m->log_prior[m->place[j]];
    for (uint32_t begin = 0; begin < n; begin += MIX_BLOCK) {
        uint32_t count = n - begin < MIX_BLOCK ? n - begin : MIX_BLOCK;
        uint32_t j = 0;
        for (; j + SIDE_BY_SIDE <= m->active; j += SIDE_BY_SIDE)
            add_history(m, l, j, SIDE_BY_SIDE, begin, count);
        for (; j < m->active; j++)
            add_history(m, l, j, 1, begin, count);
        lse_columns(m->rows, m->active, count, after);
        for (uint32_t t = 0; t < count; t++) {
            if (after[t] == -INFINITY)
                return dead_position(begin + t);
            out[begin + t] = (float)(after[t] - before);
            before = after[t];
        }
        for (j = 0; j < m->active; j++)
            m->sums[j] -= before;
        before = 0;
    }
    return OK;
}

// Put the k active experts of the highest a (ties to the lowest index) first in `order`.
static void select_best(const double *a, uint32_t count, uint32_t k, uint32_t *order) {
    uint32_t n = 0;
    for (uint32_t j = 0; j < count; j++) {
        uint32_t at = n;
        while (at > 0 && a[j] > a[order[at - 1]])
            at--;
        if (at == k)
            continue;
        n += n < k;
        for (uint32_t i = n - 1; i > at; i--)
            order[i] = order[i - 1];
        order[at] = j;
    }
}

// The position's two sums over the experts in `order`: LSE(a + l) - LSE(a).
static double position_log_prob(const struct mixer *m, const double *a, const float *const *l, uint32_t t,
                                uint32_t k) {
    double top_a = -INFINITY, top_b = -INFINITY, sum_a = 0, sum_b = 0;
    for (uint32_t i = 0; i < k; i++) {
        uint32_t j = m->order[i];
        top_a = fmax(top_a, a[j]);
        top_b = fmax(top_b, a[j] + (double)l[m->place[j]][t]);
    }
    if (top_b == -INFINITY)
        return -INFINITY;
    for (uint32_t i = 0; i < k; i++) {
        uint32_t j = m->order[i];
        sum_a += exp(a[j] - top_a);
        sum_b += exp(a[j] + (double)l[m->place[j]][t] - top_b);
    }
    return top_b - top_a + log(sum_b) - log(sum_a);
}

// A bounded history or a choice of experts: position by position. A log-prob of -inf is counted, not summed, so
// that it can leave the window again.
static int bayes_general(struct mixer *m, const float *const *l, uint32_t n, float *out) {
    uint32_t k = m->topk && m->topk < m->active ? m->topk : m->active;
    double *a = m->rows;
    memset(m->sums, 0, m->active * sizeof *m->sums);
    memset(m->lost, 0, m->active * sizeof *m->lost);
    for (uint32_t j = 0; j < m->active; j++)
        m->order[j] = j;
    for (uint32_t t = 0; t < n; t++) {
        bool alive = false;
        for (uint32_t j = 0; j < m->active; j++) {
            a[j] = m->lost[j] ? -INFINITY : m->log_prior[m->place[j]] + m->sums[j];
            alive |= a[j] > -INFINITY && l[m->place[j]][t] > -INFINITY;
        }
        if (!alive)
            return dead_position(t);
        if (k < m->active)
            select_best(a, m->active, k, m->order);
        out[t] = (float)position_log_prob(m, a, l, t, k);
        for (uint32_t j = 0; j < m->active; j++) {
            const float *from = l[m->place[j]];
            if (from[t] > -INFINITY)
                m->sums[j] += (double)from[t];
            else
                m->lost[j]++;
            if (m->window == 0 || t < m->window)
                continue; // the history is no longer than the window
            if (from[t - m->window] > -INFINITY)
                m->sums[j] -= (double)from[t - m->window];
            else
                m->lost[j]--;
        }
    }
    return OK;
}

int mix_bayes(struct mixer *m, const float *const *l, uint32_t n, float *out) {
    return m->window || (m->topk && m->topk < m->active) ? bayes_general(m, l, n, out) : bayes_whole(m, l, n, out);
}
