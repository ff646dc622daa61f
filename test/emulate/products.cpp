// cuBLASLt's products: operands widened to float32, sums of float32 in the order of the inner dimension.
#include "../../lib/kernels/cuda/ptx.cuh"
#include "cublasLt.h"
#include "grid.h"

#include <limits.h>
#include <stdlib.h>
#include <vector>

struct emulate_products {
    int unused;
};

const char *cublasLtGetStatusString(cublasStatus_t status) {
    return status == CUBLAS_STATUS_SUCCESS         ? "success"
           : status == CUBLAS_STATUS_NOT_SUPPORTED ? "not supported"
           : status == CUBLAS_STATUS_INVALID_VALUE ? "invalid value"
                                                   : "failed";
}

const char *cublasGetStatusString(cublasStatus_t status) {
    return cublasLtGetStatusString(status);
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle) {
    *handle = new emulate_products();
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
    delete handle;
    return CUBLAS_STATUS_SUCCESS;
}

size_t cublasLtGetVersion() {
    return 130000;
}

// ---- descriptions ----

cublasStatus_t cublasLtMatrixLayoutInit(cublasLtMatrixLayout_t layout, cudaDataType type, uint64_t rows,
                                        uint64_t columns, int64_t ld) {
    *layout = {};
    layout->type = type;
    layout->rows = rows;
    layout->columns = columns;
    layout->ld = ld;
    layout->batches = 1;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout, cudaDataType type, uint64_t rows,
                                          uint64_t columns, int64_t ld) {
    *layout = new cublasLtMatrixLayoutOpaque_t();
    return cublasLtMatrixLayoutInit(*layout, type, rows, columns, ld);
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
    delete layout;
    return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t take(void *to, size_t size, const void *value, size_t bytes) {
    if (bytes != size)
        return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(to, value, size);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t l, cublasLtMatrixLayoutAttribute_t which,
                                                const void *value, size_t bytes) {
    switch (which) {
    case CUBLASLT_MATRIX_LAYOUT_TYPE:
        return take(&l->type, 4, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_ORDER:
        return take(&l->order, 4, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_ROWS:
        return take(&l->rows, 8, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_COLS:
        return take(&l->columns, 8, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_LD:
        return take(&l->ld, 8, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT:
        return take(&l->batches, 4, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET:
        return take(&l->stride, 8, value, bytes);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulDescInit(cublasLtMatmulDesc_t d, cublasComputeType_t compute, cudaDataType_t scale) {
    *d = {};
    d->compute = compute;
    d->scale = scale;
    d->epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *d, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
    *d = new cublasLtMatmulDescOpaque_t();
    return cublasLtMatmulDescInit(*d, compute, scale);
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d) {
    delete d;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t which,
                                              const void *value, size_t bytes) {
    switch (which) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
        return take(&d->a, 4, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB:
        return take(&d->b, 4, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
        return take(&d->epilogue, 4, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER:
        return take(&d->aux, 8, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD:
        return take(&d->aux_ld, 8, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE:
        return take(&d->aux_stride, 8, value, bytes);
    default:
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
}

// ---- algorithms ----

cublasStatus_t cublasLtMatmulPreferenceInit(cublasLtMatmulPreference_t preference) {
    *preference = {0, {256, 256, 256, 256}};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference) {
    *preference = new cublasLtMatmulPreferenceOpaque_t();
    return cublasLtMatmulPreferenceInit(*preference);
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
    delete preference;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t p,
                                                    cublasLtMatmulPreferenceAttributes_t which, const void *value,
                                                    size_t bytes) {
    uint32_t ignored;
    switch (which) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
        return take(&p->workspace, 8, value, bytes);
    case CUBLASLT_MATMUL_PREF_SEARCH_MODE:
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
        return take(&ignored, 4, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
        return take(&p->alignment[which - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], 4, value, bytes);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}

static bool fits(const cublasLtMatrixLayoutOpaque_t *l, uint64_t rows, uint64_t columns, int batches) {
    return l->rows == rows && l->columns == columns && l->order == CUBLASLT_ORDER_COL && l->ld >= (int64_t)rows &&
           l->batches == batches && (l->type == CUDA_R_32F || l->type == CUDA_R_16BF);
}

// What there is: one type of operands, float32 sums, all batches alike, an epilogue without beta.
static cublasStatus_t check(const cublasLtMatmulDescOpaque_t *d, const cublasLtMatrixLayoutOpaque_t *a,
                            const cublasLtMatrixLayoutOpaque_t *b, const cublasLtMatrixLayoutOpaque_t *c,
                            const cublasLtMatrixLayoutOpaque_t *result) {
    uint64_t m = result->rows, n = result->columns, k = d->a == CUBLAS_OP_N ? a->columns : a->rows;
    int batches = result->batches;
    if (m == 0 || n == 0 || k == 0 || batches < 1 ||
        !fits(a, d->a == CUBLAS_OP_N ? m : k, d->a == CUBLAS_OP_N ? k : m, batches) ||
        !fits(b, d->b == CUBLAS_OP_N ? k : n, d->b == CUBLAS_OP_N ? n : k, batches) || !fits(c, m, n, batches) ||
        !fits(result, m, n, batches))
        return CUBLAS_STATUS_INVALID_VALUE;
    if (d->compute != CUBLAS_COMPUTE_32F || d->scale != CUDA_R_32F || a->type != b->type ||
        c->type != result->type || (a->type == CUDA_R_32F && result->type != CUDA_R_32F))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    switch (d->epilogue) {
    case CUBLASLT_EPILOGUE_DEFAULT:
    case CUBLASLT_EPILOGUE_GELU:
        return CUBLAS_STATUS_SUCCESS;
    case CUBLASLT_EPILOGUE_GELU_AUX:
    case CUBLASLT_EPILOGUE_DGELU:
        if (!d->aux || d->aux_ld < (int64_t)m || d->aux_ld % 8 != 0 || (uintptr_t)d->aux % 16 != 0)
            return CUBLAS_STATUS_INVALID_VALUE;
        return CUBLAS_STATUS_SUCCESS;
    }
    return CUBLAS_STATUS_NOT_SUPPORTED;
}

// There are algorithms for so many matrices at once.
static int most_at_once() {
    const char *text = getenv("EMULATE_BATCH");
    return text && *text ? atoi(text) : INT_MAX;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t d,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t result,
                                              cublasLtMatmulPreference_t preference, int most,
                                              cublasLtMatmulHeuristicResult_t all[], int *found) {
    (void)handle;
    *found = 0;
    cublasStatus_t status = check(d, a, b, c, result);
    if (status != CUBLAS_STATUS_SUCCESS || most < 1)
        return status;
    if (most_at_once() < result->batches)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    all[0] = {};
    for (int i = 0; i < 4; i++)
        all[0].algo.data[4 + i] = preference->alignment[i];
    all[0].wavesCount = 1;
    *found = 1;
    return status;
}

cublasStatus_t cublasLtMatmulAlgoInit(cublasLtHandle_t handle, cublasComputeType_t compute, cudaDataType_t scale,
                                      cudaDataType_t a, cudaDataType_t b, cudaDataType_t c, cudaDataType_t result,
                                      int id, cublasLtMatmulAlgo_t *algorithm) {
    (void)handle, (void)compute, (void)scale, (void)a, (void)b, (void)c, (void)result;
    *algorithm = {};
    return id == 0 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

// The settings of the one algorithm are kept, and mean nothing.
cublasStatus_t cublasLtMatmulAlgoConfigSetAttribute(cublasLtMatmulAlgo_t *algorithm,
                                                    cublasLtMatmulAlgoConfigAttributes_t which, const void *value,
                                                    size_t bytes) {
    return bytes > 4 || which > 7 ? CUBLAS_STATUS_INVALID_VALUE
                                  : take((char *)algorithm->data + 4 * which, bytes, value, bytes);
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t *algorithm,
                                                    cublasLtMatmulAlgoConfigAttributes_t which, void *value,
                                                    size_t bytes, size_t *written) {
    if (bytes > 4)
        return CUBLAS_STATUS_INVALID_VALUE;
    memset(value, 0, bytes);
    if (which <= 7)
        memcpy(value, (const char *)algorithm->data + 4 * which, bytes);
    if (written)
        *written = bytes;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t handle, cublasLtMatmulDesc_t d, cublasLtMatrixLayout_t a,
                                       cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                                       cublasLtMatrixLayout_t result, const cublasLtMatmulAlgo_t *algorithm,
                                       cublasLtMatmulHeuristicResult_t *found) {
    (void)handle;
    *found = {};
    found->algo = *algorithm;
    found->wavesCount = 1;
    return found->state = check(d, a, b, c, result);
}

// ---- products ----

struct product {
    cublasLtMatmulDescOpaque_t d;
    cublasLtMatrixLayoutOpaque_t layout_a, layout_b, layout_c, layout_result;
    const void *a, *b, *c;
    void *result;
    float alpha, beta;
};

static float element(const void *p, int type, int64_t i) {
    return type == CUDA_R_32F ? ((const float *)p)[i] : to_float(((const bf16 *)p)[i]);
}

static void put(void *p, int type, int64_t i, float x) {
    if (type == CUDA_R_32F)
        ((float *)p)[i] = x;
    else
        ((bf16 *)p)[i] = to_bf16(x);
}

static const float gelu_linear = 0.79788456f, gelu_cubic = 0.044715f;

static float gelu(float x) {
    return 0.5f * x * (1 + tanhf(gelu_linear * (x + gelu_cubic * x * x * x)));
}

static float gelu_slope(float x) {
    float t = tanhf(gelu_linear * (x + gelu_cubic * x * x * x));
    return 0.5f * (1 + t) + 0.5f * x * (1 - t * t) * gelu_linear * (1 + 3 * gelu_cubic * x * x);
}

// Columns of a matrix one after the other, or its rows.
static std::vector<float> widen(const void *p, const cublasLtMatrixLayoutOpaque_t *l, int64_t batch,
                                bool by_rows) {
    int64_t rows = (int64_t)l->rows, columns = (int64_t)l->columns, start = batch * l->stride;
    std::vector<float> all((size_t)(rows * columns));
    for (int64_t j = 0; j < columns; j++)
        for (int64_t i = 0; i < rows; i++)
            all[(size_t)(by_rows ? i * columns + j : j * rows + i)] = element(p, l->type, start + j * l->ld + i);
    return all;
}

enum { BLOCK = 64, COLUMNS = 4 };

// sum[c][i] = A[first + i][.] B[.][column + c]; a is [k][m], b is [n][k]
static void sums(float sum[COLUMNS][BLOCK], const float *a, const float *b, int64_t m, int64_t k, int rows,
                 int columns) {
    for (int c = 0; c < COLUMNS; c++)
        for (int i = 0; i < BLOCK; i++)
            sum[c][i] = 0;
    for (int64_t l = 0; l < k; l++) {
        float x[BLOCK] = {0}, y[COLUMNS] = {0};
        memcpy(x, a + l * m, (size_t)rows * sizeof *x);
        for (int c = 0; c < columns; c++)
            y[c] = b[c * k + l];
        for (int c = 0; c < COLUMNS; c++)
            for (int i = 0; i < BLOCK; i++)
                sum[c][i] += x[i] * y[c];
    }
}

static void finish(const product *p, int64_t batch, int64_t i, int64_t j, float sum) {
    const cublasLtMatrixLayoutOpaque_t *c = &p->layout_c, *result = &p->layout_result;
    int64_t aux = batch * p->d.aux_stride + j * p->d.aux_ld + i;
    sum *= p->alpha;
    if (p->beta != 0)
        sum += p->beta * element(p->c, c->type, batch * c->stride + j * c->ld + i);
    if (p->d.epilogue == CUBLASLT_EPILOGUE_GELU_AUX)
        put(p->d.aux, result->type, aux, sum);
    if (p->d.epilogue == CUBLASLT_EPILOGUE_GELU_AUX || p->d.epilogue == CUBLASLT_EPILOGUE_GELU)
        sum = gelu(sum);
    if (p->d.epilogue == CUBLASLT_EPILOGUE_DGELU)
        sum *= gelu_slope(element(p->d.aux, result->type, aux));
    put(p->result, result->type, batch * result->stride + j * result->ld + i, sum);
}

static void run(const product *p) {
    int64_t m = (int64_t)p->layout_result.rows, n = (int64_t)p->layout_result.columns;
    int64_t k = (int64_t)(p->d.a == CUBLAS_OP_N ? p->layout_a.columns : p->layout_a.rows);
    for (int64_t batch = 0; batch < p->layout_result.batches; batch++) {
        std::vector<float> a = widen(p->a, &p->layout_a, batch, p->d.a != CUBLAS_OP_N); // [k][m]
        std::vector<float> b = widen(p->b, &p->layout_b, batch, p->d.b != CUBLAS_OP_N); // [n][k]
        for (int64_t j = 0; j < n; j += COLUMNS)
            for (int64_t i = 0; i < m; i += BLOCK) {
                float sum[COLUMNS][BLOCK];
                int rows = (int)min(m - i, (int64_t)BLOCK), columns = (int)min(n - j, (int64_t)COLUMNS);
                sums(sum, a.data() + i, b.data() + j * k, m, k, rows, columns);
                for (int c = 0; c < columns; c++)
                    for (int r = 0; r < rows; r++)
                        finish(p, batch, i + r, j + c, sum[c][r]);
            }
    }
}

// All of a matrix, from its first element to its last, lies in one block of device memory, aligned as promised.
static bool is_there(const void *p, const cublasLtMatrixLayoutOpaque_t *l, uint64_t alignment) {
    uint64_t size = l->type == CUDA_R_32F ? 4 : 2;
    uint64_t last =
        (uint64_t)(l->batches - 1) * (uint64_t)l->stride + (l->columns - 1) * (uint64_t)l->ld + l->rows;
    uint64_t rows = (uint64_t)l->ld * size;
    return emulate_is_device(p, last * size) && (uintptr_t)p % min(alignment, (uint64_t)16) == 0 &&
           (l->columns == 1 || rows % min(alignment, (uint64_t)16) == 0);
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t d, const void *alpha, const void *a,
                              cublasLtMatrixLayout_t layout_a, const void *b, cublasLtMatrixLayout_t layout_b,
                              const void *beta, const void *c, cublasLtMatrixLayout_t layout_c, void *result,
                              cublasLtMatrixLayout_t layout_result, const cublasLtMatmulAlgo_t *algorithm,
                              void *workspace, size_t workspace_bytes, cudaStream_t stream) {
    cublasStatus_t status = check(d, layout_a, layout_b, layout_c, layout_result);
    if (!handle)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    if (status != CUBLAS_STATUS_SUCCESS)
        return status;
    if (workspace_bytes > 0 && !emulate_is_device(workspace, workspace_bytes))
        return CUBLAS_STATUS_INVALID_VALUE;
    uint64_t alignment[4];
    for (int i = 0; i < 4; i++)
        alignment[i] = algorithm && algorithm->data[4 + i] ? algorithm->data[4 + i] : 1;
    if (!is_there(a, layout_a, alignment[0]) || !is_there(b, layout_b, alignment[1]) ||
        !is_there(c, layout_c, alignment[2]) || !is_there(result, layout_result, alignment[3]))
        return CUBLAS_STATUS_INVALID_VALUE;
    product p = {*d,
                 *layout_a,
                 *layout_b,
                 *layout_c,
                 *layout_result,
                 a,
                 b,
                 c,
                 result,
                 *(const float *)alpha,
                 *(const float *)beta};
    return emulate_issue(stream, EMULATE_PRODUCT, [p] { run(&p); }) == cudaSuccess
               ? CUBLAS_STATUS_SUCCESS
               : CUBLAS_STATUS_EXECUTION_FAILED;
}
