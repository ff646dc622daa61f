#include "base/error.h"
#include "model/internal.h"

// Gradients of parameters accumulate in m->gradients; m->dresidual holds the gradient of the residual stream in
// float32, m->dbranch the same rounded to the compute dtype: the gradient of the branch added last.

// Backward of y = x W^T for the parameters at `weight`: its gradient, and dx = dy W (times the activation's
// slope).
struct product {
    size_t weight;
    dptr x, dx, dy, slope; // slope NULL: no activation in front of x
    int rows, in, out;
};

static void product_backward(struct model *m, const struct kernel_models *km, const struct product *p) {
    const struct kernels *k = m->device->k;
    k->matmul_backward_weight(m->device, km, model_gradient_at(m, p->weight), p->dy, p->x, p->rows, p->in, p->out);
    k->matmul_backward_input(m->device, km, p->dx, p->dy, model_copy(m, p->weight), p->slope, p->rows, p->in,
                             p->out);
}

// From m->dnormed into m->dresidual, and, where `branch`, m->dbranch.
static void norm_backward(struct model *m, const struct kernel_models *km, dptr x, dptr mean, dptr rstd,
                          size_t weight, size_t bias, int rows, bool branch) {
    enum kernel_norm kind = model_norm(m);
    m->device->k->norm_backward(m->device, km, kind, m->dresidual, branch ? m->dbranch : NULL,
                                model_gradient_at(m, weight),
                                kind == NORM_LAYER ? model_gradient_at(m, bias) : NULL, m->dnormed, x, mean, rstd,
                                model_parameter(m, weight), rows, m->config.hidden);
}

// From m->dbranch to m->dnormed.
static void mlp_backward(struct model *m, const struct kernel_models *km, const struct layer_offsets *at,
                         const struct layer_buffers *b, int rows) {
    const struct model_config *c = &m->config;
    bool llama = c->family == MODEL_LLAMA;
    product_backward(m, km,
                     &(struct product){.weight = at->mlp_out,
                                       .x = b->mlp_mid,
                                       .dx = llama ? m->dmid : m->dwide,
                                       .dy = m->dbranch,
                                       .slope = llama ? NULL : b->mlp_in,
                                       .rows = rows,
                                       .in = c->feed_forward,
                                       .out = c->hidden});
    if (llama)
        m->device->k->swiglu_backward(m->device, m->dwide, m->dmid, b->mlp_in, (size_t)rows * (size_t)km->count,
                                      c->feed_forward);
    product_backward(m, km,
                     &(struct product){.weight = at->mlp_in,
                                       .x = b->mlp_normed,
                                       .dx = m->dnormed,
                                       .dy = m->dwide,
                                       .rows = rows,
                                       .in = c->hidden,
                                       .out = model_widths(c).mlp_in});
}

// From m->dbranch to m->dnormed.
static void attention_backward(struct model *m, const struct kernel_models *km, const struct layer_offsets *at,
                               const struct layer_buffers *b, const struct attention_shape *shape) {
    const struct kernels *k = m->device->k;
    const struct model_config *c = &m->config;
    struct model_widths w = model_widths(c);
    int rows = shape->batch * shape->length;
    product_backward(m, km,
                     &(struct product){.weight = at->attention_out,
                                       .x = b->attention,
                                       .dx = m->dmid,
                                       .dy = m->dbranch,
                                       .rows = rows,
                                       .in = w.attention,
                                       .out = c->hidden});
    k->attention_backward(m->device, m->dwide, m->dmid, b->attention, b->qkv, b->lse, shape, km->count);
    product_backward(m, km,
                     &(struct product){.weight = at->qkv,
                                       .x = b->normed,
                                       .dx = m->dnormed,
                                       .dy = m->dwide,
                                       .rows = rows,
                                       .in = c->hidden,
                                       .out = w.qkv});
}

// From m->dnormed (the classifier's) to all gradients.
static void backward(struct model *m, const struct kernel_models *km, int B, int S) {
    const struct kernels *k = m->device->k;
    const struct model_config *c = &m->config;
    struct attention_shape shape = model_attention(c, B, S);
    int rows = B * S;
    k->zero(m->device, m->dresidual, (size_t)rows * (size_t)km->count * (size_t)c->hidden * sizeof(float));
    norm_backward(m, km, m->x, m->mean, m->rstd, m->table.norm, m->table.norm_bias, rows, true);
    for (int l = c->layers - 1; l >= 0; l--) {
        const struct layer_offsets *at = &m->table.layers[l];
        const struct layer_buffers *b = &m->layers[l];
        model_recompute(m, km, &shape, l);
        mlp_backward(m, km, at, b, rows);
        norm_backward(m, km, b->mlp_x, b->mlp_mean, b->mlp_rstd, at->mlp_norm, at->mlp_norm_bias, rows, true);
        attention_backward(m, km, at, b, &shape);
        norm_backward(m, km, b->x, b->mean, b->rstd, at->attention_norm, at->attention_norm_bias, rows, l > 0);
    }
    k->embed_backward(m->device, km, model_gradient_at(m, m->table.embedding), m->dresidual, m->tokens, rows,
                      c->hidden, c->vocab);
}

// Forward and backward of what was uploaded.
static void pass(struct model *m, const struct kernel_models *km, int B, int S) {
    model_forward(m, km, B, S);
    m->device->k->classifier(m->device, km, m->logprobs, m->dnormed, model_gradient_at(m, m->table.classifier),
                             m->normed, model_copy(m, m->table.classifier), m->targets, m->scale, B * S,
                             m->config.hidden, m->config.vocab);
    backward(m, km, B, S);
}

int model_gradient_start(struct model *m, const uint32_t *tokens, const uint32_t *targets, int B, int S,
                         const float *scale) {
    const struct kernels *k = m->device->k;
    size_t rows = (size_t)B * (size_t)S, all = rows * (size_t)m->size.models;
    if (!m->size.train)
        return error_set(ERROR_USAGE, "the model was made without gradients and moments");
    if (m->started == m->size.passes)
        return error_set(ERROR_USAGE, "more than %d passes at once", m->size.passes);
    int code = model_check_input(m, tokens, targets, all, B, S);
    if (code)
        return code;
    struct kernel_models km = {m->size.models, m->table.elements, rows};
    k->upload(m->device, m->tokens, tokens, all * sizeof *tokens);
    k->upload(m->device, m->targets, targets, all * sizeof *targets);
    k->upload(m->device, m->scale, scale, (size_t)m->size.models * sizeof *scale);
    if (!k->replay(m->device, model_pass_key(m, true, B, S))) {
        pass(m, &km, B, S);
        k->recorded(m->device);
    }
    k->copy(m->device, dptr_at(m->kept_logprobs, m->kept * sizeof(float)), m->logprobs, all * sizeof(float));
    m->passes[m->started++] = (struct started_pass){B, S};
    m->kept += all;
    return OK;
}

int model_gradient_finish(struct model *m, double *sum) {
    const float *logprobs = m->staging;
    int started = m->started,
        code = m->device->k->download(m->device, m->staging, m->kept_logprobs, m->kept * sizeof(float));
    m->started = 0;
    m->kept = 0;
    for (int i = 0; i < started && !code; i++) {
        const struct started_pass *p = &m->passes[i];
        size_t rows = (size_t)p->batch * (size_t)p->length, all = rows * (size_t)m->size.models;
        code = model_check_logprobs(m, logprobs, p->batch, p->length, true);
        for (size_t j = 0; j < all && !code; j++)
            sum[j / rows] -= (double)logprobs[j];
        logprobs += all;
    }
    return code;
}

int model_gradient(struct model *m, const uint32_t *tokens, const uint32_t *targets, int B, int S,
                   const float *scale, double *sum) {
    int code = model_gradient_start(m, tokens, targets, B, S, scale);
    return code ? code : model_gradient_finish(m, sum);
}
