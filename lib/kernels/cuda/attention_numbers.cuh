// In front of attention's backward pass: what it needs of each query, and the table of the rotary positions.
#ifndef TACIT_KERNELS_CUDA_ATTENTION_NUMBERS_CUH
#define TACIT_KERNELS_CUDA_ATTENTION_NUMBERS_CUH

#include "attention.cuh"

enum { NUMBERS_THREADS = 256 };

// LANES neighbouring threads a row of a head, 8 elements each. Floor: out and dout read once. Deterministic: a
// row's sum has one tree. The first threads make the table of the rotary positions too, 4 pairs each.
template <typename T, int LANES>
__global__ void __launch_bounds__(NUMBERS_THREADS)
    attention_numbers(query_numbers *numbers, const T *out, const T *dout, const float *lse, attention_sizes z,
                      int padded, float unit, float *turns, int turned, int size,
                      const __grid_constant__ half_turns angles) {
    const unsigned index = blockIdx.x * (NUMBERS_THREADS / LANES) + threadIdx.x / LANES; // [G B][padded][A]
    const int column = (int)threadIdx.x % LANES * 8, head = (int)(index % (unsigned)z.heads);
    const int row = (int)(index / (unsigned)z.heads % (unsigned)padded);
    const int64_t sequence = index / (unsigned)z.heads / (unsigned)padded;
    float sum = 0;
    const unsigned thread = blockIdx.x * NUMBERS_THREADS + threadIdx.x, fours = (unsigned)size / 8;
    if (thread < (unsigned)turned)
#pragma unroll 1
        for (unsigned i = 0; i < 4; i++) {
            float turn[2];
            sine_cosine_at((int)(thread / fours), angles.of_pair[thread % fours * 4 + i], &turn[1], &turn[0]);
            store<float, 2>(turns + 8 * (int64_t)thread + 2 * i, turn);
        }
    if (sequence < z.sequences && row < z.length && column < z.size) {
        const int64_t at = ((sequence * z.length + row) * z.heads + head) * z.size + column;
        constexpr int piece = elements_of_16<T>;
#pragma unroll
        for (int i = 0; i < 8; i += piece) {
            float x[piece], y[piece];
            load<T, piece>(x, out + at + i);
            load<T, piece>(y, dout + at + i);
#pragma unroll
            for (int j = 0; j < piece; j++)
                sum = fmaf(x[j], y[j], sum);
        }
    }
#pragma unroll
    for (int mask = LANES / 2; mask > 0; mask /= 2)
        sum += __shfl_xor_sync(0xffffffffu, sum, mask);
    if (sequence < z.sequences && column == 0) {
        query_numbers n = {INFINITY, 0};
        if (row < z.length)
            n = {lse[(sequence * z.heads + head) * z.length + row] * unit, sum};
        numbers[(sequence * z.heads + head) * padded + row] = n;
    }
}

#endif
