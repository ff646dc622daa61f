// The optimizer's step, G models in each launch: the gradients' sums of squares, what clipping makes of them,
// AdamW. Nothing of it goes through the host.
#include "cuda.cuh"
#include "ptx.cuh"

#include <math.h>

constexpr int THREADS = 256, MOVES = 4; // 16-byte loads that a thread has under way

// ---- sum of squares ----

constexpr int TURN = THREADS * MOVES * 4; // elements of a block's turn
constexpr int MOST_PARTS = 2048; // so that the second pass is one block's; on any chip several a processor

// The block's sum, threads in a fixed order; on thread 0. Shared: one float64 a warp.
__device__ __forceinline__ double block_sum(double x) {
    double *sums = (double *)shared_memory;
    x = warp_sum(x);
    if (threadIdx.x % 32 == 0)
        sums[threadIdx.x / 32] = x;
    __syncthreads();
    double sum = 0;
    for (uint32_t w = 0; threadIdx.x == 0 && w < blockDim.x / 32; w++)
        sum += sums[w];
    return sum;
}

// part[model][block] = sum of squares of the block's `turns` turns, in float64 from the first product on: lanes of
// threads, warps, blocks, all in one order that n alone decides. Floor: 4 bytes per element (one float64
// multiply-add and one conversion for each are far from either chip's limits).
template <int N>
__global__ void __launch_bounds__(THREADS)
    squares(double *part, const float *x, size_t n, size_t stride, size_t turns) {
    x += blockIdx.y * stride;
    size_t first = (size_t)blockIdx.x * turns * TURN;
    double sum[N] = {};
    for (size_t turn = 0; turn < turns; turn++, first += TURN) {
        if (first >= n)
            break;
        float v[TURN / THREADS / N][N];
#pragma unroll
        for (int k = 0; k < TURN / THREADS / N; k++) {
            size_t at = first + ((size_t)k * THREADS + threadIdx.x) * N;
#pragma unroll
            for (int j = 0; j < N; j++)
                v[k][j] = 0;
            if (at + N <= n)
                load<float, N>(v[k], x + at);
            else if (at < n)
#pragma unroll
                for (int j = 0; j < N; j++)
                    v[k][j] = at + j < n ? x[at + j] : 0;
        }
#pragma unroll
        for (int k = 0; k < TURN / THREADS / N; k++)
#pragma unroll
            for (int j = 0; j < N; j++)
                sum[j] += (double)v[k][j] * (double)v[k][j];
    }
    double own = 0;
#pragma unroll
    for (int j = 0; j < N; j++)
        own += sum[j];
    own = block_sum(own);
    if (threadIdx.x == 0)
        part[(size_t)blockIdx.y * gridDim.x + blockIdx.x] = own;
}

// out[model] = the sum of its parts. One block a model.
__global__ void __launch_bounds__(THREADS) add_parts(double *out, const double *part, uint32_t parts) {
    double sum = 0;
    for (uint32_t i = threadIdx.x; i < parts; i += THREADS)
        sum += part[(size_t)blockIdx.x * parts + i];
    sum = block_sum(sum);
    if (threadIdx.x == 0)
        out[blockIdx.x] = sum;
}

size_t cuda_update_scratch(const struct kernel_limits *l) {
    return l->train ? (size_t)l->models * MOST_PARTS * sizeof(double) : 0;
}

// Whether rows of 4 elements of all models can be moved at once.
static bool vectors_at(const struct kernel_models *m, const void *p) {
    return cuda_aligned(p) && (m->count == 1 || m->stride % 4 == 0);
}

void cuda_sum_squares(struct device *d, const struct kernel_models *m, dptr out, dptr x, size_t n) {
    struct cuda *s = cuda_of(d);
    double *part = (double *)cuda_scratch(s, (size_t)m->count * MOST_PARTS * sizeof(double));
    if (!part)
        return;
    size_t turns = (n + (size_t)TURN * MOST_PARTS - 1) / ((size_t)TURN * MOST_PARTS);
    uint32_t parts = turns > 0 ? cuda_blocks(n, turns * TURN) : 0;
    struct cuda_grid grid = {dim3(parts, (unsigned)m->count), THREADS, THREADS / 32 * sizeof(double)};
    cuda_launch(s, "sum of squares", vectors_at(m, x) ? squares<4> : squares<1>, grid, part, (const float *)x, n,
                m->stride, turns);
    grid.blocks = dim3((unsigned)m->count);
    cuda_launch(s, "sum of squares", add_parts, grid, (double *)out, (const double *)part, parts);
}

// ---- clipping ----

// One warp: a factor for each model, in float64 as the CPU has it; one norm that is not finite spoils all.
__global__ void __launch_bounds__(32)
    clip_factors(float *scale, const double *sums, uint32_t models, double most) {
    bool bad = false;
    for (uint32_t g = threadIdx.x; g < models; g += 32)
        bad |= !(sums[g] <= 1.7976931348623157e308);
    bad = __ballot_sync(0xffffffffu, bad) != 0;
    for (uint32_t g = threadIdx.x; g < models; g += 32) {
        double norm = sqrt(sums[g]);
        scale[g] = bad ? NAN : most > 0 && norm > most ? (float)(most / (norm + 1e-6)) : 1.0f;
    }
}

void cuda_clip_scale(struct device *d, const struct kernel_models *m, dptr scale, dptr sums, double most) {
    struct cuda_grid grid = {dim3(m->count > 0), 32, 0};
    cuda_launch(cuda_of(d), "clipping", clip_factors, grid, (float *)scale, (const double *)sums,
                (uint32_t)m->count, most);
}

// ---- AdamW ----
// g' = scale g; m = b1 m + (1 - b1) g'; v = b2 v + (1 - b2) g'^2;
// p -= rate ((m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon) + decay p)

struct update {
    float rate, beta1, beta2, epsilon, decay;
    float correct_m, correct_v; // 1 / (1 - b1^t), 1 / (1 - b2^t)
    size_t n, decayed, stride;
};

__device__ __forceinline__ void update_one(float &p, float &m, float &v, float g, float decay,
                                           const struct update &u) {
    m = u.beta1 * m + (1.0f - u.beta1) * g;
    v = u.beta2 * v + (1.0f - u.beta2) * g * g;
    float step = m * u.correct_m / (sqrtf(v * u.correct_v) + u.epsilon);
    p -= u.rate * (step + decay * p);
}

// All of AdamW in one pass, N neighbours a thread; the rest of fewer than N go one by one. blockIdx.y: the model.
// Floor: 16 bytes read and 12 written per parameter, 2 more for a copy in bfloat16; a copy that is p itself is not
// written again.
template <typename T, int N>
__global__ void __launch_bounds__(THREADS)
    adamw(float *p, const float *g, float *m, float *v, T *copy, const float *scales, struct update u) {
    size_t at = ((size_t)blockIdx.x * THREADS + threadIdx.x) * N, model = blockIdx.y * u.stride;
    float scale = __ldg(scales + blockIdx.y);
    if (scale != scale)
        return;
    p += model, g += model, m += model, v += model;
    if (copy)
        copy += model;
    if (at + N > u.n) {
        for (; at < u.n; at++) {
            update_one(p[at], m[at], v[at], g[at] * scale, at < u.decayed ? u.decay : 0, u);
            if (copy)
                copy[at] = from_float<T>(p[at]);
        }
        return;
    }
    float pi[N], gi[N], mi[N], vi[N];
    load<float, N>(pi, p + at);
    load<float, N>(gi, g + at);
    load<float, N>(mi, m + at);
    load<float, N>(vi, v + at);
#pragma unroll
    for (int j = 0; j < N; j++)
        update_one(pi[j], mi[j], vi[j], gi[j] * scale, at + j < u.decayed ? u.decay : 0, u);
    store<float, N>(p + at, pi);
    store<float, N>(m + at, mi);
    store<float, N>(v + at, vi);
    if (copy)
        store<T, N>(copy + at, pi);
}

template <typename T>
static void adamw_of(struct cuda *s, const struct kernel_models *models, const struct update *u, dptr scale,
                     dptr p, dptr g, dptr m, dptr v, dptr copy) {
    bool vectors =
        vectors_at(models, p) && cuda_aligned(g) && cuda_aligned(m) && cuda_aligned(v) && cuda_aligned(copy);
    struct cuda_grid grid = {dim3(cuda_blocks(u->n, vectors ? THREADS * 4 : THREADS), (unsigned)models->count),
                             THREADS, 0};
    cuda_launch(s, "adamw", vectors ? adamw<T, 4> : adamw<T, 1>, grid, (float *)p, (const float *)g, (float *)m,
                (float *)v, (T *)copy, (const float *)scale, *u);
}

void cuda_adamw(struct device *d, const struct kernel_models *models, const struct adamw *a, dptr scale, dptr p,
                dptr g, dptr m, dptr v, dptr copy, size_t n) {
    struct cuda *s = cuda_of(d);
    struct update u = {a->rate,
                       a->beta1,
                       a->beta2,
                       a->epsilon,
                       a->decay,
                       (float)(1.0 / (1.0 - pow((double)a->beta1, (double)a->step))),
                       (float)(1.0 / (1.0 - pow((double)a->beta2, (double)a->step))),
                       n,
                       a->decayed,
                       models->stride};
    if (s->half)
        adamw_of<bf16>(s, models, &u, scale, p, g, m, v, copy);
    else
        adamw_of<float>(s, models, &u, scale, p, g, m, v, copy == p ? NULL : copy);
}
