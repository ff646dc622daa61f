#include "bootstrap.h"

#include "base/error.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/threads.h"

#include <math.h>
#include <stdlib.h>

enum { STATISTICS = 6, DRAWS = 256 };

void sample_init(struct sample *s, uint64_t seed, uint64_t stream) {
    *s = (struct sample){.seed = seed, .stream = stream};
}

int sample_add(struct sample *s, const struct unit *sequence) {
    uint64_t n = s->sequences++;
    if (n >= BOOTSTRAP_UNITS) {
        uint64_t round = n / BOOTSTRAP_UNITS;
        uint64_t place = random_permute(s->seed, s->stream << 32 | round, BOOTSTRAP_UNITS, n % BOOTSTRAP_UNITS);
        struct unit *u = &s->units[place];
        u->nats += sequence->nats;
        u->baseline_nats += sequence->baseline_nats;
        u->tokens += sequence->tokens;
        u->bytes += sequence->bytes;
        return OK;
    }
    if (s->count == s->capacity) {
        uint32_t capacity = s->capacity ? s->capacity * 2 : 16;
        int rc = memory_resize(&s->units, capacity, sizeof *s->units);
        if (rc != OK)
            return rc;
        s->capacity = capacity;
    }
    s->units[s->count++] = *sequence;
    return OK;
}

void sample_release(struct sample *s) {
    free(s->units);
    *s = (struct sample){0};
}

// ---- resampling ----

struct resampling {
    const struct sample *sample;
    uint32_t resamples;
    double *values[STATISTICS]; // [resamples]
};

static void resample(void *context, int index, int thread) {
    (void)thread;
    struct resampling *r = context;
    const struct sample *s = r->sample;
    uint64_t blocks = (s->count + 3u) / 4u;
    struct unit sum = {0};
    for (uint32_t begin = 0; begin < s->count; begin += DRAWS) {
        uint32_t words[DRAWS], n = s->count - begin < DRAWS ? s->count - begin : DRAWS;
        random_blocks(s->seed, s->stream << 32, (uint64_t)index * blocks + begin / 4, (n + 3u) / 4u, words);
        for (uint32_t i = 0; i < n; i++) {
            const struct unit *u = &s->units[(uint64_t)words[i] * s->count >> 32];
            sum.nats += u->nats;
            sum.baseline_nats += u->baseline_nats;
            sum.tokens += u->tokens;
            sum.bytes += u->bytes;
        }
    }
    double mean = sum.nats / sum.tokens, baseline = sum.baseline_nats / sum.tokens, bits = M_LN2 * sum.bytes;
    r->values[0][index] = exp(mean);
    r->values[1][index] = sum.nats / bits;
    r->values[2][index] = exp(baseline);
    r->values[3][index] = sum.baseline_nats / bits;
    r->values[4][index] = mean - baseline;
    r->values[5][index] = 100 * -expm1(mean - baseline) + 0.0;
}

// Ascending, NaN last.
static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    if (isnan(x) || isnan(y))
        return isnan(x) - isnan(y);
    return (x > y) - (x < y);
}

double sorted_quantile(const double *values, uint32_t n, double q) {
    if (n == 0 || isnan(values[n - 1]))
        return NAN;
    double at = q * (n - 1);
    uint32_t below = (uint32_t)at;
    double low = values[below], high = below + 1 < n ? values[below + 1] : low;
    return low == high ? low : low + (at - below) * (high - low);
}

int sample_intervals(const struct sample *s, uint32_t resamples, struct threads *pool, struct intervals *out) {
    struct interval *intervals[STATISTICS] = {&out->perplexity,          &out->bits_per_byte,
                                              &out->baseline_perplexity, &out->baseline_bits_per_byte,
                                              &out->difference,          &out->improvement};
    for (int i = 0; i < STATISTICS; i++)
        *intervals[i] = (struct interval){NAN, NAN};
    if (s->count < 2 || resamples == 0)
        return OK;
    double *values = memory_new(resamples, STATISTICS * sizeof *values);
    if (!values)
        return ERROR_SYSTEM;
    struct resampling r = {.sample = s, .resamples = resamples};
    for (int i = 0; i < STATISTICS; i++)
        r.values[i] = values + (size_t)i * resamples;
    threads_run(pool, (int)resamples, resample, &r);
    for (int i = 0; i < STATISTICS; i++) {
        qsort(r.values[i], resamples, sizeof *values, compare);
        intervals[i]->low = sorted_quantile(r.values[i], resamples, 0.025);
        intervals[i]->high = sorted_quantile(r.values[i], resamples, 0.975);
    }
    free(values);
    return OK;
}
