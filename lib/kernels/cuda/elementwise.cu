// Operations without reuse: SwiGLU and conversion. Every element is read once and written once.
#include "cuda.cuh"
#include "ptx.cuh"

enum { THREADS = 256 };

// ---- SwiGLU ----

// 1 / (1 + e^-x); 0 and 1 at the ends. bfloat16 results do not see the last bits of the faster form.
template <typename T> __device__ __forceinline__ float sigmoid(float x) {
    if (sizeof(T) == 2)
        return __fdividef(1.0f, 1.0f + __expf(-x));
    return 1.0f / (1.0f + expf(-x));
}

// y = silu(gate) up: gate_up [rows, 2F], y [rows, F]. One thread for N neighbours of a row: with 16-byte moves a
// warp reads and writes 512 bytes in a piece. Floor: 6 bytes per element of y in bfloat16, 12 in float32.
template <typename T, int N>
__global__ void __launch_bounds__(THREADS) swiglu_forward(T *y, const T *gate_up, uint32_t moves, uint32_t width) {
    uint32_t i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= moves)
        return;
    uint32_t per_row = width / N, row = i / per_row, column = i % per_row * N;
    const T *from = gate_up + (size_t)row * 2 * width + column;
    float gate[N], up[N], out[N];
    load<T, N>(gate, from);
    load<T, N>(up, from + width);
#pragma unroll
    for (int j = 0; j < N; j++)
        out[j] = gate[j] * sigmoid<T>(gate[j]) * up[j];
    store<T, N>(y + (size_t)row * width + column, out);
}

// d silu(g)/dg = s + g s (1 - s) with s = sigmoid(g). Floor: 10 bytes per element of dy, 20 in float32.
template <typename T, int N>
__global__ void __launch_bounds__(THREADS)
    swiglu_backward(T *dgate_up, const T *dy, const T *gate_up, uint32_t moves, uint32_t width) {
    uint32_t i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= moves)
        return;
    uint32_t per_row = width / N, row = i / per_row, column = i % per_row * N;
    size_t at = (size_t)row * 2 * width + column;
    float gate[N], up[N], out[N];
    load<T, N>(gate, gate_up + at);
    load<T, N>(up, gate_up + at + width);
    load<T, N>(out, dy + (size_t)row * width + column);
#pragma unroll
    for (int j = 0; j < N; j++) {
        float s = sigmoid<T>(gate[j]), silu = gate[j] * s;
        gate[j] = out[j] * up[j] * (s + silu * (1.0f - s));
        up[j] = out[j] * silu;
    }
    store<T, N>(dgate_up + at, gate);
    store<T, N>(dgate_up + at + width, up);
}

// Rows that one launch takes: its moves are counted in 32 bits.
static size_t rows_of_launch(size_t rows, size_t moves_per_row) {
    size_t most = ((size_t)1 << 31) / moves_per_row;
    return rows < most ? rows : most;
}

template <typename T, int N>
static void run_forward(struct cuda *s, T *y, const T *gate_up, size_t rows, size_t width) {
    for (size_t n; rows > 0; rows -= n, y += n * width, gate_up += n * 2 * width) {
        n = rows_of_launch(rows, width / N);
        size_t moves = n * (width / N);
        struct cuda_grid grid = {dim3(cuda_blocks(moves, THREADS)), THREADS, 0};
        cuda_launch(s, "swiglu", swiglu_forward<T, N>, grid, y, gate_up, (uint32_t)moves, (uint32_t)width);
    }
}

template <typename T> static void forward_of(struct cuda *s, dptr y, dptr gate_up, size_t rows, size_t width) {
    if (width % elements_of_16<T> == 0 && cuda_aligned(y) && cuda_aligned(gate_up))
        run_forward<T, elements_of_16<T>>(s, (T *)y, (const T *)gate_up, rows, width);
    else
        run_forward<T, 1>(s, (T *)y, (const T *)gate_up, rows, width);
}

void cuda_swiglu_forward(struct device *d, dptr y, dptr gate_up, size_t rows, int feed_forward) {
    struct cuda *s = cuda_of(d);
    if (s->half)
        forward_of<bf16>(s, y, gate_up, rows, (size_t)feed_forward);
    else
        forward_of<float>(s, y, gate_up, rows, (size_t)feed_forward);
}

template <typename T, int N>
static void run_backward(struct cuda *s, T *dgate_up, const T *dy, const T *gate_up, size_t rows, size_t width) {
    for (size_t n; rows > 0; rows -= n, dy += n * width, gate_up += n * 2 * width, dgate_up += n * 2 * width) {
        n = rows_of_launch(rows, width / N);
        size_t moves = n * (width / N);
        struct cuda_grid grid = {dim3(cuda_blocks(moves, THREADS)), THREADS, 0};
        cuda_launch(s, "gradient of swiglu", swiglu_backward<T, N>, grid, dgate_up, dy, gate_up, (uint32_t)moves,
                    (uint32_t)width);
    }
}

template <typename T>
static void backward_of(struct cuda *s, dptr dgate_up, dptr dy, dptr gate_up, size_t rows, size_t width) {
    if (width % elements_of_16<T> == 0 && cuda_aligned(dgate_up) && cuda_aligned(dy) && cuda_aligned(gate_up))
        run_backward<T, elements_of_16<T>>(s, (T *)dgate_up, (const T *)dy, (const T *)gate_up, rows, width);
    else
        run_backward<T, 1>(s, (T *)dgate_up, (const T *)dy, (const T *)gate_up, rows, width);
}

void cuda_swiglu_backward(struct device *d, dptr dgate_up, dptr dy, dptr gate_up, size_t rows, int feed_forward) {
    struct cuda *s = cuda_of(d);
    if (s->half)
        backward_of<bf16>(s, dgate_up, dy, gate_up, rows, (size_t)feed_forward);
    else
        backward_of<float>(s, dgate_up, dy, gate_up, rows, (size_t)feed_forward);
}

// ---- conversion ----

enum { CONVERT_MOVES = 4 }; // 16-byte loads that a thread has under way

// to = from, rounded to nearest even. A block converts THREADS CONVERT_MOVES N neighbours; with N = 4 each load of
// a warp is 512 bytes in a piece and each store 256. The last thread's rest of fewer than N elements goes one by
// one. Floor: 6 bytes per element.
template <typename T, int N>
__global__ void __launch_bounds__(THREADS, 4) convert(T *to, const float *from, size_t n) {
    size_t first = ((size_t)blockIdx.x * THREADS * CONVERT_MOVES + threadIdx.x) * N;
    float x[CONVERT_MOVES][N];
#pragma unroll
    for (int k = 0; k < CONVERT_MOVES; k++) {
        size_t at = first + (size_t)k * THREADS * N;
        if (at + N <= n)
            load<float, N>(x[k], from + at);
    }
#pragma unroll
    for (int k = 0; k < CONVERT_MOVES; k++) {
        size_t at = first + (size_t)k * THREADS * N;
        if (at + N <= n)
            store<T, N>(to + at, x[k]);
        else
            for (; at < n; at++)
                to[at] = from_float<T>(from[at]);
    }
}

void cuda_convert(struct device *d, dptr to, dptr from, size_t n) {
    struct cuda *s = cuda_of(d);
    if (!s->half && to == from)
        return;
    bool vectors = cuda_aligned(to) && cuda_aligned(from);
    struct cuda_grid grid = {dim3(cuda_blocks(n, (size_t)THREADS * CONVERT_MOVES * (vectors ? 4 : 1))), THREADS,
                             0};
    if (s->half)
        cuda_launch(s, "conversion", vectors ? convert<bf16, 4> : convert<bf16, 1>, grid, (bf16 *)to,
                    (const float *)from, n);
    else
        cuda_launch(s, "conversion", vectors ? convert<float, 4> : convert<float, 1>, grid, (float *)to,
                    (const float *)from, n);
}
