// NaN and Inf stop with ERROR_NUMERIC and leave the parameters as they were; bad tokens and sizes are refused.
#include "model_common.h"

enum { BATCH = 2, LENGTH = 11, ROWS = BATCH * LENGTH };

static const struct model_optimizer optimizer = {1e-3, 0.9, 0.99, 1e-8, 0.1, 0.1, 1};

static void put(struct model *m, int g, enum model_array which, size_t at, float value) {
    CHECK_OK(model_set(m, g, which, at, 1, &value));
}

static void check_weight(struct device *d, const struct model_config *c) {
    uint32_t tokens[2 * ROWS], targets[2 * ROWS];
    float scores[2 * ROWS];
    double sum[2] = {0}, norm[2];
    random_tokens(tokens, targets, 2 * BATCH, LENGTH, c->vocab, 1);
    struct model *m = make_model(d, c, 2, BATCH, LENGTH, true);
    CHECK_OK(model_init(m, 0, 1));
    CHECK_OK(model_init(m, 1, 2));
    // One NaN in a middle matrix of model 1; the message says which model.
    const struct model_tensor *t = model_tensor_get(m, 3);
    put(m, 1, MODEL_PARAMETERS, t->offset + 5, NAN);
    CHECK_ERROR(model_score(m, tokens, targets, BATCH, LENGTH, scores), ERROR_NUMERIC);
    CHECK_MESSAGE("model 1, sequence 0, position ");
    CHECK_ERROR(gradient_of(m, tokens, targets, BATCH, LENGTH, 1, sum), ERROR_NUMERIC);
    CHECK_MESSAGE("log-prob is nan");
    float *before = model_values(m, 0, MODEL_PARAMETERS);
    CHECK_ERROR(model_update(m, &optimizer, norm), ERROR_NUMERIC);
    CHECK_MESSAGE("gradient norm is nan");
    float *after = model_values(m, 0, MODEL_PARAMETERS);
    CHECK(memcmp(before, after, model_elements(m) * sizeof *before) == 0);
    free(before);
    free(after);
    model_free(m);
}

static void check_gradient(struct device *d, const struct model_config *c) {
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        double norm;
        struct model *m = make_model(d, c, 1, BATCH, LENGTH, true);
        CHECK_OK(model_init(m, 0, 1));
        put(m, 0, MODEL_GRADIENTS, model_elements(m) / 2, bad[i]);
        float *before = model_values(m, 0, MODEL_PARAMETERS);
        CHECK_ERROR(model_update(m, &optimizer, &norm), ERROR_NUMERIC);
        CHECK(!isfinite(norm));
        float *after = model_values(m, 0, MODEL_PARAMETERS);
        CHECK(memcmp(before, after, model_elements(m) * sizeof *before) == 0);
        free(before);
        free(after);
        model_free(m);
    }
}

static void check_input(struct device *d, const struct model_config *c) {
    uint32_t tokens[ROWS], targets[ROWS];
    float scores[ROWS];
    double sum = 0;
    random_tokens(tokens, targets, BATCH, LENGTH, c->vocab, 1);
    struct model *m = make_model(d, c, 1, BATCH, LENGTH, false), *none;
    CHECK_OK(model_init(m, 0, 1));
    CHECK_OK(model_score(m, tokens, targets, BATCH, LENGTH, scores));
    CHECK(scores[0] < 0 && scores[LENGTH - 1] == 0);
    tokens[7] = (uint32_t)c->vocab;
    CHECK_ERROR(model_score(m, tokens, targets, BATCH, LENGTH, scores), ERROR_INPUT);
    CHECK_MESSAGE("at position 7");
    tokens[7] = 0;
    targets[LENGTH + 2] = UINT32_MAX - 1;
    CHECK_ERROR(model_score(m, tokens, targets, BATCH, LENGTH, scores), ERROR_INPUT);
    targets[LENGTH + 2] = 0;
    CHECK_ERROR(model_score(m, tokens, targets, BATCH + 1, LENGTH, scores), ERROR_USAGE);
    CHECK_ERROR(model_score(m, tokens, targets, BATCH, LENGTH + 1, scores), ERROR_USAGE);
    CHECK_ERROR(model_score(m, tokens, targets, 0, LENGTH, scores), ERROR_USAGE);
    CHECK_ERROR(gradient_of(m, tokens, targets, BATCH, LENGTH, 1, &sum), ERROR_USAGE);
    CHECK_ERROR(model_new(&none, d, c, &(struct model_size){1, 1, c->positions + 1, .train = false}), ERROR_INPUT);
    CHECK_MESSAGE("128 positions");
    CHECK(none == NULL);
    model_free(m);
    model_free(NULL);
}

int main(void) {
    struct device *d = open_device(2, KERNEL_F32);
    for (int family = 0; family < MODEL_FAMILIES; family++) {
        struct model_config c = small_config((enum model_family)family, 31, 32, 2, 4, 2, 40);
        check_weight(d, &c);
        check_gradient(d, &c);
        check_input(d, &c);
    }
    device_close(d);
    return check_report();
}
