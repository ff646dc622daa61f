// Bootstrap over sequences: percentile intervals of perplexity, bits per byte and of the paired difference
// against a baseline, all from the same resamples.
//
// A sample keeps at most BOOTSTRAP_UNITS units. Up to that many sequences, a unit is a sequence and the bootstrap
// is the textbook's. Beyond it, units are bundles: sequences are dealt to them round by round in random order, and
// resampling bundles estimates the same variance with a relative error of sqrt(2/units), 1.6%, far below that of
// 1000 resamples. So memory and time are bounded whatever the number of sequences.
#ifndef TACIT_PPL_BOOTSTRAP_H
#define TACIT_PPL_BOOTSTRAP_H

#include <stdbool.h>
#include <stdint.h>

struct threads;

enum { BOOTSTRAP_UNITS = 8192 };

struct unit {
    double nats, baseline_nats; // sums of -log p
    double tokens, bytes;
};

struct sample {
    uint64_t seed, stream; // which random numbers; every sample has a stream of its own
    uint64_t sequences;
    struct unit *units;
    uint32_t count, capacity;
};

void sample_init(struct sample *s, uint64_t seed, uint64_t stream); // sample_release() it
int sample_add(struct sample *s, const struct unit *sequence);
void sample_release(struct sample *s);

struct interval {
    double low, high; // NaN: unknown
};

struct intervals { // of 95%
    struct interval perplexity, bits_per_byte, baseline_perplexity, baseline_bits_per_byte;
    struct interval difference;  // nats per token minus the baseline's
    struct interval improvement; // 100 (1 - perplexity / the baseline's)
};

// All NaN with fewer than two sequences or without resamples.
int sample_intervals(const struct sample *s, uint32_t resamples, struct threads *pool, struct intervals *out);

// Quantile q of n sorted values, linear between neighbours; NaN where any value is.
double sorted_quantile(const double *values, uint32_t n, double q);

#endif
