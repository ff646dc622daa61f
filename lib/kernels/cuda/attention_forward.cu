// Causal attention forward, blockwise with a running softmax (Dao 2023, FlashAttention-2): out = softmax(q k^T /
// sqrt(D)) v and the log-sum-exp of each row, without an S x S array.
#include "attention.cuh"
#include "attention_float.cuh"

// ---- bfloat16 ----

enum {
    FORWARD_THREADS = 128,
    FORWARD_QUERIES = 128, // of a block; 32 of a warp
    FORWARD_KEYS = 64,     // of a tile in shared memory
    FORWARD_UNIT = 32,     // keys that are weighed at once
    FORWARD_HEADS = 64,    // whose blocks follow each other in the grid
};

// Blocks that share a multiprocessor: as many as registers allow without spills, and shared memory (sm_80 has
// less).
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
template <int D> constexpr int forward_blocks = D <= 16 ? 4 : D <= 32 ? 3 : 2;
#else
template <int D> constexpr int forward_blocks = D <= 16 ? 4 : D <= 64 ? 3 : 2;
#endif
template <int D> constexpr bool forward_turns_keys = D <= 32;
// Queries stay in registers where the accumulators leave room.
template <int D> constexpr bool forward_keeps_queries = D < 128;
template <int D, int KEYS> constexpr size_t forward_shared = (FORWARD_QUERIES + 4 * KEYS) * row_bytes<D>;
// Keys of a tile where FORWARD_KEYS of them do not fit a chip's shared memory: the same sums in the same order.
template <int D>
constexpr int forward_keys_least = forward_shared<D, FORWARD_KEYS> > CUDA_SHARED_LEAST ? (int)FORWARD_UNIT
                                                                                       : (int)FORWARD_KEYS;
static_assert(forward_shared<128, forward_keys_least<128>> <= CUDA_SHARED_LEAST, "the largest heads fit any chip");

// 32 queries of a warp, from `row` on, against 32 keys from `key` on. scale: of scores, times log2 e
template <int D>
__device__ __forceinline__ void weigh_keys(running_softmax<D / 8> &r, float (&s)[2][4][4], int row, int key,
                                           float scale, int values, int lane) {
    if (key + FORWARD_UNIT - 1 > row) { // on the diagonal
        const int distance = row - key + (lane >> 2) - 2 * (lane & 3);
#pragma unroll
        for (int m = 0; m < 2; m++)
#pragma unroll
            for (int n = 0; n < 4; n++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    if (n * 8 + e % 2 - m * 16 - e / 2 * 8 > distance)
                        s[m][n][e] = -INFINITY;
    }
    follow_scores(r, s, scale);
    uint32_t weights[2][2][4]; // the accumulators' layout is that of an A operand
#pragma unroll
    for (int n = 0; n < 4; n++)
#pragma unroll
        for (int m = 0; m < 2; m++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                float low = exp2_fast(fmaf(s[m][n][2 * half], scale, -r.reference[m][half]));
                float high = exp2_fast(fmaf(s[m][n][2 * half + 1], scale, -r.reference[m][half]));
                r.weight[m][half] += low + high;
                weights[n / 2][m][n % 2 * 2 + half] = pack_bf16(low, high);
            }
    multiply_columns<D, 2, D / 8>(r.sum, weights, values);
}

// out and lse of 128 queries of one head. 4 warps of 32 queries each; keys and values pass through two tiles of
// KEYS in shared memory, filled by asynchronous copies one tile ahead. A warp weighs 32 keys at a time: 16 K/V
// fragments serve two groups of 16 queries (with one, shared memory would be slower than the tensor cores), scores
// and weights stay in registers, keys that all its queries precede are left out.
//
// Floor: 4 D FLOPs per pair of a query and a key at the tensor cores' rate (mma.sync: about 0.6 of wgmma's on
// sm_90), and one exponential per pair, 16 in a clock of a multiprocessor: three times as long as the products at
// D = 8, as long at D = 32, half as long at D = 64. Memory: qkv once, out once (keys and values are read again by
// S / 128 blocks, from L2: 64 heads are neighbours in the grid). Late queries, with the most keys, come first, so
// that the chip ends evenly. Deterministic: a row's sums run over keys in order, in one warp.
//
// q is turned in shared memory when the block has loaded it, each row by the warp that reads it, while the first
// keys are under way; with lse it goes to its place in qkv as well. k was turned before, or, where `turn_keys`, is
// turned in each tile that has come.
template <int D, int KEYS>
__global__ void __launch_bounds__(FORWARD_THREADS, forward_blocks<D>)
    forward_half(bf16 *out, float *lse, bf16 *qkv, const float *turns, bool turn_keys, attention_sizes z) {
    constexpr int row_size = row_bytes<D>, tile_bytes = KEYS * row_size;
    const int warp = same_in_warp((int)threadIdx.x / 32), lane = (int)threadIdx.x % 32;
    const int index = (int)(blockIdx.z * FORWARD_HEADS + blockIdx.x); // of the head
    if (index >= z.sequences * z.heads)
        return;
    const int sequence = same_in_warp(index / z.heads), head = index - sequence * z.heads;
    const int kv = same_in_warp(head / z.group);
    const int first = (int)(gridDim.y - 1 - blockIdx.y) * FORWARD_QUERIES, row = first + warp * 32;
    const bf16 *keys = qkv + key_offset(z, sequence, 0, kv);
    constexpr int query_tile = 0, tile = FORWARD_QUERIES * row_size;

    copy_rows<D, FORWARD_QUERIES, FORWARD_THREADS>(query_tile, qkv + query_offset(z, sequence, first, head),
                                                   z.width, z.length - first, z);
    copy_async_commit();
    copy_rows<D, KEYS, FORWARD_THREADS>(tile, keys, z.width, z.length, z);
    copy_rows<D, KEYS, FORWARD_THREADS>(tile + tile_bytes, keys + z.values, z.width, z.length, z);
    copy_async_commit();

    copy_async_wait<1>();
    __syncthreads(); // queries have come
    if (turns && row < z.length)
        turn_rows<D, 32, 32>(query_tile + warp * 32 * row_size, turns + (int64_t)row * D, thread_anew() & 31,
                             lse ? qkv + query_offset(z, sequence, row, head) : NULL, z.width, z.length - row, z);
    __syncwarp();
    const int queries = query_tile + warp * 32 * row_size + lane_a<D>(lane);
    uint32_t query[forward_keeps_queries<D> ? steps_of<D> : 1][2][4];
    if (forward_keeps_queries<D>) {
#pragma unroll
        for (int k = 0; k < steps_of<D>; k++)
#pragma unroll
            for (int m = 0; m < 2; m++)
                load_a<D>(query[k][m], queries, m, k);
    }
    running_softmax<D / 8> r;
    start(r, -INFINITY);                                     // finite from the first keys on: all rows see key 0
    const int last = min(first + FORWARD_QUERIES, z.length); // keys from here on are of no use to this block
    for (int key = 0; key < last; key += KEYS) {
        const int turn = key / KEYS % 2;
        // Behind the barrier: this tile has come, and no one reads the other any more.
        copy_async_wait<0>();
        __syncthreads();
        if (key + KEYS < last) {
            const int next = tile + (turn ^ 1) * 2 * tile_bytes, rest = z.length - key - KEYS;
            keys += (int64_t)KEYS * z.width;
            copy_rows<D, KEYS, FORWARD_THREADS>(next, keys, z.width, rest, z);
            copy_rows<D, KEYS, FORWARD_THREADS>(next + tile_bytes, keys + z.values, z.width, rest, z);
            copy_async_commit();
        }
        if (forward_turns_keys<D> && turn_keys) {
            turn_rows<D, KEYS, FORWARD_THREADS>(tile + turn * 2 * tile_bytes, turns + (int64_t)key * D,
                                                (int)threadIdx.x, NULL, 0, 0, z);
            __syncthreads();
        }
#pragma unroll 1
        for (int unit = 0; unit < KEYS; unit += FORWARD_UNIT) {
            if (row >= z.length || key + unit > row + 31) // the same for the whole warp
                break;
            const int key_rows = tile + turn * 2 * tile_bytes + unit * row_size;
            float s[2][4][4];
            clear(s);
#pragma unroll
            for (int k = 0; k < steps_of<D>; k++) {
                if (!forward_keeps_queries<D>)
#pragma unroll
                    for (int m = 0; m < 2; m++)
                        load_a<D>(query[0][m], queries, m, k);
                multiply_rows<D, 2, 4>(s, query[forward_keeps_queries<D> ? k : 0], key_rows + lane_b<D>(lane), k);
            }
            weigh_keys<D>(r, s, row, key + unit, z.scale_2, key_rows + tile_bytes + lane_b_rows<D>(lane), lane);
        }
    }
    if (row >= z.length)
        return;

    float inverse[2][2];
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float sum = r.weight[m][half];
            sum += __shfl_xor_sync(0xffffffffu, sum, 1);
            sum += __shfl_xor_sync(0xffffffffu, sum, 2);
            inverse[m][half] = 1 / sum;
            int at = row + m * 16 + half * 8 + (lane >> 2);
            if (lse && (lane & 3) == 0 && at < z.length)
                lse[(int64_t)index * z.length + at] = r.reference[m][half] * LN_2 + logf(sum);
        }
    write_rows<D, 2>(out + (((int64_t)sequence * z.length + row) * z.heads + head) * z.size, z.heads * z.size,
                     z.length - row, z, query_tile + warp * 32 * row_size, r.sum, inverse, lane);
}

// ---- the operation ----

// Turning keys where they are used pays where few blocks use a key: a pair costs about 12 instructions each time,
// by calculation 0.4 ps of an H100, against 8 bytes of memory traffic, 2.4 ps, or 1 from L2. In training they have
// to be written turned anyway. The shape alone decides, and the bytes are the same.
static bool few_blocks(const struct attention_sizes *z) {
    int64_t tiles = (z->length + FORWARD_QUERIES - 1) / FORWARD_QUERIES;
    return z->size <= 32 && (tiles + 1) * z->group <= 4; // twice the blocks of a key
}

// Turns what the kernel does not: keys; in float32, or where a head cannot be turned in tiles, queries too. False
// where scratch is short.
static bool turn(struct cuda *s, struct forward_call *c, const struct attention_shape *shape, int models) {
    if (shape->theta == 0)
        return true;
    float *turns = (float *)cuda_scratch(s, rotary_table_bytes(shape->length, shape->head_size));
    if (!turns)
        return false;
    if (!s->half || !turned_in_tiles(shape->head_size)) {
        cuda_rotary(s, c->qkv, turns, shape, models, 0, shape->heads + shape->kv_heads, 1);
        return true;
    }
    c->turns = turns;
    c->turn_keys = !c->lse && few_blocks(&c->z);
    cuda_rotary(s, c->qkv, turns, shape, models, shape->heads, c->turn_keys ? 0 : shape->kv_heads, 1);
    return true;
}

template <int D, int KEYS> static void run_half(struct cuda *s, const struct forward_call *c, size_t heads) {
    struct cuda_grid grid = {dim3((unsigned)(heads < FORWARD_HEADS ? heads : (size_t)FORWARD_HEADS),
                                  cuda_blocks((size_t)c->z.length, FORWARD_QUERIES),
                                  cuda_blocks(heads, FORWARD_HEADS)),
                             FORWARD_THREADS, forward_shared<D, KEYS>};
    cuda_launch(s, "attention forward", forward_half<D, KEYS>, grid, (bf16 *)c->out, (float *)c->lse,
                (bf16 *)c->qkv, c->turns, c->turn_keys, c->z);
}

template <int D> static void forward_of_size(struct cuda *s, const struct forward_call *c) {
    size_t heads = (size_t)c->z.sequences * (size_t)c->z.heads, length = (size_t)c->z.length;
    if (s->half && forward_shared<D, FORWARD_KEYS> <= s->shared_most) {
        run_half<D, FORWARD_KEYS>(s, c, heads);
    } else if (s->half) {
        run_half<D, forward_keys_least<D>>(s, c, heads);
    } else {
        size_t floats = (FLOAT_ROWS + 2 * FLOAT_PASSING) * (size_t)(D + 4) + FLOAT_ROWS * FLOAT_WEIGHTS;
        struct cuda_grid grid = {dim3((unsigned)heads * cuda_blocks(length, FLOAT_ROWS)), FLOAT_THREADS,
                                 floats * sizeof(float)};
        cuda_launch(s, "attention forward", forward_float<D>, grid, (float *)c->out, (float *)c->lse,
                    (const float *)c->qkv, c->z);
    }
}

static void run_mma(struct cuda *s, void *call) {
    const struct forward_call *c = (const struct forward_call *)call;
    switch (kernel_size(c->z.size)) {
    case 8:
        forward_of_size<8>(s, c);
        break;
    case 16:
        forward_of_size<16>(s, c);
        break;
    case 32:
        forward_of_size<32>(s, c);
        break;
    case 64:
        forward_of_size<64>(s, c);
        break;
    case 96:
        forward_of_size<96>(s, c);
        break;
    default:
        forward_of_size<128>(s, c);
    }
}

void cuda_attention_forward(struct device *d, dptr out, dptr lse, dptr qkv, const struct attention_shape *shape,
                            int models) {
    struct cuda *s = cuda_of(d);
    struct forward_call c = {out, lse, qkv, NULL, false, attention_sizes_of(shape, models)};
    if (turn(s, &c, shape, models))
        attention_run(s, "forward", &c.z, run_mma, cuda_forward_wgmma, &c);
}
