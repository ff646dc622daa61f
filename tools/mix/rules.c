#include "rules.h"

#include "base/error.h"
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void find_active(struct mixer *m) {
    m->active = 0;
    for (uint32_t j = 0; j < m->experts; j++)
        if (m->log_prior[j] > -INFINITY)
            m->place[m->active++] = j;
}

static void normalise(struct mixer *m) {
    double sum = 0;
    for (uint32_t j = 0; j < m->experts; j++)
        sum += exp(m->log_prior[j]);
    for (uint32_t j = 0; j < m->experts; j++)
        m->log_prior[j] -= log(sum);
    find_active(m);
}

int mixer_init(struct mixer *m, uint32_t experts, const double *prior, uint32_t topk, uint32_t window) {
    *m = (struct mixer){.experts = experts, .topk = topk, .window = window};
    m->log_prior = memory_new(experts, sizeof *m->log_prior);
    m->place = memory_new(experts, sizeof *m->place);
    m->rows = memory_new(experts, MIX_BLOCK * sizeof *m->rows);
    m->sums = memory_new(experts, sizeof *m->sums);
    m->lost = memory_new(experts, sizeof *m->lost);
    m->order = memory_new(experts, sizeof *m->order);
    if (!m->log_prior || !m->place || !m->rows || !m->sums || !m->lost || !m->order)
        return ERROR_SYSTEM;
    double sum = 0;
    for (uint32_t j = 0; j < experts; j++)
        sum += prior ? prior[j] : 1;
    for (uint32_t j = 0; j < experts; j++)
        m->log_prior[j] = log((prior ? prior[j] : 1) / sum);
    normalise(m);
    return OK;
}

void mixer_keep_best(struct mixer *m, uint32_t k) {
    for (uint32_t j = 0; j < m->experts; j++) {
        uint32_t better = 0;
        for (uint32_t i = 0; i < m->experts; i++)
            better += m->log_prior[i] > m->log_prior[j] || (m->log_prior[i] == m->log_prior[j] && i < j);
        m->lost[j] = better >= k;
    }
    for (uint32_t j = 0; j < m->experts; j++)
        if (m->lost[j])
            m->log_prior[j] = -INFINITY;
    normalise(m);
}

void mixer_release(struct mixer *m) {
    free(m->log_prior);
    free(m->place);
    free(m->rows);
    free(m->sums);
    free(m->lost);
    free(m->order);
    *m = (struct mixer){0};
}

int mix_mean(struct mixer *m, const float *const *l, uint32_t n, float *out) {
    double mean[MIX_BLOCK];
    for (uint32_t begin = 0; begin < n; begin += MIX_BLOCK) {
        uint32_t count = n - begin < MIX_BLOCK ? n - begin : MIX_BLOCK;
        for (uint32_t j = 0; j < m->active; j++) {
            const float *from = l[m->place[j]] + begin;
            double prior = m->log_prior[m->place[j]];
            for (uint32_t t = 0; t < count; t++)
                m->rows[(size_t)j * MIX_BLOCK + t] = prior + (double)from[t];
        }
        lse_columns(m->rows, m->active, count, mean);
        for (uint32_t t = 0; t < count; t++) {
            if (mean[t] == -INFINITY)
                return error_set(ERROR_NUMERIC, "prediction %u: every expert is at -inf", begin + t);
            out[begin + t] = (float)mean[t];
        }
    }
    return OK;
}

int mix_geomean(struct mixer *m, const float *const *l, uint32_t n, float *out) {
    for (uint32_t t = 0; t < n; t++) {
        double sum = 0;
        bool alive = false;
        for (uint32_t j = 0; j < m->active; j++) {
            double value = (double)l[m->place[j]][t];
            sum += exp(m->log_prior[m->place[j]]) * value;
            alive |= value > -INFINITY;
        }
        if (!alive)
            return error_set(ERROR_NUMERIC, "prediction %u: every expert is at -inf", t);
        out[t] = (float)sum;
    }
    return OK;
}

int mix_oracle(struct mixer *m, const float *const *l, uint32_t n, float *out) {
    uint32_t best = 0;
    double most = -INFINITY;
    if (n == 0)
        return OK;
    for (uint32_t j = 0; j < m->experts; j++) {
        double total = 0;
        for (uint32_t t = 0; t < n; t++)
            total += (double)l[j][t];
        if (total > most) {
            most = total;
            best = j;
        }
    }
    if (most == -INFINITY)
        return error_set(ERROR_NUMERIC, "every expert's total is -inf");
    memcpy(out, l[best], n * sizeof *out);
    return OK;
}
