// What kernels need of the machine beyond C++: bfloat16, 16-byte moves, warp sums, tensor cores, asynchronous
// copies. Device code includes this header alone. test/emulate has the same functions for a processor.
#ifndef TACIT_KERNELS_CUDA_PTX_CUH
#define TACIT_KERNELS_CUDA_PTX_CUH

#include <stdint.h>

struct bf16 {
    uint16_t bits;
};

#define LOG2_E 1.44269504088896341f
#define LN_2 0.69314718055994531f

#ifdef __CUDACC__

extern __shared__ __align__(1024) unsigned char shared_memory[];

// ---- tensor cores: one warp computes C[16,8] += A[16,16] B[16,8], bfloat16 in, float32 out ----
// Lane t = 4 r + q holds A[r][2q..], A[r+8][2q..], A[r][2q+8..], A[r+8][2q+8..] (two elements a word), B[2q..][r],
// B[2q+8..][r], and C[r][2q], C[r][2q+1], C[r+8][2q], C[r+8][2q+1].
__device__ __forceinline__ void mma_16x8x16(float c[4], const uint32_t a[4], const uint32_t b[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// ---- 8x8 blocks of 16-bit elements from shared memory to registers ----
// Lane i gives the address of row i % 8 of block i / 8 (16 bytes, aligned); lane 4 r + q receives of each block
// elements [r][2q] and [r][2q+1], or, transposed, [2q][r] and [2q+1][r].
__device__ __forceinline__ uint32_t shared_address(const void *p) {
    return (uint32_t)__cvta_generic_to_shared(p);
}
__device__ __forceinline__ void ldmatrix_x4(uint32_t r[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}
__device__ __forceinline__ void ldmatrix_x4_transposed(uint32_t r[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}
// The same for two blocks; lanes 0 to 15 give the addresses (the others must give valid ones too).
__device__ __forceinline__ void ldmatrix_x2(uint32_t r[2], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(shared_address(row))
                 : "memory");
}
__device__ __forceinline__ void ldmatrix_x2_transposed(uint32_t r[2], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(shared_address(row))
                 : "memory");
}

// ---- asynchronous copies from global to shared memory ----
// 16 bytes, both addresses aligned; where not `valid`, zeros, and nothing is read, whatever the address (but it is
// aligned). copy_async_wait<N>() waits until at most the N latest groups of this thread are under way; other
// threads see the data behind a barrier.
__device__ __forceinline__ void copy_async_16(void *shared, const void *global, bool valid) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global),
                 "r"(valid ? 16 : 0)
                 : "memory");
}
__device__ __forceinline__ void copy_async_commit() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int N> __device__ __forceinline__ void copy_async_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

// ---- tensor cores of sm_90a: one warpgroup (four warps) computes C[64,64] += A[64,16] B[16,64] ----
//
// Warp w has rows 16 w .. of A and C, and of these what mma_16x8x16 gives its lanes: c[n] is columns 8 n .. of C.
// B, and A unless it is in registers, lie in shared memory in blocks of 8 rows of 128 bytes (64 elements), aligned
// to 1024 bytes, one after the other, the 16-byte pieces of row r at places piece ^ r % 8. Rows of a block are
// rows of A or columns of B, the contraction running along them, and a product of 16 begins at any 32 bytes of the
// first row; or, TRANSPOSED, the contraction runs from row to row, 16 rows a product. wgmma_tile() describes what
// begins at a byte of shared memory.
//
// Products run on while the threads do. wgmma_fence() comes before the first after threads have written registers
// that products read or add to; shared memory that threads or their copies have written needs each writing
// thread's shared_to_products() and a barrier. wgmma_commit() closes a group; until wgmma_wait<N>(), which leaves
// the N latest groups under way, neither A's registers nor C may be touched, nor the shared memory written.
// hold(c), behind the wait, tells the compiler that c has changed. All four warps do all of this together.
#if defined(__CUDA_ARCH__) && !defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define WGMMA_ASM(...) asm volatile("trap;") // only what is compiled for sm_90a has it
constexpr bool wgmma_here = false;
#else
#define WGMMA_ASM(...) asm volatile(__VA_ARGS__)
constexpr bool wgmma_here = true;
#endif

// clang-format off
#define WGMMA_SUMS(c)                                                                                             \
    "+f"(c[0][0]), "+f"(c[0][1]), "+f"(c[0][2]), "+f"(c[0][3]), "+f"(c[1][0]), "+f"(c[1][1]), "+f"(c[1][2]),      \
    "+f"(c[1][3]), "+f"(c[2][0]), "+f"(c[2][1]), "+f"(c[2][2]), "+f"(c[2][3]), "+f"(c[3][0]), "+f"(c[3][1]),      \
    "+f"(c[3][2]), "+f"(c[3][3]), "+f"(c[4][0]), "+f"(c[4][1]), "+f"(c[4][2]), "+f"(c[4][3]), "+f"(c[5][0]),      \
    "+f"(c[5][1]), "+f"(c[5][2]), "+f"(c[5][3]), "+f"(c[6][0]), "+f"(c[6][1]), "+f"(c[6][2]), "+f"(c[6][3]),      \
    "+f"(c[7][0]), "+f"(c[7][1]), "+f"(c[7][2]), "+f"(c[7][3])
#define WGMMA_64x64x16                                                                                            \
    "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,"    \
    "%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31}, "
// clang-format on

// A in registers, B described; `add` false: C = A B
template <bool TRANSPOSED>
__device__ __forceinline__ void wgmma_64x64x16(float (&c)[8][4], const uint32_t (&a)[4], uint64_t b, bool add) {
    WGMMA_ASM("{ .reg .pred p; setp.ne.b32 p, %37, 0; " WGMMA_64x64x16 "{%32,%33,%34,%35}, %36, p, 1, 1, %38; }"
              : WGMMA_SUMS(c)
              : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"((int)add), "n"((int)TRANSPOSED));
}
// Both described
template <bool A_TRANSPOSED, bool B_TRANSPOSED>
__device__ __forceinline__ void wgmma_64x64x16(float (&c)[8][4], uint64_t a, uint64_t b, bool add) {
    WGMMA_ASM("{ .reg .pred p; setp.ne.b32 p, %34, 0; " WGMMA_64x64x16 "%32, %33, p, 1, 1, %35, %36; }"
              : WGMMA_SUMS(c)
              : "l"(a), "l"(b), "r"((int)add), "n"((int)A_TRANSPOSED), "n"((int)B_TRANSPOSED));
}
// In the place of a kernel, where wgmma_here is false: an error of the launch, not results that nobody wrote.
__device__ __forceinline__ void wgmma_missing() {
    asm volatile("trap;");
}
__device__ __forceinline__ void wgmma_fence() {
    WGMMA_ASM("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void wgmma_commit() {
    WGMMA_ASM("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int N> __device__ __forceinline__ void wgmma_wait() {
    WGMMA_ASM("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}
__device__ __forceinline__ void hold(float (&c)[8][4]) {
    asm volatile("" : WGMMA_SUMS(c)::"memory");
}
__device__ __forceinline__ void shared_to_products() {
    WGMMA_ASM("fence.proxy.async.shared::cta;" ::: "memory");
}
// A word at this byte of shared memory, for products.
__device__ __forceinline__ void store_for_products(int place, uint32_t word) {
    *(uint32_t *)(shared_memory + place) = word;
}

// threadIdx.x, read anew at each call: what is computed from it takes no register in between.
__device__ __forceinline__ int thread_anew() {
    int thread;
    asm volatile("mov.u32 %0, %%tid.x;" : "=r"(thread));
    return thread;
}

// ---- numbers ----

// 2^x, relative error 2^-22; 0 for -Inf
__device__ __forceinline__ float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
// sin and cos of pi x, within 2 units in the last place; no table, no slow path for any x
__device__ __forceinline__ void sine_cosine_of_half_turns(float x, float *sine, float *cosine) {
    sincospif(x, sine, cosine);
}
// Two floats rounded to nearest even, `low` in the low half: the order in memory.
__device__ __forceinline__ uint32_t pack_bf16(float low, float high) {
    uint32_t r;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
    return r;
}
__device__ __forceinline__ bf16 to_bf16(float x) {
    bf16 r;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(r.bits) : "f"(x));
    return r;
}
__device__ __forceinline__ float word_as_float(uint32_t bits) {
    return __uint_as_float(bits);
}
__device__ __forceinline__ uint32_t float_as_word(float x) {
    return __float_as_uint(x);
}

#else
#include <emulate_ptx.h>
#endif

// ---- on both ----

// A descriptor: the address, the bytes from a block of 8 rows to the next (1024, in either direction that may have
// several), all in units of 16, and that pieces are exclusive-ored over rows of 128 bytes.
__device__ __forceinline__ uint64_t wgmma_tile(int place) {
    return 1ull << 62 | 64ull << 32 | 64ull << 16 | (shared_address(shared_memory + place) & 0x3ffffu) >> 4;
}

__device__ __forceinline__ float to_float(bf16 x) {
    return word_as_float((uint32_t)x.bits << 16);
}
__device__ __forceinline__ float to_float(float x) {
    return x;
}
template <typename T> __device__ __forceinline__ T from_float(float x);
template <> __device__ __forceinline__ float from_float<float>(float x) {
    return x;
}
template <> __device__ __forceinline__ bf16 from_float<bf16>(float x) {
    return to_bf16(x);
}
// The two halves of a word of bfloat16
__device__ __forceinline__ float low_float(uint32_t word) {
    return word_as_float(word << 16);
}
__device__ __forceinline__ float high_float(uint32_t word) {
    return word_as_float(word & 0xffff0000u);
}

// N elements moved at once: 16 bytes where N = 16 / sizeof(T), aligned to their size.
template <typename T, int N> struct alignas(sizeof(T) * N) elements { T at[N]; };
template <typename T> constexpr int elements_of_16 = 16 / (int)sizeof(T);

template <typename T, int N> __device__ __forceinline__ void load(float x[N], const T *p) {
    elements<T, N> e = *reinterpret_cast<const elements<T, N> *>(p);
#pragma unroll
    for (int i = 0; i < N; i++)
        x[i] = to_float(e.at[i]);
}
template <typename T, int N> __device__ __forceinline__ void store(T *p, const float x[N]) {
    elements<T, N> e;
#pragma unroll
    for (int i = 0; i < N; i++)
        e.at[i] = from_float<T>(x[i]);
    *reinterpret_cast<elements<T, N> *>(p) = e;
}

// Sums and maxima over the 32 lanes of a warp, which all receive the result.
__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
    for (int mask = 16; mask > 0; mask /= 2)
        x += __shfl_xor_sync(0xffffffffu, x, mask);
    return x;
}
__device__ __forceinline__ double warp_sum(double x) {
#pragma unroll
    for (int mask = 16; mask > 0; mask /= 2)
        x += __shfl_xor_sync(0xffffffffu, x, mask);
    return x;
}
__device__ __forceinline__ float warp_max(float x) {
#pragma unroll
    for (int mask = 16; mask > 0; mask /= 2)
        x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, mask));
    return x;
}

#endif
