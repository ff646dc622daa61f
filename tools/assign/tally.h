// What an assignment cost: loads, and against each sequence's most likely expert the share that was displaced
// and the regret.
#ifndef TACIT_ASSIGN_TALLY_H
#define TACIT_ASSIGN_TALLY_H

#include <stdint.h>

struct tally {
    uint32_t experts;
    uint64_t *loads; // sequences by (first) expert
    uint64_t sequences, scored, displaced;
    double chosen, regret; // sums over the scored sequences, nats per token
};

int tally_init(struct tally *t, uint32_t experts); // tally_release() it
// A sequence went to `expert`; row: its scores, or NULL where there are none; best: their arg max.
void tally_add(struct tally *t, const float *row, uint32_t best, uint32_t expert);
// {"method", "sequences", "experts", "capacity" (null: none), "loads", "mean_score", "displaced" (a share),
// "regret" (mean, nats per token)}, the last three null without scores or where infinite. free() it.
char *tally_json(const struct tally *t, const char *method, uint64_t capacity);
void tally_release(struct tally *t);

#endif
