// Operations without reuse: SwiGLU, conversion, the sum of squares, AdamW.
#include "cpu.h"
#include "simd.h"

#include <math.h>

enum { CHUNK = 16384 }; // elements of one task

// ---- SwiGLU ----

struct swiglu {
    struct cpu *s;
    char *y, *dy, *gate_up, *dgate_up;
    size_t rows, rows_per_task;
    int width; // F
};

static INLINE void swiglu_rows(const struct swiglu *q, size_t first, size_t last, bool backward, bool half) {
    size_t f = (size_t)q->width;
    for (size_t r = first; r < last; r++)
        for (size_t i = 0; i < f; i += 16) {
            int n = (int)cpu_least(16, f - i);
            size_t gate = 2 * r * f + i, up = gate + f, at = r * f + i;
            v16 g = c_load_n(q->gate_up, gate, n, half), u = c_load_n(q->gate_up, up, n, half);
            v16 s = v16_sigmoid(g, half), silu = g * s;
            if (!backward) {
                c_store_n(q->y, at, silu * u, n, half);
                continue;
            }
            v16 dy = c_load_n(q->dy, at, n, half);
            c_store_n(q->dgate_up, gate, dy * u * (s + silu * (1.0f - s)), n, half);
            c_store_n(q->dgate_up, up, dy * silu, n, half);
        }
}

static void swiglu_task(void *context, int i, int thread) {
    (void)thread;
    const struct swiglu *q = context;
    size_t first = (size_t)i * q->rows_per_task, last = cpu_least(first + q->rows_per_task, q->rows);
    if (q->s->half)
        q->y ? swiglu_rows(q, first, last, false, true) : swiglu_rows(q, first, last, true, true);
    else
        q->y ? swiglu_rows(q, first, last, false, false) : swiglu_rows(q, first, last, true, false);
}

static void swiglu_run(struct swiglu *q) {
    q->rows_per_task = (size_t)(q->width < CHUNK ? CHUNK / q->width : 1);
    cpu_run(q->s, cpu_pieces(q->rows, q->rows_per_task), swiglu_task, q);
}

void cpu_swiglu_forward(struct device *d, dptr y, dptr gate_up, size_t rows, int feed_forward) {
    struct swiglu q = {
        .s = cpu_of(d), .y = (char *)y, .gate_up = (char *)gate_up, .rows = rows, .width = feed_forward};
    swiglu_run(&q);
}

// d silu(g)/dg = s + g s (1 - s)
void cpu_swiglu_backward(struct device *d, dptr dgate_up, dptr dy, dptr gate_up, size_t rows, int feed_forward) {
    struct swiglu q = {.s = cpu_of(d),
                       .dy = (char *)dy,
                       .gate_up = (char *)gate_up,
                       .dgate_up = (char *)dgate_up,
                       .rows = rows,
                       .width = feed_forward};
    swiglu_run(&q);
}

// ---- conversion ----

struct convert {
    struct cpu *s;
    const float *from;
    void *to;
    size_t n;
};

static void convert_task(void *context, int i, int thread) {
    (void)thread;
    const struct convert *q = context;
    size_t first = (size_t)i * CHUNK, last = cpu_least(first + CHUNK, q->n);
    for (size_t j = first; j < last; j += 16) {
        int n = (int)cpu_least(16, last - j);
        c_store_n(q->to, j, v16_load_n(q->from + j, n), n, q->s->half);
    }
}

void cpu_convert(struct device *d, dptr to, dptr from, size_t n) {
    struct convert q = {.s = cpu_of(d), .from = (const float *)from, .to = to, .n = n};
    if (!q.s->half && to == from)
        return;
    cpu_run(q.s, cpu_pieces(n, CHUNK), convert_task, &q);
}

// ---- sum of squares: float64 lanes within fixed chunks, chunks added in order ----

struct squares {
    const float *x;
    double *part; // [models, parts]
    size_t n, stride;
    int parts; // of a model
};

static void squares_task(void *context, int i, int thread) {
    (void)thread;
    const struct squares *q = context;
    const float *values = q->x + (size_t)(i / q->parts) * q->stride;
    size_t first = (size_t)(i % q->parts) * CHUNK, last = cpu_least(first + CHUNK, q->n);
    v8d low = {0}, high = {0};
    for (size_t j = first; j < last; j += 16) {
        v16 x = v16_load_n(values + j, (int)cpu_least(16, last - j));
        typedef float v8 __attribute__((vector_size(32)));
        v8 part[2];
        memcpy(part, &x, sizeof x);
        v8d a = __builtin_convertvector(part[0], v8d), b = __builtin_convertvector(part[1], v8d);
        low += a * a;
        high += b * b;
    }
    low += high;
    double sum = 0;
    for (int lane = 0; lane < 8; lane++)
        sum += low[lane];
    q->part[i] = sum;
}

void cpu_sum_squares(struct device *d, const struct kernel_models *m, dptr out, dptr x, size_t n) {
    struct cpu *s = cpu_of(d);
    int parts = cpu_pieces(n, CHUNK);
    if (!cpu_reserve(s, (size_t)m->count * (size_t)parts * sizeof(double), 0))
        return;
    struct squares q = {.x = (const float *)x, .part = s->shared, .n = n, .stride = m->stride, .parts = parts};
    cpu_run(s, m->count * parts, squares_task, &q);
    for (int g = 0; g < m->count; g++) {
        double sum = 0;
        for (int i = 0; i < parts; i++)
            sum += q.part[g * parts + i];
        memcpy(dptr_at(out, (size_t)g * sizeof sum), &sum, sizeof sum);
    }
}

void cpu_clip_scale(struct device *d, const struct kernel_models *m, dptr scale, dptr sums, double most) {
    (void)d;
    float *to = (float *)scale;
    const double *sum = (const double *)sums;
    bool finite = true;
    for (int g = 0; g < m->count; g++)
        finite = finite && isfinite(sum[g]);
    for (int g = 0; g < m->count; g++) {
        double norm = sqrt(sum[g]);
        to[g] = !finite ? NAN : most > 0 && norm > most ? (float)(most / (norm + 1e-6)) : 1.0f;
    }
}

// ---- AdamW ----
// g' = scale g; m = b1 m + (1 - b1) g'; v = b2 v + (1 - b2) g'^2;
// p -= rate ((m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon) + decay p)

struct update {
    struct cpu *s;
    const struct adamw *a;
    const float *scale;
    float *p, *m, *v;
    const float *g;
    void *copy;
    size_t n, stride;
    int pieces;                 // of a model
    float correct_m, correct_v; // 1 / (1 - b1^t), 1 / (1 - b2^t)
};

static INLINE v16 v16_sqrt(v16 x) {
#ifdef __AVX512F__
    return (v16)_mm512_sqrt_ps((__m512)x);
#else
    for (int i = 0; i < 16; i++)
        x[i] = sqrtf(x[i]);
    return x;
#endif
}

static INLINE void update_range(const struct update *q, size_t first, size_t last, float scale, float decay,
                                bool half) {
    const struct adamw a = *q->a;
    for (size_t j = first; j < last; j += 16) {
        int n = (int)cpu_least(16, last - j);
        v16 p = v16_load_n(q->p + j, n), g = v16_load_n(q->g + j, n) * scale;
        v16 m = a.beta1 * v16_load_n(q->m + j, n) + (1.0f - a.beta1) * g;
        v16 v = a.beta2 * v16_load_n(q->v + j, n) + (1.0f - a.beta2) * g * g;
        v16 step = m * q->correct_m / (v16_sqrt(v * q->correct_v) + a.epsilon);
        p -= a.rate * (step + decay * p);
        v16_store_n(q->p + j, p, n);
        v16_store_n(q->m + j, m, n);
        v16_store_n(q->v + j, v, n);
        if (q->copy)
            c_store_n(q->copy, j, p, n, half);
    }
}

static void update_task(void *context, int i, int thread) {
    (void)thread;
    const struct update *q = context;
    size_t model = (size_t)(i / q->pieces), at = model * q->stride;
    size_t first = (size_t)(i % q->pieces) * CHUNK, last = cpu_least(first + CHUNK, q->n);
    size_t middle = q->a->decayed < first ? first : cpu_least(q->a->decayed, last);
    float scale = q->scale[model], decay = q->a->decay;
    if (isnan(scale))
        return;
    if (q->s->half) {
        update_range(q, at + first, at + middle, scale, decay, true);
        update_range(q, at + middle, at + last, scale, 0, true);
    } else {
        update_range(q, at + first, at + middle, scale, decay, false);
        update_range(q, at + middle, at + last, scale, 0, false);
    }
}

void cpu_adamw(struct device *d, const struct kernel_models *models, const struct adamw *a, dptr scale, dptr p,
               dptr g, dptr m, dptr v, dptr copy, size_t n) {
    struct update q = {.s = cpu_of(d),
                       .a = a,
                       .scale = (const float *)scale,
                       .p = (float *)p,
                       .g = (const float *)g,
                       .m = (float *)m,
                       .v = (float *)v,
                       .copy = copy == p ? NULL : copy,
                       .n = n,
                       .stride = models->stride,
                       .pieces = cpu_pieces(n, CHUNK),
                       .correct_m = (float)(1.0 / (1.0 - pow(a->beta1, (double)a->step))),
                       .correct_v = (float)(1.0 / (1.0 - pow(a->beta2, (double)a->step)))};
    cpu_run(q.s, models->count * q.pieces, update_task, &q);
}
