// Products of activations and weights, cut into tiles of rows and columns that depend on shapes only. Each tile
// is one oneDNN call on one thread, so the bytes do not depend on the number of threads; an activation is applied
// to the tile while it is in cache. All sums are float32 inside oneDNN, over the whole inner dimension (forward,
// backward to the input) or slabs of rows in order (backward to the weights).
#include "product.h"
#include "simd.h"

enum {
    COLUMN_TILE = 512, // measured (bench/kernels.c): one x tile and one result tile stay in a 1 MiB L2
    ROW_TILE = 256,
    SMALL_WEIGHTS = 128 * 1024, // elements; below it smaller tiles of weights cost little and share out better
    SLAB = 1024,                // rows summed by one call of the backward product to the weights
};

enum after { AFTER_NOTHING, AFTER_GELU, AFTER_SLOPE };

// Tiles along n: the last one takes up to half a tile more, rather than leave a sliver.
static int tiles_along(int n, int tile) {
    return n < tile ? 1 : (n + tile / 2) / tile;
}

struct tiles {
    struct cpu *s;
    struct product *product[2][2]; // [last row tile][last column tile]
    int rows, columns, inner;      // of the result, and the inner dimension
    int row_tile, column_tile, row_tiles, column_tiles;
    bool plain; // the weights' rows run along the inner dimension (b stored [inner, columns])
    enum after after;
    char *result, *slope, *a, *w;
    size_t stride; // elements between models' weights
};

// gelu(x) = x (1 + tanh u) / 2 = x sigmoid(2u) with u = sqrt(2/pi) (x + 0.044715 x^3)
static const float gelu_linear = 0.7978845608f, gelu_cubic = 0.0356774081f; // u = (linear + cubic x^2) x
static const float gelu_turn = -2.8853900818f;                              // -2 / ln 2

// gelu(x), and gelu'(x) = s + 2 x s (1 - s) u' in *slope, s = sigmoid(2u). The bound on x^2 keeps u' finite where
// s (1 - s) is 0.
static INLINE v16 gelu(v16 x, v16 *slope, bool half) {
    v16 square = v16_min(v16_set(1e6f), x * x);
    v16 s = v16_logistic2((gelu_cubic * square + gelu_linear) * x * gelu_turn, half), y = x * s;
    *slope = s + (y - y * s) * (6.0f * gelu_cubic * square + 2.0f * gelu_linear);
    return y;
}

// y = gelu(product); in training the slope takes the place of the product, which otherwise is y itself
static INLINE void gelu_tile(void *y, void *product, size_t ld, int rows, int columns, bool train, bool half) {
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < columns; i += 16) {
            size_t at = (size_t)r * ld + (size_t)i;
            int n = columns - i;
            v16 slope;
            c_store_n(y, at, gelu(c_load_n(product, at, n, half), &slope, half), n, half);
            if (train)
                c_store_n(product, at, slope, n, half);
        }
}

static void apply_gelu(void *y, void *product, size_t ld, int rows, int columns, bool half) {
    bool train = y != product;
    if (half)
        train ? gelu_tile(y, product, ld, rows, columns, true, true)
              : gelu_tile(y, product, ld, rows, columns, false, true);
    else
        train ? gelu_tile(y, product, ld, rows, columns, true, false)
              : gelu_tile(y, product, ld, rows, columns, false, false);
}

static INLINE void multiply_tile(void *to, const void *by, size_t ld, int rows, int columns, bool half) {
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < columns; i += 16) {
            size_t at = (size_t)r * ld + (size_t)i;
            int n = columns - i;
            c_store_n(to, at, c_load_n(to, at, n, half) * c_load_n(by, at, n, half), n, half);
        }
}

static void apply_slope(void *to, const void *slope, size_t ld, int rows, int columns, bool half) {
    if (half)
        multiply_tile(to, slope, ld, rows, columns, true);
    else
        multiply_tile(to, slope, ld, rows, columns, false);
}

static void tile_task(void *context, int i, int thread) {
    struct tiles *t = context;
    struct cpu *s = t->s;
    size_t size = s->half ? 2 : 4;
    int tc = i % t->column_tiles, tr = i / t->column_tiles % t->row_tiles, g = i / t->column_tiles / t->row_tiles;
    int row = tr * t->row_tile, column = tc * t->column_tile;
    bool last_row = tr == t->row_tiles - 1, last_column = tc == t->column_tiles - 1;
    int rows = last_row ? t->rows - row : t->row_tile;
    int columns = last_column ? t->columns - column : t->column_tile;
    size_t first_row = (size_t)g * (size_t)t->rows + (size_t)row;
    size_t at = (first_row * (size_t)t->columns + (size_t)column) * size;
    size_t weights = (size_t)g * t->stride + (size_t)column * (t->plain ? 1 : (size_t)t->inner);
    char *to = t->result + at;
    char *product = t->after == AFTER_GELU && t->slope ? t->slope + at : to;
    product_run(s, t->product[last_row][last_column], thread, t->a + first_row * (size_t)t->inner * size,
                t->w + weights * size, product);
    if (t->after == AFTER_GELU)
        apply_gelu(to, product, (size_t)t->columns, rows, columns, s->half);
    else if (t->after == AFTER_SLOPE)
        apply_slope(to, t->slope + at, (size_t)t->columns, rows, columns, s->half);
}

static void run_tiles(struct tiles *t, int models) {
    struct cpu *s = t->s;
    if (models * t->rows == 0)
        return;
    t->row_tile = ROW_TILE;
    t->column_tile = COLUMN_TILE;
    t->row_tiles = tiles_along(t->rows, t->row_tile);
    t->column_tiles = tiles_along(t->columns, COLUMN_TILE);
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) {
            bool unused = (i == 0 && t->row_tiles == 1) || (j == 0 && t->column_tiles == 1);
            struct product_shape q = {
                .kind = t->plain ? PRODUCT_PLAIN : PRODUCT_ROWS,
                .m = i ? t->rows - (t->row_tiles - 1) * t->row_tile : t->row_tile,
                .n = j ? t->columns - (t->column_tiles - 1) * t->column_tile : t->column_tile,
                .k = t->inner,
                .lda = t->inner,
                .ldb = t->plain ? t->columns : t->inner,
                .ldc = t->columns,
                .half_in = s->half,
                .half_out = s->half,
            };
            if (!unused && !(t->product[i][j] = product_get(s, &q)))
                return;
        }
    cpu_run(s, models * t->row_tiles * t->column_tiles, tile_task, t);
}

void cpu_matmul_forward(struct device *d, const struct kernel_models *m, dptr y, dptr slope, dptr x, dptr w,
                        enum kernel_activation act, int rows, int in, int out) {
    struct tiles t = {.s = cpu_of(d),
                      .rows = rows,
                      .columns = out,
                      .inner = in,
                      .after = act == ACTIVATION_GELU ? AFTER_GELU : AFTER_NOTHING,
                      .result = (char *)y,
                      .slope = (char *)slope,
                      .a = (char *)x,
                      .w = (char *)w,
                      .stride = m->stride};
    run_tiles(&t, m->count);
}

void cpu_matmul_backward_input(struct device *d, const struct kernel_models *m, dptr dx, dptr dy, dptr w,
                               dptr slope, int rows, int in, int out) {
    struct tiles t = {.s = cpu_of(d),
                      .rows = rows,
                      .columns = in,
                      .inner = out,
                      .plain = true,
                      .after = slope ? AFTER_SLOPE : AFTER_NOTHING,
                      .result = (char *)dx,
                      .slope = (char *)slope,
                      .a = (char *)dy,
                      .w = (char *)w,
                      .stride = m->stride};
    run_tiles(&t, m->count);
}

struct weight_tiles {
    struct cpu *s;
    struct product *product[2][2][2]; // [last slab][last out tile][last in tile]
    int rows, in, out, out_tile, in_tile, out_tiles, in_tiles, slabs;
    char *dw, *dy, *x;
    size_t stride, dy_width; // elements between models' weights, between rows of dy
};

static void weight_task(void *context, int i, int thread) {
    struct weight_tiles *t = context;
    size_t size = t->s->half ? 2 : 4;
    int ti = i % t->in_tiles, to = i / t->in_tiles % t->out_tiles, g = i / t->in_tiles / t->out_tiles;
    size_t column = (size_t)(ti * t->in_tile), line = (size_t)(to * t->out_tile);
    char *dw = t->dw + ((size_t)g * t->stride + line * (size_t)t->in + column) * sizeof(float);
    for (int slab = 0; slab < t->slabs; slab++) {
        size_t row = (size_t)g * (size_t)t->rows + (size_t)slab * SLAB;
        product_run(t->s, t->product[slab == t->slabs - 1][to == t->out_tiles - 1][ti == t->in_tiles - 1], thread,
                    t->dy + (row * t->dy_width + line) * size, t->x + (row * (size_t)t->in + column) * size, dw);
    }
}

// Tiles of the weights: small ones where there are few weights, so that two threads have work.
static int out_tile_of(int in, int out) {
    if (out <= 64)
        return 32;
    return (size_t)in * (size_t)out <= SMALL_WEIGHTS ? 64 : 128;
}

void cpu_add_weight_products(struct cpu *s, const struct kernel_models *m, void *dw, void *dy, size_t dy_width,
                             void *x, int rows, int in, int out) {
    struct weight_tiles t = {.s = s,
                             .rows = rows,
                             .in = in,
                             .out = out,
                             .out_tile = out_tile_of(in, out),
                             .in_tile = COLUMN_TILE,
                             .slabs = tiles_along(rows, SLAB),
                             .dw = dw,
                             .dy = dy,
                             .x = x,
                             .stride = m->stride,
                             .dy_width = dy_width};
    if (rows == 0)
        return;
    t.out_tiles = tiles_along(out, t.out_tile);
    t.in_tiles = tiles_along(in, t.in_tile);
    for (int i = 0; i < 8; i++) {
        int slab = i & 1, o = i >> 1 & 1, c = i >> 2;
        if ((!slab && t.slabs == 1) || (!o && t.out_tiles == 1) || (!c && t.in_tiles == 1))
            continue;
        struct product_shape q = {
            .kind = PRODUCT_COLUMNS,
            .m = o ? out - (t.out_tiles - 1) * t.out_tile : t.out_tile,
            .n = c ? in - (t.in_tiles - 1) * t.in_tile : t.in_tile,
            .k = slab ? rows - (t.slabs - 1) * SLAB : SLAB,
            .lda = (int)dy_width,
            .ldb = in,
            .ldc = in,
            .half_in = s->half,
        };
        if (!(t.product[slab][o][c] = product_get(s, &q)))
            return;
    }
    cpu_run(s, m->count * t.out_tiles * t.in_tiles, weight_task, &t);
}

void cpu_matmul_backward_weight(struct device *d, const struct kernel_models *m, dptr dw, dptr dy, dptr x,
                                int rows, int in, int out) {
    cpu_add_weight_products(cpu_of(d), m, dw, dy, (size_t)out, x, rows, in, out);
}
