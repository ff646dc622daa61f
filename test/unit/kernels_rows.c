// Embedding, norms and SwiGLU against float64 written plainly, and that against finite differences.
#include "kernels_common.h"

static void check_embed(struct device *d, const struct kernel_models *m, size_t rows, size_t hidden,
                        size_t vocab) {
    size_t g = (size_t)m->count, read = m->token_stride ? g * rows : rows;
    uint32_t *tokens = malloc(read * sizeof *tokens);
    for (size_t i = 0; i < read; i++)
        tokens[i] = (uint32_t)random_below(9, 0, i, vocab);
    dptr device_tokens = words_new(d, tokens, read);
    struct array table = array_random(d, g * m->stride, false, 1, 0),
                 x = array_poisoned(d, g * rows * hidden, false);
    struct array dx = array_random(d, x.n, false, 1, 0);
    d->k->embed_forward(d, m, x.p, table.p, device_tokens, (int)rows, (int)hidden, (int)vocab);
    array_get(d, &x);
    double *expected = copy_values(&table);
    bool same = true;
    for (size_t r = 0; r < g * rows; r++)
        for (size_t i = 0; i < hidden; i++) {
            size_t at = r / rows * m->stride + tokens[r / rows * m->token_stride + r % rows] * hidden + i;
            same = same && x.v[r * hidden + i] == table.v[at];
            expected[at] = (double)((float)expected[at] + (float)dx.v[r * hidden + i]); // in row order, exactly
        }
    CHECK(same);
    d->k->embed_backward(d, m, table.p, dx.p, device_tokens, (int)rows, (int)hidden, (int)vocab);
    array_get(d, &table);
    CHECK(memcmp(table.v, expected, table.n * sizeof *expected) == 0);
    d->k->release(d, device_tokens);
    free(tokens), free(expected);
    array_free(d, &table), array_free(d, &x), array_free(d, &dx);
}

// A token outside the vocabulary is an error, or a row of NaN where a device cannot tell; other rows are as ever.
static void check_bad_token(struct device *d) {
    struct kernel_models one = {1, 0, 0};
    uint32_t tokens[] = {4, 5};
    dptr device_tokens = words_new(d, tokens, 2);
    struct array table = array_random(d, 5 * 8, false, 1, 0), x = array_poisoned(d, 16, false);
    d->k->embed_forward(d, &one, x.p, table.p, device_tokens, 2, 8, 5);
    if (strcmp(d->k->name, "cpu") == 0) {
        CHECK_ERROR(d->k->synchronize(d), ERROR_INPUT);
        CHECK_MESSAGE("token 5 is outside the vocabulary of 5");
    } else {
        array_get(d, &x);
        CHECK(memcmp(x.v, table.v + 4 * 8, 8 * sizeof *x.v) == 0);
        CHECK(isnan(x.v[8]) && isnan(x.v[15]));
    }
    CHECK_OK(d->k->synchronize(d));
    d->k->release(d, device_tokens);
    array_free(d, &table), array_free(d, &x);
}

// y = norm(x) w + b of one row
static void normalize(enum kernel_norm kind, const double *x, const double *w, const double *b, size_t n,
                      double *y, double *mean, double *rstd) {
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    *mean = kind == NORM_LAYER ? sum / (double)n : 0;
    for (size_t i = 0; i < n; i++)
        squares += (x[i] - *mean) * (x[i] - *mean);
    *rstd = 1 / sqrt(squares / (double)n + 1e-5);
    for (size_t i = 0; i < n; i++)
        y[i] = (x[i] - *mean) * *rstd * w[i] + (b ? b[i] : 0);
}

// The gradient of y . dy with respect to x, each element by a central difference.
static void norm_differences(enum kernel_norm kind, const double *x, const double *w, const double *dy, size_t n,
                             double *dx) {
    double *moved = malloc(n * sizeof *moved), *y = malloc(n * sizeof *y), mean, rstd;
    memcpy(moved, x, n * sizeof *moved);
    for (size_t i = 0; i < n; i++) {
        double loss[2] = {0, 0};
        for (int side = 0; side < 2; side++) {
            moved[i] = x[i] + (side ? 1e-5 : -1e-5);
            normalize(kind, moved, w, NULL, n, y, &mean, &rstd);
            for (size_t j = 0; j < n; j++)
                loss[side] += y[j] * dy[j];
        }
        moved[i] = x[i];
        dx[i] = (loss[1] - loss[0]) / 2e-5;
    }
    free(moved), free(y);
}

static void check_norm_backward(struct device *d, const struct kernel_models *m, enum kernel_norm kind,
                                const struct array *x, const struct array *w, const struct array *mean,
                                const struct array *rstd, size_t rows, size_t n) {
    size_t g = (size_t)m->count;
    struct array dy = array_random(d, x->n, true, 1, 0), dx = array_random(d, x->n, false, 1, 0);
    struct array dx_c = array_poisoned(d, x->n, true), dw = array_random(d, w->n, false, 1, 0);
    struct array db = array_random(d, w->n, false, 1, 0);
    double *dx_expected = copy_values(&dx), *dw_expected = copy_values(&dw), *db_expected = copy_values(&db);
    double *row = malloc(n * sizeof *row);
    for (size_t r = 0; r < g * rows; r++) {
        size_t at = r / rows * m->stride;
        double row_mean, row_rstd;
        normalize(kind, x->v + r * n, w->v + at, NULL, n, row, &row_mean, &row_rstd);
        for (size_t i = 0; i < n; i++) {
            dw_expected[at + i] += dy.v[r * n + i] * (x->v[r * n + i] - row_mean) * row_rstd;
            db_expected[at + i] += dy.v[r * n + i];
        }
        norm_differences(kind, x->v + r * n, w->v + at, dy.v + r * n, n, row);
        for (size_t i = 0; i < n; i++)
            dx_expected[r * n + i] += row[i];
    }
    bool layer = kind == NORM_LAYER;
    d->k->norm_backward(d, m, kind, dx.p, dx_c.p, dw.p, layer ? db.p : NULL, dy.p, x->p, mean->p, rstd->p, w->p,
                        (int)rows, (int)n);
    array_get(d, &dx), array_get(d, &dx_c), array_get(d, &dw), array_get(d, &db);
    CHECK_NEAR(d, dx.v, dx_expected, dx.n, "norm %d backward of %zu x %zu", kind, rows, n);
    CHECK_NEAR(d, dx_c.v, dx_expected, dx.n, "rounded norm %d backward of %zu x %zu", kind, rows, n);
    CHECK_NEAR(d, dw.v, dw_expected, dw.n, "norm %d dweight of %zu x %zu", kind, rows, n);
    if (layer)
        CHECK_NEAR(d, db.v, db_expected, db.n, "norm %d dbias of %zu x %zu", kind, rows, n);
    free(dx_expected), free(dw_expected), free(db_expected), free(row);
    array_free(d, &dy), array_free(d, &dx), array_free(d, &dx_c), array_free(d, &dw), array_free(d, &db);
}

static void check_norm(struct device *d, const struct kernel_models *m, enum kernel_norm kind, size_t rows,
                       size_t n) {
    size_t g = (size_t)m->count;
    struct array x = array_random(d, g * rows * n, false, 1, 3), delta = array_random(d, x.n, true, 1, 0);
    struct array w = array_random(d, g * m->stride, false, 1, 0), b = array_random(d, w.n, false, 1, 0);
    struct array y = array_poisoned(d, x.n, true), mean = array_poisoned(d, g * rows, false);
    struct array rstd = array_poisoned(d, g * rows, false), sum = array_poisoned(d, x.n, false);
    bool layer = kind == NORM_LAYER;
    double *expected = malloc(x.n * sizeof *expected), *means = malloc(g * rows * sizeof *means);
    double *rstds = malloc(g * rows * sizeof *rstds);
    for (int with_delta = 0; with_delta < 2; with_delta++) {
        double *from = copy_values(&x);
        for (size_t i = 0; with_delta && i < x.n; i++)
            from[i] += delta.v[i];
        for (size_t r = 0; r < g * rows; r++)
            normalize(kind, from + r * n, w.v + r / rows * m->stride, layer ? b.v + r / rows * m->stride : NULL, n,
                      expected + r * n, &means[r], &rstds[r]);
        d->k->norm_forward(d, m, kind, y.p, mean.p, rstd.p, with_delta ? sum.p : NULL, x.p,
                           with_delta ? delta.p : NULL, w.p, layer ? b.p : NULL, 1e-5f, (int)rows, (int)n);
        array_get(d, &y), array_get(d, &rstd);
        CHECK_NEAR(d, y.v, expected, y.n, "norm %d of %zu x %zu", kind, rows, n);
        CHECK_NEAR(d, rstd.v, rstds, rstd.n, "rstd of norm %d of %zu x %zu", kind, rows, n);
        if (layer) {
            array_get(d, &mean);
            CHECK_NEAR(d, mean.v, means, mean.n, "mean of %zu x %zu", rows, n);
        }
        if (with_delta) {
            array_get(d, &sum);
            CHECK_NEAR(d, sum.v, from, sum.n, "residual sum of %zu x %zu", rows, n);
        }
        free(from);
    }
    check_norm_backward(d, m, kind, &sum, &w, &mean, &rstd, rows, n);
    // In place, x takes the sum.
    d->k->norm_forward(d, m, kind, y.p, mean.p, rstd.p, x.p, x.p, delta.p, w.p, layer ? b.p : NULL, 1e-5f,
                       (int)rows, (int)n);
    array_get(d, &x);
    CHECK(memcmp(x.v, sum.v, x.n * sizeof *x.v) == 0);
    free(expected), free(means), free(rstds);
    array_free(d, &x), array_free(d, &delta), array_free(d, &w), array_free(d, &b), array_free(d, &y);
    array_free(d, &mean), array_free(d, &rstd), array_free(d, &sum);
}

static double silu(double x) {
    return x / (1 + exp(-x));
}

static void check_swiglu(struct device *d, size_t rows, size_t n) {
    struct array in = array_random(d, rows * 2 * n, true, 2, 0), dy = array_random(d, rows * n, true, 1, 0);
    struct array y = array_poisoned(d, rows * n, true), din = array_poisoned(d, in.n, true);
    double *expected = malloc(y.n * sizeof *expected), *dexpected = malloc(in.n * sizeof *dexpected);
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < n; i++) {
            size_t gate = r * 2 * n + i, up = gate + n, at = r * n + i;
            expected[at] = silu(in.v[gate]) * in.v[up];
            double slope = (silu(in.v[gate] + 1e-5) - silu(in.v[gate] - 1e-5)) / 2e-5;
            dexpected[gate] = dy.v[at] * in.v[up] * slope;
            dexpected[up] = dy.v[at] * silu(in.v[gate]);
        }
    d->k->swiglu_forward(d, y.p, in.p, rows, (int)n);
    d->k->swiglu_backward(d, din.p, dy.p, in.p, rows, (int)n);
    array_get(d, &y);
    array_get(d, &din);
    CHECK_NEAR(d, y.v, expected, y.n, "swiglu of %zu x %zu", rows, n);
    CHECK_NEAR(d, din.v, dexpected, din.n, "swiglu backward of %zu x %zu", rows, n);
    free(expected), free(dexpected);
    array_free(d, &in), array_free(d, &dy), array_free(d, &y), array_free(d, &din);
}

// Large arguments give the limits, not NaN.
static void check_swiglu_limits(struct device *d) {
    double gates[] = {-1e4, -200, 0, 200, 1e4};
    struct array in = array_new(d, 10, true), y = array_poisoned(d, 5, true);
    for (size_t i = 0; i < 5; i++) {
        in.v[i] = gates[i];
        in.v[5 + i] = 1;
    }
    array_put(d, &in);
    d->k->swiglu_forward(d, y.p, in.p, 1, 5);
    array_get(d, &y);
    for (size_t i = 0; i < 5; i++)
        CHECK_CLOSE(y.v[i], gates[i] > 0 ? in.v[i] : 0, 1e-6);
    array_free(d, &in), array_free(d, &y);
}

static void suite(struct device *d) {
    static const size_t rows[] = {1, 3, 37, 300}, sizes[] = {8, 24, 40, 96};
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 4; j++) {
            struct kernel_models one = {1, sizes[j], 0}, table = {1, 257 * sizes[j], 0};
            check_norm(d, &one, NORM_LAYER, rows[i], sizes[j]);
            check_norm(d, &one, NORM_RMS, rows[i], sizes[j]);
            check_embed(d, &table, rows[i], sizes[j], 257);
            check_swiglu(d, rows[i], sizes[j]);
        }
    struct kernel_models three = {3, 40 + 8, 0}, read_alike = {3, 7 * 40 + 8, 0}, read_own = {3, 7 * 40 + 8, 37};
    check_norm(d, &three, NORM_LAYER, 37, 40);
    check_norm(d, &three, NORM_RMS, 200, 40);
    check_embed(d, &read_alike, 37, 40, 7);
    check_embed(d, &read_own, 37, 40, 7);
    check_bad_token(d);
    check_swiglu_limits(d);
}

int main(void) {
    return kernels_run(suite);
}
