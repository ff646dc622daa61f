// The CUDA backend's own: state, failures, scratch memory, launches. For lib/kernels/cuda alone.
//
// One stream carries everything, in the order of the calls. An operation that fails (memory, a launch, a product
// that cuBLASLt refuses) keeps the first failure in the state and nothing runs after it; download() and
// synchronize() return it.
//
// Work is cut into blocks by shapes alone, never by the number of processors, no float is added atomically, and
// every sum has one order: same device and build, same bytes. Kernels use dynamic shared memory only
// (`shared_memory`), and reach instructions that C++ lacks through the functions of ptx.cuh, so that test/emulate
// can run the same source, thread by thread, on a processor.
#ifndef TACIT_KERNELS_CUDA_CUDA_CUH
#define TACIT_KERNELS_CUDA_CUDA_CUH

#include <cublasLt.h>
#include <cuda_runtime.h>
#include <stddef.h>
#include <stdint.h>

extern "C" {
#include "base/error.h"
#include "kernels/kernels.h"
}

struct matmul_cache;   // matmul.cu: cuBLASLt's plans by shape
struct recorded_steps; // record.cu: graphs by key
struct cuda_block;     // cuda.cu: memory that is allocated
struct cuda_staging;   // cuda.cu: uploads under way

// Which kernels compute attention where there are two (TACIT_ATTENTION).
enum cuda_attention {
    ATTENTION_TUNED, // by the table of `make tune`; without a line for the shape, mma.sync
    ATTENTION_MMA,
    ATTENTION_WGMMA,
};

struct cuda {
    cudaStream_t stream;
    cublasLtHandle_t products;
    struct matmul_cache *matmuls;
    bool half;          // the compute dtype is bfloat16
    int index;          // of the device
    size_t shared_most; // bytes of shared memory that a block may have
    bool warpgroups;    // it has the tensor cores of sm_90a
    enum cuda_attention attention;
    size_t used; // bytes allocated
    struct cuda_block *blocks;
    struct cuda_staging *staging;
    int failure; // kept until the next download or synchronize
    char message[512];
    void *scratch; // of the operation under way
    size_t scratch_bytes;
    struct recorded_steps *steps;
};

static inline struct cuda *cuda_of(const struct device *d) {
    return (struct cuda *)d->state;
}

static inline size_t cuda_element(const struct cuda *s) {
    return s->half ? 2 : 4;
}

// Keep a failure, unless one is kept already.
void cuda_fail(struct cuda *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

// False (and the failure kept) where a call of the runtime failed; `what` names the call: "copying to the device".
bool cuda_check(struct cuda *s, cudaError_t status, const char *what);

// Accounted memory of the device, and scratch for the operation under way: at least `bytes`, from the one block
// that all operations share (NULL, the failure kept, where memory is short).
int cuda_memory_new(struct cuda *s, size_t bytes, void **p);
void cuda_memory_free(struct cuda *s, void *p);
void *cuda_scratch(struct cuda *s, size_t bytes);

// Scratch that each operation will ask for within these limits.
size_t cuda_embed_scratch(const struct kernel_limits *l);
size_t cuda_norm_scratch(const struct kernel_limits *l);
size_t cuda_attention_scratch(const struct cuda *s, const struct kernel_limits *l);
size_t cuda_classifier_scratch(const struct kernel_limits *l, bool half);
size_t cuda_update_scratch(const struct kernel_limits *l);

// ---- launches ----

// Blocks, threads of a block, bytes of shared memory.
struct cuda_grid {
    dim3 blocks;
    int threads;
    size_t shared;
};

enum {
    CUDA_SHARED_DEFAULT = 48 << 10, // more has to be asked for
    CUDA_SHARED_LEAST = 99 << 10,   // of the chips that are served: compute capability 8.6, 8.9 and 12.x
};

// Ask for a kernel's shared memory; false (and the failure kept) where the device does not have so much.
bool cuda_shared_ask(struct cuda *s, const char *name, const void *kernel, size_t bytes);

template <typename... P, typename... A>
void cuda_launch(struct cuda *s, const char *name, void (*kernel)(P...), struct cuda_grid grid, A... arguments) {
    if (s->failure != 0 || grid.blocks.x == 0 || grid.blocks.y == 0 || grid.blocks.z == 0)
        return;
    if (grid.shared > CUDA_SHARED_DEFAULT && !cuda_shared_ask(s, name, (const void *)kernel, grid.shared))
        return;
    cudaLaunchConfig_t configuration = {};
    configuration.gridDim = grid.blocks;
    configuration.blockDim = dim3((unsigned)grid.threads);
    configuration.dynamicSmemBytes = grid.shared;
    configuration.stream = s->stream;
    cuda_check(s, cudaLaunchKernelEx(&configuration, kernel, (P)arguments...), name);
}

// ceil(n / piece), as a number of blocks
static inline unsigned cuda_blocks(size_t n, size_t piece) {
    return (unsigned)((n + piece - 1) / piece);
}

// Whether vectors of 16 bytes can be moved from here
static inline bool cuda_aligned(const void *p) {
    return (uintptr_t)p % 16 == 0;
}

// ---- matmul.cu: products for other operations too ----

// C[g] (m x n, c or float32) = or += A[g] B[g], row-major; a transposed operand is stored the other way round.
struct cuda_product {
    int m, n, k, count;                   // count: models
    bool a_transposed, b_transposed;      // A is stored [k, m]; B is stored [n, k]
    int64_t lda, ldb, ldc;                // elements between stored rows
    int64_t stride_a, stride_b, stride_c; // elements between models
    bool float_out;                       // C is float32 (otherwise c)
    bool add;                             // C += instead of C =
};
void cuda_product_run(struct cuda *s, const struct cuda_product *p, void *c, const void *a, const void *b);
int cuda_matmul_open(struct cuda *s); // s->matmuls
void cuda_matmul_close(struct cuda *s);
size_t cuda_matmul_workspace(void);
uint32_t cuda_matmul_digest(const struct cuda *s); // of the tune table's lines for this device; 0: there is none

// ---- classifier_score.cu, classifier_train.cu ----

// Without logits in memory: bfloat16, hidden sizes that are multiples of 8 up to 128. False where it is not such a
// shape (or operands are not aligned), and nothing is done.
static inline bool cuda_classifier_small(bool half, int hidden) {
    return half && hidden <= 128 && hidden % 8 == 0;
}
bool cuda_classifier_score(struct cuda *s, const struct kernel_models *m, dptr logprob, dptr x, dptr w,
                           dptr targets, int rows, int hidden, int vocab);
bool cuda_classifier_train(struct cuda *s, const struct kernel_models *m, dptr logprob, dptr dx, dptr dw, dptr x,
                           dptr w, dptr targets, dptr scale, int rows, int hidden, int vocab);
size_t cuda_classifier_train_scratch(size_t models, size_t rows, size_t hidden, size_t vocab);

// ---- record.cu ----

bool cuda_replay(struct device *d, uint64_t key);
void cuda_recorded(struct device *d);
void cuda_forget(struct cuda *s); // all graphs
bool cuda_recording(const struct cuda *s);

// ---- the operations, as kernels.h has them ----

void cuda_embed_forward(struct device *d, const struct kernel_models *m, dptr x, dptr table, dptr tokens, int rows,
                        int hidden, int vocab);
void cuda_embed_backward(struct device *d, const struct kernel_models *m, dptr dtable, dptr dx, dptr tokens,
                         int rows, int hidden, int vocab);
void cuda_norm_forward(struct device *d, const struct kernel_models *m, enum kernel_norm kind, dptr y, dptr mean,
                       dptr rstd, dptr x_out, dptr x, dptr delta, dptr weight, dptr bias, float epsilon, int rows,
                       int hidden);
void cuda_norm_backward(struct device *d, const struct kernel_models *m, enum kernel_norm kind, dptr dx, dptr dx_c,
                        dptr dweight, dptr dbias, dptr dy, dptr x, dptr mean, dptr rstd, dptr weight, int rows,
                        int hidden);
void cuda_matmul_forward(struct device *d, const struct kernel_models *m, dptr y, dptr slope, dptr x, dptr w,
                         enum kernel_activation act, int rows, int in, int out);
void cuda_matmul_backward_input(struct device *d, const struct kernel_models *m, dptr dx, dptr dy, dptr w,
                                dptr slope, int rows, int in, int out);
void cuda_matmul_backward_weight(struct device *d, const struct kernel_models *m, dptr dw, dptr dy, dptr x,
                                 int rows, int in, int out);
void cuda_swiglu_forward(struct device *d, dptr y, dptr gate_up, size_t rows, int feed_forward);
void cuda_swiglu_backward(struct device *d, dptr dgate_up, dptr dy, dptr gate_up, size_t rows, int feed_forward);
void cuda_attention_forward(struct device *d, dptr out, dptr lse, dptr qkv, const struct attention_shape *shape,
                            int models);
void cuda_attention_backward(struct device *d, dptr dqkv, dptr dout, dptr out, dptr qkv, dptr lse,
                             const struct attention_shape *shape, int models);
void cuda_classifier(struct device *d, const struct kernel_models *m, dptr logprob, dptr dx, dptr dw, dptr x,
                     dptr w, dptr targets, dptr scale, int rows, int hidden, int vocab);
void cuda_convert(struct device *d, dptr to, dptr from, size_t n);
void cuda_sum_squares(struct device *d, const struct kernel_models *m, dptr out, dptr x, size_t n);
void cuda_clip_scale(struct device *d, const struct kernel_models *m, dptr scale, dptr sums, double most);
void cuda_adamw(struct device *d, const struct kernel_models *models, const struct adamw *a, dptr scale, dptr p,
                dptr g, dptr m, dptr v, dptr copy, size_t n);

#endif
