// Log-softmax of x w^T at the targets and its gradient, without an R x V array: chunks of rows go through a
// product into float32 logits (scratch), one kernel that reads each row of them once and leaves the log-prob and,
// in place, the logits' gradient (c), and the two products of that gradient.
//     logprob = z_t - max z - log sum exp(z - max z), dz_v = scale (softmax(z)_v - [v = t]), dx = dz w, dw += dz^T
//     x
// Logits are float32 because log-probs are what models are mixed by: in bfloat16 a logit of 16 is off by up to
// 1/16, and so would be every log-prob; the 4 bytes more per logit (of 14: written 4, read 4, gradient 2 written
// and 2 x 2 read) are the price. All sizes follow from the shapes of one model, so G models give G models' bytes.
// Small models have no logits in memory (classifier_score.cu, classifier_train.cu).
#include "cuda.cuh"
#include "ptx.cuh"

#include <math.h>

enum { THREADS = 256, MOST_WARPS = 32 };

struct softmax {
    float *logits; // [models, rows, width]; their gradients begin where the rows begin
    float *logprob;
    const uint32_t *targets;
    const float *scale;                            // [models]
    size_t logit_stride, row_stride, token_stride; // between models: floats, rows of logprob, targets
    uint32_t rows, vocab, width;                   // width: floats between rows, a multiple of 4, at least vocab
};

// The largest value, or the sum, over a row's threads, the same on all of them: lanes by halves, then warps in
// order. A row of several warps needs 32 floats of shared memory that no thread may still read.
template <int ROW_THREADS, bool LARGEST> __device__ __forceinline__ float over_row(float x, float *shared) {
    x = LARGEST ? warp_max(x) : warp_sum(x);
    if constexpr (ROW_THREADS > 32) {
        if (threadIdx.x % 32 == 0)
            shared[threadIdx.x / 32] = x;
        __syncthreads();
        x = shared[0];
#pragma unroll
        for (int w = 1; w < ROW_THREADS / 32; w++)
            x = LARGEST ? fmaxf(x, shared[w]) : x + shared[w];
    }
    return x;
}

// A row that predicts nothing, or one with a target outside the vocabulary (callers see the NaN).
__device__ __forceinline__ float logit_at(const float *z, uint32_t target, uint32_t vocab) {
    return target < vocab ? z[target] : NAN;
}

// Each row's threads keep it in registers: one read of the logits, and of the gradient one write. A NaN in a row
// makes its sum, and so its log-prob, NaN; the maximum passes over it. Threads before a barrier have read their
// part of the row, those behind it write over it. Floor: 4 bytes per logit, with the gradient 6 in bfloat16 and 8
// in float32, from L2 as far as a chunk stays there, and an exponential, of which a processor makes 16 a cycle.
template <typename T, bool GRADIENT, int ROW_THREADS, int STEPS>
__global__ void __launch_bounds__(ROW_THREADS > THREADS ? ROW_THREADS : THREADS, ROW_THREADS > THREADS ? 1 : 3)
    softmax_rows(struct softmax q) {
    uint32_t row = blockIdx.x * (blockDim.x / ROW_THREADS) + threadIdx.x / ROW_THREADS;
    uint32_t thread = threadIdx.x % ROW_THREADS;
    if (row >= q.rows)
        return; // a whole warp; a block has no such row
    float *z = q.logits + blockIdx.y * q.logit_stride + (size_t)row * q.width;
    float *shared = (float *)shared_memory, *logprob = q.logprob + blockIdx.y * q.row_stride + row;
    uint32_t target = q.targets[blockIdx.y * q.token_stride + row];
    T *dz = (T *)z;
    float x[STEPS][4];
    if (target == TARGET_NONE) {
        if (thread == 0)
            *logprob = 0;
        const float zeros[4] = {0, 0, 0, 0};
        for (uint32_t column = thread * 4; GRADIENT && column < q.vocab; column += ROW_THREADS * 4)
            store<T, 4>(dz + column, zeros);
        return;
    }
    float at_target = logit_at(z, target, q.vocab), most = -INFINITY, sum = 0;
#pragma unroll
    for (int k = 0; k < STEPS; k++) {
        uint32_t column = (k * ROW_THREADS + thread) * 4;
#pragma unroll
        for (int j = 0; j < 4; j++)
            x[k][j] = -INFINITY;
        if (column < q.vocab)
            load<float, 4>(x[k], z + column);
    }
#pragma unroll
    for (int k = 0; k < STEPS; k++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
            if ((k * ROW_THREADS + thread) * 4 + j >= q.vocab)
                x[k][j] = -INFINITY; // what lies between rows
            most = fmaxf(most, x[k][j]);
        }
    most = over_row<ROW_THREADS, true>(most, shared);
    __syncwarp(); // as the barrier in there, where the row is a warp's
#pragma unroll
    for (int k = 0; k < STEPS; k++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
            x[k][j] = exp2_fast((x[k][j] - most) * LOG2_E);
            sum += x[k][j];
        }
    sum = over_row<ROW_THREADS, false>(sum, shared + MOST_WARPS);
    if (thread == 0)
        *logprob = at_target - most - logf(sum);
    if (!GRADIENT)
        return;
    float scale = q.scale[blockIdx.y], factor = scale / sum;
#pragma unroll
    for (int k = 0; k < STEPS; k++) {
        uint32_t column = (k * ROW_THREADS + thread) * 4;
#pragma unroll
        for (int j = 0; j < 4; j++)
            x[k][j] = x[k][j] * factor - (column + j == target ? scale : 0);
        if (column < q.vocab)
            store<T, 4>(dz + column, x[k]);
    }
}

enum { LONG_THREADS = 1024 };

// The same for rows that registers do not hold: maximum and sum go along together in the first reading, and with
// the gradient there is a second one, by tiles: a tile of gradients lies where tiles were that have been read.
template <typename T, bool GRADIENT>
__global__ void __launch_bounds__(LONG_THREADS, 1) softmax_long_rows(struct softmax q) {
    float *z = q.logits + blockIdx.y * q.logit_stride + (size_t)blockIdx.x * q.width;
    float *shared = (float *)shared_memory, *logprob = q.logprob + blockIdx.y * q.row_stride + blockIdx.x;
    uint32_t target = q.targets[blockIdx.y * q.token_stride + blockIdx.x];
    T *dz = (T *)z;
    bool none = target == TARGET_NONE;
    float at_target = none ? 0 : logit_at(z, target, q.vocab), most = -3.402823466e38f, sum = 0;
    for (uint32_t column = threadIdx.x * 4; !none && column < q.vocab; column += LONG_THREADS * 4) {
        float x[4], before = most;
        load<float, 4>(x, z + column);
#pragma unroll
        for (int j = 0; j < 4; j++) {
            x[j] = column + j < q.vocab ? x[j] : -INFINITY;
            most = fmaxf(most, x[j]);
        }
        sum *= exp2_fast((before - most) * LOG2_E);
#pragma unroll
        for (int j = 0; j < 4; j++)
            sum += exp2_fast((x[j] - most) * LOG2_E);
    }
    float own = most;
    most = over_row<LONG_THREADS, true>(most, shared);
    sum = over_row<LONG_THREADS, false>(sum * exp2_fast((own - most) * LOG2_E), shared + MOST_WARPS);
    if (threadIdx.x == 0)
        *logprob = none ? 0 : at_target - most - logf(sum);
    if (!GRADIENT)
        return;
    float scale = none ? 0 : q.scale[blockIdx.y], factor = none ? 0 : scale / sum;
    for (uint32_t tile = 0; tile < q.vocab; tile += LONG_THREADS * 4) {
        uint32_t column = tile + threadIdx.x * 4;
        float x[4] = {0, 0, 0, 0};
        if (!none && column < q.vocab)
            load<float, 4>(x, z + column);
        __syncthreads();
#pragma unroll
        for (int j = 0; j < 4 && !none; j++)
            x[j] = exp2_fast((x[j] - most) * LOG2_E) * factor - (column + j == target ? scale : 0);
        if (column < q.vocab)
            store<T, 4>(dz + column, x);
    }
}

template <typename T, bool GRADIENT, int ROW_THREADS, int STEPS>
static void softmax_run(struct cuda *s, const struct softmax *q, unsigned models) {
    int threads = ROW_THREADS > THREADS ? ROW_THREADS : THREADS;
    struct cuda_grid grid = {dim3(cuda_blocks(q->rows, (size_t)(threads / ROW_THREADS)), models), threads,
                             ROW_THREADS > 32 ? 2 * MOST_WARPS * sizeof(float) : 0};
    cuda_launch(s, "log-softmax", softmax_rows<T, GRADIENT, ROW_THREADS, STEPS>, grid, *q);
}

template <typename T, bool GRADIENT>
static void softmax_of(struct cuda *s, const struct softmax *q, unsigned models) {
    if (q->vocab <= 256)
        softmax_run<T, GRADIENT, 32, 2>(s, q, models);
    else if (q->vocab <= 512)
        softmax_run<T, GRADIENT, 32, 4>(s, q, models);
    else if (q->vocab <= 1024)
        softmax_run<T, GRADIENT, 32, 8>(s, q, models);
    else if (q->vocab <= 4096)
        softmax_run<T, GRADIENT, 256, 4>(s, q, models);
    else if (q->vocab <= 8192)
        softmax_run<T, GRADIENT, 256, 8>(s, q, models);
    else if (q->vocab <= 32768)
        softmax_run<T, GRADIENT, 1024, 8>(s, q, models);
    else {
        struct cuda_grid grid = {dim3(q->rows, models), LONG_THREADS, 2 * MOST_WARPS * sizeof(float)};
        cuda_launch(s, "log-softmax", softmax_long_rows<T, GRADIENT>, grid, *q);
    }
}

// ---- chunks ----

// A chunk's logits may be as large as CACHE_BYTES, which L2 holds beside the operands. Where the weights are
// large, a chunk has to be larger: each one reads them again (2 V H bytes, twice with the gradient) and adds to
// their gradient (8 V H), beside 14 V bytes a row; with 4 H rows that is a fifth, in scoring (2 V H beside 8 V a
// row) with H rows a quarter. Then the logits go through memory, up to MOST_BYTES of them.
constexpr size_t CACHE_BYTES = 24 << 20, MOST_BYTES = 512 << 20;
constexpr size_t ROW_MULTIPLE = 128; // rows of a product's tile

struct chunks {
    size_t width;  // floats of a row of logits
    size_t rows;   // of one model in a chunk
    size_t models; // in a chunk
    size_t bytes;  // enough for chunks of fewer rows or models too
};

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

static size_t most(size_t a, size_t b) {
    return a > b ? a : b;
}

static struct chunks choose_chunks(size_t models, size_t rows, size_t hidden, size_t vocab, bool train) {
    struct chunks c;
    c.width = (vocab + 7) / 8 * 8;
    size_t line = c.width * sizeof(float), enough = train ? 4 * hidden : hidden;
    size_t chunk = most(CACHE_BYTES / line, least(enough, MOST_BYTES / line));
    chunk = most(chunk / ROW_MULTIPLE, 1) * ROW_MULTIPLE;
    size_t number = (rows + chunk - 1) / chunk, whole = least(rows, chunk) * line;
    // equal chunks, up to the tile
    c.rows = least(rows, ((rows + number - 1) / number + ROW_MULTIPLE - 1) / ROW_MULTIPLE * ROW_MULTIPLE);
    size_t room = whole > CACHE_BYTES ? MOST_BYTES : CACHE_BYTES; // models of many rows go through memory anyway
    c.models = least(models, most(room / (c.rows * line), 1));
    c.bytes = least(models * whole, most(room, whole));
    return c;
}

size_t cuda_classifier_scratch(const struct kernel_limits *l, bool half) {
    size_t models = (size_t)l->models, rows = (size_t)l->batch * (size_t)l->length;
    size_t hidden = (size_t)l->hidden, vocab = (size_t)l->vocab;
    if (cuda_classifier_small(half, l->hidden))
        return l->train ? cuda_classifier_train_scratch(models, rows, hidden, vocab) : 0;
    return choose_chunks(models, rows, hidden, vocab, l->train).bytes;
}

// What one chunk needs: `models` models from the pointers on, rows [first, first + rows) of each.
struct chunk {
    struct cuda *s;
    const struct chunks *c;
    size_t hidden, vocab, stride, model_rows; // model_rows: R
    size_t models, rows;
    float *logits;
};

static void logits_of(const struct chunk *q, const void *x, const void *w) {
    struct cuda_product p = {};
    p.m = (int)q->rows;
    p.n = (int)q->vocab;
    p.k = (int)q->hidden;
    p.count = (int)q->models;
    p.b_transposed = true;
    p.lda = p.ldb = (int64_t)q->hidden;
    p.ldc = (int64_t)q->c->width;
    p.stride_a = (int64_t)(q->model_rows * q->hidden);
    p.stride_b = (int64_t)q->stride;
    p.stride_c = (int64_t)q->rows * p.ldc;
    p.float_out = true;
    cuda_product_run(q->s, &p, q->logits, x, w);
}

// dx = dz w
static void input_gradient_of(const struct chunk *q, void *dx, const void *w) {
    struct cuda_product p = {};
    p.m = (int)q->rows;
    p.n = (int)q->hidden;
    p.k = (int)q->vocab;
    p.count = (int)q->models;
    p.lda = (int64_t)(q->c->width * (q->s->half ? 2 : 1)); // elements of c between rows of dz
    p.ldb = p.ldc = (int64_t)q->hidden;
    p.stride_a = (int64_t)q->rows * p.lda;
    p.stride_b = (int64_t)q->stride;
    p.stride_c = (int64_t)(q->model_rows * q->hidden);
    cuda_product_run(q->s, &p, dx, q->logits, w);
}

// dw += dz^T x
static void weight_gradient_of(const struct chunk *q, float *dw, const void *x) {
    struct cuda_product p = {};
    p.m = (int)q->vocab;
    p.n = (int)q->hidden;
    p.k = (int)q->rows;
    p.count = (int)q->models;
    p.a_transposed = true;
    p.lda = (int64_t)(q->c->width * (q->s->half ? 2 : 1));
    p.ldb = p.ldc = (int64_t)q->hidden;
    p.stride_a = (int64_t)q->rows * p.lda;
    p.stride_b = (int64_t)(q->model_rows * q->hidden);
    p.stride_c = (int64_t)q->stride;
    p.float_out = p.add = true;
    cuda_product_run(q->s, &p, dw, q->logits, x);
}

static void softmax_of_chunk(const struct chunk *q, struct softmax *softmax, bool gradient) {
    softmax->rows = (uint32_t)q->rows;
    softmax->logit_stride = q->rows * q->c->width;
    if (q->s->half)
        gradient ? softmax_of<bf16, true>(q->s, softmax, (unsigned)q->models)
                 : softmax_of<bf16, false>(q->s, softmax, (unsigned)q->models);
    else
        gradient ? softmax_of<float, true>(q->s, softmax, (unsigned)q->models)
                 : softmax_of<float, false>(q->s, softmax, (unsigned)q->models);
}

void cuda_classifier(struct device *d, const struct kernel_models *m, dptr logprob, dptr dx, dptr dw, dptr x,
                     dptr w, dptr targets, dptr scale, int rows, int hidden, int vocab) {
    struct cuda *s = cuda_of(d);
    if (rows == 0 || m->count == 0)
        return;
    if (dx ? cuda_classifier_train(s, m, logprob, dx, dw, x, w, targets, scale, rows, hidden, vocab)
           : cuda_classifier_score(s, m, logprob, x, w, targets, rows, hidden, vocab))
        return;
    size_t all = (size_t)rows, models = (size_t)m->count, size = cuda_element(s);
    struct chunks c = choose_chunks(models, all, (size_t)hidden, (size_t)vocab, dx != NULL);
    struct chunk q = {
        s, &c, (size_t)hidden, (size_t)vocab, m->stride, all, 0, 0, (float *)cuda_scratch(s, c.bytes)};
    if (!q.logits)
        return;
    for (size_t g = 0; g < models; g += q.models)
        for (size_t first = 0; first < all; first += q.rows) {
            q.models = least(c.models, models - g);
            q.rows = least(c.rows, all - first);
            size_t row = g * all + first;
            dptr w_g = dptr_at(w, g * m->stride * size), x_g = dptr_at(x, row * q.hidden * size);
            struct softmax softmax = {};
            softmax.logits = q.logits;
            softmax.logprob = (float *)logprob + row;
            softmax.targets = (const uint32_t *)targets + g * m->token_stride + first;
            softmax.scale = dx ? (const float *)scale + g : NULL;
            softmax.row_stride = all;
            softmax.token_stride = m->token_stride;
            softmax.vocab = (uint32_t)vocab;
            softmax.width = (uint32_t)c.width;
            logits_of(&q, x_g, w_g);
            softmax_of_chunk(&q, &softmax, dx != NULL);
            if (!dx)
                continue;
            input_gradient_of(&q, dptr_at(dx, row * q.hidden * size), w_g);
            weight_gradient_of(&q, (float *)dw + g * m->stride, x_g);
        }
}
