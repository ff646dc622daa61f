// What an assignment cost: loads, and against each sequence's most likely expert the share that was displaced
// and the regret.
#ifndef TACIT_ASSIGN_TALLY_H
#define TACIT_ASSIGN_TALLY_H

#include <stdbool.h>
#include <stdint.h>

// A sum that does not depend on the order of its parts, in units of 2^-40.
__extension__ typedef __int128 tally_units;
struct tally_sum {
    tally_units units;
    bool infinite; // a part was, or beyond 2^22
};

struct tally {
    uint32_t experts;
    uint64_t *loads; // sequences by (first) expert
    uint64_t sequences, scored, displaced;
    struct tally_sum chosen, regret; // over the scored sequences, nats per token
};

int tally_init(struct tally *t, uint32_t experts); // tally_release() it
void tally_clear(struct tally *t);
// A sequence went to `expert`; row: its scores, or NULL where there are none; best: their arg max.
void tally_add(struct tally *t, const float *row, uint32_t best, uint32_t expert);
double tally_mean_score(const struct tally *t); // of the chosen, nats per token; NaN without scores, or infinite
double tally_regret(const struct tally *t);     // mean of best minus chosen score; likewise
// {"method", "sequences", "experts", "capacity" (null: none), "loads", "mean_score", "displaced" (a share),
// "regret" (mean, nats per token)}, the last three null without scores or where infinite. free() it.
char *tally_json(const struct tally *t, const char *method, uint64_t capacity);
void tally_release(struct tally *t);

#endif
