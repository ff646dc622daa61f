// Products and the classifier against float64 written plainly, and that against finite differences.
#include "kernels_common.h"

// y[rows, out] = x[rows, in] w[out, in]^T
static void product(double *y, const double *x, const double *w, size_t rows, size_t in, size_t out) {
    for (size_t r = 0; r < rows; r++)
        for (size_t o = 0; o < out; o++) {
            double sum = 0;
            for (size_t i = 0; i < in; i++)
                sum += x[r * in + i] * w[o * in + i];
            y[r * out + o] = sum;
        }
}

static double gelu(double x) {
    return 0.5 * x * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)));
}

static double gelu_slope(double x) {
    return (gelu(x + 1e-5) - gelu(x - 1e-5)) / 2e-5;
}

// Whether two ways to the same rounded result must agree to the bit: always in float32. In bfloat16 a backend may
// round at other places.
static bool must_be_same(const struct device *d) {
    return d->compute == KERNEL_F32 || strcmp(d->k->name, "cpu") == 0;
}

static void check_same(struct device *d, const struct array *got, const double *expected, const char *what) {
    if (must_be_same(d))
        CHECK(memcmp(got->v, expected, got->n * sizeof *got->v) == 0);
    else
        CHECK_NEAR(d, got->v, expected, got->n, "%s", what);
}

// What the forward pass left in `slope`, whatever it is, makes the next backward product's (dy w2) * gelu'(z).
static void check_slope(struct device *d, const struct kernel_models *m, const struct array *slope,
                        const double *z, size_t rows, size_t in, size_t out) {
    size_t g = (size_t)m->count;
    struct kernel_models m2 = {m->count, in * out + 8, 0};
    struct array dy = array_random(d, g * rows * in, true, 1, 0);
    struct array w = array_random(d, g * m2.stride, true, 1 / sqrt((double)in), 0);
    struct array dx = array_poisoned(d, g * rows * out, true);
    double *expected = calloc(dx.n, sizeof *expected);
    for (size_t r = 0; r < g * rows; r++)
        for (size_t i = 0; i < in; i++)
            for (size_t o = 0; o < out; o++)
                expected[r * out + o] += dy.v[r * in + i] * w.v[r / rows * m2.stride + i * out + o];
    for (size_t i = 0; i < dx.n; i++)
        expected[i] *= gelu_slope(z[i]);
    d->k->matmul_backward_input(d, &m2, dx.p, dy.p, w.p, slope->p, (int)rows, (int)out, (int)in);
    array_get(d, &dx);
    CHECK_NEAR(d, dx.v, expected, dx.n, "backward through gelu of %zu x %zu x %zu", rows, in, out);
    free(expected);
    array_free(d, &dy), array_free(d, &w), array_free(d, &dx);
}

static void check_forward(struct device *d, const struct kernel_models *m, size_t rows, size_t in, size_t out) {
    size_t g = (size_t)m->count;
    struct array x = array_random(d, g * rows * in, true, 1, 0);
    struct array w = array_random(d, g * m->stride, true, 1 / sqrt((double)in), 0);
    double *expected = malloc(g * rows * out * sizeof *expected);
    for (size_t k = 0; k < g; k++)
        product(expected + k * rows * out, x.v + k * rows * in, w.v + k * m->stride, rows, in, out);
    struct array y = array_poisoned(d, g * rows * out, true), slope = array_poisoned(d, y.n, true);
    d->k->matmul_forward(d, m, y.p, NULL, x.p, w.p, ACTIVATION_NONE, (int)rows, (int)in, (int)out);
    array_get(d, &y);
    CHECK_NEAR(d, y.v, expected, y.n, "product of %zu x %zu x %zu", rows, in, out);
    d->k->matmul_forward(d, m, y.p, slope.p, x.p, w.p, ACTIVATION_GELU, (int)rows, (int)in, (int)out);
    array_get(d, &y);
    array_get(d, &slope);
    double *with_slope = copy_values(&y);
    check_slope(d, m, &slope, expected, rows, in, out);
    for (size_t i = 0; i < y.n; i++)
        expected[i] = gelu(expected[i]);
    CHECK_NEAR(d, y.v, expected, y.n, "gelu of %zu x %zu x %zu", rows, in, out);
    d->k->matmul_forward(d, m, y.p, NULL, x.p, w.p, ACTIVATION_GELU, (int)rows, (int)in, (int)out);
    array_get(d, &y);
    check_same(d, &y, with_slope, "gelu with and without its slope");
    free(expected), free(with_slope);
    array_free(d, &x), array_free(d, &w), array_free(d, &y), array_free(d, &slope);
}

static void check_backward(struct device *d, const struct kernel_models *m, size_t rows, size_t in, size_t out) {
    size_t g = (size_t)m->count;
    struct array x = array_random(d, g * rows * in, true, 1, 0), dy = array_random(d, g * rows * out, true, 1, 0);
    struct array w = array_random(d, g * m->stride, true, 1 / sqrt((double)out), 0);
    struct array dx = array_poisoned(d, x.n, true), dw = array_random(d, w.n, false, 1, 0);
    double *dx_expected = calloc(x.n, sizeof *dx_expected), *dw_expected = copy_values(&dw);
    for (size_t k = 0; k < g; k++)
        for (size_t r = k * rows; r < (k + 1) * rows; r++)
            for (size_t o = 0; o < out; o++)
                for (size_t i = 0; i < in; i++) {
                    dx_expected[r * in + i] += dy.v[r * out + o] * w.v[k * m->stride + o * in + i];
                    dw_expected[k * m->stride + o * in + i] += dy.v[r * out + o] * x.v[r * in + i];
                }
    d->k->matmul_backward_input(d, m, dx.p, dy.p, w.p, NULL, (int)rows, (int)in, (int)out);
    array_get(d, &dx);
    CHECK_NEAR(d, dx.v, dx_expected, dx.n, "backward to the input of %zu x %zu x %zu", rows, in, out);
    d->k->matmul_backward_weight(d, m, dw.p, dy.p, x.p, (int)rows, (int)in, (int)out);
    array_get(d, &dw);
    CHECK_NEAR(d, dw.v, dw_expected, dw.n, "backward to the weights of %zu x %zu x %zu", rows, in, out);
    free(dx_expected), free(dw_expected);
    array_free(d, &x), array_free(d, &dy), array_free(d, &w), array_free(d, &dx), array_free(d, &dw);
}

// ---- classifier ----

struct classifier {
    size_t models, rows, hidden, vocab, stride, token_stride;
    const double *x, *w;
    const uint32_t *targets;
};

// Log-probs; with dx and dw also the gradient of -scale[g] * their sum. dw is added to.
static void classify(const struct classifier *q, double *logprob, const double *scale, double *dx, double *dw) {
    double *z = malloc(q->vocab * sizeof *z);
    for (size_t row = 0; row < q->models * q->rows; row++) {
        size_t g = row / q->rows, hidden = q->hidden;
        const double *x = q->x + row * hidden, *w = q->w + g * q->stride;
        uint32_t target = q->targets[g * q->token_stride + row % q->rows];
        double most = -INFINITY, sum = 0;
        logprob[row] = 0;
        for (size_t i = 0; dx && i < hidden; i++)
            dx[row * hidden + i] = 0;
        if (target == TARGET_NONE)
            continue;
        product(z, x, w, 1, hidden, q->vocab);
        for (size_t v = 0; v < q->vocab; v++)
            most = fmax(most, z[v]);
        for (size_t v = 0; v < q->vocab; v++)
            sum += exp(z[v] - most);
        logprob[row] = z[target] - most - log(sum);
        for (size_t v = 0; dx && v < q->vocab; v++) {
            double dz = scale[g] * (exp(z[v] - most) / sum - (v == target));
            for (size_t i = 0; i < hidden; i++) {
                dx[row * hidden + i] += dz * w[v * hidden + i];
                dw[g * q->stride + v * hidden + i] += dz * x[i];
            }
        }
    }
    free(z);
}

static void check_difference(const struct classifier *q, const double *dx, const double *scale) {
    size_t n = q->models * q->rows * q->hidden, rows = q->models * q->rows;
    double *moved = malloc(n * sizeof *moved), *logprob = malloc(rows * sizeof *logprob), loss[2] = {0, 0},
           slope = 0;
    struct classifier m = *q;
    m.x = moved;
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < n; i++)
            moved[i] = q->x[i] + (side ? 1e-5 : -1e-5) * random_normal(5, 0, i);
        classify(&m, logprob, NULL, NULL, NULL);
        for (size_t r = 0; r < rows; r++)
            loss[side] -= scale[r / q->rows] * logprob[r];
    }
    for (size_t i = 0; i < n; i++)
        slope += dx[i] * random_normal(5, 0, i);
    CHECK_CLOSE((loss[1] - loss[0]) / 2e-5, slope, 1e-6);
    free(moved), free(logprob);
}

static void check_classifier(struct device *d, int models, size_t rows, size_t hidden, size_t vocab,
                             bool own_tokens) {
    size_t g = (size_t)models, stride = hidden * vocab + 16;
    struct kernel_models m = {models, stride, own_tokens ? rows : 0};
    struct array x = array_random(d, g * rows * hidden, true, 1, 0);
    struct array w = array_random(d, g * stride, true, 1 / sqrt((double)hidden), 0);
    struct array logprob = array_poisoned(d, g * rows, false), dx = array_poisoned(d, x.n, true);
    struct array dw = array_random(d, w.n, false, 0.1, 0);
    uint32_t *targets = malloc(g * rows * sizeof *targets);
    for (size_t i = 0; i < g * rows; i++)
        targets[i] = i % 7 == 5 ? TARGET_NONE : (uint32_t)random_below(3, 0, i, vocab);
    dptr device_targets = words_new(d, targets, g * rows);
    struct array scale = array_new(d, g, false);
    for (size_t k = 0; k < g; k++)
        scale.v[k] = 0.125 * (double)(k + 1);
    array_put(d, &scale);
    struct classifier q = {g, rows, hidden, vocab, stride, m.token_stride, x.v, w.v, targets};
    double *expected = malloc(logprob.n * sizeof *expected), *dx_expected = calloc(x.n, sizeof *dx_expected);
    double *dw_expected = copy_values(&dw);
    classify(&q, expected, scale.v, dx_expected, dw_expected);
    d->k->classifier(d, &m, logprob.p, NULL, NULL, x.p, w.p, device_targets, NULL, (int)rows, (int)hidden,
                     (int)vocab);
    array_get(d, &logprob);
    CHECK_NEAR(d, logprob.v, expected, logprob.n, "log-probs of %zu x %zu x %zu", rows, hidden, vocab);
    d->k->classifier(d, &m, logprob.p, dx.p, dw.p, x.p, w.p, device_targets, scale.p, (int)rows, (int)hidden,
                     (int)vocab);
    array_get(d, &logprob);
    array_get(d, &dx);
    array_get(d, &dw);
    CHECK_NEAR(d, logprob.v, expected, logprob.n, "log-probs, training, of %zu x %zu x %zu", rows, hidden, vocab);
    CHECK_NEAR(d, dx.v, dx_expected, dx.n, "classifier's dx of %zu x %zu x %zu", rows, hidden, vocab);
    CHECK_NEAR(d, dw.v, dw_expected, dw.n, "classifier's dw of %zu x %zu x %zu", rows, hidden, vocab);
    if (d->threads == 1 && rows * vocab < 10000)
        check_difference(&q, dx_expected, scale.v);
    d->k->release(d, device_targets);
    free(targets), free(expected), free(dx_expected), free(dw_expected);
    array_free(d, &x), array_free(d, &w), array_free(d, &logprob), array_free(d, &dx), array_free(d, &dw);
    array_free(d, &scale);
}

// Where the target is all but certain its part of the gradient cancels: dx stays right to the precision of its
// dtype.
static void check_certain(struct device *d, size_t hidden) {
    enum { ROWS = 33, VOCAB = 9 };
    struct kernel_models m = {1, hidden * VOCAB, ROWS};
    struct array x = array_random(d, ROWS * hidden, true, 1, 0), w = array_random(d, hidden * VOCAB, true, 1, 0);
    struct array logprob = array_poisoned(d, ROWS, false), dx = array_poisoned(d, x.n, true);
    struct array dw = array_random(d, w.n, false, 0, 0), scale = array_new(d, 1, false);
    uint32_t targets[ROWS];
    double expected[ROWS], *dx_expected = calloc(x.n, sizeof *dx_expected);
    double *dw_expected = calloc(w.n, sizeof *dw_expected);
    for (uint32_t r = 0; r < ROWS; r++) { // along the target's weights: p is 1 but for about e^-8
        targets[r] = r % VOCAB;
        double square = 0;
        for (size_t i = 0; i < hidden; i++)
            square += w.v[targets[r] * hidden + i] * w.v[targets[r] * hidden + i];
        for (size_t i = 0; i < hidden; i++)
            x.v[r * hidden + i] = 10 * w.v[targets[r] * hidden + i] / square;
    }
    array_put(d, &x);
    scale.v[0] = 1;
    array_put(d, &scale);
    struct classifier q = {1, ROWS, hidden, VOCAB, m.stride, ROWS, x.v, w.v, targets};
    classify(&q, expected, scale.v, dx_expected, dw_expected);
    dptr device_targets = words_new(d, targets, ROWS);
    d->k->classifier(d, &m, logprob.p, dx.p, dw.p, x.p, w.p, device_targets, scale.p, ROWS, (int)hidden, VOCAB);
    array_get(d, &logprob), array_get(d, &dx), array_get(d, &dw);
    double most = d->compute == KERNEL_BF16 ? 1e-2 : 1e-4; // logits of 10 cancel
    CHECK(distance(logprob.v, expected, logprob.n) < most);
    CHECK(distance(dx.v, dx_expected, dx.n) < most);
    CHECK(distance(dw.v, dw_expected, dw.n) < most);
    d->k->release(d, device_targets);
    free(dx_expected), free(dw_expected);
    array_free(d, &x), array_free(d, &w), array_free(d, &logprob), array_free(d, &dx), array_free(d, &dw);
    array_free(d, &scale);
}

// -inf is a legal log-prob, NaN stays NaN; neither leaks into another row.
static void check_infinities(struct device *d) {
    double values[] = {-INFINITY, 1, 2, NAN, 1, 1}; // one hidden unit; logits are x w
    struct kernel_models m = {1, 0, 0};
    struct array x = array_new(d, 3, true), w = array_new(d, 3, true), logprob = array_poisoned(d, 3, false);
    uint32_t targets[] = {0, 1, 0};
    dptr device_targets = words_new(d, targets, 3);
    for (size_t i = 0; i < 3; i++) {
        x.v[i] = 1;
        w.v[i] = values[i];
    }
    array_put(d, &x);
    array_put(d, &w);
    d->k->classifier(d, &m, logprob.p, NULL, NULL, x.p, w.p, device_targets, NULL, 3, 1, 3);
    array_get(d, &logprob);
    CHECK(logprob.v[0] == -INFINITY);
    CHECK_CLOSE(logprob.v[1], -1 - log(1 + exp(-1)), 1e-6);
    x.v[0] = NAN;
    array_put(d, &x);
    d->k->classifier(d, &m, logprob.p, NULL, NULL, x.p, w.p, device_targets, NULL, 3, 1, 3);
    array_get(d, &logprob);
    CHECK(isnan(logprob.v[0]));
    CHECK_CLOSE(logprob.v[1], -1 - log(1 + exp(-1)), 1e-6);
    d->k->release(d, device_targets);
    array_free(d, &x), array_free(d, &w), array_free(d, &logprob);
}

// Three models in one call give what three calls give: the bytes, where must_be_same().
static void check_models(struct device *d) {
    enum { ROWS = 300, IN = 24, OUT = 40 };
    struct kernel_models all = {3, IN * OUT + 8, 0}, one = {1, 0, 0};
    size_t size = kernel_dtype_size(d->compute);
    struct array x = array_random(d, 3 * ROWS * IN, true, 1, 0), w = array_random(d, 3 * all.stride, true, 0.2, 0);
    struct array together = array_poisoned(d, 3 * ROWS * OUT, true), apart = array_poisoned(d, together.n, true);
    d->k->matmul_forward(d, &all, together.p, NULL, x.p, w.p, ACTIVATION_GELU, ROWS, IN, OUT);
    for (size_t g = 0; g < 3; g++)
        d->k->matmul_forward(d, &one, dptr_at(apart.p, g * ROWS * OUT * size), NULL,
                             dptr_at(x.p, g * ROWS * IN * size), dptr_at(w.p, g * all.stride * size),
                             ACTIVATION_GELU, ROWS, IN, OUT);
    array_get(d, &together);
    array_get(d, &apart);
    check_same(d, &together, apart.v, "three models in one call");
    array_free(d, &x), array_free(d, &w), array_free(d, &together), array_free(d, &apart);
}

static void suite(struct device *d) {
    static const size_t rows[] = {1, 3, 37}, sizes[] = {8, 24, 40, 96}, vocabularies[] = {1, 7, 257, 1000};
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < 4; j++) {
            size_t in = sizes[j], out = sizes[(j + 1) % 4];
            struct kernel_models one = {1, in * out, 0};
            check_forward(d, &one, rows[i], in, out);
            check_backward(d, &one, rows[i], in, out);
            check_classifier(d, 1, rows[i], sizes[j], vocabularies[(i + j) % 4], true);
        }
    struct kernel_models three = {3, 40 * 96 + 8, 0};
    check_forward(d, &three, 37, 96, 40);
    check_backward(d, &three, 37, 96, 40);
    struct kernel_models odd = {3, 13 * 7 + 4, 0}; // rows that begin at no multiple of 16 bytes
    check_forward(d, &odd, 5, 13, 7);
    check_backward(d, &odd, 5, 7, 13);
    check_forward(d, &(struct kernel_models){1, 1, 0}, 9, 1, 1);
    check_backward(d, &(struct kernel_models){1, 1, 0}, 9, 1, 1);
    struct kernel_models wide = {1, 24 * 600, 0};
    check_forward(d, &wide, 300, 24, 600); // several tiles of rows and columns, the last ones partial
    check_backward(d, &wide, 1100, 24, 600);
    check_backward(d, &wide, 40, 600, 24);
    check_classifier(d, 3, 37, 40, 257, true);
    check_classifier(d, 3, 37, 40, 257, false);
    check_classifier(d, 1, 300, 12, 1000, true);  // several chunks
    check_classifier(d, 1, 260, 12, 40000, true); // several batches of chunks
    check_classifier(d, 3, 300, 20, 500, true);   // several models in a chunk
    check_classifier(d, 2, 130, 136, 300, true);
    check_classifier(d, 3, 200, 128, 300, true); // without logits in memory
    check_classifier(d, 2, 150, 64, 130, false);
    check_classifier(d, 1, 2100, 24, 70, true); // in splits of rows
    check_certain(d, 40), check_certain(d, 20);
    check_infinities(d);
    check_models(d);
}

int main(void) {
    return kernels_run(suite);
}
