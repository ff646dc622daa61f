// Rotary positions: pairs (i, i + D/2) of q and k turn by position theta^(-2i/D), in place.
#include "cuda.cuh"
#include "ptx.cuh"

#include <math.h>

enum { ROTARY_THREADS = 256, ROTARY_ANGLES = 512, ROTARY_ROWS_MOST = 64, ROTARY_PAIRS_MOST = 64 };

struct rotary_call {
    int64_t rows;                            // G B S
    int64_t width;                           // elements of a row of qkv
    int length, heads, pairs, rows_of_block; // heads: of q and k; pairs: D/2
    float direction;
    double half_turns[ROTARY_PAIRS_MOST]; // by position: theta^(-2i/D) / pi
};

// A block turns a few rows. First their cosines and sines go to shared memory, each used by all A + K heads; then
// every thread turns pairs of vectors of V elements (16 bytes; 8 in bfloat16 where D is no multiple of 16),
// neighbours side by side. Floor: q and k read and written once.
//
// An angle counts half turns in float64 (2^-53 relative: 1e-10 of a turn at position 10^6), is reduced there to
// [-1, 1] and rounded to float32, so cosines and sines are within 3e-7 at any position. Deterministic: no sums.
template <typename T, int V>
__global__ void __launch_bounds__(ROTARY_THREADS) rotary_rows(T *qkv, const __grid_constant__ rotary_call c) {
    float *cosines = (float *)shared_memory, *sines = cosines + c.rows_of_block * c.pairs;
    const int64_t first = (int64_t)blockIdx.x * c.rows_of_block;
    const int rows = (int)min((int64_t)c.rows_of_block, c.rows - first), start = (int)(first % c.length);
    for (int i = (int)threadIdx.x; i < rows * c.pairs; i += ROTARY_THREADS) {
        int position = (start + i / c.pairs) % c.length;
        double angle = position * c.half_turns[i % c.pairs];
        float sine, cosine;
        sine_cosine_of_half_turns((float)(angle - 2 * rint(angle / 2)), &sine, &cosine);
        cosines[i] = cosine;
        sines[i] = sine * c.direction;
    }
    __syncthreads();
    const int pieces = c.pairs / V, across = c.heads * pieces;
    for (int i = (int)threadIdx.x; i < rows * across; i += ROTARY_THREADS) {
        int row = i / across, head = i % across / pieces, at = i % pieces * V;
        T *p = qkv + (first + row) * c.width + (int64_t)head * 2 * c.pairs + at;
        float a[V], b[V], cosine[V], sine[V];
        load<T, V>(a, p);
        load<T, V>(b, p + c.pairs);
#pragma unroll
        for (int j = 0; j < V; j += 4) {
            load<float, 4>(cosine + j, cosines + row * c.pairs + at + j);
            load<float, 4>(sine + j, sines + row * c.pairs + at + j);
        }
#pragma unroll
        for (int j = 0; j < V; j++) {
            float turned = a[j] * cosine[j] - b[j] * sine[j];
            b[j] = b[j] * cosine[j] + a[j] * sine[j];
            a[j] = turned;
        }
        store<T, V>(p, a);
        store<T, V>(p + c.pairs, b);
    }
}

void cuda_rotary(struct device *d, dptr qkv, const struct attention_shape *shape, int models, float theta,
                 int direction) {
    struct cuda *s = cuda_of(d);
    struct rotary_call c = {};
    c.rows = (int64_t)models * shape->batch * shape->length;
    c.width = (int64_t)(shape->heads + 2 * shape->kv_heads) * shape->head_size;
    c.length = shape->length;
    c.heads = shape->heads + shape->kv_heads;
    c.pairs = shape->head_size / 2;
    c.rows_of_block = ROTARY_ANGLES / c.pairs < ROTARY_ROWS_MOST ? ROTARY_ANGLES / c.pairs : ROTARY_ROWS_MOST;
    c.direction = (float)direction;
    for (int i = 0; i < c.pairs; i++)
        c.half_turns[i] = pow(theta, -2.0 * i / shape->head_size) / M_PI;
    struct cuda_grid grid = {dim3(cuda_blocks((size_t)c.rows, (size_t)c.rows_of_block)), ROTARY_THREADS,
                             2 * sizeof(float) * (size_t)(c.rows_of_block * c.pairs)};
    if (!s->half)
        cuda_launch(s, "rotary", rotary_rows<float, 4>, grid, (float *)qkv, c);
    else if (c.pairs % 8 == 0)
        cuda_launch(s, "rotary", rotary_rows<bf16, 8>, grid, (bf16 *)qkv, c);
    else
        cuda_launch(s, "rotary", rotary_rows<bf16, 4>, grid, (bf16 *)qkv, c);
}
