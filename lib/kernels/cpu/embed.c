// Embedding: rows of a table, and their gradient. The backward pass cuts the columns, not the rows, into tasks:
// each adds the rows of its columns in row order, so equal tokens never meet in two tasks.
#include "cpu.h"
#include "simd.h"

#include "base/error.h"

enum { ROWS = 256, COLUMNS = 64 };

struct embed {
    struct cpu *s;
    float *x, *table; // forward: x from table; backward: table from x
    const uint32_t *tokens;
    size_t stride, token_stride, rows, hidden;
    uint32_t vocab;
    atomic_llong bad; // a token outside the vocabulary, or -1
};

static struct embed embed_of(struct device *d, const struct kernel_models *m, dptr x, dptr table, dptr tokens,
                             int rows, int hidden, int vocab) {
    return (struct embed){.s = cpu_of(d),
                          .x = (float *)x,
                          .table = (float *)table,
                          .tokens = (const uint32_t *)tokens,
                          .stride = m->stride,
                          .token_stride = m->token_stride,
                          .rows = (size_t)rows,
                          .hidden = (size_t)hidden,
                          .vocab = (uint32_t)vocab,
                          .bad = -1};
}

static void embed_run(struct embed *q, int tasks, void (*task)(void *context, int i, int thread)) {
    cpu_run(q->s, tasks, task, q);
    long long bad = atomic_load(&q->bad);
    if (bad >= 0)
        cpu_fail(q->s, error_set(ERROR_INPUT, "token %lld is outside the vocabulary of %u", bad, q->vocab));
}

static void forward_task(void *context, int i, int thread) {
    (void)thread;
    struct embed *q = context;
    int pieces = cpu_pieces(q->rows, ROWS);
    size_t g = (size_t)(i / pieces), first = (size_t)(i % pieces) * ROWS, last = cpu_least(first + ROWS, q->rows);
    for (size_t r = first; r < last; r++) {
        uint32_t token = q->tokens[g * q->token_stride + r];
        if (token >= q->vocab) {
            atomic_store(&q->bad, (long long)token);
            return;
        }
        memcpy(q->x + (g * q->rows + r) * q->hidden, q->table + g * q->stride + token * q->hidden,
               q->hidden * sizeof(float));
    }
}

void cpu_embed_forward(struct device *d, const struct kernel_models *m, dptr x, dptr table, dptr tokens, int rows,
                       int hidden, int vocab) {
    struct embed q = embed_of(d, m, x, table, tokens, rows, hidden, vocab);
    embed_run(&q, m->count * cpu_pieces(q.rows, ROWS), forward_task);
}

static void backward_task(void *context, int i, int thread) {
    (void)thread;
    struct embed *q = context;
    int pieces = cpu_pieces(q->hidden, COLUMNS);
    size_t g = (size_t)(i / pieces), first = (size_t)(i % pieces) * COLUMNS;
    size_t last = cpu_least(first + COLUMNS, q->hidden);
    for (size_t r = 0; r < q->rows; r++) {
        uint32_t token = q->tokens[g * q->token_stride + r];
        if (token >= q->vocab) {
            atomic_store(&q->bad, (long long)token);
            return;
        }
        float *to = q->table + g * q->stride + token * q->hidden;
        const float *from = q->x + (g * q->rows + r) * q->hidden;
        for (size_t h = first; h < last; h += 16) {
            int n = (int)cpu_least(16, last - h);
            v16_store_n(to + h, v16_load_n(to + h, n) + v16_load_n(from + h, n), n);
        }
    }
}

void cpu_embed_backward(struct device *d, const struct kernel_models *m, dptr dtable, dptr dx, dptr tokens,
                        int rows, int hidden, int vocab) {
    struct embed q = embed_of(d, m, dx, dtable, tokens, rows, hidden, vocab);
    embed_run(&q, m->count * cpu_pieces(q.hidden, COLUMNS), backward_task);
}
