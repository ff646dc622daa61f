#include "base/error.h"
#include "base/memory.h"
#include "model/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Groups of tensors begin at multiples of 32 elements: 64 bytes in the 2-byte compute copies too.
enum { ALIGNMENT = 32, TENSORS_PER_LAYER = 11, TENSORS_OUTSIDE = 4 };

struct builder {
    struct tensor_table *table;
    size_t next; // elements
};

static void align(struct builder *b) {
    b->next = (b->next + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

size_t tensor_elements(const struct model_tensor *t) {
    return (size_t)t->rows * (t->cols ? (size_t)t->cols : 1);
}

// Append a tensor; cols = 0 makes it a vector. Returns its offset.
__attribute__((format(printf, 5, 6))) static size_t add(struct builder *b, int64_t rows, int64_t cols,
                                                        bool residual, const char *format, ...) {
    struct model_tensor *t = &b->table->tensors[b->table->count++];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(t->name, sizeof t->name, format, arguments);
    va_end(arguments);
    t->rows = rows;
    t->cols = cols;
    t->offset = b->next;
    t->decay = cols != 0;
    t->residual = residual;
    b->next += tensor_elements(t);
    return t->offset;
}

static void add_matrices(struct builder *b, const struct model_config *c, int l) {
    struct layer_offsets *at = &b->table->layers[l];
    int64_t h = c->hidden, f = c->feed_forward;
    int64_t query = (int64_t)c->heads * c->head_size, key = (int64_t)c->kv_heads * c->head_size;
    align(b);
    at->qkv = add(b, query, h, false, "model.layers.%d.self_attn.q_proj.weight", l);
    add(b, key, h, false, "model.layers.%d.self_attn.k_proj.weight", l);
    add(b, key, h, false, "model.layers.%d.self_attn.v_proj.weight", l);
    align(b);
    at->attention_out = add(b, h, query, true, "model.layers.%d.self_attn.o_proj.weight", l);
    align(b);
    if (c->family == MODEL_LLAMA) {
        at->mlp_in = add(b, f, h, false, "model.layers.%d.mlp.gate_proj.weight", l);
        add(b, f, h, false, "model.layers.%d.mlp.up_proj.weight", l);
        align(b);
        at->mlp_out = add(b, h, f, true, "model.layers.%d.mlp.down_proj.weight", l);
    } else {
        at->mlp_in = add(b, f, h, false, "model.layers.%d.mlp.c_fc.weight", l);
        align(b);
        at->mlp_out = add(b, h, f, true, "model.layers.%d.mlp.c_proj.weight", l);
    }
}

// A norm's weight and, for LayerNorm, its bias. `place` is the norm's name without ".weight".
static void add_norm(struct builder *b, const struct model_config *c, size_t *weight, size_t *bias,
                     const char *place) {
    align(b);
    *weight = add(b, c->hidden, 0, false, "%s.weight", place);
    *bias = *weight;
    if (c->family == MODEL_SMALLTALK) {
        align(b);
        *bias = add(b, c->hidden, 0, false, "%s.bias", place);
    }
}

// The matrices come first and the vectors behind them, so that weight decay has two segments.
static void build(struct builder *b, const struct model_config *c) {
    struct tensor_table *t = b->table;
    t->embedding = add(b, c->vocab, c->hidden, false, "model.embed_tokens.weight");
    for (int l = 0; l < c->layers; l++)
        add_matrices(b, c, l);
    t->classifier = t->embedding;
    if (!c->tied) {
        align(b);
        t->classifier = add(b, c->vocab, c->hidden, false, "lm_head.weight");
    }
    align(b);
    t->decayed = b->next;
    for (int l = 0; l < c->layers; l++) {
        struct layer_offsets *at = &t->layers[l];
        char place[64];
        snprintf(place, sizeof place, "model.layers.%d.input_layernorm", l);
        add_norm(b, c, &at->attention_norm, &at->attention_norm_bias, place);
        snprintf(place, sizeof place, "model.layers.%d.post_attention_layernorm", l);
        add_norm(b, c, &at->mlp_norm, &at->mlp_norm_bias, place);
    }
    add_norm(b, c, &t->norm, &t->norm_bias, "model.norm");
    align(b);
    t->elements = b->next;
}

int tensor_table_new(struct tensor_table *t, const struct model_config *c) {
    memset(t, 0, sizeof *t);
    t->tensors = memory_new((size_t)c->layers * TENSORS_PER_LAYER + TENSORS_OUTSIDE, sizeof *t->tensors);
    t->layers = memory_new((size_t)c->layers, sizeof *t->layers);
    if (!t->tensors || !t->layers) {
        tensor_table_release(t);
        return ERROR_SYSTEM;
    }
    build(&(struct builder){.table = t}, c);
    return OK;
}

void tensor_table_release(struct tensor_table *t) {
    free(t->tensors);
    free(t->layers);
    memset(t, 0, sizeof *t);
}

static size_t aligned(size_t elements) {
    return (elements + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

size_t tensor_table_elements(const struct model_config *c) {
    size_t h = (size_t)c->hidden, f = (size_t)c->feed_forward;
    size_t query = (size_t)c->heads * (size_t)c->head_size, key = (size_t)c->kv_heads * (size_t)c->head_size;
    size_t in = c->family == MODEL_LLAMA ? 2 * f : f;
    size_t layer = aligned((query + 2 * key) * h) + aligned(query * h) + aligned(in * h) + aligned(f * h);
    size_t norm = (c->family == MODEL_SMALLTALK ? 2 : 1) * aligned(h);
    size_t layers = (size_t)c->layers;
    return (c->tied ? 1 : 2) * aligned((size_t)c->vocab * h) + layers * layer + (2 * layers + 1) * norm;
}
