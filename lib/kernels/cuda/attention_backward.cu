// Causal attention backward, blockwise, from the forward pass's log-sum-exp (Dao 2023, FlashAttention-2).
//
// With P = exp(q k^T / sqrt(D) - lse), delta = rowsum(dout * out) and dS = P * (dout v^T - delta):
//     dv = P^T dout,   dk = dS^T q / sqrt(D),   dq = dS k / sqrt(D)
//
// dk and dv sum over queries, dq over keys. Two kernels, one for each, need no memory between them, but both have
// to make P and dout v^T: 7 products, 14 D FLOPs per pair. One kernel that owns keys and passes over queries makes
// 5, but each tile of keys has a part of dq, and added atomically those parts would have no order. So ONE block
// walks over the tiles of 128 keys of its head in order, and its own sums of dq, float32, wait in memory between
// two tiles: 8 bytes an element and tile, in L2. At D = 64 a step (128 keys, 64 queries) moves 32 KB of sums and
// 16 KB of queries and dout for 5.2 MFLOP: 180 TFLOP/s on 132 multiprocessors would take some 7 bytes in a clock
// of each, of which L2 gives several times as many. That buys 2 products of 7. Where sequences and heads are too
// few to fill the chip, P blocks share a head's tiles, each with sums of its own, which a last pass adds in order.
#include "attention_backward.cuh"
#include "attention_float.cuh"
#include "attention_numbers.cuh"

// ---- bfloat16 ----

// How a kernel is laid out. A warp owns 16 M keys; it makes scores against 8 N queries at a time, so that these
// and the sums of dk and dv fit its registers. Of dq it makes 16 DM queries by 8 DN columns.
//
// LEAN: for a chip whose shared memory does not hold two tiles of queries of large heads. There is one, filled as
// soon as it is read, and of 32 queries where 64 are too many: the same sums in the same order.
template <int SIZE, bool LEAN> struct backward_plan {
    static constexpr int D = SIZE, STEP = LEAN && D > 96 ? 32 : 64, TURNS = LEAN ? 1 : 2; // queries; tiles of them
    static constexpr int TILES = BACKWARD_KEYS / STEP; // of queries, beside one of keys
    static constexpr int M = D <= 64 ? 2 : 1, N = 8 / M < STEP / 8 ? 8 / M : STEP / 8, PARTS = STEP / 8 / N;
    static constexpr int WARPS = BACKWARD_KEYS / (16 * M), THREADS = 32 * WARPS;
    static constexpr int ACROSS = D == 128 ? 4 : D >= 32 ? 2 : 1; // warps side by side along dq's columns
    static constexpr int DM = STEP / 16 * ACROSS / WARPS, DN = D / 8 / ACROSS;
    static constexpr int BLOCKS = D <= 8 ? 4 : D <= 32 ? 3 : D <= 64 ? 2 : 1; // on a multiprocessor
    // Shared memory: keys, values, TURNS tiles each of queries, dout and their numbers, dS.
    static constexpr int ROW = row_bytes<D>, VALUES = BACKWARD_KEYS * ROW, QUERIES = 2 * VALUES;
    typedef padded_tile<D, STEP> query_layout;
    static constexpr int QUERY_BYTES = query_layout::BYTES, NUMBERS = QUERIES + 2 * TURNS * QUERY_BYTES;
    static constexpr int NUMBERS_BYTES = STEP * (int)sizeof(query_numbers);
    static constexpr int DSCORES = NUMBERS + TURNS * NUMBERS_BYTES;
    static constexpr int DSCORES_ROW = STEP * 2 + 16; // bytes of a key's row
    static constexpr int SHARED = DSCORES + BACKWARD_KEYS * DSCORES_ROW;
    static constexpr int DQ_FLOATS = STEP * D; // of a tile: [DM][DN][THREADS][4], each thread its own
};
template <int D>
using backward_plan_least = backward_plan<D, (backward_plan<D, false>::SHARED > (int)CUDA_SHARED_LEAST)>;
static_assert(backward_plan_least<96>::SHARED <= (int)CUDA_SHARED_LEAST &&
                  backward_plan_least<128>::SHARED <= (int)CUDA_SHARED_LEAST,
              "the largest heads fit any chip");

// c[m][n] += rows of this warp's keys (or values) times rows of 8 N queries (or dout)
template <int D, int M, int N>
__device__ __forceinline__ void multiply_tiles(float (&c)[M][N][4], int keys, int queries, int lane) {
#pragma unroll
    for (int k = 0; k < steps_of<D>; k++) {
        uint32_t a[M][4];
#pragma unroll
        for (int m = 0; m < M; m++)
            load_a<D>(a[m], keys + lane_a<D>(lane), m, k);
        multiply_rows<D, M, N>(c, a, queries + lane_b<D>(lane), k);
    }
}

// A warp's keys against 8 N queries: P to `weights`, dS to `dscores`, both transposed (keys x queries) and as the
// A operands of 8 N / 32 products over 32 queries. `distance`: the lane's first query minus its first key.
template <typename plan>
__device__ __forceinline__ void make_dscores(uint32_t (&weights)[plan::N / 4][2][plan::M][4],
                                             uint32_t (&dscores)[plan::N / 4][2][plan::M][4], int keys,
                                             int queries, int numbers, float scale, bool diagonal, int distance) {
    constexpr int D = plan::D, M = plan::M, N = plan::N;
    const int lane = thread_anew() & 31;
    float s[M][N][4], ds[M][N][4];
    clear(s);
    multiply_tiles<D, M, N>(s, keys, queries, lane);
    // Each lane's numbers are lse, delta of two queries; they are read twice so as not to fill registers.
    const int of_lane = numbers + (lane & 3) * 16;
#pragma unroll
    for (int n = 0; n < N; n++) {
        float number[4];
        load<float, 4>(number, (const float *)(shared_memory + of_lane + n * 64));
#pragma unroll
        for (int m = 0; m < M; m++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                ds[m][n][e] = -number[e % 2 * 2 + 1];
    }
    __syncwarp(); // no load of the second product moves up into the first: registers would not suffice
    multiply_tiles<D, M, N>(ds, keys + plan::VALUES, queries + plan::QUERY_BYTES, lane);
    if (diagonal) {
#pragma unroll
        for (int m = 0; m < M; m++)
#pragma unroll
            for (int n = 0; n < N; n++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    if (m * 16 + e / 2 * 8 - n * 8 - e % 2 > distance)
                        s[m][n][e] = -INFINITY;
    }
#pragma unroll
    for (int n = 0; n < N; n++) {
        float number[4];
        load<float, 4>(number, (const float *)(shared_memory + of_lane + n * 64));
#pragma unroll
        for (int m = 0; m < M; m++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                float low = exp2_fast(fmaf(s[m][n][2 * half], scale, -number[0]));
                float high = exp2_fast(fmaf(s[m][n][2 * half + 1], scale, -number[2]));
                weights[n / 4][n / 2 % 2][m][n % 2 * 2 + half] = pack_bf16(low, high);
                dscores[n / 4][n / 2 % 2][m][n % 2 * 2 + half] =
                    pack_bf16(low * ds[m][n][2 * half], high * ds[m][n][2 * half + 1]);
            }
    }
}

// One warp's dS to shared memory, [key][query], for dq.
template <typename plan>
__device__ __forceinline__ void keep_dscores(const uint32_t (&dscores)[plan::N / 4][2][plan::M][4], int to) {
    const int lane = thread_anew() & 31;
#pragma unroll
    for (int m = 0; m < plan::M; m++)
#pragma unroll
        for (int half = 0; half < 2; half++)
#pragma unroll
            for (int n = 0; n < plan::N; n++)
                *(uint32_t *)(shared_memory + to + (m * 16 + half * 8 + (lane >> 2)) * plan::DSCORES_ROW + n * 16 +
                              (lane & 3) * 4) = dscores[n / 4][n / 2 % 2][m][n % 2 * 2 + half];
}

// dq += dS k over the first 32 `units` keys of the tile, for this warp's queries and columns
template <typename plan> __device__ __forceinline__ void add_to_dq(float (&dq)[plan::DM][plan::DN][4], int units) {
    const int thread = thread_anew(), warp = same_in_warp(thread / 32), lane = thread & 31;
    // dS is stored with keys as rows: its transposed 8x8 blocks are the A operand's.
    const int rows = plan::DSCORES + ((lane & 7) + (lane >> 4) * 8) * plan::DSCORES_ROW + ((lane >> 3) & 1) * 16 +
                     warp / plan::ACROSS * plan::DM * 32;
    const int columns = column_of_warp<plan>(warp) * 2 + lane_b_halves<plan::D>(lane);
#pragma unroll 1
    for (int unit = 0; unit < units; unit++) {
        uint32_t a[2][plan::DM][4];
#pragma unroll
        for (int half = 0; half < 2; half++)
#pragma unroll
            for (int m = 0; m < plan::DM; m++)
                ldmatrix_x4_transposed(a[half][m], shared_memory + rows +
                                                       (unit * 32 + half * 16) * plan::DSCORES_ROW + m * 32);
        multiply_columns<plan::D, plan::DM, plan::DN, true>(dq, a, columns + unit * 32 * plan::ROW);
    }
}

// dk, dv and sums of dq of one key/value head of one sequence, or of one of its `splits` shares of the tiles of
// keys.
//
// A step takes STEP queries (of one head of the group) against the tile's 128 keys: every warp makes P^T and dS^T
// of its own keys in registers, where they are the A operands of dv += P^T dout and dk += dS^T q; dS goes to
// shared memory as well, and behind a barrier all warps share out dq += dS k. dq's sums come from memory and
// return there in the order of the threads' registers, 16 bytes a thread, and no other thread ever reads them: no
// fence, no atomics. Queries, dout and their numbers are copied one step ahead. Two barriers a step.
//
// Floor: 10 D FLOPs per pair of a query and a key (5 products) at the tensor cores' rate, one exponential per
// pair. Deterministic: every sum runs over queries, or over tiles of keys, in the order of the loops below.
template <typename plan>
__global__ void __launch_bounds__(plan::THREADS, plan::BLOCKS)
    backward_half(backward_arrays a, attention_sizes z) {
    constexpr int D = plan::D, M = plan::M, N = plan::N;
    const int warp = same_in_warp((int)threadIdx.x / 32), group = z.heads / z.kv_heads;
    // From the block's place alone, without a division, so that these take registers of the warp, not of each
    // thread.
    const int split = (int)blockIdx.x & (a.splits - 1), kv = (int)blockIdx.x >> a.split_bits;
    const int sequence = (int)(blockIdx.z * gridDim.y + blockIdx.y);
    if (sequence >= z.sequences)
        return;

    // Tiles are dealt out to and fro: a long one, of early keys, goes with a short one.
    for (int round = 0, tile = split; tile * BACKWARD_KEYS < z.length;
         round++, tile = round * a.splits + (round % 2 ? a.splits - 1 - split : split)) {
        const int key = tile * BACKWARD_KEYS;
        __syncthreads(); // no one reads the tile before any more
        copy_rows<D, BACKWARD_KEYS, plan::THREADS>(0, a.qkv + key_offset(z, sequence, key, kv), z.width,
                                                   z.length - key, z);
        copy_rows<D, BACKWARD_KEYS, plan::THREADS>(
            plan::VALUES, a.qkv + key_offset(z, sequence, key, kv) + z.values, z.width, z.length - key, z);
        copy_queries<plan>(a, z, sequence, kv * group, plan::TILES * tile, 0);
        float dk[M][D / 8][4], dv[M][D / 8][4];
        clear(dk);
        clear(dv);
        int head = kv * group, query_tile = plan::TILES * tile;
        for (int turn = 0; head < (kv + 1) * group; turn ^= plan::TURNS - 1) {
            int next_head = head, next_tile = query_tile + 1;
            if (next_tile == a.query_tiles) {
                next_head++;
                next_tile = plan::TILES * tile;
            }
            // Behind the barrier: this step's rows have come, and no one is busy with the step before.
            copy_async_wait<0>();
            __syncthreads();
            if (plan::TURNS == 2 && next_head < (kv + 1) * group)
                copy_queries<plan>(a, z, sequence, next_head, next_tile, turn ^ 1);

            // Keys behind the last query, on the diagonal, have no part; in units of 32.
            const int units = plan::TILES == 2 ? (query_tile == 2 * tile ? 2 : 4)
                                               : min(query_tile - plan::TILES * tile + 1, (int)plan::TILES);
            const bool busy = warp * 16 * M < units * 32;
            const int queries = plan::QUERIES + turn * 2 * plan::QUERY_BYTES;
            uint32_t dscores[plan::PARTS][N / 4][2][M][4];
            if (busy) {
#pragma unroll
                for (int part = 0; part < plan::PARTS; part++) {
                    const int first = query_tile * plan::STEP + part * 8 * N, own = key + warp * 16 * M;
                    const int lane = thread_anew() & 31;
                    uint32_t weights[N / 4][2][M][4];
                    make_dscores<plan>(weights, dscores[part], warp * 16 * M * plan::ROW,
                                       queries + part * 8 * N * plan::ROW,
                                       plan::NUMBERS + turn * plan::NUMBERS_BYTES + part * N * 64, z.scale_2,
                                       first < own + 16 * M, first - own + 2 * (lane & 3) - (lane >> 2));
#pragma unroll
                    for (int i = 0; i < N / 4; i++)
                        multiply_columns<D, M, D / 8>(dv, weights[i],
                                                      queries + plan::QUERY_BYTES +
                                                          (part * 8 * N + i * 32) * plan::ROW +
                                                          lane_b_rows<D>(lane));
                    keep_dscores<plan>(dscores[part],
                                       plan::DSCORES + warp * 16 * M * plan::DSCORES_ROW + part * N * 16);
                }
            }
            // dq so far is under way from memory while dk is added to (and not before: it takes registers).
            __syncwarp();
            float dq[plan::DM][plan::DN][4];
            float *sums =
                a.dq +
                ((((int64_t)sequence * z.heads + head) * a.splits + split) * a.query_tiles + query_tile) *
                    plan::DQ_FLOATS +
                thread_anew() * 4;
            if (round == 0) {
                clear(dq);
            } else {
#pragma unroll
                for (int i = 0; i < plan::DM * plan::DN; i++)
                    load<float, 4>(dq[i / plan::DN][i % plan::DN], sums + i * plan::THREADS * 4);
            }
            if (busy) {
#pragma unroll
                for (int i = 0; i < plan::STEP / 32; i++)
                    multiply_columns<D, M, D / 8>(dk, dscores[i * 4 / N][i % (N / 4)],
                                                  queries + i * 32 * plan::ROW +
                                                      lane_b_rows<D>(thread_anew() & 31));
            }
            __syncthreads(); // dS is whole, and the queries are read
            if (plan::TURNS == 1 && next_head < (kv + 1) * group)
                copy_queries<plan>(a, z, sequence, next_head, next_tile, 0);
            add_to_dq<plan>(dq, units);
            if (a.splits == 1 && query_tile / plan::TILES == tile) { // no later key has a part
                write_dq<plan>(a, z, sequence, head, query_tile, dq);
            } else {
#pragma unroll
                for (int i = 0; i < plan::DM * plan::DN; i++)
                    store<float, 4>(sums + i * plan::THREADS * 4, dq[i / plan::DN][i % plan::DN]);
            }
            head = next_head;
            query_tile = next_tile;
        }
        // The values' rows of this warp are read by no other: dk and dv leave through them.
        const int row = key + warp * 16 * M, place = plan::VALUES + warp * 16 * M * plan::ROW;
        float ones[M][2], scales[M][2];
#pragma unroll
        for (int m = 0; m < M; m++) {
            ones[m][0] = ones[m][1] = 1;
            scales[m][0] = scales[m][1] = z.scale;
        }
        bf16 *to = a.dqkv + key_offset(z, sequence, row, kv);
        write_rows<D, M>(to + z.values, z.width, z.length - row, z, place, dv, ones, thread_anew() & 31);
        if (a.turns)
            turn_back<D>(dk, turns_of_lane<D>(a.turns, row, 0, thread_anew() & 31));
        write_rows<D, M>(to, z.width, z.length - row, z, place, dk, scales, thread_anew() & 31);
    }
}

// ---- the operation ----

struct backward_call {
    struct cuda *s;
    bool wgmma; // by attention_backward_wgmma.cu
    void *dqkv, *dout, *out, *qkv, *lse;
    const struct attention_shape *shape;
    struct attention_sizes z;
};

// Blocks that share a head's tiles of keys: enough for one wave of a large chip, by shapes alone.
static int splits_of(const struct attention_sizes *z, bool wgmma) {
    int64_t blocks = (int64_t)z->sequences * z->kv_heads, wanted = z->size <= 64 && !wgmma ? 256 : 128;
    int tiles = (z->length + BACKWARD_KEYS - 1) / BACKWARD_KEYS, splits = 1;
    while (blocks * splits < wanted && 2 * splits <= tiles)
        splits *= 2;
    return splits;
}

// Queries of a head, with those that fill up its last tile.
static size_t padded_length(const struct attention_sizes *z, bool wgmma) {
    size_t tile = wgmma ? (size_t)WGMMA_STEP : (size_t)QUERY_TILE;
    return ((size_t)z->length + tile - 1) / tile * tile;
}

static size_t numbers_bytes(const struct attention_sizes *z, bool wgmma) {
    return (size_t)z->sequences * (size_t)z->heads * padded_length(z, wgmma) * sizeof(query_numbers);
}

// Numbers, the table of turns, sums of dq.
static size_t scratch_bytes(const struct attention_sizes *z, bool half, bool wgmma) {
    size_t rows = (size_t)z->sequences * (size_t)z->heads * padded_length(z, wgmma);
    return numbers_bytes(z, wgmma) + rotary_table_bytes(z->length, z->size) +
           (half ? rows * (size_t)splits_of(z, wgmma) * (size_t)kernel_size(z->size) * sizeof(float) : 0);
}

size_t cuda_attention_scratch(const struct cuda *s, const struct kernel_limits *l) {
    if (l->heads == 0)
        return 0;
    size_t most = rotary_table_bytes(l->length, l->head_size);
    if (!l->train)
        return most;
    for (int sequences = 1; sequences <= l->models * l->batch; sequences++) { // fewer of them may be split more
        struct attention_shape shape = {sequences, l->length, l->heads, l->kv_heads, l->head_size, 0};
        struct attention_sizes z = attention_sizes_of(&shape, 1);
        for (int wgmma = 0; wgmma <= has_wgmma(s, z.size); wgmma++) {
            size_t bytes = scratch_bytes(&z, s->half, wgmma != 0);
            most = bytes > most ? bytes : most;
        }
    }
    return most;
}

template <int D> constexpr int numbers_lanes = D == 96 ? 16 : D / 8;

// The table of turns, too; returns it (NULL: dq and dk leave as they are).
template <typename T, int LANES>
static const float *take_numbers(const struct backward_call *c, query_numbers *numbers, float unit) {
    size_t padded = padded_length(&c->z, c->wgmma), rows = (size_t)c->z.sequences * padded * (size_t)c->z.heads;
    float *turns = c->shape->theta == 0 || !turned_in_tiles(c->z.size)
                       ? NULL
                       : (float *)((char *)numbers + numbers_bytes(&c->z, c->wgmma));
    size_t turned = turns ? rotary_table_bytes(c->z.length, c->z.size) / (8 * sizeof(float)) : 0; // threads
    struct cuda_grid grid = {dim3(cuda_blocks(rows * LANES > turned ? rows * LANES : turned, NUMBERS_THREADS)),
                             NUMBERS_THREADS, 0};
    cuda_launch(c->s, "attention backward", attention_numbers<T, LANES>, grid, numbers, (const T *)c->out,
                (const T *)c->dout, (const float *)c->lse, c->z, (int)padded, unit, turns, (int)turned,
                kernel_size(c->z.size), rotary_half_turns(c->shape));
    return turns;
}

template <int D> static void run_float(const struct backward_call *c, query_numbers *numbers) {
    const struct attention_sizes *z = &c->z;
    const float *turns = take_numbers<float, numbers_lanes<D>>(c, numbers, 1);
    unsigned tiles = cuda_blocks((size_t)z->length, backward_rows<D>), sequences = (unsigned)z->sequences * tiles;
    size_t floats =
        2 * (backward_rows<D> + FLOAT_PASSING) * (size_t)(D + 4) + 2 * backward_rows<D> * FLOAT_WEIGHTS;
    struct cuda_grid grid = {dim3(sequences * (unsigned)z->kv_heads), FLOAT_THREADS, floats * sizeof(float)};
    cuda_launch(c->s, "attention backward", backward_float<D, true>, grid, (float *)c->dqkv,
                (const float *)c->dout, (const float *)c->qkv, numbers, turns, *z, (int)padded_length(z, false));
    grid.blocks.x = sequences * (unsigned)z->heads;
    cuda_launch(c->s, "attention backward", backward_float<D, false>, grid, (float *)c->dqkv,
                (const float *)c->dout, (const float *)c->qkv, numbers, turns, *z, (int)padded_length(z, false));
}

template <int D> static void run_half(const struct backward_call *c, query_numbers *numbers) {
    const struct attention_sizes *z = &c->z;
    bool lean = (size_t)backward_plan<D, false>::SHARED > c->s->shared_most;
    int step = c->wgmma ? WGMMA_STEP : lean ? backward_plan_least<D>::STEP : backward_plan<D, false>::STEP;
    struct backward_arrays a = {};
    a.turns = take_numbers<bf16, numbers_lanes<D>>(c, numbers, LOG2_E);
    a.dqkv = (bf16 *)c->dqkv;
    a.dout = (const bf16 *)c->dout;
    a.qkv = (const bf16 *)c->qkv;
    a.numbers = numbers;
    a.dq = (float *)((char *)numbers + numbers_bytes(z, c->wgmma) + rotary_table_bytes(z->length, z->size));
    a.splits = splits_of(z, c->wgmma);
    while (1 << a.split_bits < a.splits)
        a.split_bits++;
    a.query_tiles = (int)padded_length(z, c->wgmma) / step;
    if (c->wgmma)
        cuda_backward_wgmma(c->s, &a, z);
    else if (lean)
        launch_backward<backward_plan_least<D>>(c->s, backward_half<backward_plan_least<D>>, a, *z);
    else
        launch_backward<backward_plan<D, false>>(c->s, backward_half<backward_plan<D, false>>, a, *z);
}

template <int D> static void backward_of_size(const struct backward_call *c) {
    query_numbers *numbers = (query_numbers *)cuda_scratch(c->s, scratch_bytes(&c->z, c->s->half, c->wgmma));
    if (numbers && c->s->half)
        run_half<D>(c, numbers);
    else if (numbers)
        run_float<D>(c, numbers);
}

static void run_mma(struct cuda *s, void *call) {
    struct backward_call *c = (struct backward_call *)call;
    c->wgmma = false;
    switch (kernel_size(c->z.size)) {
    case 8:
        backward_of_size<8>(c);
        break;
    case 16:
        backward_of_size<16>(c);
        break;
    case 32:
        backward_of_size<32>(c);
        break;
    case 64:
        backward_of_size<64>(c);
        break;
    case 96:
        backward_of_size<96>(c);
        break;
    default:
        backward_of_size<128>(c);
    }
}

static void run_wgmma(struct cuda *s, void *call) {
    struct backward_call *c = (struct backward_call *)call;
    c->wgmma = true;
    if (kernel_size(c->z.size) == 64)
        backward_of_size<64>(c);
    else
        backward_of_size<128>(c);
}

void cuda_attention_backward(struct device *d, dptr dqkv, dptr dout, dptr out, dptr qkv, dptr lse,
                             const struct attention_shape *shape, int models) {
    struct backward_call c = {
        cuda_of(d), false, dqkv, dout, out, qkv, lse, shape, attention_sizes_of(shape, models)};
    attention_run(c.s, "backward", &c.z, run_mma, run_wgmma, &c);
    if (shape->theta != 0 && !turned_in_tiles(shape->head_size))
        cuda_rotary(c.s, dqkv, NULL, shape, models, 0, shape->heads + shape->kv_heads, -1);
}
