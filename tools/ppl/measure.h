// What is measured of a set of sequences: perplexity, bits per byte, intervals, and the same against a baseline
// (ALGORITHMS.md section 4). Tokens weigh equally; NaN means unknown, and perplexity may be infinite.
#ifndef TACIT_PPL_MEASURE_H
#define TACIT_PPL_MEASURE_H

#include "bootstrap.h"
#include "choices.h"

#include <stdbool.h>
#include <stdint.h>

// One row of the report while sequences come in.
struct tallied {
    int domain, expert; // -1: not grouped by it
    uint64_t sequences, tokens, bytes;
    bool bytes_known; // false once a sequence lost some of its tokens to --from
    double nats, baseline_nats;
    struct sample sample;
};

struct score {
    double nats, nats_per_token, perplexity, bits_per_byte;
    struct interval perplexity_ci95, bits_per_byte_ci95;
    double acc, acc_norm, acc_stderr, acc_norm_stderr;
};

// One row of the report.
struct measured {
    const char *domain; // NULL: not grouped by it; borrowed from the stream
    int expert;         // -1: not grouped by it
    double sequences, share, tokens, bytes, questions;
    struct score model, baseline;
    double difference, improvement; // nats per token minus the baseline's; 100 (1 - perplexity / the baseline's)
    struct interval difference_ci95, improvement_ci95;
};

void tallied_init(struct tallied *t, int domain, int expert, uint64_t seed, uint64_t stream);
// A sequence with log-probs values[0..n-1] (baseline NULL: none) of which the first `skip` are left out. `bytes`
// are those of all n tokens.
int tallied_add(struct tallied *t, const float *values, const float *baseline, uint32_t n, uint32_t skip,
                uint32_t bytes);
void tallied_release(struct tallied *t);

// total: all sequences of the stream, for the share. Everything but domain and accuracy is set.
int tallied_measure(const struct tallied *t, uint64_t total, uint32_t resamples, struct threads *pool,
                    struct measured *m);
// acc and acc_norm with their standard errors sqrt(p (1 - p) / (n - 1)).
void score_accuracy(struct score *s, const struct accuracy *a);

#endif
