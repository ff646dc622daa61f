// The one seam between the models and the hardware: memory of a device and the operations on it.
//
// lib/model is written against this header only. Each backend (cpu/, cuda/) fills one `struct kernels`; the CPU
// backend is the reference. Device memory is opaque: a dptr is never dereferenced above this line.
//
// Shapes use the letters B batch, S sequence length, R = B S rows (tokens), H hidden, A heads, K key/value
// heads, D head size, F feed-forward, V vocabulary, G models. Arrays are dense and row-major. "c" is the
// device's compute dtype (float32 or bfloat16) in which activations between the products are kept; residual
// sums, statistics, losses, gradients of parameters, and the optimizer are always float32. All accumulation is
// float32 (float64 for scalar sums).
//
// G models of one shape run in one call: activations have G outermost, and a parameter of model g lies
// g * stride elements behind that of model 0, in the parameters, their compute copies and their gradients alike.
//
// Determinism: no atomics on floats; work is cut into tiles that depend on shapes only, and every sum has a
// fixed order. Same device and build, same bytes, whatever the number of threads.
//
// Operations may be asynchronous and return nothing: a failure is kept in the device and returned by the next
// download() or synchronize().
#ifndef TACIT_KERNELS_KERNELS_H
#define TACIT_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct device_memory *dptr; // an address in a device's memory
static inline dptr dptr_at(dptr p, size_t bytes) {
    return (dptr)((uintptr_t)p + bytes);
}

enum kernel_dtype { KERNEL_F32, KERNEL_BF16, KERNEL_DTYPE_AUTO };
static inline size_t kernel_dtype_size(enum kernel_dtype t) {
    return t == KERNEL_BF16 ? 2 : 4;
}

enum kernel_norm { NORM_LAYER, NORM_RMS };                   // layer: (x - mean) rstd w + b; rms: x rstd w
enum kernel_activation { ACTIVATION_NONE, ACTIVATION_GELU }; // gelu: the tanh form

#define TARGET_NONE UINT32_MAX // a row that predicts nothing: log-prob 0, no gradient

// How many models one call serves.
struct kernel_models {
    int count;           // G
    size_t stride;       // elements between one model's parameters and the next one's
    size_t token_stride; // rows between one model's tokens and the next one's; 0: all read the same
};

// The largest sizes that will be asked for, so that workspaces are made before the first step.
struct kernel_limits {
    int models, batch, length; // G, B, S
    int hidden, heads, kv_heads, head_size, feed_forward, vocab;
    bool train;
};

struct device;

// x: [R, H] rows of the attention's fused projection are q (A D), k (K D), v (K D) side by side.
struct attention_shape {
    int batch, length, heads, kv_heads, head_size;
    float theta; // of the rotary positions; 0: there are none
};

struct adamw {
    float rate, beta1, beta2, epsilon, decay; // learning rate; decoupled weight decay
    size_t decayed;                           // so many elements at the beginning of a model decay
    int64_t step;                             // 1 for the first update (bias correction)
};

struct kernels {
    const char *name; // "cpu", "cuda"

    void (*close)(struct device *d);

    // ---- memory ----
    int (*allocate)(struct device *d, size_t bytes, dptr *p); // 64-byte aligned; ERROR_SYSTEM names the bytes
    void (*release)(struct device *d, dptr p);
    // `from` may be reused at return; what was issued before may not be done yet.
    void (*upload)(struct device *d, dptr to, const void *from, size_t bytes);
    int (*download)(struct device *d, void *to, dptr from, size_t bytes); // waits; returns kept failures
    void (*copy)(struct device *d, dptr to, dptr from, size_t bytes);
    void (*zero)(struct device *d, dptr p, size_t bytes);
    int (*synchronize)(struct device *d);
    size_t (*memory_used)(const struct device *d); // bytes now allocated, workspaces included

    // Bytes of workspace for these limits, and making it (again, if the limits grew).
    size_t (*workspace)(const struct device *d, const struct kernel_limits *limits);
    int (*prepare)(struct device *d, const struct kernel_limits *limits);

    // ---- recording ----
    // A backend may keep what is issued between replay(key) == false and recorded(), and do it all at once when
    // replay(key) is called again: it is then done, and true comes back. The key stands for the same operations
    // with the same pointers and sizes, on whatever the memory then holds; uploads and downloads stay outside.
    bool (*replay)(struct device *d, uint64_t key);
    void (*recorded)(struct device *d);

    // ---- embedding ----
    // x[g,r,:] = table_g[tokens[r],:]; x float32 [G,R,H], table float32 [V,H], tokens u32 [R] or [G,R]
    void (*embed_forward)(struct device *d, const struct kernel_models *m, dptr x, dptr table, dptr tokens,
                          int rows, int hidden, int vocab);
    // dtable_g[t,:] += sum over rows r with tokens[r] = t, in row order, of dx[g,r,:]
    void (*embed_backward)(struct device *d, const struct kernel_models *m, dptr dtable, dptr dx, dptr tokens,
                           int rows, int hidden, int vocab);

    // ---- norm, with the residual sum in front ----
    // x_out = x + delta (float32 [G,R,H] and c [G,R,H]; x_out may be x), then y = norm(x_out) (c). delta NULL: y =
    // norm(x), and x_out is x or NULL. mean and rstd are float32 [G,R] (mean unused by rms); bias is NULL for rms.
    void (*norm_forward)(struct device *d, const struct kernel_models *m, enum kernel_norm kind, dptr y, dptr mean,
                         dptr rstd, dptr x_out, dptr x, dptr delta, dptr weight, dptr bias, float epsilon,
                         int rows, int hidden);
    // dx += d norm / dx . dy (float32 += ; dy is c), dweight and dbias += (float32, summed over rows in a fixed
    // order). x is norm_forward's x_out. dx_c (c, may be NULL) receives the updated dx rounded to c:
    // the gradient of the branch that was added in front.
    void (*norm_backward)(struct device *d, const struct kernel_models *m, enum kernel_norm kind, dptr dx,
                          dptr dx_c, dptr dweight, dptr dbias, dptr dy, dptr x, dptr mean, dptr rstd, dptr weight,
                          int rows, int hidden);

    // ---- products; weights are [N, M] (out, in), as in a checkpoint ----
    // y[g] = act(x[g] w_g^T): y c [G,R,N], x c [G,R,M], w c [N,M]. With an activation, `slope` (c [G,R,N], NULL in
    // inference) receives what the backward pass needs of it: act'(z) or z = x[g] w_g^T itself, as the backend
    // likes.
    void (*matmul_forward)(struct device *d, const struct kernel_models *m, dptr y, dptr slope, dptr x, dptr w,
                           enum kernel_activation act, int rows, int in, int out);
    // dx[g] = (dy[g] w_g) * act'(z): dx c [G,R,M], dy c [G,R,N], slope c [G,R,M], as matmul_forward left it of the
    // activation in front of this product (NULL where there is none)
    void (*matmul_backward_input)(struct device *d, const struct kernel_models *m, dptr dx, dptr dy, dptr w,
                                  dptr slope, int rows, int in, int out);
    // dw_g += dy[g]^T x[g]: dw float32 [N,M]
    void (*matmul_backward_weight)(struct device *d, const struct kernel_models *m, dptr dw, dptr dy, dptr x,
                                   int rows, int in, int out);

    // ---- SwiGLU: y = silu(gate) * up; gate_up c [G,R,2F] holds gate then up ----
    void (*swiglu_forward)(struct device *d, dptr y, dptr gate_up, size_t rows, int feed_forward);
    void (*swiglu_backward)(struct device *d, dptr dgate_up, dptr dy, dptr gate_up, size_t rows, int feed_forward);

    // ---- causal attention with rotary positions, blockwise: out = softmax(q k^T / sqrt(D)) v ----
    // qkv c [G B S, (A + 2K) D]. First pairs (i, i + D/2) of q and k turn by position * theta^(-2i/D), positions
    // counting from 0, and are rounded to c; then out c [G B S, A D] and lse float32 [G B, A, S], the log-sum-exp
    // of each row. q and k are left in qkv as they were turned, for the backward pass. In inference lse is NULL,
    // and qkv is of no more use afterwards.
    void (*attention_forward)(struct device *d, dptr out, dptr lse, dptr qkv, const struct attention_shape *shape,
                              int models);
    // dqkv c like qkv, from dout c like out: the gradient of qkv before it was turned. qkv and lse are as the
    // forward pass left them.
    void (*attention_backward)(struct device *d, dptr dqkv, dptr dout, dptr out, dptr qkv, dptr lse,
                               const struct attention_shape *shape, int models);

    // ---- classifier: log-softmax of x w^T at the targets, in chunks of rows (no R x V array) ----
    // logprob float32 [G,R]; x c [G,R,H]; w c [V,H]; targets u32 [R] or [G,R]. With dx (c [G,R,H]) not NULL also
    // the gradient of -scale[g] * sum of logprob: dx, and dw (float32 [V,H]) +=. scale: float32 [G], in device
    // memory so that a recorded pass can be done again with others.
    void (*classifier)(struct device *d, const struct kernel_models *m, dptr logprob, dptr dx, dptr dw, dptr x,
                       dptr w, dptr targets, dptr scale, int rows, int hidden, int vocab);

    // ---- optimizer ----
    // to c = from float32 [n] rounded to nearest even; nothing to do where c is float32 and to = from
    void (*convert)(struct device *d, dptr to, dptr from, size_t n);
    // The first n elements of each model. out float64 [G] = sums of squares of float32, float64 inside, fixed
    // order
    void (*sum_squares)(struct device *d, const struct kernel_models *m, dptr out, dptr x, size_t n);
    // scale float32 [G]: what brings gradients with these sums of squares (float64 [G]) to a norm of `most` where
    // it is more (0: any norm may be), most / (norm + 1e-6), as PyTorch's clip_grad_norm_; otherwise 1. NaN for
    // all models where one norm is NaN or Inf.
    void (*clip_scale)(struct device *d, const struct kernel_models *m, dptr scale, dptr sums, double most);
    // AdamW (Loshchilov and Hutter 2019) with the gradient scale[g] g; nothing is done where scale[g] is NaN. p,
    // g, m, v: float32, n elements of each model; copy c receives the rounded new p (NULL or p itself in float32)
    void (*adamw)(struct device *d, const struct kernel_models *models, const struct adamw *a, dptr scale, dptr p,
                  dptr g, dptr m, dptr v, dptr copy, size_t n);
};

struct device {
    const struct kernels *k;
    enum kernel_dtype compute; // c
    int threads;               // host threads that the backend uses
    void *state;               // the backend's own
    char detail[96];           // what a backend adds to device_describe(): "NVIDIA H100, tuned 1a2b3c4d"; or empty
};

// Open "cpu", "cuda", "cuda:N" or "auto" (CUDA where a device and the backend are there, else the CPU).
// threads 0: one per processor. dtype KERNEL_DTYPE_AUTO: bfloat16 where the device has the instruction.
int device_open(struct device **d, const char *name, int threads, enum kernel_dtype dtype);
void device_close(struct device *d);                 // NULL is allowed
const char *device_describe(const struct device *d); // "cpu (bf16, 2 threads)"; lives as long as the device
// Why "auto" took the CPU though the CUDA backend is there, in one line; otherwise NULL.
const char *device_notice(const struct device *d);

// Each backend's entry; the CUDA backend is a shared object beside the tools (or in ../lib, ../lib/tacit) that
// exports kernels_cuda_open. d->threads holds the number asked for and receives the number used.
int kernels_cpu_open(struct device *d, int index, enum kernel_dtype dtype);

#endif
