// What must not change a model: how a batch is cut, how many models run side by side, how many threads, what is
// computed again.
#include "model_common.h"

enum { BATCH = 4, LENGTH = 37, MODELS = 3, STEPS = 5 };

static struct model_config config_of(int family) {
    return small_config((enum model_family)family, 211, 48, 2, 6, family == MODEL_LLAMA ? 2 : 6, 88);
}

// Steps of training on the models' own streams, from seeds seed, seed + 1, ...; returns all parameters.
static float *train_as(struct device *d, const struct model_config *c, const struct model_size *size,
                       uint64_t seed) {
    struct model *m = NULL;
    CHECK_OK(model_new(&m, d, c, size));
    int models = size->models;
    size_t n = model_elements(m), rows = (size_t)models * BATCH * LENGTH;
    uint32_t *tokens = memory_new(rows, sizeof *tokens), *targets = memory_new(rows, sizeof *targets);
    for (int g = 0; g < models; g++)
        CHECK_OK(model_init(m, g, seed + (uint64_t)g));
    for (int step = 1; step <= STEPS; step++) {
        double sum[MODELS] = {0}, norm[MODELS] = {0};
        for (int g = 0; g < models; g++)
            random_tokens(tokens + g * BATCH * LENGTH, targets + g * BATCH * LENGTH, BATCH, LENGTH, c->vocab,
                          100 * (seed + (uint64_t)g) + (uint64_t)step);
        CHECK_OK(gradient_of(m, tokens, targets, BATCH, LENGTH, 1.0f / (BATCH * LENGTH), sum));
        CHECK_OK(model_update(m, &(struct model_optimizer){1e-3, 0.9, 0.99, 1e-8, 0.1, 0.1, step}, norm));
        CHECK(norm[0] > 0.1);
    }
    float *all = memory_new((size_t)models * n, sizeof *all);
    for (int g = 0; g < models; g++)
        CHECK_OK(model_get(m, g, MODEL_PARAMETERS, 0, n, all + (size_t)g * n));
    // Gradients are zero after an update.
    float *gradients = model_values(m, models - 1, MODEL_GRADIENTS);
    bool zero = true;
    for (size_t i = 0; i < n; i++)
        zero = zero && gradients[i] == 0;
    CHECK(zero);
    free(gradients);
    free(tokens);
    free(targets);
    model_free(m);
    return all;
}

static float *train(struct device *d, const struct model_config *c, int models, uint64_t seed) {
    return train_as(d, c, &(struct model_size){models, BATCH, LENGTH, .train = true}, seed);
}

static size_t elements_of(struct device *d, const struct model_config *c) {
    struct model *m = make_model(d, c, 1, 1, 1, false);
    size_t n = model_elements(m);
    model_free(m);
    return n;
}

// The same bytes with one thread and with two; both devices are closed.
static void check_threads(const struct model_config *c, struct device *one, struct device *two) {
    if (one && two) {
        float *a = train(one, c, 1, 7), *b = train(two, c, 1, 7);
        CHECK(memcmp(a, b, elements_of(one, c) * sizeof *a) == 0);
        free(a);
        free(b);
    }
    device_close(one);
    device_close(two);
}

// Recomputed activations are the same ones: the same bytes, in less memory.
static void check_recomputing(struct device *d, const struct model_config *c) {
    struct model_size size = {1, BATCH, LENGTH, .train = true};
    struct model_memory kept, recomputed;
    model_plan(c, d, &size, &kept);
    float *a = train_as(d, c, &size, 7);
    size.recompute = true;
    model_plan(c, d, &size, &recomputed);
    float *b = train_as(d, c, &size, 7);
    CHECK(memcmp(a, b, elements_of(d, c) * sizeof *a) == 0);
    CHECK(recomputed.activations < kept.activations);
    free(a);
    free(b);
}

static void check_models(struct device *d, const struct model_config *c) {
    size_t n = elements_of(d, c);
    float *together = train(d, c, MODELS, 7);
    for (int g = 0; g < MODELS; g++) {
        float *alone = train(d, c, 1, 7 + (uint64_t)g);
        CHECK(relative_error(together + (size_t)g * n, alone, n) <= 1e-5);
        free(alone);
    }
    free(together);
}

// Scores of three models in one call equal those of each alone.
static void check_scores(struct device *d, const struct model_config *c) {
    uint32_t tokens[BATCH * LENGTH], targets[BATCH * LENGTH];
    random_tokens(tokens, targets, BATCH, LENGTH, c->vocab, 3);
    float together[MODELS * BATCH * LENGTH], alone[BATCH * LENGTH];
    struct model *m = make_model(d, c, MODELS, BATCH, LENGTH, false),
                 *single = make_model(d, c, 1, BATCH, LENGTH, false);
    for (int g = 0; g < MODELS; g++)
        CHECK_OK(model_init(m, g, (uint64_t)g));
    CHECK_OK(model_score(m, tokens, targets, BATCH, LENGTH, together));
    for (int g = 0; g < MODELS; g++) {
        CHECK_OK(model_init(single, 0, (uint64_t)g));
        CHECK_OK(model_score(single, tokens, targets, BATCH, LENGTH, alone));
        CHECK(relative_error(together + g * BATCH * LENGTH, alone, BATCH * LENGTH) <= 1e-5);
    }
    // A shorter batch of shorter sequences on the same model: a prefix's scores do not depend on what follows.
    enum { SHORT = 11 };
    uint32_t less[2 * SHORT], after[2 * SHORT];
    for (int i = 0; i < 2 * SHORT; i++) {
        less[i] = tokens[i / SHORT * LENGTH + i % SHORT];
        after[i] = targets[i / SHORT * LENGTH + i % SHORT];
    }
    float scores[2 * SHORT];
    CHECK_OK(model_score(single, less, after, 2, SHORT, scores));
    for (int b = 0; b < 2; b++)
        CHECK(relative_error(scores + b * SHORT, alone + b * LENGTH, SHORT) <= 1e-5);
    model_free(m);
    model_free(single);
}

static void check_accumulation(struct device *d, const struct model_config *c) {
    uint32_t tokens[BATCH * LENGTH], targets[BATCH * LENGTH];
    random_tokens(tokens, targets, BATCH, LENGTH, c->vocab, 9);
    struct model *m = make_model(d, c, 1, BATCH, LENGTH, true);
    CHECK_OK(model_init(m, 0, 3));
    size_t n = model_elements(m);
    double sum = 0, sums = 0;
    CHECK_OK(gradient_of(m, tokens, targets, BATCH, LENGTH, 0.01f, &sum));
    float *whole = model_values(m, 0, MODEL_GRADIENTS), *zero = memory_new(n, sizeof *zero);
    CHECK_OK(model_set(m, 0, MODEL_GRADIENTS, 0, n, zero));
    for (int b = 0; b < BATCH; b++)
        CHECK_OK(gradient_of(m, tokens + b * LENGTH, targets + b * LENGTH, 1, LENGTH, 0.01f, &sums));
    float *parts = model_values(m, 0, MODEL_GRADIENTS);
    CHECK_CLOSE(sums, sum, 1e-6);
    for (int i = 0; i < model_tensor_count(m); i++) {
        const struct model_tensor *t = model_tensor_get(m, i);
        size_t size = (size_t)t->rows * (size_t)(t->cols ? t->cols : 1);
        CHECK(relative_error(parts + t->offset, whole + t->offset, size) <= 1e-5);
    }
    free(whole);
    free(zero);
    free(parts);
    model_free(m);
}

// Passes that are started together and those that are waited for one by one: the same bytes, the same errors.
static void check_passes(struct device *d, const struct model_config *c) {
    enum { PASSES = BATCH };
    uint32_t tokens[MODELS * BATCH * LENGTH], targets[MODELS * BATCH * LENGTH];
    const float scale[MODELS] = {0.01f, 0.02f, 0.03f};
    random_tokens(tokens, targets, MODELS * BATCH, LENGTH, c->vocab, 9);
    float *gradients[2];
    double sums[2][MODELS] = {{0}};
    size_t n = elements_of(d, c);
    for (int together = 0; together < 2; together++) {
        struct model *m;
        struct model_size size = {MODELS, BATCH, LENGTH, .train = true, .passes = together ? PASSES : 0};
        CHECK_OK(model_new(&m, d, c, &size));
        for (int g = 0; g < MODELS; g++)
            CHECK_OK(model_init(m, g, (uint64_t)g));
        for (int i = 0; i < PASSES; i++) { // of other lengths, so that they end at odd places
            const uint32_t *of = targets + i * MODELS * LENGTH;
            if (together)
                CHECK_OK(model_gradient_start(m, tokens + i * MODELS * LENGTH, of, 1, LENGTH - i, scale));
            else
                CHECK_OK(model_gradient(m, tokens + i * MODELS * LENGTH, of, 1, LENGTH - i, scale, sums[0]));
        }
        if (together) {
            CHECK_ERROR(model_gradient_start(m, tokens, targets, 1, LENGTH, scale), ERROR_USAGE);
            CHECK_OK(model_gradient_finish(m, sums[1]));
        }
        gradients[together] = model_values(m, MODELS - 1, MODEL_GRADIENTS);
        // What is not finite is found where it is, in the order of the passes.
        const struct model_tensor *t = model_tensor_get(m, 3);
        CHECK_OK(model_set(m, 1, MODEL_PARAMETERS, t->offset + 5, 1, &(float){NAN}));
        CHECK_OK(model_gradient_start(m, tokens, targets, 1, LENGTH, scale));
        CHECK_ERROR(model_gradient_finish(m, sums[1]), ERROR_NUMERIC);
        CHECK_MESSAGE("model 1, sequence 0, position 0: log-prob is nan");
        model_free(m);
    }
    CHECK(memcmp(sums[0], sums[1], sizeof sums[0]) == 0 && sums[0][MODELS - 1] > 1);
    CHECK(memcmp(gradients[0], gradients[1], n * sizeof(float)) == 0);
    free(gradients[0]);
    free(gradients[1]);
}

static void check_memory(struct device *d, const struct model_config *c) {
    for (int training = 0; training < 2; training++) {
        struct model_size size = {2, BATCH, LENGTH, .train = training};
        struct model_memory plan;
        model_plan(c, d, &size, &plan);
        CHECK_EQUAL_INT(plan.total, plan.parameters + plan.copies + plan.gradients + plan.moments +
                                        plan.activations + plan.workspace);
        CHECK(plan.parameters >= 2 * sizeof(float) * (size_t)model_parameters(c));
        CHECK_EQUAL_INT(plan.moments, training ? 2 * plan.parameters : 0);
        struct model *m = make_model(d, c, size.models, size.batch, size.length, training);
        uint32_t tokens[2 * BATCH * LENGTH], targets[2 * BATCH * LENGTH];
        float scores[2 * BATCH * LENGTH];
        double sum[2] = {0};
        random_tokens(tokens, targets, 2 * BATCH, LENGTH, c->vocab, 1);
        CHECK_OK(model_score(m, tokens, targets, BATCH, LENGTH, scores));
        if (training)
            CHECK_OK(gradient_of(m, tokens, targets, BATCH, LENGTH, 1, sum));
        // The plan is what a running model holds; a backend may still owe some of its workspace.
        size_t used = d->k->memory_used(d);
        CHECK(used <= plan.total && used >= plan.total - plan.workspace);
        model_free(m);
    }
}

int main(void) {
    for (int family = 0; family < MODEL_FAMILIES; family++) {
        struct model_config c = config_of(family);
        check_threads(&c, open_device(1, KERNEL_F32), open_device(2, KERNEL_F32));
        check_threads(&c, open_half_device(1), open_half_device(2));
        struct device *d = open_device(2, KERNEL_F32);
        check_memory(d, &c);
        check_models(d, &c);
        check_recomputing(d, &c);
        check_scores(d, &c);
        check_accumulation(d, &c);
        check_passes(d, &c);
        device_close(d);
    }
    return check_report();
}
