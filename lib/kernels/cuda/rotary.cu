// Rotary positions: pairs (i, i + D/2) of q and k turn by position theta^(-2i/D). Here keys are turned, and the
// table is made, in front of attention; the rest is done in its kernels, where q is read and where dq and dk are
// written.
#include "attention.cuh"

enum { ROTARY_THREADS = 256, ROTARY_ANGLES = 512, ROTARY_ROWS_MOST = 64 };

struct rotary_call {
    int64_t rows;  // G B S, or 0: only the table
    int64_t width; // elements of a row of qkv
    int length, rows_of_block;
    int first, heads, size; // heads from `first` on are turned
    int table_rows, pairs;  // of the table (0: none is made); pairs, kernel's D / 2, of a row
    float direction;        // +1, or -1: turn back
    struct half_turns angles;
};

// A block turns a few rows. First their cosines and sines go to shared memory, each used by all heads, and those
// of the first rows to the table; then every thread turns pairs of vectors of V elements (16 bytes; 8 in bfloat16
// where D is no multiple of 16), neighbours side by side. Floor: keys (in float32 queries too) read and written
// once. Deterministic: no sums.
template <typename T, int V>
__global__ void __launch_bounds__(ROTARY_THREADS)
    rotary_rows(T *qkv, float *table, const __grid_constant__ rotary_call c) {
    float *turns = (float *)shared_memory;
    const int64_t first = (int64_t)blockIdx.x * c.rows_of_block;
    const int start = (int)(first % c.length);
    for (int i = (int)threadIdx.x; i < c.rows_of_block * c.pairs; i += ROTARY_THREADS) {
        float turn[2];
        sine_cosine_at((start + i / c.pairs) % c.length, c.angles.of_pair[i % c.pairs], &turn[1], &turn[0]);
        store<float, 2>(turns + 2 * i, turn);
        if (first + i / c.pairs < c.table_rows)
            store<float, 2>(table + 2 * (first * c.pairs + i), turn);
    }
    __syncthreads();
    const int rows = (int)min((int64_t)c.rows_of_block, c.rows - first); // none beyond the last
    const int half = c.size / 2, pieces = half / V, across = c.heads * pieces;
    for (int i = (int)threadIdx.x; i < rows * across; i += ROTARY_THREADS) {
        int row = i / across, head = i % across / pieces, at = i % pieces * V;
        T *p = qkv + (first + row) * c.width + (int64_t)(c.first + head) * c.size + at;
        float a[V], b[V], turn[2 * V];
        load<T, V>(a, p);
        load<T, V>(b, p + half);
#pragma unroll
        for (int j = 0; j < 2 * V; j += 4)
            load<float, 4>(turn + j, turns + 2 * (row * c.pairs + at) + j);
#pragma unroll
        for (int j = 0; j < V; j++) {
            const float cosine = turn[2 * j], sine = turn[2 * j + 1] * c.direction;
            float turned = a[j] * cosine - b[j] * sine;
            b[j] = b[j] * cosine + a[j] * sine;
            a[j] = turned;
        }
        store<T, V>(p, a);
        store<T, V>(p + half, b);
    }
}

struct half_turns rotary_half_turns(const struct attention_shape *shape) {
    struct half_turns t = {};
    for (int i = 0; i < shape->head_size / 2 && shape->theta > 0; i++)
        t.of_pair[i] = pow(shape->theta, -2.0 * i / shape->head_size) / M_PI;
    return t;
}

static size_t table_rows(int length) {
    return ((size_t)length + TURNS_ROWS - 1) / TURNS_ROWS * TURNS_ROWS;
}

size_t rotary_table_bytes(int length, int size) {
    return table_rows(length) * (size_t)kernel_size(size) * sizeof(float);
}

void cuda_rotary(struct cuda *s, void *qkv, float *turns, const struct attention_shape *shape, int models,
                 int first, int heads, int direction) {
    struct rotary_call c = {};
    c.rows = heads ? (int64_t)models * shape->batch * shape->length : 0;
    c.width = (int64_t)(shape->heads + 2 * shape->kv_heads) * shape->head_size;
    c.length = shape->length;
    c.first = first;
    c.heads = heads;
    c.size = shape->head_size;
    c.table_rows = turns ? (int)table_rows(shape->length) : 0;
    c.direction = (float)direction;
    c.pairs = kernel_size(shape->head_size) / 2;
    c.rows_of_block = ROTARY_ANGLES / c.pairs < ROTARY_ROWS_MOST ? ROTARY_ANGLES / c.pairs : ROTARY_ROWS_MOST;
    c.angles = rotary_half_turns(shape);
    size_t rows = (size_t)c.rows > (size_t)c.table_rows ? (size_t)c.rows : (size_t)c.table_rows;
    struct cuda_grid grid = {dim3(cuda_blocks(rows, (size_t)c.rows_of_block)), ROTARY_THREADS,
                             2 * sizeof(float) * (size_t)(c.rows_of_block * c.pairs)};
    if (!s->half)
        cuda_launch(s, "rotary", rotary_rows<float, 4>, grid, (float *)qkv, turns, c);
    else if (shape->head_size % 16 == 0)
        cuda_launch(s, "rotary", rotary_rows<bf16, 8>, grid, (bf16 *)qkv, turns, c);
    else
        cuda_launch(s, "rotary", rotary_rows<bf16, 4>, grid, (bf16 *)qkv, turns, c);
}
