// Times every kernel at the shapes of the demo's models and of the rows of `make bench`, with 1 and 2 threads;
// ends each table with what a whole training step would take of these kernels alone. The best of several
// repetitions counts, for other work on the machine only ever adds time.
#include "kernels/kernels.h"
#include "base/error.h"
#include "base/progress.h"
#include "base/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct shape {
    const char *name;
    int batch, length, layers, hidden, heads, feed_forward, vocab;
};

static const struct shape shapes[] = {
    {"tiny: B 8 S 256 L 2 H 64 A 4 F 256 V 257", 8, 256, 2, 64, 4, 256, 257},
    {"demo router: B 8 S 96 L 1 H 32 A 2 F 128 V 257", 8, 96, 1, 32, 2, 128, 257},
    {"router-4k: B 32 S 256 L 12 H 96 A 12 F 384 V 4096", 32, 256, 12, 96, 12, 384, 4096},
    {"13.9m: B 16 S 256 L 6 H 384 A 6 F 1536 V 8192", 16, 256, 6, 384, 6, 1536, 8192},
};

struct bench {
    struct device *d;
    const struct shape *s;
    struct kernel_models one;
    struct attention_shape attention;
    int rows;
    size_t parameters;
    dptr x, sum, mean, rstd, norm, qkv, out, lse, pre, slope, act, delta, tokens, weights, gradient, moments,
        sizes, scale;
    double step_seconds, step_flops;
};

static dptr new_array(struct bench *b, size_t floats, double scale) {
    dptr p = NULL;
    float *v = malloc(floats * sizeof *v);
    if (!v || b->d->k->allocate(b->d, floats * sizeof *v, &p) != OK) {
        fprintf(stderr, "kernels: %s\n", error_message());
        exit(1);
    }
    for (size_t i = 0; i < floats; i++)
        v[i] = (float)(scale * ((double)(i * 2654435761u % 1000) / 500 - 1));
    b->d->k->upload(b->d, p, v, floats * sizeof *v);
    free(v);
    return p;
}

// An array in the compute dtype: the same numbers, rounded.
static dptr new_activations(struct bench *b, size_t n) {
    dptr from = new_array(b, n, 1), to = new_array(b, n, 1);
    b->d->k->convert(b->d, to, from, n);
    b->d->k->release(b->d, from);
    return to;
}

static void make_arrays(struct bench *b) {
    size_t h = (size_t)b->s->hidden, f = (size_t)b->s->feed_forward, v = (size_t)b->s->vocab, r = (size_t)b->rows;
    size_t widest = f > v ? f : v;
    b->parameters = (size_t)b->s->layers * (4 * h * h + 2 * h * f) + v * h;
    b->x = new_array(b, r * h, 1);
    b->sum = new_array(b, r * h, 1);
    b->mean = new_array(b, r, 0.1);
    b->rstd = new_array(b, r, 1);
    b->lse = new_array(b, r * (size_t)b->s->heads, 1);
    b->norm = new_activations(b, r * h);
    b->delta = new_activations(b, r * f);
    b->out = new_activations(b, r * h);
    b->qkv = new_activations(b, 2 * r * 3 * h);
    b->pre = new_activations(b, 2 * r * f);
    b->slope = new_activations(b, r * f);
    b->act = new_activations(b, 2 * r * f);
    b->weights = new_activations(b, widest * (h > 64 ? h : 64) * 3);
    b->gradient = new_array(b, b->parameters + widest * h * 3, 1e-3);
    b->moments = new_array(b, 3 * b->parameters, 1e-3);
    b->sizes = new_array(b, 16, 1);
    b->scale = new_array(b, 1, 1e-4);
    uint32_t *tokens = malloc(r * sizeof *tokens);
    for (size_t i = 0; i < r; i++)
        tokens[i] = (uint32_t)random_below(1, 0, i, v);
    b->tokens = new_array(b, r, 1);
    b->d->k->upload(b->d, b->tokens, tokens, r * sizeof *tokens);
    free(tokens);
}

static void free_arrays(struct bench *b) {
    dptr all[] = {b->x,     b->sum, b->mean,  b->rstd,   b->norm,    b->qkv,      b->out,     b->lse,  b->pre,
                  b->slope, b->act, b->delta, b->tokens, b->weights, b->gradient, b->moments, b->sizes};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        b->d->k->release(b->d, all[i]);
}

// ---- one function per operation ----

#define K (b->d->k)

static void embed_forward(struct bench *b) {
    K->embed_forward(b->d, &b->one, b->x, b->gradient, b->tokens, b->rows, b->s->hidden, b->s->vocab);
}
static void embed_backward(struct bench *b) {
    K->embed_backward(b->d, &b->one, b->gradient, b->x, b->tokens, b->rows, b->s->hidden, b->s->vocab);
}
static void norm_forward(struct bench *b) {
    K->norm_forward(b->d, &b->one, NORM_LAYER, b->norm, b->mean, b->rstd, b->sum, b->x, b->delta, b->gradient,
                    b->gradient, 1e-5f, b->rows, b->s->hidden);
}
static void norm_backward(struct bench *b) {
    K->norm_backward(b->d, &b->one, NORM_LAYER, b->sum, b->out, b->gradient, b->gradient, b->norm, b->x, b->mean,
                     b->rstd, b->moments, b->rows, b->s->hidden);
}
static void forward(struct bench *b, dptr y, dptr slope, enum kernel_activation act, int in, int out) {
    K->matmul_forward(b->d, &b->one, y, slope, b->act, b->weights, act, b->rows, in, out);
}
static void qkv_forward(struct bench *b) {
    forward(b, b->qkv, NULL, ACTIVATION_NONE, b->s->hidden, 3 * b->s->hidden);
}
static void out_forward(struct bench *b) {
    forward(b, b->out, NULL, ACTIVATION_NONE, b->s->hidden, b->s->hidden);
}
static void up_forward(struct bench *b) {
    forward(b, b->delta, b->slope, ACTIVATION_GELU, b->s->hidden, b->s->feed_forward);
}
static void down_forward(struct bench *b) {
    forward(b, b->out, NULL, ACTIVATION_NONE, b->s->feed_forward, b->s->hidden);
}
static void backward_input(struct bench *b, dptr dx, dptr slope, int in, int out) {
    K->matmul_backward_input(b->d, &b->one, dx, b->act, b->weights, slope, b->rows, in, out);
}
static void qkv_input(struct bench *b) {
    backward_input(b, b->out, NULL, b->s->hidden, 3 * b->s->hidden);
}
static void out_input(struct bench *b) {
    backward_input(b, b->out, NULL, b->s->hidden, b->s->hidden);
}
static void up_input(struct bench *b) {
    backward_input(b, b->out, NULL, b->s->hidden, b->s->feed_forward);
}
static void down_input(struct bench *b) {
    backward_input(b, b->delta, b->slope, b->s->feed_forward, b->s->hidden);
}
static void backward_weight(struct bench *b, int in, int out) {
    K->matmul_backward_weight(b->d, &b->one, b->gradient, b->act, b->pre, b->rows, in, out);
}
static void qkv_weight(struct bench *b) {
    backward_weight(b, b->s->hidden, 3 * b->s->hidden);
}
static void out_weight(struct bench *b) {
    backward_weight(b, b->s->hidden, b->s->hidden);
}
static void up_weight(struct bench *b) {
    backward_weight(b, b->s->hidden, b->s->feed_forward);
}
static void down_weight(struct bench *b) {
    backward_weight(b, b->s->feed_forward, b->s->hidden);
}
static void rotary(struct bench *b) {
    K->rotary(b->d, b->qkv, &b->attention, 1, 10000, +1);
}
static void attention_forward(struct bench *b) {
    K->attention_forward(b->d, b->out, b->lse, b->qkv, &b->attention, 1);
}
static void attention_backward(struct bench *b) {
    K->attention_backward(b->d, dptr_at(b->qkv, (size_t)b->rows * 3 * (size_t)b->s->hidden * 4), b->norm, b->out,
                          b->qkv, b->lse, &b->attention, 1);
}
static void classifier_score(struct bench *b) {
    K->classifier(b->d, &b->one, b->mean, NULL, NULL, b->norm, b->weights, b->tokens, NULL, b->rows, b->s->hidden,
                  b->s->vocab);
}
static void classifier_train(struct bench *b) {
    K->classifier(b->d, &b->one, b->mean, b->out, b->gradient, b->norm, b->weights, b->tokens, b->scale, b->rows,
                  b->s->hidden, b->s->vocab);
}
static void swiglu_forward(struct bench *b) {
    K->swiglu_forward(b->d, b->delta, b->pre, (size_t)b->rows, b->s->feed_forward);
}
static void swiglu_backward(struct bench *b) {
    K->swiglu_backward(b->d, b->act, b->delta, b->pre, (size_t)b->rows, b->s->feed_forward);
}
static void sum_squares(struct bench *b) {
    K->sum_squares(b->d, b->sizes, b->gradient, b->parameters);
}
static void adamw(struct bench *b) {
    struct adamw a = {1e-9f, 0.9f, 0.99f, 1e-8f, 0.1f, 10, 1.0f};
    size_t n = b->parameters * sizeof(float);
    K->adamw(b->d, &a, b->moments, b->gradient, dptr_at(b->moments, n), dptr_at(b->moments, 2 * n), b->pre,
             b->parameters / 4);
}

// ---- the table ----

// Per token: products of in x out weights, score products per key (halved: causal), bytes moved per unit of H, F.
struct row {
    const char *name;
    void (*run)(struct bench *b);
    int per_layer, per_step; // how often a training step runs it
    double hh, hf, hv, sh;   // FLOPs: times 2 H^2, 2 H F, 2 H V, 2 S H (per row of the batch)
    double bytes_h, bytes_f; // otherwise bytes per row: times H, F
};

static const struct row table[] = {
    {"embed forward", embed_forward, 0, 1, .bytes_h = 8},
    {"embed backward", embed_backward, 0, 1, .bytes_h = 12},
    {"norm forward", norm_forward, 2, 1, .bytes_h = 12},
    {"norm backward", norm_backward, 2, 1, .bytes_h = 16},
    {"qkv forward", qkv_forward, 1, 0, .hh = 3},
    {"out forward", out_forward, 1, 0, .hh = 1},
    {"up forward, gelu", up_forward, 1, 0, .hf = 1},
    {"down forward", down_forward, 1, 0, .hf = 1},
    {"qkv backward input", qkv_input, 1, 0, .hh = 3},
    {"out backward input", out_input, 1, 0, .hh = 1},
    {"up backward input", up_input, 1, 0, .hf = 1},
    {"down backward input, slope", down_input, 1, 0, .hf = 1},
    {"qkv backward weight", qkv_weight, 1, 0, .hh = 3},
    {"out backward weight", out_weight, 1, 0, .hh = 1},
    {"up backward weight", up_weight, 1, 0, .hf = 1},
    {"down backward weight", down_weight, 1, 0, .hf = 1},
    {"rotary", rotary, 2, 0, .bytes_h = 8},
    {"attention forward", attention_forward, 1, 0, .sh = 1},
    {"attention backward", attention_backward, 1, 0, .sh = 2.5},
    {"classifier, scoring", classifier_score, 0, 0, .hv = 1},
    {"classifier, training", classifier_train, 0, 1, .hv = 3},
    {"swiglu forward", swiglu_forward, 0, 0, .bytes_f = 6},
    {"swiglu backward", swiglu_backward, 0, 0, .bytes_f = 10},
    {"sum of squares", sum_squares, 0, 1, .hh = 0},
    {"adamw", adamw, 0, 4, .hh = 0}, // of a quarter of the parameters
};

static double best_seconds(struct bench *b, void (*run)(struct bench *b)) {
    double best = 1e9, start = clock_seconds();
    for (int i = 0; i < 3; i++)
        run(b);
    for (int i = 0; i < 5 || (clock_seconds() - start < 0.15 && i < 2000); i++) {
        double before = clock_seconds();
        run(b);
        double seconds = clock_seconds() - before;
        if (seconds < best)
            best = seconds;
    }
    return best;
}

static void measure(struct bench *b, const struct row *row) {
    double h = b->s->hidden, f = b->s->feed_forward, v = b->s->vocab, s = b->s->length, r = b->rows;
    double flops = 2 * r * (row->hh * h * h + row->hf * h * f + row->hv * h * v + row->sh * s * h);
    double bytes = r * (row->bytes_h * h + row->bytes_f * f), seconds = best_seconds(b, row->run);
    int times = row->per_layer * b->s->layers + row->per_step;
    if (row->run == sum_squares)
        bytes = 4.0 * (double)b->parameters;
    if (row->run == adamw)
        bytes = 30.0 * (double)b->parameters / 4;
    b->step_seconds += times * seconds;
    b->step_flops += times * flops;
    printf("  %-27s %10.1f us  %7.1f %s  x %-2d %10.1f us\n", row->name, seconds * 1e6,
           (flops > 0 ? flops : bytes) / seconds * 1e-9, flops > 0 ? "GFLOP/s" : "GB/s   ", times,
           times * seconds * 1e6);
}

static int bench_shape(const struct shape *s, enum kernel_dtype dtype, int threads) {
    struct bench b = {.s = s, .one = {1, 0, 0}, .rows = s->batch * s->length};
    b.attention = (struct attention_shape){s->batch, s->length, s->heads, s->heads, s->hidden / s->heads};
    if (device_open(&b.d, "cpu", threads, dtype) != OK)
        return 1;
    make_arrays(&b);
    printf("%s, %s\n", s->name, device_describe(b.d));
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        measure(&b, &table[i]);
    printf("  a training step: %.2f ms, %.0f tokens/s, %.1f GFLOP/s\n\n", b.step_seconds * 1e3,
           b.rows / b.step_seconds, b.step_flops / b.step_seconds * 1e-9);
    int code = b.d->k->synchronize(b.d);
    free_arrays(&b);
    device_close(b.d);
    return code;
}

// kernels [SHAPE [THREADS]]: only the shapes whose name begins so, only so many threads, and then only bfloat16.
int main(int argc, char **argv) {
    int only = argc > 2 ? atoi(argv[2]) : 0;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int threads = 1; threads <= 2; threads++)
            for (int dtype = KERNEL_F32; dtype <= KERNEL_BF16; dtype++) {
                if ((argc > 1 && strncmp(shapes[i].name, argv[1], strlen(argv[1])) != 0) ||
                    (only && threads != only))
                    continue;
                if (dtype == KERNEL_F32 && (threads == 2 || only))
                    continue;
                if (bench_shape(&shapes[i], (enum kernel_dtype)dtype, threads) != OK) {
                    fprintf(stderr, "kernels: %s\n", error_message());
                    return 1;
                }
            }
    return 0;
}
