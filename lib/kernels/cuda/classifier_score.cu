// The classifier of small models in scoring: log-probs without any logits in memory.
//
// For hidden sizes up to 128 a product of few steps leaves 4 bytes for every 2 H floating-point operations, so
// writing the logits and reading them again costs more than computing them. Here they stay in registers: a block
// keeps 128 rows of x as fragments of the tensor cores, the weights pass by in tiles of 64 vocabulary entries, and
// each row carries the maximum and the sum of exponentials of what it has seen. One order for every sum, which the
// shape of one model decides: the same bytes for G models at once and one by one.
#include "classifier.cuh"

enum { STAGES = 3 };

struct score {
    float *logprob;
    const bf16 *x, *w;
    const uint32_t *targets;
    size_t stride, token_stride;
    uint32_t rows, hidden, vocab;
};

// What a row has seen, in units of log 2: `most` is the largest logit times log2 e as rounded in float32, and
// `sum` and the log-prob both use that very number, so its rounding cancels.
struct seen {
    float most, sum, at_target;
    uint32_t target;
};

// One row's logits of columns base + {0, 1, 8, 9, 16, 17, 24, 25}
__device__ __forceinline__ void see(struct seen &s, const float z[8], uint32_t base) {
    float largest = z[0];
#pragma unroll
    for (int j = 1; j < 8; j++)
        largest = fmaxf(largest, z[j]);
    float most = fmaxf(s.most, largest * LOG2_E), sum = s.sum * exp2_fast(s.most - most);
#pragma unroll
    for (int j = 0; j < 8; j++)
        sum += exp2_fast(fmaf(z[j], LOG2_E, -most));
    s.most = most;
    s.sum = sum;
    uint32_t at = s.target - base;
    if (at >= 32)
        return;
#pragma unroll
    for (int j = 0; j < 8; j++)
        if (at == (uint32_t)(j / 2 * 8 + j % 2))
            s.at_target = z[j];
}

// logprob of 128 rows. STEPS = ceil(H / 16) (or more: zeros). Warp w has rows 32 w .. 32 w + 31, as two fragments
// of A in 8 STEPS registers; 32 columns of logits at a time in 32 more. Floor: 2 R V H operations of the tensor
// cores, and R V exponentials at 16 a cycle and processor: at H = 96, 8 cycles for 128 logits beside 6 to 12 of
// the tensor cores, in different warps. From memory x once; from L2 the weights once for every 128 rows.
template <int STEPS> __global__ void __launch_bounds__(SMALL_THREADS, 3) score_rows(struct score q) {
    bf16 *shared = (bf16 *)shared_memory;
    uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32, first = blockIdx.x * SMALL_ROWS;
    const bf16 *w = q.w + blockIdx.y * q.stride;
    uint32_t a[STEPS][2][4];
    copy_rows<STEPS, SMALL_ROWS>(shared, q.x + (size_t)blockIdx.y * q.rows * q.hidden, first, q.rows, q.hidden);
    copy_async_commit();
    copy_async_wait<0>();
    __syncthreads();
#pragma unroll
    for (int k = 0; k < STEPS; k++)
        load_own<STEPS>(a[k], shared + warp * 32 * pitch<STEPS>, k);
    __syncthreads();        // the tiles overwrite x
    struct seen seen[2][2]; // rows r and r + 8 of each fragment
#pragma unroll
    for (int i = 0; i < 4; i++) {
        uint32_t row = first + warp * 32 + i * 8 + lane / 4;
        seen[i / 2][i % 2] = {LEAST_LOGIT * LOG2_E, 0, 0,
                              row < q.rows ? q.targets[blockIdx.y * q.token_stride + row] : TARGET_NONE};
    }
    uint32_t tiles = (q.vocab + SMALL_TILE - 1) / SMALL_TILE;
#pragma unroll
    for (uint32_t t = 0; t < STAGES - 1; t++) {
        copy_rows<STEPS, SMALL_TILE>(shared + t * SMALL_TILE * pitch<STEPS>, w, t * SMALL_TILE, q.vocab, q.hidden);
        copy_async_commit();
    }
    uint32_t stage = 0, next = STAGES - 1;
    for (uint32_t t = 0; t < tiles; t++) {
        copy_async_wait<STAGES - 2>();
        __syncthreads(); // this tile is there, and the one before is read
        copy_rows<STEPS, SMALL_TILE>(shared + next * SMALL_TILE * pitch<STEPS>, w, (t + STAGES - 1) * SMALL_TILE,
                                     q.vocab, q.hidden);
        copy_async_commit();
        const bf16 *tile = shared + stage * SMALL_TILE * pitch<STEPS>;
#pragma unroll 1
        for (uint32_t half = 0; half < SMALL_TILE; half += 32) {
            float z[2][4][4] = {};
#pragma unroll
            for (int k = 0; k < STEPS; k++)
                add_scores<STEPS>(z, a[k], tile + half * pitch<STEPS>, k);
            uint32_t base = t * SMALL_TILE + half + lane % 4 * 2;
            bool whole = t * SMALL_TILE + half + 32 <= q.vocab;
#pragma unroll
            for (int m = 0; m < 2; m++)
#pragma unroll
                for (int r = 0; r < 2; r++) {
                    float row[8];
#pragma unroll
                    for (int j = 0; j < 8; j++)
                        row[j] = z[m][j / 2][r * 2 + j % 2];
                    if (!whole) // zeros that the weights do not have
#pragma unroll
                        for (int j = 0; j < 8; j++)
                            row[j] = base + j / 2 * 8 + j % 2 < q.vocab ? row[j] : -INFINITY;
                    see(seen[m][r], row, base);
                }
        }
        stage = (stage + 1) % STAGES;
        next = (next + 1) % STAGES;
    }
    copy_async_wait<0>();
#pragma unroll
    for (int i = 0; i < 4; i++) {
        struct seen s = seen[i / 2][i % 2]; // of a quarter of the columns; four lanes share the row
        float most = fmaxf(s.most, __shfl_xor_sync(0xffffffffu, s.most, 1));
        most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
        s.sum *= exp2_fast(s.most - most);
        s.sum += __shfl_xor_sync(0xffffffffu, s.sum, 1);
        s.sum += __shfl_xor_sync(0xffffffffu, s.sum, 2);
        s.at_target += __shfl_xor_sync(0xffffffffu, s.at_target, 1); // zero on the other three
        s.at_target += __shfl_xor_sync(0xffffffffu, s.at_target, 2);
        float logprob = (fmaf(s.at_target, LOG2_E, -most) - log2f(s.sum)) * (1 / LOG2_E);
        uint32_t row = first + warp * 32 + i * 8 + lane / 4;
        if (row < q.rows && lane % 4 == 0)
            q.logprob[(size_t)blockIdx.y * q.rows + row] = s.target == TARGET_NONE ? 0
                                                           : s.target < q.vocab    ? logprob
                                                                                   : NAN;
    }
}

template <int STEPS> static void run(struct cuda *s, const struct score *q, unsigned models) {
    static_assert((int)SMALL_ROWS <= STAGES * (int)SMALL_TILE, "x passes through the tiles' memory");
    struct cuda_grid grid = {dim3(cuda_blocks(q->rows, SMALL_ROWS), models), SMALL_THREADS,
                             (size_t)STAGES * SMALL_TILE * pitch<STEPS> * sizeof(bf16)};
    cuda_launch(s, "log-softmax", score_rows<STEPS>, grid, *q);
}

bool cuda_classifier_score(struct cuda *s, const struct kernel_models *m, dptr logprob, dptr x, dptr w,
                           dptr targets, int rows, int hidden, int vocab) {
    if (!cuda_classifier_small(s->half, hidden) || m->stride % 8 != 0 || !cuda_aligned(x) || !cuda_aligned(w))
        return false;
    struct score q = {(float *)logprob, (const bf16 *)x, (const bf16 *)w, (const uint32_t *)targets,
                      m->stride,        m->token_stride, (uint32_t)rows,  (uint32_t)hidden,
                      (uint32_t)vocab};
    unsigned models = (unsigned)m->count;
    if (hidden <= 32)
        run<2>(s, &q, models);
    else if (hidden <= 64)
        run<4>(s, &q, models);
    else if (hidden <= 96)
        run<6>(s, &q, models);
    else
        run<8>(s, &q, models);
    return true;
}
