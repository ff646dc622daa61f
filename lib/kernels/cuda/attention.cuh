// Shared by attention_forward.cu, attention_backward.cu and rotary.cu: sizes, rotary positions, bfloat16 tiles in
// shared memory, fragments.
//
// A tile is rows of D elements (a head's part of consecutive tokens). In bfloat16 a row takes an odd number of
// 16-byte pieces, so that the eight rows of an ldmatrix lie in eight different groups of banks, whatever D is.
// Kernels exist for D = 8, 16, 32, 64, 96 and 128; a head of another size runs in the next larger one. Of its rows
// the first half lies in a tile's columns from 0 on and the second from D / 2 on, both filled up with zeros in
// shared memory only: products over a head do not mind, and the pair that a rotary position turns, elements i and
// i + size / 2, is columns i and i + D / 2. (Where 16 bytes would lie in both halves, elements are columns.) D = 8
// is no full step of the tensor cores' contraction (16): the upper half of those fragments is zero registers.
#ifndef TACIT_KERNELS_CUDA_ATTENTION_CUH
#define TACIT_KERNELS_CUDA_ATTENTION_CUH

#include "cuda.cuh"
#include "softmax.cuh"

// The size of the kernel that serves a head size.
static inline int kernel_size(int size) {
    static const int sizes[] = {8, 16, 32, 64, 96, 128};
    int i = 0;
    while (sizes[i] < size)
        i++;
    return sizes[i];
}

// Whether rotary positions turn q where tiles of it have come, and dq and dk where they leave: 16-byte pieces lie
// in one half. Heads of 24, 40, 56, 72, 88, 104 and 120 are turned in memory.
static inline bool turned_in_tiles(int size) {
    return size == 8 || size % 16 == 0;
}

struct attention_sizes {
    int sequences, length, heads, kv_heads, size; // G B, S, A, K, D of the heads themselves
    int width;                                    // (A + 2 K) D, elements of a row of qkv
    int values;                                   // K D, elements from a key to its value
    int group;                                    // A / K, heads that share keys
    int first;                                    // elements of a head in the first half of a tile's columns
    float scale, scale_2;                         // 1 / sqrt(D), and log2 e times that
};

static inline struct attention_sizes attention_sizes_of(const struct attention_shape *a, int models) {
    return {models * a->batch,
            a->length,
            a->heads,
            a->kv_heads,
            a->head_size,
            (a->heads + 2 * a->kv_heads) * a->head_size,
            a->kv_heads * a->head_size,
            a->heads / a->kv_heads,
            turned_in_tiles(a->head_size) ? a->head_size / 2 : kernel_size(a->head_size) / 2,
            (float)(1 / sqrt(a->head_size)),
            (float)(M_LOG2E / sqrt(a->head_size))};
}

// Whether there are kernels of wgmma too (attention_*_wgmma.cu): for heads that run in kernels of 64 or 128.
static inline bool has_wgmma(const struct cuda *s, int size) {
    return s->half && s->warpgroups && kernel_size(size) % 64 == 0;
}

// tune.cu: run either kernel, whichever TACIT_ATTENTION or the table chooses, or, while tuning, both for a choice.
typedef void (*attention_work)(struct cuda *s, void *context);
void attention_run(struct cuda *s, const char *direction, const struct attention_sizes *z, attention_work mma,
                   attention_work wgmma, void *context);

struct forward_call {
    void *out, *lse, *qkv;
    const float *turns;
    bool turn_keys; // in each block
    struct attention_sizes z;
};
void cuda_forward_wgmma(struct cuda *s, void *call);

// Elements of qkv in front of a head's query in a row, and of a key/value head's key.
__device__ __forceinline__ int64_t query_offset(const attention_sizes &z, int sequence, int row, int head) {
    return ((int64_t)sequence * z.length + row) * z.width + head * z.size;
}
__device__ __forceinline__ int64_t key_offset(const attention_sizes &z, int sequence, int row, int kv) {
    return query_offset(z, sequence, row, z.heads + kv);
}

// A number that all lanes of a warp have: now the compiler knows it too and keeps one for the warp.
__device__ __forceinline__ int same_in_warp(int x) {
    return __shfl_sync(0xffffffffu, x, 0);
}

// For each query (lse, delta) as float32 [G B, A, S rounded up to QUERY_TILE], for the backward pass; lse in
// powers of two where weights are taken to that base. Behind the sequence's end lse is infinite and delta 0:
// weights are 0.
struct query_numbers {
    float lse, delta;
};
enum { QUERY_TILE = 64 };

// ---- rotary positions ----
//
// Cosines and sines lie in a table [S rounded up to TURNS_ROWS][kernel's D / 2] of (cosine, sine), float32, made
// anew by the first kernel of each operation on the side: D floats a position, as many bytes as two tokens of a
// bfloat16 head, and every head and sequence finds them in L2. NULL: there are no rotary positions.
//
// An angle counts half turns in float64 (2^-53 relative: 1e-10 of a turn at position 10^6), is reduced there to
// [-1, 1] and rounded to float32, so cosines and sines are within 3e-7 at any position.
enum { TURNS_ROWS = 128, TURNS_PAIRS_MOST = 64 };

struct half_turns {
    double of_pair[TURNS_PAIRS_MOST]; // by position: theta^(-2i/D) / pi; 0 for the pairs that fill up a tile
};

// rotary.cu
struct half_turns rotary_half_turns(const struct attention_shape *shape);
size_t rotary_table_bytes(int length, int size); // a multiple of 16
// The table for `shape` to `turns` (NULL: none), and `heads` heads of every row of qkv, from head `first` on,
// turned in place; direction +1, or -1: back.
void cuda_rotary(struct cuda *s, void *qkv, float *turns, const struct attention_shape *shape, int models,
                 int first, int heads, int direction);

__device__ __forceinline__ void sine_cosine_at(int position, double half_turns_of_pair, float *sine,
                                               float *cosine) {
    double angle = position * half_turns_of_pair;
    sine_cosine_of_half_turns((float)(angle - 2 * rint(angle / 2)), sine, cosine);
}

// ---- bfloat16 tiles ----

template <int D> constexpr int row_bytes = (D / 8 | 1) * 16;

// Which element of a head a column of a tile is; not inside: it is filled up.
struct tile_column {
    int element;
    bool inside;
};
template <int D> __device__ __forceinline__ tile_column column_of(int column, const attention_sizes &z) {
    if (D <= 16)
        return {column, true};
    const bool second = column >= D / 2;
    const int element = second ? column - D / 2 + z.first : column;
    return {element, element < (second ? z.size : z.first)};
}

// Tiles are named by the bytes in front of them in shared memory: 32 bits, where a pointer takes two registers.

// Where in a tile of ROWS rows a 16-byte piece of a row lies. Kernels of mma.sync have rows of an odd number of
// pieces; those of wgmma blocks of 64 columns, whose rows of 128 bytes have their pieces exchanged (ptx.cuh).
// Rows a multiple of 8 apart are ROW bytes each apart in either.
template <int D, int ROWS> struct padded_tile {
    static constexpr int ROW = row_bytes<D>, BYTES = ROWS * ROW;
    static __device__ __forceinline__ int at(int row, int piece) {
        return row * ROW + piece * 16;
    }
};
template <int D, int ROWS> struct wgmma_tiles {
    static constexpr int ROW = 128, BLOCK = ROWS * ROW, BYTES = D / 64 * BLOCK;
    static __device__ __forceinline__ int at(int row, int piece) {
        return piece / 8 * BLOCK + row * ROW + (piece % 8 ^ row % 8) * 16;
    }
    // Where a product over columns 16 k .. begins; and one over rows 16 k .., for columns 64 n .. of the result.
    static constexpr __device__ __forceinline__ int step(int k) {
        return k / 4 * BLOCK + k % 4 * 32;
    }
    static constexpr __device__ __forceinline__ int step_of_rows(int n, int k) {
        return n * BLOCK + k * 16 * ROW;
    }
};

// Columns 64 n .. of a warpgroup's accumulators: one product's.
template <int N> __device__ __forceinline__ float (&columns_64(float (&c)[1][N][4], int n))[8][4] {
    return *(float(*)[8][4])c[0][8 * n];
}
template <int N> __device__ __forceinline__ void hold_all(float (&c)[1][N][4]) {
#pragma unroll
    for (int n = 0; n < N / 8; n++)
        hold(columns_64(c, n));
}

// A thread's share of copying tiles of ROWS rows, `stride` elements apart: the same 16-byte piece of every PASS-th
// row.
template <int D, int ROWS, int THREADS, typename layout = padded_tile<D, ROWS>> struct row_copier {
    static constexpr int PIECES = D / 8, PASS = THREADS / PIECES;
    static_assert(PASS % 8 == 0 || layout::ROW != 128, "its pieces lie at one place of their rows");
    const bf16 *from;
    int stride, row, place;
    bool inside;

    __device__ __forceinline__ row_copier(const bf16 *first, int stride_, const attention_sizes &z)
        : stride(stride_) {
        const unsigned thread = (unsigned)thread_anew();
        const int piece = (int)(thread % PIECES);
        const tile_column at = column_of<D>(piece * 8, z);
        row = (int)(thread / PIECES);
        place = layout::at(row, piece);
        inside = at.inside;
        from = first + row * stride + at.element;
    }
    // Start copying the rows that begin `offset` elements behind the first one's. Rows from `rows` on, and columns
    // that no element of the head fills, become zeros.
    __device__ __forceinline__ void copy(int tile, int64_t offset, int rows) const {
#pragma unroll
        for (int i = 0; i < ROWS; i += PASS)
            if ((i + PASS <= ROWS || row < ROWS - i) && (THREADS % PIECES == 0 || row < PASS))
                copy_async_16(shared_memory + tile + place + i * layout::ROW, from + offset + (int64_t)i * stride,
                              inside && row < rows - i);
    }
};

template <int D, int ROWS, int THREADS, typename layout = padded_tile<D, ROWS>>
__device__ __forceinline__ void copy_rows(int tile, const bf16 *from, int stride, int rows,
                                          const attention_sizes &z) {
    row_copier<D, ROWS, THREADS, layout>(from, stride, z).copy(tile, 0, rows);
}

// 16 bytes of a tile, columns `column` to column + 7 of a row, to where the head has them in memory.
template <int D>
__device__ __forceinline__ void write_piece(bf16 *row, int column, const attention_sizes &z,
                                            const elements<uint32_t, 4> &piece) {
    const tile_column at = column_of<D>(column, z);
    if (at.inside)
        *(elements<uint32_t, 4> *)(row + at.element) = piece;
}

// ---- turning ----

// Turn ROWS rows of a tile whose first has the angles at `turns`; by THREADS threads, of which this is `thread`.
// Of them `rows` go to memory as well, unless `to` is NULL.
//
// A thread takes 8 pairs, two 16-byte pieces, and neighbours take neighbouring rows: other banks.
template <int D, int ROWS, int THREADS>
__device__ __forceinline__ void turn_rows(int tile, const float *turns, int thread, bf16 *to, int stride, int rows,
                                          const attention_sizes &z) {
    constexpr int ACROSS = D == 8 ? 1 : D / 16, WORDS = D == 8 ? 2 : 4; // WORDS: of either half
#pragma unroll 1
    for (int i = thread; i < ROWS * ACROSS; i += THREADS) {
        const int row = i / (8 * ACROSS) * 8 + i % 8, piece = i / 8 % ACROSS;
        uint32_t *low = (uint32_t *)(shared_memory + tile + row * row_bytes<D> + piece * 16);
        elements<uint32_t, WORDS> a = *(const elements<uint32_t, WORDS> *)low,
                                  b = *(const elements<uint32_t, WORDS> *)(low + D / 4);
        const float *angles = turns + (int64_t)row * D + piece * 16;
#pragma unroll
        for (int j = 0; j < WORDS; j++) {
            float t[4]; // cosine, sine of two pairs
            load<float, 4>(t, angles + 4 * j);
            const float a0 = low_float(a.at[j]), a1 = high_float(a.at[j]);
            const float b0 = low_float(b.at[j]), b1 = high_float(b.at[j]);
            a.at[j] = pack_bf16(a0 * t[0] - b0 * t[1], a1 * t[2] - b1 * t[3]);
            b.at[j] = pack_bf16(b0 * t[0] + a0 * t[1], b1 * t[2] + a1 * t[3]);
        }
        *(elements<uint32_t, WORDS> *)low = a;
        *(elements<uint32_t, WORDS> *)(low + D / 4) = b;
        if (to && row < rows) {
            if constexpr (D == 8) {
                write_piece<D>(to + (int64_t)row * stride, 0, z, {a.at[0], a.at[1], b.at[0], b.at[1]});
            } else {
                write_piece<D>(to + (int64_t)row * stride, piece * 8, z, a);
                write_piece<D>(to + (int64_t)row * stride, D / 2 + piece * 8, z, b);
            }
        }
    }
}

// Turn accumulators back: gradients of what was turned. c[m][n] and c[m][n + N / 2] are columns 8 n .. of either
// half from the same column on; `turns`: the angles of this lane's first row and column. The pair lies in one
// lane, but at D = 8 (N = 1), where it lies in neighbours.
template <int D, int M, int N> __device__ __forceinline__ void turn_back(float (&c)[M][N][4], const float *turns) {
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int half = 0; half < 2; half++)
#pragma unroll
            for (int n = 0; n < (N + 1) / 2; n++) {
                float t[4]; // cosine, sine of two pairs
                load<float, 4>(t, turns + (m * 16 + half * 8) * D + n * 16);
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    const float cosine = t[2 * e], sine = t[2 * e + 1];
                    float &a = c[m][n][2 * half + e];
                    if constexpr (N == 1) {
                        const float b = __shfl_xor_sync(0xffffffffu, a, 2);
                        a = a * cosine + (threadIdx.x & 2 ? -b : b) * sine;
                    } else {
                        float &b = c[m][n + N / 2][2 * half + e];
                        const float turned = a * cosine + b * sine;
                        b = b * cosine - a * sine;
                        a = turned;
                    }
                }
            }
}

// The angles of a lane's first row and column, for turn_back.
template <int D>
__device__ __forceinline__ const float *turns_of_lane(const float *turns, int row, int column, int lane) {
    return turns + (int64_t)(row + (lane >> 2)) * D + (D == 8 ? lane & 1 : column / 2 + (lane & 3)) * 4;
}

// ---- fragments ----

// Where in a tile a lane points ldmatrix. Rows of the tile are rows of the A operand (m x k), columns of B (n x
// k), rows of B (k x n; the same for columns of both halves), or columns of A (k x m).
template <int D> __device__ __forceinline__ int lane_a(int lane) {
    return (lane & 15) * row_bytes<D> + (D == 8 ? 0 : (lane >> 4) * 16);
}
template <int D> __device__ __forceinline__ int lane_b(int lane) {
    return D == 8 ? lane * row_bytes<D> : ((lane & 7) + (lane >> 4) * 8) * row_bytes<D> + ((lane >> 3) & 1) * 16;
}
template <int D> __device__ __forceinline__ int lane_b_rows(int lane) {
    return D == 8 ? lane * row_bytes<D> : (lane & 15) * row_bytes<D> + (lane >> 4) * 16;
}
template <int D> __device__ __forceinline__ int lane_b_halves(int lane) {
    return D == 8 ? lane * row_bytes<D> : (lane & 15) * row_bytes<D> + (lane >> 4) * D;
}
template <int D> __device__ __forceinline__ int lane_a_columns(int lane) {
    return ((lane & 7) + (lane >> 4) * 8) * row_bytes<D> + ((lane >> 3) & 1) * 16;
}

template <int D> constexpr int steps_of = (D + 15) / 16; // of the contraction over a head

// A fragment of rows 16 m .., elements 16 k ..; `at`: the tile + lane_a
template <int D> __device__ __forceinline__ void load_a(uint32_t (&a)[4], int at, int m, int k) {
    if constexpr (D == 8) {
        ldmatrix_x2(a, shared_memory + at + m * 16 * row_bytes<D>);
        a[2] = a[3] = 0;
    } else {
        ldmatrix_x4(a, shared_memory + at + m * 16 * row_bytes<D> + k * 32);
    }
}

// c[m][n] += a b^T over elements 16 k .. of 8 N rows b; `at`: the tile + lane_b
template <int D, int M, int N>
__device__ __forceinline__ void multiply_rows(float (&c)[M][N][4], const uint32_t (&a)[M][4], int at, int k) {
    constexpr int tiles = D == 8 ? 4 : 2; // that one load brings
#pragma unroll
    for (int n = 0; n < N; n += tiles) {
        uint32_t b[4];
        ldmatrix_x4(b, shared_memory + at + n * 8 * row_bytes<D> + k * 32);
#pragma unroll
        for (int i = 0; i < tiles; i++) {
            const uint32_t fragment[2] = {b[D == 8 ? i : 2 * i], D == 8 ? 0 : b[(2 * i + 1) % 4]};
#pragma unroll
            for (int m = 0; m < M; m++)
                mma_16x8x16(c[m][n + i], a[m], fragment);
        }
    }
}

// c[m][n] += a b over 32 rows of b (two fragments of a), 8 N columns: in order, or, for HALVES, N / 2 fragments of
// either half; `at`: the tile of rows of D elements + lane_b_rows (lane_b_halves)
template <int D, int M, int N, bool HALVES = false>
__device__ __forceinline__ void multiply_columns(float (&c)[M][N][4], const uint32_t (&a)[2][M][4], int at) {
    if constexpr (N == 1) {
        uint32_t b[4];
        ldmatrix_x4_transposed(b, shared_memory + at);
#pragma unroll
        for (int m = 0; m < M; m++) {
            mma_16x8x16(c[m][0], a[0][m], b);
            mma_16x8x16(c[m][0], a[1][m], b + 2);
        }
    } else {
#pragma unroll
        for (int half = 0; half < 2; half++)
#pragma unroll
            for (int i = 0; i < N / 2; i++) {
                constexpr int STEP = HALVES ? N / 2 : 1;
                const int n = HALVES ? i : 2 * i;
                uint32_t b[4];
                ldmatrix_x4_transposed(b, shared_memory + at + half * 16 * row_bytes<D> + n * 16);
#pragma unroll
                for (int m = 0; m < M; m++) {
                    mma_16x8x16(c[m][n], a[half][m], b);
                    mma_16x8x16(c[m][n + STEP], a[half][m], b + 2);
                }
            }
    }
}

// One warp writes 16 M rows of accumulators, row i times factor[i / 16][i / 8 % 2], to memory: through `tile`
// (rows of its own in shared memory, of which no other warp reads), so that 16-byte pieces leave it.
template <int D, int M>
__device__ __forceinline__ void write_rows(bf16 *to, int stride, int rows, const attention_sizes &z, int tile,
                                           const float (&c)[M][D / 8][4], const float (&factor)[M][2], int lane) {
    __syncwarp();
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int half = 0; half < 2; half++)
#pragma unroll
            for (int n = 0; n < D / 8; n++)
                *(uint32_t *)(shared_memory + tile + (m * 16 + half * 8 + (lane >> 2)) * row_bytes<D> + n * 16 +
                              (lane & 3) * 4) =
                    pack_bf16(c[m][n][2 * half] * factor[m][half], c[m][n][2 * half + 1] * factor[m][half]);
    __syncwarp();
#pragma unroll 1
    for (int i = lane; i < M * 16 * (D / 8); i += 32) {
        int row = i / (D / 8), piece = i % (D / 8);
        if (row < rows)
            write_piece<D>(
                to + row * stride, piece * 8, z,
                *(const elements<uint32_t, 4> *)(shared_memory + tile + row * row_bytes<D> + piece * 16));
    }
    __syncwarp();
}

#endif
