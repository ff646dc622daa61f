#include "rules.h"

#include <math.h>
#include <string.h>

// Vector widths are chosen when the program starts; products and sums are never fused, so that every width
// gives the same bits.
#if defined(__x86_64__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define VECTORISED __attribute__((optimize("O3"), target_clones("avx512f", "avx2", "default")))
#else
#define VECTORISED
#endif

// exp(x) for x <= 0, within 2 units in the last place down to -700; below it, something under 1e-304.
// x = k ln 2 + r with |r| <= ln(2)/2, and the Taylor polynomial of degree 12 for r (error below 2e-16).
static inline double exp_negative(double x) {
    const double shift = 6755399441055744.0; // 1.5 x 2^52: adding it leaves round(x) in the low bits
    x = x < -700.0 ? -700.0 : x;
    double shifted = x * 1.4426950408889634 + shift;
    double k = shifted - shift;
    double r = x - k * 6.93147180369123816490e-01 - k * 1.90821492927058770002e-10;
    double p = 1.0 / 479001600;
    p = p * r + 1.0 / 39916800;
    p = p * r + 1.0 / 3628800;
    p = p * r + 1.0 / 362880;
    p = p * r + 1.0 / 40320;
    p = p * r + 1.0 / 5040;
    p = p * r + 1.0 / 720;
    p = p * r + 1.0 / 120;
    p = p * r + 1.0 / 24;
    p = p * r + 1.0 / 6;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    uint64_t bits, scale;
    memcpy(&bits, &p, sizeof bits);
    memcpy(&scale, &shifted, sizeof scale);
    bits += scale << 52;
    memcpy(&p, &bits, sizeof p);
    return p;
}

// log(x) for x >= 1, within 2 units in the last place. x = 2^k m with m in [sqrt(1/2), sqrt(2)), and the series of
// 2 artanh(s) for s = (m - 1) / (m + 1), |s| < 0.172, up to s^21 (what is left out is below 1e-17 of the sum).
static inline double log_above_1(double x) {
    const uint64_t least = 0x3fe6a09e667f3bcd; // sqrt(1/2)
    const uint64_t shift = 0x4338000000000000; // 1.5 x 2^52: k in its low bits is the number shift + k
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint64_t exponent = (bits - least) >> 52, shifted = shift + exponent;
    double k, m;
    memcpy(&k, &shifted, sizeof k);
    k -= 6755399441055744.0;
    bits -= exponent << 52;
    memcpy(&m, &bits, sizeof m);
    double s = (m - 1.0) / (m + 1.0), z = s * s;
    double p = 1.0 / 21;
    p = p * z + 1.0 / 19;
    p = p * z + 1.0 / 17;
    p = p * z + 1.0 / 15;
    p = p * z + 1.0 / 13;
    p = p * z + 1.0 / 11;
    p = p * z + 1.0 / 9;
    p = p * z + 1.0 / 7;
    p = p * z + 1.0 / 5;
    p = p * z + 1.0 / 3;
    s += s;
    return k * 6.93147180369123816490e-01 + (s + (s * z * p + k * 1.90821492927058770002e-10));
}

VECTORISED
static void raise_maximum(const double *row, uint32_t n, double *maximum) {
    for (uint32_t t = 0; t < n; t++)
        maximum[t] = row[t] > maximum[t] ? row[t] : maximum[t];
}

// maximum is finite where any row is; a row of -inf adds less than 1e-304 to a sum of at least 1.
VECTORISED
static void add_exponentials(const double *row, uint32_t n, const double *maximum, double *sum) {
    for (uint32_t t = 0; t < n; t++)
        sum[t] += exp_negative(row[t] - maximum[t]);
}

// The row of the maximum added 1 to its sum.
VECTORISED
static void add_logarithms(const double *sum, uint32_t n, const double *maximum, double *out) {
    for (uint32_t t = 0; t < n; t++) {
        double log_sum = log_above_1(sum[t]);
        out[t] = maximum[t] > -INFINITY ? maximum[t] + log_sum : -INFINITY;
    }
}

void lse_columns(const double *rows, uint32_t count, uint32_t n, double *out) {
    double maximum[MIX_BLOCK], sum[MIX_BLOCK];
    for (uint32_t t = 0; t < n; t++) {
        maximum[t] = -INFINITY;
        sum[t] = 0;
    }
    for (uint32_t j = 0; j < count; j++)
        raise_maximum(rows + (size_t)j * MIX_BLOCK, n, maximum);
    for (uint32_t j = 0; j < count; j++)
        add_exponentials(rows + (size_t)j * MIX_BLOCK, n, maximum, sum);
    add_logarithms(sum, n, maximum, out);
}
