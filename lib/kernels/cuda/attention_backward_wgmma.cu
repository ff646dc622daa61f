// Causal attention backward with the tensor cores of sm_90a, for heads of 64 and 128: attention_backward.cu's walk
// over tiles of keys, with dq's sums in memory between two of them, by products that run on while the threads make
// P and dS.
#include "attention_backward.cuh"

// Two warpgroups own 64 keys of a tile each, and pass over 128 queries a step, a part of 64 at a time; of dq each
// makes one part.
template <int SIZE> struct wgmma_plan {
    static constexpr int D = SIZE, STEP = WGMMA_STEP, TILES = 1, WARPS = 8, THREADS = 256, PARTS = STEP / 64;
    static constexpr int ACROSS = 1, DM = 1, DN = D / 8;
    // At D = 64 there are registers for keys and values as fragments (which saves shared memory's bandwidth), and
    // for dq so far beside this step's.
    static constexpr bool ROOMY = D == 64;
    static constexpr int FRAGMENTS = ROOMY ? D / 16 : 1;
    // Shared memory: keys, values, two tiles each of queries, dout and their numbers, dS by parts ([key][query]).
    typedef wgmma_tiles<D, BACKWARD_KEYS> key_layout;
    typedef wgmma_tiles<D, STEP> query_layout;
    typedef wgmma_tiles<STEP, BACKWARD_KEYS> dscores_layout;
    static constexpr int VALUES = key_layout::BYTES, QUERIES = 2 * VALUES, QUERY_BYTES = query_layout::BYTES;
    static constexpr int DSCORES = QUERIES + 4 * QUERY_BYTES, NUMBERS = DSCORES + dscores_layout::BYTES;
    static constexpr int NUMBERS_BYTES = STEP * (int)sizeof(query_numbers), PART = 64 * 128; // bytes of 64 rows
    static constexpr int SHARED = NUMBERS + 2 * NUMBERS_BYTES;
    static constexpr int DQ_FLOATS = STEP * D;
};
static_assert(wgmma_plan<128>::SHARED <= 227 << 10, "what a block may have on sm_90");

// c = 64 keys (or values) of this warpgroup, from fragments or from byte `own`, times 64 queries (or dout)
template <typename plan>
__device__ __forceinline__ void start_scores(float (&c)[1][8][4], const uint32_t (&fragments)[plan::FRAGMENTS][4],
                                             int own, int queries) {
    wgmma_fence();
#pragma unroll
    for (int k = 0; k < plan::D / 16; k++) {
        const uint64_t b = wgmma_tile(queries + plan::query_layout::step(k));
        if constexpr (plan::ROOMY)
            wgmma_64x64x16<false>(c[0], fragments[k], b, k > 0);
        else
            wgmma_64x64x16<false, false>(c[0], wgmma_tile(own + plan::key_layout::step(k)), b, k > 0);
    }
    wgmma_commit();
}

// c += P^T dout or dS^T q over 64 queries
template <typename plan>
__device__ __forceinline__ void start_sums(float (&c)[1][plan::D / 8][4], const uint32_t (&a)[4][4], int queries) {
    wgmma_fence();
#pragma unroll
    for (int n = 0; n < plan::D / 64; n++)
#pragma unroll
        for (int k = 0; k < 4; k++)
            wgmma_64x64x16<true>(columns_64(c, n), a[k],
                                 wgmma_tile(queries + plan::query_layout::step_of_rows(n, k)), true);
    wgmma_commit();
}

// dq = or += dS k over 64 keys; `dscores` and `keys`: where they begin
template <typename plan>
__device__ __forceinline__ void start_dq(float (&dq)[1][plan::D / 8][4], int dscores, int keys, bool add) {
    wgmma_fence();
#pragma unroll
    for (int n = 0; n < plan::D / 64; n++)
#pragma unroll
        for (int k = 0; k < 4; k++)
            wgmma_64x64x16<true, true>(columns_64(dq, n),
                                       wgmma_tile(dscores + plan::dscores_layout::step_of_rows(0, k)),
                                       wgmma_tile(keys + plan::key_layout::step_of_rows(n, k)), add || k > 0);
    wgmma_commit();
}

// A warp's keys and values as fragments.
template <typename plan>
__device__ __forceinline__ void load_keys(uint32_t (&keys)[plan::FRAGMENTS][4],
                                          uint32_t (&values)[plan::FRAGMENTS][4]) {
    const int thread = thread_anew(), lane = thread & 31, row = thread / 32 * 16 + (lane & 15);
#pragma unroll
    for (int k = 0; k < plan::FRAGMENTS; k++) {
        const int at = plan::key_layout::at(row, 2 * k + (lane >> 4));
        ldmatrix_x4(keys[k], shared_memory + at);
        ldmatrix_x4(values[k], shared_memory + plan::VALUES + at);
    }
}

// s: scores, becomes P^T; `weights`: the same rounded, as A operands. numbers: of this lane's first query
__device__ __forceinline__ void make_weights(uint32_t (&weights)[4][4], float (&s)[1][8][4], const float *numbers,
                                             float scale) {
#pragma unroll
    for (int n = 0; n < 8; n++) {
        float number[4]; // lse, delta of two queries
        load<float, 4>(number, numbers + n * 16);
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float &low = s[0][n][2 * half], &high = s[0][n][2 * half + 1];
            low = exp2_fast(fmaf(low, scale, -number[0]));
            high = exp2_fast(fmaf(high, scale, -number[2]));
            weights[n / 2][n % 2 * 2 + half] = pack_bf16(low, high);
        }
    }
}

// dS^T = P^T (dout v^T - delta), as A operands, and to shared memory, [key][query], for dq
template <typename plan>
__device__ __forceinline__ void make_dscores(uint32_t (&dscores)[4][4], const float (&weights)[1][8][4],
                                             const float (&s)[1][8][4], const float *numbers, int part) {
#pragma unroll
    for (int n = 0; n < 8; n++) {
        float number[4];
        load<float, 4>(number, numbers + n * 16);
#pragma unroll
        for (int half = 0; half < 2; half++)
            dscores[n / 2][n % 2 * 2 + half] =
                pack_bf16(weights[0][n][2 * half] * (s[0][n][2 * half] - number[1]),
                          weights[0][n][2 * half + 1] * (s[0][n][2 * half + 1] - number[3]));
    }
    const int thread = thread_anew(), lane = thread & 31, row = thread / 32 * 16 + (lane >> 2);
#pragma unroll
    for (int n = 0; n < 8; n++)
#pragma unroll
        for (int half = 0; half < 2; half++)
            store_for_products(plan::DSCORES + plan::dscores_layout::at(row + half * 8, part * 8 + n) +
                                   (lane & 3) * 4,
                               dscores[n / 2][n % 2 * 2 + half]);
}

// The keys behind a query have no part; on the diagonal of 64 keys and as many queries.
__device__ __forceinline__ void leave_out_later_keys(float (&s)[1][8][4]) {
    const int thread = thread_anew(), lane = thread & 31;
    const int distance = 2 * (lane & 3) - (lane >> 2) - thread / 32 % 4 * 16; // query - key
#pragma unroll
    for (int n = 0; n < 8; n++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            if (e / 2 * 8 - n * 8 - e % 2 > distance)
                s[0][n][e] = -INFINITY;
}

// dk and dv of 128 keys leave through shared memory; of a warp 16.
template <typename plan>
__device__ __forceinline__ void write_keys(const backward_arrays &a, const attention_sizes &z, int sequence,
                                           int key, int kv, float (&dk)[1][plan::D / 8][4],
                                           const float (&dv)[1][plan::D / 8][4]) {
    constexpr int D = plan::D;
    const int thread = thread_anew(), warp = thread / 32, lane = thread & 31, row = key + warp * 16;
    const int place = plan::QUERIES + warp * 16 * row_bytes<D>;
    const float ones[1][2] = {{1, 1}}, scales[1][2] = {{z.scale, z.scale}};
    bf16 *to = a.dqkv + key_offset(z, sequence, row, kv);
    write_rows<D, 1>(to + z.values, z.width, z.length - row, z, place, dv, ones, lane);
    if (a.turns)
        turn_back<D>(dk, turns_of_lane<D>(a.turns, row, 0, lane));
    write_rows<D, 1>(to, z.width, z.length - row, z, place, dk, scales, lane);
}

// dk, dv and sums of dq of one key/value head of one sequence, or of one of its `splits` shares of the tiles of
// keys.
//
// A step takes 128 queries against the tile's 128 keys. For each part of 64, a warpgroup starts scores and dout
// v^T of its own keys, makes P^T in registers while the latter runs, starts dv += P^T dout, makes dS^T, starts dk
// += dS^T q, and goes on to the next part; dS goes to shared memory as well, and behind a barrier a warpgroup
// makes dq of one part with all 128 keys. Two barriers a step, and dq's sums in memory as attention_backward.cu
// has them.
//
// Floor: 10 D FLOPs per causal pair at the rate of wgmma, one exponential per pair (0.4 as long at D = 64).
// Deterministic: every sum runs over queries, or over tiles of keys, in the order of the loops below.
template <typename plan>
__global__ void __launch_bounds__(plan::THREADS, 1) backward_wgmma(backward_arrays a, attention_sizes z) {
    if constexpr (wgmma_here) {
        constexpr int D = plan::D;
        const int own = same_in_warp((int)threadIdx.x / 128); // the warpgroup
        const int split = (int)blockIdx.x & (a.splits - 1), kv = (int)blockIdx.x >> a.split_bits;
        const int sequence = (int)(blockIdx.z * gridDim.y + blockIdx.y);
        if (sequence >= z.sequences)
            return;
        for (int round = 0, tile = split; tile * BACKWARD_KEYS < z.length;
             round++, tile = round * a.splits + (round % 2 ? a.splits - 1 - split : split)) {
            const int key = tile * BACKWARD_KEYS;
            const bf16 *keys = a.qkv + key_offset(z, sequence, key, kv);
            __syncthreads(); // no one reads the tile before any more
            copy_rows<D, BACKWARD_KEYS, plan::THREADS, typename plan::key_layout>(0, keys, z.width, z.length - key,
                                                                                  z);
            copy_rows<D, BACKWARD_KEYS, plan::THREADS, typename plan::key_layout>(plan::VALUES, keys + z.values,
                                                                                  z.width, z.length - key, z);
            copy_queries<plan>(a, z, sequence, kv * z.group, tile, 0);
            float dk[1][D / 8][4], dv[1][D / 8][4];
            clear(dk);
            clear(dv);
            uint32_t own_keys[plan::FRAGMENTS][4], own_values[plan::FRAGMENTS][4];
            int head = kv * z.group, query_tile = tile;
#pragma unroll 1
            for (int turn = 0; head < (kv + 1) * z.group; turn ^= 1) {
                int next_head = head, next_tile = query_tile + 1;
                if (next_tile == a.query_tiles) {
                    next_head++;
                    next_tile = tile;
                }
                // Behind the barrier: this step's rows have come, and no one is busy with the step before.
                copy_async_wait<0>();
                shared_to_products();
                __syncthreads();
                if (next_head < (kv + 1) * z.group)
                    copy_queries<plan>(a, z, sequence, next_head, next_tile, turn ^ 1);
                const bool diagonal = query_tile == tile;
                if (plan::ROOMY && diagonal && head == kv * z.group)
                    load_keys<plan>(own_keys, own_values);

                uint32_t weights[4][4], dscores[4][4]; // products read them until the wait
#pragma unroll 1
                for (int part = diagonal ? own : 0; part < plan::PARTS; part++) {
                    float s[1][8][4], ds[1][8][4];
                    const int queries = plan::QUERIES + turn * 2 * plan::QUERY_BYTES + part * plan::PART;
                    const float *numbers =
                        (const float *)(shared_memory + plan::NUMBERS + turn * plan::NUMBERS_BYTES +
                                        part * 64 * (int)sizeof(query_numbers) + (thread_anew() & 3) * 16);
                    start_scores<plan>(s, own_keys, own * plan::PART, queries);
                    start_scores<plan>(ds, own_values, plan::VALUES + own * plan::PART,
                                       queries + plan::QUERY_BYTES);
                    wgmma_wait<1>();
                    hold(s[0]);
                    if (diagonal && part == own)
                        leave_out_later_keys(s);
                    make_weights(weights, s, numbers, z.scale_2);
                    start_sums<plan>(dv, weights, queries + plan::QUERY_BYTES);
                    wgmma_wait<1>();
                    hold(ds[0]);
                    make_dscores<plan>(dscores, s, ds, numbers, part);
                    start_sums<plan>(dk, dscores, queries);
                }
                // dq so far is under way from memory while this step's is made, where registers suffice for both.
                float dq[1][D / 8][4], before[1][D / 8][4];
                float *sums =
                    a.dq +
                    ((int64_t)((sequence * z.heads + head) * a.splits + split) * a.query_tiles + query_tile) *
                        plan::DQ_FLOATS +
                    thread_anew() * 4;
                clear(plan::ROOMY ? before : dq);
                if (round > 0)
#pragma unroll
                    for (int n = 0; n < D / 8; n++)
                        load<float, 4>((plan::ROOMY ? before : dq)[0][n], sums + n * plan::THREADS * 4);
                shared_to_products();
                __syncthreads(); // dS is whole
                const int dscores_of_part = plan::DSCORES + own * plan::dscores_layout::BLOCK;
                start_dq<plan>(dq, dscores_of_part, 0, !plan::ROOMY);
                if (!diagonal || own == 1) // the other keys are not behind all of these queries
                    start_dq<plan>(dq, dscores_of_part + plan::PART, plan::PART, true);
                wgmma_wait<0>();
                hold_all(dq);
                hold_all(dk);
                hold_all(dv);
                if (plan::ROOMY)
                    add(dq, before);
                if (a.splits == 1 && diagonal) { // no later key has a part
                    write_dq<plan>(a, z, sequence, head, query_tile, dq);
                } else {
#pragma unroll
                    for (int n = 0; n < D / 8; n++)
                        store<float, 4>(sums + n * plan::THREADS * 4, dq[0][n]);
                }
                head = next_head;
                query_tile = next_tile;
            }
            __syncthreads(); // the queries' place is free
            write_keys<plan>(a, z, sequence, key, kv, dk, dv);
        }
    } else {
        wgmma_missing();
    }
}

void cuda_backward_wgmma(struct cuda *s, const struct backward_arrays *a, const struct attention_sizes *z) {
    if (kernel_size(z->size) == 64)
        launch_backward<wgmma_plan<64>>(s, backward_wgmma<wgmma_plan<64>>, *a, *z);
    else
        launch_backward<wgmma_plan<128>>(s, backward_wgmma<wgmma_plan<128>>, *a, *z);
}
