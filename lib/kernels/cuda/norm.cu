// LayerNorm and RMSNorm with the residual sum in front.
//
// A row stays in registers between the pass that measures it and the pass that scales it, so memory is read once.
// One warp takes a row of up to 1024 elements (512 backward, where sums over rows stay in registers too), a block
// a longer one. A thread moves 4 neighbours at a time: 16 bytes of the float32 arrays, which are most of the
// traffic, and 8 of those in bfloat16, every access of a warp one piece of memory. Other shapes (a size that is no
// multiple of 4, or above 8192) go through the _any kernels, element by element.
#include "cuda.cuh"
#include "ptx.cuh"

enum { THREADS = 256, WARPS = THREADS / 32 };

// Rows of one model per block when ROW_THREADS threads take each.
template <int ROW_THREADS> constexpr int rows_of_block = THREADS / ROW_THREADS;

// The sum over a row's threads, the same on all of them: lanes by halves, then warps in order. A block's row needs
// WARPS floats of shared memory that no thread may still read from an earlier sum.
template <int ROW_THREADS> __device__ __forceinline__ float row_sum(float x, float *shared) {
    x = warp_sum(x);
    if (ROW_THREADS == 32)
        return x;
    if (threadIdx.x % 32 == 0)
        shared[threadIdx.x / 32] = x;
    __syncthreads();
    float sum = 0;
#pragma unroll
    for (int w = 0; w < WARPS; w++)
        sum += shared[w];
    return sum;
}

// ---- forward ----

struct norm_forward {
    void *y; // c
    float *mean, *rstd, *x_out;
    const float *x;
    const void *delta; // c, or NULL
    const float *weight, *bias;
    float epsilon;
    uint32_t rows, hidden;
    size_t stride; // of the models' parameters
};

// x_out = x + delta; y = (x_out - mean) rstd w + b. The variance is the mean square of differences from the mean,
// from registers. Threads of a block: ROW_THREADS for each row, STEPS moves of 4 elements each. Floor, per element
// in bfloat16: x 4, delta 2, x_out 4, y 2 bytes.
template <typename T, bool LAYER, int ROW_THREADS, int STEPS>
__global__ void __launch_bounds__(THREADS, STEPS < 8 ? 4 : 2) norm_rows(struct norm_forward q) {
    uint32_t row = blockIdx.x * rows_of_block<ROW_THREADS> + threadIdx.x / ROW_THREADS;
    uint32_t thread = threadIdx.x % ROW_THREADS;
    if (row >= q.rows)
        return; // a whole warp; a block has no such row
    size_t line = (size_t)blockIdx.y * q.rows + row, at = line * q.hidden;
    const float *weight = q.weight + blockIdx.y * q.stride;
    float *shared = (float *)shared_memory, x[STEPS][4];
#pragma unroll
    for (int k = 0; k < STEPS; k++) {
        uint32_t column = (k * ROW_THREADS + thread) * 4;
#pragma unroll
        for (int j = 0; j < 4; j++)
            x[k][j] = 0;
        if (column < q.hidden)
            load<float, 4>(x[k], q.x + at + column);
    }
    if (q.delta) {
        float delta[STEPS][4];
#pragma unroll
        for (int k = 0; k < STEPS; k++) {
            uint32_t column = (k * ROW_THREADS + thread) * 4;
            if (column < q.hidden)
                load<T, 4>(delta[k], (const T *)q.delta + at + column);
        }
#pragma unroll
        for (int k = 0; k < STEPS; k++) {
            uint32_t column = (k * ROW_THREADS + thread) * 4;
            if (column >= q.hidden)
                continue;
#pragma unroll
            for (int j = 0; j < 4; j++)
                x[k][j] += delta[k][j];
            store<float, 4>(q.x_out + at + column, x[k]);
        }
    }
    float mean = 0, sum = 0;
    if (LAYER) {
#pragma unroll
        for (int k = 0; k < STEPS; k++)
            sum += (x[k][0] + x[k][1]) + (x[k][2] + x[k][3]);
        mean = row_sum<ROW_THREADS>(sum, shared) / (float)q.hidden;
        sum = 0;
    }
#pragma unroll
    for (int k = 0; k < STEPS; k++)
        if ((k * ROW_THREADS + thread) * 4 < q.hidden)
#pragma unroll
            for (int j = 0; j < 4; j++)
                sum += (x[k][j] - mean) * (x[k][j] - mean);
    float rstd = 1.0f / sqrtf(row_sum<ROW_THREADS>(sum, shared + WARPS) / (float)q.hidden + q.epsilon);
    if (thread == 0) {
        q.rstd[line] = rstd;
        if (LAYER)
            q.mean[line] = mean;
    }
#pragma unroll
    for (int k = 0; k < STEPS; k++) {
        uint32_t column = (k * ROW_THREADS + thread) * 4;
        if (column >= q.hidden)
            continue;
        float w[4], b[4] = {0, 0, 0, 0};
        load<float, 4>(w, weight + column);
        if (LAYER)
            load<float, 4>(b, q.bias + blockIdx.y * q.stride + column);
#pragma unroll
        for (int j = 0; j < 4; j++)
            b[j] += (x[k][j] - mean) * rstd * w[j];
        store<T, 4>((T *)q.y + at + column, b);
    }
}

// The same for any size: one warp a row, element by element, the row read again for each pass.
template <typename T, bool LAYER> __global__ void __launch_bounds__(THREADS) norm_rows_any(struct norm_forward q) {
    uint32_t row = blockIdx.x * WARPS + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= q.rows)
        return;
    size_t line = (size_t)blockIdx.y * q.rows + row, at = line * q.hidden, model = blockIdx.y * q.stride;
    const float *x = (q.delta ? q.x_out : q.x) + at;
    float mean = 0, sum = 0;
    for (uint32_t i = lane; i < q.hidden; i += 32) {
        float v = q.x[at + i];
        if (q.delta)
            q.x_out[at + i] = v += to_float(((const T *)q.delta)[at + i]);
        sum += v;
    }
    if (LAYER)
        mean = warp_sum(sum) / (float)q.hidden;
    sum = 0;
    for (uint32_t i = lane; i < q.hidden; i += 32)
        sum += (x[i] - mean) * (x[i] - mean);
    float rstd = 1.0f / sqrtf(warp_sum(sum) / (float)q.hidden + q.epsilon);
    if (lane == 0) {
        q.rstd[line] = rstd;
        if (LAYER)
            q.mean[line] = mean;
    }
    for (uint32_t i = lane; i < q.hidden; i += 32) {
        float y = (x[i] - mean) * rstd * q.weight[model + i] + (LAYER ? q.bias[model + i] : 0);
        ((T *)q.y)[at + i] = from_float<T>(y);
    }
}

template <typename T, bool LAYER, int ROW_THREADS, int STEPS>
static void forward_run(struct cuda *s, const struct norm_forward *q, unsigned models) {
    struct cuda_grid grid = {dim3(cuda_blocks(q->rows, rows_of_block<ROW_THREADS>), models), THREADS,
                             ROW_THREADS == 32 ? 0 : 2 * WARPS * sizeof(float)};
    cuda_launch(s, "norm", norm_rows<T, LAYER, ROW_THREADS, STEPS>, grid, *q);
}

template <typename T, bool LAYER>
static void forward_of(struct cuda *s, const struct norm_forward *q, unsigned models, bool vectors) {
    if (!vectors || q->hidden > 8192) {
        struct cuda_grid grid = {dim3(cuda_blocks(q->rows, WARPS), models), THREADS, 0};
        cuda_launch(s, "norm", norm_rows_any<T, LAYER>, grid, *q);
    } else if (q->hidden <= 128)
        forward_run<T, LAYER, 32, 1>(s, q, models);
    else if (q->hidden <= 256)
        forward_run<T, LAYER, 32, 2>(s, q, models);
    else if (q->hidden <= 512)
        forward_run<T, LAYER, 32, 4>(s, q, models);
    else if (q->hidden <= 1024)
        forward_run<T, LAYER, 32, 8>(s, q, models);
    else if (q->hidden <= 2048)
        forward_run<T, LAYER, THREADS, 2>(s, q, models);
    else if (q->hidden <= 4096)
        forward_run<T, LAYER, THREADS, 4>(s, q, models);
    else
        forward_run<T, LAYER, THREADS, 8>(s, q, models);
}

void cuda_norm_forward(struct device *d, const struct kernel_models *m, enum kernel_norm kind, dptr y, dptr mean,
                       dptr rstd, dptr x_out, dptr x, dptr delta, dptr weight, dptr bias, float epsilon, int rows,
                       int hidden) {
    struct cuda *s = cuda_of(d);
    struct norm_forward q = {.y = y,
                             .mean = (float *)mean,
                             .rstd = (float *)rstd,
                             .x_out = (float *)x_out,
                             .x = (const float *)x,
                             .delta = delta,
                             .weight = (const float *)weight,
                             .bias = (const float *)bias,
                             .epsilon = epsilon,
                             .rows = (uint32_t)rows,
                             .hidden = (uint32_t)hidden,
                             .stride = m->stride};
    bool vectors = hidden % 4 == 0 && m->stride % 4 == 0 && cuda_aligned(y) && cuda_aligned(x_out) &&
                   cuda_aligned(x) && cuda_aligned(delta) && cuda_aligned(weight) && cuda_aligned(bias);
    unsigned models = (unsigned)m->count;
    if (s->half && kind == NORM_LAYER)
        forward_of<bf16, true>(s, &q, models, vectors);
    else if (s->half)
        forward_of<bf16, false>(s, &q, models, vectors);
    else if (kind == NORM_LAYER)
        forward_of<float, true>(s, &q, models, vectors);
    else
        forward_of<float, false>(s, &q, models, vectors);
}

// ---- backward ----

struct norm_backward {
    float *dx;
    void *dx_c;     // c, or NULL
    const void *dy; // c
    const float *x, *mean, *rstd, *weight;
    float *part; // [G, slabs, 2, H]: sums of dweight, then of dbias, over the rows of a slab
    uint32_t rows, hidden, slab, slabs; // slab: rows of one block
    size_t stride;
};

constexpr size_t MOST_SLABS =
    512; // of one model; they follow from its rows and size, so G models give G models' bytes

// part <- a block's sums of its columns. Rows of warps: shared memory holds [WARPS, H].
template <int ROW_THREADS, int STEPS>
__device__ __forceinline__ void keep_sums(float *part, const float sums[STEPS][4], uint32_t hidden) {
    float *shared = (float *)shared_memory;
    float *to = ROW_THREADS == 32 ? shared + threadIdx.x / 32 * hidden : part;
#pragma unroll
    for (int k = 0; k < STEPS; k++) {
        uint32_t column = (k * ROW_THREADS + threadIdx.x % ROW_THREADS) * 4;
        if (column < hidden)
            store<float, 4>(to + column, sums[k]);
    }
    if constexpr (ROW_THREADS == 32) {
        __syncthreads();
        for (uint32_t i = threadIdx.x; i < hidden; i += THREADS) {
            float sum = 0;
#pragma unroll
            for (int w = 0; w < WARPS; w++)
                sum += shared[w * hidden + i];
            part[i] = sum;
        }
        __syncthreads();
    }
}

// With xhat = (x - mean) rstd and a = dy w: dx += rstd (a - mean(a) - xhat mean(a xhat)), without mean(a) for rms;
// dweight = sum of dy xhat, dbias = sum of dy. A block takes a slab of rows, its warps (or the whole block) row
// after row, and keeps the parameters' sums of its columns in registers; warps add theirs in order through shared
// memory. Floor, per element in bfloat16: dy 2, x 4, dx 4 and 4, dx_c 2 bytes; the slabs' sums are less than a
// 30th of that.
template <typename T, bool LAYER, int ROW_THREADS, int STEPS>
__global__ void __launch_bounds__(THREADS, STEPS < 4   ? 3
                                           : STEPS < 8 ? 2
                                                       : 1) norm_rows_backward(struct norm_backward q) {
    uint32_t thread = threadIdx.x % ROW_THREADS, warp = threadIdx.x / 32;
    uint32_t first = blockIdx.x * q.slab, last = min(first + q.slab, q.rows);
    const float *weight = q.weight + blockIdx.y * q.stride;
    float *shared = (float *)shared_memory, dweight[STEPS][4] = {}, dbias[STEPS][4] = {};
    int turn = 0;
    for (uint32_t row = first + threadIdx.x / ROW_THREADS; row < last; row += rows_of_block<ROW_THREADS>) {
        size_t line = (size_t)blockIdx.y * q.rows + row, at = line * q.hidden;
        float mean = LAYER ? q.mean[line] : 0, rstd = q.rstd[line];
        float xhat[STEPS][4], a[STEPS][4], dx[STEPS][4], sum = 0, along = 0;
#pragma unroll
        for (int k = 0; k < STEPS; k++) {
            uint32_t column = (k * ROW_THREADS + thread) * 4;
            if (column < q.hidden) {
                load<float, 4>(xhat[k], q.x + at + column);
                load<T, 4>(a[k], (const T *)q.dy + at + column);
                load<float, 4>(dx[k], q.dx + at + column);
            }
        }
#pragma unroll
        for (int k = 0; k < STEPS; k++) {
            uint32_t column = (k * ROW_THREADS + thread) * 4;
            if (column >= q.hidden)
                continue;
            float w[4];
            load<float, 4>(w, weight + column);
#pragma unroll
            for (int j = 0; j < 4; j++) {
                xhat[k][j] = (xhat[k][j] - mean) * rstd;
                dweight[k][j] += a[k][j] * xhat[k][j];
                if (LAYER)
                    dbias[k][j] += a[k][j];
                a[k][j] *= w[j];
                sum += a[k][j];
                along += a[k][j] * xhat[k][j];
            }
        }
        float *sums = shared + turn * 2 * WARPS; // of this row and of the next by turns: one barrier is enough
        turn = 1 - turn;
        sum = warp_sum(sum);
        along = warp_sum(along);
        if (ROW_THREADS > 32) {
            if (threadIdx.x % 32 == 0) {
                sums[warp] = sum;
                sums[WARPS + warp] = along;
            }
            __syncthreads();
            sum = along = 0;
#pragma unroll
            for (int w = 0; w < WARPS; w++) {
                sum += sums[w];
                along += sums[WARPS + w];
            }
        }
        sum = LAYER ? sum / (float)q.hidden : 0;
        along /= (float)q.hidden;
#pragma unroll
        for (int k = 0; k < STEPS; k++) {
            uint32_t column = (k * ROW_THREADS + thread) * 4;
            if (column >= q.hidden)
                continue;
#pragma unroll
            for (int j = 0; j < 4; j++)
                dx[k][j] += rstd * (a[k][j] - sum - xhat[k][j] * along);
            store<float, 4>(q.dx + at + column, dx[k]);
            if (q.dx_c)
                store<T, 4>((T *)q.dx_c + at + column, dx[k]);
        }
    }
    float *part = q.part + ((size_t)blockIdx.y * q.slabs + blockIdx.x) * 2 * q.hidden;
    keep_sums<ROW_THREADS, STEPS>(part, dweight, q.hidden);
    if (LAYER)
        keep_sums<ROW_THREADS, STEPS>(part + q.hidden, dbias, q.hidden);
}

// The same for any size: a block a row, element by element; the slab's sums grow in memory, each thread's own
// columns.
template <typename T, bool LAYER>
__global__ void __launch_bounds__(THREADS) norm_rows_backward_any(struct norm_backward q) {
    uint32_t first = blockIdx.x * q.slab, last = min(first + q.slab, q.rows);
    const float *weight = q.weight + blockIdx.y * q.stride;
    float *part = q.part + ((size_t)blockIdx.y * q.slabs + blockIdx.x) * 2 * q.hidden;
    float *shared = (float *)shared_memory;
    for (uint32_t row = first; row < last; row++) {
        size_t line = (size_t)blockIdx.y * q.rows + row, at = line * q.hidden;
        const T *dy = (const T *)q.dy + at;
        float mean = LAYER ? q.mean[line] : 0, rstd = q.rstd[line], sum = 0, along = 0;
        for (uint32_t i = threadIdx.x; i < q.hidden; i += THREADS) {
            float xhat = (q.x[at + i] - mean) * rstd, g = to_float(dy[i]), a = g * weight[i];
            sum += a;
            along += a * xhat;
            part[i] = (row > first ? part[i] : 0) + g * xhat;
            if (LAYER)
                part[q.hidden + i] = (row > first ? part[q.hidden + i] : 0) + g;
        }
        float *sums = shared + (row & 1) * 2 * WARPS; // of this row and of the next by turns
        sum = row_sum<THREADS>(sum, sums);
        along = row_sum<THREADS>(along, sums + WARPS) / (float)q.hidden;
        sum = LAYER ? sum / (float)q.hidden : 0;
        for (uint32_t i = threadIdx.x; i < q.hidden; i += THREADS) {
            float xhat = (q.x[at + i] - mean) * rstd, a = to_float(dy[i]) * weight[i];
            float dx = q.dx[at + i] + rstd * (a - sum - xhat * along);
            q.dx[at + i] = dx;
            if (q.dx_c)
                ((T *)q.dx_c)[at + i] = from_float<T>(dx);
        }
    }
}

enum { ADD_THREADS = 1024, ADD_WARPS = ADD_THREADS / 32 };

// dweight (z = 0) or dbias (z = 1) of 32 columns += the slabs' sums: warp w adds slabs w, w + ADD_WARPS, ..., and
// then the warps are added in order. Reads what norm_rows_backward left in L2.
__global__ void __launch_bounds__(ADD_THREADS) norm_add_slabs(float *dweight, float *dbias, const float *part,
                                                              uint32_t slabs, uint32_t hidden, size_t stride) {
    uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32, column = blockIdx.x * 32 + lane;
    float *shared = (float *)shared_memory, sum = 0;
    part += (size_t)blockIdx.y * slabs * 2 * hidden + (size_t)blockIdx.z * hidden + column;
    if (column < hidden) {
#pragma unroll 8
        for (uint32_t slab = warp; slab < slabs; slab += ADD_WARPS)
            sum += part[(size_t)slab * 2 * hidden];
    }
    shared[threadIdx.x] = sum;
    __syncthreads();
    if (warp > 0 || column >= hidden)
        return;
    for (uint32_t w = 1; w < ADD_WARPS; w++)
        sum += shared[w * 32 + lane];
    (blockIdx.z ? dbias : dweight)[blockIdx.y * stride + column] += sum;
}

static size_t rows_at_once(size_t hidden) {
    return hidden <= 512 ? WARPS : 1;
}

// A slab holds a few rows of each warp at least, so that its sums cost little beside its rows.
static uint32_t rows_of_slab(size_t rows, size_t hidden) {
    size_t at_once = rows_at_once(hidden), slab = (rows + MOST_SLABS - 1) / MOST_SLABS;
    slab = slab > 4 * at_once ? slab : 4 * at_once;
    return (uint32_t)((slab + at_once - 1) / at_once * at_once);
}

// At least what fewer rows need too, which may be cut into more slabs
static size_t part_bytes(size_t models, size_t rows, size_t hidden) {
    size_t slabs = cuda_blocks(rows, 4 * rows_at_once(hidden));
    return models * (slabs < MOST_SLABS ? slabs : MOST_SLABS) * 2 * hidden * sizeof(float);
}

size_t cuda_norm_scratch(const struct kernel_limits *l) {
    return l->train ? part_bytes((size_t)l->models, (size_t)l->batch * (size_t)l->length, (size_t)l->hidden) : 0;
}

template <typename T, bool LAYER, int ROW_THREADS, int STEPS>
static void backward_run(struct cuda *s, const struct norm_backward *q, unsigned models) {
    size_t floats = ROW_THREADS == 32 ? (size_t)WARPS * q->hidden : 4 * WARPS;
    struct cuda_grid grid = {dim3(q->slabs, models), THREADS, floats * sizeof(float)};
    cuda_launch(s, "gradient of norm", norm_rows_backward<T, LAYER, ROW_THREADS, STEPS>, grid, *q);
}

template <typename T, bool LAYER>
static void backward_of(struct cuda *s, const struct norm_backward *q, unsigned models, bool vectors) {
    if (!vectors || q->hidden > 8192) {
        struct cuda_grid grid = {dim3(q->slabs, models), THREADS, 4 * WARPS * sizeof(float)};
        cuda_launch(s, "gradient of norm", norm_rows_backward_any<T, LAYER>, grid, *q);
    } else if (q->hidden <= 128)
        backward_run<T, LAYER, 32, 1>(s, q, models);
    else if (q->hidden <= 256)
        backward_run<T, LAYER, 32, 2>(s, q, models);
    else if (q->hidden <= 512)
        backward_run<T, LAYER, 32, 4>(s, q, models);
    else if (q->hidden <= 1024)
        backward_run<T, LAYER, THREADS, 1>(s, q, models);
    else if (q->hidden <= 2048)
        backward_run<T, LAYER, THREADS, 2>(s, q, models);
    else if (q->hidden <= 4096)
        backward_run<T, LAYER, THREADS, 4>(s, q, models);
    else
        backward_run<T, LAYER, THREADS, 8>(s, q, models);
}

void cuda_norm_backward(struct device *d, const struct kernel_models *m, enum kernel_norm kind, dptr dx, dptr dx_c,
                        dptr dweight, dptr dbias, dptr dy, dptr x, dptr mean, dptr rstd, dptr weight, int rows,
                        int hidden) {
    struct cuda *s = cuda_of(d);
    float *part =
        rows > 0 ? (float *)cuda_scratch(s, part_bytes((size_t)m->count, (size_t)rows, (size_t)hidden)) : NULL;
    if (!part)
        return;
    struct norm_backward q = {.dx = (float *)dx,
                              .dx_c = dx_c,
                              .dy = dy,
                              .x = (const float *)x,
                              .mean = (const float *)mean,
                              .rstd = (const float *)rstd,
                              .weight = (const float *)weight,
                              .part = part,
                              .rows = (uint32_t)rows,
                              .hidden = (uint32_t)hidden,
                              .slab = rows_of_slab((size_t)rows, (size_t)hidden),
                              .slabs = 0,
                              .stride = m->stride};
    q.slabs = cuda_blocks((size_t)rows, q.slab);
    bool layer = kind == NORM_LAYER, vectors = hidden % 4 == 0 && m->stride % 4 == 0 && cuda_aligned(dx) &&
                                               cuda_aligned(dx_c) && cuda_aligned(dy) && cuda_aligned(x) &&
                                               cuda_aligned(weight);
    unsigned models = (unsigned)m->count;
    if (s->half && layer)
        backward_of<bf16, true>(s, &q, models, vectors);
    else if (s->half)
        backward_of<bf16, false>(s, &q, models, vectors);
    else if (layer)
        backward_of<float, true>(s, &q, models, vectors);
    else
        backward_of<float, false>(s, &q, models, vectors);
    struct cuda_grid grid = {dim3(cuda_blocks((size_t)hidden, 32), models, layer ? 2 : 1), ADD_THREADS,
                             ADD_THREADS * sizeof(float)};
    cuda_launch(s, "gradient of norm", norm_add_slabs, grid, (float *)dweight, (float *)dbias, (const float *)part,
                q.slabs, q.hidden, m->stride);
}
