// Embedding: rows of a table, and their gradient.
//
// The gradient adds rows of equal tokens in row order, one addition after the other. So the rows are sorted by
// token first (integers only, every position computed, none taken from a counter that blocks share), and then each
// token's rows are added by one warp per slice of columns, starting from what the table holds: the result depends
// on the order of the rows and on nothing else.
#include "cuda.cuh"
#include "ptx.cuh"

#include <math.h>

// ---- forward ----

enum { FORWARD_THREADS = 256, FORWARD_MOVES = 4 }; // moves of a thread

// x[g,r,:] = table_g[tokens[r],:]; NaN where the token is outside the vocabulary. A block takes a few whole rows,
// its threads the vectors of those rows one after the other. Floor: 4 bytes written per element, and the rows of
// the table that occur read once (again from L2).
template <int N>
__global__ void __launch_bounds__(FORWARD_THREADS)
    embed_forward(float *x, const float *table, const uint32_t *tokens, size_t stride, size_t token_stride,
                  uint32_t rows, uint32_t hidden, uint32_t vocab, uint32_t rows_per_block) {
    uint32_t g = blockIdx.y, first = blockIdx.x * rows_per_block, moves = hidden / N;
    uint32_t count = min(rows_per_block, rows - first) * moves;
    tokens += g * token_stride + first;
    table += g * stride;
    x += ((size_t)g * rows + first) * hidden;
#pragma unroll FORWARD_MOVES
    for (uint32_t i = threadIdx.x; i < count; i += FORWARD_THREADS) {
        uint32_t row = i / moves, column = i % moves * N, token = tokens[row];
        float v[N];
#pragma unroll
        for (int j = 0; j < N; j++)
            v[j] = NAN;
        if (token < vocab)
            load<float, N>(v, table + (size_t)token * hidden + column);
        store<float, N>(x + (size_t)row * hidden + column, v);
    }
}

void cuda_embed_forward(struct device *d, const struct kernel_models *m, dptr x, dptr table, dptr tokens, int rows,
                        int hidden, int vocab) {
    bool vectors = hidden % 4 == 0 && m->stride % 4 == 0 && cuda_aligned(x) && cuda_aligned(table);
    int moves = vectors ? hidden / 4 : hidden, most = FORWARD_THREADS * FORWARD_MOVES;
    uint32_t per_block = (uint32_t)(moves < most ? most / moves : 1);
    struct cuda_grid grid = {dim3(cuda_blocks((size_t)rows, per_block), (unsigned)m->count), FORWARD_THREADS, 0};
    cuda_launch(cuda_of(d), "embedding", vectors ? embed_forward<4> : embed_forward<1>, grid, (float *)x,
                (const float *)table, (const uint32_t *)tokens, m->stride, m->token_stride, (uint32_t)rows,
                (uint32_t)hidden, (uint32_t)vocab, per_block);
}

// ---- backward: rows in order of their tokens ----

enum {
    SORT_WARPS = 32,
    SORT_LOADS = 4,              // tokens that a lane has under way
    SORT_TURN = 32 * SORT_LOADS, // rows of a warp's turn
    SORT_LEAST_BITS = 3,
    SORT_MOST_BITS = 8, // of a block's range of the vocabulary
    SORT_BLOCKS = 256,  // about as many, where the range allows
};

// The lanes that are `in` and have this lane's digit.
__device__ __forceinline__ uint32_t lanes_alike(uint32_t digit, bool in, int bits) {
    uint32_t alike = __ballot_sync(0xffffffffu, in);
    for (int b = 0; b < bits; b++) {
        bool one = digit >> b & 1;
        uint32_t ones = __ballot_sync(0xffffffffu, one);
        alike &= one ? ones : ~ones;
    }
    return alike;
}

struct sort_range {
    uint32_t first, size; // tokens of this block
    int bits;             // size <= 1 << bits
};

// One warp reads rows [begin, end) in order. counts[i] grows by the rows whose token is range.first + i; with
// `order`, each such row is written to the position that counts[i] had for it. Returns this lane's number of rows
// with smaller tokens.
__device__ __forceinline__ uint32_t scan_rows(uint32_t *counts, uint32_t *order, const uint32_t *tokens,
                                              uint32_t begin, uint32_t end, struct sort_range range) {
    uint32_t lane = threadIdx.x % 32, below = 0;
    for (uint32_t turn = begin; turn < end; turn += SORT_TURN) {
        uint32_t token[SORT_LOADS];
#pragma unroll
        for (int k = 0; k < SORT_LOADS; k++) {
            uint32_t row = turn + 32 * (uint32_t)k + lane;
            token[k] = row < end ? tokens[row] : UINT32_MAX;
        }
#pragma unroll
        for (int k = 0; k < SORT_LOADS; k++) {
            uint32_t digit = token[k] - range.first;
            bool in = digit < range.size;
            below += token[k] < range.first;
            if (__ballot_sync(0xffffffffu, in) == 0)
                continue; // most of the time, where the vocabulary is large
            uint32_t alike = lanes_alike(digit, in, range.bits), before = alike & ((1u << lane) - 1);
            uint32_t at = in ? counts[digit] : 0;
            __syncwarp();
            if (in && order)
                order[at + (uint32_t)__popc(before)] = turn + 32 * (uint32_t)k + lane;
            if (in && before == 0)
                counts[digit] = at + (uint32_t)__popc(alike);
            __syncwarp();
        }
    }
    return below;
}

// A stable counting sort of one set of tokens: order[starts[t] .. starts[t+1]) are the rows with token t,
// ascending. Tokens outside the vocabulary are left out. Each block owns 1 << bits tokens and reads all R tokens
// twice (counting, placing), each of its warps an equal section of the rows; where its range begins it knows by
// counting the smaller tokens, so blocks need nothing of each other, one launch does it, and scratch holds the
// result only. The price is 8 R V / 2^bits bytes from L2: 131 MB for V = 32000 and R = 128k, beside 4 R H bytes of
// dx from memory (537 MB at H = 1024). Groups of 32 rows without a token of the range, which are the most of them
// then, cost one ballot. Shared: counts[warp][1 << bits], ends[1 << bits], below[warp].
__global__ void __launch_bounds__(32 * SORT_WARPS, 1)
    embed_sort(uint32_t *orders, uint32_t *all_starts, const uint32_t *all_tokens, size_t token_stride,
               uint32_t rows, uint32_t vocab, int bits) {
    uint32_t width = 1u << bits, warps = blockDim.x / 32, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    uint32_t *order = orders + (size_t)blockIdx.y * rows, *starts = all_starts + (size_t)blockIdx.y * (vocab + 1);
    const uint32_t *tokens = all_tokens + (size_t)blockIdx.y * token_stride;
    uint32_t *counts = (uint32_t *)shared_memory, *ends = counts + warps * width, *below = ends + width;
    struct sort_range range = {blockIdx.x * width, 0, bits};
    range.size = min(width, vocab - range.first);
    uint32_t section = (rows + warps * SORT_TURN - 1) / (warps * SORT_TURN) * SORT_TURN;
    uint32_t begin = min(warp * section, rows), end = min(begin + section, rows);
    for (uint32_t i = threadIdx.x; i < warps * width; i += blockDim.x)
        counts[i] = 0;
    __syncthreads();
    uint32_t smaller = scan_rows(counts + warp * width, nullptr, tokens, begin, end, range);
#pragma unroll
    for (int mask = 16; mask > 0; mask /= 2)
        smaller += __shfl_xor_sync(0xffffffffu, smaller, mask);
    if (lane == 0)
        below[warp] = smaller;
    __syncthreads();

    // counts[warp][i] <- rows of token i in earlier warps; ends[i] <- rows of token i
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x) {
        uint32_t sum = 0;
        for (uint32_t w = 0; w < warps; w++) {
            uint32_t own = counts[w * width + i];
            counts[w * width + i] = sum;
            sum += own;
        }
        ends[i] = sum;
    }
    __syncthreads();

    // ends[i] <- where token i ends, by one warp, each lane for an equal piece of the range
    if (warp == 0) {
        uint32_t piece = (width + 31) / 32, from = min(lane * piece, width), to = min(from + piece, width);
        uint32_t own = 0, sum = 0;
        for (uint32_t i = from; i < to; i++)
            own += ends[i];
        uint32_t through = own;
        for (uint32_t step = 1; step < 32; step *= 2) {
            uint32_t other = __shfl_sync(0xffffffffu, through, (int)((lane - step) % 32));
            through += lane >= step ? other : 0;
        }
        for (uint32_t w = 0; w < warps; w++)
            sum += below[w];
        sum += through - own;
        for (uint32_t i = from; i < to; i++)
            ends[i] = sum += ends[i];
    }
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < range.size; i += blockDim.x)
        starts[range.first + i + 1] = ends[i];
    if (blockIdx.x == 0 && threadIdx.x == 0)
        starts[0] = 0;
    for (uint32_t i = threadIdx.x; i < warps * width; i += blockDim.x) {
        uint32_t token = i % width;
        if (token > 0)
            counts[i] += ends[token - 1];
        else
            for (uint32_t w = 0; w < warps; w++)
                counts[i] += below[w];
    }
    __syncthreads();
    scan_rows(counts + warp * width, order, tokens, begin, end, range);
}

// ---- backward: sums of sorted rows ----

enum {
    FEW_ROWS = 128, // of one token, that one warp adds while it adds others' too
    FEW_THREADS = 256,
    FEW_LOADS = 4, // rows that a lane has under way
};

struct embed_gradient {
    float *table;
    const float *x;
    const uint32_t *tokens, *orders, *starts;
    size_t stride, token_stride; // token_stride 0: one order for all models
    uint32_t rows, hidden, vocab;
};

// This block's model: its arrays, as if it were the only one.
__device__ __forceinline__ void choose_model(struct embed_gradient *q) {
    size_t g = blockIdx.z, set = q->token_stride ? g : 0;
    q->table += g * q->stride;
    q->x += g * q->rows * q->hidden;
    q->tokens += g * q->token_stride;
    q->orders += set * q->rows;
    q->starts += set * (q->vocab + 1);
}

// dtable[t,:] += rows of dx in sorted order, for tokens of at most FEW_ROWS rows. A warp owns 32 positions of the
// order and 32 N columns: it adds the tokens whose rows begin there, to their ends, and so moves the same number
// of bytes whatever the vocabulary. Rows of several tokens are under way together. Floor: dx read once, and the
// table's rows that occur read and written: 4 to 12 bytes per element of dx.
template <int N> __global__ void __launch_bounds__(FEW_THREADS, 3) embed_add_few(struct embed_gradient q) {
    choose_model(&q);
    uint32_t lane = threadIdx.x % 32, warp = blockIdx.x * (FEW_THREADS / 32) + threadIdx.x / 32;
    uint32_t column = (blockIdx.y * 32 + lane) * N, count = q.starts[q.vocab];
    uint32_t window = warp * 32, limit = min(window + 32, count);
    bool inside = column < q.hidden;
    q.table += column;
    q.x += column;
    float sum[N];
    for (uint32_t at = window; at < limit; at += 32) {
        uint32_t p = at + lane, row = 0, token = 0, first = 0, end = 0;
        if (p < count) {
            row = q.orders[p];
            token = q.tokens[row];
            first = q.starts[token];
            end = q.starts[token + 1];
        }
        bool own = p < end && first >= window && first < window + 32 && end - first <= FEW_ROWS;
        uint32_t owned = __ballot_sync(0xffffffffu, own), heads = __ballot_sync(0xffffffffu, own && first == p);
        uint32_t lasts = __ballot_sync(0xffffffffu, own && p + 1 == end);
        uint32_t own_end = __shfl_sync(0xffffffffu, own ? end : 0, 31);
        limit = max(limit, own_end); // the last token goes on behind these positions
        for (int i = 0; i < 32; i += FEW_LOADS) {
            if ((owned >> i & ((1u << FEW_LOADS) - 1)) == 0)
                continue;
            float x[FEW_LOADS][N], begin[FEW_LOADS][N];
#pragma unroll
            for (int j = 0; j < FEW_LOADS; j++) {
                uint32_t of = __shfl_sync(0xffffffffu, row, i + j);
                uint32_t to = __shfl_sync(0xffffffffu, token, i + j);
                if (inside && (owned >> (i + j) & 1))
                    load<float, N>(x[j], q.x + (size_t)of * q.hidden);
                if (inside && (heads >> (i + j) & 1))
                    load<float, N>(begin[j], q.table + (size_t)to * q.hidden);
            }
#pragma unroll
            for (int j = 0; j < FEW_LOADS; j++) {
                uint32_t to = __shfl_sync(0xffffffffu, token, i + j);
                if (!(owned >> (i + j) & 1))
                    continue;
                bool head = heads >> (i + j) & 1;
#pragma unroll
                for (int k = 0; k < N; k++)
                    sum[k] = (head ? begin[j][k] : sum[k]) + x[j][k];
                if (inside && (lasts >> (i + j) & 1))
                    store<float, N>(q.table + (size_t)to * q.hidden, sum);
            }
        }
    }
}

enum {
    MANY_COLUMNS = 32,
    MANY_ROWS = 128, // of a stage
    MANY_STAGES = 3,
    MANY_COPIERS = 128, // threads beside the warp that adds
    MANY_THREADS = 32 + MANY_COPIERS,
    MANY_BLOCKS = 16, // that share the tokens of one slice of columns
    MANY_SHARED = MANY_STAGES * MANY_ROWS * MANY_COLUMNS * 4,
};

// One stage: rows [first, end) of the order, at most MANY_ROWS, columns `column` and on. Rows behind the end and
// columns behind the last keep what the stage held, and are not added.
template <int N>
__device__ __forceinline__ void copy_stage(float *stage, const struct embed_gradient *q, uint32_t first,
                                           uint32_t end, uint32_t column) {
    enum { MOVES = MANY_COLUMNS / N, STEP = MANY_COPIERS / MOVES };
    int thread = (int)threadIdx.x - 32, move = thread % MOVES * N;
    if (thread < 0 || column + (uint32_t)move >= q->hidden)
        return;
    const float *x = q->x + column + move;
#pragma unroll 8
    for (int r = thread / MOVES; r < MANY_ROWS; r += STEP)
        if (first + (uint32_t)r < end) {
            const float *from = x + (size_t)q->orders[first + (uint32_t)r] * q->hidden;
            float *to = stage + r * MANY_COLUMNS + move;
            if (N == 4)
                copy_async_16(to, from, true);
            else
                *to = *from;
        }
}

// dtable[t,columns] += rows [first, end) of the order: four warps bring stages of rows, one adds them.
template <int N>
__device__ __forceinline__ void add_token(const struct embed_gradient *q, uint32_t token, uint32_t first,
                                          uint32_t end, uint32_t column) {
    float *stages = (float *)shared_memory, *to = q->table + (size_t)token * q->hidden + column + threadIdx.x;
    bool adds = threadIdx.x < 32 && column + threadIdx.x < q->hidden;
    float sum = adds ? *to : 0;
#pragma unroll
    for (uint32_t s = 0; s < MANY_STAGES - 1; s++) {
        copy_stage<N>(stages + s * MANY_ROWS * MANY_COLUMNS, q, first + s * MANY_ROWS, end, column);
        copy_async_commit();
    }
    uint32_t stage = 0, next = MANY_STAGES - 1;
    for (uint32_t at = first; at < end; at += MANY_ROWS) {
        copy_async_wait<MANY_STAGES - 2>();
        __syncthreads(); // this stage is there, and the one before is read
        copy_stage<N>(stages + next * MANY_ROWS * MANY_COLUMNS, q, at + (MANY_STAGES - 1) * MANY_ROWS, end,
                      column);
        copy_async_commit();
        uint32_t count = min((uint32_t)MANY_ROWS, end - at);
        if (adds) {
            const float *x = stages + stage * MANY_ROWS * MANY_COLUMNS + threadIdx.x;
#pragma unroll 16
            for (uint32_t r = 0; r < count; r++)
                sum += x[r * MANY_COLUMNS];
        }
        stage = (stage + 1) % MANY_STAGES;
        next = (next + 1) % MANY_STAGES;
    }
    if (adds)
        *to = sum;
    copy_async_wait<0>();
    __syncthreads(); // the next token's stages overwrite these
}

// The same for tokens of more rows (a space makes a sixth of a byte vocabulary): a chain of dependent additions,
// so what limits it is the latency of one addition for each row, as long as the rows wait in shared memory. A
// block takes MANY_COLUMNS columns and of the positions that are multiples of FEW_ROWS each MANY_BLOCKS-th: a
// token of more rows covers one of them at least, and the first one that it covers says whose it is.
template <int N> __global__ void __launch_bounds__(MANY_THREADS, 4) embed_add_many(struct embed_gradient q) {
    choose_model(&q);
    uint32_t lane = threadIdx.x % 32, column = blockIdx.x * MANY_COLUMNS, count = q.starts[q.vocab];
    for (uint32_t turn = blockIdx.y; turn * FEW_ROWS < count; turn += 32 * MANY_BLOCKS) {
        uint32_t p = (turn + lane * MANY_BLOCKS) * FEW_ROWS, token = 0, first = 0, end = 0;
        if (p < count) {
            token = q.tokens[q.orders[p]];
            first = q.starts[token];
            end = q.starts[token + 1];
        }
        uint32_t mine = __ballot_sync(0xffffffffu, end - first > FEW_ROWS && first + FEW_ROWS > p);
        for (; mine != 0; mine &= mine - 1) {
            int from = __ffs((int)mine) - 1;
            uint32_t t = __shfl_sync(0xffffffffu, token, from), begin = __shfl_sync(0xffffffffu, first, from);
            add_token<N>(&q, t, begin, __shfl_sync(0xffffffffu, end, from), column);
        }
    }
}

static size_t sort_bytes(size_t sets, size_t rows, size_t vocab) {
    return sets * (rows + vocab + 1) * sizeof(uint32_t);
}

size_t cuda_embed_scratch(const struct kernel_limits *l) {
    return l->train ? sort_bytes((size_t)l->models, (size_t)l->batch * (size_t)l->length, (size_t)l->vocab) : 0;
}

static void sort_rows(struct cuda *s, const struct embed_gradient *q, uint32_t *orders, uint32_t *starts,
                      uint32_t sets) {
    int bits = SORT_LEAST_BITS;
    while (bits < SORT_MOST_BITS && (size_t)sets * (q->vocab >> bits) > SORT_BLOCKS)
        bits++;
    uint32_t warps = cuda_blocks(q->rows, SORT_TURN);
    warps = warps < SORT_WARPS ? warps : (uint32_t)SORT_WARPS;
    size_t shared = ((warps + 1) << bits) + warps;
    struct cuda_grid grid = {dim3(cuda_blocks(q->vocab, (size_t)1 << bits), sets), (int)(32 * warps),
                             shared * sizeof(uint32_t)};
    cuda_launch(s, "sorting tokens", embed_sort, grid, orders, starts, q->tokens, q->token_stride, q->rows,
                q->vocab, bits);
}

void cuda_embed_backward(struct device *d, const struct kernel_models *m, dptr dtable, dptr dx, dptr tokens,
                         int rows, int hidden, int vocab) {
    struct cuda *s = cuda_of(d);
    size_t sets = m->token_stride ? (size_t)m->count : 1;
    uint32_t *orders =
        rows > 0 ? (uint32_t *)cuda_scratch(s, sort_bytes(sets, (size_t)rows, (size_t)vocab)) : NULL;
    if (!orders)
        return;
    uint32_t *starts = orders + sets * (size_t)rows;
    struct embed_gradient q = {(float *)dtable,  (const float *)dx, (const uint32_t *)tokens, orders,
                               starts,           m->stride,         m->token_stride,          (uint32_t)rows,
                               (uint32_t)hidden, (uint32_t)vocab};
    sort_rows(s, &q, orders, starts, (uint32_t)sets);
    bool vectors = hidden % 4 == 0 && m->stride % 4 == 0 && cuda_aligned(dtable) && cuda_aligned(dx);
    unsigned models = (unsigned)m->count;
    struct cuda_grid few = {
        dim3(cuda_blocks((size_t)rows, FEW_THREADS), cuda_blocks((size_t)hidden, vectors ? 128 : 32), models),
        FEW_THREADS, 0};
    struct cuda_grid many = {dim3(cuda_blocks((size_t)hidden, MANY_COLUMNS), MANY_BLOCKS, models), MANY_THREADS,
                             MANY_SHARED};
    if (rows > FEW_ROWS)
        cuda_launch(s, "gradient of the embedding", vectors ? embed_add_many<4> : embed_add_many<1>, many, q);
    cuda_launch(s, "gradient of the embedding", vectors ? embed_add_few<4> : embed_add_few<1>, few, q);
}
