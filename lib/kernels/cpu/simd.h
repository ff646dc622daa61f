// Vectors of 16 float32 lanes for the CPU kernels, written with GCC's vector types so that they compile for any
// processor; intrinsics stand where the generic form is far from what AVX-512 offers.
//
// "c" below is the compute dtype: `half` says bfloat16. Kernels are inlined twice, with `half` a constant.
#ifndef TACIT_KERNELS_CPU_SIMD_H
#define TACIT_KERNELS_CPU_SIMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __AVX2__
#include <immintrin.h>
#endif

#define INLINE inline __attribute__((always_inline))

typedef float v16 __attribute__((vector_size(64)));
typedef int32_t v16i __attribute__((vector_size(64)));
typedef uint32_t v16w __attribute__((vector_size(64)));
typedef uint16_t v16h __attribute__((vector_size(32)));
typedef double v8d __attribute__((vector_size(64)));

static INLINE v16 v16_set(float x) {
    return x - (v16){0};
}

static INLINE v16w v16w_set(uint32_t x) {
    return x - (v16w){0};
}

static INLINE v16i v16_lanes(void) {
    return (v16i){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
}

static INLINE v16 v16_select(v16i mask, v16 yes, v16 no) {
    return (v16)(((v16i)yes & mask) | ((v16i)no & ~mask));
}

// The larger of constant a and x; x where x is NaN.
static INLINE v16 v16_max(v16 a, v16 x) {
#ifdef __AVX512F__
    return (v16)_mm512_max_ps((__m512)a, (__m512)x);
#else
    return v16_select(a > x, a, x);
#endif
}

static INLINE v16 v16_min(v16 a, v16 x) {
#ifdef __AVX512F__
    return (v16)_mm512_min_ps((__m512)a, (__m512)x);
#else
    return v16_select(a < x, a, x);
#endif
}

static INLINE v16 v16_load(const float *p) {
    v16 r;
    memcpy(&r, p, sizeof r);
    return r;
}

static INLINE void v16_store(float *p, v16 x) {
    memcpy(p, &x, sizeof x);
}

static INLINE v16w v16w_load(const uint32_t *p) {
    v16w r;
    memcpy(&r, p, sizeof r);
    return r;
}

static INLINE void v16w_store(uint32_t *p, v16w x) {
    memcpy(p, &x, sizeof x);
}

// The first n lanes (all where n >= 16); the others are 0, or not stored.
static INLINE v16w v16w_load_n(const uint32_t *p, int n) {
    if (n >= 16)
        return v16w_load(p);
#ifdef __AVX512F__
    return (v16w)_mm512_maskz_loadu_epi32((__mmask16)((1u << n) - 1), p);
#else
    v16w r = {0};
    memcpy(&r, p, (size_t)n * sizeof *p);
    return r;
#endif
}

static INLINE void v16w_store_n(uint32_t *p, v16w x, int n) {
    if (n >= 16) {
        v16w_store(p, x);
        return;
    }
#ifdef __AVX512F__
    _mm512_mask_storeu_epi32(p, (__mmask16)((1u << n) - 1), (__m512i)x);
#else
    memcpy(p, &x, (size_t)n * sizeof *p);
#endif
}

static INLINE v16 v16_load_n(const float *p, int n) {
    if (n >= 16)
        return v16_load(p);
#ifdef __AVX512F__
    return (v16)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
    v16 r = {0};
    memcpy(&r, p, (size_t)n * sizeof *p);
    return r;
#endif
}

static INLINE void v16_store_n(float *p, v16 x, int n) {
    if (n >= 16) {
        v16_store(p, x);
        return;
    }
#ifdef __AVX512F__
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)x);
#else
    memcpy(p, &x, (size_t)n * sizeof *p);
#endif
}

static INLINE v16 v16_keep(v16 x, int n) {
    return n >= 16 ? x : v16_select(v16_lanes() < n, x, v16_set(0));
}

// ---- bfloat16 ----

static INLINE v16h half_load_n(const uint16_t *p, int n) {
    v16h r = {0};
    if (n >= 16) {
        memcpy(&r, p, sizeof r);
        return r;
    }
#ifdef __AVX2__
    if (n == 8) // by way of memory a narrow store and a wide load would wait for each other
        return (v16h)_mm256_zextsi128_si256(_mm_loadu_si128((const void *)p));
#endif
    memcpy(&r, p, (size_t)n * sizeof *p);
    return r;
}

static INLINE void half_store_n(uint16_t *p, v16h x, int n) {
    if (n >= 16) {
        memcpy(p, &x, sizeof x);
        return;
    }
#ifdef __AVX2__
    if (n == 8) {
        _mm_storeu_si128((void *)p, _mm256_castsi256_si128((__m256i)x));
        return;
    }
#endif
    memcpy(p, &x, (size_t)n * sizeof *p);
}

static INLINE v16 v16_from_half(v16h h) {
    return (v16)(__builtin_convertvector(h, v16w) << 16);
}

// Round to nearest even; NaN stays NaN.
static INLINE v16h v16_to_half(v16 x) {
#ifdef __AVX512BF16__
    return (v16h)_mm512_cvtneps_pbh((__m512)x);
#else
    v16w u = (v16w)x;
    v16w rounded = (u + 0x7fff + (u >> 16 & 1)) >> 16;
    v16w nan = u >> 16 | 0x40;
    v16w mask = (v16w)(x != x);
    return __builtin_convertvector((nan & mask) | (rounded & ~mask), v16h);
#endif
}

// Two vectors behind each other. Put together in memory, they would wait for each other.
static INLINE void half_store_pair(uint16_t *p, v16 low, v16 high) {
#ifdef __AVX512BF16__
    __m512bh both = _mm512_cvtne2ps_pbh((__m512)high, (__m512)low);
    memcpy(p, &both, sizeof both);
#else
    half_store_n(p, v16_to_half(low), 16);
    half_store_n(p + 16, v16_to_half(high), 16);
#endif
}

static INLINE v16 c_load_n(const void *p, size_t i, int n, bool half) {
    return half ? v16_from_half(half_load_n((const uint16_t *)p + i, n)) : v16_load_n((const float *)p + i, n);
}

static INLINE void c_store_n(void *p, size_t i, v16 x, int n, bool half) {
    if (half)
        half_store_n((uint16_t *)p + i, v16_to_half(x), n);
    else
        v16_store_n((float *)p + i, x, n);
}

// ---- sums and functions ----

// Lanes i + step beside lane i, for halving.
static INLINE v16 v16_down(v16 x, int step) {
    return __builtin_shuffle(x, (v16_lanes() + step) & 15);
}

// Sum of the lanes, pairwise.
static INLINE float v16_sum(v16 x) {
    x += v16_down(x, 8);
    x += v16_down(x, 4);
    x += v16_down(x, 2);
    x += v16_down(x, 1);
    return x[0];
}

static INLINE float v16_largest(v16 x) {
    x = v16_max(x, v16_down(x, 8));
    x = v16_max(x, v16_down(x, 4));
    x = v16_max(x, v16_down(x, 2));
    x = v16_max(x, v16_down(x, 1));
    return x[0];
}

static INLINE v16 v16_round(v16 x) {
#ifdef __AVX512F__
    return (v16)_mm512_roundscale_ps((__m512)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
    const v16 magic = v16_set(12582912.0f); // 1.5 x 2^23: adding it leaves no fraction bits
    return (x + magic) - magic;
#endif
}

// x 2^n for integral n in [-300, 300]
static INLINE v16 v16_scale(v16 x, v16 n) {
#ifdef __AVX512F__
    return (v16)_mm512_scalef_ps((__m512)x, (__m512)n);
#else
    v16i i = __builtin_convertvector(n, v16i);
    v16i first = i >> 1;
    v16i second = i - first;
    return x * (v16)((first + 127) << 23) * (v16)((second + 127) << 23);
#endif
}

// 2^x for x in [-200, 200], relative error below 2e-7, or, for results that are rounded to bfloat16 (`half`),
// below 8e-5; 0 below -150, infinite above 128; NaN stays NaN.
static INLINE v16 v16_exp2_within(v16 x, bool half) {
    v16 n = v16_round(x);
    v16 f = x - n;
    if (half)
        return v16_scale(((0.05517134f * f + 0.24261117f) * f + 0.69326103f) * f + 0.99992807f, n);
    v16 p = v16_set(0.00132647f);
    p = p * f + 0.00967151f;
    p = p * f + 0.05550734f;
    p = p * f + 0.24022242f;
    p = p * f + 0.69314698f;
    p = p * f + 1.0f;
    return v16_scale(p, n);
}

// 2^x for x <= 128, -inf excluded.
static INLINE v16 v16_exp2(v16 x, bool half) {
#ifndef __AVX512F__ // which takes any exponent
    x = v16_max(v16_set(-200), x);
#endif
    return v16_exp2_within(x, half);
}

// e^x, relative error below 2e-7 (ln 2 in two parts; polynomial of Cephes' expf); limits as above.
static INLINE v16 v16_exp(v16 x) {
    x = v16_min(v16_set(140), v16_max(v16_set(-140), x));
    v16 n = v16_round(x * 1.44269504f);
    v16 f = x - n * 0.693359375f + n * 2.12194440e-4f;
    v16 p = v16_set(1.9875691500e-4f);
    p = p * f + 1.3981999507e-3f;
    p = p * f + 8.3334519073e-3f;
    p = p * f + 4.1665795894e-2f;
    p = p * f + 1.6666665459e-1f;
    p = p * f + 5.0000001201e-1f;
    p = p * (f * f) + f + 1.0f;
    return v16_scale(p, n);
}

// 1 / x for x in [1e-30, 1e30], within 2 units in the last place, or, where `half`, within 7e-5.
static INLINE v16 v16_reciprocal(v16 x, bool half) {
#ifdef __AVX512F__
    v16 r = (v16)_mm512_rcp14_ps((__m512)x);
    return half ? r : r * (2.0f - x * r); // one step of Newton's; the division unit is several times slower
#else
    (void)half;
    return 1.0f / x;
#endif
}

// 1 / (1 + 2^x), which is sigmoid(z) for x = -z / ln 2; never below 1e-30.
static INLINE v16 v16_logistic2(v16 x, bool half) {
    x = v16_min(v16_set(99), v16_max(v16_set(-99), x));
    return v16_reciprocal(1.0f + v16_exp2_within(x, half), half);
}

static INLINE v16 v16_sigmoid(v16 z, bool half) {
    return v16_logistic2(z * -1.44269504f, half);
}

#endif
