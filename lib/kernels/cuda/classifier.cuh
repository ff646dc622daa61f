// What the classifiers of small models share (classifier_score.cu, classifier_train.cu): scores of 32 rows of a
// warp against rows that pass by in tiles of 64, on the tensor cores, from bfloat16 in shared memory.
#ifndef TACIT_KERNELS_CUDA_CLASSIFIER_CUH
#define TACIT_KERNELS_CUDA_CLASSIFIER_CUH

#include "cuda.cuh"
#include "softmax.cuh"

enum {
    SMALL_THREADS = 128,
    SMALL_ROWS = 128, // of a block, 32 a warp
    SMALL_TILE = 64,  // rows that pass by together
};

#define LEAST_LOGIT -2e38f // less than any logit that means something; -Inf would make NaN of the first difference

// Elements between rows in shared memory: 16 bytes more than the row, so that the 8 rows of a block of ldmatrix
// lie in different banks. STEPS = ceil(H / 16) (or more: zeros).
template <int STEPS> constexpr int pitch = STEPS * 16 + 8;

// Rows [first, first + COUNT) of a [rows, hidden] matrix; zeros behind its last row and column.
template <int STEPS, int COUNT>
__device__ __forceinline__ void copy_rows(bf16 *shared, const bf16 *matrix, uint32_t first, uint32_t rows,
                                          uint32_t hidden) {
#pragma unroll
    for (int k = 0; k < COUNT * STEPS * 2 / SMALL_THREADS; k++) {
        uint32_t i = (uint32_t)thread_anew() + k * SMALL_THREADS, row = i / (STEPS * 2),
                 column = i % (STEPS * 2) * 8;
        bool valid = first + row < rows && column < hidden;
        copy_async_16(shared + row * pitch<STEPS> + column,
                      valid ? matrix + (size_t)(first + row) * hidden + column : matrix, valid);
    }
}

// Columns [16 k, 16 k + 16) of 32 rows, as two A operands
template <int STEPS> __device__ __forceinline__ void load_own(uint32_t (&a)[2][4], const bf16 *rows, int k) {
    uint32_t lane = threadIdx.x % 32;
#pragma unroll
    for (int m = 0; m < 2; m++)
        ldmatrix_x4(a[m], rows + (m * 16 + lane % 16) * pitch<STEPS> + k * 16 + lane / 16 * 8);
}

// z[32 rows][32 passing rows] += their products over 16 columns
template <int STEPS>
__device__ __forceinline__ void add_scores(float (&z)[2][4][4], const uint32_t (&a)[2][4], const bf16 *tile,
                                           int k) {
    uint32_t lane = threadIdx.x % 32, b[2][4];
#pragma unroll
    for (int n = 0; n < 2; n++)
        ldmatrix_x4(b[n], tile + (n * 16 + lane / 16 * 8 + lane % 8) * pitch<STEPS> + k * 16 + lane / 8 % 2 * 8);
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int n = 0; n < 4; n++)
            mma_16x8x16(z[m][n], a[m], b[n / 2] + n % 2 * 2);
}

#endif
