#include "base/error.h"
#include "base/memory.h"
#include "model/internal.h"

#include <stdlib.h>
#include <string.h>

enum { ARENA_ALIGNMENT = 256, STAGING_ELEMENTS = 1 << 16, LOGIT_ROWS = 64 };

// A bump allocator over one block; with base NULL it measures.
struct arena {
    dptr base;
    size_t used;
};

static dptr take(struct arena *a, size_t count, size_t size) {
    dptr p = dptr_at(a->base, a->used);
    a->used += (count * size + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
    return p;
}

struct model_widths model_widths(const struct model_config *c) {
    return (struct model_widths){
        .qkv = (c->heads + 2 * c->kv_heads) * c->head_size,
        .mlp_in = (c->family == MODEL_LLAMA ? 2 : 1) * c->feed_forward,
        .attention = c->heads * c->head_size,
    };
}

static int larger(int a, int b) {
    return a > b ? a : b;
}

// ---- the parts of the arena ----

static void take_parameters(struct model *m, struct arena *a, struct model_memory *memory) {
    size_t n = m->table.elements * (size_t)m->size.models, begin = a->used;
    m->parameters = take(a, n, sizeof(float));
    memory->parameters = a->used - begin;

    begin = a->used;
    m->copies =
        m->device->compute == KERNEL_F32 ? m->parameters : take(a, n, kernel_dtype_size(m->device->compute));
    memory->copies = a->used - begin;

    memory->gradients = memory->moments = 0;
    if (!m->size.train)
        return;
    begin = a->used;
    m->gradients = take(a, n, sizeof(float));
    memory->gradients = a->used - begin;
    begin = a->used;
    m->first_moment = take(a, n, sizeof(float));
    m->second_moment = take(a, n, sizeof(float));
    memory->moments = a->used - begin;
}

static void take_norm(struct arena *a, size_t rows, size_t width, size_t compute, dptr *normed, dptr *mean,
                      dptr *rstd) {
    *normed = take(a, rows * width, compute);
    *mean = take(a, rows, sizeof(float));
    *rstd = take(a, rows, sizeof(float));
}

// One set of buffers per layer, all kept for the backward pass; with recomputation one set for all but x.
static void take_layers_training(struct model *m, struct arena *a, size_t rows) {
    const struct model_config *c = &m->config;
    struct model_widths w = model_widths(c);
    size_t size = kernel_dtype_size(m->device->compute), h = (size_t)c->hidden;
    for (int l = 0; l < c->layers; l++) {
        struct layer_buffers *b = &m->layers[a->base ? l : 0];
        if (l > 0 && m->size.recompute)
            *b = m->layers[0];
        b->x = take(a, rows * h, sizeof(float));
        if (l > 0 && m->size.recompute)
            continue;
        take_norm(a, rows, h, size, &b->normed, &b->mean, &b->rstd);
        b->qkv = take(a, rows * (size_t)w.qkv, size);
        b->lse = take(a, rows * (size_t)c->heads, sizeof(float));
        b->attention = take(a, rows * (size_t)w.attention, size);
        b->mlp_x = take(a, rows * h, sizeof(float));
        take_norm(a, rows, h, size, &b->mlp_normed, &b->mlp_mean, &b->mlp_rstd);
        b->mlp_in = take(a, rows * (size_t)w.mlp_in, size);
        b->mlp_mid = take(a, rows * (size_t)c->feed_forward, size);
    }
    m->x = take(a, rows * h, sizeof(float));
    take_norm(a, rows, h, size, &m->normed, &m->mean, &m->rstd);
}

// One set for all: x in place; `wide` holds qkv and later the MLP's first product, `mid` the attention's output
// and later what the MLP's last product reads (smalltalk has that in `wide`).
static void take_layers_inference(struct model *m, struct arena *a, size_t rows) {
    const struct model_config *c = &m->config;
    struct model_widths w = model_widths(c);
    size_t size = kernel_dtype_size(m->device->compute), h = (size_t)c->hidden;
    bool llama = c->family == MODEL_LLAMA;
    m->x = take(a, rows * h, sizeof(float));
    take_norm(a, rows, h, size, &m->normed, &m->mean, &m->rstd);
    dptr wide = take(a, rows * (size_t)larger(w.qkv, w.mlp_in), size);
    dptr mid = take(a, rows * (size_t)(llama ? larger(w.attention, c->feed_forward) : w.attention), size);
    for (int l = 0; a->base && l < c->layers; l++)
        m->layers[l] = (struct layer_buffers){
            .x = m->x,
            .normed = m->normed,
            .mean = m->mean,
            .rstd = m->rstd,
            .qkv = wide,
            .attention = mid,
            .mlp_x = m->x,
            .mlp_normed = m->normed,
            .mlp_mean = m->mean,
            .mlp_rstd = m->rstd,
            .mlp_in = llama ? wide : NULL,
            .mlp_mid = llama ? mid : wide,
        };
}

static void take_backward(struct model *m, struct arena *a, size_t rows) {
    struct model_widths w = model_widths(&m->config);
    size_t size = kernel_dtype_size(m->device->compute), h = (size_t)m->config.hidden;
    m->dresidual = take(a, rows * h, sizeof(float));
    m->dbranch = take(a, rows * h, size);
    m->dnormed = take(a, rows * h, size);
    m->dwide = take(a, rows * (size_t)larger(w.qkv, w.mlp_in), size);
    m->dmid = take(a, rows * (size_t)larger(w.attention, m->config.feed_forward), size);
    m->kept_logprobs = take(a, rows * (size_t)m->size.passes, sizeof(float));
    m->square_sums = take(a, (size_t)m->size.models, sizeof(double));
    m->scale = take(a, (size_t)m->size.models, sizeof(float));
    m->clip_scale = take(a, (size_t)m->size.models, sizeof(float));
}

// Lay out everything; bytes by part in *memory. m->layers may be one entry long while measuring.
static void lay_out(struct model *m, struct arena *a, struct model_memory *memory) {
    size_t per_model = (size_t)m->size.batch * (size_t)m->size.length;
    size_t rows = per_model * (size_t)m->size.models, size = kernel_dtype_size(m->device->compute);
    take_parameters(m, a, memory);
    size_t begin = a->used;
    m->tokens = take(a, rows, sizeof(uint32_t));
    m->targets = take(a, rows, sizeof(uint32_t));
    m->logprobs = take(a, rows, sizeof(float));
    m->delta = take(a, rows * (size_t)m->config.hidden, size);
    m->logit_rows = per_model < LOGIT_ROWS ? (int)per_model : LOGIT_ROWS;
    m->logits = take(a, (size_t)m->logit_rows * (size_t)m->config.vocab, size);
    if (m->size.train) {
        take_layers_training(m, a, rows);
        take_backward(m, a, rows);
    } else {
        take_layers_inference(m, a, rows);
    }
    memory->activations = a->used - begin;
}

static struct kernel_limits limits_of(const struct model_config *c, const struct model_size *size) {
    return (struct kernel_limits){
        .models = size->models,
        .batch = size->batch,
        .length = size->length,
        .hidden = c->hidden,
        .heads = c->heads,
        .kv_heads = c->kv_heads,
        .head_size = c->head_size,
        .feed_forward = c->feed_forward,
        .vocab = c->vocab,
        .train = size->train,
    };
}

void model_plan(const struct model_config *c, const struct device *d, const struct model_size *size,
                struct model_memory *memory) {
    struct device described = *d;
    struct layer_buffers layer;
    struct model m = {.device = &described, .config = *c, .size = *size, .layers = &layer};
    m.size.passes = larger(size->passes, 1);
    m.table.elements = tensor_table_elements(c);
    struct arena measure = {0};
    lay_out(&m, &measure, memory);
    struct kernel_limits limits = limits_of(c, size);
    memory->workspace = d->k->workspace(d, &limits);
    memory->total = measure.used + memory->workspace;
}

// ---- making and freeing ----

static int allocate_host(struct model *m) {
    size_t rows = (size_t)m->size.models * (size_t)m->size.batch * (size_t)m->size.length;
    size_t logprobs = rows * (size_t)m->size.passes;
    m->staging_size = logprobs > STAGING_ELEMENTS ? logprobs : STAGING_ELEMENTS;
    if (m->staging_size < (size_t)m->config.vocab)
        m->staging_size = (size_t)m->config.vocab;
    m->staging = memory_new(m->staging_size, sizeof *m->staging);
    m->layers = memory_new((size_t)m->config.layers, sizeof *m->layers);
    m->norms = memory_new((size_t)m->size.models, sizeof *m->norms);
    m->passes = memory_new((size_t)m->size.passes, sizeof *m->passes);
    bool all = m->staging && m->layers && m->norms && m->passes;
    return all ? tensor_table_new(&m->table, &m->config) : ERROR_SYSTEM;
}

static int allocate_device(struct model *m) {
    const struct kernels *k = m->device->k;
    struct model_memory memory;
    model_plan(&m->config, m->device, &m->size, &memory);
    struct kernel_limits limits = limits_of(&m->config, &m->size);
    int code = k->prepare(m->device, &limits);
    if (!code)
        code = k->allocate(m->device, memory.total - memory.workspace, &m->arena);
    if (code)
        return error_prefix(
            code, "model of %zu bytes (parameters %zu, gradients and moments %zu, activations %zu)", memory.total,
            memory.parameters + memory.copies, memory.gradients + memory.moments, memory.activations);
    struct arena a = {.base = m->arena};
    lay_out(m, &a, &memory);
    // The padding between tensors must be zero, for it is part of every sum over a model.
    k->zero(m->device, m->arena, memory.parameters + memory.copies + memory.gradients + memory.moments);
    return k->synchronize(m->device);
}

int model_new(struct model **out, struct device *d, const struct model_config *c, const struct model_size *size) {
    *out = NULL;
    if (size->length > c->positions)
        return error_set(ERROR_INPUT, "sequences of %d tokens: the model has %d positions", size->length,
                         c->positions);
    struct model *m = memory_new(1, sizeof *m);
    if (!m)
        return ERROR_SYSTEM;
    m->device = d;
    m->config = *c;
    m->size = *size;
    m->size.passes = larger(size->passes, 1);
    int code = allocate_host(m);
    if (!code)
        code = allocate_device(m);
    if (code) {
        model_free(m);
        return code;
    }
    *out = m;
    return OK;
}

void model_free(struct model *m) {
    if (!m)
        return;
    if (m->arena)
        m->device->k->release(m->device, m->arena);
    tensor_table_release(&m->table);
    free(m->layers);
    free(m->staging);
    free(m->norms);
    free(m->passes);
    free(m);
}
