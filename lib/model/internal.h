// What the files of lib/model share; not for others.
#ifndef TACIT_MODEL_INTERNAL_H
#define TACIT_MODEL_INTERNAL_H

#include "model/model.h"

// ---- tensors.c: where each parameter lies ----

// Elements from the model's first parameter. q, k and v, like gate and up, follow each other without a gap, so
// that one product serves them.
struct layer_offsets {
    size_t qkv, attention_out, mlp_in, mlp_out;
    size_t attention_norm, attention_norm_bias, mlp_norm, mlp_norm_bias;
};

struct tensor_table {
    struct model_tensor *tensors; // owned
    struct layer_offsets *layers; // owned
    int count;
    size_t embedding, classifier, norm, norm_bias;
    size_t decayed;  // elements [0, decayed) are matrices, with weight decay; the rest are vectors
    size_t elements; // of one model, padding (always zero) included
};

int tensor_table_new(struct tensor_table *t, const struct model_config *c);
void tensor_table_release(struct tensor_table *t);
size_t tensor_elements(const struct model_tensor *t);

// Elements of one model as tensor_table_new would lay them out.
size_t tensor_table_elements(const struct model_config *c);

// ---- plan.c: the arena ----

// Widths of a row in the wide buffers: of the fused qkv, of the MLP's first product, of the attention's output.
struct model_widths {
    int qkv, mlp_in, attention;
};
struct model_widths model_widths(const struct model_config *c);

// What the forward pass writes. In training every layer has its own, and they are what the backward pass reads;
// in inference the layers share one set, and buffers whose lives do not meet share their place.
struct layer_buffers {
    dptr x;                                     // f32 [G,R,H]: the residual stream in front of the attention
    dptr normed, mean, rstd;                    // c [G,R,H], f32 [G,R], f32 [G,R]
    dptr qkv, lse, attention;                   // c [G,R,(A+2K)D], f32 [G B,A,S] (NULL in inference), c [G,R,A D]
    dptr mlp_x, mlp_normed, mlp_mean, mlp_rstd; // the same in front of the MLP
    dptr mlp_in;  // c: smalltalk [G,R,F] the GELU's slope (NULL in inference); llama [G,R,2F] gate and up
    dptr mlp_mid; // c [G,R,F], what the MLP's last product reads
};

// A pass whose log-probs wait on the device.
struct started_pass {
    int batch, length;
};

struct model {
    struct device *device; // borrowed
    struct model_config config;
    struct model_size size;
    struct tensor_table table;
    struct layer_buffers *layers; // [L]
    float *staging;              // host: log-probs of all passes, and pieces of parameters on their way in and out
    size_t staging_size;         // in elements
    double *norms;               // host [G]
    struct started_pass *passes; // [size.passes]
    int started;
    size_t kept; // log-probs of the started passes

    dptr arena;                                                      // all below lies in it
    dptr parameters, copies, gradients, first_moment, second_moment; // copies = parameters in float32
    dptr tokens, targets;                                            // u32 [G,B,S]
    dptr x, normed, mean, rstd;                                      // the final norm's
    dptr delta;    // c [G,R,H]: what a branch adds to the residual stream
    dptr logprobs; // f32 [G,R]
    dptr logits;   // c [logit_rows,V]
    int logit_rows;
    dptr dresidual, dbranch, dnormed; // f32, c, c [G,R,H]: gradients of x, of the branch, of the norm's output
    dptr dwide, dmid;                 // c [G,R,max(widths)], c [G,R,max(A D, F)]
    dptr kept_logprobs;               // f32 [size.passes][G,R]: of the started passes, without gaps
    dptr square_sums;                 // f64 [G]
    dptr scale, clip_scale;           // f32 [G]: of the loss, of the gradients in an update
};

static inline dptr model_parameter(const struct model *m, size_t offset) {
    return dptr_at(m->parameters, offset * sizeof(float));
}
static inline dptr model_copy(const struct model *m, size_t offset) {
    return dptr_at(m->copies, offset * kernel_dtype_size(m->device->compute));
}
static inline dptr model_gradient_at(const struct model *m, size_t offset) {
    return dptr_at(m->gradients, offset * sizeof(float));
}
static inline enum kernel_norm model_norm(const struct model *m) {
    return m->config.family == MODEL_LLAMA ? NORM_RMS : NORM_LAYER;
}
static inline struct attention_shape model_attention(const struct model_config *c, int B, int S) {
    return (struct attention_shape){B, S, c->heads, c->kv_heads, c->head_size, (float)c->theta};
}

// ---- forward.c ----

// Check token ids (and targets, NULL allowed) of `rows` rows and sizes B, S against what the model was made for.
int model_check_input(const struct model *m, const uint32_t *tokens, const uint32_t *targets, size_t rows, int B,
                      int S);
// From tokens (uploaded, read as km says) to the final norm's output m->normed.
void model_forward(struct model *m, const struct kernel_models *km, int B, int S);
// Put back what layer l's forward pass wrote, from its input, where it was not kept.
void model_recompute(struct model *m, const struct kernel_models *km, const struct attention_shape *shape, int l);
// What a backend may record a pass of this model over B x S tokens under (kernels.h, replay).
uint64_t model_pass_key(const struct model *m, bool gradient, int B, int S);
// ERROR_NUMERIC where a log-prob of [G][B][S] is NaN or +Inf (and where `finite`, -Inf), naming its place.
int model_check_logprobs(const struct model *m, const float *logprobs, int B, int S, bool finite);

#endif
