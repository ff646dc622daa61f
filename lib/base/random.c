#include "base/random.h"

#include <math.h>
#include <stdbool.h>

enum { PHILOX_ROUNDS = 10, FEISTEL_ROUNDS = 8, FEISTEL_BITS_LEAST = 8 };

static const uint64_t golden_ratio = 0x9e3779b97f4a7c15u;
// Philox counters of elements are small in practice; the permutation's key sits at the far end of its stream.
static const uint64_t permutation_counter = UINT64_MAX;

void random_block(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t out[4]) {
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    uint32_t c0 = (uint32_t)counter, c1 = (uint32_t)(counter >> 32);
    uint32_t c2 = (uint32_t)stream, c3 = (uint32_t)(stream >> 32);
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        uint64_t a = (uint64_t)c0 * 0xd2511f53u, b = (uint64_t)c2 * 0xcd9e8d57u;
        c0 = (uint32_t)(b >> 32) ^ c1 ^ key0;
        c1 = (uint32_t)b;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ key1;
        c3 = (uint32_t)a;
        key0 += 0x9e3779b9u;
        key1 += 0xbb67ae85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

// Blocks of LANES counters at once, in vectors whose width is chosen when the program starts. Loops over fewer
// lanes would be unrolled, and then be no vectors.
enum { LANES = 64 };
struct lanes {
    uint32_t c0[LANES], c1[LANES], c2[LANES], c3[LANES];
};

#if defined(__x86_64__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
__attribute__((optimize("O3"), target_clones("avx512f", "avx2", "default")))
#endif
static void
mix_lanes(struct lanes *restrict to, const struct lanes *restrict from, uint32_t key0, uint32_t key1) {
    for (int i = 0; i < LANES; i++) {
        uint64_t a = (uint64_t)from->c0[i] * 0xd2511f53u, b = (uint64_t)from->c2[i] * 0xcd9e8d57u;
        to->c0[i] = (uint32_t)(b >> 32) ^ from->c1[i] ^ key0;
        to->c1[i] = (uint32_t)b;
        to->c2[i] = (uint32_t)(a >> 32) ^ from->c3[i] ^ key1;
        to->c3[i] = (uint32_t)a;
    }
}

void random_blocks(uint64_t seed, uint64_t stream, uint64_t counter, size_t n, uint32_t *out) {
    for (size_t begin = 0; begin < n; begin += LANES) {
        struct lanes a, b;
        for (size_t i = 0; i < LANES; i++) {
            a.c0[i] = (uint32_t)(counter + begin + i);
            a.c1[i] = (uint32_t)((counter + begin + i) >> 32);
            a.c2[i] = (uint32_t)stream;
            a.c3[i] = (uint32_t)(stream >> 32);
        }
        for (uint32_t round = 0, key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32); round < PHILOX_ROUNDS;
             round += 2, key0 += 2 * 0x9e3779b9u, key1 += 2 * 0xbb67ae85u) {
            mix_lanes(&b, &a, key0, key1);
            mix_lanes(&a, &b, key0 + 0x9e3779b9u, key1 + 0xbb67ae85u);
        }
        for (size_t i = 0; i < LANES && begin + i < n; i++, out += 4) {
            out[0] = a.c0[i];
            out[1] = a.c1[i];
            out[2] = a.c2[i];
            out[3] = a.c3[i];
        }
    }
}

uint64_t random_bits(uint64_t seed, uint64_t stream, uint64_t index) {
    uint32_t w[4];
    random_block(seed, stream, index, w);
    return (uint64_t)w[1] << 32 | w[0];
}

double random_uniform(uint64_t seed, uint64_t stream, uint64_t index) {
    return (double)(random_bits(seed, stream, index) >> 11) * 0x1p-53;
}

__extension__ typedef unsigned __int128 product_t;

// Lemire 2019: the high half of bits x n, redrawn while the low half falls into the short first interval.
uint64_t random_below(uint64_t seed, uint64_t stream, uint64_t index, uint64_t n) {
    for (;; seed += golden_ratio) {
        product_t product = (product_t)random_bits(seed, stream, index) * n;
        if ((uint64_t)product >= n || n == 0 || (uint64_t)product >= -n % n)
            return (uint64_t)(product >> 64);
    }
}

// Box-Muller; the first uniform is in (0, 1], so its logarithm is finite.
double random_normal(uint64_t seed, uint64_t stream, uint64_t index) {
    uint32_t w[4];
    random_block(seed, stream, index, w);
    double u = (double)((((uint64_t)w[1] << 32 | w[0]) >> 11) + 1) * 0x1p-53;
    double v = (double)(((uint64_t)w[3] << 32 | w[2]) >> 11) * 0x1p-53;
    return sqrt(-2 * log(u)) * cos(6.283185307179586476925286766559 * v);
}

// The round function: Stafford's variant 13 of the 64-bit finaliser, keyed by addition.
static uint64_t mix(uint64_t x) {
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

// A Feistel network on the smallest 2^bits >= n, its halves of bits/2 and the rest changed in turn. It maps
// 0..2^bits-1 one to one, so walking on until a value falls below n is a permutation of 0..n-1; 2^bits < 2n
// makes that fewer than two evaluations on average. Below 8 bits the network shows (measured: with 4 bits the
// orders of four are unevenly frequent), so a small n walks longer instead.
uint64_t random_permute(uint64_t seed, uint64_t stream, uint64_t n, uint64_t i) {
    if (n < 2)
        return 0;
    uint32_t w[4];
    random_block(seed, stream, permutation_counter, w);
    uint64_t key = (uint64_t)w[1] << 32 | w[0], step = (uint64_t)w[3] << 32 | w[2] | 1;
    int bits = 64 - __builtin_clzll(n - 1);
    if (bits < FEISTEL_BITS_LEAST)
        bits = FEISTEL_BITS_LEAST;
    int low_bits = bits / 2;
    uint64_t low_mask = (UINT64_C(1) << low_bits) - 1, high_mask = (UINT64_C(1) << (bits - low_bits)) - 1;
    do {
        uint64_t low = i & low_mask, high = i >> low_bits, round_key = key;
        for (int round = 0; round < FEISTEL_ROUNDS; round += 2) {
            low ^= mix(high + round_key) & low_mask;
            high ^= mix(low + round_key + step) & high_mask;
            round_key += 2 * step;
        }
        i = high << low_bits | low;
    } while (i >= n);
    return i;
}
