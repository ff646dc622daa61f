// A softmax that runs along with a product, for attention and the classifiers of small models: 32 rows of a warp
// against what passes by, in the tensor cores' accumulators (lane 4 r + q holds rows r and r + 8 of two groups of
// 16).
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

// What has passed by of 32 rows. A weight is 2^(score scale - reference).
template <int N> struct running_softmax {
    float sum[2][N][4];    // of the weights times what they weigh, 8 N columns
    float weight[2][2];    // this lane's share of the weights' sum
    float reference[2][2]; // in powers of two
};

template <int N> __device__ __forceinline__ void start(running_softmax<N> &r, float reference) {
    clear(r.sum);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        r.weight[i / 2][i % 2] = 0;
        r.reference[i / 2][i % 2] = reference;
    }
}

// A reference is moved, and everything summed rescaled, only when a score exceeds it by this many powers of two:
// until then weights reach 2^8, which neither bfloat16 nor the sums mind.
#define SOFTMAX_SLACK 8.0f

template <int N>
__device__ __forceinline__ void move_references(running_softmax<N> &r, const float (&largest)[2][2], float scale) {
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float x = largest[m][half];
            x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
            x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
            float reference = fmaxf(r.reference[m][half], x * scale);
            float factor = exp2_fast(r.reference[m][half] - reference); // 0 at the first scores
            r.reference[m][half] = reference;
            r.weight[m][half] *= factor;
#pragma unroll
            for (int n = 0; n < N; n++) {
                r.sum[m][n][2 * half] *= factor;
                r.sum[m][n][2 * half + 1] *= factor;
            }
        }
}

// To be called before 32 columns of scores are weighed. References move at the first ones, rarely after them.
template <int N>
__device__ __forceinline__ void follow_scores(running_softmax<N> &r, const float (&s)[2][4][4], float scale) {
    float largest[2][2];
    bool far = false;
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float x = fmaxf(s[m][0][2 * half], s[m][0][2 * half + 1]);
#pragma unroll
            for (int n = 1; n < 4; n++)
                x = fmaxf(x, fmaxf(s[m][n][2 * half], s[m][n][2 * half + 1]));
            largest[m][half] = x;
            far |= fmaf(x, scale, -r.reference[m][half]) > SOFTMAX_SLACK;
        }
    if (__ballot_sync(0xffffffffu, far))
        move_references(r, largest, scale);
}

#endif
