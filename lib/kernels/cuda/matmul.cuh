// Products as matmul.cu plans them, for gelu.cu and tune.cu.
#ifndef TACIT_KERNELS_CUDA_MATMUL_CUH
#define TACIT_KERNELS_CUDA_MATMUL_CUH

#include "cuda.cuh"

enum { MATMUL_WORKSPACE = 32 << 20 }; // bytes, of all products: one runs at a time

// What is done to a product z before it is stored; kept is a second array like C.
enum matmul_epilogue {
    EPILOGUE_NONE,      // C = z
    EPILOGUE_GELU,      // C = gelu(z)
    EPILOGUE_GELU_KEEP, // C = gelu(z), kept = z
    EPILOGUE_GELU_SLOPE // C = z * gelu'(kept)
};

struct matmul_call {
    struct cuda_product product;
    enum matmul_epilogue epilogue;
    void *c;
    const void *a, *b;
    void *kept;
};

// Everything that a plan depends on; no padding, so that keys compare as bytes.
struct matmul_key {
    int32_t m, n, k, count;
    int64_t lda, ldb, ldc, stride_a, stride_b, stride_c;
    uint8_t a_transposed, b_transposed, half_in, half_out, add, epilogue;
    uint8_t align_a, align_b, align_c, align_kept; // bytes: a power of two up to 16
    uint8_t unused[6];
};

enum { MATMUL_KEY_TEXT = 256 };

struct matmul_plan {
    struct matmul_key key;
    cublasLtMatmulDescOpaque_t operation;
    cublasLtMatrixLayoutOpaque_t a, b, c; // row-major A is B^T to cuBLASLt: `a` lays out the call's B
    cublasLtMatmulAlgo_t algorithm;
    bool refused;                           // cuBLASLt has no such product, or tuning found two steps faster
    float microseconds, first_microseconds; // as tuning measured the choice and the heuristics' first
    struct matmul_plan *next;
};

enum { MATMUL_BUCKETS = 256 };

struct matmul_cache {
    void *workspace;
    struct matmul_plan *plans[MATMUL_BUCKETS]; // by the key's hash
    struct matmul_table *table;                // NULL: none
    struct attention_choice *attention;        // what tuning chose
    bool tuning;                               // plans are timed when they are made
};

// matmul.cu: the plan of a call, made where there is none; NULL (the failure kept) where memory is short.
struct matmul_plan *matmul_plan_get(struct cuda *s, const struct matmul_call *call);
bool matmul_launch(struct cuda *s, struct matmul_plan *p, const struct matmul_call *call); // false: refused
void matmul_run_apart(struct cuda *s, const struct matmul_call *call); // the product, then gelu.cu's step
int matmul_candidates(struct cuda *s, struct matmul_plan *p, cublasLtMatmulHeuristicResult_t *all, int most);

// gelu.cu, over n elements of the compute dtype: y = gelu(z), where y may be z; dx *= gelu'(z)
void cuda_gelu_forward(struct cuda *s, void *y, const void *z, size_t n);
void cuda_gelu_backward(struct cuda *s, void *dx, const void *z, size_t n);

// tune.cu: a product in words, for the table and for messages.
void matmul_describe(const struct matmul_key *k, char text[MATMUL_KEY_TEXT]);

// tune.cu: the table beside the backend or in TACIT_TUNE, if there is one for this device and library; the plan's
// line in it, if it has one (false: none); and the choice by timing.
int matmul_table_open(struct cuda *s);
void matmul_table_close(struct matmul_cache *m);
bool matmul_table_find(struct cuda *s, struct matmul_plan *p);
void matmul_tune(struct cuda *s, struct matmul_plan *p, const struct matmul_call *call);

#endif
