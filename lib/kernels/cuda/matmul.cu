// Products, all of them cuBLASLt's: bfloat16 (or float32, never TF32) in, float32 sums, one fused step behind.
//
// A plan (descriptors and algorithm) is made when a shape first comes, from cuBLASLt's heuristics or the table of
// `make tune`, and kept: the heuristics are a function of the shape, nothing is timed in a run, and a step makes
// no plan, so that steps can be recorded. Floor of m x n x k: 2 m n k FLOPs at the rate of the tensor cores, or
// the bytes of A, B and C where k or n are small.
//
// Determinism: an algorithm has one order of sums (split sums are added in order; where C is bfloat16, split sums
// that would be rounded to it on the way are excluded). Models in one call are a strided batch. In float32 they
// run one by one with the plan of one model, so that each has the bytes of a call of its own; in bfloat16 the
// batch has an algorithm of its own, and agrees within rounding.
//
// GELU: `slope` keeps the product z itself, in the compute dtype. By default it is fused in bfloat16: apart, the
// step moves 4 bytes an element more forward (z in, y out) and 6 more backward, which at 3 TB/s and 700 TFLOP/s is
// as long as 470 and 700 of the product's inner dimension (a third to a half of the product at H = 1024), while
// the epilogue's arithmetic is some 20 instructions beside 2 H FLOPs. The table turns it off for a shape where
// measurement disagrees; shapes whose rows of z are not 16-byte aligned, and float32, take the step apart.
#include "matmul.cuh"

#include <stdlib.h>
#include <string.h>

// ---- keys ----

// Bytes to which all rows of an operand, of all models, are aligned, as far as kernels care.
static uint8_t alignment(const void *p, int64_t ld, int64_t stride, int64_t element) {
    uintptr_t bits = (uintptr_t)p | (uintptr_t)(ld * element) | (uintptr_t)(stride * element) | 16;
    return (uint8_t)(bits & -bits);
}

static struct matmul_key key_of(const struct cuda *s, const struct matmul_call *call) {
    const struct cuda_product *q = &call->product;
    struct matmul_key key;
    int64_t size = (int64_t)cuda_element(s);
    memset(&key, 0, sizeof key);
    key.m = q->m;
    key.n = q->n;
    key.k = q->k;
    key.count = q->count;
    key.lda = q->lda;
    key.ldb = q->ldb;
    key.ldc = q->ldc;
    if (q->count > 1) {
        key.stride_a = q->stride_a;
        key.stride_b = q->stride_b;
        key.stride_c = q->stride_c;
    }
    key.a_transposed = q->a_transposed;
    key.b_transposed = q->b_transposed;
    key.half_in = s->half;
    key.half_out = s->half && !q->float_out;
    key.add = q->add;
    key.epilogue = (uint8_t)call->epilogue;
    key.align_a = alignment(call->a, q->lda, key.stride_a, size);
    key.align_b = alignment(call->b, q->ldb, key.stride_b, size);
    key.align_c = alignment(call->c, q->ldc, key.stride_c, q->float_out ? 4 : size);
    key.align_kept = call->kept ? alignment(call->kept, q->ldc, key.stride_c, size) : 16;
    return key;
}

static unsigned hash_of(const struct matmul_key *key) {
    const unsigned char *bytes = (const unsigned char *)key;
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < sizeof *key; i++)
        hash = (hash ^ bytes[i]) * 16777619u;
    return (hash ^ hash >> 16) % MATMUL_BUCKETS;
}

// ---- plans ----

template <typename T> static bool set(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t what, T value) {
    return cublasLtMatmulDescSetAttribute(d, what, &value, sizeof value) == CUBLAS_STATUS_SUCCESS;
}

// A matrix that is stored [rows, columns] row-major, ld elements between rows, is columns x rows to cuBLASLt.
static bool describe_layout(cublasLtMatrixLayout_t layout, bool half, int rows, int columns, int64_t ld, int count,
                            int64_t stride) {
    int32_t batches = count;
    return cublasLtMatrixLayoutInit(layout, half ? CUDA_R_16BF : CUDA_R_32F, (uint64_t)columns, (uint64_t)rows,
                                    ld) == CUBLAS_STATUS_SUCCESS &&
           (count == 1 || (cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batches,
                                                            sizeof batches) == CUBLAS_STATUS_SUCCESS &&
                           cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                                            &stride, sizeof stride) == CUBLAS_STATUS_SUCCESS));
}

static bool describe_epilogue(struct matmul_plan *p, const void *kept) {
    static const cublasLtEpilogue_t names[] = {CUBLASLT_EPILOGUE_DEFAULT, CUBLASLT_EPILOGUE_GELU,
                                               CUBLASLT_EPILOGUE_GELU_AUX, CUBLASLT_EPILOGUE_DGELU};
    const struct matmul_key *k = &p->key;
    cublasLtMatmulDesc_t d = &p->operation;
    if (k->epilogue == EPILOGUE_NONE)
        return true;
    if (!set(d, CUBLASLT_MATMUL_DESC_EPILOGUE, names[k->epilogue]))
        return false;
    return k->epilogue == EPILOGUE_GELU ||
           (set(d, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, k->ldc) &&
            set(d, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, kept) &&
            (k->count == 1 || set(d, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE, k->stride_c)));
}

// C = A B row-major is C^T = B^T A^T in cuBLASLt's columns: its first operand is our B.
static bool describe(struct matmul_plan *p, const void *kept) {
    const struct matmul_key *k = &p->key;
    cublasLtMatmulDesc_t d = &p->operation;
    bool half_in = k->half_in, half_out = k->half_out;
    return cublasLtMatmulDescInit(d, CUBLAS_COMPUTE_32F, CUDA_R_32F) == CUBLAS_STATUS_SUCCESS &&
           set(d, CUBLASLT_MATMUL_DESC_TRANSA, k->b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N) &&
           set(d, CUBLASLT_MATMUL_DESC_TRANSB, k->a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N) &&
           describe_epilogue(p, kept) &&
           describe_layout(&p->a, half_in, k->b_transposed ? k->n : k->k, k->b_transposed ? k->k : k->n, k->ldb,
                           k->count, k->stride_b) &&
           describe_layout(&p->b, half_in, k->a_transposed ? k->k : k->m, k->a_transposed ? k->m : k->k, k->lda,
                           k->count, k->stride_a) &&
           describe_layout(&p->c, half_out, k->m, k->n, k->ldc, k->count, k->stride_c);
}

template <typename T>
static bool prefer(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t what, T value) {
    return cublasLtMatmulPreferenceSetAttribute(preference, what, &value, sizeof value) == CUBLAS_STATUS_SUCCESS;
}

// The heuristics' algorithms, best first; how many there are.
int matmul_candidates(struct cuda *s, struct matmul_plan *p, cublasLtMatmulHeuristicResult_t *all, int most) {
    cublasLtMatmulPreferenceOpaque_t preference;
    const struct matmul_key *k = &p->key;
    uint64_t workspace = MATMUL_WORKSPACE;
    uint32_t a = k->align_b, b = k->align_a, c = k->align_c;
    uint32_t sums = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE; // split sums stay float32
    int found = 0, good = 0;
    bool set_up = cublasLtMatmulPreferenceInit(&preference) == CUBLAS_STATUS_SUCCESS &&
                  prefer(&preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace) &&
                  prefer(&preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, a) &&
                  prefer(&preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, b) &&
                  prefer(&preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, c) &&
                  prefer(&preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, c) &&
                  (!k->half_out || prefer(&preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, sums));
    if (!set_up || cublasLtMatmulAlgoGetHeuristic(s->products, &p->operation, &p->a, &p->b, &p->c, &p->c,
                                                  &preference, most, all, &found) != CUBLAS_STATUS_SUCCESS)
        return 0;
    for (int i = 0; i < found; i++)
        if (all[i].state == CUBLAS_STATUS_SUCCESS && all[i].workspaceSize <= MATMUL_WORKSPACE)
            all[good++] = all[i];
    return good;
}

// Epilogues that cuBLASLt cannot be asked for: rows of z must be 16-byte aligned, and float32 stays float32.
static bool can_fuse(const struct matmul_key *k) {
    return k->epilogue == EPILOGUE_NONE || (k->half_out && !k->add && k->align_c == 16 && k->align_kept == 16);
}

static void plan_make(struct cuda *s, struct matmul_plan *p, const struct matmul_call *call) {
    cublasLtMatmulHeuristicResult_t best;
    if (!can_fuse(&p->key) || !describe(p, call->kept))
        p->refused = true;
    else if (s->matmuls->tuning)
        matmul_tune(s, p, call);
    else if (matmul_table_find(s, p))
        return;
    else if (matmul_candidates(s, p, &best, 1) == 1)
        p->algorithm = best.algo;
    else
        p->refused = true;
}

struct matmul_plan *matmul_plan_get(struct cuda *s, const struct matmul_call *call) {
    struct matmul_key key = key_of(s, call);
    struct matmul_plan **bucket = &s->matmuls->plans[hash_of(&key)];
    for (struct matmul_plan *p = *bucket; p; p = p->next)
        if (memcmp(&p->key, &key, sizeof key) == 0)
            return p;
    struct matmul_plan *p = (struct matmul_plan *)calloc(1, sizeof *p);
    if (!p) {
        cuda_fail(s, "out of memory: %zu bytes", sizeof *p);
        return NULL;
    }
    p->key = key;
    plan_make(s, p, call);
    p->next = *bucket;
    *bucket = p;
    return p;
}

// ---- running ----

static void refuse(struct cuda *s, const struct matmul_key *k, const char *why) {
    char product[MATMUL_KEY_TEXT];
    matmul_describe(k, product);
    cuda_fail(s, "device 'cuda:%d': cuBLASLt %zu refuses the product %s: %s", s->index, cublasLtGetVersion(),
              product, why);
}

bool matmul_launch(struct cuda *s, struct matmul_plan *p, const struct matmul_call *call) {
    const float alpha = 1, beta = p->key.add ? 1 : 0;
    if (p->refused)
        return false;
    if (call->kept && !set(&p->operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, (const void *)call->kept))
        return false;
    cublasStatus_t status =
        cublasLtMatmul(s->products, &p->operation, &alpha, call->b, &p->a, call->a, &p->b, &beta, call->c, &p->c,
                       call->c, &p->c, &p->algorithm, s->matmuls->workspace, MATMUL_WORKSPACE, s->stream);
    if (status != CUBLAS_STATUS_SUCCESS)
        refuse(s, &p->key, cublasLtGetStatusString(status));
    return true;
}

static const void *moved(const void *p, int64_t elements, size_t size) {
    return p ? (const char *)p + elements * (int64_t)size : NULL;
}

static void run_call(struct cuda *s, const struct matmul_call *call);

// Model by model, with the plan of one.
static void run_each(struct cuda *s, const struct matmul_call *call) {
    const struct cuda_product *q = &call->product;
    size_t size = cuda_element(s);
    for (int g = 0; g < q->count; g++) {
        struct matmul_call one = *call;
        one.product.count = 1;
        one.a = moved(call->a, g * q->stride_a, size);
        one.b = moved(call->b, g * q->stride_b, size);
        one.c = (void *)moved(call->c, g * q->stride_c, q->float_out ? 4 : size);
        one.kept = (void *)moved(call->kept, g * q->stride_c, size);
        run_call(s, &one);
    }
}

// There is no batch of some products whose single ones there are.
static void run_plain(struct cuda *s, const struct matmul_call *call) {
    struct matmul_plan *p = matmul_plan_get(s, call);
    if (!p || matmul_launch(s, p, call))
        return;
    if (call->product.count > 1)
        run_each(s, call);
    else
        refuse(s, &p->key, "it has no algorithm for it");
}

void matmul_run_apart(struct cuda *s, const struct matmul_call *call) {
    const struct cuda_product *q = &call->product;
    size_t n = (size_t)q->count * (size_t)q->m * (size_t)q->n; // C is dense where there is an epilogue
    struct matmul_call plain = *call;
    plain.epilogue = EPILOGUE_NONE;
    plain.kept = NULL;
    if (call->epilogue == EPILOGUE_GELU_KEEP)
        plain.c = call->kept;
    run_plain(s, &plain);
    if (call->epilogue == EPILOGUE_GELU_SLOPE)
        cuda_gelu_backward(s, call->c, call->kept, n);
    else if (call->epilogue != EPILOGUE_NONE)
        cuda_gelu_forward(s, call->c, plain.c, n);
}

static void run_call(struct cuda *s, const struct matmul_call *call) {
    if (s->failure != 0)
        return;
    if (call->epilogue == EPILOGUE_NONE) {
        run_plain(s, call);
        return;
    }
    struct matmul_plan *p = matmul_plan_get(s, call);
    if (p && !matmul_launch(s, p, call))
        matmul_run_apart(s, call);
}

static void run(struct cuda *s, const struct matmul_call *call) {
    const struct cuda_product *q = &call->product;
    if (q->m == 0 || q->n == 0 || q->k == 0 || q->count == 0)
        return;
    if (s->half || q->count == 1)
        run_call(s, call);
    else
        run_each(s, call);
}

void cuda_product_run(struct cuda *s, const struct cuda_product *product, void *c, const void *a, const void *b) {
    struct matmul_call call = {};
    call.product = *product;
    call.c = c;
    call.a = a;
    call.b = b;
    run(s, &call);
}

// ---- the operations ----

// y = x w^T
void cuda_matmul_forward(struct device *d, const struct kernel_models *m, dptr y, dptr slope, dptr x, dptr w,
                         enum kernel_activation act, int rows, int in, int out) {
    struct matmul_call call = {};
    struct cuda_product *q = &call.product;
    q->m = rows, q->n = out, q->k = in, q->count = m->count;
    q->b_transposed = true;
    q->lda = in, q->ldb = in, q->ldc = out;
    q->stride_a = (int64_t)rows * in, q->stride_b = (int64_t)m->stride, q->stride_c = (int64_t)rows * out;
    if (act == ACTIVATION_GELU)
        call.epilogue = slope ? EPILOGUE_GELU_KEEP : EPILOGUE_GELU;
    call.c = y, call.a = x, call.b = w;
    call.kept = act == ACTIVATION_GELU ? slope : NULL;
    run(cuda_of(d), &call);
}

// dx = dy w, times gelu'(slope)
void cuda_matmul_backward_input(struct device *d, const struct kernel_models *m, dptr dx, dptr dy, dptr w,
                                dptr slope, int rows, int in, int out) {
    struct matmul_call call = {};
    struct cuda_product *q = &call.product;
    q->m = rows, q->n = in, q->k = out, q->count = m->count;
    q->lda = out, q->ldb = in, q->ldc = in;
    q->stride_a = (int64_t)rows * out, q->stride_b = (int64_t)m->stride, q->stride_c = (int64_t)rows * in;
    call.epilogue = slope ? EPILOGUE_GELU_SLOPE : EPILOGUE_NONE;
    call.c = dx, call.a = dy, call.b = w, call.kept = slope;
    run(cuda_of(d), &call);
}

// dw += dy^T x
void cuda_matmul_backward_weight(struct device *d, const struct kernel_models *m, dptr dw, dptr dy, dptr x,
                                 int rows, int in, int out) {
    struct matmul_call call = {};
    struct cuda_product *q = &call.product;
    q->m = out, q->n = in, q->k = rows, q->count = m->count;
    q->a_transposed = true, q->float_out = true, q->add = true;
    q->lda = out, q->ldb = in, q->ldc = in;
    q->stride_a = (int64_t)rows * out, q->stride_b = (int64_t)rows * in, q->stride_c = (int64_t)m->stride;
    call.c = dw, call.a = dy, call.b = x;
    run(cuda_of(d), &call);
}

// ---- opening ----

size_t cuda_matmul_workspace(void) {
    return MATMUL_WORKSPACE;
}

int cuda_matmul_open(struct cuda *s) {
    s->matmuls = (struct matmul_cache *)calloc(1, sizeof *s->matmuls);
    if (!s->matmuls)
        return error_set(ERROR_SYSTEM, "out of memory: %zu bytes", sizeof *s->matmuls);
    int code = cuda_memory_new(s, MATMUL_WORKSPACE, &s->matmuls->workspace);
    return code == OK ? matmul_table_open(s) : code;
}

void cuda_matmul_close(struct cuda *s) {
    if (!s->matmuls)
        return;
    for (int i = 0; i < MATMUL_BUCKETS; i++)
        for (struct matmul_plan *p = s->matmuls->plans[i], *next; p; p = next) {
            next = p->next;
            free(p);
        }
    matmul_table_close(s->matmuls);
    cuda_memory_free(s, s->matmuls->workspace);
    free(s->matmuls);
    s->matmuls = NULL;
}
