// A transformer, or G transformers of one shape, on a device: parameters, forward, backward, optimizer step.
//
// All memory is taken by model_new in one arena; nothing is allocated afterwards. Host arrays go in and out; the
// model copies. B <= batch, S <= length, as given at creation (ERROR_USAGE else). Token ids are checked: one
// outside the vocabulary is ERROR_INPUT. A model made for training scores as well.
#ifndef TACIT_MODEL_MODEL_H
#define TACIT_MODEL_MODEL_H

#include "base/hash.h"
#include "kernels/kernels.h"
#include "model/config.h"

struct model;

struct model_size {
    int models;        // G
    int batch, length; // the largest B (of one pass) and S
    bool train;        // gradients, moments and saved activations
    bool recompute; // save only what each layer reads, and compute the rest again: the same results, less memory
    int passes;     // the most of model_gradient_start() before model_gradient_finish(); 0: one
};

// One named tensor of the checkpoint, in the order of the arena.
struct model_tensor {
    char name[96];      // Hugging Face's name: "model.layers.0.self_attn.q_proj.weight"
    int64_t rows, cols; // cols = 0: a vector of `rows`
    size_t offset;      // in elements from the model's first parameter
    bool decay;         // weight decay applies (matrices, the embedding included; not norms and biases)
    bool residual;      // writes into the residual stream: init std / sqrt(2 L)
};

// Bytes of device memory for this size, split as --plan shows it.
struct model_memory {
    size_t parameters, copies, gradients, moments, activations, workspace, total;
};
void model_plan(const struct model_config *c, const struct device *d, const struct model_size *size,
                struct model_memory *memory);

int model_new(struct model **m, struct device *d, const struct model_config *c, const struct model_size *size);
void model_free(struct model *m); // NULL is allowed
const struct model_config *model_get_config(const struct model *m);

int model_tensor_count(const struct model *m);
const struct model_tensor *model_tensor_get(const struct model *m, int i);

// Normal(0, init_std) by tensor (a function of seed and tensor name order only), norms one, biases zero.
int model_init(struct model *m, int g, uint64_t seed);

// Log-prob of each target: out[g][b][s] = log p(targets[b][s] | tokens[b][0..s]); 0 where TARGET_NONE.
// ERROR_NUMERIC where one is NaN or +Inf (-Inf is legal).
// tokens and targets: [B][S], shared by all G models.
int model_score(struct model *m, const uint32_t *tokens, const uint32_t *targets, int B, int S, float *out);

// Logits of one position set: float32 [G][B*S][V], for tests and sampling (computed in the device's dtype).
int model_logits(struct model *m, const uint32_t *tokens, int B, int S, float *out);

// The same of model g alone, [B][S] on the way out.
int model_score_one(struct model *m, int g, const uint32_t *tokens, const uint32_t *targets, int B, int S,
                    float *out);

// Forward and backward of -scale[g] * sum log p(target); gradients accumulate until model_update. tokens, targets:
// [G][B][S]. sum[g] += -sum of log p in float64 (host). A batch in several calls gives the same update as in
// one, to rounding. ERROR_NUMERIC where a log-prob is not finite; the gradients are then spoilt.
int model_gradient(struct model *m, const uint32_t *tokens, const uint32_t *targets, int B, int S,
                   const float *scale, double *sum);
// The same in two parts, so that a device goes from pass to pass without the host: several passes are started, and
// then waited for together. Sums and errors are what the same calls of model_gradient() make.
int model_gradient_start(struct model *m, const uint32_t *tokens, const uint32_t *targets, int B, int S,
                         const float *scale);
int model_gradient_finish(struct model *m, double *sum);

struct model_optimizer {
    double rate, beta1, beta2, epsilon, decay, clip; // clip 0: none (global norm)
    int64_t step;                                    // 1-based number of this update
};
// One AdamW step from the accumulated gradients, which are then zero. Decay applies to matrices
// (model_tensor.decay). norm[g] is the global gradient norm before clipping; ERROR_NUMERIC where it is NaN or Inf
// (parameters untouched).
int model_update(struct model *m, const struct model_optimizer *o, double *norm);

// Whole-state access for checkpoints and tests (float32, model g): parameters, first and second moments,
// gradients; n = all elements of one model, in arena order.
enum model_array { MODEL_PARAMETERS, MODEL_FIRST_MOMENT, MODEL_SECOND_MOMENT, MODEL_GRADIENTS };
size_t model_elements(const struct model *m);
int model_get(struct model *m, int g, enum model_array which, size_t begin, size_t n, float *out);
int model_set(struct model *m, int g, enum model_array which, size_t begin, size_t n, const float *in);

#endif
