// The classifier of small models in training: log-probs and both gradients without any logits in memory.
//
// What a logit costs decides. Through memory (classifier.cu) it is 14 bytes (float32 written and read, its
// gradient written once and read twice) and 6 H FLOPs; here it is computed twice, 8 H FLOPs and two exponentials,
// and no bytes. By an H100's data sheet 14 bytes take 2.5 ps (L2) to 4.7 ps (memory), 2 H FLOPs of mma.sync 0.3 ps
// at H = 96: up to H = 128, where registers end (the gradient of 32 rows takes H of them), nothing speaks for
// memory.
//
// It is attention without a mask, twice. With x as queries and the weights as keys and values, a row's running
// softmax gives its log-prob and sum_v p_v w_v, so dx = scale (sum_v p_v w_v - w_t). Then, with the weights as
// queries, x as keys and values, and the rows' log-sum-exps known, dw_v += scale sum_r (p_rv - [v = t_r]) x_r.
// Weights are rounded to bfloat16 without the target's, which may cancel: it is added in float32 to dx, and
// subtracted before rounding in dw, as where logits are kept.
#include "classifier.cuh"

// What the second kernel needs of the rows: float32 log-sum-exps in powers of two and targets, [models, padded];
// +Inf and TARGET_NONE where a row predicts nothing, and behind the last row.
struct train {
    float *logprob;
    bf16 *dx;
    float *dw, *part; // part: [splits, models, vocab * hidden], where rows are split
    float *lse;
    uint32_t *row_targets;
    const bf16 *x, *w;
    const uint32_t *targets;
    const float *scale;
    size_t stride, token_stride;
    uint32_t rows, padded, split_rows, hidden, vocab; // split_rows: of a block of the second kernel
};

template <int STEPS> constexpr bool keeps_own = STEPS < 8; // in registers; otherwise in shared memory
template <int STEPS> constexpr int stages = keeps_own<STEPS> ? 3 : 2;
template <int STEPS> constexpr int tile_elements = SMALL_TILE *pitch<STEPS>;
template <int STEPS> constexpr int own_operands = keeps_own<STEPS> ? STEPS : 1;
enum { NOTES = 2 * SMALL_TILE * 4 }; // bytes of a tile's log-sum-exps and targets
template <int STEPS> constexpr int own_elements = keeps_own<STEPS> ? 0 : SMALL_ROWS *pitch<STEPS>;
template <int STEPS>
constexpr size_t shared_bytes = (own_elements<STEPS> + stages<STEPS> * tile_elements<STEPS>)*sizeof(bf16);
static_assert((int)SMALL_ROWS <= stages<2> * (int)SMALL_TILE,
              "the block's own rows pass through the tiles' memory");

// The block's own rows, as A operands in registers or where operand() reads them from.
template <int STEPS>
__device__ __forceinline__ void take_own(uint32_t (&a)[own_operands<STEPS>][2][4], bf16 *shared,
                                         const bf16 *matrix, uint32_t first, uint32_t rows, uint32_t hidden) {
    copy_rows<STEPS, SMALL_ROWS>(shared, matrix, first, rows, hidden);
    copy_async_commit();
    if (!keeps_own<STEPS>)
        return; // behind the loop's barrier
    copy_async_wait<0>();
    __syncthreads();
#pragma unroll
    for (int k = 0; k < own_operands<STEPS>; k++)
        load_own<STEPS>(a[k], shared + threadIdx.x / 32 * 32 * pitch<STEPS>, k);
    __syncthreads(); // the tiles overwrite them
}

template <int STEPS>
__device__ __forceinline__ void score_unit(float (&z)[2][4][4], uint32_t (&a)[own_operands<STEPS>][2][4],
                                           const bf16 *shared, const bf16 *tile) {
#pragma unroll
    for (int k = 0; k < STEPS; k++) {
        if (!keeps_own<STEPS>)
            load_own<STEPS>(a[0], shared + threadIdx.x / 32 * 32 * pitch<STEPS>, k);
        add_scores<STEPS>(z, a[keeps_own<STEPS> ? k : 0], tile, k);
    }
}

// sum[32 rows][H] += weights[32][32] passing[32][H]; the accumulators' layout is that of an A operand.
template <int STEPS>
__device__ __forceinline__ void add_weighted(float (&sum)[2][STEPS * 2][4], const uint32_t (&weights)[2][2][4],
                                             const bf16 *tile) {
    uint32_t lane = threadIdx.x % 32;
#pragma unroll
    for (int k = 0; k < 2; k++)
#pragma unroll
        for (int n = 0; n < STEPS; n++) {
            uint32_t b[4];
            ldmatrix_x4_transposed(b, tile + (k * 16 + lane % 16) * pitch<STEPS> + n * 16 + lane / 16 * 8);
#pragma unroll
            for (int m = 0; m < 2; m++) {
                mma_16x8x16(sum[m][2 * n], weights[k][m], b);
                mma_16x8x16(sum[m][2 * n + 1], weights[k][m], b + 2);
            }
        }
}

// ---- log-probs and dx ----

template <int STEPS> struct own_rows : running_softmax<STEPS * 2> {
    float at_target[2][2]; // the target's score, on the lane that has seen it
    uint32_t target[2][2];
};

// 32 rows against vocabulary entries base .. base + 31; the lane's columns are base + 2 (lane % 4) + {0, 1, 8, 9
// ..}.
template <int STEPS>
__device__ __forceinline__ void weigh(own_rows<STEPS> &s, float (&z)[2][4][4], uint32_t (&weights)[2][2][4],
                                      uint32_t base, uint32_t vocab) {
    uint32_t column = base + threadIdx.x % 4 * 2;
    if (base + 32 > vocab) // zeros that the weights do not have
#pragma unroll
        for (int m = 0; m < 2; m++)
#pragma unroll
            for (int n = 0; n < 4; n++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    if (column + n * 8 + e % 2 >= vocab)
                        z[m][n][e] = -INFINITY;
    follow_scores(s, z, LOG2_E);
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int r = 0; r < 2; r++) {
            uint32_t at = s.target[m][r] - column;
            bool here = at < 32;
#pragma unroll
            for (int n = 0; n < 4; n++) {
                float low = exp2_fast(fmaf(z[m][n][2 * r], LOG2_E, -s.reference[m][r]));
                float high = exp2_fast(fmaf(z[m][n][2 * r + 1], LOG2_E, -s.reference[m][r]));
                s.weight[m][r] += low + high;
                if (here) { // the target has its share of the sum, and its part of dx comes at the end
                    if (at == (uint32_t)n * 8) {
                        s.at_target[m][r] = z[m][n][2 * r];
                        low = 0;
                    }
                    if (at == (uint32_t)n * 8 + 1) {
                        s.at_target[m][r] = z[m][n][2 * r + 1];
                        high = 0;
                    }
                }
                weights[n / 2][m][n % 2 * 2 + r] = pack_bf16(low, high);
            }
        }
}

// The row's log-prob, its notes, and dx.
template <int STEPS>
__device__ __forceinline__ void finish_row(const own_rows<STEPS> &s, const struct train &q, int m, int r,
                                           uint32_t row) {
    uint32_t lane = threadIdx.x % 32, target = s.target[m][r];
    float weight = s.weight[m][r], at_target = s.at_target[m][r]; // zero on three of the row's four lanes
    weight += __shfl_xor_sync(0xffffffffu, weight, 1);
    weight += __shfl_xor_sync(0xffffffffu, weight, 2);
    at_target += __shfl_xor_sync(0xffffffffu, at_target, 1);
    at_target += __shfl_xor_sync(0xffffffffu, at_target, 2);
    bool none = target == TARGET_NONE, valid = target < q.vocab;
    float reference = s.reference[m][r], distance = fmaf(at_target, LOG2_E, -reference);
    if (lane % 4 == 0) { // rows behind the last one have notes
        size_t note = (size_t)blockIdx.y * q.padded + row;
        q.lse[note] = none ? INFINITY : reference + log2f(weight);
        q.row_targets[note] = target;
    }
    if (row >= q.rows)
        return;
    size_t at = (size_t)blockIdx.y * q.rows + row;
    if (lane % 4 == 0)
        q.logprob[at] = none ? 0 : valid ? (distance - log2f(weight)) * (1 / LOG2_E) : NAN;
    float scale = none ? 0 : q.scale[blockIdx.y], factor = none ? 0 : scale / weight;
    float target_factor = valid ? scale * (exp2_fast(distance) / weight - 1) : 0;
    const bf16 *w = q.w + blockIdx.y * q.stride + (size_t)(valid ? target : 0) * q.hidden;
    bf16 *dx = q.dx + at * q.hidden;
#pragma unroll
    for (int n = 0; n < STEPS * 2; n++) {
        uint32_t column = n * 8 + lane % 4 * 2;
        if ((uint32_t)n * 8 >= q.hidden)
            break;
        float target_row[2], sum[2];
        load<bf16, 2>(target_row, w + column);
#pragma unroll
        for (int j = 0; j < 2; j++)
            sum[j] = none ? 0 : fmaf(s.sum[m][n][2 * r + j], factor, target_row[j] * target_factor);
        store<bf16, 2>(dx + column, sum);
    }
}

// Log-probs and dx of 128 rows of a model (blockIdx.y), 32 a warp. Tiles of 64 vocabulary entries pass through two
// or three stages of shared memory by asynchronous copies, are scored 32 at a time, weighed, and multiplied again
// as they lie. Floor: 4 R V H FLOPs of the tensor cores (mma.sync: about 0.6 of wgmma's rate on sm_90) and R V
// exponentials, 16 a cycle and processor: at H = 96 a quarter as long, in other warps. From memory x, dx and the
// weights once; from L2 the weights once for every 128 rows. Deterministic: a row's sums run over the vocabulary
// in order, in one warp.
template <int STEPS> __global__ void __launch_bounds__(SMALL_THREADS, 2) classify_rows(struct train q) {
    bf16 *shared = (bf16 *)shared_memory, *tiles_at = shared + own_elements<STEPS>;
    const uint32_t lane = threadIdx.x % 32, first = blockIdx.x * SMALL_ROWS;
    const uint32_t own = first + threadIdx.x / 32 * 32 + lane / 4;
    const bf16 *w = q.w + blockIdx.y * q.stride;
    uint32_t a[own_operands<STEPS>][2][4];
    take_own<STEPS>(a, shared, q.x + (size_t)blockIdx.y * q.rows * q.hidden, first, q.rows, q.hidden);
    own_rows<STEPS> s;
    start(s, LEAST_LOGIT * LOG2_E);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        uint32_t row = own + i * 8;
        s.at_target[i / 2][i % 2] = 0;
        s.target[i / 2][i % 2] = row < q.rows ? q.targets[blockIdx.y * q.token_stride + row] : TARGET_NONE;
    }
    constexpr int most = stages<STEPS>;
    const uint32_t tiles = (q.vocab + SMALL_TILE - 1) / SMALL_TILE;
#pragma unroll
    for (uint32_t t = 0; t < most - 1; t++) {
        copy_rows<STEPS, SMALL_TILE>(tiles_at + t * tile_elements<STEPS>, w, t * SMALL_TILE, q.vocab, q.hidden);
        copy_async_commit();
    }
    uint32_t stage = 0, next = most - 1;
#pragma unroll 1
    for (uint32_t t = 0; t < tiles; t++) {
        copy_async_wait<most - 2>();
        __syncthreads(); // this tile is there, and the one before is read
        if (t + most - 1 < tiles)
            copy_rows<STEPS, SMALL_TILE>(tiles_at + next * tile_elements<STEPS>, w, (t + most - 1) * SMALL_TILE,
                                         q.vocab, q.hidden);
        copy_async_commit();
#pragma unroll 1
        for (uint32_t unit = 0; unit < SMALL_TILE; unit += 32) {
            const bf16 *tile = tiles_at + stage * tile_elements<STEPS> + unit * pitch<STEPS>;
            float z[2][4][4] = {};
            uint32_t weights[2][2][4];
            score_unit<STEPS>(z, a, shared, tile);
            weigh<STEPS>(s, z, weights, t * SMALL_TILE + unit, q.vocab);
            add_weighted<STEPS>(s.sum, weights, tile);
        }
        stage = stage + 1 == most ? 0 : stage + 1;
        next = next + 1 == most ? 0 : next + 1;
    }
    copy_async_wait<0>();
#pragma unroll
    for (int i = 0; i < 4; i++)
        finish_row<STEPS>(s, q, i / 2, i % 2, own + i * 8);
}

// ---- dw ----

// Weights of 32 vocabulary entries (of the warp, from `entry` on) for 32 rows: p - [the row's target].
__device__ __forceinline__ void weigh_rows(float (&z)[2][4][4], uint32_t (&weights)[2][2][4], const float *lse,
                                           const uint32_t *targets, uint32_t entry) {
    uint32_t lane = threadIdx.x % 32;
    bool hit = __ballot_sync(0xffffffffu, targets[lane] - entry < 32) != 0;
#pragma unroll
    for (int n = 0; n < 4; n++) {
        float row_lse[2];
        load<float, 2>(row_lse, lse + n * 8 + lane % 4 * 2);
#pragma unroll
        for (int m = 0; m < 2; m++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                z[m][n][e] = exp2_fast(fmaf(z[m][n][e], LOG2_E, -row_lse[e % 2]));
        if (hit)
#pragma unroll
            for (int j = 0; j < 2; j++) {
                uint32_t at = targets[n * 8 + lane % 4 * 2 + j] - entry - lane / 4;
#pragma unroll
                for (int i = 0; i < 4; i++)
                    z[i / 2][n][i % 2 * 2 + j] -= at == (uint32_t)i * 8 ? 1 : 0;
            }
#pragma unroll
        for (int m = 0; m < 2; m++)
#pragma unroll
            for (int r = 0; r < 2; r++)
                weights[n / 2][m][n % 2 * 2 + r] = pack_bf16(z[m][n][2 * r], z[m][n][2 * r + 1]);
    }
}

// A tile of rows of x, and its notes behind it.
template <int STEPS>
__device__ __forceinline__ void copy_noted(bf16 *shared, char *notes, const struct train &q, uint32_t first) {
    copy_rows<STEPS, SMALL_TILE>(shared, q.x + (size_t)blockIdx.y * q.rows * q.hidden, first, q.rows, q.hidden);
    size_t note = (size_t)blockIdx.y * q.padded + first + threadIdx.x % 16 * 4;
    if (threadIdx.x < 32)
        copy_async_16(notes + threadIdx.x * 16,
                      threadIdx.x < 16 ? (const void *)(q.lse + note) : q.row_targets + note, true);
}

// dw of 128 vocabulary entries of a model (blockIdx.y), 32 a warp, over the rows of a split (blockIdx.z): as
// classify_rows, with the rows' log-sum-exps known. Floor: 4 R V H FLOPs and R V exponentials; from memory x once
// and dw twice; from L2 x once for every 128 entries. Deterministic: an entry's sum runs over rows in order, in
// one warp; splits, of which there are more than one only where entries are too few to fill a chip, are added in
// order.
template <int STEPS> __global__ void __launch_bounds__(SMALL_THREADS, 2) classify_entries(struct train q) {
    bf16 *shared = (bf16 *)shared_memory, *tiles_at = shared + own_elements<STEPS>;
    const uint32_t lane = threadIdx.x % 32, first = blockIdx.x * SMALL_ROWS, warp = threadIdx.x / 32;
    constexpr int most = stages<STEPS>;
    char *notes = (char *)(tiles_at + most * tile_elements<STEPS>);
    uint32_t a[own_operands<STEPS>][2][4];
    take_own<STEPS>(a, shared, q.w + blockIdx.y * q.stride, first, q.vocab, q.hidden);
    float sum[2][STEPS * 2][4];
    clear(sum);
    const uint32_t begin = blockIdx.z * q.split_rows, end = min(begin + q.split_rows, q.rows);
#pragma unroll
    for (uint32_t t = 0; t < most - 1; t++) {
        if (begin + t * SMALL_TILE < end)
            copy_noted<STEPS>(tiles_at + t * tile_elements<STEPS>, notes + t * NOTES, q, begin + t * SMALL_TILE);
        copy_async_commit();
    }
    uint32_t stage = 0, next = most - 1;
#pragma unroll 1
    for (uint32_t row = begin; row < end; row += SMALL_TILE) {
        copy_async_wait<most - 2>();
        __syncthreads(); // this tile is there, and the one before is read
        if (row + (most - 1) * SMALL_TILE < end)
            copy_noted<STEPS>(tiles_at + next * tile_elements<STEPS>, notes + next * NOTES, q,
                              row + (most - 1) * SMALL_TILE);
        copy_async_commit();
#pragma unroll 1
        for (uint32_t unit = 0; unit < SMALL_TILE; unit += 32) {
            const bf16 *tile = tiles_at + stage * tile_elements<STEPS> + unit * pitch<STEPS>;
            const float *lse = (const float *)(notes + stage * NOTES) + unit;
            float z[2][4][4] = {};
            uint32_t weights[2][2][4];
            score_unit<STEPS>(z, a, shared, tile);
            weigh_rows(z, weights, lse, (const uint32_t *)lse + SMALL_TILE, first + warp * 32);
            add_weighted<STEPS>(sum, weights, tile);
        }
        stage = stage + 1 == most ? 0 : stage + 1;
        next = next + 1 == most ? 0 : next + 1;
    }
    copy_async_wait<0>();
    const float scale = q.scale[blockIdx.y];
    const size_t size = (size_t)q.vocab * q.hidden;
    float *dw =
        q.part ? q.part + ((size_t)blockIdx.z * gridDim.y + blockIdx.y) * size : q.dw + blockIdx.y * q.stride;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        uint32_t entry = first + warp * 32 + i * 8 + lane / 4;
        if (entry >= q.vocab)
            break;
#pragma unroll
        for (int n = 0; n < STEPS * 2; n++) {
            if ((uint32_t)n * 8 >= q.hidden)
                break;
            float *to = dw + (size_t)entry * q.hidden + n * 8 + lane % 4 * 2, before[2] = {0, 0};
            if (!q.part)
                load<float, 2>(before, to);
#pragma unroll
            for (int j = 0; j < 2; j++)
                before[j] = fmaf(sum[i / 2][n][i % 2 * 2 + j], scale, before[j]);
            store<float, 2>(to, before);
        }
    }
}

// dw += the splits' parts, in order. Floor: 4 bytes per element and split, and 8.
__global__ void __launch_bounds__(256)
    add_parts(float *dw, const float *part, size_t size, size_t stride, uint32_t splits) {
    size_t i = ((size_t)blockIdx.x * 256 + threadIdx.x) * 4;
    if (i >= size)
        return; // a multiple of 8
    dw += blockIdx.y * stride + i;
    part += blockIdx.y * size + i;
    float sum[4], x[4];
    load<float, 4>(sum, dw);
    for (uint32_t k = 0; k < splits; k++, part += gridDim.y * size) {
        load<float, 4>(x, part);
#pragma unroll
        for (int j = 0; j < 4; j++)
            sum[j] += x[j];
    }
    store<float, 4>(dw, sum);
}

// ---- on the host ----

// Blocks that fill the largest chip that is served (132 processors, two blocks each), and the fewest rows and the
// most splits that are worth their sums.
enum { ENOUGH_BLOCKS = 264, LEAST_SPLIT = 512, MOST_SPLITS = 8 };

struct plan {
    size_t padded, split_rows, splits; // of rows
    size_t part, notes;                // bytes
};

static struct plan plan_of(size_t models, size_t rows, size_t hidden, size_t vocab) {
    struct plan p;
    size_t blocks = models * ((vocab + SMALL_ROWS - 1) / SMALL_ROWS), splits = ENOUGH_BLOCKS / blocks;
    splits = splits < MOST_SPLITS ? splits : (size_t)MOST_SPLITS;
    splits = splits < rows / LEAST_SPLIT ? splits : rows / LEAST_SPLIT;
    splits = splits > 1 ? splits : 1;
    p.split_rows = ((rows + splits - 1) / splits + SMALL_TILE - 1) / SMALL_TILE * SMALL_TILE;
    p.splits = (rows + p.split_rows - 1) / p.split_rows;
    p.padded = (rows + SMALL_ROWS - 1) / SMALL_ROWS * SMALL_ROWS;
    p.part = p.splits > 1 ? p.splits * models * vocab * hidden * sizeof(float) : 0;
    p.notes = models * p.padded * sizeof(float);
    return p;
}

// Enough for fewer models, rows too: those may have more splits.
size_t cuda_classifier_train_scratch(size_t models, size_t rows, size_t hidden, size_t vocab) {
    size_t most = 0;
    for (size_t g = 1; g <= models && (g == 1 || g * vocab <= (size_t)ENOUGH_BLOCKS * SMALL_ROWS); g++) {
        struct plan p = plan_of(g, rows, hidden, vocab);
        most = p.part > most ? p.part : most;
    }
    return most + 2 * plan_of(models, rows, hidden, vocab).notes;
}

template <int STEPS>
static void run(struct cuda *s, const struct train *q, const struct plan *p, unsigned models) {
    struct cuda_grid grid = {dim3((unsigned)(p->padded / SMALL_ROWS), models), SMALL_THREADS, shared_bytes<STEPS>};
    cuda_launch(s, "classifier", classify_rows<STEPS>, grid, *q);
    grid.blocks = dim3(cuda_blocks(q->vocab, SMALL_ROWS), models, (unsigned)p->splits);
    grid.shared += stages<STEPS> * NOTES;
    cuda_launch(s, "classifier", classify_entries<STEPS>, grid, *q);
    size_t size = (size_t)q->vocab * q->hidden;
    struct cuda_grid adding = {dim3(cuda_blocks(size, 1024), models), 256, 0};
    if (q->part)
        cuda_launch(s, "classifier", add_parts, adding, q->dw, (const float *)q->part, size, q->stride,
                    (uint32_t)p->splits);
}

bool cuda_classifier_train(struct cuda *s, const struct kernel_models *m, dptr logprob, dptr dx, dptr dw, dptr x,
                           dptr w, dptr targets, dptr scale, int rows, int hidden, int vocab) {
    if (!cuda_classifier_small(s->half, hidden) || m->stride % 8 != 0 || !cuda_aligned(x) || !cuda_aligned(w) ||
        !cuda_aligned(dx) || !cuda_aligned(dw))
        return false;
    struct plan p = plan_of((size_t)m->count, (size_t)rows, (size_t)hidden, (size_t)vocab);
    char *scratch = (char *)cuda_scratch(s, p.part + 2 * p.notes);
    struct train q = {};
    q.logprob = (float *)logprob;
    q.dx = (bf16 *)dx;
    q.dw = (float *)dw;
    q.lse = (float *)scratch;
    q.row_targets = (uint32_t *)(scratch + p.notes);
    q.part = p.part > 0 ? (float *)(scratch + 2 * p.notes) : NULL;
    q.x = (const bf16 *)x;
    q.w = (const bf16 *)w;
    q.targets = (const uint32_t *)targets;
    q.scale = (const float *)scale;
    q.stride = m->stride;
    q.token_stride = m->token_stride;
    q.rows = (uint32_t)rows;
    q.padded = (uint32_t)p.padded;
    q.split_rows = (uint32_t)p.split_rows;
    q.hidden = (uint32_t)hidden;
    q.vocab = (uint32_t)vocab;
    unsigned models = (unsigned)m->count;
    if (!scratch) // the failure is kept
        return true;
    if (hidden <= 32)
        run<2>(s, &q, &p, models);
    else if (hidden <= 64)
        run<4>(s, &q, &p, models);
    else if (hidden <= 96)
        run<6>(s, &q, &p, models);
    else
        run<8>(s, &q, &p, models);
    return true;
}
