// Tiles of blockwise attention: packing and the products inside a block. For attention_*.c alone.
//
// A block is 32 queries by 32 keys; vectors run over queries (two of 16 lanes) or over the head, whatever its
// size, so heads of 8 are as welcome as heads of 128. All products contract in "units", 32-bit words: one float32
// or a pair of neighbouring bfloat16. A tile product is c[m][lanes] += sum_u a[m][u] b[u][lanes] with a broadcast
// and accumulation in float32, units in order.
#ifndef TACIT_KERNELS_CPU_ATTENTION_TILE_H
#define TACIT_KERNELS_CPU_ATTENTION_TILE_H

#include "cpu.h"
#include "simd.h"

enum { BLOCK = 32, TILE = 8 };

// Geometry of one head of one sequence within the fused rows.
struct head {
    size_t length, size, width; // S, D, elements between rows of qkv
    size_t units;               // words of one row of a head
    size_t blocks, padded;      // of S: blocks, and rows rounded up to whole blocks
    size_t lanes;               // D rounded up to 16
};

static INLINE struct head head_of(const struct attention_shape *a, bool half) {
    size_t length = (size_t)a->length, size = (size_t)a->head_size;
    size_t blocks = (length + BLOCK - 1) / BLOCK;
    return (struct head){.length = length,
                         .size = size,
                         .width = (size_t)(a->heads + 2 * a->kv_heads) * size,
                         .units = half ? size / 2 : size,
                         .blocks = blocks,
                         .padded = blocks * BLOCK,
                         .lanes = (size + 15) / 16 * 16};
}

// Scratch of the backward pass.
size_t cpu_attention_backward_bytes(const struct head *h, bool half);

// Words that pairs of rows take: half as many as rows in bfloat16.
static INLINE size_t row_units(size_t rows, bool half) {
    return half ? rows / 2 : rows;
}

static INLINE v16 unit_add(v16 c, v16w a, v16w b, bool half) {
    if (!half)
        return c + (v16)a * (v16)b;
#ifdef __AVX512BF16__
    return (v16)_mm512_dpbf16_ps((__m512)c, (__m512bh)a, (__m512bh)b);
#else
    return c + (v16)(a << 16) * (v16)(b << 16) + (v16)(a & 0xffff0000u) * (v16)(b & 0xffff0000u);
#endif
}

// c[m][v] += sum over u of a[m * row + u * step] * b[u * ldb + 16 v ..]; `rows` (up to TILE) rows, `vectors` of 16
// lanes.
static INLINE void tile_product(v16 (*c)[2], int rows, const uint32_t *a, size_t row, size_t step,
                                const uint32_t *b, size_t ldb, size_t units, int vectors, bool half) {
    for (size_t u = 0; u < units; u++) {
        v16w b0 = v16w_load(b + u * ldb), b1 = b0;
        if (vectors == 2)
            b1 = v16w_load(b + u * ldb + 16);
#pragma GCC unroll 8
        for (int m = 0; m < rows; m++) {
            v16w am = v16w_set(a[(size_t)m * row + u * step]);
            c[m][0] = unit_add(c[m][0], am, b0, half);
            if (vectors == 2)
                c[m][1] = unit_add(c[m][1], am, b1, half);
        }
    }
}

// to[TILE rows of ld floats][16 vectors] += a b
static INLINE void tile_accumulate(float *to, size_t ld, const uint32_t *a, size_t row, size_t step,
                                   const uint32_t *b, size_t ldb, size_t units, int vectors, bool half) {
    v16 c[TILE][2];
#pragma GCC unroll 8
    for (int m = 0; m < TILE; m++) {
        c[m][0] = v16_load(to + (size_t)m * ld);
        c[m][1] = vectors == 2 ? v16_load(to + (size_t)m * ld + 16) : c[m][0];
    }
    tile_product(c, TILE, a, row, step, b, ldb, units, vectors, half);
#pragma GCC unroll 8
    for (int m = 0; m < TILE; m++) {
        v16_store(to + (size_t)m * ld, c[m][0]);
        if (vectors == 2)
            v16_store(to + (size_t)m * ld + 16, c[m][1]);
    }
}

// Elements 0..7 (part 0) or 8..15 (part 1) of a and b, alternating.
static INLINE v16w v16w_interleave(v16w a, v16w b, int part) {
    const v16w low = {0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23};
    return __builtin_shuffle(a, b, part ? low + 8 : low);
}

// Transpose 16 x 16 words in place: each of the four stages rotates the 8 bits of (row, column) by one. Not
// inlined: without AVX-512 a shuffle is dozens of instructions, and it is used in many places.
static __attribute__((noinline)) void v16w_transpose(v16w r[16]) {
    for (int stage = 0; stage < 4; stage++) {
        v16w t[16];
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            t[2 * i] = v16w_interleave(r[i], r[i + 8], 0);
            t[2 * i + 1] = v16w_interleave(r[i], r[i + 8], 1);
        }
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
            r[i] = t[i];
    }
}

// ---- packing; `from` is element 0 of the first row, rows lie ld elements apart, absent rows are 0 ----

// Rows as they are: to[row][units].
static INLINE void pack_rows(uint32_t *to, const void *from, size_t ld, size_t rows, size_t padded, size_t units,
                             bool half) {
    size_t ld_words = half ? ld / 2 : ld;
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < units; i += 16) {
            int n = (int)cpu_least(16, units - i);
            v16w_store_n(to + r * units + i, v16w_load_n((const uint32_t *)from + r * ld_words + i, n), n);
        }
    memset(to + rows * units, 0, (padded - rows) * units * sizeof *to);
}

// Neighbouring rows side by side: bfloat16 to[row / 2][lane] = (row, row + 1), float32 to[row][lane]; `lanes`
// columns of which the head fills `size`.
static INLINE void pack_row_units(uint32_t *to, const void *from, size_t ld, size_t rows, size_t padded,
                                  size_t size, size_t lanes, bool half) {
    size_t together = half ? 2 : 1;
    for (size_t r = 0; r < padded; r += together)
        for (size_t i = 0; i < lanes; i += 16) {
            int n = (int)cpu_least(16, size - cpu_least(i, size));
            v16w w = {0};
            if (!half && r < rows)
                w = v16w_load_n((const uint32_t *)from + r * ld + i, n);
            if (half && r < rows)
                w = __builtin_convertvector(half_load_n((const uint16_t *)from + r * ld + i, n), v16w);
            if (half && r + 1 < rows)
                w |= __builtin_convertvector(half_load_n((const uint16_t *)from + (r + 1) * ld + i, n), v16w)
                     << 16;
            v16w_store(to + r / together * lanes + i, w);
        }
}

// A block of rows turned: to[unit][BLOCK lanes].
static INLINE void pack_turned(uint32_t *to, const void *from, size_t ld, size_t rows, size_t units, bool half) {
    size_t ld_words = half ? ld / 2 : ld;
    for (size_t part = 0; part < BLOCK; part += 16)
        for (size_t u = 0; u < units; u += 16) {
            v16w r[16];
            int n = (int)cpu_least(16, units - u);
            for (size_t i = 0; i < 16; i++)
                r[i] = part + i < rows ? v16w_load_n((const uint32_t *)from + (part + i) * ld_words + u, n)
                                       : (v16w){0};
            v16w_transpose(r);
            for (size_t i = 0; i < (size_t)n; i++)
                v16w_store(to + (u + i) * BLOCK + part, r[i]);
        }
}

// The way back: c rows to[row][size] from turned float32 scale * from[d][BLOCK lanes].
static INLINE void unpack_turned(void *to, size_t ld, const float *from, float scale, size_t rows, size_t size,
                                 bool half) {
    for (size_t part = 0; part < BLOCK && part < rows; part += 16)
        for (size_t i = 0; i < size; i += 16) {
            v16w r[16];
            int n = (int)cpu_least(16, size - i);
            for (size_t k = 0; k < 16; k++)
                r[k] = (int)k < n ? (v16w)(v16_load(from + (i + k) * BLOCK + part) * scale) : (v16w){0};
            v16w_transpose(r);
            for (size_t k = 0; k < 16 && part + k < rows; k++)
                c_store_n(to, (part + k) * ld + i, (v16)r[k], n, half);
        }
}

// Two rows of 16 lanes as units: bfloat16 one vector of pairs (low, high) per lane.
static INLINE v16w pair_lanes(v16 low, v16 high) {
#ifdef __AVX512BF16__
    typedef uint16_t v32h __attribute__((vector_size(64)));
    v32h both = (v32h)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low);
    const v32h order = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                        8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    return (v16w)__builtin_shuffle(both, order);
#else
    return __builtin_convertvector(v16_to_half(low), v16w) | __builtin_convertvector(v16_to_half(high), v16w)
                                                                 << 16;
#endif
}

// A causal block on the diagonal: query lane sees key j where j <= lane.
static INLINE v16i causal_lanes(int key, int part) {
    return v16_lanes() + 16 * part >= key;
}

// Scratch is handed out in pieces of whole cache lines; without a base only the bytes are counted.
struct pieces {
    char *base;
    size_t used;
};

static INLINE void *take(struct pieces *p, size_t bytes) {
    void *piece = p->base ? p->base + p->used : NULL;
    p->used += cpu_round_up(bytes, 64);
    return piece;
}

#endif
