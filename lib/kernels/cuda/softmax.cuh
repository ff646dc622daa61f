// A softmax that runs along with a product, for attention and the classifiers of small models: 32 rows of a warp
// against what passes by, in the tensor cores' accumulators (lane 4 r + q holds rows r and r + 8 of two groups of
// 16); or 16 rows of one.
#ifndef TACIT_KERNELS_CUDA_SOFTMAX_CUH
#define TACIT_KERNELS_CUDA_SOFTMAX_CUH

#include "ptx.cuh"

#include <math.h>

template <int M, int N> __device__ __forceinline__ void clear(float (&c)[M][N][4]) {
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int n = 0; n < N; n++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                c[m][n][e] = 0;
}

// What has passed by of 16 M rows. A weight is 2^(score scale - reference).
template <int N, int M = 2> struct running_softmax {
    float sum[M][N][4];    // of the weights times what they weigh, 8 N columns
    float weight[M][2];    // this lane's share of the weights' sum
    float reference[M][2]; // in powers of two
};

template <int N, int M> __device__ __forceinline__ void start(running_softmax<N, M> &r, float reference) {
    clear(r.sum);
#pragma unroll
    for (int i = 0; i < 2 * M; i++) {
        r.weight[i / 2][i % 2] = 0;
        r.reference[i / 2][i % 2] = reference;
    }
}

// A reference is moved, and everything summed rescaled, only when a score exceeds it by this many powers of two:
// until then weights reach 2^8, which neither bfloat16 nor the sums mind.
#define SOFTMAX_SLACK 8.0f

// To be called before 8 K columns of scores are weighed: whether references must move, for the whole warp. They
// do at the first columns, and rarely after them.
template <int N, int M, int K>
__device__ __forceinline__ bool exceeds(float (&largest)[M][2], const running_softmax<N, M> &r,
                                        const float (&s)[M][K][4], float scale) {
    bool far = false;
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float x = fmaxf(s[m][0][2 * half], s[m][0][2 * half + 1]);
#pragma unroll
            for (int n = 1; n < K; n++)
                x = fmaxf(x, fmaxf(s[m][n][2 * half], s[m][n][2 * half + 1]));
            largest[m][half] = x;
            far |= fmaf(x, scale, -r.reference[m][half]) > SOFTMAX_SLACK;
        }
    return __ballot_sync(0xffffffffu, far) != 0;
}

// Move them to the largest scores; the weights' sums follow, and `factor` is what the other sums have to.
template <int N, int M>
__device__ __forceinline__ void move_references(float (&factor)[M][2], running_softmax<N, M> &r,
                                                const float (&largest)[M][2], float scale) {
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float x = largest[m][half];
            x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
            x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
            float reference = fmaxf(r.reference[m][half], x * scale);
            factor[m][half] = exp2_fast(r.reference[m][half] - reference); // 0 at the first scores
            r.reference[m][half] = reference;
            r.weight[m][half] *= factor[m][half];
        }
}

template <int N, int M>
__device__ __forceinline__ void rescale(running_softmax<N, M> &r, const float (&factor)[M][2]) {
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int n = 0; n < N; n++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                r.sum[m][n][e] *= factor[m][e / 2];
}

template <int N, int M, int K>
__device__ __forceinline__ void follow_scores(running_softmax<N, M> &r, const float (&s)[M][K][4], float scale) {
    float largest[M][2], factor[M][2];
    if (exceeds(largest, r, s, scale)) {
        move_references(factor, r, largest, scale);
        rescale(r, factor);
    }
}

#endif
