// LayerNorm and RMSNorm with the residual sum in front. Rows are independent; the parameters' gradients are
// summed within slabs of rows and then over the slabs in order.
#include "cpu.h"
#include "simd.h"

#include <math.h>

enum { ROWS = 128, MOST_SLABS = 64 };

struct norm {
    struct cpu *s;
    enum kernel_norm kind;
    void *y, *delta; // c: y, or dx_c and dy backward
    float *x_out, *dx, *mean, *rstd;
    const float *x;
    const float *weight, *bias;
    float *dweight, *dbias;
    float epsilon;
    size_t rows, hidden, stride, slab; // slab: rows of one task
    int slabs;
    size_t line; // floats of one slab's partial sums
};

static INLINE void forward_row(const struct norm *q, size_t g, size_t row, bool layer, bool half) {
    size_t h = q->hidden;
    const float *x = q->x + row * h;
    const float *w = q->weight + g * q->stride, *b = q->bias ? q->bias + g * q->stride : NULL;
    v16 sum = {0}, squares = {0};
    for (size_t i = 0; i < h; i += 16) {
        int n = (int)cpu_least(16, h - i);
        v16 v = v16_load_n(x + i, n);
        if (q->delta) {
            v += c_load_n(q->delta, row * h + i, n, half);
            v16_store_n(q->x_out + row * h + i, v, n);
        }
        sum += v;
        squares += v * v;
    }
    x = q->x_out + row * h;
    float mean = 0;
    if (layer) {
        mean = v16_sum(sum) / (float)h;
        squares = v16_set(0);
        for (size_t i = 0; i < h; i += 16) {
            int n = (int)cpu_least(16, h - i);
            v16 v = v16_keep(v16_load_n(x + i, n) - mean, n);
            squares += v * v;
        }
        q->mean[row] = mean;
    }
    float rstd = 1.0f / sqrtf(v16_sum(squares) / (float)h + q->epsilon);
    q->rstd[row] = rstd;
    for (size_t i = 0; i < h; i += 16) {
        int n = (int)cpu_least(16, h - i);
        v16 v = (v16_load_n(x + i, n) - mean) * rstd * v16_load_n(w + i, n);
        if (b)
            v += v16_load_n(b + i, n);
        c_store_n(q->y, row * h + i, v, n, half);
    }
}

static INLINE void forward_rows(const struct norm *q, size_t g, size_t first, size_t last, bool layer, bool half) {
    for (size_t r = first; r < last; r++)
        forward_row(q, g, g * q->rows + r, layer, half);
}

static void forward_task(void *context, int i, int thread) {
    (void)thread;
    const struct norm *q = context;
    size_t g = (size_t)(i / q->slabs), first = (size_t)(i % q->slabs) * q->slab;
    size_t last = cpu_least(first + q->slab, q->rows);
    bool layer = q->kind == NORM_LAYER;
    if (q->s->half)
        layer ? forward_rows(q, g, first, last, true, true) : forward_rows(q, g, first, last, false, true);
    else
        layer ? forward_rows(q, g, first, last, true, false) : forward_rows(q, g, first, last, false, false);
}

void cpu_norm_forward(struct device *d, const struct kernel_models *m, enum kernel_norm kind, dptr y, dptr mean,
                      dptr rstd, dptr x_out, dptr x, dptr delta, dptr weight, dptr bias, float epsilon, int rows,
                      int hidden) {
    struct norm q = {.s = cpu_of(d),
                     .kind = kind,
                     .y = y,
                     .delta = delta,
                     .x = (const float *)x,
                     .x_out = (float *)(delta ? x_out : x), // without delta x is only read
                     .mean = (float *)mean,
                     .rstd = (float *)rstd,
                     .weight = (const float *)weight,
                     .bias = (const float *)bias,
                     .epsilon = epsilon,
                     .rows = (size_t)rows,
                     .hidden = (size_t)hidden,
                     .stride = m->stride,
                     .slab = ROWS,
                     .slabs = cpu_pieces((size_t)rows, ROWS)};
    cpu_run(q.s, m->count * q.slabs, forward_task, &q);
}

// With xhat = (x - mean) rstd and a = dy w: dx += rstd (a - mean(a) - xhat mean(a xhat)), without mean(a) for rms;
// dweight += dy xhat, dbias += dy (into this slab's sums).
static INLINE void backward_row(const struct norm *q, size_t g, size_t row, float *dw, float *db, bool layer,
                                bool half) {
    size_t h = q->hidden;
    const float *x = q->x + row * h, *w = q->weight + g * q->stride;
    float *dx = q->dx + row * h, mean = layer ? q->mean[row] : 0, rstd = q->rstd[row];
    v16 sum = {0}, along = {0};
    for (size_t i = 0; i < h; i += 16) {
        int n = (int)cpu_least(16, h - i);
        v16 dy = c_load_n(q->delta, row * h + i, n, half);
        v16 xhat = (v16_load_n(x + i, n) - mean) * rstd;
        v16 a = dy * v16_load_n(w + i, n);
        sum += a;
        along += a * xhat;
        v16_store(dw + i, v16_load(dw + i) + dy * xhat);
        if (layer)
            v16_store(db + i, v16_load(db + i) + dy);
    }
    float mean_a = layer ? v16_sum(sum) / (float)h : 0, mean_along = v16_sum(along) / (float)h;
    for (size_t i = 0; i < h; i += 16) {
        int n = (int)cpu_least(16, h - i);
        v16 a = c_load_n(q->delta, row * h + i, n, half) * v16_load_n(w + i, n);
        v16 xhat = (v16_load_n(x + i, n) - mean) * rstd;
        v16 v = v16_load_n(dx + i, n) + rstd * (a - mean_a - xhat * mean_along);
        v16_store_n(dx + i, v, n);
        if (q->y)
            c_store_n(q->y, row * h + i, v, n, half);
    }
}

static INLINE void backward_rows(const struct norm *q, int i, bool layer, bool half) {
    size_t g = (size_t)(i / q->slabs), first = (size_t)(i % q->slabs) * q->slab;
    size_t last = cpu_least(first + q->slab, q->rows);
    float *dw = (float *)q->s->shared + (size_t)i * q->line;
    memset(dw, 0, q->line * sizeof *dw);
    for (size_t r = first; r < last; r++)
        backward_row(q, g, g * q->rows + r, dw, dw + q->line / 2, layer, half);
}

static void backward_task(void *context, int i, int thread) {
    (void)thread;
    const struct norm *q = context;
    bool layer = q->kind == NORM_LAYER;
    if (q->s->half)
        layer ? backward_rows(q, i, true, true) : backward_rows(q, i, false, true);
    else
        layer ? backward_rows(q, i, true, false) : backward_rows(q, i, false, false);
}

static void add_slabs(const struct norm *q, size_t g, size_t half_line, float *to) {
    for (size_t i = 0; i < q->hidden; i += 16) {
        int n = (int)cpu_least(16, q->hidden - i);
        v16 sum = {0};
        for (int slab = 0; slab < q->slabs; slab++)
            sum +=
                v16_load((float *)q->s->shared + (g * (size_t)q->slabs + (size_t)slab) * q->line + half_line + i);
        to += g * q->stride;
        v16_store_n(to + i, v16_load_n(to + i, n) + sum, n);
        to -= g * q->stride;
    }
}

static void sum_task(void *context, int i, int thread) {
    (void)thread;
    const struct norm *q = context;
    add_slabs(q, (size_t)i, 0, q->dweight);
    if (q->dbias)
        add_slabs(q, (size_t)i, q->line / 2, q->dbias);
}

static void backward_slabs(struct norm *q) {
    q->slab = ROWS;
    if (q->rows > (size_t)ROWS * MOST_SLABS)
        q->slab = cpu_round_up(q->rows, MOST_SLABS) / MOST_SLABS;
    q->slabs = cpu_pieces(q->rows, q->slab);
    q->line = 2 * cpu_round_up(q->hidden, 16);
}

struct cpu_scratch cpu_norm_scratch(const struct kernel_limits *l) {
    struct norm q = {.rows = (size_t)l->batch * (size_t)l->length, .hidden = (size_t)l->hidden};
    if (!l->train)
        return (struct cpu_scratch){0, 0};
    backward_slabs(&q);
    return (struct cpu_scratch){.shared = (size_t)l->models * (size_t)q.slabs * q.line * sizeof(float)};
}

void cpu_norm_backward(struct device *d, const struct kernel_models *m, enum kernel_norm kind, dptr dx, dptr dx_c,
                       dptr dweight, dptr dbias, dptr dy, dptr x, dptr mean, dptr rstd, dptr weight, int rows,
                       int hidden) {
    struct norm q = {.s = cpu_of(d),
                     .kind = kind,
                     .y = dx_c,
                     .delta = dy,
                     .x = (const float *)x,
                     .dx = (float *)dx,
                     .mean = (float *)mean,
                     .rstd = (float *)rstd,
                     .weight = (const float *)weight,
                     .dweight = (float *)dweight,
                     .dbias = kind == NORM_LAYER ? (float *)dbias : NULL,
                     .rows = (size_t)rows,
                     .hidden = (size_t)hidden,
                     .stride = m->stride};
    backward_slabs(&q);
    if (!cpu_reserve(q.s, (size_t)m->count * (size_t)q.slabs * q.line * sizeof(float), 0))
        return;
    cpu_run(q.s, m->count * q.slabs, backward_task, &q);
    cpu_run(q.s, m->count, sum_task, &q);
}
