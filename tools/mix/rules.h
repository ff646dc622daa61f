// Rules: E experts' log-probs of one sequence in, the mixture's log-probs out (HDEE and Branch-Train-Merge;
// ALGORITHMS.md section 2). l[j][t] is expert j's log-prob of the sequence's predicted token t, finite or -inf.
// Everything inside is float64 with the maximum taken out per position; priors are logs, and an expert whose
// prior is 0 is skipped.
#ifndef TACIT_MIX_RULES_H
#define TACIT_MIX_RULES_H

#include <stdbool.h>
#include <stdint.h>

struct mixer {
    uint32_t experts;       // all, those with prior 0 included
    double *log_prior;      // sums to one in probabilities; -inf: skipped
    uint32_t topk, window;  // 0: all experts, the whole history
    uint32_t active;        // experts with a prior above 0, ...
    uint32_t *place;        // ... their indices
    double *rows, *sums;    // scratch: [active][MIX_BLOCK], [active]
    uint32_t *lost, *order; // scratch: [active]
};

enum { MIX_BLOCK = 256 };

// prior: `experts` probabilities of any sum above 0, or NULL for the uniform one. mixer_release() it.
int mixer_init(struct mixer *m, uint32_t experts, const double *prior, uint32_t topk, uint32_t window);
void mixer_release(struct mixer *m);
// Keep the k experts of the highest prior (ties to the lowest index); the others get the prior 0.
void mixer_keep_best(struct mixer *m, uint32_t k);

// A rule fills out[0..n-1]. ERROR_NUMERIC `prediction t: every expert is at -inf`.
typedef int mix_rule(struct mixer *m, const float *const *l, uint32_t n, float *out);

// log p_t = LSE_j(a_jt + l_jt) - LSE_j(a_jt), a_jt = log pi_j + sum of l_js over the history s < t: all of it, or
// its last `window` tokens. With topk, both sums run over the k experts of the highest a_jt (ties to the lowest
// index); a position where those k are at -inf and another expert is not gets -inf.
mix_rule mix_bayes;
mix_rule mix_mean;    // log of the arithmetic mean of the probabilities under the prior
mix_rule mix_geomean; // the mean of the log-probs under the prior: improper, it does not sum to one
mix_rule mix_oracle;  // the expert of the highest total (ties to the lowest index): improper, a bound

// out[t] = log sum_j exp(rows[j * MIX_BLOCK + t]) for t < n <= MIX_BLOCK; -inf where all are.
void lse_columns(const double *rows, uint32_t count, uint32_t n, double *out);

#endif
