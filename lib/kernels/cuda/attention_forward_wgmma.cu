// Causal attention forward with the tensor cores of sm_90a, for heads of 64 and 128: attention_forward.cu's sums
// in tiles of 64 keys, by products that run on while the threads weigh scores (Shah et al. 2024,
// FlashAttention-3).
#include "attention.cuh"

enum {
    WGMMA_QUERIES = 128, // of a block; 64 of a warpgroup
    WGMMA_THREADS = 256,
    WGMMA_KEYS = 64,  // of a tile
    WGMMA_HEADS = 64, // whose blocks follow each other in the grid
};

// Shared memory: two tiles of keys, two of values, the queries (which ldmatrix reads). BLOCKS that share a
// multiprocessor.
template <int SIZE> struct forward_plan {
    static constexpr int D = SIZE, STEPS = D / 16, BLOCKS = D == 64 ? 2 : 1;
    typedef wgmma_tiles<D, WGMMA_KEYS> tile;
    static constexpr int VALUES = 2 * tile::BYTES, QUERIES = 4 * tile::BYTES;
    static constexpr size_t SHARED = QUERIES + WGMMA_QUERIES * row_bytes<D>;
};

// What a warp keeps of its 16 queries: the fragments, the sums, and the weights of the tile before, as A operands
// of a product that may still run.
template <typename plan> struct own_queries {
    uint32_t query[plan::STEPS][1][4];
    running_softmax<plan::D / 8, 1> r;
    uint32_t weights[WGMMA_KEYS / 16][4];
};

// scores = queries times a tile of keys
template <typename plan>
__device__ __forceinline__ void start_scores(float (&s)[1][8][4], const own_queries<plan> &own, int keys) {
    wgmma_fence();
#pragma unroll
    for (int k = 0; k < plan::STEPS; k++)
        wgmma_64x64x16<false>(s[0], own.query[k][0], wgmma_tile(keys + plan::tile::step(k)), k > 0);
    wgmma_commit();
}

// sums += weights times a tile of values
template <typename plan> __device__ __forceinline__ void start_sums(own_queries<plan> &own, int values) {
    wgmma_fence();
#pragma unroll
    for (int n = 0; n < plan::D / 64; n++)
#pragma unroll
        for (int k = 0; k < WGMMA_KEYS / 16; k++)
            wgmma_64x64x16<true>(columns_64(own.r.sum, n), own.weights[k],
                                 wgmma_tile(values + plan::tile::step_of_rows(n, k)), true);
    wgmma_commit();
}

// Behind wgmma_wait<0>()
template <typename plan> __device__ __forceinline__ void finish_sums(own_queries<plan> &own) {
    wgmma_wait<0>();
    hold_all(own.r.sum);
}

// Weigh a tile's scores beside the sums of the tile before, then take the weights' place.
template <typename plan>
__device__ __forceinline__ void weigh_tile(own_queries<plan> &own, float (&s)[1][8][4], bool diagonal,
                                           float scale) {
    if (diagonal) {
        const int thread = thread_anew(), lane = thread & 31;
        const int distance = thread / 32 % 4 * 16 + (lane >> 2) - 2 * (lane & 3); // query - key
#pragma unroll
        for (int n = 0; n < 8; n++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                if (n * 8 + e % 2 - e / 2 * 8 > distance)
                    s[0][n][e] = -INFINITY;
    }
    float largest[1][2], factor[1][2] = {{1, 1}};
    const bool moved = exceeds(largest, own.r, s, scale);
    if (moved)
        move_references(factor, own.r, largest, scale);
#pragma unroll
    for (int n = 0; n < 8; n++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            s[0][n][e] = exp2_fast(fmaf(s[0][n][e], scale, -own.r.reference[0][e / 2]));
            own.r.weight[0][e / 2] += s[0][n][e];
        }
    // ptxas 13.0 puts this wait in front of most exponentials, behind the maxima. In both branches of `moved` it
    // would stay here, but the warps of a warpgroup have to wait together.
    finish_sums(own);
    if (moved)
        rescale(own.r, factor);
#pragma unroll
    for (int n = 0; n < 8; n++)
#pragma unroll
        for (int half = 0; half < 2; half++)
            own.weights[n / 2][n % 2 * 2 + half] = pack_bf16(s[0][n][2 * half], s[0][n][2 * half + 1]);
}

// A warp's 16 rows of out, and their lse.
template <typename plan>
__device__ __forceinline__ void write_out(bf16 *out, float *lse, const own_queries<plan> &own, int rows, int tile,
                                          const attention_sizes &z) {
    const int lane = thread_anew() & 31;
    float inverse[1][2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float sum = own.r.weight[0][half];
        sum += __shfl_xor_sync(0xffffffffu, sum, 1);
        sum += __shfl_xor_sync(0xffffffffu, sum, 2);
        inverse[0][half] = 1 / sum;
        const int row = half * 8 + (lane >> 2);
        if (lse && (lane & 3) == 0 && row < rows)
            lse[row] = own.r.reference[0][half] * LN_2 + logf(sum);
    }
    write_rows<plan::D, 1>(out, z.heads * z.size, rows, z, tile, own.r.sum, inverse, lane);
}

// out and lse of 128 queries of one head. Two warpgroups of 64 queries each; keys and values pass through two
// tiles of 64 each in shared memory, keys copied one tile ahead. A warpgroup starts the scores of a tile, then the
// sums of the tile before, and weighs the former while the latter run; other warpgroups' products fill what is
// left. Keys that all its queries precede are left out, and a barrier a tile keeps the two together.
//
// Floor: 4 D FLOPs per causal pair at the rate of wgmma, and one exponential, 16 in a clock of a multiprocessor:
// as long as the products at D = 64, half as long at D = 128. Of shared memory a product reads its B alone, half
// of what the banks give, for queries and weights are registers. Deterministic: a row's sums run over keys in
// order, in one warp. The rest is attention_forward.cu's: late queries first, 64 heads side by side, q turned on
// the way.
template <typename plan>
__global__ void __launch_bounds__(WGMMA_THREADS, plan::BLOCKS)
    forward_wgmma(bf16 *out, float *lse, bf16 *qkv, const float *turns, attention_sizes z) {
    if constexpr (wgmma_here) {
        constexpr int D = plan::D;
        const int warp = same_in_warp((int)threadIdx.x / 32), lane = (int)threadIdx.x % 32;
        const int index = (int)(blockIdx.z * WGMMA_HEADS + blockIdx.x); // of the head
        if (index >= z.sequences * z.heads)
            return;
        const int sequence = same_in_warp(index / z.heads), head = index - sequence * z.heads;
        const int kv = same_in_warp(head / z.group);
        const int first = (int)(gridDim.y - 1 - blockIdx.y) * WGMMA_QUERIES, row = first + warp * 16;
        const int tiles = (min(first + WGMMA_QUERIES, z.length) + WGMMA_KEYS - 1) / WGMMA_KEYS;
        const int of_group = first + warp / 4 * 64; // its first query; it needs as many tiles
        const int needed = of_group < z.length ? of_group / WGMMA_KEYS + 1 : 0;
        const int queries = plan::QUERIES + warp * 16 * row_bytes<D>;

        copy_rows<D, WGMMA_QUERIES, WGMMA_THREADS>(plan::QUERIES, qkv + query_offset(z, sequence, first, head),
                                                   z.width, z.length - first, z);
        copy_async_commit();
        row_copier<D, WGMMA_KEYS, WGMMA_THREADS, typename plan::tile> keys(qkv + key_offset(z, sequence, 0, kv),
                                                                           z.width, z);
        keys.copy(0, 0, z.length);
        copy_async_commit();
        copy_async_wait<1>();
        __syncthreads(); // queries have come
        if (turns && row < z.length)
            turn_rows<D, 16, 32>(queries, turns + (int64_t)row * D, lane,
                                 lse ? qkv + query_offset(z, sequence, row, head) : NULL, z.width, z.length - row,
                                 z);
        __syncwarp();
        own_queries<plan> own;
#pragma unroll
        for (int k = 0; k < plan::STEPS; k++)
            load_a<D>(own.query[k][0], queries + lane_a<D>(lane), 0, k);
        start(own.r, -INFINITY); // finite from the first keys on: all rows see key 0

#pragma unroll 1
        for (int i = 0; i <= tiles; i++) {
            const int turn = i % 2 * plan::tile::BYTES, other = plan::tile::BYTES - turn;
            // Behind the barrier: keys i and values i - 1 have come, and no one reads what was in front of them.
            copy_async_wait<0>();
            shared_to_products();
            __syncthreads();
            const int rest = z.length - i * WGMMA_KEYS;
            if (i + 1 < tiles)
                keys.copy(other, WGMMA_KEYS * z.width, rest - WGMMA_KEYS);
            if (i < tiles)
                keys.copy(plan::VALUES + turn, z.values, rest);
            keys.from += WGMMA_KEYS * z.width;
            copy_async_commit();
            if (i < needed) {
                float s[1][8][4];
                start_scores(s, own, turn);
                if (i > 0) {
                    start_sums(own, plan::VALUES + other);
                    wgmma_wait<1>();
                } else {
                    wgmma_wait<0>();
                }
                hold(s[0]);
                weigh_tile(own, s, i == needed - 1, z.scale_2);
            } else if (i == needed && i > 0) {
                start_sums(own, plan::VALUES + other);
                finish_sums(own);
            }
        }
        if (row < z.length)
            write_out(out + (((int64_t)sequence * z.length + row) * z.heads + head) * z.size,
                      lse ? lse + (int64_t)index * z.length + row : NULL, own, z.length - row, queries, z);
    } else {
        wgmma_missing();
    }
}

// ---- the operation ----

template <typename plan> static void run(struct cuda *s, const struct forward_call *c) {
    size_t heads = (size_t)c->z.sequences * (size_t)c->z.heads;
    struct cuda_grid grid = {dim3((unsigned)(heads < WGMMA_HEADS ? heads : (size_t)WGMMA_HEADS),
                                  cuda_blocks((size_t)c->z.length, WGMMA_QUERIES),
                                  cuda_blocks(heads, WGMMA_HEADS)),
                             WGMMA_THREADS, plan::SHARED};
    cuda_launch(s, "attention forward", forward_wgmma<plan>, grid, (bf16 *)c->out, (float *)c->lse, (bf16 *)c->qkv,
                c->turns, c->z);
}

void cuda_forward_wgmma(struct cuda *s, void *call) {
    const struct forward_call *c = (const struct forward_call *)call;
    if (kernel_size(c->z.size) == 64)
        run<forward_plan<64>>(s, c);
    else
        run<forward_plan<128>>(s, c);
}
