// Assignment of sequences to experts (SmallTalk LM, section 2.2 and figure 1), one job from an opened input to
// a committed output. Methods are rows of a table in assign.c; each decides one sequence at a time:
//
//   direct     sequences are decided in stream order while they are read, in constant memory
//   balanced   all are read first (the contested ones into a sorter, columns into a spool), decided in the order
//   of
//              their scores, and written in stream order; about `memory` bytes whatever the number of sequences,
//              the rest on disk
//
// What needs the number of sequences before the first decision spools a pipe, and reads it as a file then.
#ifndef TACIT_ASSIGN_ASSIGN_H
#define TACIT_ASSIGN_ASSIGN_H

#include "tally.h"

#include "base/progress.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stream;
struct stream_header;
struct record;
struct labels;

enum assign_method {
    ASSIGN_BALANCED,
    ASSIGN_SEQUENTIAL,
    ASSIGN_ARGMAX,
    ASSIGN_RANDOM,
    ASSIGN_LABEL,
    ASSIGN_TOPK,
    ASSIGN_METHODS,
};
extern const char *const assign_method_names[]; // NULL-terminated
bool assign_needs_scores(enum assign_method m);
bool assign_has_capacity(enum assign_method m);

struct assign_job {
    enum assign_method method;
    struct stream *in;   // opened, nothing read; the caller closes it
    const char *output;  // as for stream_create
    uint64_t begin, end; // slice of the input; end UINT64_MAX: to its end
    uint32_t experts, topk;
    uint64_t capacity; // balanced methods; 0: ceil(N/E), and set to it
    uint64_t seed;
    size_t memory;
    struct labels *labels;     // ASSIGN_LABEL
    struct progress *progress; // NULL: none
    // Called before the output gets its name: where the output is, the log is too.
    int (*report)(const struct assign_job *job);

    // results; release the tally
    struct tally tally;
    uint64_t contested; // sequences that had to be sorted (balanced)
    int attempts;       // brackets that were tried (balanced)
    uint64_t runs;      // sorted runs that went to disk
};

// ERROR_INPUT: a slice past the end, a domain without expert; ERROR_NUMERIC: a sequence whose experts are all at
// -inf; ERROR_USAGE: too little capacity. No output is left behind then.
int assign_run(struct assign_job *job);

// ---- what the methods are made of ----

// The most likely expert, ties to the lowest index; *best is set. ERROR_NUMERIC where all are at -inf, the message
// without the stream's name.
int scores_best(const float *row, uint32_t experts, uint32_t *best);

// The most likely expert that still has room (ties to the lowest index); `best` is the arg max. Some room is left.
uint32_t balanced_choose(const float *row, uint32_t experts, uint32_t best, const uint64_t *room);

// The k most likely experts, most likely first (ties to the lowest index), and their log-weights: the posterior
// under a uniform prior, renormalised over the k. The log-likelihood of the prefix is predictions x score.
void topk_choose(const float *row, uint32_t experts, uint32_t k, uint32_t predictions, uint16_t *chosen,
                 float *weights);

// Predictions behind the score of a sequence of `tokens` tokens under a prefix of M tokens (0: all).
uint32_t prefix_predictions(uint32_t tokens, uint32_t prefix);

#endif
