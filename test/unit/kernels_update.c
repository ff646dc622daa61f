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

static void check_sum_squares(struct device *d, size_t n) {
    struct array x = array_random(d, n, false, 1, 0);
    double expected = 0, got;
    dptr out;
    CHECK_OK(d->k->allocate(d, sizeof got, &out));
    for (size_t i = 0; i < n; i++)
        expected += x.v[i] * x.v[i];
    d->k->sum_squares(d, out, x.p, n);
    CHECK_OK(d->k->download(d, &got, out, sizeof got));
    XXH3_64bits_update(kernels_trace, &got, sizeof got);
    CHECK_CLOSE(got, expected, 1e-12);
    d->k->release(d, out);
    array_free(d, &x);
}

static void check_adamw(struct device *d, size_t n) {
    struct array p = array_random(d, n, false, 1, 0), copy = array_poisoned(d, n, true);
    struct array m = array_random(d, n, false, 0, 0), v = array_random(d, n, false, 0, 0);
    double *pe = copy_values(&p), *me = copy_values(&m), *ve = copy_values(&v);
    for (int step = 1; step <= 3; step++) {
        struct adamw a = {.rate = 1e-2f,
                          .beta1 = 0.9f,
                          .beta2 = 0.99f,
                          .epsilon = 1e-8f,
                          .decay = 0.1f,
                          .step = step,
                          .scale = 0.5f};
        struct array g = array_random(d, n, false, 1, 0);
        for (size_t i = 0; i < n; i++) {
            double gradient = 0.5 * g.v[i];
            me[i] = 0.9 * me[i] + 0.1 * gradient;
            ve[i] = 0.99 * ve[i] + 0.01 * gradient * gradient;
            double update = me[i] / (1 - pow(0.9, step)) / (sqrt(ve[i] / (1 - pow(0.99, step))) + 1e-8);
            pe[i] -= 1e-2 * (update + 0.1 * pe[i]);
        }
        bool float32 = d->compute == KERNEL_F32;
        d->k->adamw(d, &a, p.p, g.p, m.p, v.p, float32 && step == 1 ? NULL : copy.p, n);
        array_free(d, &g);
    }
    array_get(d, &p), array_get(d, &m), array_get(d, &v), array_get(d, &copy);
    CHECK(distance(p.v, pe, n) < 1e-6);
    CHECK(distance(m.v, me, n) < 1e-6);
    CHECK(distance(v.v, ve, n) < 1e-5);
    CHECK_NEAR(d, copy.v, pe, n, "the rounded copy of %zu parameters", n);
    free(pe), free(me), free(ve);
    array_free(d, &p), array_free(d, &m), array_free(d, &v), array_free(d, &copy);
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
        check_sum_squares(d, sizes[i]);
        check_adamw(d, sizes[i]);
    }
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
