// Shared by attention_backward.cu and attention_backward_wgmma.cu: what a block passes over, and dq's sums.
//
// A plan is how a kernel is laid out: D; STEP, queries of a tile; THREADS; QUERIES, NUMBERS (where tiles of them
// and their numbers lie in shared memory), QUERY_BYTES and NUMBERS_BYTES of a tile, query_layout; TILES of queries
// beside one of keys; DM and DN, the 16 queries and 8 columns of dq that a warp has, ACROSS warps side by side
// along columns.
#ifndef TACIT_KERNELS_CUDA_ATTENTION_BACKWARD_CUH
#define TACIT_KERNELS_CUDA_ATTENTION_BACKWARD_CUH

#include "attention.cuh"

enum { BACKWARD_KEYS = 128 }; // of a tile

struct backward_arrays {
    bf16 *dqkv;
    const bf16 *dout, *qkv;
    const query_numbers *numbers;
    const float *turns;                  // the table of the rotary positions, or NULL
    float *dq;                           // [G B, A][P][tiles of queries][DQ_FLOATS]
    int splits, split_bits, query_tiles; // splits: a power of two
};

// The first column of either half that a warp has of dq.
template <typename plan> __device__ __forceinline__ int column_of_warp(int warp) {
    return plan::D == 8 ? 0 : warp % plan::ACROSS * plan::DN * 4;
}

// A thread's part of a tile of dq, turned back and rounded, to its place in dqkv.
template <typename plan>
__device__ __forceinline__ void write_dq(const backward_arrays &a, const attention_sizes &z, int sequence,
                                         int head, int tile, float (&dq)[plan::DM][plan::DN][4]) {
    constexpr int D = plan::D;
    const int thread = thread_anew(), warp = thread / 32, lane = thread & 31;
    const int first = tile * plan::STEP + warp / plan::ACROSS * plan::DM * 16, row = first + (lane >> 2);
    if (a.turns)
        turn_back<D>(dq, turns_of_lane<D>(a.turns, first, column_of_warp<plan>(warp), lane));
    const int column = column_of_warp<plan>(warp) + (lane & 3) * 2;
    bf16 *to = a.dqkv + query_offset(z, sequence, row, head) + column;
#pragma unroll
    for (int m = 0; m < plan::DM; m++)
#pragma unroll
        for (int half = 0; half < 2; half++)
            if (row + m * 16 + half * 8 < z.length)
#pragma unroll
                for (int n = 0; n < plan::DN; n++) {
                    constexpr int IN_HALF = (plan::DN + 1) / 2;
                    const int in_half = n % IN_HALF * 8;
                    if (D <= 16 || column + in_half < (n < IN_HALF ? z.first : z.size - z.first))
                        *(uint32_t *)(to + (int64_t)(m * 16 + half * 8) * z.width + in_half +
                                      (n < IN_HALF ? 0 : z.first)) =
                            pack_bf16(dq[m][n][2 * half] * z.scale, dq[m][n][2 * half + 1] * z.scale);
                }
}

// Start copying a tile of queries: rows of q and dout, and their numbers.
template <typename plan>
__device__ __forceinline__ void copy_queries(const backward_arrays &a, const attention_sizes &z, int sequence,
                                             int head, int tile, int turn) {
    typedef typename plan::query_layout layout;
    const int row = tile * plan::STEP, to = plan::QUERIES + turn * 2 * plan::QUERY_BYTES;
    copy_rows<plan::D, plan::STEP, plan::THREADS, layout>(to, a.qkv + query_offset(z, sequence, row, head),
                                                          z.width, z.length - row, z);
    copy_rows<plan::D, plan::STEP, plan::THREADS, layout>(
        to + plan::QUERY_BYTES, a.dout + ((int64_t)sequence * z.length + row) * (z.heads * z.size) + head * z.size,
        z.heads * z.size, z.length - row, z);
    const int thread = thread_anew();
    if (thread < plan::NUMBERS_BYTES / 16)
        copy_async_16(shared_memory + plan::NUMBERS + turn * plan::NUMBERS_BYTES + thread * 16,
                      a.numbers + ((int64_t)sequence * z.heads + head) * a.query_tiles * plan::STEP + row +
                          thread * 2,
                      true);
    copy_async_commit();
}

template <int M, int N> __device__ __forceinline__ void add(float (&c)[M][N][4], const float (&more)[M][N][4]) {
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int n = 0; n < N; n++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                c[m][n][e] += more[m][n][e];
}

// dq of a tile of queries: the sums of those splits that have seen it, in order. Floor: the sums read once.
template <typename plan>
__global__ void __launch_bounds__(plan::THREADS) add_splits(backward_arrays a, attention_sizes z) {
    const int tile = (int)(blockIdx.x % (unsigned)a.query_tiles),
              index = (int)(blockIdx.x / (unsigned)a.query_tiles);
    const int seen = min(a.splits, tile / plan::TILES + 1); // split p begins with tile p of keys
    const float *sums =
        a.dq + ((int64_t)index * a.splits * a.query_tiles + tile) * plan::DQ_FLOATS + threadIdx.x * 4;
    float dq[plan::DM][plan::DN][4];
    clear(dq);
    for (int split = 0; split < seen; split++, sums += (int64_t)a.query_tiles * plan::DQ_FLOATS)
#pragma unroll
        for (int i = 0; i < plan::DM * plan::DN; i++) {
            float x[4];
            load<float, 4>(x, sums + i * plan::THREADS * 4);
#pragma unroll
            for (int e = 0; e < 4; e++)
                dq[i / plan::DN][i % plan::DN][e] += x[e];
        }
    write_dq<plan>(a, z, index / z.heads, index % z.heads, tile, dq);
}

// The kernel, and behind it, where several blocks share a head, the sum of their parts.
template <typename plan>
static void launch_backward(struct cuda *s, void (*kernel)(backward_arrays, attention_sizes),
                            const struct backward_arrays &a, const struct attention_sizes &z) {
    enum { GRID_MOST = 65535 };
    unsigned sequences = (unsigned)z.sequences, high = cuda_blocks(sequences, GRID_MOST);
    struct cuda_grid grid = {dim3((unsigned)(z.kv_heads * a.splits), cuda_blocks(sequences, high), high),
                             plan::THREADS, plan::SHARED};
    cuda_launch(s, "attention backward", kernel, grid, a, z);
    if (a.splits == 1)
        return;
    grid = {dim3(sequences * (unsigned)(z.heads * a.query_tiles)), plan::THREADS, 0};
    cuda_launch(s, "attention backward", add_splits<plan>, grid, a, z);
}

enum { WGMMA_STEP = 128 }; // queries of a tile
void cuda_backward_wgmma(struct cuda *s, const struct backward_arrays *a, const struct attention_sizes *z);

#endif
