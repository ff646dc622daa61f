// Attention in float32, without tensor cores: for checking the models against a CPU, not for speed.
//
// A block has 16 I rows (queries or keys) against tiles of 32 that pass by, with 128 threads.
// Thread 8 y + x computes rows y + 16 i (i < I) against passing rows x + 8 j (j < 4), and of the results that it
// accumulates columns x + 8 j. Rows take D + 4 floats: 16-byte reads of eight rows touch all banks once. A head
// that is smaller than D has its halves at columns 0 and D / 2, as in attention.cuh.
#ifndef TACIT_KERNELS_CUDA_ATTENTION_FLOAT_CUH
#define TACIT_KERNELS_CUDA_ATTENTION_FLOAT_CUH

#include "attention.cuh"

enum { FLOAT_ROWS = 64, FLOAT_PASSING = 32, FLOAT_THREADS = 128, FLOAT_WEIGHTS = FLOAT_PASSING + 4 };
// Backward, a block has two tiles of rows: shorter ones where any chip's shared memory is to hold them.
template <int D> constexpr int backward_rows = D > 96 ? FLOAT_ROWS / 2 : FLOAT_ROWS;

template <int D, int COUNT>
__device__ __forceinline__ void float_rows(float *to, const float *from, int stride, int rows,
                                           const attention_sizes &z) {
    for (int i = (int)threadIdx.x; i < COUNT * (D / 4); i += FLOAT_THREADS) {
        const int row = i / (D / 4), column = i % (D / 4) * 4;
        const tile_column at = column_of<D>(column, z);
        elements<float, 4> e = {};
        if (row < rows && at.inside)
            e = *(const elements<float, 4> *)(from + row * stride + at.element);
        *(elements<float, 4> *)(to + row * (D + 4) + column) = e;
    }
}

// c[i][j] = row y + 16 i of a times row x + 8 j of b
template <int D, int I>
__device__ __forceinline__ void float_scores(float (&c)[I][4], const float *a, const float *b, int x, int y) {
#pragma unroll
    for (int i = 0; i < I; i++)
#pragma unroll
        for (int j = 0; j < 4; j++)
            c[i][j] = 0;
#pragma unroll 1
    for (int d = 0; d < D; d += 4) {
        float u[I][4], v[4][4];
#pragma unroll
        for (int i = 0; i < I; i++)
            load<float, 4>(u[i], a + (y + 16 * i) * (D + 4) + d);
#pragma unroll
        for (int j = 0; j < 4; j++)
            load<float, 4>(v[j], b + (x + 8 * j) * (D + 4) + d);
#pragma unroll
        for (int i = 0; i < I; i++)
#pragma unroll
            for (int j = 0; j < 4; j++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    c[i][j] = fmaf(u[i][e], v[j][e], c[i][j]);
    }
}

// Weights of rows y + 16 i to shared memory; their readers are in the same warp.
template <int I> __device__ __forceinline__ void float_weights(float *to, const float (&c)[I][4], int x, int y) {
#pragma unroll
    for (int i = 0; i < I; i++)
#pragma unroll
        for (int j = 0; j < 4; j++)
            to[(y + 16 * i) * FLOAT_WEIGHTS + x + 8 * j] = c[i][j];
}

// sum[i][j] += weights of row y + 16 i times column x + 8 j of the passing rows
template <int D, int I>
__device__ __forceinline__ void float_accumulate(float (&sum)[I][D / 8], const float *weights, const float *b,
                                                 int x, int y) {
#pragma unroll 1
    for (int k = 0; k < FLOAT_PASSING; k += 4) {
        float w[I][4];
#pragma unroll
        for (int i = 0; i < I; i++)
            load<float, 4>(w[i], weights + (y + 16 * i) * FLOAT_WEIGHTS + k);
#pragma unroll
        for (int e = 0; e < 4; e++)
#pragma unroll
            for (int j = 0; j < D / 8; j++) {
                float v = b[(k + e) * (D + 4) + x + 8 * j];
#pragma unroll
                for (int i = 0; i < I; i++)
                    sum[i][j] = fmaf(w[i][e], v, sum[i][j]);
            }
    }
}

template <int D, int I>
__device__ __forceinline__ void float_write(float *to, int stride, int rows, const attention_sizes &z,
                                            const float (&sum)[I][D / 8], const float (&factor)[I], int x, int y) {
#pragma unroll
    for (int i = 0; i < I; i++)
#pragma unroll
        for (int j = 0; j < D / 8; j++) {
            const tile_column at = column_of<D>(x + 8 * j, z);
            if (y + 16 * i < rows && at.inside)
                to[(y + 16 * i) * stride + at.element] = sum[i][j] * factor[i];
        }
}

// Turn sums back, as turn_back in attention.cuh; `turns`: the angles of the block's first row.
template <int D, int I>
__device__ __forceinline__ void float_turn_back(float (&sum)[I][D / 8], const float *turns, int x, int y) {
#pragma unroll
    for (int i = 0; i < I; i++)
#pragma unroll
        for (int j = 0; j < (D == 8 ? 1 : D / 16); j++) {
            float turn[2];
            load<float, 2>(turn, turns + (y + 16 * i) * D + 2 * (D == 8 ? x & 3 : x + 8 * j));
            float &a = sum[i][j];
            if constexpr (D == 8) {
                const float b = __shfl_xor_sync(0xffffffffu, a, 4);
                a = a * turn[0] + (x & 4 ? -b : b) * turn[1];
            } else {
                float &b = sum[i][j + D / 16];
                const float turned = a * turn[0] + b * turn[1];
                b = b * turn[0] - a * turn[1];
                a = turned;
            }
        }
}

// The same in float32 without tensor cores: 64 queries of one head a block, 32 keys at a time (attention.cuh has
// the threads' layout). Floor: 2 D fused multiply-adds per pair at the float32 rate. Deterministic: keys in order,
// one thread per sum.
template <int D>
__global__ void __launch_bounds__(FLOAT_THREADS, 2)
    forward_float(float *out, float *lse, const float *qkv, attention_sizes z) {
    const int x = (int)threadIdx.x % 8, y = (int)threadIdx.x / 8;
    const int tiles = (z.length + FLOAT_ROWS - 1) / FLOAT_ROWS;
    const int first = (tiles - 1 - (int)(blockIdx.x % (unsigned)tiles)) * FLOAT_ROWS;
    const int sequence = (int)(blockIdx.x / (unsigned)tiles) / z.heads;
    const int head = (int)(blockIdx.x / (unsigned)tiles) % z.heads, kv = head / z.group;
    const float *keys = qkv + key_offset(z, sequence, 0, kv);
    const float *values = keys + z.values;
    float *query_tile = (float *)shared_memory, *key_tile = query_tile + FLOAT_ROWS * (D + 4);
    float *value_tile = key_tile + FLOAT_PASSING * (D + 4);
    float *weights = value_tile + FLOAT_PASSING * (D + 4);
    float sum[4][D / 8] = {}, total[4] = {}, most[4] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
    float_rows<D, FLOAT_ROWS>(query_tile, qkv + query_offset(z, sequence, first, head), z.width, z.length - first,
                              z);
    const int last = min(first + FLOAT_ROWS, z.length);
    for (int key = 0; key < last; key += FLOAT_PASSING) {
        __syncthreads();
        float_rows<D, FLOAT_PASSING>(key_tile, keys + (int64_t)key * z.width, z.width, z.length - key, z);
        float_rows<D, FLOAT_PASSING>(value_tile, values + (int64_t)key * z.width, z.width, z.length - key, z);
        __syncthreads();
        float s[4][4];
        float_scores<D>(s, query_tile, key_tile, x, y);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float highest = most[i];
#pragma unroll
            for (int j = 0; j < 4; j++) {
                s[i][j] = key + x + 8 * j <= first + y + 16 * i ? s[i][j] * z.scale : -INFINITY;
                highest = fmaxf(highest, s[i][j]);
            }
#pragma unroll
            for (int mask = 1; mask < 8; mask *= 2)
                highest = fmaxf(highest, __shfl_xor_sync(0xffffffffu, highest, mask));
            float factor = expf(most[i] - highest); // finite: all rows see key 0
            most[i] = highest;
            total[i] *= factor;
#pragma unroll
            for (int j = 0; j < 4; j++) {
                s[i][j] = expf(s[i][j] - highest);
                total[i] += s[i][j];
            }
#pragma unroll
            for (int j = 0; j < D / 8; j++)
                sum[i][j] *= factor;
        }
        float_weights(weights, s, x, y);
        __syncwarp();
        float_accumulate<D>(sum, weights, value_tile, x, y);
    }
    float inverse[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
#pragma unroll
        for (int mask = 1; mask < 8; mask *= 2)
            total[i] += __shfl_xor_sync(0xffffffffu, total[i], mask);
        inverse[i] = 1 / total[i];
        if (lse && x == 0 && first + y + 16 * i < z.length)
            lse[((int64_t)sequence * z.heads + head) * z.length + first + y + 16 * i] = most[i] + logf(total[i]);
    }
    float_write<D>(out + (((int64_t)sequence * z.length + first) * z.heads + head) * z.size, z.heads * z.size,
                   z.length - first, z, sum, inverse, x, y);
}

// 64 rows a block (32 where D is largest), without tensor cores, as forward_float. KEYS: the rows are keys,
// queries pass by, and the sums are dk and dv; otherwise the rows are queries, keys pass by, and the sum is dq. 7
// products between the two, no memory between them. Deterministic: one thread per sum, passing rows in order.
template <int D, bool KEYS>
__global__ void __launch_bounds__(FLOAT_THREADS, 1)
    backward_float(float *dqkv, const float *dout, const float *qkv, const query_numbers *numbers,
                   const float *turns, attention_sizes z, int padded) {
    // (Read anew: one register less, which the largest head lacks.)
    const int x = thread_anew() % 8, y = thread_anew() / 8;
    constexpr int ROWS = backward_rows<D>, I = ROWS / 16;
    const int tiles = (z.length + ROWS - 1) / ROWS, first = (int)(blockIdx.x % (unsigned)tiles) * ROWS;
    const int index = (int)(blockIdx.x / (unsigned)tiles);
    constexpr int columns = D + 4;
    const int sequence = index / (KEYS ? z.kv_heads : z.heads), own = index % (KEYS ? z.kv_heads : z.heads);
    const int kv = KEYS ? own : own / z.group;
    float *rows = (float *)shared_memory, *rows_2 = rows + ROWS * columns; // q and dout, or k and v
    float *passing = rows_2 + ROWS * columns, *passing_2 = passing + FLOAT_PASSING * columns;
    float *weights = passing_2 + FLOAT_PASSING * columns, *dscores = weights + ROWS * FLOAT_WEIGHTS;
    const float *key_rows = qkv + key_offset(z, sequence, 0, kv);
    const int across = z.heads * z.size;
    float sum[I][D / 8] = {}, sum_2[I][D / 8] = {};
    for (int head = KEYS ? kv * z.group : own; head < (KEYS ? (kv + 1) * z.group : own + 1); head++) {
        const float *query_rows = qkv + query_offset(z, sequence, 0, head);
        const float *dout_rows = dout + ((int64_t)sequence * z.length * z.heads + head) * z.size;
        const query_numbers *of_head = numbers + ((int64_t)sequence * z.heads + head) * padded;
        if (KEYS && head == kv * z.group) {
            float_rows<D, ROWS>(rows, key_rows + (int64_t)first * z.width, z.width, z.length - first, z);
            float_rows<D, ROWS>(rows_2, key_rows + (int64_t)first * z.width + z.values, z.width, z.length - first,
                                z);
        } else if (!KEYS) {
            float_rows<D, ROWS>(rows, query_rows + (int64_t)first * z.width, z.width, z.length - first, z);
            float_rows<D, ROWS>(rows_2, dout_rows + (int64_t)first * across, across, z.length - first, z);
        }
        const int end = KEYS ? z.length : min(first + ROWS, z.length);
        for (int at = KEYS ? first : 0; at < end; at += FLOAT_PASSING) {
            __syncthreads();
            const float *from = KEYS ? query_rows : key_rows, *from_2 = KEYS ? dout_rows : key_rows + z.values;
            const int stride_2 = KEYS ? across : z.width;
            float_rows<D, FLOAT_PASSING>(passing, from + (int64_t)at * z.width, z.width, z.length - at, z);
            float_rows<D, FLOAT_PASSING>(passing_2, from_2 + (int64_t)at * stride_2, stride_2, z.length - at, z);
            __syncthreads();
            float p[I][4], ds[I][4];
            float_scores<D>(p, rows, passing, x, y);
            __syncwarp(); // the products one after the other: registers would not suffice
            float_scores<D>(ds, rows_2, passing_2, x, y);
#pragma unroll
            for (int i = 0; i < I; i++)
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    int row = first + y + 16 * i, other = at + x + 8 * j;
                    int query = KEYS ? other : row, key = KEYS ? row : other;
                    query_numbers n = of_head[query];
                    p[i][j] = key <= query ? expf(fmaf(p[i][j], z.scale, -n.lse)) : 0;
                    ds[i][j] = p[i][j] * (ds[i][j] - n.delta);
                }
            float_weights(dscores, ds, x, y);
            if (KEYS)
                float_weights(weights, p, x, y);
            __syncwarp();
            float_accumulate<D>(sum, dscores, passing, x, y);
            if (KEYS)
                float_accumulate<D>(sum_2, weights, passing_2, x, y);
        }
    }
    float ones[I], scales[I];
#pragma unroll
    for (int i = 0; i < I; i++)
        ones[i] = 1, scales[i] = z.scale;
    if (turns)
        float_turn_back<D>(sum, turns + (int64_t)first * D, x, y);
    float *to = dqkv + (KEYS ? key_offset(z, sequence, first, kv) : query_offset(z, sequence, first, own));
    float_write<D>(to, z.width, z.length - first, z, sum, scales, x, y);
    if (KEYS)
        float_write<D>(to + z.values, z.width, z.length - first, z, sum_2, ones, x, y);
}

#endif
