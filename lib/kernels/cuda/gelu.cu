// GELU (tanh form) apart from the product, where the product cannot have it fused.
#include "matmul.cuh"
#include "ptx.cuh"

enum { GELU_THREADS = 256, GELU_MOVES = 2 };

// gelu(x) = x s, s = sigmoid(2u), u = (linear + cubic x^2) x; gelu'(x) = s + 2 x s (1 - s) u'. The bound on x^2
// keeps u' finite where s (1 - s) is 0.
static __device__ __forceinline__ float gelu_at(float x, float *slope) {
    const float linear = 0.7978845608f, cubic = 0.0356774081f, turn = -2.8853900818f; // -2 / ln 2
    float square = fminf(x * x, 1e6f);
    float s = __fdividef(1.0f, 1.0f + exp2_fast(fmaf(cubic, square, linear) * x * turn)), y = x * s;
    *slope = fmaf(fmaf(-y, s, y), fmaf(6.0f * cubic, square, 2.0f * linear), s);
    return y;
}

// y = gelu(z), or y *= gelu'(z). A thread moves N elements at a time (16 bytes where all is aligned, else one),
// and issues its loads before the first is used; each element is by itself, so the result has no order. Floor: 4
// bytes an element in bfloat16 (z in, y out), 6 where y is read too.
template <typename T, int N, bool BACKWARD>
__global__ void __launch_bounds__(GELU_THREADS) gelu_kernel(T *y, const T *z, size_t n) {
    size_t first = ((size_t)blockIdx.x * GELU_MOVES * GELU_THREADS + threadIdx.x) * N;
    const size_t step = (size_t)GELU_THREADS * N;
    float in[GELU_MOVES][N], out[GELU_MOVES][N];
#pragma unroll
    for (int i = 0; i < GELU_MOVES; i++)
        if (first + i * step < n) {
            load<T, N>(in[i], z + first + i * step);
            if (BACKWARD)
                load<T, N>(out[i], y + first + i * step);
        }
#pragma unroll
    for (int i = 0; i < GELU_MOVES; i++)
        if (first + i * step < n) {
#pragma unroll
            for (int j = 0; j < N; j++) {
                float slope, value = gelu_at(in[i][j], &slope);
                out[i][j] = BACKWARD ? out[i][j] * slope : value;
            }
            store<T, N>(y + first + i * step, out[i]);
        }
}

template <typename T, int N, bool BACKWARD> static void launch(struct cuda *s, void *y, const void *z, size_t n) {
    const struct cuda_grid grid = {dim3(cuda_blocks(n, (size_t)GELU_MOVES * GELU_THREADS * N)), GELU_THREADS, 0};
    cuda_launch(s, BACKWARD ? "gelu backward" : "gelu forward", gelu_kernel<T, N, BACKWARD>, grid, (T *)y,
                (const T *)z, n);
}

template <bool BACKWARD> static void run(struct cuda *s, void *y, const void *z, size_t n) {
    bool wide = n % 8 == 0 && ((uintptr_t)y | (uintptr_t)z) % 16 == 0;
    if (s->half)
        wide ? launch<bf16, 8, BACKWARD>(s, y, z, n) : launch<bf16, 1, BACKWARD>(s, y, z, n);
    else
        wide ? launch<float, 4, BACKWARD>(s, y, z, n) : launch<float, 1, BACKWARD>(s, y, z, n);
}

void cuda_gelu_forward(struct cuda *s, void *y, const void *z, size_t n) {
    run<false>(s, y, z, n);
}

void cuda_gelu_backward(struct cuda *s, void *dx, const void *z, size_t n) {
    run<true>(s, dx, z, n);
}
