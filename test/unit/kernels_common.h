// For the kernels' unit programs: arrays on a device and their float64 twins, and the run over dtypes and threads.
//
// A suite is a function of a device: "cpu", or the one that TACIT_TEST_DEVICE names. kernels_run() calls it in
// float32 and bfloat16 with 1, 2 and 3 threads (on another device: twice), and checks that every byte that came
// down from the device is the same each time; the digest of those bytes is printed, for comparing runs.
#ifndef TACIT_TEST_UNIT_KERNELS_COMMON_H
#define TACIT_TEST_UNIT_KERNELS_COMMON_H

#include "base/random.h"
#include "check.h"
#include "kernels/kernels.h"

#include <stdlib.h>
#include <xxhash.h>

static XXH3_state_t *kernels_trace; // of all bytes that came down
static uint64_t kernels_stream;     // a fresh stream of random numbers for each array

// An array on the device with the float64 values that it holds (after rounding to its type).
struct array {
    dptr p;
    double *v;
    size_t n;
    bool c; // in the compute dtype; otherwise float32
};

static inline size_t array_element(const struct device *d, bool c) {
    return c ? kernel_dtype_size(d->compute) : 4;
}

static inline float half_value(uint16_t h) {
    uint32_t u = (uint32_t)h << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

// Round to nearest even by hand: the halfway cases go to the even neighbour.
static inline uint16_t half_round(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    uint32_t low = u & 0xffff, high = u >> 16;
    if (low > 0x8000 || (low == 0x8000 && (high & 1)))
        high++;
    return (uint16_t)high;
}

static inline void array_put(struct device *d, struct array *a) {
    size_t size = array_element(d, a->c);
    char *bytes = malloc(a->n * size + 1);
    for (size_t i = 0; i < a->n; i++) {
        float f = (float)a->v[i];
        uint16_t h = half_round(f);
        memcpy(bytes + i * size, size == 2 ? (void *)&h : (void *)&f, size);
        a->v[i] = (double)(size == 2 ? half_value(h) : f);
    }
    d->k->upload(d, a->p, bytes, a->n * size);
    free(bytes);
}

static inline void array_get(struct device *d, struct array *a) {
    size_t size = array_element(d, a->c);
    char *bytes = malloc(a->n * size + 1);
    CHECK_OK(d->k->download(d, bytes, a->p, a->n * size));
    XXH3_64bits_update(kernels_trace, bytes, a->n * size);
    for (size_t i = 0; i < a->n; i++) {
        float f;
        uint16_t h;
        memcpy(size == 2 ? (void *)&h : (void *)&f, bytes + i * size, size);
        a->v[i] = (double)(size == 2 ? half_value(h) : f);
    }
    free(bytes);
}

static inline struct array array_new(struct device *d, size_t n, bool c) {
    struct array a = {.n = n, .c = c, .v = calloc(n + 1, sizeof *a.v)};
    CHECK_OK(d->k->allocate(d, n * array_element(d, c), &a.p));
    return a;
}

// Standard normal numbers times scale, plus shift.
static inline struct array array_random(struct device *d, size_t n, bool c, double scale, double shift) {
    struct array a = array_new(d, n, c);
    kernels_stream++;
    for (size_t i = 0; i < n; i++)
        a.v[i] = shift + scale * random_normal(7, kernels_stream, i);
    array_put(d, &a);
    return a;
}

// What an operation must overwrite whole.
static inline struct array array_poisoned(struct device *d, size_t n, bool c) {
    struct array a = array_new(d, n, c);
    for (size_t i = 0; i < n; i++)
        a.v[i] = NAN;
    array_put(d, &a);
    return a;
}

static inline void array_free(struct device *d, struct array *a) {
    d->k->release(d, a->p);
    free(a->v);
}

static inline dptr words_new(struct device *d, const uint32_t *words, size_t n) {
    dptr p;
    CHECK_OK(d->k->allocate(d, n * 4, &p));
    d->k->upload(d, p, words, n * 4);
    return p;
}

static inline double *copy_values(const struct array *a) {
    double *v = malloc((a->n + 1) * sizeof *v);
    memcpy(v, a->v, a->n * sizeof *v);
    return v;
}

// |got - expected| / |expected| in the Euclidean norm
static inline double distance(const double *got, const double *expected, size_t n) {
    double difference = 0, whole = 0;
    for (size_t i = 0; i < n; i++) {
        difference += (got[i] - expected[i]) * (got[i] - expected[i]);
        whole += expected[i] * expected[i];
    }
    return whole > 0 ? sqrt(difference / whole) : sqrt(difference);
}

static inline double tolerance_of(const struct device *d) {
    return d->compute == KERNEL_BF16 ? 1e-2 : 1e-5;
}

#define CHECK_NEAR(d, got, expected, n, ...)                                                                      \
    do {                                                                                                          \
        double distance_ = distance((got), (expected), (n));                                                      \
        if (!check_result(distance_ <= tolerance_of(d), __FILE__, __LINE__)) {                                    \
            printf("%s: relative distance %g: ", device_describe(d), distance_);                                  \
            printf(__VA_ARGS__);                                                                                  \
            printf("\n");                                                                                         \
        }                                                                                                         \
    } while (0)

static inline int kernels_run(void (*suite)(struct device *d)) {
    const char *name = test_device();
    bool cpu = strcmp(name, "cpu") == 0;
    kernels_trace = XXH3_createState();
    for (int dtype = KERNEL_F32; dtype <= KERNEL_BF16; dtype++) {
        XXH64_hash_t first = 0;
        for (int threads = 1; threads <= (cpu ? 3 : 2); threads++) {
            struct device *d;
            if (device_open(&d, name, threads, (enum kernel_dtype)dtype) != OK) {
                printf("not checked: %s\n", error_message()); // bf16 on a processor without it
                CHECK(cpu && dtype == KERNEL_BF16);
                break;
            }
            XXH3_64bits_reset(kernels_trace);
            kernels_stream = 0;
            suite(d);
            CHECK_OK(d->k->synchronize(d));
            XXH64_hash_t digest = XXH3_64bits_digest(kernels_trace);
            if (threads == 1)
                first = digest;
            if (!check_result(digest == first, __FILE__, __LINE__))
                printf("%s: other bytes than the first time\n", device_describe(d));
            device_close(d);
        }
        printf("%s: bytes %016llx\n", dtype == KERNEL_F32 ? "f32" : "bf16", (unsigned long long)first);
    }
    XXH3_freeState(kernels_trace);
    return check_report();
}

#endif
