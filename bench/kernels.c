// Times every kernel. The best of several repetitions counts, for other work on the machine only ever adds time.
//
//   kernels [SHAPE [THREADS]]
//       on the CPU, at the shapes of the demo's models and of the rows of `make bench` (or those whose name begins
//       so), with 1 and 2 threads (or so many, and then only bfloat16); each table ends with what a whole training
//       step would take of these kernels alone
//   kernels --roofline DEVICE B S L H A F V [G [SIDE [NAME]]]
//       on a device in bfloat16, G models of one shape at once, each kernel (or those whose name begins so) beside
//       its floor, with tabs between:
//       NAME MICROSECONDS FLOOR_MICROSECONDS FLOPS BYTES TIMES_A_PASS TIMES_AN_UPDATE. The first lines are the
//       device's name and the two rates that floors are made of, measured here: that of a product of SIDE, and of
//       a copy (bytes read and written). FLOOR = max(FLOPS / product, BYTES / copy), every input read once and
//       every output written once. What fits in the device's cache may be faster than its floor.
#include "kernels/kernels.h"
#include "base/error.h"
#include "base/progress.h"
#include "base/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct shape {
    const char *name;
    int batch, length, layers, hidden, heads, feed_forward, vocab, models; // models 0: one
};

static const struct shape shapes[] = {
    {"tiny: B 8 S 256 L 2 H 64 A 4 F 256 V 257", 8, 256, 2, 64, 4, 256, 257, 1},
    {"demo router: B 8 S 96 L 1 H 32 A 2 F 128 V 257", 8, 96, 1, 32, 2, 128, 257, 1},
    {"router-4k: B 32 S 256 L 12 H 96 A 12 F 384 V 4096", 32, 256, 12, 96, 12, 384, 4096, 1},
    {"13.9m: B 16 S 256 L 6 H 384 A 6 F 1536 V 8192", 16, 256, 6, 384, 6, 1536, 8192, 1},
};

struct bench {
    struct device *d;
    const struct shape *s;
    struct kernel_models models;
    struct attention_shape attention;
    int rows; // of each model
    size_t parameters;
    size_t updated; // parameters of one optimizer call: a quarter, so that all shapes fit
    dptr x, sum, mean, rstd, norm, qkv, out, lse, pre, slope, act, delta, tokens, weights, gradient, moments,
        sizes, scale;
    double step_seconds, step_flops;
};

static void fail(void) {
    fprintf(stderr, "kernels: %s\n", error_message());
    exit(1);
}

// Uniform numbers within +-scale: a block of them from the host, doubled on the device.
static dptr new_array(struct bench *b, size_t floats, double scale) {
    enum { BLOCK = 1 << 20 };
    size_t done = floats < BLOCK ? floats : BLOCK, bytes = sizeof(float);
    dptr p = NULL;
    float *v = malloc(done * bytes + 1);
    if (!v || b->d->k->allocate(b->d, floats * bytes, &p) != OK)
        fail();
    for (size_t i = 0; i < done; i++)
        v[i] = (float)(scale * (2 * random_uniform(7, 0, i) - 1));
    b->d->k->upload(b->d, p, v, done * bytes);
    for (size_t n; done < floats; done += n) {
        n = floats - done < done ? floats - done : done;
        b->d->k->copy(b->d, dptr_at(p, done * bytes), p, n * bytes);
    }
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

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

static void make_arrays(struct bench *b) {
    size_t h = (size_t)b->s->hidden, f = (size_t)b->s->feed_forward, v = (size_t)b->s->vocab;
    size_t g = (size_t)b->models.count, r = (size_t)b->rows * g, matrices;
    b->parameters = (size_t)b->s->layers * (4 * h * h + 2 * h * f) + v * h;
    b->updated = b->parameters / 4 / 32 * 32;
    b->models.stride = larger(b->parameters, larger(v, larger(f, 3 * h)) * h) / 32 * 32 + 32;
    matrices = g * b->models.stride;
    b->x = new_array(b, r * h, 1);
    b->sum = new_array(b, r * h, 1);
    b->mean = new_array(b, r, 0.1);
    b->rstd = new_array(b, r, 1);
    b->lse = new_array(b, r * (size_t)b->s->heads, 1);
    b->norm = new_activations(b, r * h);
    b->delta = new_activations(b, r * f);
    b->out = new_activations(b, r * h);
    b->qkv = new_activations(b, 2 * r * 3 * h);
    b->pre = new_activations(b, larger(2 * r * f, g * b->updated));
    b->slope = new_activations(b, r * f);
    b->act = new_activations(b, r * larger(2 * f, 3 * h));
    b->weights = new_activations(b, g == 1 ? larger(v, larger(f, 3 * h)) * h : matrices);
    b->gradient = new_array(b, matrices, 1e-3);
    b->moments = new_array(b, larger(3 * g * b->updated, g == 1 ? h : matrices), 1e-3);
    b->sizes = new_array(b, 2 * g, 1);
    b->scale = new_array(b, g, 1e-4);
    uint32_t *tokens = malloc(r * sizeof *tokens);
    for (size_t i = 0; i < r; i++)
        tokens[i] = (uint32_t)random_below(1, 0, i, v);
    b->tokens = new_array(b, r, 1);
    b->d->k->upload(b->d, b->tokens, tokens, r * sizeof *tokens);
    free(tokens);
}

static void free_arrays(struct bench *b) {
    dptr all[] = {b->x,     b->sum, b->mean,  b->rstd,   b->norm,    b->qkv,      b->out,     b->lse,   b->pre,
                  b->slope, b->act, b->delta, b->tokens, b->weights, b->gradient, b->moments, b->sizes, b->scale};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        b->d->k->release(b->d, all[i]);
}

// ---- one function per operation ----

#define K (b->d->k)

static void embed_forward(struct bench *b) {
    K->embed_forward(b->d, &b->models, b->x, b->gradient, b->tokens, b->rows, b->s->hidden, b->s->vocab);
}
static void embed_backward(struct bench *b) {
    K->embed_backward(b->d, &b->models, b->gradient, b->x, b->tokens, b->rows, b->s->hidden, b->s->vocab);
}
static void norm_forward(struct bench *b) {
    K->norm_forward(b->d, &b->models, NORM_LAYER, b->norm, b->mean, b->rstd, b->sum, b->x, b->delta, b->gradient,
                    b->gradient, 1e-5f, b->rows, b->s->hidden);
}
static void norm_backward(struct bench *b) {
    K->norm_backward(b->d, &b->models, NORM_LAYER, b->sum, b->out, b->gradient, b->gradient, b->norm, b->x,
                     b->mean, b->rstd, b->moments, b->rows, b->s->hidden);
}
static void forward(struct bench *b, dptr y, dptr slope, enum kernel_activation act, int in, int out) {
    K->matmul_forward(b->d, &b->models, y, slope, b->act, b->weights, act, b->rows, in, out);
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
    K->matmul_backward_input(b->d, &b->models, dx, b->act, b->weights, slope, b->rows, in, out);
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
    K->matmul_backward_weight(b->d, &b->models, b->gradient, b->act, b->pre, b->rows, in, out);
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
static void attend(struct bench *b, float theta) {
    b->attention.theta = theta;
    K->attention_forward(b->d, b->out, b->lse, b->qkv, &b->attention, b->models.count);
}
static void attention_forward(struct bench *b) {
    attend(b, 10000);
}
static void plain_attention_forward(struct bench *b) {
    attend(b, 0);
}
static void attend_backward(struct bench *b, float theta) {
    size_t half = (size_t)b->models.count * (size_t)b->rows * 3 * (size_t)b->s->hidden;
    b->attention.theta = theta;
    K->attention_backward(b->d, dptr_at(b->qkv, half * kernel_dtype_size(b->d->compute)), b->norm, b->out, b->qkv,
                          b->lse, &b->attention, b->models.count);
}
static void attention_backward(struct bench *b) {
    attend_backward(b, 10000);
}
static void plain_attention_backward(struct bench *b) {
    attend_backward(b, 0);
}
static void classifier_score(struct bench *b) {
    K->classifier(b->d, &b->models, b->mean, NULL, NULL, b->norm, b->weights, b->tokens, NULL, b->rows,
                  b->s->hidden, b->s->vocab);
}
static void classifier_train(struct bench *b) {
    K->classifier(b->d, &b->models, b->mean, b->out, b->gradient, b->norm, b->weights, b->tokens, b->scale,
                  b->rows, b->s->hidden, b->s->vocab);
}
static size_t all_rows(const struct bench *b) {
    return (size_t)b->models.count * (size_t)b->rows;
}
static void swiglu_forward(struct bench *b) {
    K->swiglu_forward(b->d, b->delta, b->pre, all_rows(b), b->s->feed_forward);
}
static void swiglu_backward(struct bench *b) {
    K->swiglu_backward(b->d, b->act, b->delta, b->pre, all_rows(b), b->s->feed_forward);
}
static void sum_squares(struct bench *b) {
    K->sum_squares(b->d, &b->models, b->sizes, b->gradient, b->parameters);
}
static void adamw(struct bench *b) {
    struct adamw a = {1e-9f, 0.9f, 0.99f, 1e-8f, 0.1f, b->updated, 10};
    struct kernel_models models = {b->models.count, b->updated, 0};
    size_t n = (size_t)models.count * b->updated * sizeof(float);
    K->adamw(b->d, &models, &a, b->scale, b->moments, b->gradient, dptr_at(b->moments, n),
             dptr_at(b->moments, 2 * n), b->pre, b->updated);
}

// ---- the table ----

// Per row of the batch: products of in x out weights, score products per key (halved: causal); bytes moved per
// unit of H and F, activations in bfloat16; and bytes per weight that a product touches.
struct row {
    const char *name;
    void (*run)(struct bench *b);
    int per_layer, per_step; // how often a training step runs it
    double hh, hf, hv, sh;   // FLOPs: times 2 H^2, 2 H F, 2 H V, 2 S H (per row of the batch)
    double bytes_h, bytes_f; // bytes per row: times H, F
    double weight_bytes;     // bytes per weight: times H^2, H F, H V where the product has them
};

static const struct row table[] = {
    {"embed forward", embed_forward, 0, 1, .bytes_h = 8},
    {"embed backward", embed_backward, 0, 1, .bytes_h = 12},
    {"norm forward", norm_forward, 2, 1, .bytes_h = 12},
    {"norm backward", norm_backward, 2, 1, .bytes_h = 16},
    {"qkv forward", qkv_forward, 1, 0, .hh = 3, .bytes_h = 8, .weight_bytes = 2},
    {"out forward", out_forward, 1, 0, .hh = 1, .bytes_h = 4, .weight_bytes = 2},
    {"up forward, gelu", up_forward, 1, 0, .hf = 1, .bytes_h = 2, .bytes_f = 4, .weight_bytes = 2},
    {"down forward", down_forward, 1, 0, .hf = 1, .bytes_h = 2, .bytes_f = 2, .weight_bytes = 2},
    {"qkv backward input", qkv_input, 1, 0, .hh = 3, .bytes_h = 8, .weight_bytes = 2},
    {"out backward input", out_input, 1, 0, .hh = 1, .bytes_h = 4, .weight_bytes = 2},
    {"up backward input", up_input, 1, 0, .hf = 1, .bytes_h = 2, .bytes_f = 2, .weight_bytes = 2},
    {"down backward input, slope", down_input, 1, 0, .hf = 1, .bytes_h = 2, .bytes_f = 4, .weight_bytes = 2},
    {"qkv backward weight", qkv_weight, 1, 0, .hh = 3, .bytes_h = 8, .weight_bytes = 8},
    {"out backward weight", out_weight, 1, 0, .hh = 1, .bytes_h = 4, .weight_bytes = 8},
    {"up backward weight", up_weight, 1, 0, .hf = 1, .bytes_h = 2, .bytes_f = 2, .weight_bytes = 8},
    {"down backward weight", down_weight, 1, 0, .hf = 1, .bytes_h = 2, .bytes_f = 2, .weight_bytes = 8},
    {"attention forward", attention_forward, 1, 0, .sh = 1, .bytes_h = 12}, // q and k are written turned
    {"attention backward", attention_backward, 1, 0, .sh = 2.5, .bytes_h = 16},
    {"attention forward, no rotary", plain_attention_forward, 0, 0, .sh = 1, .bytes_h = 8},
    {"attention backward, no rotary", plain_attention_backward, 0, 0, .sh = 2.5, .bytes_h = 16},
    {"classifier, scoring", classifier_score, 0, 0, .hv = 1, .bytes_h = 2, .weight_bytes = 2},
    {"classifier, training", classifier_train, 0, 1, .hv = 3, .bytes_h = 4, .weight_bytes = 10},
    {"swiglu forward", swiglu_forward, 0, 0, .bytes_f = 6},
    {"swiglu backward", swiglu_backward, 0, 0, .bytes_f = 10},
    {"sum of squares", sum_squares, 0, 1, .hh = 0},
    {"adamw", adamw, 0, 4, .hh = 0}, // of a quarter of the parameters
};

static bool is_update(const struct row *row) {
    return row->run == sum_squares || row->run == adamw;
}

// FLOPs and bytes of one call, all models together.
static double call_flops(const struct bench *b, const struct row *row) {
    double h = b->s->hidden, f = b->s->feed_forward, v = b->s->vocab, s = b->s->length;
    return 2 * (double)all_rows(b) * (row->hh * h * h + row->hf * h * f + row->hv * h * v + row->sh * s * h);
}

static double call_bytes(const struct bench *b, const struct row *row) {
    double h = b->s->hidden, f = b->s->feed_forward, v = b->s->vocab;
    double weights = row->hh * h * h + row->hf * h * f + (row->hv > 0) * h * v;
    if (row->run == sum_squares)
        return 4.0 * (double)b->parameters * b->models.count;
    if (row->run == adamw)
        return 30.0 * (double)b->updated * b->models.count;
    return (double)all_rows(b) * (row->bytes_h * h + row->bytes_f * f) +
           row->weight_bytes * weights * b->models.count;
}

// Seconds of one call: the best of several rounds. A round is one call where calls are done when they return, and
// otherwise as many as keep the device busy for some milliseconds.
static double best_seconds(struct bench *b, void (*run)(struct bench *b)) {
    double best = 1e9, start, round = 0;
    int calls = 1, least = strcmp(K->name, "cpu") == 0 ? 5 : 4;
    for (int i = 0; i < 3; i++) {
        double before = clock_seconds();
        run(b);
        if (K->synchronize(b->d) != OK)
            fail();
        round = clock_seconds() - before;
    }
    if (strcmp(K->name, "cpu") != 0 && round < 8e-3)
        calls = (int)(8e-3 / round) + 1;
    start = clock_seconds();
    for (int i = 0; i < least || (clock_seconds() - start < 0.15 && i < 2000); i++) {
        double before = clock_seconds();
        for (int j = 0; j < calls; j++)
            run(b);
        if (K->synchronize(b->d) != OK)
            fail();
        double seconds = (clock_seconds() - before) / calls;
        if (seconds < best)
            best = seconds;
    }
    return best;
}

static void measure(struct bench *b, const struct row *row) {
    double flops = call_flops(b, row), bytes = call_bytes(b, row), seconds = best_seconds(b, row->run);
    int times = row->per_layer * b->s->layers + row->per_step;
    b->step_seconds += times * seconds;
    b->step_flops += times * flops;
    printf("  %-29s %10.1f us  %7.1f %s  x %-2d %10.1f us\n", row->name, seconds * 1e6,
           (flops > 0 ? flops : bytes) / seconds * 1e-9, flops > 0 ? "GFLOP/s" : "GB/s   ", times,
           times * seconds * 1e6);
}

static void open_bench(struct bench *b, const struct shape *s, const char *device, enum kernel_dtype dtype,
                       int threads) {
    *b = (struct bench){.s = s, .models = {s->models ? s->models : 1, 0, 0}, .rows = s->batch * s->length};
    b->attention = (struct attention_shape){s->batch, s->length, s->heads, s->heads, s->hidden / s->heads, 0};
    if (device_open(&b->d, device, threads, dtype) != OK)
        fail();
}

static int bench_shape(const struct shape *s, enum kernel_dtype dtype, int threads) {
    struct bench b;
    open_bench(&b, s, "cpu", dtype, threads);
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

// ---- the roofline ----

static void plain_product(struct bench *b) {
    K->matmul_forward(b->d, &b->models, b->qkv, NULL, b->act, b->weights, ACTIVATION_NONE, b->rows, b->rows,
                      b->rows);
}

static void plain_copy(struct bench *b) {
    K->copy(b->d, b->sum, b->x, (size_t)b->rows * (size_t)b->rows * 4 * sizeof(float));
}

// FLOP/s of a square product, bytes/s of a copy (in and out), at sizes that fill the device.
static void measure_rates(const char *device, int side, double *product, double *copy) {
    struct shape none = {.name = "rates", .batch = 1, .heads = 1};
    struct bench b;
    open_bench(&b, &none, device, KERNEL_BF16, 0);
    b.rows = side;
    size_t n = (size_t)side;
    b.act = new_activations(&b, n * n);
    b.weights = new_activations(&b, n * n);
    b.qkv = new_activations(&b, n * n);
    *product = 2.0 * (double)n * (double)n * (double)n / best_seconds(&b, plain_product);
    b.x = new_array(&b, 4 * n * n, 1);
    b.sum = new_array(&b, 4 * n * n, 1);
    *copy = 32.0 * (double)n * (double)n / best_seconds(&b, plain_copy);
    printf("device\t%s\nproduct\t%.4g\ncopy\t%.4g\n", device_describe(b.d), *product, *copy);
    device_close(b.d);
}

static int roofline(const char *device, const struct shape *s, int side, const char *name) {
    double product, copy;
    struct bench b;
    measure_rates(device, side, &product, &copy);
    open_bench(&b, s, device, KERNEL_BF16, 0);
    make_arrays(&b);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const struct row *row = &table[i];
        if (strncmp(row->name, name, strlen(name)) != 0)
            continue;
        double flops = call_flops(&b, row), bytes = call_bytes(&b, row), seconds = best_seconds(&b, row->run);
        double floor = flops / product > bytes / copy ? flops / product : bytes / copy;
        int times = row->per_layer * s->layers + row->per_step;
        printf("%s\t%.3f\t%.3f\t%.6g\t%.6g\t%d\t%d\n", row->name, seconds * 1e6, floor * 1e6, flops, bytes,
               is_update(row) ? 0 : times, is_update(row) ? times : 0);
    }
    free_arrays(&b);
    device_close(b.d);
    return 0;
}

static int roofline_main(int argc, char **argv) {
    int v[9] = {[7] = 1, [8] = 8192};
    for (int i = 3; i < argc && i < 12; i++)
        v[i - 3] = atoi(argv[i]);
    for (int i = 0; i < 9; i++)
        if (argc < 10 || v[i] < 1) {
            fprintf(stderr, "usage: kernels --roofline DEVICE B S L H A F V [G [SIDE [NAME]]]\n");
            return 2;
        }
    struct shape s = {"", v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7]};
    return roofline(argv[2], &s, v[8], argc > 12 ? argv[12] : "");
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--roofline") == 0)
        return roofline_main(argc, argv);
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
