// The CPU backend's own: state, scratch memory, regions of tasks. For lib/kernels/cpu alone.
//
// Every operation cuts its work into tasks by shapes alone and hands them to the pool; a task writes only what
// belongs to its number, and sums over tasks are made in task order. An operation that fails (memory, a product
// that oneDNN refuses) keeps the first failure in the state and does nothing more.
#ifndef TACIT_KERNELS_CPU_CPU_H
#define TACIT_KERNELS_CPU_CPU_H

#include "base/threads.h"
#include "kernels/kernels.h"

#include <oneapi/dnnl/dnnl.h>
#include <stdatomic.h>

struct product_cache;

struct cpu {
    struct threads *pool;
    int threads;
    bool half; // the compute dtype is bfloat16
    dnnl_engine_t engine;
    dnnl_stream_t *streams;         // one per thread
    struct product_cache *products; // by shape
    size_t used;                    // bytes allocated
    size_t physical;                // bytes of memory that there are for us
    int failure;                    // kept until the next download or synchronize
    char message[256];
    void *shared; // scratch of the operation under way
    size_t shared_bytes;
    void **own; // scratch of each thread in the operation under way
    size_t own_bytes;
    void **packing; // oneDNN's scratch, one per thread
    size_t packing_bytes;
    float *turns; // rotary: cosines [S, D/2], then sines [S, D/2]
    float turns_theta;
    int turns_length, turns_size;
};

static inline struct cpu *cpu_of(const struct device *d) {
    return d->state;
}

// Keep a failure with the message of error_message(), unless one is kept already.
void cpu_fail(struct cpu *s, int code);

// Accounted memory: ERROR_SYSTEM with the bytes where it does not fit.
int cpu_memory_new(struct cpu *s, size_t bytes, void **p);
void cpu_memory_free(struct cpu *s, void *p);

// Make sure of scratch for the next operation: s->shared, s->own[thread], s->packing[thread]. Only between
// regions. False (and the failure kept) where memory is short.
bool cpu_reserve(struct cpu *s, size_t shared, size_t own);
bool cpu_reserve_packing(struct cpu *s, size_t bytes);

// Run tasks 0..n-1 on the pool.
static inline void cpu_run(struct cpu *s, int tasks, void (*task)(void *context, int i, int thread),
                           void *context) {
    if (s->failure == 0)
        threads_run(s->pool, tasks, task, context);
}

static inline int cpu_pieces(size_t n, size_t piece) {
    return (int)((n + piece - 1) / piece);
}

static inline size_t cpu_least(size_t a, size_t b) {
    return a < b ? a : b;
}

static inline size_t cpu_round_up(size_t n, size_t multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

static inline void *cpu_at(void *p, size_t element, size_t size) {
    return (char *)p + element * size;
}

// Scratch that an operation needs for these limits (bytes shared, bytes of each thread).
struct cpu_scratch {
    size_t shared, own;
};
struct cpu_scratch cpu_norm_scratch(const struct kernel_limits *l);
struct cpu_scratch cpu_attention_scratch(const struct kernel_limits *l, bool half);
struct cpu_scratch cpu_classifier_scratch(const struct kernel_limits *l, bool half);

// dw_g += dy[g]^T x[g] as in matmul_backward_weight, rows of dy lying dy_width elements apart.
void cpu_add_weight_products(struct cpu *s, const struct kernel_models *m, void *dw, void *dy, size_t dy_width,
                             void *x, int rows, int in, int out);

// Turn q and k of qkv (or of its gradient) in place; direction +1 forward, -1 backward (the inverse rotation).
void cpu_rotary(struct cpu *s, dptr qkv, const struct attention_shape *shape, int models, int direction);

// The operations, as in kernels.h.
void cpu_embed_forward(struct device *d, const struct kernel_models *m, dptr x, dptr table, dptr tokens, int rows,
                       int hidden, int vocab);
void cpu_embed_backward(struct device *d, const struct kernel_models *m, dptr dtable, dptr dx, dptr tokens,
                        int rows, int hidden, int vocab);
void cpu_norm_forward(struct device *d, const struct kernel_models *m, enum kernel_norm kind, dptr y, dptr mean,
                      dptr rstd, dptr x_out, dptr x, dptr delta, dptr weight, dptr bias, float epsilon, int rows,
                      int hidden);
void cpu_norm_backward(struct device *d, const struct kernel_models *m, enum kernel_norm kind, dptr dx, dptr dx_c,
                       dptr dweight, dptr dbias, dptr dy, dptr x, dptr mean, dptr rstd, dptr weight, int rows,
                       int hidden);
void cpu_matmul_forward(struct device *d, const struct kernel_models *m, dptr y, dptr slope, dptr x, dptr w,
                        enum kernel_activation act, int rows, int in, int out);
void cpu_matmul_backward_input(struct device *d, const struct kernel_models *m, dptr dx, dptr dy, dptr w,
                               dptr slope, int rows, int in, int out);
void cpu_matmul_backward_weight(struct device *d, const struct kernel_models *m, dptr dw, dptr dy, dptr x,
                                int rows, int in, int out);
void cpu_swiglu_forward(struct device *d, dptr y, dptr gate_up, size_t rows, int feed_forward);
void cpu_swiglu_backward(struct device *d, dptr dgate_up, dptr dy, dptr gate_up, size_t rows, int feed_forward);
void cpu_attention_forward(struct device *d, dptr out, dptr lse, dptr qkv, const struct attention_shape *shape,
                           int models);
void cpu_attention_backward(struct device *d, dptr dqkv, dptr dout, dptr out, dptr qkv, dptr lse,
                            const struct attention_shape *shape, int models);
void cpu_classifier(struct device *d, const struct kernel_models *m, dptr logprob, dptr dx, dptr dw, dptr x,
                    dptr w, dptr targets, dptr scale, int rows, int hidden, int vocab);
void cpu_convert(struct device *d, dptr to, dptr from, size_t n);
void cpu_sum_squares(struct device *d, const struct kernel_models *m, dptr out, dptr x, size_t n);
void cpu_clip_scale(struct device *d, const struct kernel_models *m, dptr scale, dptr sums, double most);
void cpu_adamw(struct device *d, const struct kernel_models *models, const struct adamw *a, dptr scale, dptr p,
               dptr g, dptr m, dptr v, dptr copy, size_t n);

#endif
