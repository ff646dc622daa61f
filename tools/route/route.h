// What the parts of route share: the models, and blocks of sequences that all of them score.
#ifndef TACIT_ROUTE_ROUTE_H
#define TACIT_ROUTE_ROUTE_H

#include "base/memory.h"
#include "model/batch.h"
#include "model/checkpoint.h"
#include "stream/share.h"

// ---- panel.c: the models ----

// Models in the order of -m. Neighbours of one shape run as one group, batched over its models.
struct panel_group {
    struct model *model; // G = count models
    struct model_config config;
    int first, count;
};
struct panel {
    struct device *device;
    struct panel_group *groups;
    int group_count, model_count;
    char **names;           // base names of the checkpoints
    struct digest *digests; // of their weights
    int vocab;              // the smallest V
    int positions;          // the fewest positions
};

// Read the models' shapes, names and digests; no weights yet.
int panel_open(struct panel *p, const char *const *checkpoints, int count);
// Refuse a token stream of another vocabulary (ERROR_INPUT naming both).
int panel_check(const struct panel *p, const char *const *checkpoints, const struct stream *tokens);
// Weights, and memory for batches of `rows` rows of `length` tokens.
int panel_load(struct panel *p, const char *const *checkpoints, struct device *device, int rows, int length);
void panel_close(struct panel *p);

// Forward FLOPs of all models over one row of n tokens.
double panel_flops(const struct panel *p, int n);

// ---- scorer.c: log-probs of blocks of sequences ----

enum { PREFIX_WHOLE = 0, PREFIX_CONTEXT = -1 };

struct scorer_options {
    int64_t prefix; // M; PREFIX_WHOLE; PREFIX_CONTEXT: up to the sequence's first scored position
    int64_t stride; // T: longer sequences are scored in windows that advance by T; 0: refused
    int rows;       // B
    int window;     // tokens of the longest row
};

// A block: sequences that are scored together. The scored tokens of all of them lie behind each other.
struct scorer {
    struct panel *panel;
    struct scorer_options options;
    int capacity, count;      // sequences
    struct record *records;   // columns; their payloads are not kept
    uint64_t *begin;          // [count + 1]: where a sequence's log-probs begin
    struct buffer tokens;     // u32, of the sequence being added
    struct buffer rows;       // struct scorer_row
    struct buffer row_tokens; // u32, of all rows
    struct buffer logprobs;   // float [E][begin[count]]
    struct batch batch;
    uint32_t *packed_tokens, *packed_targets;
    float *out;            // [G][B][S]
    double flops;          // spent so far
    int64_t tokens_scored; // tokens given to the models so far
};

int scorer_open(struct scorer *s, struct panel *panel, const struct scorer_options *options);
void scorer_close(struct scorer *s);

void scorer_clear(struct scorer *s);
bool scorer_full(const struct scorer *s);
// Append a sequence. ERROR_INPUT where it is too long or has a token that is none of the models'.
int scorer_add(struct scorer *s, const struct stream *from, const struct record *r);
// Score the block under every model; ERROR_NUMERIC names sequence and model where a log-prob is NaN or +Inf.
int scorer_run(struct scorer *s);
// Log-probs of the n scored tokens of sequence i under a model.
const float *scorer_logprobs(const struct scorer *s, int i, int model, uint32_t *n);

// ---- emitter.c: the output ----

struct emitter {
    struct stream_writer *writer;
    const struct stream *from; // the tokens
    bool per_token;
    enum stream_dtype dtype;
    uint8_t *payload; // of one record
    size_t payload_size;
};

// A score stream, or log-probs with per_token, for what the scorer makes of `from`.
int emitter_open(struct emitter *e, const char *path, bool per_token, enum stream_dtype dtype,
                 const struct scorer *scorer, const struct stream *from);
int emitter_write(struct emitter *e, const struct scorer *scorer, int sequence); // one record
int emitter_commit(struct emitter *e);
void emitter_close(struct emitter *e); // removes what was not committed

// float16, rounded to nearest even; too large becomes infinite.
uint16_t half_from_float(float x);

#endif
