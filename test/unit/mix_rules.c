// Mean, geometric mean, oracle, the vectorised log-sum-exp, and priors as users write them.
#include "check.h"

#include "base/file.h"
#include "base/random.h"
#include "mix/prior.h"
#include "mix/rules.h"

#include <stdlib.h>

enum { EXPERTS = 5, LENGTH = 700 };

static float values[EXPERTS][LENGTH];
static const float *const rows[EXPERTS] = {values[0], values[1], values[2], values[3], values[4]};
static float out[LENGTH];

static void fill(void) {
    for (int j = 0; j < EXPERTS; j++)
        for (int t = 0; t < LENGTH; t++)
            values[j][t] = -(float)exp(2 * random_normal(4, (uint64_t)j, (uint64_t)t));
}

static void check_means(const double *prior, uint32_t topk, const double *expected_prior) {
    struct mixer m;
    double worst_mean = 0, worst_geomean = 0;
    CHECK_OK(mixer_init(&m, EXPERTS, prior, topk, 0));
    if (topk)
        mixer_keep_best(&m, topk);
    CHECK_OK(mix_mean(&m, rows, LENGTH, out));
    for (int t = 0; t < LENGTH; t++) {
        long double sum = 0;
        for (int j = 0; j < EXPERTS; j++)
            sum += (long double)expected_prior[j] * expl((long double)values[j][t]);
        worst_mean = fmax(worst_mean, fabs((double)(out[t] / logl(sum)) - 1));
    }
    CHECK_OK(mix_geomean(&m, rows, LENGTH, out));
    for (int t = 0; t < LENGTH; t++) {
        long double sum = 0;
        for (int j = 0; j < EXPERTS; j++)
            sum += (long double)expected_prior[j] * (long double)values[j][t];
        worst_geomean = fmax(worst_geomean, fabs((double)(out[t] / sum) - 1));
    }
    CHECK(worst_mean < 1.2e-7);
    CHECK(worst_geomean < 1.2e-7);
    mixer_release(&m);
}

static void check_oracle(void) {
    struct mixer m;
    CHECK_OK(mixer_init(&m, EXPERTS, NULL, 0, 0));
    int best = 0;
    double most = -INFINITY;
    for (int j = 0; j < EXPERTS; j++) {
        double sum = 0;
        for (int t = 0; t < LENGTH; t++)
            sum += (double)values[j][t];
        if (sum > most) {
            most = sum;
            best = j;
        }
    }
    CHECK_OK(mix_oracle(&m, rows, LENGTH, out));
    CHECK(memcmp(out, values[best], sizeof out) == 0);
    CHECK_OK(mix_oracle(&m, rows, 0, out));
    mixer_release(&m);
}

static void check_infinities(void) {
    struct mixer m;
    const double first[EXPERTS] = {1, 0, 0, 0, 0};
    mix_rule *const rules[3] = {mix_mean, mix_geomean, mix_oracle};
    values[0][600] = -INFINITY;
    CHECK_OK(mixer_init(&m, EXPERTS, NULL, 0, 0));
    CHECK_OK(mix_mean(&m, rows, LENGTH, out));
    CHECK(out[600] > -INFINITY);
    CHECK_OK(mix_geomean(&m, rows, LENGTH, out));
    CHECK(out[600] == -INFINITY);
    for (int j = 0; j < EXPERTS; j++)
        values[j][600] = -INFINITY;
    for (int i = 0; i < 3; i++)
        CHECK_ERROR(rules[i](&m, rows, LENGTH, out), ERROR_NUMERIC);
    mixer_release(&m);
    values[1][600] = -1;
    CHECK_OK(mixer_init(&m, EXPERTS, first, 0, 0)); // the only expert that counts is at -inf
    CHECK_ERROR(mix_mean(&m, rows, LENGTH, out), ERROR_NUMERIC);
    CHECK_MESSAGE("prediction 600");
    mixer_release(&m);
}

// Down to differences that vanish in float64, and across the block.
static void check_lse(void) {
    static double in[EXPERTS * MIX_BLOCK], got[MIX_BLOCK];
    double worst = 0;
    for (int j = 0; j < EXPERTS; j++)
        for (int t = 0; t < MIX_BLOCK; t++)
            in[j * MIX_BLOCK + t] = -1000 * pow(random_uniform(9, (uint64_t)j, (uint64_t)t), 3) - t;
    in[7] = -INFINITY;
    lse_columns(in, EXPERTS, MIX_BLOCK, got);
    for (int t = 0; t < MIX_BLOCK; t++) {
        long double top = -INFINITY, sum = 0;
        for (int j = 0; j < EXPERTS; j++)
            top = fmaxl(top, (long double)in[j * MIX_BLOCK + t]);
        for (int j = 0; j < EXPERTS; j++)
            sum += expl((long double)in[j * MIX_BLOCK + t] - top);
        worst = fmax(worst, fabs(got[t] - (double)(top + logl(sum))) / fmax(1, fabs(got[t])));
    }
    CHECK(worst < 1e-15);
    for (int j = 0; j < EXPERTS; j++)
        in[j * MIX_BLOCK] = -INFINITY;
    lse_columns(in, EXPERTS, 1, got);
    CHECK(got[0] == -INFINITY);
}

static void check_prior(void) {
    double *p;
    CHECK_OK(prior_read(&p, "0.5,0.25, 1e-3", 3));
    CHECK_CLOSE(p[2], 1e-3, 0);
    free(p);
    CHECK_ERROR(prior_read(&p, "0.5,0.5", 3), ERROR_USAGE);
    CHECK_ERROR(prior_read(&p, "0.5,-0.5", 2), ERROR_USAGE);
    CHECK_ERROR(prior_read(&p, "0,0", 2), ERROR_USAGE);
    CHECK_ERROR(prior_read(&p, "nan,1", 2), ERROR_USAGE);
    CHECK_ERROR(prior_read(&p, "inf,1", 2), ERROR_USAGE);
    CHECK(prior_read(&p, "no such file", 2) != OK);
    CHECK(p == NULL);
}

int main(void) {
    const double uniform[EXPERTS] = {0.2, 0.2, 0.2, 0.2, 0.2}, skewed[EXPERTS] = {1, 0, 4, 2, 1};
    const double normalised[EXPERTS] = {0.125, 0, 0.5, 0.25, 0.125}, best[EXPERTS] = {0, 0, 2 / 3.0, 1 / 3.0, 0};
    const double first[EXPERTS] = {1 / 3.0, 1 / 3.0, 1 / 3.0, 0, 0};
    fill();
    check_means(NULL, 0, uniform);
    check_means(skewed, 0, normalised);
    check_means(skewed, 2, best);
    check_means(NULL, 3, first);
    check_oracle();
    check_infinities();
    check_lse();
    check_prior();
    return check_report();
}
