// Conversion, the sum of squares and AdamW against float64, and what a device does about memory.
#include "kernels_common.h"

static void check_convert(struct device *d) {
    static const float special[] = {0.0f, -0.0f, 1.00390625f, 1.01171875f, 3.38e38f, INFINITY, -INFINITY, 1e-30f};
    enum { N = 20000 + 8 };
    struct array from = array_random(d, N, false, 1, 0), to = array_poisoned(d, N, true);
    for (size_t i = 0; i < 8; i++)
        from.v[i] = (double)special[i];
    array_put(d, &from);
    d->k->convert(d, to.p, from.p, N);
    array_get(d, &to);
    bool same = true;
    for (size_t i = 0; i < N; i++) {
        float f = (float)from.v[i];
        same = same && to.v[i] == (double)(d->compute == KERNEL_BF16 ? half_value(half_round(f)) : f);
    }
    CHECK(same);
    from.v[3] = NAN;
    array_put(d, &from);
    d->k->convert(d, to.p, from.p, N);
    array_get(d, &to);
    CHECK(isnan(to.v[3]));
    array_free(d, &from), array_free(d, &to);
}

// n elements of each model, `stride` apart; what lies between them must not count
static struct array between(struct device *d, const struct kernel_models *m, size_t n, double scale) {
    struct array a = array_random(d, (size_t)m->count * m->stride, false, scale, 0);
    for (size_t i = 0; i < a.n; i++)
        if (i % m->stride >= n)
            a.v[i] = NAN;
    array_put(d, &a);
    return a;
}

static void check_sum_squares(struct device *d, const struct kernel_models *m, size_t n) {
    size_t models = (size_t)m->count;
    struct array x = between(d, m, n, 1);
    double expected[4] = {0}, got[4];
    dptr out;
    CHECK_OK(d->k->allocate(d, sizeof got, &out));
    for (size_t i = 0; i < x.n; i++)
        expected[i / m->stride] += i % m->stride < n ? x.v[i] * x.v[i] : 0;
    d->k->sum_squares(d, m, out, x.p, n);
    CHECK_OK(d->k->download(d, got, out, models * sizeof *got));
    XXH3_64bits_update(kernels_trace, got, models * sizeof *got);
    for (size_t g = 0; g < models; g++)
        CHECK_CLOSE(got[g], expected[g], 1e-12);
    d->k->release(d, out);
    array_free(d, &x);
}

static void check_clip(struct device *d) {
    enum { G = 40 };
    struct kernel_models m = {G, 0, 0};
    double sums[G];
    float scale[G];
    dptr sums_p, scale_p;
    CHECK_OK(d->k->allocate(d, sizeof sums, &sums_p));
    CHECK_OK(d->k->allocate(d, sizeof scale, &scale_p));
    for (int most = 0; most < 3; most++)
        for (int bad = -1; bad < G; bad += 8) {
            for (int g = 0; g < G; g++)
                sums[g] = g == bad ? (most == 1 ? NAN : INFINITY) : g * 0.3;
            d->k->upload(d, sums_p, sums, sizeof sums);
            d->k->clip_scale(d, &m, scale_p, sums_p, most * 0.7);
            CHECK_OK(d->k->download(d, scale, scale_p, sizeof scale));
            bool right = true;
            for (int g = 0; g < G; g++) {
                double norm = sqrt(sums[g]);
                float expected = most && norm > most * 0.7 ? (float)(most * 0.7 / (norm + 1e-6)) : 1;
                right = right && (bad >= 0 ? isnan(scale[g]) : scale[g] == expected);
            }
            CHECK(right);
        }
    d->k->release(d, sums_p), d->k->release(d, scale_p);
}

// The last model's scale is NaN: it stays as it was.
static void check_adamw(struct device *d, const struct kernel_models *km, size_t n) {
    struct array p = between(d, km, n, 1), copy = array_poisoned(d, p.n, true);
    struct array m = array_random(d, p.n, false, 0, 0), v = array_random(d, p.n, false, 0, 0);
    double *pe = copy_values(&p), *me = copy_values(&m), *ve = copy_values(&v), *ce = copy_values(&copy);
    struct array scale = array_new(d, (size_t)km->count, false);
    for (size_t g = 0; g < scale.n; g++)
        scale.v[g] = g > 0 && g + 1 == scale.n ? NAN : 0.5 * (double)(g + 1);
    array_put(d, &scale);
    for (int step = 1; step <= 3; step++) {
        struct adamw a = {.rate = 1e-2f,
                          .beta1 = 0.9f,
                          .beta2 = 0.99f,
                          .epsilon = 1e-8f,
                          .decay = 0.1f,
                          .decayed = n / 2,
                          .step = step};
        struct array g = between(d, km, n, 1);
        for (size_t i = 0; i < p.n; i++) {
            double gradient = scale.v[i / km->stride] * g.v[i];
            if (isnan(gradient))
                continue;
            me[i] = 0.9 * me[i] + 0.1 * gradient;
            ve[i] = 0.99 * ve[i] + 0.01 * gradient * gradient;
            double update = me[i] / (1 - pow(0.9, step)) / (sqrt(ve[i] / (1 - pow(0.99, step))) + 1e-8);
            pe[i] -= 1e-2 * (update + (i % km->stride < n / 2 ? 0.1 * pe[i] : 0));
            ce[i] = pe[i];
        }
        bool float32 = d->compute == KERNEL_F32;
        d->k->adamw(d, km, &a, scale.p, p.p, g.p, m.p, v.p, float32 && step == 1 ? NULL : copy.p, n);
        array_free(d, &g);
    }
    array_get(d, &p), array_get(d, &m), array_get(d, &v), array_get(d, &copy);
    bool untouched = true;
    for (size_t i = 0; i < p.n; i++)
        if (isnan(ce[i])) { // between the models, and the model left alone
            untouched = untouched && isnan(copy.v[i]) && m.v[i] == 0 && v.v[i] == 0;
            untouched = untouched && (isnan(pe[i]) ? isnan(p.v[i]) : p.v[i] == pe[i]);
            p.v[i] = pe[i] = copy.v[i] = ce[i] = 0;
        }
    CHECK(untouched);
    CHECK(distance(p.v, pe, p.n) < 1e-6);
    CHECK(distance(m.v, me, p.n) < 1e-6);
    CHECK(distance(v.v, ve, p.n) < 1e-5);
    CHECK_NEAR(d, copy.v, ce, p.n, "the rounded copy of %zu parameters", n);
    free(pe), free(me), free(ve), free(ce);
    array_free(d, &p), array_free(d, &m), array_free(d, &v), array_free(d, &copy), array_free(d, &scale);
}

static void check_memory(struct device *d) {
    struct kernel_limits limits = {1, 2, 64, 64, 4, 4, 16, 256, 257, true};
    dptr p, huge;
    size_t before = d->k->memory_used(d);
    CHECK_OK(d->k->allocate(d, 1000, &p));
    CHECK(((uintptr_t)p & 63) == 0);
    CHECK(d->k->memory_used(d) >= before + 1000);
    d->k->release(d, p);
    CHECK_EQUAL_INT(d->k->memory_used(d), before);
    CHECK_ERROR(d->k->allocate(d, (size_t)1 << 50, &huge), ERROR_SYSTEM);
    CHECK_MESSAGE("1125899906842624 bytes");
    CHECK_ERROR(d->k->allocate(d, SIZE_MAX - 8, &huge), ERROR_SYSTEM);
    CHECK_OK(d->k->prepare(d, &limits));
    size_t prepared = d->k->memory_used(d);
    CHECK(d->k->workspace(d, &limits) > 0 && prepared - before <= d->k->workspace(d, &limits));
    CHECK_OK(d->k->prepare(d, &limits));
    CHECK_EQUAL_INT(d->k->memory_used(d), prepared);
}

static void suite(struct device *d) {
    check_convert(d);
    static const size_t sizes[] = {1, 15, 16385, 100000};
    for (size_t i = 0; i < 4; i++) {
        struct kernel_models one = {1, sizes[i], 0}, three = {3, sizes[i] + 4 + i, 0}; // aligned, and not
        check_sum_squares(d, &one, sizes[i]);
        check_adamw(d, &one, sizes[i]);
        check_sum_squares(d, &three, sizes[i]);
        check_adamw(d, &three, sizes[i]);
    }
    check_clip(d);
    check_memory(d);
}

static void check_names(void) {
    struct device *d;
    CHECK_ERROR(device_open(&d, "gpu", 1, KERNEL_F32), ERROR_USAGE);
    CHECK_ERROR(device_open(&d, "cuda:x", 1, KERNEL_F32), ERROR_USAGE);
    CHECK(d == NULL);
    device_close(d);
    CHECK_OK(device_open(&d, "cpu", 2, KERNEL_F32));
    CHECK_EQUAL_STRING(device_describe(d), "cpu (f32, 2 threads)");
    CHECK_EQUAL_STRING(d->k->name, "cpu");
    device_close(d);
    CHECK_OK(device_open(&d, "auto", 1, KERNEL_DTYPE_AUTO));
    device_close(d);
    if (device_open(&d, "cuda:1000", 1, KERNEL_F32) != OK) // absent everywhere, with or without the backend
        CHECK_MESSAGE("device 'cuda");
    CHECK(d == NULL);
}

int main(void) {
    check_names();
    return kernels_run(suite);
}
