// What the model's unit programs share: golden files, small configurations, devices.
//
// Golden data lies in $TACIT_GOLDEN (Bats sets it; default test/golden below the current folder).
#ifndef TACIT_TEST_UNIT_MODEL_COMMON_H
#define TACIT_TEST_UNIT_MODEL_COMMON_H

#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"
#include "check.h"
#include "model/checkpoint.h"
#include "model/safetensors.h"

#include <stdlib.h>

static const char *const family_names[MODEL_FAMILIES] = {"smalltalk", "llama"};

static inline char *golden_path(const char *name) {
    const char *base = getenv("TACIT_GOLDEN");
    char *path = string_format("%s/model/%s", base ? base : "test/golden", name);
    if (!path || !path_exists(path)) {
        printf("%s: no such golden file\n", path ? path : name);
        exit(1);
    }
    return path;
}

// A whole tensor of an open file as float32; free() it.
static inline float *tensor_values(struct safetensors *s, const char *name, size_t *n) {
    const struct safetensors_tensor *t = safetensors_find(s, name);
    CHECK(t != NULL);
    if (!t) {
        printf("no tensor %s\n", name);
        exit(1);
    }
    float *values = memory_new(t->elements + 1, sizeof *values);
    CHECK_OK(safetensors_read(s, t, 0, t->elements, values));
    *n = t->elements;
    return values;
}

// max |a - b| / max |b|: the error relative to the array's size. NaN where either has one.
static inline double relative_error(const float *a, const float *b, size_t n) {
    double difference = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - (double)b[i]), s = fabs((double)b[i]);
        if (!(d <= difference))
            difference = d;
        if (s > size)
            size = s;
    }
    return size > 0 ? difference / size : difference;
}

// model_gradient() with one scale for all models.
static inline int gradient_of(struct model *m, const uint32_t *tokens, const uint32_t *targets, int B, int S,
                              float scale, double *sum) {
    float scales[] = {scale, scale, scale, scale};
    return model_gradient(m, tokens, targets, B, S, scales, sum);
}

static inline struct device *open_device(int threads, enum kernel_dtype dtype) {
    struct device *d = NULL;
    CHECK_OK(device_open(&d, test_device(), threads, dtype));
    if (!d)
        exit(check_report());
    return d;
}

// NULL, said aloud, where the device has no bfloat16 products.
static inline struct device *open_half_device(int threads) {
    struct device *d = NULL;
    if (device_open(&d, test_device(), threads, KERNEL_BF16))
        printf("without bf16: %s\n", error_message());
    return d;
}

static inline struct model *make_model(struct device *d, const struct model_config *c, int models, int batch,
                                       int length, bool train) {
    struct model *m = NULL;
    CHECK_OK(model_new(&m, d, c, &(struct model_size){models, batch, length, .train = train}));
    if (!m)
        exit(check_report());
    return m;
}

// A small configuration: D 8, weights large enough to matter.
static inline struct model_config small_config(enum model_family family, int vocab, int hidden, int layers,
                                               int heads, int kv_heads, int feed_forward) {
    return (struct model_config){.family = family,
                                 .vocab = vocab,
                                 .hidden = hidden,
                                 .layers = layers,
                                 .heads = heads,
                                 .kv_heads = kv_heads,
                                 .head_size = 8,
                                 .feed_forward = feed_forward,
                                 .positions = 128,
                                 .tied = family == MODEL_SMALLTALK,
                                 .theta = 10000,
                                 .epsilon = 1e-5,
                                 .init_std = 0.15,
                                 .bos = -1,
                                 .eos = 0};
}

// Random tokens, and as targets the token behind each; the last of each sequence, and one in nine, is none.
static inline void random_tokens(uint32_t *tokens, uint32_t *targets, int sequences, int length, int vocab,
                                 uint64_t stream) {
    for (int i = 0; i < sequences * length; i++)
        tokens[i] = (uint32_t)random_below(1, stream, (uint64_t)i, (uint64_t)vocab);
    for (int i = 0; i < sequences * length; i++)
        targets[i] = i % length == length - 1 || i % 9 == 5 ? TARGET_NONE : tokens[i + 1];
}

// All of one array of model g; free() it.
static inline float *model_values(struct model *m, int g, enum model_array which) {
    float *values = memory_new(model_elements(m), sizeof *values);
    CHECK_OK(model_get(m, g, which, 0, model_elements(m), values));
    return values;
}

#endif
