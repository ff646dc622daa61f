// CUDA's device code on a processor: for finding out, without a GPU, whether the backend is right.
//
// The very files lib/kernels/cuda/*.cu are compiled by g++ against include/cuda_runtime.h, include/cublasLt.h and
// emulate_ptx.h, into libtacit-cuda.so. A program beside that file opens it as device "cuda", as it would the
// real one:
//
//     make emulated                     build/emulated/{libtacit-cuda.so,train,route,kernels_attention,...}
//     TACIT_TEST_DEVICE=cuda build/emulated/kernels_attention
//     EMULATE_ORDER=random:7 build/emulated/train --device cuda ...
//     make emulated SANITIZE='-fsanitize=address,undefined -fno-sanitize-recover=all'    in build-asan/emulated
//
// Every thread of a block is a fiber with a stack of its own; blocks run one after the other. A thread runs until
// it waits: at __syncthreads() for its block, at a warp instruction (shuffles, ballots, __syncwarp, ldmatrix, mma,
// wgmma) for the 32 lanes of its warp. Between those, other threads see nothing of it or all of it, as the order
// has it. It ends the program, naming kernel, block and thread:
// - a warp instruction that not all 32 lanes reach, or where they reach different ones;
// - threads of a block that wait at different __syncthreads();
// - shared memory written behind what the launch asked for, or read there by ldmatrix; an address that is not
//   aligned, of ldmatrix, an asynchronous copy, or any load and store (by UBSan);
// - an asynchronous copy from what is no device memory, device memory written behind its end, freed twice, or (a
//   message at exit) never freed; a stack that overflows (SIGSEGV);
// - products of a warpgroup without a fence in front or a wait behind, from what is no tile or not in shared
// memory,
//   from what threads have copied there, or stored for them, and not made known; warps of one that part ways.
// Fresh device memory and each block's shared memory are full of 0xff (NaN). Under AddressSanitizer every access
// behind an array is found.
//
// What it cannot tell: a race that neither order shows, reads of device memory behind an array's end that do not
// matter, speed, registers, the sums of the real cuBLASLt, the last bits of ex2.approx.
//
// Environment:
//   EMULATE_ORDER=forward|backward|random:SEED  which thread, warp and block runs first. Asynchronous copies
//                       and products are carried out as late as a wait allows (forward), at once (backward),
//                       either (random)
//   EMULATE_DEVICES=N   devices there are (1; 0: none)
//   EMULATE_MEMORY=B    bytes of each device's memory (4294967296)
//   EMULATE_CAPABILITY=M.m  8.0 by default; it decides how much shared memory a block may have
//   EMULATE_SHARED=B    so many bytes of it instead
//   EMULATE_BATCH=N     products of more than N matrices have no algorithm (0: none has)
//   EMULATE_STREAM=late what is issued waits until the host waits for it (otherwise it is done at once)
//   EMULATE_COUNT=FILE  nothing is run, device memory reads as zeros, and a line for FILE counts what would have
//                       run (graphs by what is in them): shapes of any size
//   EMULATE_DRIVER=V    the CUDA version of the driver, 13000 by default; less than 13000 is too old
#ifndef TACIT_EMULATE_H
#define TACIT_EMULATE_H

#include <math.h>
#include <source_location>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) alignas(n)

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {
    }
};

// Of the thread that runs now.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
enum { warpSize = 32 };

enum { EMULATE_SHARED_MOST = 228 << 10 };
extern unsigned char shared_memory[];

typedef std::source_location emulate_place;

// ---- what a thread waits for ----

void emulate_barrier(emulate_place place);

// All 32 lanes call this with the same function, each with its own operands; it runs once, with all 32 of them.
typedef void (*emulate_together)(void *const operands[32]);
void emulate_warp(emulate_together function, void *operands, const char *name, emulate_place place);

// End the program: "emulate: MESSAGE", then kernel, block, thread and place.
[[noreturn]] void emulate_stop(emulate_place place, const char *format, ...) __attribute__((format(printf, 2, 3)));

// The bytes of shared memory that the launch asked for.
size_t emulate_shared_bytes();

static inline void __syncthreads(emulate_place place = emulate_place::current()) {
    emulate_barrier(place);
}

// ---- warp instructions ----

enum emulate_shuffle_kind { EMULATE_XOR, EMULATE_INDEX, EMULATE_DOWN, EMULATE_UP };

template <typename T> struct emulate_shuffle {
    T value, result;
    emulate_shuffle_kind kind;
    int selector, width;

    static void all(void *const operands[32]) {
        for (int lane = 0; lane < 32; lane++) {
            emulate_shuffle *own = (emulate_shuffle *)operands[lane];
            int first = lane / own->width * own->width, source = lane;
            switch (own->kind) {
            case EMULATE_XOR:
                source = lane ^ own->selector;
                if (source >= first + own->width)
                    source = lane;
                break;
            case EMULATE_INDEX:
                source = first + (own->selector & (own->width - 1));
                break;
            case EMULATE_DOWN:
                source = lane + own->selector < first + own->width ? lane + own->selector : lane;
                break;
            case EMULATE_UP:
                source = lane - own->selector >= first ? lane - own->selector : lane;
                break;
            }
            own->result = ((emulate_shuffle *)operands[source])->value;
        }
    }
};

void emulate_mask(unsigned mask, const char *name, emulate_place place); // the full one

template <typename T>
static inline T emulate_shuffled(unsigned mask, T value, emulate_shuffle_kind kind, int selector, int width,
                                 const char *name, emulate_place place) {
    emulate_mask(mask, name, place);
    emulate_shuffle<T> s = {value, value, kind, selector, width};
    emulate_warp(emulate_shuffle<T>::all, &s, name, place);
    return s.result;
}
template <typename T>
static inline T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32,
                                emulate_place place = emulate_place::current()) {
    return emulate_shuffled(mask, value, EMULATE_XOR, lanes, width, "__shfl_xor_sync", place);
}
template <typename T>
static inline T __shfl_sync(unsigned mask, T value, int source, int width = 32,
                            emulate_place place = emulate_place::current()) {
    return emulate_shuffled(mask, value, EMULATE_INDEX, source, width, "__shfl_sync", place);
}
template <typename T>
static inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                                 emulate_place place = emulate_place::current()) {
    return emulate_shuffled(mask, value, EMULATE_DOWN, (int)delta, width, "__shfl_down_sync", place);
}
template <typename T>
static inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                               emulate_place place = emulate_place::current()) {
    return emulate_shuffled(mask, value, EMULATE_UP, (int)delta, width, "__shfl_up_sync", place);
}
unsigned __ballot_sync(unsigned mask, int predicate, emulate_place place = emulate_place::current());
static inline int __any_sync(unsigned mask, int predicate, emulate_place place = emulate_place::current()) {
    return __ballot_sync(mask, predicate, place) != 0;
}
static inline int __all_sync(unsigned mask, int predicate, emulate_place place = emulate_place::current()) {
    return __ballot_sync(mask, predicate, place) == 0xffffffffu;
}
void __syncwarp(unsigned mask = 0xffffffffu, emulate_place place = emulate_place::current());

// ---- loads, numbers ----

template <typename T> static inline T __ldg(const T *p) {
    return *p;
}
static inline uint32_t __float_as_uint(float x) {
    uint32_t u;
    memcpy(&u, &x, 4);
    return u;
}
static inline float __uint_as_float(uint32_t u) {
    float x;
    memcpy(&x, &u, 4);
    return x;
}
static inline int __float_as_int(float x) {
    return (int)__float_as_uint(x);
}
static inline float __int_as_float(int i) {
    return __uint_as_float((uint32_t)i);
}
static inline int __popc(unsigned x) {
    return __builtin_popcount(x);
}
static inline int __clz(int x) {
    return x ? __builtin_clz((unsigned)x) : 32;
}
static inline int __ffs(int x) {
    return __builtin_ffs(x);
}
// Names that a C library has or may have.
static inline float emulate_expf(float x) {
    return expf(x);
}
static inline float emulate_logf(float x) {
    return logf(x);
}
static inline float emulate_sinf(float x) {
    return sinf(x);
}
static inline float emulate_cosf(float x) {
    return cosf(x);
}
#define __expf emulate_expf
#define __logf emulate_logf
#define __sinf emulate_sinf
#define __cosf emulate_cosf
static inline float __fdividef(float x, float y) {
    return x / y;
}
static inline float __frcp_rn(float x) {
    return 1 / x;
}
static inline float __fsqrt_rn(float x) {
    return sqrtf(x);
}
static inline float __fadd_rn(float x, float y) {
    return x + y;
}
static inline float __fmul_rn(float x, float y) {
    return x * y;
}
static inline float __fmaf_rn(float x, float y, float z) {
    return fmaf(x, y, z);
}
static inline float emulate_rsqrtf(float x) {
    return (float)(1 / sqrt((double)x));
}
static inline double emulate_rsqrt(double x) {
    return 1 / sqrt(x);
}
#define rsqrtf emulate_rsqrtf
#define rsqrt emulate_rsqrt
static inline float __frsqrt_rn(float x) {
    return rsqrtf(x);
}

#define EMULATE_LEAST_AND_MOST(type)                                                                              \
    static inline type min(type a, type b) {                                                                      \
        return a < b ? a : b;                                                                                     \
    }                                                                                                             \
    static inline type max(type a, type b) {                                                                      \
        return a > b ? a : b;                                                                                     \
    }
EMULATE_LEAST_AND_MOST(int)
EMULATE_LEAST_AND_MOST(unsigned)
EMULATE_LEAST_AND_MOST(long)
EMULATE_LEAST_AND_MOST(unsigned long)
EMULATE_LEAST_AND_MOST(long long)
EMULATE_LEAST_AND_MOST(unsigned long long)
#undef EMULATE_LEAST_AND_MOST
static inline float min(float a, float b) {
    return fminf(a, b);
}
static inline float max(float a, float b) {
    return fmaxf(a, b);
}

// ---- vectors, aligned to their size ----

#define EMULATE_VECTORS(type, name)                                                                               \
    struct alignas(2 * sizeof(type)) name##2 {                                                                    \
        type x, y;                                                                                                \
    };                                                                                                            \
    struct alignas(16) name##4 {                                                                                  \
        type x, y, z, w;                                                                                          \
    };                                                                                                            \
    static inline name##2 make_##name##2(type x, type y) {                                                        \
        return {x, y};                                                                                            \
    }                                                                                                             \
    static inline name##4 make_##name##4(type x, type y, type z, type w) {                                        \
        return {x, y, z, w};                                                                                      \
    }
EMULATE_VECTORS(float, float)
EMULATE_VECTORS(int, int)
EMULATE_VECTORS(unsigned, uint)
#undef EMULATE_VECTORS

#endif
