// Matrix products of tiles by oneDNN, each on one thread; primitives are made once per shape and cached.
//
// c[m,n] = a b, float32 accumulation. The cache is used between regions only (no locks); a product that was got
// stays valid until 16 others were got.
#ifndef TACIT_KERNELS_CPU_PRODUCT_H
#define TACIT_KERNELS_CPU_PRODUCT_H

#include "cpu.h"

enum product_kind {
    PRODUCT_ROWS,    // a [m,k], b stored [n,k]: c = a b^T  (x w^T)
    PRODUCT_PLAIN,   // a [m,k], b [k,n]: c = a b           (dy w)
    PRODUCT_COLUMNS, // a stored [k,m], b [k,n]: c += a^T b (dy^T x), c float32
};

struct product_shape {
    int kind, m, n, k;
    int lda, ldb, ldc; // elements between stored rows
    int half_in, half_out;
};

struct product;

int product_cache_new(struct cpu *s);
void product_cache_free(struct cpu *s);

// NULL where oneDNN refuses (the failure is kept in the state).
struct product *product_get(struct cpu *s, const struct product_shape *shape);
void product_run(struct cpu *s, struct product *p, int thread, const void *a, const void *b, void *c);

// A bound on oneDNN's scratch per thread for products up to these sizes.
size_t product_packing_bound(int m, int n, int k, bool half);

#endif
