// Log-softmax of x w^T at the targets and its gradient, without an R x V array: chunks of rows go through logits
// (float32, scratch of a thread), log-prob, the logits' gradient (c, scratch of the operation) and dx; the chunks
// of one batch of rows then give dw, batches in order. All sizes follow from the shapes.
//     logprob = z_t - max z - log sum exp(z - max z), dz_v = scale (softmax(z)_v - [v = t]), dx = dz w, dw += dz^T
//     x
#include "product.h"
#include "simd.h"

#include "base/error.h"

#include <math.h>

enum {
    MOST_CHUNK = 128,
    LEAST_CHUNK = 32,
    CHUNK_LOGITS = 1536 * 1024, // elements
    MOST_BATCH = 2048,          // small enough that the logits' gradient is still in cache when dw reads it
    BATCH_BYTES = 32 << 20,
    SUM_SPAN = 4096, // logits summed in float32 lanes before float64 takes over
};

struct classifier {
    struct cpu *s;
    struct product *logits[2], *back[2]; // [last chunk]
    float *logprob;
    char *dx, *x, *w;
    const uint32_t *targets;
    size_t stride, token_stride, rows, hidden, vocab, logit_width, gradient_width;
    size_t chunk, batch;         // rows of a chunk; rows of a batch, a multiple of it
    size_t model, begin, chunks; // gradient: the batch under way. otherwise model and begin are 0
    const float *scales;         // [G]
    float scale;                 // of the model under way
    atomic_llong bad;
};

static void choose_chunks(struct classifier *q, bool half) {
    q->logit_width = cpu_round_up(q->vocab, 16);
    q->gradient_width = cpu_round_up(q->vocab, 32);
    q->chunk = MOST_CHUNK;
    while (q->chunk > LEAST_CHUNK && q->chunk * q->logit_width > CHUNK_LOGITS)
        q->chunk /= 2;
    q->batch = MOST_BATCH;
    while (q->batch > q->chunk && q->batch * q->gradient_width * (half ? 2 : 4) > BATCH_BYTES)
        q->batch /= 2;
}

struct cpu_scratch cpu_classifier_scratch(const struct kernel_limits *l, bool half) {
    struct classifier q = {.vocab = (size_t)l->vocab, .hidden = (size_t)l->hidden};
    choose_chunks(&q, half);
    size_t rows = cpu_least(q.batch, (size_t)l->batch * (size_t)l->length);
    return (struct cpu_scratch){.own = q.chunk * q.logit_width * sizeof(float),
                                .shared = l->train ? rows * q.gradient_width * (half ? 2 : 4) : 0};
}

static INLINE v16 largest_logit(const float *z, size_t width) {
    v16 a = v16_set(-INFINITY), b = a;
    size_t i = 0;
    for (; i + 32 <= width; i += 32) {
        a = v16_max(a, v16_load(z + i));
        b = v16_max(b, v16_load(z + i + 16));
    }
    if (i < width)
        a = v16_max(a, v16_load(z + i));
    return v16_max(a, b);
}

// z <- exp(z - most), returns the sum
static INLINE double exponentiate(float *z, size_t width, float most, bool keep) {
    double sum = 0;
    for (size_t first = 0; first < width; first += SUM_SPAN) {
        size_t last = cpu_least(first + SUM_SPAN, width);
        v16 part = {0};
        for (size_t i = first; i < last; i += 16) {
            v16 e = v16_exp(v16_load(z + i) - most);
            part += e;
            if (keep)
                v16_store(z + i, e);
        }
        sum += v16_sum(part);
    }
    return sum;
}

// One row of logits to its log-prob and, into dz (c), its gradient.
static INLINE float classify_row(const struct classifier *q, float *z, void *dz, uint32_t target, bool half) {
    size_t size = half ? 2 : 4;
    if (target == TARGET_NONE) {
        if (dz)
            memset(dz, 0, q->vocab * size);
        return 0;
    }
    for (size_t i = q->vocab; i < q->logit_width; i++)
        z[i] = -INFINITY;
    float most = v16_largest(largest_logit(z, q->logit_width)), at_target = z[target];
    double sum = exponentiate(z, q->logit_width, most, dz != NULL);
    float logprob = (float)((double)at_target - most - log(sum));
    if (!dz)
        return logprob;
    float factor = (float)(q->scale / sum);
    for (size_t i = 0; i < q->logit_width; i += 16)
        c_store_n(dz, i, v16_load(z + i) * factor, 16, half);
    v16 correct = v16_set((float)((z[target] / sum - 1.0) * q->scale));
    c_store_n(dz, target, correct, 1, half);
    return logprob;
}

static INLINE void classify_chunk(struct classifier *q, int i, int thread, bool gradient, bool half) {
    size_t size = half ? 2 : 4, chunk = (size_t)i % q->chunks, g = q->model + (size_t)i / q->chunks;
    size_t first = q->begin + chunk * q->chunk, rows = cpu_least(q->chunk, q->rows - first);
    size_t at = g * q->rows + first;
    const char *w = q->w + g * q->stride * size;
    bool last = rows < q->chunk || !q->logits[0];
    float *z = q->s->own[thread];
    char *dz = gradient ? (char *)q->s->shared + chunk * q->chunk * q->gradient_width * size : NULL;
    product_run(q->s, q->logits[last], thread, q->x + at * q->hidden * size, w, z);
    for (size_t r = 0; r < rows; r++) {
        uint32_t target = q->targets[g * q->token_stride + first + r];
        if (target >= q->vocab && target != TARGET_NONE) {
            atomic_store(&q->bad, (long long)target);
            return;
        }
        q->logprob[at + r] = classify_row(q, z + r * q->logit_width,
                                          gradient ? dz + r * q->gradient_width * size : NULL, target, half);
    }
    if (gradient)
        product_run(q->s, q->back[last], thread, dz, w, q->dx + at * q->hidden * size);
}

static void chunk_task(void *context, int i, int thread) {
    struct classifier *q = context;
    if (q->s->half)
        q->dx ? classify_chunk(q, i, thread, true, true) : classify_chunk(q, i, thread, false, true);
    else
        q->dx ? classify_chunk(q, i, thread, true, false) : classify_chunk(q, i, thread, false, false);
}

static bool get_products(struct classifier *q) {
    bool half = q->s->half;
    size_t chunks = (size_t)cpu_pieces(q->rows, q->chunk), rest = q->rows - (chunks - 1) * q->chunk;
    for (int last = 0; last < 2; last++) {
        int rows = (int)(last ? rest : q->chunk), vocab = (int)q->vocab, hidden = (int)q->hidden;
        if (!last && chunks == 1)
            continue;
        struct product_shape forward = {.kind = PRODUCT_ROWS,
                                        .m = rows,
                                        .n = vocab,
                                        .k = hidden,
                                        .lda = hidden,
                                        .ldb = hidden,
                                        .ldc = (int)q->logit_width,
                                        .half_in = half};
        struct product_shape backward = {.kind = PRODUCT_PLAIN,
                                         .m = rows,
                                         .n = hidden,
                                         .k = vocab,
                                         .lda = (int)q->gradient_width,
                                         .ldb = hidden,
                                         .ldc = hidden,
                                         .half_in = half,
                                         .half_out = half};
        if (!(q->logits[last] = product_get(q->s, &forward)))
            return false;
        if (q->dx && !(q->back[last] = product_get(q->s, &backward)))
            return false;
    }
    return true;
}

static void run_gradient(struct classifier *q, int models, float *dw) {
    size_t size = q->s->half ? 2 : 4;
    const struct kernel_models one = {.count = 1};
    for (q->model = 0; q->model < (size_t)models; q->model++) {
        q->scale = q->scales[q->model];
        for (q->begin = 0; q->begin < q->rows; q->begin += q->batch) {
            size_t rows = cpu_least(q->batch, q->rows - q->begin), at = q->model * q->rows + q->begin;
            q->chunks = (size_t)cpu_pieces(rows, q->chunk);
            cpu_run(q->s, (int)q->chunks, chunk_task, q);
            cpu_add_weight_products(q->s, &one, dw + q->model * q->stride, q->s->shared, q->gradient_width,
                                    q->x + at * q->hidden * size, (int)rows, (int)q->hidden, (int)q->vocab);
        }
    }
}

void cpu_classifier(struct device *d, const struct kernel_models *m, dptr logprob, dptr dx, dptr dw, dptr x,
                    dptr w, dptr targets, dptr scale, int rows, int hidden, int vocab) {
    struct cpu *s = cpu_of(d);
    struct classifier q = {.s = s,
                           .logprob = (float *)logprob,
                           .dx = (char *)dx,
                           .x = (char *)x,
                           .w = (char *)w,
                           .targets = (const uint32_t *)targets,
                           .stride = m->stride,
                           .token_stride = m->token_stride,
                           .rows = (size_t)rows,
                           .hidden = (size_t)hidden,
                           .vocab = (size_t)vocab,
                           .scales = (const float *)scale,
                           .bad = -1};
    if (rows == 0)
        return;
    struct kernel_limits limits = {
        .models = 1, .batch = 1, .length = rows, .hidden = hidden, .vocab = vocab, .train = dx != NULL};
    struct cpu_scratch need = cpu_classifier_scratch(&limits, s->half);
    choose_chunks(&q, s->half);
    if (!cpu_reserve(s, need.shared, need.own) || !get_products(&q))
        return;
    if (dx) {
        run_gradient(&q, m->count, (float *)dw);
    } else {
        q.chunks = (size_t)cpu_pieces(q.rows, q.chunk);
        cpu_run(s, m->count * (int)q.chunks, chunk_task, &q);
    }
    long long bad = atomic_load(&q.bad);
    if (bad >= 0)
        cpu_fail(s, error_set(ERROR_INPUT, "target %lld is outside the vocabulary of %u", bad, (unsigned)vocab));
}
