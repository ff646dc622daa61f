#include "measure.h"

#include "base/error.h"

#include <math.h>

void tallied_init(struct tallied *t, int domain, int expert, uint64_t seed, uint64_t stream) {
    *t = (struct tallied){.domain = domain, .expert = expert, .bytes_known = true};
    sample_init(&t->sample, seed, stream);
}

// Four sums side by side, for one waits for its own last addition.
static double sum_nats(const float *values, uint32_t begin, uint32_t n) {
    double sums[4] = {0};
    uint32_t i = begin;
    for (; i + 4 <= n; i += 4)
        for (int k = 0; k < 4; k++)
            sums[k] -= (double)values[i + (uint32_t)k];
    for (; i < n; i++)
        sums[0] -= (double)values[i];
    return sums[0] + sums[1] + (sums[2] + sums[3]);
}

int tallied_add(struct tallied *t, const float *values, const float *baseline, uint32_t n, uint32_t skip,
                uint32_t bytes) {
    if (skip > n)
        skip = n;
    struct unit u = {.nats = sum_nats(values, skip, n), .tokens = n - skip, .bytes = bytes};
    if (baseline)
        u.baseline_nats = sum_nats(baseline, skip, n);
    if (skip == n && n > 0)
        u.bytes = 0;
    else if (skip > 0)
        t->bytes_known = false;
    t->sequences++;
    t->tokens += n - skip;
    t->bytes += (uint64_t)u.bytes;
    t->nats += u.nats;
    t->baseline_nats += u.baseline_nats;
    return skip < n ? sample_add(&t->sample, &u) : OK; // nothing left: nothing to resample
}

void tallied_release(struct tallied *t) {
    sample_release(&t->sample);
}

static void fill_score(struct score *s, const struct tallied *t, double nats) {
    *s = (struct score){.nats = nats, .acc = NAN, .acc_norm = NAN, .acc_stderr = NAN, .acc_norm_stderr = NAN};
    s->nats_per_token = t->tokens ? nats / (double)t->tokens : NAN;
    s->perplexity = exp(s->nats_per_token);
    s->bits_per_byte = t->bytes_known && t->bytes ? nats / (M_LN2 * (double)t->bytes) : NAN;
}

int tallied_measure(const struct tallied *t, uint64_t total, uint32_t resamples, struct threads *pool,
                    struct measured *m) {
    struct intervals i;
    int rc = sample_intervals(&t->sample, resamples, pool, &i);
    if (rc != OK)
        return rc;
    *m = (struct measured){.expert = t->expert,
                           .sequences = (double)t->sequences,
                           .share = total ? (double)t->sequences / (double)total : NAN,
                           .tokens = (double)t->tokens,
                           .bytes = t->bytes_known ? (double)t->bytes : NAN,
                           .questions = NAN};
    fill_score(&m->model, t, t->nats);
    fill_score(&m->baseline, t, t->baseline_nats);
    m->difference = m->model.nats_per_token - m->baseline.nats_per_token;
    m->improvement = 100 * -expm1(m->difference) + 0.0; // and never -0
    m->model.perplexity_ci95 = i.perplexity;
    m->baseline.perplexity_ci95 = i.baseline_perplexity;
    const struct interval unknown = {NAN, NAN};
    bool bytes = !isnan(m->model.bits_per_byte);
    m->model.bits_per_byte_ci95 = bytes ? i.bits_per_byte : unknown;
    m->baseline.bits_per_byte_ci95 = bytes ? i.baseline_bits_per_byte : unknown;
    m->difference_ci95 = i.difference;
    m->improvement_ci95 = i.improvement;
    return OK;
}

void score_accuracy(struct score *s, const struct accuracy *a) {
    double n = (double)a->questions;
    s->acc = (double)a->right / n;
    s->acc_norm = (double)a->right_norm / n;
    s->acc_stderr = sqrt(s->acc * (1 - s->acc) / (n - 1));
    s->acc_norm_stderr = sqrt(s->acc_norm * (1 - s->acc_norm) / (n - 1));
}
