// Attention with rotary positions against float64 written plainly, and that against finite differences.
#include "kernels_common.h"

struct reference {
    struct attention_shape a;
    const double *qkv; // q and k turned
    double *out, *lse;
};

static size_t width_of(const struct attention_shape *a) {
    return (size_t)(a->heads + 2 * a->kv_heads) * (size_t)a->head_size;
}

static const double *part(const struct reference *r, size_t row, int head) {
    return r->qkv + row * width_of(&r->a) + (size_t)head * (size_t)r->a.head_size;
}

static double dot(const double *x, const double *y, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

// Turn q and k of `rows` rows in place; direction +1 forward, -1 back.
static void turn(const struct attention_shape *a, double *qkv, size_t rows, int direction) {
    size_t half = (size_t)a->head_size / 2;
    if (a->theta == 0)
        return;
    for (size_t row = 0; row < rows; row++)
        for (int h = 0; h < a->heads + a->kv_heads; h++)
            for (size_t i = 0; i < half; i++) {
                double position = direction * (double)(row % (size_t)a->length);
                double angle = position * pow((double)a->theta, -2.0 * (double)i / a->head_size);
                double *x = qkv + row * width_of(a) + (size_t)(h * a->head_size) + i, *y = x + half, before = *x;
                *x = before * cos(angle) - *y * sin(angle);
                *y = *y * cos(angle) + before * sin(angle);
            }
}

// Probabilities of one query over keys 0..i; returns its log-sum-exp.
static double weigh(const struct reference *r, size_t first, int i, int head, double *p) {
    const struct attention_shape *a = &r->a;
    int kv = a->heads + head / (a->heads / a->kv_heads), size = a->head_size;
    double most = -INFINITY, sum = 0;
    for (int j = 0; j <= i; j++) {
        p[j] = dot(part(r, first + (size_t)i, head), part(r, first + (size_t)j, kv), size) / sqrt(size);
        most = fmax(most, p[j]);
    }
    for (int j = 0; j <= i; j++)
        sum += exp(p[j] - most);
    for (int j = 0; j <= i; j++)
        p[j] = exp(p[j] - most) / sum;
    return most + log(sum);
}

static void forward(const struct reference *r) {
    const struct attention_shape *a = &r->a;
    double *p = malloc((size_t)a->length * sizeof *p);
    for (int b = 0; b < a->batch; b++)
        for (int h = 0; h < a->heads; h++)
            for (int i = 0; i < a->length; i++) {
                size_t first = (size_t)(b * a->length), row = first + (size_t)i;
                double *out = r->out + (row * (size_t)a->heads + (size_t)h) * (size_t)a->head_size;
                r->lse[(b * a->heads + h) * a->length + i] = weigh(r, first, i, h, p);
                for (int k = 0; k < a->head_size; k++) {
                    out[k] = 0;
                    for (int j = 0; j <= i; j++)
                        out[k] += p[j] * part(r, first + (size_t)j,
                                              a->heads + a->kv_heads + h / (a->heads / a->kv_heads))[k];
                }
            }
    free(p);
}

static void backward(const struct reference *r, const double *dout, double *dqkv) {
    const struct attention_shape *a = &r->a;
    int size = a->head_size;
    double *p = malloc((size_t)a->length * sizeof *p), scale = 1 / sqrt(size);
    memset(dqkv, 0, (size_t)(a->batch * a->length) * width_of(a) * sizeof *dqkv);
    for (int b = 0; b < a->batch; b++)
        for (int h = 0; h < a->heads; h++)
            for (int i = 0; i < a->length; i++) {
                size_t first = (size_t)(b * a->length), row = first + (size_t)i;
                int key = a->heads + h / (a->heads / a->kv_heads), value = key + a->kv_heads;
                size_t at = (row * (size_t)a->heads + (size_t)h) * (size_t)size;
                weigh(r, first, i, h, p);
                double delta = dot(dout + at, r->out + at, size);
                double *dq = dqkv + row * width_of(a) + h * size;
                for (int j = 0; j <= i; j++) {
                    size_t key_row = first + (size_t)j;
                    double *dk = dqkv + key_row * width_of(a) + key * size;
                    double *dv = dqkv + key_row * width_of(a) + value * size;
                    double ds = p[j] * (dot(dout + at, part(r, key_row, value), size) - delta) * scale;
                    for (int k = 0; k < size; k++) {
                        dv[k] += p[j] * dout[at + (size_t)k];
                        dq[k] += ds * part(r, key_row, key)[k];
                        dk[k] += ds * part(r, row, h)[k];
                    }
                }
            }
    free(p);
}

// The reference's own gradient with respect to `qkv`, not turned, along a random direction, against a central
// difference.
static void check_reference(const struct reference *r, const double *qkv, const double *dout, const double *dqkv,
                            size_t n, size_t n_out) {
    double *moved = malloc(n * sizeof *moved), *direction = malloc(n * sizeof *direction);
    double step = 1e-5, expected = 0, loss[2] = {0, 0};
    struct reference m = *r;
    m.qkv = moved;
    m.out = malloc(n_out * sizeof *m.out);
    m.lse = malloc(n_out * sizeof *m.lse);
    for (size_t i = 0; i < n; i++) {
        direction[i] = random_normal(11, 0, i);
        expected += direction[i] * dqkv[i];
    }
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < n; i++)
            moved[i] = qkv[i] + (side ? step : -step) * direction[i];
        turn(&r->a, moved, n / width_of(&r->a), +1);
        forward(&m);
        for (size_t i = 0; i < n_out; i++)
            loss[side] += m.out[i] * dout[i];
    }
    CHECK_CLOSE((loss[1] - loss[0]) / (2 * step), expected, 1e-6);
    free(moved), free(direction), free(m.out), free(m.lse);
}

// Without lse the same comes out.
static void check_inference(struct device *d, int models, const struct attention_shape *a, const struct array *qkv,
                            const double *expected) {
    struct array copy = array_new(d, qkv->n, true);
    struct array out = array_poisoned(d, qkv->n / width_of(a) * (size_t)(a->heads * a->head_size), true);
    memcpy(copy.v, qkv->v, qkv->n * sizeof *copy.v);
    array_put(d, &copy);
    d->k->attention_forward(d, out.p, NULL, copy.p, a, models);
    array_get(d, &out);
    CHECK_NEAR(d, out.v, expected, out.n, "inference, S %d A %d K %d D %d", a->length, a->heads, a->kv_heads,
               a->head_size);
    array_free(d, &copy), array_free(d, &out);
}

static void check_attention(struct device *d, int models, struct attention_shape a, bool differences) {
    struct attention_shape all = a;
    all.batch *= models;
    size_t rows = (size_t)(all.batch * a.length), n = rows * width_of(&a);
    size_t n_out = rows * (size_t)(a.heads * a.head_size), n_lse = rows * (size_t)a.heads;
    struct array qkv = array_random(d, n, true, 1.0, 0), dout = array_random(d, n_out, true, 1.0, 0);
    struct array out = array_poisoned(d, n_out, true), lse = array_poisoned(d, n_lse, false);
    struct array dqkv = array_poisoned(d, n, true);
    double *start = copy_values(&qkv), *turned = copy_values(&qkv),
           *dexpected = malloc((n + 1) * sizeof *dexpected);
    struct reference r = {all, turned, malloc((n_out + 1) * sizeof(double)), malloc((n_lse + 1) * sizeof(double))};
    turn(&a, turned, rows, +1);
    forward(&r);
    check_inference(d, models, &a, &qkv, r.out);
    d->k->attention_forward(d, out.p, lse.p, qkv.p, &a, models);
    array_get(d, &out);
    array_get(d, &lse);
    array_get(d, &qkv);
    CHECK_NEAR(d, qkv.v, turned, n, "q and k turned, S %d A %d K %d D %d", a.length, a.heads, a.kv_heads,
               a.head_size);
    CHECK_NEAR(d, out.v, r.out, n_out, "attention B %d S %d A %d K %d D %d", a.batch, a.length, a.heads,
               a.kv_heads, a.head_size);
    CHECK_NEAR(d, lse.v, r.lse, n_lse, "log-sum-exp of S %d D %d", a.length, a.head_size);
    d->k->attention_backward(d, dqkv.p, dout.p, out.p, qkv.p, lse.p, &a, models);
    array_get(d, &dqkv);
    backward(&r, dout.v, dexpected);
    turn(&a, dexpected, rows, -1);
    if (a.length > 1)
        CHECK_NEAR(d, dqkv.v, dexpected, n, "attention backward S %d A %d K %d D %d", a.length, a.heads,
                   a.kv_heads, a.head_size);
    else
        for (size_t i = 0; i < n; i++) // one key: only the value's gradient is not 0
            CHECK_CLOSE(dqkv.v[i], dexpected[i], tolerance_of(d));
    if (differences)
        check_reference(&r, start, dout.v, dexpected, n, n_out);
    free(r.out), free(r.lse), free(dexpected), free(start), free(turned);
    array_free(d, &qkv), array_free(d, &dout), array_free(d, &out), array_free(d, &lse), array_free(d, &dqkv);
}

// What attention leaves of q and k: each pair is (1, 0), turned by its position.
static void check_rotary(struct device *d, struct attention_shape a) {
    size_t width = width_of(&a), rows = (size_t)a.length, half = (size_t)a.head_size / 2;
    struct array qkv = array_new(d, rows * width, true), lse = array_new(d, rows * (size_t)a.heads, false);
    struct array out = array_new(d, rows * (size_t)(a.heads * a.head_size), true);
    for (size_t i = 0; i < rows * width; i++)
        qkv.v[i] = i % (2 * half) < half;
    array_put(d, &qkv);
    double *expected = copy_values(&qkv), worst = 0;
    turn(&a, expected, rows, +1);
    d->k->attention_forward(d, out.p, lse.p, qkv.p, &a, 1);
    array_get(d, &qkv);
    for (size_t i = 0; i < qkv.n; i++)
        worst = fmax(worst, fabs(qkv.v[i] - expected[i]));
    CHECK(worst < (d->compute == KERNEL_BF16 ? 0x1p-9 : 4e-7));
    free(expected);
    array_free(d, &qkv), array_free(d, &lse), array_free(d, &out);
}

// A key far ahead of all others, and scores far below the range of exp, neither overflow nor vanish.
static void check_extremes(struct device *d) {
    struct attention_shape a = {1, 40, 1, 1, 8, 0};
    size_t n = 40 * 24;
    struct array qkv = array_new(d, n, true), out = array_poisoned(d, 40 * 8, true);
    struct array lse = array_poisoned(d, 40, false);
    for (size_t row = 0; row < 40; row++)
        for (size_t i = 0; i < 8; i++) {
            qkv.v[row * 24 + i] = 16;
            qkv.v[row * 24 + 8 + i] = row == 3 ? 16 : -16;
            qkv.v[row * 24 + 16 + i] = (double)row;
        }
    array_put(d, &qkv);
    d->k->attention_forward(d, out.p, lse.p, qkv.p, &a, 1);
    array_get(d, &out);
    array_get(d, &lse);
    for (size_t row = 3; row < 40; row++)
        CHECK_CLOSE(out.v[row * 8], 3, 1e-6);
    CHECK_CLOSE(out.v[8], 0.5, 1e-6);
    CHECK_CLOSE(lse.v[1], -16 * 16 * sqrt(8) + log(2), 1e-6);
    CHECK_CLOSE(lse.v[39], 16 * 16 * sqrt(8), 1e-6);
    array_free(d, &qkv), array_free(d, &out), array_free(d, &lse);
}

// Keys that come later and are far ahead of all before them, by 2^12 and then by 2^24, change what was summed.
static void check_late_leaders(struct device *d, int size) {
    enum { LENGTH = 200 };
    struct attention_shape a = {1, LENGTH, 1, 1, size, 0};
    size_t n = (size_t)size, width = 3 * n, rows = LENGTH;
    struct array qkv = array_random(d, rows * width, true, 0.1, 0), lse = array_poisoned(d, rows, false);
    struct array dout = array_random(d, rows * n, true, 1.0, 0), dqkv = array_poisoned(d, rows * width, true);
    struct array out = array_poisoned(d, rows * n, true);
    const double steps[] = {0, 12, 24};
    for (size_t row = 0; row < rows; row++) {
        double leads = row == 70 || row == 90 ? steps[1] : row == 150 ? steps[2] : 0;
        qkv.v[row * width] = 8;
        qkv.v[row * width + n] = leads * log(2) * sqrt((double)size) / 8;
    }
    array_put(d, &qkv);
    array_get(d, &qkv); // as rounded
    double *values = copy_values(&qkv), *expected = malloc(rows * n * sizeof *expected),
           *lse_expected = malloc(rows * sizeof *lse_expected), *dexpected = malloc(qkv.n * sizeof *dexpected);
    struct reference r = {a, values, expected, lse_expected};
    forward(&r);
    d->k->attention_forward(d, out.p, lse.p, qkv.p, &a, 1);
    array_get(d, &out);
    array_get(d, &lse);
    CHECK_NEAR(d, out.v, expected, out.n, "leaders behind others, D %d", size);
    CHECK_NEAR(d, lse.v, lse_expected, lse.n, "log-sum-exp with leaders behind others, D %d", size);
    d->k->attention_backward(d, dqkv.p, dout.p, out.p, qkv.p, lse.p, &a, 1);
    array_get(d, &dqkv);
    backward(&r, dout.v, dexpected);
    CHECK_NEAR(d, dqkv.v, dexpected, dqkv.n, "backward with leaders behind others, D %d", size);
    free(values), free(expected), free(lse_expected), free(dexpected);
    array_free(d, &qkv), array_free(d, &lse), array_free(d, &dout), array_free(d, &dqkv), array_free(d, &out);
}

static void suite(struct device *d) {
    static const int lengths[] = {1, 5, 17, 33, 130};
    static const struct attention_shape others[] = {
        {1, 300, 4, 1, 8, 500000},    // grouped; more than one group of blocks
        {16, 200, 16, 16, 8, 10000},  // one block has several tiles of keys
        {16, 150, 8, 8, 64, 10000},   // the same, of larger heads
        {1, 300, 2, 1, 64, 10000},    // grouped; blocks share the tiles of a head
        {1, 530, 1, 1, 64, 10000},    // and one of them has three
        {1, 20, 2, 2, 24, 0},         // no rotary positions
        {1, 200, 6, 2, 40, 10000},    // grouped; a head that fills up a larger one, and ends amid 16 bytes
        {2, 150, 4, 2, 96, 10000},    // grouped
        {1, 300, 2, 1, 128, 1000000}, // grouped
    };
    for (int size = 8; size <= 128; size += 8) { // every head size at one length, the usual ones at all
        bool usual = (size & (size - 1)) == 0 || size == 24 || size == 40;
        for (int i = usual ? 0 : 3; i < (usual ? 5 : 4); i++) {
            struct attention_shape a = {i < 4 ? 2 : 1, lengths[i], 2, 2, size, 10000};
            check_attention(d, 1, a, lengths[i] == 17 && size <= 24 && d->threads == 1);
        }
    }
    // Grouped, several models; differences from the plain reference.
    check_attention(d, 3, (struct attention_shape){2, 33, 6, 2, 16, 10000}, d->threads == 1);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        check_attention(d, 1, others[i], false);
    check_rotary(d, (struct attention_shape){1, 3, 2, 2, 64, 10000}); // shorter than a table that was kept
    check_rotary(d, (struct attention_shape){1, 2000, 2, 1, 8, 100});
    check_extremes(d);
    for (int size = 8; size <= 128; size *= 2)
        check_late_leaders(d, size);
}

int main(void) {
    return kernels_run(suite);
}
