// What the parts of train share: the command line, the run, its state.
#ifndef TACIT_TRAIN_TRAIN_H
#define TACIT_TRAIN_TRAIN_H

#include "base/json.h"
#include "base/memory.h"
#include "base/tool.h"
#include "model/batch.h"
#include "model/checkpoint.h"
#include "model/schedule.h"
#include "train/feed.h"
#include "train/folder.h"
#include "train/supply.h"

// The command line; what it leaves open is filled in by training_settle().
struct train_options {
    const char *model, *init, *continued, *tokenizer; // --model, --init, --continue, --tokenizer
    const char *pattern;                              // of the tokenizer
    const char *assignment, *weights;                 // of the training data
    const char *evaluation, *eval_assignment;         // --eval, --eval-assignment
    struct range sequences, eval_sequences;
    const char *expert;   // --expert: a number, or a range of them
    int64_t expert_first; // -1: not given
    int expert_count;     // models that are trained side by side
    bool resume, restart, plan, json, shuffle, recompute;
    bool side_by_side;                  // --expert was a range
    int64_t steps;                      // of this run; 0: one pass over the data
    int64_t batch, micro_batch, length; // sequences, sequences, tokens; 0: by default
    int schedule, dtype;                // enum schedule, enum kernel_dtype
    int64_t warmup, schedule_steps;     // global steps; 0: first step + steps
    double rate, min_rate;              // peak; floor as a ratio of the peak
    double beta1, beta2, epsilon, decay, clip;
    int64_t eval_every, save_every, keep, log_every; // steps; 0: never
    int count;                                       // TOKENS
    char **paths;
    double *weight_list; // parsed --weights, owned
};

// ---- options.c ----

extern struct train_options train_options; // holds the defaults, then what the parser read
extern struct option train_option_table[];

// Check what the parser cannot: options that need or exclude each other. Parses --weights.
int train_options_settle(struct train_options *o);

// The run's account: everything that a resumed run needs beside weights and moments.
struct train_state {
    int64_t step, first_step;   // global steps: done, done before this run
    int64_t tokens, tokens_run; // processed, with the run that --continue goes on from; in this run
    double flops, flops_run;    // training, with all ancestors; of this run
    double seconds;             // of this run, over all its resumptions
    double compute_seconds;     // of them in steps and evaluations, not in files
    double interval_nats;       // since the last log line
    int64_t interval_predicted;
    bool complete;
};

// One model of a training: its data, its folder, its account. Models that are trained side by side (--expert A..B)
// have one each and do the same steps at the same time.
struct run {
    int64_t expert;   // -1: none
    uint64_t seed;    // --seed, with --expert A..B plus the expert's number
    char *checkpoint; // CKPT
    char *ancestor;   // --init or --continue; NULL: none
    struct feed *feed;
    const struct batch *batch; // one optimizer step, the supply's
    struct folder folder;
    json_t *configuration; // what decides the final bytes
    struct train_state state;
    int64_t interval_tokens; // tokens processed since the latest log line
};

struct training {
    struct train_options *options;
    struct model_config config;
    struct device *device;
    struct model *model;
    struct run *runs; // [count], model g is of run g
    int count;
    struct digest vocab;     // of the streams; zero: unknown
    struct buffer tokenizer; // tokenizer.json for the checkpoints; empty: the ancestor's, or none
    int64_t last_step;       // global; 0: when the pipe ends
    int64_t schedule_steps;  // T
    struct supply *supply;
    struct batch held_out;            // one micro-batch of --eval
    uint32_t *row, *tokens, *targets; // one sequence; one micro-batch of every model
    float *scores;                    // one micro-batch of log-probs
    float *scales;                    // [count], of the step under way: 1 / predicted tokens
    double *nats, *norms;             // [count], of the step under way: loss summed; gradient norm
    double resumed_at;                // clock when this process began to train, less the seconds before
    double interval_at;               // clock of the latest log line
    double interval_waited;           // seconds waited for data until then
};

// All models have done the same steps.
static inline int64_t training_step(const struct training *t) {
    return t->runs[0].state.step;
}

// ---- configuration.c ----

enum { TOKENIZER_LIMIT = 1 << 29 }; // bytes

// --init or --continue: the ancestors' step, tokens and FLOPs into the states; the model's configuration.
int training_inherit(struct training *t);
// Length, micro-batch, steps and schedule, from the options and the data; checks the model against the data.
int training_settle(struct training *t);
// r->configuration, for state.json and for the comparison of --resume.
int training_describe(const struct training *t, struct run *r);
// The first key in which two configurations differ, as `key 'x': WHAT has 1, this command says 2` (ERROR_INPUT).
// null means unknown and equals everything.
int configuration_compare(const json_t *there, const json_t *here, const char *what);

// ---- tokenizer.c ----

// t->tokenizer, from --tokenizer; checks it, or the one that the ancestor leaves, against model and data.
int training_read_tokenizer(struct training *t);

// ---- state.c ----

// Write the checkpoints of this moment as new generations, which all become current only once all are written.
int training_save(struct training *t);
// Load weights, moments, account and data position of run g from its current generation.
int training_restore(struct training *t, int g);
// Read DIRECTORY/state.json; *state is NULL where there is none. json_decref() it.
int state_read(json_t **state, const char *directory);

// ---- evaluation.c ----

// -log-probs of --eval under run g's model, summed, and the number of predicted tokens.
int training_evaluate(struct training *t, int g, double *nats, int64_t *predicted);

// ---- report.c ----

// A line of --log for each model, for the latest optimizer step; and one for an evaluation.
int report_step(struct training *t, double rate, const double *norms);
int report_evaluation(struct training *t, const struct run *r, double nats, int64_t predicted);
// Prepare the log of a resumed run: drop lines beyond the step from which it goes on.
int report_resume(int64_t step);

// ---- loop.c ----

// Of the model: a step's micro-batches follow each other on the device.
struct model_size training_size(const struct training *t);

// The model (not yet its weights) and the batches.
int training_allocate(struct training *t);

// Train from t->state to the end and put the checkpoint in place. A SIGINT, SIGTERM or SIGHUP saves first.
int training_run(struct training *t);

// ---- plan.c ----

// --plan: parameters, FLOPs, memory, an estimate of tokens/s, on standard output.
int training_plan(struct training *t);
// Under -v: the memory that this process took at most, and what the plan says.
void training_report_memory(const struct training *t);

#endif
