// Shared by attention_forward.cu and attention_backward.cu: sizes, bfloat16 tiles in shared memory, fragments.
//
// A tile is rows of D elements (a head's part of consecutive tokens). In bfloat16 a row takes an odd number of
// 16-byte pieces, so that the eight rows of an ldmatrix lie in eight different groups of banks, whatever D is.
// Kernels exist for D = 8, 16, 32, 64, 96 and 128; a head of another size runs in the next larger one, its tiles
// filled with zeros in shared memory only. D = 8 is no full step of the tensor cores' contraction (16): the upper
// half of those fragments is zero registers.
#ifndef TACIT_KERNELS_CUDA_ATTENTION_CUH
#define TACIT_KERNELS_CUDA_ATTENTION_CUH

#include "cuda.cuh"
#include "ptx.cuh"

#include <math.h>

struct attention_sizes {
    int sequences, length, heads, kv_heads, size; // G B, S, A, K, D of the heads themselves
    int width;                                    // (A + 2 K) D, elements of a row of qkv
    int values;                                   // K D, elements from a key to its value
    float scale, scale_2;                         // 1 / sqrt(D), and log2 e times that
};

static inline struct attention_sizes attention_sizes_of(const struct attention_shape *a, int models) {
    return {models * a->batch,
            a->length,
            a->heads,
            a->kv_heads,
            a->head_size,
            (a->heads + 2 * a->kv_heads) * a->head_size,
            a->kv_heads * a->head_size,
            (float)(1 / sqrt(a->head_size)),
            (float)(M_LOG2E / sqrt(a->head_size))};
}

// Elements of qkv in front of a head's query in a row, and of a key/value head's key.
__device__ __forceinline__ int64_t query_offset(const attention_sizes &z, int sequence, int row, int head) {
    return ((int64_t)sequence * z.length + row) * z.width + head * z.size;
}
__device__ __forceinline__ int64_t key_offset(const attention_sizes &z, int sequence, int row, int kv) {
    return query_offset(z, sequence, row, z.heads + kv);
}

// A number that all lanes of a warp have: now the compiler knows it too and keeps one for the warp.
__device__ __forceinline__ int same_in_warp(int x) {
    return __shfl_sync(0xffffffffu, x, 0);
}

// For each query (lse, delta) as float32 [G B, A, S rounded up to QUERY_TILE], for the backward pass; lse in
// powers of two where weights are taken to that base. Behind the sequence's end lse is infinite and delta 0:
// weights are 0.
struct query_numbers {
    float lse, delta;
};
enum { QUERY_TILE = 64 };

#define LOG2_E 1.4426950408889634f
#define LN_2 0.6931471805599453f

// ---- bfloat16 tiles ----

template <int D> constexpr int row_bytes = (D / 8 | 1) * 16;

// Tiles are named by the bytes in front of them in shared memory: 32 bits, where a pointer takes two registers.

// Start copying ROWS rows of `stride` elements to a tile: a thread takes the same 16-byte piece of every PASS-th
// row. Rows from `rows` on, and elements from `size` on, become zeros.
template <int D, int ROWS, int THREADS>
__device__ __forceinline__ void copy_rows(int tile, const bf16 *from, int stride, int rows, int size) {
    constexpr int PIECES = D / 8, PASS = THREADS / PIECES;
    const unsigned thread = (unsigned)thread_anew();
    const int row = (int)(thread / PIECES), column = (int)(thread % PIECES) * 8;
    const int place = tile + row * row_bytes<D> + column * 2;
    const bool inside = column < size;
    from += row * stride + column;
#pragma unroll
    for (int i = 0; i < ROWS; i += PASS)
        if ((i + PASS <= ROWS || row < ROWS - i) && (THREADS % PIECES == 0 || row < PASS))
            copy_async_16(shared_memory + place + i * row_bytes<D>, from + (int64_t)i * stride,
                          inside && row < rows - i);
}

// Where in a tile a lane points ldmatrix. Rows of the tile are rows of the A operand (m x k), columns of B (n x
// k), rows of B (k x n), or columns of A (k x m).
template <int D> __device__ __forceinline__ int lane_a(int lane) {
    return (lane & 15) * row_bytes<D> + (D == 8 ? 0 : (lane >> 4) * 16);
}
template <int D> __device__ __forceinline__ int lane_b(int lane) {
    return D == 8 ? lane * row_bytes<D> : ((lane & 7) + (lane >> 4) * 8) * row_bytes<D> + ((lane >> 3) & 1) * 16;
}
template <int D> __device__ __forceinline__ int lane_b_rows(int lane) {
    return D == 8 ? lane * row_bytes<D> : (lane & 15) * row_bytes<D> + (lane >> 4) * 16;
}
template <int D> __device__ __forceinline__ int lane_a_columns(int lane) {
    return ((lane & 7) + (lane >> 4) * 8) * row_bytes<D> + ((lane >> 3) & 1) * 16;
}

template <int D> constexpr int steps_of = (D + 15) / 16; // of the contraction over a head

// A fragment of rows 16 m .., elements 16 k ..; `at`: the tile + lane_a
template <int D> __device__ __forceinline__ void load_a(uint32_t (&a)[4], int at, int m, int k) {
    if constexpr (D == 8) {
        ldmatrix_x2(a, shared_memory + at + m * 16 * row_bytes<D>);
        a[2] = a[3] = 0;
    } else {
        ldmatrix_x4(a, shared_memory + at + m * 16 * row_bytes<D> + k * 32);
    }
}

// c[m][n] += a b^T over elements 16 k .. of 8 N rows b; `at`: the tile + lane_b
template <int D, int M, int N>
__device__ __forceinline__ void multiply_rows(float (&c)[M][N][4], const uint32_t (&a)[M][4], int at, int k) {
    constexpr int tiles = D == 8 ? 4 : 2; // that one load brings
#pragma unroll
    for (int n = 0; n < N; n += tiles) {
        uint32_t b[4];
        ldmatrix_x4(b, shared_memory + at + n * 8 * row_bytes<D> + k * 32);
#pragma unroll
        for (int i = 0; i < tiles; i++) {
            const uint32_t fragment[2] = {b[D == 8 ? i : 2 * i], D == 8 ? 0 : b[(2 * i + 1) % 4]};
#pragma unroll
            for (int m = 0; m < M; m++)
                mma_16x8x16(c[m][n + i], a[m], fragment);
        }
    }
}

// c[m][n] += a b over 32 rows of b (two fragments of a), 8 N columns; `at`: the tile of rows of D elements +
// lane_b_rows
template <int D, int M, int N>
__device__ __forceinline__ void multiply_columns(float (&c)[M][N][4], const uint32_t (&a)[2][M][4], int at) {
    if constexpr (N == 1) {
        uint32_t b[4];
        ldmatrix_x4_transposed(b, shared_memory + at);
#pragma unroll
        for (int m = 0; m < M; m++) {
            mma_16x8x16(c[m][0], a[0][m], b);
            mma_16x8x16(c[m][0], a[1][m], b + 2);
        }
    } else {
#pragma unroll
        for (int half = 0; half < 2; half++)
#pragma unroll
            for (int n = 0; n < N; n += 2) {
                uint32_t b[4];
                ldmatrix_x4_transposed(b, shared_memory + at + half * 16 * row_bytes<D> + n * 16);
#pragma unroll
                for (int m = 0; m < M; m++) {
                    mma_16x8x16(c[m][n], a[half][m], b);
                    mma_16x8x16(c[m][n + 1], a[half][m], b + 2);
                }
            }
    }
}

template <int M, int N> __device__ __forceinline__ void clear(float (&c)[M][N][4]) {
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int n = 0; n < N; n++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                c[m][n][e] = 0;
}

// One warp writes 16 M rows of accumulators, row i times factor[i / 16][i / 8 % 2], to memory: through `tile`
// (rows of its own in shared memory, of which no other warp reads), so that 16-byte pieces leave it.
template <int D, int M>
__device__ __forceinline__ void write_rows(bf16 *to, int stride, int rows, int size, int tile,
                                           const float (&c)[M][D / 8][4], const float (&factor)[M][2], int lane) {
    __syncwarp();
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int half = 0; half < 2; half++)
#pragma unroll
            for (int n = 0; n < D / 8; n++)
                *(uint32_t *)(shared_memory + tile + (m * 16 + half * 8 + (lane >> 2)) * row_bytes<D> + n * 16 +
                              (lane & 3) * 4) =
                    pack_bf16(c[m][n][2 * half] * factor[m][half], c[m][n][2 * half + 1] * factor[m][half]);
    __syncwarp();
#pragma unroll 1
    for (int i = lane; i < M * 16 * (D / 8); i += 32) {
        int row = i / (D / 8), piece = i % (D / 8);
        if (row < rows && piece * 8 < size)
            *(elements<uint32_t, 4> *)(to + row * stride + piece * 8) =
                *(const elements<uint32_t, 4> *)(shared_memory + tile + row * row_bytes<D> + piece * 16);
    }
    __syncwarp();
}

#endif
