// Causal attention, backward, by the blocks of the forward pass; the weights are recomputed from the kept lse:
//     p = exp(s q k - lse), dv = p^T dout, dp = dout v^T, ds = p (dp - delta), dq = s ds k, dk = s ds^T q
// with s = 1 / sqrt(D) and delta = rowsum(dout * out). A task is one key/value head of one sequence with all the
// query heads that read it, in order; so dk and dv are summed by one thread, query blocks in order.
#include "attention_tile.h"

#include <math.h>

struct backward {
    struct cpu *s;
    const struct attention_shape *shape;
    struct head head;
    char *dqkv, *dout, *out, *qkv;
    const float *lse;
};

struct backward_scratch {
    uint32_t *keys, *values;            // [S][units]
    uint32_t *key_units;                // [row units of S][D]; the same as keys in float32
    float *dkeys, *dvalues;             // [S][lanes of D]
    uint32_t *query, *dout;             // turned: [units][32]
    uint32_t *query_units, *dout_units; // [row units of 32][lanes of D]
    uint32_t *weights, *dscores;        // [32 keys][row units of 32 queries]
    uint32_t *dscore_units;             // [row units of 32 keys][32 queries]
    float *dquery;                      // turned: [D][32]
    float *lse, *delta;                 // [32]: lse in units of log 2
};

static size_t backward_carve(struct backward_scratch *b, char *memory, const struct head *h, bool half) {
    struct pieces p = {memory, 0};
    b->keys = take(&p, h->padded * h->units * 4);
    b->values = take(&p, h->padded * h->units * 4);
    b->key_units = half ? take(&p, row_units(h->padded, half) * h->size * 4) : b->keys;
    b->dkeys = take(&p, h->padded * h->lanes * 4);
    b->dvalues = take(&p, h->padded * h->lanes * 4);
    b->query = take(&p, h->units * BLOCK * 4);
    b->dout = take(&p, h->units * BLOCK * 4);
    b->query_units = take(&p, row_units(BLOCK, half) * h->lanes * 4);
    b->dout_units = take(&p, row_units(BLOCK, half) * h->lanes * 4);
    b->weights = take(&p, BLOCK * BLOCK * 4);
    b->dscores = take(&p, BLOCK * BLOCK * 4);
    b->dscore_units = half ? take(&p, BLOCK * BLOCK * 4) : b->dscores;
    b->dquery = take(&p, h->size * BLOCK * 4);
    b->lse = take(&p, BLOCK * 4);
    b->delta = take(&p, BLOCK * 4);
    return p.used;
}

static INLINE void store_row(uint32_t *to, v16 low, v16 high, bool half) {
    if (half) {
        half_store_pair((uint16_t *)to, low, high);
    } else {
        v16_store((float *)to, low);
        v16_store((float *)to + 16, high);
    }
}

// weights and dscores of one block, a few keys at a time
static INLINE void differentiate_block(const struct backward_scratch *b, const struct head *h, size_t key,
                                       bool diagonal, bool half) {
    enum { KEYS = TILE / 2 }; // two products at once fill the registers
    float scale = 1.44269504f / sqrtf((float)h->size);
    size_t line = row_units(BLOCK, half);
    v16 lse[2] = {v16_load(b->lse), v16_load(b->lse + 16)};
    v16 delta[2] = {v16_load(b->delta), v16_load(b->delta + 16)};
    for (int j = 0; j < BLOCK; j += KEYS) {
        v16 p[KEYS][2] = {{{0}}}, ds[KEYS][2] = {{{0}}};
        size_t at = (key + (size_t)j) * h->units;
        tile_product(p, KEYS, b->keys + at, h->units, 1, b->query, BLOCK, h->units, 2, half);
        tile_product(ds, KEYS, b->values + at, h->units, 1, b->dout, BLOCK, h->units, 2, half);
#pragma GCC unroll 8
        for (int m = 0; m < KEYS; m++) {
            for (int part = 0; part < 2; part++) {
                v16 x = v16_exp2(p[m][part] * scale - lse[part], half);
                p[m][part] = diagonal ? v16_select(causal_lanes(j + m, part), x, v16_set(0)) : x;
                ds[m][part] = p[m][part] * (ds[m][part] - delta[part]);
            }
            store_row(b->weights + (size_t)(j + m) * line, p[m][0], p[m][1], half);
            store_row(b->dscores + (size_t)(j + m) * line, ds[m][0], ds[m][1], half);
        }
        for (int m = 0; half && m < KEYS; m += 2)
            for (int part = 0; part < 2; part++)
                v16w_store(b->dscore_units + (j + m) / 2 * BLOCK + 16 * part,
                           pair_lanes(ds[m][part], ds[m + 1][part]));
    }
}

// to[key][lanes of D] += rows[key][queries] units[queries][lanes of D], for the 32 keys of a block
static INLINE void add_to_keys(float *to, const uint32_t *rows, const uint32_t *units, const struct head *h,
                               bool half) {
    size_t line = row_units(BLOCK, half);
    for (size_t j = 0; j < BLOCK; j += TILE) {
        size_t d = 0;
        for (; d + 32 <= h->lanes; d += 32)
            tile_accumulate(to + j * h->lanes + d, h->lanes, rows + j * line, line, 1, units + d, h->lanes, line,
                            2, half);
        if (d < h->lanes)
            tile_accumulate(to + j * h->lanes + d, h->lanes, rows + j * line, line, 1, units + d, h->lanes, line,
                            1, half);
    }
}

static INLINE void add_block(const struct backward_scratch *b, const struct head *h, size_t key, bool diagonal,
                             bool half) {
    differentiate_block(b, h, key, diagonal, half);
    const uint32_t *units = b->key_units + row_units(key, half) * h->size;
    for (size_t d = 0; d < h->size; d += TILE)
        tile_accumulate(b->dquery + d * BLOCK, BLOCK, units + d, 1, h->size, b->dscore_units, BLOCK,
                        row_units(BLOCK, half), 2, half);
    add_to_keys(b->dvalues + key * h->lanes, b->weights, b->dout_units, h, half);
    add_to_keys(b->dkeys + key * h->lanes, b->dscores, b->query_units, h, half);
}

static INLINE void query_block(const struct backward_scratch *b, const struct head *h, size_t block, bool half) {
    memset(b->dquery, 0, h->size * BLOCK * sizeof *b->dquery);
    for (size_t k = 0; k < block; k++)
        add_block(b, h, k * BLOCK, false, half);
    add_block(b, h, block * BLOCK, true, half);
}

// What one block of queries needs besides keys and values; queries beyond the sequence get weight 0.
static INLINE void load_queries(const struct backward *q, const struct backward_scratch *b, size_t sequence,
                                size_t head, size_t row, bool half) {
    const struct head *h = &q->head;
    size_t size = half ? 2 : 4, count = cpu_least(BLOCK, h->length - row), first = sequence * h->length + row;
    size_t width = (size_t)q->shape->heads * h->size, at = first * width + head * h->size;
    const char *query = q->qkv + (first * h->width + head * h->size) * size, *dout = q->dout + at * size;
    const float *lse = q->lse + (sequence * (size_t)q->shape->heads + head) * h->length + row;
    pack_turned(b->query, query, h->width, count, h->units, half);
    pack_turned(b->dout, dout, width, count, h->units, half);
    pack_row_units(b->query_units, query, h->width, count, BLOCK, h->size, h->lanes, half);
    pack_row_units(b->dout_units, dout, width, count, BLOCK, h->size, h->lanes, half);
    // The place of dquery is free until the first block of keys.
    uint32_t *out = (uint32_t *)b->dquery;
    pack_turned(out, q->out + at * size, width, count, h->units, half);
    v16 delta[2] = {{0}};
    for (size_t u = 0; u < h->units; u++)
        for (int part = 0; part < 2; part++)
            delta[part] = unit_add(delta[part], v16w_load(out + u * BLOCK + 16 * part),
                                   v16w_load(b->dout + u * BLOCK + 16 * part), half);
    v16_store(b->delta, delta[0]);
    v16_store(b->delta + 16, delta[1]);
    for (size_t i = 0; i < BLOCK; i++)
        b->lse[i] = i < count ? lse[i] * 1.44269504f : 1e30f;
}

// to[row] = scale * from[row]
static INLINE void store_keys(const struct head *h, const float *from, float scale, char *to, bool half) {
    for (size_t r = 0; r < h->length; r++)
        for (size_t i = 0; i < h->size; i += 16)
            c_store_n(to, r * h->width + i, v16_load(from + r * h->lanes + i) * scale,
                      (int)cpu_least(16, h->size - i), half);
}

static INLINE void backward_head(const struct backward *q, int i, int thread, bool half) {
    const struct attention_shape *a = q->shape;
    const struct head *h = &q->head;
    struct backward_scratch b;
    backward_carve(&b, q->s->own[thread], h, half);
    size_t size = half ? 2 : 4, kv = (size_t)(i % a->kv_heads), sequence = (size_t)(i / a->kv_heads);
    size_t key = ((size_t)a->heads + kv) * h->size * size, value = key + (size_t)a->kv_heads * h->size * size;
    size_t first = sequence * h->length * h->width * size, share = (size_t)(a->heads / a->kv_heads);
    const char *rows = q->qkv + first;
    char *drows = q->dqkv + first;
    float scale = 1.0f / sqrtf((float)h->size);
    pack_rows(b.keys, rows + key, h->width, h->length, h->padded, h->units, half);
    pack_rows(b.values, rows + value, h->width, h->length, h->padded, h->units, half);
    if (half)
        pack_row_units(b.key_units, rows + key, h->width, h->length, h->padded, h->size, h->size, half);
    memset(b.dkeys, 0, h->padded * h->lanes * sizeof *b.dkeys);
    memset(b.dvalues, 0, h->padded * h->lanes * sizeof *b.dvalues);
    for (size_t head = kv * share; head < (kv + 1) * share; head++)
        for (size_t block = 0; block < h->blocks; block++) {
            size_t row = block * BLOCK;
            load_queries(q, &b, sequence, head, row, half);
            query_block(&b, h, block, half);
            unpack_turned(drows + (row * h->width + head * h->size) * size, h->width, b.dquery, scale,
                          cpu_least(BLOCK, h->length - row), h->size, half);
        }
    store_keys(h, b.dkeys, scale, drows + key, half);
    store_keys(h, b.dvalues, 1, drows + value, half);
}

static void backward_task(void *context, int i, int thread) {
    const struct backward *q = context;
    if (q->s->half)
        backward_head(q, i, thread, true);
    else
        backward_head(q, i, thread, false);
}

size_t cpu_attention_backward_bytes(const struct head *h, bool half) {
    struct backward_scratch b;
    return backward_carve(&b, NULL, h, half);
}

void cpu_attention_backward(struct device *d, dptr dqkv, dptr dout, dptr out, dptr qkv, dptr lse,
                            const struct attention_shape *shape, int models) {
    struct backward q = {.s = cpu_of(d),
                         .shape = shape,
                         .head = head_of(shape, cpu_of(d)->half),
                         .dqkv = (char *)dqkv,
                         .dout = (char *)dout,
                         .out = (char *)out,
                         .qkv = (char *)qkv,
                         .lse = (const float *)lse};
    if (cpu_reserve(q.s, 0, cpu_attention_backward_bytes(&q.head, q.s->half)))
        cpu_run(q.s, models * shape->batch * shape->kv_heads, backward_task, &q);
    cpu_rotary(q.s, dqkv, shape, models, -1);
}
