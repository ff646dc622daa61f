#include "base/error.h"
#include "model/internal.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

// ---- input ----

int model_check_input(const struct model *m, const uint32_t *tokens, const uint32_t *targets, size_t rows, int B,
                      int S) {
    if (B < 1 || S < 1 || B > m->size.batch || S > m->size.length)
        return error_set(ERROR_USAGE, "a batch of %d sequences of %d tokens: the model was made for %d of %d", B,
                         S, m->size.batch, m->size.length);
    uint32_t vocab = (uint32_t)m->config.vocab;
    for (size_t i = 0; i < rows; i++) {
        uint32_t bad = tokens[i];
        if (bad < vocab && targets && targets[i] != TARGET_NONE)
            bad = targets[i];
        if (bad >= vocab)
            return error_set(ERROR_INPUT, "token %" PRIu32 " at position %zu: the model has %" PRIu32 " tokens",
                             bad, i % (size_t)S, vocab);
    }
    return OK;
}

int model_check_logprobs(const struct model *m, const float *logprobs, int B, int S, bool finite) {
    size_t rows = (size_t)B * (size_t)S, n = rows * (size_t)m->size.models;
    for (size_t i = 0; i < n; i++) {
        float p = logprobs[i];
        if (isnan(p) || (isinf(p) && (p > 0 || finite)))
            return error_set(ERROR_NUMERIC, "model %zu, sequence %zu, position %zu: log-prob is %s", i / rows,
                             i % rows / (size_t)S, i % (size_t)S,
                             isnan(p) ? "nan"
                             : p > 0  ? "inf"
                                      : "-inf");
    }
    return OK;
}

// ---- the forward pass ----

// x_out = x + delta; normed = norm(x_out), with the norm whose parameters lie at `weight` and `bias`.
static void apply_norm(struct model *m, const struct kernel_models *km, dptr normed, dptr mean, dptr rstd,
                       dptr x_out, dptr x, dptr delta, size_t weight, size_t bias, int rows) {
    enum kernel_norm kind = model_norm(m);
    m->device->k->norm_forward(m->device, km, kind, normed, mean, rstd, x_out, x, delta,
                               model_parameter(m, weight), kind == NORM_LAYER ? model_parameter(m, bias) : NULL,
                               (float)m->config.epsilon, rows, m->config.hidden);
}

static void attention_branch(struct model *m, const struct kernel_models *km, const struct layer_offsets *at,
                             const struct layer_buffers *b, const struct attention_shape *shape) {
    const struct kernels *k = m->device->k;
    struct model_widths w = model_widths(&m->config);
    int rows = shape->batch * shape->length, hidden = m->config.hidden;
    k->matmul_forward(m->device, km, b->qkv, NULL, b->normed, model_copy(m, at->qkv), ACTIVATION_NONE, rows,
                      hidden, w.qkv);
    k->attention_forward(m->device, b->attention, b->lse, b->qkv, shape, km->count);
    k->matmul_forward(m->device, km, m->delta, NULL, b->attention, model_copy(m, at->attention_out),
                      ACTIVATION_NONE, rows, w.attention, hidden);
}

// All of the MLP but its last product.
static void mlp_middle(struct model *m, const struct kernel_models *km, const struct layer_offsets *at,
                       const struct layer_buffers *b, int rows) {
    const struct kernels *k = m->device->k;
    struct model_widths w = model_widths(&m->config);
    int hidden = m->config.hidden, feed_forward = m->config.feed_forward;
    dptr weight = model_copy(m, at->mlp_in);
    if (m->config.family == MODEL_LLAMA) {
        k->matmul_forward(m->device, km, b->mlp_in, NULL, b->mlp_normed, weight, ACTIVATION_NONE, rows, hidden,
                          w.mlp_in);
        k->swiglu_forward(m->device, b->mlp_mid, b->mlp_in, (size_t)rows * (size_t)km->count, feed_forward);
    } else {
        k->matmul_forward(m->device, km, b->mlp_mid, b->mlp_in, b->mlp_normed, weight, ACTIVATION_GELU, rows,
                          hidden, feed_forward);
    }
}

// Layer l from its input x + delta on (NULL: x alone), kept in its buffers; without `output` not what the MLP
// adds, which the backward pass does not read.
static void run_layer(struct model *m, const struct kernel_models *km, const struct attention_shape *shape, int l,
                      dptr x, dptr delta, bool output) {
    const struct layer_offsets *at = &m->table.layers[l];
    const struct layer_buffers *b = &m->layers[l];
    int rows = shape->batch * shape->length;
    apply_norm(m, km, b->normed, b->mean, b->rstd, b->x, x, delta, at->attention_norm, at->attention_norm_bias,
               rows);
    attention_branch(m, km, at, b, shape);
    apply_norm(m, km, b->mlp_normed, b->mlp_mean, b->mlp_rstd, b->mlp_x, b->x, m->delta, at->mlp_norm,
               at->mlp_norm_bias, rows);
    mlp_middle(m, km, at, b, rows);
    if (output)
        m->device->k->matmul_forward(m->device, km, m->delta, NULL, b->mlp_mid, model_copy(m, at->mlp_out),
                                     ACTIVATION_NONE, rows, m->config.feed_forward, m->config.hidden);
}

void model_forward(struct model *m, const struct kernel_models *km, int B, int S) {
    const struct model_config *c = &m->config;
    struct attention_shape shape = model_attention(c, B, S);
    int rows = B * S;
    m->device->k->embed_forward(m->device, km, m->layers[0].x, model_parameter(m, m->table.embedding), m->tokens,
                                rows, c->hidden, c->vocab);
    for (int l = 0; l < c->layers; l++)
        run_layer(m, km, &shape, l, l ? m->layers[l - 1].mlp_x : m->layers[l].x, l ? m->delta : NULL, true);
    apply_norm(m, km, m->normed, m->mean, m->rstd, m->x, m->layers[c->layers - 1].mlp_x, m->delta, m->table.norm,
               m->table.norm_bias, rows);
}

void model_recompute(struct model *m, const struct kernel_models *km, const struct attention_shape *shape, int l) {
    if (m->size.recompute && l < m->config.layers - 1) // the last layer's values are still there
        run_layer(m, km, shape, l, m->layers[l].x, NULL, false);
}

uint64_t model_pass_key(const struct model *m, bool gradient, int B, int S) {
    uint64_t parts[] = {(uint64_t)(uintptr_t)m->copies, (uint64_t)m->size.models, gradient, (uint64_t)B,
                        (uint64_t)S};
    return XXH3_64bits(parts, sizeof parts);
}

// ---- results ----

int model_score(struct model *m, const uint32_t *tokens, const uint32_t *targets, int B, int S, float *out) {
    const struct kernels *k = m->device->k;
    size_t rows = (size_t)B * (size_t)S;
    int code = model_check_input(m, tokens, targets, rows, B, S);
    if (code)
        return code;
    struct kernel_models km = {m->size.models, m->table.elements, 0};
    k->upload(m->device, m->tokens, tokens, rows * sizeof *tokens);
    k->upload(m->device, m->targets, targets, rows * sizeof *targets);
    if (!k->replay(m->device, model_pass_key(m, false, B, S))) {
        model_forward(m, &km, B, S);
        k->classifier(m->device, &km, m->logprobs, NULL, NULL, m->normed, model_copy(m, m->table.classifier),
                      m->targets, NULL, (int)rows, m->config.hidden, m->config.vocab);
        k->recorded(m->device);
    }
    code = k->download(m->device, out, m->logprobs, rows * (size_t)m->size.models * sizeof *out);
    return code ? code : model_check_logprobs(m, out, B, S, false);
}

int model_score_one(struct model *m, int g, const uint32_t *tokens, const uint32_t *targets, int B, int S,
                    float *out) {
    struct model one = *m;
    one.size.models = 1;
    one.parameters = model_parameter(m, (size_t)g * m->table.elements);
    one.copies = model_copy(m, (size_t)g * m->table.elements);
    return model_score(&one, tokens, targets, B, S, out);
}

// Widen n values of the compute dtype, that lie at the start of `values`, to float32 in place.
static void widen(float *values, size_t n, enum kernel_dtype dtype) {
    if (dtype == KERNEL_F32)
        return;
    const unsigned char *narrow = (const unsigned char *)values;
    for (size_t i = n; i-- > 0;) {
        uint16_t half;
        memcpy(&half, narrow + 2 * i, sizeof half);
        uint32_t bits = (uint32_t)half << 16;
        memcpy(&values[i], &bits, sizeof bits);
    }
}

int model_logits(struct model *m, const uint32_t *tokens, int B, int S, float *out) {
    const struct kernels *k = m->device->k;
    int rows = B * S, hidden = m->config.hidden, vocab = m->config.vocab;
    int code = model_check_input(m, tokens, NULL, (size_t)rows, B, S);
    if (code)
        return code;
    struct kernel_models km = {m->size.models, m->table.elements, 0};
    k->upload(m->device, m->tokens, tokens, (size_t)rows * sizeof *tokens);
    model_forward(m, &km, B, S);
    struct kernel_models one = {1, m->table.elements, 0};
    size_t size = kernel_dtype_size(m->device->compute);
    for (int g = 0; g < m->size.models; g++)
        for (int begin = 0; begin < rows; begin += m->logit_rows) {
            int part = rows - begin < m->logit_rows ? rows - begin : m->logit_rows;
            size_t row = (size_t)g * (size_t)rows + (size_t)begin, n = (size_t)part * (size_t)vocab;
            dptr weight = model_copy(m, (size_t)g * m->table.elements + m->table.classifier);
            k->matmul_forward(m->device, &one, m->logits, NULL, dptr_at(m->normed, row * (size_t)hidden * size),
                              weight, ACTIVATION_NONE, part, hidden, vocab);
            float *to = out + row * (size_t)vocab;
            code = k->download(m->device, to, m->logits, n * size);
            if (code)
                return code;
            widen(to, n, m->device->compute);
        }
    return OK;
}
