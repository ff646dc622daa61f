// Gradients of the whole model against central differences of its loss, tensor by tensor.
#include "model_common.h"

enum { BATCH = 2, LENGTH = 19 };

struct problem {
    struct model *m;
    uint32_t tokens[BATCH * LENGTH], targets[BATCH * LENGTH];
};

static double loss(struct problem *p) {
    float scores[BATCH * LENGTH];
    double sum = 0;
    CHECK_OK(model_score(p->m, p->tokens, p->targets, BATCH, LENGTH, scores));
    for (int i = 0; i < BATCH * LENGTH; i++)
        sum -= (double)scores[i];
    return sum;
}

// The loss with tensor t moved by `step` along `direction`.
static double moved_loss(struct problem *p, const struct model_tensor *t, const float *weights,
                         const float *direction, size_t n, double step) {
    float *moved = memory_new(n, sizeof *moved);
    for (size_t i = 0; i < n; i++)
        moved[i] = (float)((double)weights[i] + step * (double)direction[i]);
    CHECK_OK(model_set(p->m, 0, MODEL_PARAMETERS, t->offset, n, moved));
    double value = loss(p);
    CHECK_OK(model_set(p->m, 0, MODEL_PARAMETERS, t->offset, n, weights));
    free(moved);
    return value;
}

// The direction is the gradient's own, of length 1, plus a random one of length 1: with it the derivative is
// about the gradient's length, and a wrong gradient has a wrong derivative.
static void check_tensor(struct problem *p, int i, const float *parameters, const float *gradients) {
    const struct model_tensor *t = model_tensor_get(p->m, i);
    size_t n = (size_t)t->rows * (size_t)(t->cols ? t->cols : 1);
    const float *w = parameters + t->offset, *g = gradients + t->offset;
    float *direction = memory_new(n, sizeof *direction);
    double length = 0, derivative = 0;
    for (size_t j = 0; j < n; j++)
        length += (double)g[j] * (double)g[j];
    length = sqrt(length);
    for (size_t j = 0; j < n; j++) {
        double random = random_normal(3, (uint64_t)i, j) / sqrt((double)n);
        direction[j] = (float)((double)g[j] / length + random);
        derivative += (double)direction[j] * (double)g[j];
    }
    // Richardson's combination of two steps leaves an error of the fourth order.
    double h = 4e-3;
    double one = (moved_loss(p, t, w, direction, n, h) - moved_loss(p, t, w, direction, n, -h)) / (2 * h);
    double two = (moved_loss(p, t, w, direction, n, 2 * h) - moved_loss(p, t, w, direction, n, -2 * h)) / (4 * h);
    double expected = (4 * one - two) / 3;
    if (!(fabs(expected - derivative) <= 2e-3 * length))
        printf("%s: derivative %.6g, finite difference %.6g\n", t->name, derivative, expected);
    CHECK(fabs(expected - derivative) <= 2e-3 * length);
    free(direction);
}

static void check_config(struct device *d, const struct model_config *c) {
    struct problem p;
    random_tokens(p.tokens, p.targets, BATCH, LENGTH, c->vocab, 5);
    p.m = make_model(d, c, 1, BATCH, LENGTH, true);
    CHECK_OK(model_init(p.m, 0, 11));
    double sum = 0;
    CHECK_OK(gradient_of(p.m, p.tokens, p.targets, BATCH, LENGTH, 1, &sum));
    CHECK_CLOSE(sum, loss(&p), 1e-6);
    float *parameters = model_values(p.m, 0, MODEL_PARAMETERS), *gradients = model_values(p.m, 0, MODEL_GRADIENTS);
    for (int i = 0; i < model_tensor_count(p.m); i++)
        check_tensor(&p, i, parameters, gradients);
    free(parameters);
    free(gradients);
    model_free(p.m);
}

int main(void) {
    struct device *d = open_device(2, KERNEL_F32);
    struct model_config configs[] = {
        small_config(MODEL_SMALLTALK, 37, 40, 3, 5, 5, 27), small_config(MODEL_SMALLTALK, 19, 48, 1, 6, 2, 64),
        small_config(MODEL_LLAMA, 41, 27, 2, 6, 3, 22), small_config(MODEL_LLAMA, 23, 16, 1, 2, 1, 31)};
    configs[1].tied = false;
    configs[3].tied = true;
    configs[3].head_size = 24;
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++)
        check_config(d, &configs[i]);
    device_close(d);
    return check_report();
}
