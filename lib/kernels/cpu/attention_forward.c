// Causal attention, forward: out = softmax(q k^T / sqrt(D)) v by blocks of 32 queries and 32 keys, with the
// running maximum and sum of Milakov and Gimelshein (2018), as in FlashAttention (Dao et al. 2022). Each query is
// one vector lane. Blocks above the diagonal are never touched. A task is one head of one sequence and a group
// of query blocks; it writes its own rows only, keys in order.
#include "attention_tile.h"

#include <math.h>

enum { GROUP = 8 }; // query blocks of one task: keys and values are packed once per task

static const float far_below = -1e30f; // a masked score; finite, for the difference of two of them is taken

struct forward {
    struct cpu *s;
    const struct attention_shape *shape;
    struct head head;
    char *out, *qkv;
    float *lse;
    int groups;
};

struct forward_scratch {
    uint32_t *keys, *values, *query,
        *weights;           // [S][units], [row units of S][D], [units][32], [row units of 32][32]
    float *scores, *result; // [32 keys][32 lanes], [D][32 lanes]
};

static size_t forward_carve(struct forward_scratch *f, char *memory, const struct head *h, bool half) {
    struct pieces p = {memory, 0};
    f->keys = take(&p, h->padded * h->units * 4);
    f->values = take(&p, row_units(h->padded, half) * h->size * 4);
    f->query = take(&p, h->units * BLOCK * 4);
    f->weights = take(&p, BLOCK * BLOCK * 4);
    f->scores = take(&p, BLOCK * BLOCK * 4);
    f->result = take(&p, h->size * BLOCK * 4);
    return p.used;
}

// scores[key][lane] = k q of one block, and the maximum of each lane
static INLINE void score_block(const struct forward_scratch *f, const struct head *h, size_t key, bool diagonal,
                               v16 most[2], bool half) {
    for (int j = 0; j < BLOCK; j += TILE) {
        v16 c[TILE][2] = {{{0}}};
        tile_product(c, TILE, f->keys + (key + (size_t)j) * h->units, h->units, 1, f->query, BLOCK, h->units, 2,
                     half);
#pragma GCC unroll 8
        for (int m = 0; m < TILE; m++)
            for (int part = 0; part < 2; part++) {
                v16 x = c[m][part];
                if (diagonal)
                    x = v16_select(causal_lanes(j + m, part), x, v16_set(far_below));
                v16_store(f->scores + (j + m) * BLOCK + 16 * part, x);
                most[part] = v16_max(most[part], x);
            }
    }
}

// weights = exp2(scale scores - most); returns their sum in each lane
static INLINE v16 weigh_block(const struct forward_scratch *f, float scale, v16 most, int part, bool half) {
    v16 sum = {0};
    for (int j = 0; j < BLOCK; j += 2) {
        v16 a = v16_exp2(v16_load(f->scores + j * BLOCK + 16 * part) * scale - most, half);
        v16 b = v16_exp2(v16_load(f->scores + (j + 1) * BLOCK + 16 * part) * scale - most, half);
        sum += a + b;
        if (half) {
            v16w_store(f->weights + j / 2 * BLOCK + 16 * part, pair_lanes(a, b));
        } else {
            v16_store((float *)f->weights + j * BLOCK + 16 * part, a);
            v16_store((float *)f->weights + (j + 1) * BLOCK + 16 * part, b);
        }
    }
    return sum;
}

// result[d][lane] = result * shrink + sum over the block's keys of v weights
static INLINE void mix_block(const struct forward_scratch *f, const struct head *h, size_t key,
                             const v16 shrink[2], bool half) {
    const uint32_t *values = f->values + row_units(key, half) * h->size;
    for (size_t d = 0; d < h->size; d += TILE) {
        v16 c[TILE][2];
        float *to = f->result + d * BLOCK;
#pragma GCC unroll 8
        for (int m = 0; m < TILE; m++)
            for (int part = 0; part < 2; part++)
                c[m][part] = v16_load(to + m * BLOCK + 16 * part) * shrink[part];
        tile_product(c, TILE, values + d, 1, h->size, f->weights, BLOCK, row_units(BLOCK, half), 2, half);
#pragma GCC unroll 8
        for (int m = 0; m < TILE; m++)
            for (int part = 0; part < 2; part++)
                v16_store(to + m * BLOCK + 16 * part, c[m][part]);
    }
}

static INLINE void add_block(const struct forward_scratch *f, const struct head *h, size_t key, float scale,
                             v16 most[2], v16 sum[2], bool diagonal, bool half) {
    v16 raw[2] = {v16_set(far_below), v16_set(far_below)}, shrink[2];
    score_block(f, h, key, diagonal, raw, half);
    for (int part = 0; part < 2; part++) {
        v16 now = v16_max(most[part], raw[part] * scale);
        shrink[part] = v16_exp2(most[part] - now, half);
        most[part] = now;
        sum[part] = sum[part] * shrink[part] + weigh_block(f, scale, now, part, half);
    }
    mix_block(f, h, key, shrink, half);
}

// One block of queries against all keys up to its own; most and sum are in units of log 2.
static INLINE void query_block(const struct forward_scratch *f, const struct head *h, size_t block, float scale,
                               v16 most[2], v16 sum[2], bool half) {
    most[0] = most[1] = v16_set(far_below);
    sum[0] = sum[1] = v16_set(0);
    memset(f->result, 0, h->size * BLOCK * sizeof *f->result);
    for (size_t b = 0; b < block; b++)
        add_block(f, h, b * BLOCK, scale, most, sum, false, half);
    add_block(f, h, block * BLOCK, scale, most, sum, true, half);
    for (size_t d = 0; d < h->size; d++)
        for (int part = 0; part < 2; part++) {
            float *to = f->result + d * BLOCK + 16 * part;
            v16_store(to, v16_load(to) / sum[part]);
        }
}

static INLINE void forward_group(const struct forward *q, int i, int thread, bool half) {
    const struct attention_shape *a = q->shape;
    const struct head *h = &q->head;
    struct forward_scratch f;
    forward_carve(&f, q->s->own[thread], h, half);
    size_t size = half ? 2 : 4, group = (size_t)(i % q->groups), head = (size_t)(i / q->groups % a->heads);
    size_t sequence = (size_t)(i / q->groups / a->heads), first_row = sequence * h->length;
    size_t kv = (size_t)a->heads + head / (size_t)(a->heads / a->kv_heads);
    const char *rows = q->qkv + first_row * h->width * size;
    size_t last = cpu_least((group + 1) * GROUP, h->blocks), seen = cpu_least(last * BLOCK, h->length);
    pack_rows(f.keys, rows + kv * h->size * size, h->width, seen, last * BLOCK, h->units, half);
    pack_row_units(f.values, rows + (kv + (size_t)a->kv_heads) * h->size * size, h->width, seen, last * BLOCK,
                   h->size, h->size, half);
    float scale = 1.44269504f / sqrtf((float)h->size);
    size_t out_width = (size_t)a->heads * h->size;
    for (size_t block = group * GROUP; block < last; block++) {
        size_t row = block * BLOCK, count = cpu_least(BLOCK, h->length - row);
        v16 most[2], sum[2];
        pack_turned(f.query, rows + (row * h->width + head * h->size) * size, h->width, count, h->units, half);
        query_block(&f, h, block, scale, most, sum, half);
        unpack_turned(q->out + ((first_row + row) * out_width + head * h->size) * size, out_width, f.result, 1,
                      count, h->size, half);
        float *lse = q->lse ? q->lse + (sequence * (size_t)a->heads + head) * h->length + row : NULL;
        for (size_t lane = 0; lse && lane < count; lane++)
            lse[lane] = most[lane / 16][lane % 16] * 0.693147181f + logf(sum[lane / 16][lane % 16]);
    }
}

static void forward_task(void *context, int i, int thread) {
    const struct forward *q = context;
    if (q->s->half)
        forward_group(q, i, thread, true);
    else
        forward_group(q, i, thread, false);
}

static size_t forward_bytes(const struct head *h, bool half) {
    struct forward_scratch f;
    return forward_carve(&f, NULL, h, half);
}

void cpu_attention_forward(struct device *d, dptr out, dptr lse, dptr qkv, const struct attention_shape *shape,
                           int models) {
    struct forward q = {.s = cpu_of(d),
                        .shape = shape,
                        .head = head_of(shape, cpu_of(d)->half),
                        .out = (char *)out,
                        .qkv = (char *)qkv,
                        .lse = (float *)lse};
    q.groups = cpu_pieces(q.head.blocks, GROUP);
    cpu_rotary(q.s, qkv, shape, models, 1);
    if (cpu_reserve(q.s, 0, forward_bytes(&q.head, q.s->half)))
        cpu_run(q.s, models * shape->batch * shape->heads * q.groups, forward_task, &q);
}

struct cpu_scratch cpu_attention_scratch(const struct kernel_limits *l, bool half) {
    struct attention_shape shape = {.batch = l->batch,
                                    .length = l->length,
                                    .heads = l->heads,
                                    .kv_heads = l->kv_heads,
                                    .head_size = l->head_size};
    struct head h = head_of(&shape, half);
    size_t forward = forward_bytes(&h, half), backward = l->train ? cpu_attention_backward_bytes(&h, half) : 0;
    return (struct cpu_scratch){.own = forward > backward ? forward : backward};
}
