// Against PyTorch in float64 (test/golden/model/make.py): logits, log-probs, every gradient, 200 training steps.
#include "model/schedule.h"
#include "model_common.h"

struct golden {
    struct model_config config;
    char *directory;
    struct safetensors *expected;
};

static struct golden golden_open(const char *family) {
    struct golden g = {.directory = golden_path(family)};
    char *file = string_format("%s/expected.safetensors", g.directory);
    CHECK_OK(model_config_read(&g.config, g.directory));
    CHECK_OK(safetensors_open(&g.expected, file));
    free(file);
    if (!g.expected)
        exit(check_report());
    return g;
}

static void golden_close(struct golden *g) {
    safetensors_close(g->expected);
    free(g->directory);
}

static uint32_t *golden_tokens(const struct golden *g, const char *name, size_t *n) {
    float *values = tensor_values(g->expected, name, n);
    uint32_t *ids = memory_new(*n, sizeof *ids);
    for (size_t i = 0; i < *n; i++)
        ids[i] = values[i] < 0 ? TARGET_NONE : (uint32_t)values[i];
    free(values);
    return ids;
}

static void check_array(const struct golden *g, const char *name, const float *got, double tolerance) {
    size_t n;
    float *expected = tensor_values(g->expected, name, &n);
    double error = relative_error(got, expected, n);
    if (!(error <= tolerance))
        printf("%s: %s: relative error %.3g\n", g->directory, name, error);
    CHECK(error <= tolerance);
    free(expected);
}

enum { BATCH = 3, LENGTH = 17 };

static void check_forward(const struct golden *g, struct device *d, double tolerance) {
    size_t n;
    uint32_t *tokens = golden_tokens(g, "tokens", &n), *targets = golden_tokens(g, "targets", &n);
    CHECK_EQUAL_INT(n, BATCH * LENGTH);
    float *logits = memory_new(n * (size_t)g->config.vocab, sizeof *logits),
          *scores = memory_new(n, sizeof *scores);
    struct model *m = make_model(d, &g->config, 1, BATCH, LENGTH, false);
    CHECK_OK(checkpoint_load(m, 0, g->directory));
    CHECK_OK(model_logits(m, tokens, BATCH, LENGTH, logits));
    check_array(g, "logits", logits, tolerance);
    CHECK_OK(model_score(m, tokens, targets, BATCH, LENGTH, scores));
    check_array(g, "logprobs", scores, tolerance);
    model_free(m);
    free(tokens);
    free(targets);
    free(logits);
    free(scores);
}

static void check_gradients(const struct golden *g, struct device *d, double tolerance) {
    size_t n;
    uint32_t *tokens = golden_tokens(g, "tokens", &n), *targets = golden_tokens(g, "targets", &n);
    int predicted = 0;
    for (size_t i = 0; i < n; i++)
        predicted += targets[i] != TARGET_NONE;
    struct model *m = make_model(d, &g->config, 1, BATCH, LENGTH, true);
    CHECK_OK(checkpoint_load(m, 0, g->directory));
    double sum = 0;
    CHECK_OK(gradient_of(m, tokens, targets, BATCH, LENGTH, 1.0f / (float)predicted, &sum));
    float *gradients = model_values(m, 0, MODEL_GRADIENTS);
    for (int i = 0; i < model_tensor_count(m); i++) {
        const struct model_tensor *t = model_tensor_get(m, i);
        char name[128];
        snprintf(name, sizeof name, "gradient.%s", t->name);
        check_array(g, name, gradients + t->offset, tolerance);
    }
    size_t rows;
    float *logprobs = tensor_values(g->expected, "logprobs", &rows);
    double loss = 0;
    for (size_t i = 0; i < rows; i++)
        loss -= (double)logprobs[i];
    CHECK_CLOSE(sum / predicted, loss / predicted, tolerance);
    model_free(m);
    free(gradients);
    free(logprobs);
    free(tokens);
    free(targets);
}

enum { STEPS = 200, TRAIN_BATCH = 4, TRAIN_LENGTH = 16 };

static void check_training(const struct golden *g, struct device *d, double tolerance) {
    size_t n;
    uint32_t *stream = golden_tokens(g, "train.tokens", &n);
    CHECK_EQUAL_INT(n, STEPS * TRAIN_BATCH * (TRAIN_LENGTH + 1));
    float *losses = tensor_values(g->expected, "train.losses", &n);
    float *norms = tensor_values(g->expected, "train.norms", &n);
    float *rates = tensor_values(g->expected, "train.rates", &n);
    struct model *m = make_model(d, &g->config, 1, TRAIN_BATCH, TRAIN_LENGTH, true);
    CHECK_OK(checkpoint_load(m, 0, g->directory));
    double worst = 0, worst_norm = 0;
    for (int step = 1; step <= STEPS; step++) {
        uint32_t tokens[TRAIN_BATCH * TRAIN_LENGTH], targets[TRAIN_BATCH * TRAIN_LENGTH];
        const uint32_t *from = stream + (size_t)(step - 1) * TRAIN_BATCH * (TRAIN_LENGTH + 1);
        for (int i = 0; i < TRAIN_BATCH * TRAIN_LENGTH; i++) {
            tokens[i] = from[i + i / TRAIN_LENGTH];
            targets[i] = from[i + i / TRAIN_LENGTH + 1];
        }
        double sum = 0, norm = 0, rate = schedule_rate(SCHEDULE_COSINE, 4e-3, 0.1, 20, STEPS, step);
        CHECK_CLOSE(rate / (double)rates[step - 1], 1, 1e-6);
        CHECK_OK(
            gradient_of(m, tokens, targets, TRAIN_BATCH, TRAIN_LENGTH, 1.0f / (TRAIN_BATCH * TRAIN_LENGTH), &sum));
        CHECK_OK(model_update(m, &(struct model_optimizer){rate, 0.9, 0.99, 1e-8, 0.1, 0.1, step}, &norm));
        worst = fmax(worst, fabs(sum / (TRAIN_BATCH * TRAIN_LENGTH) - (double)losses[step - 1]));
        worst_norm = fmax(worst_norm, fabs(norm / (double)norms[step - 1] - 1));
    }
    printf("%s, %s: %d steps, largest difference of the loss %.2g, of the norm %.2g\n", g->directory,
           device_describe(d), STEPS, worst, worst_norm);
    CHECK(worst <= tolerance);
    CHECK(worst_norm <= 100 * tolerance);
    model_free(m);
    free(stream);
    free(losses);
    free(norms);
    free(rates);
}

int main(void) {
    struct device *d = open_device(2, KERNEL_F32), *half = open_half_device(2);
    for (int i = 0; i < MODEL_FAMILIES; i++) {
        struct golden g = golden_open(family_names[i]);
        check_forward(&g, d, 1e-5);
        check_gradients(&g, d, 1e-5);
        check_training(&g, d, 1e-4);
        // bfloat16 has 8 bits: the same values to a few percent, and it learns as well.
        if (half) {
            check_forward(&g, half, 0.03);
            check_gradients(&g, half, 0.1);
            check_training(&g, half, 0.02);
        }
        golden_close(&g);
    }
    device_close(d);
    device_close(half);
    return check_report();
}
