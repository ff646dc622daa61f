// The bootstrap: against the normal approximation, whatever the number of threads, and bundles against sequences.
#include "check.h"

#include "base/random.h"
#include "base/threads.h"
#include "ppl/bootstrap.h"

#include <stdlib.h>

static struct threads *all_processors;

static void check_quantiles(void) {
    const double values[5] = {1, 2, 4, 8, 16}, nan[3] = {1, 2, NAN}, inf[3] = {1, INFINITY, INFINITY};
    CHECK_CLOSE(sorted_quantile(values, 5, 0), 1, 0);
    CHECK_CLOSE(sorted_quantile(values, 5, 1), 16, 0);
    CHECK_CLOSE(sorted_quantile(values, 5, 0.5), 4, 0);
    CHECK_CLOSE(sorted_quantile(values, 5, 0.125), 1.5, 1e-15);
    CHECK_CLOSE(sorted_quantile(values, 1, 0.9), 1, 0);
    CHECK(isnan(sorted_quantile(nan, 3, 0)));
    CHECK(sorted_quantile(inf, 3, 0.8) == INFINITY);
}

struct moments {
    double mean, difference;        // nats per token; and minus the baseline's
    double error, difference_error; // their standard errors
};

// Sequences of unequal length. The mean is a ratio, so its standard error is that of the residuals
// nats - mean x tokens (delta method).
static struct moments fill(struct sample *s, uint32_t n, uint64_t seed) {
    struct unit *all = malloc(n * sizeof *all);
    struct unit sum = {0};
    for (uint32_t i = 0; i < n; i++) {
        struct unit u = {.tokens = 50 + (double)random_below(seed, 1, i, 100)};
        u.nats = u.tokens * (3 + 0.5 * random_normal(seed, 2, i));
        u.baseline_nats = u.nats + u.tokens * (0.1 + 0.2 * random_normal(seed, 3, i));
        u.bytes = 4 * u.tokens;
        all[i] = u;
        sum.nats += u.nats;
        sum.baseline_nats += u.baseline_nats;
        sum.tokens += u.tokens;
        CHECK_OK(sample_add(s, &u));
    }
    struct moments m = {.mean = sum.nats / sum.tokens};
    m.difference = m.mean - sum.baseline_nats / sum.tokens;
    for (uint32_t i = 0; i < n; i++) {
        double r = all[i].nats - m.mean * all[i].tokens;
        double d = all[i].nats - all[i].baseline_nats - m.difference * all[i].tokens;
        m.error += r * r;
        m.difference_error += d * d;
    }
    m.error = sqrt(m.error) / sum.tokens;
    m.difference_error = sqrt(m.difference_error) / sum.tokens;
    free(all);
    return m;
}

// Percentiles of 2000 resamples scatter by about 4% of the half width.
static void check_normal(uint32_t n, uint64_t seed) {
    const double z = 1.959964;
    struct sample s;
    struct intervals i;
    sample_init(&s, seed, 0);
    struct moments m = fill(&s, n, seed);
    CHECK_OK(sample_intervals(&s, 2000, all_processors, &i));
    CHECK_CLOSE(log(i.perplexity.low), m.mean - z * m.error, 0.15 * z * m.error / m.mean);
    CHECK_CLOSE(log(i.perplexity.high), m.mean + z * m.error, 0.15 * z * m.error / m.mean);
    CHECK_CLOSE(i.bits_per_byte.low, log(i.perplexity.low) / log(2) / 4, 1e-9);
    CHECK_CLOSE(i.difference.low, m.difference - z * m.difference_error, 0.15 * z * m.difference_error);
    CHECK_CLOSE(i.difference.high, m.difference + z * m.difference_error, 0.15 * z * m.difference_error);
    CHECK_CLOSE(i.improvement.low, 100 * (1 - exp(i.difference.high)), 1e-3);
    CHECK_CLOSE(i.improvement.high, 100 * (1 - exp(i.difference.low)), 1e-3);
    CHECK(s.count <= BOOTSTRAP_UNITS && s.sequences == n);
    sample_release(&s);
}

static void check_threads(void) {
    struct sample s;
    struct intervals one, three, again;
    struct threads *pool;
    sample_init(&s, 1, 5);
    fill(&s, 500, 11);
    CHECK_OK(threads_new(&pool, 1));
    CHECK_OK(sample_intervals(&s, 300, pool, &one));
    threads_free(pool);
    CHECK_OK(threads_new(&pool, 3));
    CHECK_OK(sample_intervals(&s, 300, pool, &three));
    CHECK(memcmp(&one, &three, sizeof one) == 0);
    s.seed = 2;
    CHECK_OK(sample_intervals(&s, 300, pool, &again));
    CHECK(memcmp(&one, &again, sizeof one) != 0);
    threads_free(pool);
    sample_release(&s);
}

static void check_degenerate(void) {
    struct sample s;
    struct intervals i;
    struct unit u = {.nats = 20, .baseline_nats = 20, .tokens = 10, .bytes = 0};
    sample_init(&s, 0, 0);
    CHECK_OK(sample_intervals(&s, 100, all_processors, &i));
    CHECK(isnan(i.perplexity.low));
    CHECK_OK(sample_add(&s, &u));
    CHECK_OK(sample_intervals(&s, 100, all_processors, &i));
    CHECK(isnan(i.perplexity.low));
    CHECK_OK(sample_add(&s, &u));
    CHECK_OK(sample_intervals(&s, 0, all_processors, &i));
    CHECK(isnan(i.perplexity.low));
    CHECK_OK(sample_intervals(&s, 100, all_processors, &i));
    CHECK_CLOSE(i.perplexity.low, exp(2), 1e-14);
    CHECK_CLOSE(i.difference.high, 0, 0);
    u.nats = INFINITY;
    CHECK_OK(sample_add(&s, &u));
    CHECK_OK(sample_intervals(&s, 100, all_processors, &i));
    CHECK(i.perplexity.high == INFINITY);
    sample_release(&s);
}

int main(void) {
    CHECK_OK(threads_new(&all_processors, 0));
    check_quantiles();
    check_normal(400, 3);
    check_normal(8192, 4);
    check_normal(60000, 5); // bundles
    check_threads();
    check_degenerate();
    threads_free(all_processors);
    return check_report();
}
