// The functions of lib/kernels/cuda/ptx.cuh that are instructions there, written out: fragment by fragment as the
// PTX ISA lays them out ("Matrix Fragments for mma.m16n8k16", "ldmatrix", "Asynchronous Warpgroup Level
// Matrix Instructions", "cp.async"). Included by ptx.cuh.
#ifndef TACIT_EMULATE_PTX_H
#define TACIT_EMULATE_PTX_H

#include "emulate.h"

// ---- tensor cores ----

struct emulate_mma {
    float *c;
    const uint32_t *a, *b;
    static void all(void *const operands[32]);
};
static inline void mma_16x8x16(float c[4], const uint32_t a[4], const uint32_t b[2],
                               emulate_place place = emulate_place::current()) {
    emulate_mma operands = {c, a, b};
    emulate_warp(emulate_mma::all, &operands, "mma_16x8x16", place);
}

// ---- 8x8 blocks from shared memory ----

struct emulate_ldmatrix {
    uint32_t *r;
    const void *row;
    int blocks;
    bool transposed;
    emulate_place place;
    static void all(void *const operands[32]);
};
static inline void emulate_load_blocks(uint32_t *r, const void *row, int blocks, bool transposed, const char *name,
                                       emulate_place place) {
    emulate_ldmatrix operands = {r, row, blocks, transposed, place};
    emulate_warp(emulate_ldmatrix::all, &operands, name, place);
}
static inline void ldmatrix_x4(uint32_t r[4], const void *row, emulate_place place = emulate_place::current()) {
    emulate_load_blocks(r, row, 4, false, "ldmatrix_x4", place);
}
static inline void ldmatrix_x4_transposed(uint32_t r[4], const void *row,
                                          emulate_place place = emulate_place::current()) {
    emulate_load_blocks(r, row, 4, true, "ldmatrix_x4_transposed", place);
}
static inline void ldmatrix_x2(uint32_t r[2], const void *row, emulate_place place = emulate_place::current()) {
    emulate_load_blocks(r, row, 2, false, "ldmatrix_x2", place);
}
static inline void ldmatrix_x2_transposed(uint32_t r[2], const void *row,
                                          emulate_place place = emulate_place::current()) {
    emulate_load_blocks(r, row, 2, true, "ldmatrix_x2_transposed", place);
}

// ---- products of a warpgroup ----

static inline uint32_t shared_address(const void *p) {
    return (uint32_t)((const unsigned char *)p - shared_memory);
}

constexpr bool wgmma_here = true;

struct emulate_wgmma {
    float *c;          // [8][4] of this lane
    const uint32_t *a; // [4] of this lane, or NULL: a_tile
    uint64_t a_tile, b_tile;
    bool a_transposed, b_transposed, add;
    emulate_place place;
    static void all(void *const operands[32]);
};
enum { EMULATE_FENCE = -1, EMULATE_COMMIT = -2 }; // or a wait for all groups but so many
void emulate_wgmma_order(const char *name, int latest, emulate_place place); // fence, commit, wait
void emulate_shared_to_products();
void emulate_stored_for_products(int place);

template <bool TRANSPOSED>
static inline void wgmma_64x64x16(float (&c)[8][4], const uint32_t (&a)[4], uint64_t b, bool add,
                                  emulate_place place = emulate_place::current()) {
    emulate_wgmma operands = {c[0], a, 0, b, false, TRANSPOSED, add, place};
    emulate_warp(emulate_wgmma::all, &operands, "wgmma_64x64x16", place);
}
template <bool A_TRANSPOSED, bool B_TRANSPOSED>
static inline void wgmma_64x64x16(float (&c)[8][4], uint64_t a, uint64_t b, bool add,
                                  emulate_place place = emulate_place::current()) {
    emulate_wgmma operands = {c[0], NULL, a, b, A_TRANSPOSED, B_TRANSPOSED, add, place};
    emulate_warp(emulate_wgmma::all, &operands, "wgmma_64x64x16", place);
}
static inline void wgmma_missing() {
}
static inline void wgmma_fence(emulate_place place = emulate_place::current()) {
    emulate_wgmma_order("wgmma_fence", EMULATE_FENCE, place);
}
static inline void wgmma_commit(emulate_place place = emulate_place::current()) {
    emulate_wgmma_order("wgmma_commit", EMULATE_COMMIT, place);
}
template <int N> static inline void wgmma_wait(emulate_place place = emulate_place::current()) {
    emulate_wgmma_order("wgmma_wait", N, place);
}
static inline void hold(float (&c)[8][4]) {
    (void)c;
}
static inline void shared_to_products() {
    emulate_shared_to_products();
}
static inline void store_for_products(int place, uint32_t word) {
    memcpy(shared_memory + place, &word, 4);
    emulate_stored_for_products(place);
}

// ---- asynchronous copies ----

void emulate_copy(void *shared, const void *global, bool valid, emulate_place place);
void emulate_copy_commit();
void emulate_copy_wait(int groups);

static inline void copy_async_16(void *shared, const void *global, bool valid,
                                 emulate_place place = emulate_place::current()) {
    emulate_copy(shared, global, valid, place);
}
static inline void copy_async_commit() {
    emulate_copy_commit();
}
template <int N> static inline void copy_async_wait() {
    emulate_copy_wait(N);
}

static inline int thread_anew() {
    return (int)threadIdx.x;
}

// ---- numbers ----

// ex2.approx.ftz: results and arguments too small for normal numbers are 0
static inline float exp2_fast(float x) {
    float y = exp2f(x);
    return y < 1.17549435e-38f ? 0 : y;
}
static inline void sine_cosine_of_half_turns(float x, float *sine, float *cosine) {
    *sine = (float)sin((double)x * M_PI);
    *cosine = (float)cos((double)x * M_PI);
}
// To nearest even; a NaN stays one.
static inline uint16_t emulate_round_bf16(float x) {
    uint32_t u = __float_as_uint(x);
    if (x != x)
        return 0x7fff;
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}
static inline uint32_t pack_bf16(float low, float high) {
    return emulate_round_bf16(low) | (uint32_t)emulate_round_bf16(high) << 16;
}
static inline bf16 to_bf16(float x) {
    return {emulate_round_bf16(x)};
}
static inline float word_as_float(uint32_t bits) {
    return __uint_as_float(bits);
}
static inline uint32_t float_as_word(float x) {
    return __float_as_uint(x);
}

#endif
