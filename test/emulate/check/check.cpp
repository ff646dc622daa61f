// The emulator by itself: fragments as the PTX ISA numbers them, barriers in any order, and every misuse that it
// claims to find. Each check runs in a process of its own.
#include "../../../lib/kernels/cuda/ptx.cuh"
#include <cuda_runtime.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int checks, failures;

#define CHECK(condition)                                                                                          \
    do {                                                                                                          \
        if (!(condition)) {                                                                                       \
            printf("%s:%d: %s\n", __FILE__, __LINE__, #condition);                                                \
            _exit(1);                                                                                             \
        }                                                                                                         \
    } while (0)

// Run a check in a child under an order; what it says on standard error is kept. Returns its wait status.
static int child(void (*check)(), const char *order, char *said, size_t room) {
    int ends[2], status = 0;
    size_t n = 0;
    fflush(stdout);
    if (pipe(ends) != 0)
        exit(1);
    pid_t pid = fork();
    if (pid == 0) {
        setenv("EMULATE_ORDER", order, 1);
        dup2(ends[1], 2);
        close(ends[0]);
        close(ends[1]);
        check();
        exit(0);
    }
    close(ends[1]);
    for (ssize_t got; n + 1 < room && (got = read(ends[0], said + n, room - n - 1)) > 0;)
        n += (size_t)got;
    said[n] = 0;
    close(ends[0]);
    waitpid(pid, &status, 0);
    return status;
}

static void good(const char *name, void (*check)()) {
    static const char *const orders[] = {"forward", "backward", "random:1", "random:2"};
    for (const char *order : orders) {
        char said[4096];
        int status = child(check, order, said, sizeof said);
        checks++;
        if (status != 0 || said[0]) {
            failures++;
            printf("%s, %s: status %#x: %s\n", name, order, status, said);
        }
    }
}

// It must say `text`, and end by abort() unless it is allowed to end well. What AddressSanitizer finds, it finds
// first, and says in its own words.
static void bad(const char *name, void (*check)(), const char *text, bool survives) {
    static const char *const orders[] = {"forward", "backward"};
    for (const char *order : orders) {
        char said[4096];
        int status = child(check, order, said, sizeof said);
        checks++;
        bool ended = survives ? status == 0 : WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
#ifdef __SANITIZE_ADDRESS__
        if (status != 0 && strstr(said, "AddressSanitizer"))
            continue;
#endif
        if (!ended || !strstr(said, text)) {
            failures++;
            printf("%s, %s: status %#x, and this should contain '%s': %s\n", name, order, status, text, said);
        }
    }
}

template <typename... P, typename... A>
static cudaError_t launch(void (*kernel)(P...), dim3 blocks, int threads, size_t shared, A... arguments) {
    cudaLaunchConfig_t c = {};
    c.gridDim = blocks;
    c.blockDim = dim3((unsigned)threads);
    c.dynamicSmemBytes = shared;
    return cudaLaunchKernelEx(&c, kernel, (P)arguments...);
}

template <typename T> static T *device_memory(size_t n) {
    T *p;
    CHECK(cudaMalloc(&p, n * sizeof(T)) == cudaSuccess);
    return p;
}

static bf16 number(int i) { // small ones, exact in bfloat16, and their products exact in float32
    return to_bf16((float)((i * 7919 + i / 3) % 31 - 15));
}

// ---- fragments ----

// From registers: element i of lane's A, B and C lies where "Matrix Fragments for mma.m16n8k16" puts it.
static void mma_from_registers(const bf16 *a, const bf16 *b, float *c) {
    int lane = (int)threadIdx.x, group = lane >> 2, inside = lane & 3;
    bf16 own_a[8], own_b[4];
    float own_c[4];
    for (int i = 0; i < 8; i++) {
        int row = i < 2 || (i >= 4 && i < 6) ? group : group + 8;
        int column = inside * 2 + (i & 1) + (i >= 4 ? 8 : 0);
        own_a[i] = a[row * 16 + column];
    }
    for (int i = 0; i < 4; i++)
        own_b[i] = b[(inside * 2 + (i & 1) + (i >= 2 ? 8 : 0)) * 8 + group];
    for (int i = 0; i < 4; i++)
        own_c[i] = c[(i < 2 ? group : group + 8) * 8 + inside * 2 + (i & 1)];
    uint32_t words_a[4], words_b[2];
    memcpy(words_a, own_a, sizeof words_a);
    memcpy(words_b, own_b, sizeof words_b);
    mma_16x8x16(own_c, words_a, words_b);
    for (int i = 0; i < 4; i++)
        c[(i < 2 ? group : group + 8) * 8 + inside * 2 + (i & 1)] = own_c[i];
}

// From shared memory: A row by row through ldmatrix, B [k][n] through its transposed form, by two and by four.
static void mma_from_shared(const bf16 *a, const bf16 *b, float *c, int by_four) {
    bf16 *tile_a = (bf16 *)shared_memory, *tile_b = tile_a + 256;
    int lane = (int)threadIdx.x;
    for (int i = lane; i < 256; i += 32)
        tile_a[i] = a[i];
    for (int i = lane; i < 128; i += 32)
        tile_b[i] = b[i];
    __syncwarp();
    uint32_t words_a[4], words_b[4];
    ldmatrix_x4(words_a, tile_a + lane % 16 * 16 + lane / 16 * 8);
    if (by_four)
        ldmatrix_x4_transposed(words_b, tile_b + lane % 16 * 8);
    else
        ldmatrix_x2_transposed(words_b, tile_b + lane % 16 * 8);
    float own[4];
    for (int i = 0; i < 4; i++)
        own[i] = c[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2];
    mma_16x8x16(own, words_a, words_b);
    for (int i = 0; i < 4; i++)
        c[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = own[i];
}

// B stored [n][k] needs no transposition.
static void mma_from_shared_rows(const bf16 *a, const bf16 *b, float *c) {
    bf16 *tile_a = (bf16 *)shared_memory, *tile_b = tile_a + 256;
    int lane = (int)threadIdx.x;
    for (int i = lane; i < 256; i += 32)
        tile_a[i] = a[i];
    for (int i = lane; i < 128; i += 32)
        tile_b[i % 8 * 16 + i / 8] = b[i];
    __syncthreads();
    uint32_t words_a[4], words_b[2];
    ldmatrix_x4(words_a, tile_a + lane % 16 * 16 + lane / 16 * 8);
    ldmatrix_x2(words_b, tile_b + lane % 8 * 16 + lane / 8 % 2 * 8);
    float own[4];
    for (int i = 0; i < 4; i++)
        own[i] = c[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2];
    mma_16x8x16(own, words_a, words_b);
    for (int i = 0; i < 4; i++)
        c[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = own[i];
}

static void check_mma() {
    bf16 *a = device_memory<bf16>(256), *b = device_memory<bf16>(128);
    float *c = device_memory<float>(128), expected[128];
    for (int i = 0; i < 256; i++)
        a[i] = number(i);
    for (int i = 0; i < 128; i++)
        b[i] = number(1000 + i);
    for (int way = 0; way < 4; way++) {
        for (int i = 0; i < 128; i++)
            c[i] = (float)(i - 60);
        for (int m = 0; m < 16; m++)
            for (int n = 0; n < 8; n++) {
                float sum = c[m * 8 + n];
                for (int k = 0; k < 16; k++)
                    sum += to_float(a[m * 16 + k]) * to_float(b[k * 8 + n]);
                expected[m * 8 + n] = sum;
            }
        cudaError_t status = way == 0   ? launch(mma_from_registers, 1, 32, 0, a, b, c)
                             : way == 3 ? launch(mma_from_shared_rows, 1, 32, 1024, a, b, c)
                                        : launch(mma_from_shared, 1, 32, 1024, a, b, c, way == 2);
        CHECK(status == cudaSuccess);
        CHECK(memcmp(c, expected, sizeof expected) == 0);
    }
    cudaFree(a), cudaFree(b), cudaFree(c);
}

// ---- products of a warpgroup ----

// Where 128-byte swizzling puts element (row, column) of a matrix of 64 columns that begins at a multiple of 1024:
// a row's eight 16-byte pieces exchange places as the row's number within its block of eight says.
static int swizzled(int row, int column) {
    int piece = column / 8;
    return row * 64 + (piece ^ row % 8) * 8 + column % 8;
}

// Two warpgroups, each C[64,64] += A[64,64] B[64,64]: A and B from shared memory, as they are or transposed, or A
// from registers.
static void warpgroup_products(const bf16 *a, const bf16 *b, float *c, bool registers, bool a_transposed,
                               bool b_transposed) {
    const int thread = (int)threadIdx.x, group = thread / 128, lane = thread % 32, warp = thread / 32 % 4;
    const int place_a = group * 16384, place_b = place_a + 8192;
    bf16 *tile_a = (bf16 *)(shared_memory + place_a), *tile_b = (bf16 *)(shared_memory + place_b);
    a += group * 4096;
    c += group * 4096 + (warp * 16 + lane / 4) * 64 + lane % 4 * 2;
    for (int i = thread % 128; i < 4096; i += 128) { // A[m][k], B[k][n]
        tile_a[a_transposed ? swizzled(i % 64, i / 64) : swizzled(i / 64, i % 64)] = a[i];
        tile_b[b_transposed ? swizzled(i / 64, i % 64) : swizzled(i % 64, i / 64)] = b[i];
    }
    shared_to_products();
    __syncthreads();
    uint32_t own[4][4];
    float sums[8][4];
    for (int k = 0; k < 4; k++)
        for (int i = 0; i < 4; i++)
            memcpy(&own[k][i], &a[(warp * 16 + lane / 4 + i % 2 * 8) * 64 + k * 16 + lane % 4 * 2 + i / 2 * 8], 4);
    for (int i = 0; i < 32; i++)
        sums[i / 4][i % 4] = c[i % 4 / 2 * 8 * 64 + i / 4 * 8 + i % 2];
    wgmma_fence();
    for (int k = 0; k < 4; k++) {
        uint64_t described_a = wgmma_tile(place_a + k * (a_transposed ? 2048 : 32));
        uint64_t described_b = wgmma_tile(place_b + k * (b_transposed ? 2048 : 32));
        if (registers)
            (b_transposed ? wgmma_64x64x16<true> : wgmma_64x64x16<false>)(sums, own[k], described_b, true,
                                                                          emulate_place::current());
        else if (a_transposed)
            (b_transposed ? wgmma_64x64x16<true, true> : wgmma_64x64x16<true, false>)(sums, described_a,
                                                                                      described_b, true,
                                                                                      emulate_place::current());
        else
            (b_transposed ? wgmma_64x64x16<false, true> : wgmma_64x64x16<false, false>)(sums, described_a,
                                                                                        described_b, true,
                                                                                        emulate_place::current());
    }
    wgmma_commit();
    wgmma_wait<0>();
    for (int i = 0; i < 32; i++)
        c[i % 4 / 2 * 8 * 64 + i / 4 * 8 + i % 2] = sums[i / 4][i % 4];
}

static void check_warpgroup_products() {
    bf16 *a = device_memory<bf16>(8192), *b = device_memory<bf16>(4096);
    float *c = device_memory<float>(8192);
    for (int i = 0; i < 8192; i++)
        a[i] = number(i);
    for (int i = 0; i < 4096; i++)
        b[i] = number(9000 + i);
    for (int way = 0; way < 6; way++) {
        for (int i = 0; i < 8192; i++)
            c[i] = (float)(i % 50);
        CHECK(launch(warpgroup_products, 1, 256, 32768, a, b, c, way >= 4, way / 2 == 1, way % 2 == 1) ==
              cudaSuccess);
        for (int m = 0; m < 128; m++)
            for (int n = 0; n < 64; n++) {
                float sum = (float)((m * 64 + n) % 50);
                for (int k = 0; k < 64; k++)
                    sum += to_float(a[m * 64 + k]) * to_float(b[k * 64 + n]);
                CHECK(c[m * 64 + n] == sum);
            }
    }
    cudaFree(a), cudaFree(b), cudaFree(c);
}

// Before its wait, a product has not been added in the forward order.
static void product_without_wait(float *out) {
    float sums[8][4] = {};
    uint32_t ones[4] = {0x3f803f80, 0x3f803f80, 0x3f803f80, 0x3f803f80};
    for (int i = (int)threadIdx.x; i < 4096; i += 128)
        ((bf16 *)shared_memory)[i] = to_bf16(1);
    shared_to_products();
    __syncthreads();
    wgmma_fence();
    wgmma_64x64x16<false>(sums, ones, wgmma_tile(0), true);
    wgmma_commit();
    float early = sums[0][0];
    wgmma_wait<0>();
    out[threadIdx.x] = early;
    out[128 + threadIdx.x] = sums[0][0];
}

static void check_products_are_late() {
    float *out = device_memory<float>(256);
    CHECK(launch(product_without_wait, 1, 128, 8192, out) == cudaSuccess);
    if (strcmp(getenv("EMULATE_ORDER"), "forward") == 0)
        CHECK(out[7] == 0);
    CHECK(out[128 + 7] == 16);
    cudaFree(out);
}

// ---- shuffles, ballots ----

static void shuffles(int *out) {
    int lane = (int)threadIdx.x;
    out[lane] = __shfl_xor_sync(0xffffffffu, lane, 5);
    out[32 + lane] = __shfl_sync(0xffffffffu, lane, 3);
    out[64 + lane] = __shfl_down_sync(0xffffffffu, lane, 7);
    out[96 + lane] = __shfl_up_sync(0xffffffffu, lane, 7);
    out[128 + lane] = __shfl_sync(0xffffffffu, lane, 3, 8);
    out[160 + lane] = (int)__ballot_sync(0xffffffffu, lane % 3 == 0);
    out[192 + lane] = (int)warp_sum((float)lane);
}

static void check_shuffles() {
    int *out = device_memory<int>(224), ballot = 0;
    CHECK(launch(shuffles, 1, 32, 0, out) == cudaSuccess);
    for (int i = 0; i < 32; i += 3)
        ballot |= (int)(1u << i);
    for (int i = 0; i < 32; i++) {
        CHECK(out[i] == (i ^ 5));
        CHECK(out[32 + i] == 3);
        CHECK(out[64 + i] == (i + 7 < 32 ? i + 7 : i));
        CHECK(out[96 + i] == (i >= 7 ? i - 7 : i));
        CHECK(out[128 + i] == i / 8 * 8 + 3);
        CHECK(out[160 + i] == ballot);
        CHECK(out[192 + i] == 31 * 16);
    }
    cudaFree(out);
}

// ---- barriers, copies ----

// A running sum over a block, in rounds with a barrier each; some threads leave first.
static void running_sum(float *out) {
    float *x = (float *)shared_memory;
    int i = (int)threadIdx.x, n = (int)blockDim.x - 32;
    if (i >= n)
        return;
    x[i] = (float)(i + 1);
    __syncthreads();
    for (int distance = 1; distance < n; distance *= 2) {
        float more = i >= distance ? x[i - distance] : 0;
        __syncthreads();
        x[i] += more;
        __syncthreads();
    }
    out[blockIdx.x * (unsigned)n + (unsigned)i] = x[i];
}

static void check_barriers() {
    float *out = device_memory<float>(3 * 200);
    CHECK(launch(running_sum, 3, 232, 800, out) == cudaSuccess);
    for (int i = 0; i < 600; i++)
        CHECK(out[i] == (float)((i % 200 + 1) * (i % 200 + 2) / 2));
    cudaFree(out);
}

// Two stages of asynchronous copies; the last 16 bytes are zeros.
static void copies(const float *in, float *out) {
    float *stages = (float *)shared_memory;
    int i = (int)threadIdx.x;
    for (int stage = 0; stage < 2; stage++) {
        copy_async_16(stages + stage * 128 + i * 4, in + stage * 128 + i * 4, stage == 0 || i < 31);
        copy_async_commit();
    }
    copy_async_wait<1>();
    __syncthreads();
    for (int j = 0; j < 4; j++)
        out[i * 4 + j] = stages[127 - (i * 4 + j)];
    copy_async_wait<0>();
    __syncthreads();
    for (int j = 0; j < 4; j++)
        out[128 + i * 4 + j] = stages[255 - (i * 4 + j)];
}

static void check_copies() {
    float *in = device_memory<float>(256), *out = device_memory<float>(256);
    for (int i = 0; i < 256; i++)
        in[i] = (float)(i + 1);
    CHECK(launch(copies, 1, 32, 1024, in, out) == cudaSuccess);
    for (int i = 0; i < 128; i++) {
        CHECK(out[i] == (float)(128 - i));
        CHECK(out[128 + i] == (i < 4 ? 0 : (float)(256 - i)));
    }
    cudaFree(in), cudaFree(out);
}

// Without its wait, a copy has not arrived in the forward order; without its barrier, a neighbour's value has not
// been written in one of the orders.
static void copy_without_wait(const float *in, float *out) {
    float *tile = (float *)shared_memory;
    copy_async_16(tile + threadIdx.x * 4, in + threadIdx.x * 4, true);
    copy_async_commit();
    out[threadIdx.x] = tile[threadIdx.x * 4];
}

static void neighbour_without_barrier(float *out) {
    float *tile = (float *)shared_memory;
    tile[threadIdx.x] = 1;
    out[threadIdx.x] = tile[(threadIdx.x + 1) % blockDim.x] + tile[(threadIdx.x + blockDim.x - 1) % blockDim.x];
}

static void check_races_show() {
    float *in = device_memory<float>(256), *out = device_memory<float>(64);
    for (int i = 0; i < 256; i++)
        in[i] = 1;
    bool forward = strcmp(getenv("EMULATE_ORDER"), "forward") == 0;
    CHECK(launch(copy_without_wait, 1, 64, 1024, in, out) == cudaSuccess);
    CHECK(!forward || isnan(out[5]));
    CHECK(launch(neighbour_without_barrier, 1, 64, 256, out) == cudaSuccess);
    bool all = true;
    for (int i = 0; i < 64; i++)
        all = all && out[i] == 2;
    CHECK(!all);
    cudaFree(in), cudaFree(out);
}

// ---- the host's side ----

static void add_one(float *x) {
    x[threadIdx.x] += 1;
}

static void check_runtime() {
    float *x = device_memory<float>(32), host[32] = {0};
    cudaStream_t stream;
    cudaGraph_t graph;
    cudaGraphExec_t executable;
    CHECK(isnan(x[0]) && isnan(x[31]));
    CHECK(launch(add_one, dim3(1, 65536), 32, 0, x) == cudaErrorInvalidConfiguration);
    CHECK(launch(add_one, 1, 1025, 0, x) == cudaErrorInvalidConfiguration);
    CHECK(launch(add_one, 1, 32, 49153, x) == cudaErrorInvalidValue);
    CHECK(cudaFuncSetAttribute((const void *)add_one, cudaFuncAttributeMaxDynamicSharedMemorySize, 49153) ==
          cudaSuccess);
    CHECK(launch(add_one, 1, 32, 49153, x) == cudaSuccess);
    CHECK(cudaFuncSetAttribute((const void *)add_one, cudaFuncAttributeMaxDynamicSharedMemorySize, 228 << 10) ==
          cudaErrorInvalidValue);
    CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
    CHECK(cudaMemcpyAsync(x, host, sizeof host, cudaMemcpyHostToDevice, stream) == cudaSuccess);
    CHECK(cudaMemcpyAsync(x + 1, host, sizeof host, cudaMemcpyHostToDevice, stream) == cudaErrorInvalidValue);
    CHECK(cudaMemsetAsync(host, 0, 4, stream) == cudaErrorInvalidValue);
    cudaLaunchConfig_t c = {};
    c.gridDim = c.blockDim = dim3(1);
    c.blockDim.x = 32;
    c.stream = stream;
    CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
    CHECK(cudaLaunchKernelEx(&c, add_one, x) == cudaSuccess);
    CHECK(x[0] == 0);
    CHECK(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
    CHECK(cudaGraphInstantiate(&executable, graph, 0) == cudaSuccess);
    for (int i = 1; i <= 3; i++) {
        CHECK(cudaGraphLaunch(executable, stream) == cudaSuccess);
        CHECK(x[0] == (float)i && x[31] == (float)i);
    }
    cudaGraphDestroy(graph), cudaGraphExecDestroy(executable);
    float *y;
    CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
    CHECK(cudaMalloc(&y, 4) == cudaErrorStreamCaptureUnsupported);
    CHECK(cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureInvalidated && graph == NULL);
    setenv("EMULATE_MEMORY", "1000", 1);
    CHECK(cudaMalloc(&y, 900) == cudaErrorMemoryAllocation);
    CHECK(cudaMalloc(&y, 800) == cudaSuccess);
    cudaFree(x), cudaFree(y);
    cudaStreamDestroy(stream);
}

// ---- misuse ----

static void lane_at_barrier(int *out) {
    if (threadIdx.x == 40)
        __syncthreads();
    out[threadIdx.x] = __shfl_xor_sync(0xffffffffu, (int)threadIdx.x, 1);
}
static void lane_gone(int *out) {
    if (threadIdx.x == 40)
        return;
    out[threadIdx.x] = __shfl_xor_sync(0xffffffffu, (int)threadIdx.x, 1);
}
static void lanes_apart(int *out) {
    if (threadIdx.x % 32 < 16)
        out[threadIdx.x] = __shfl_xor_sync(0xffffffffu, (int)threadIdx.x, 1);
    else
        out[threadIdx.x] = __shfl_xor_sync(0xffffffffu, (int)threadIdx.x, 1);
}
static void barriers_apart(int *out) {
    if (threadIdx.x < 32)
        __syncthreads();
    else
        __syncthreads();
    out[threadIdx.x] = 0;
}
static void half_a_mask(int *out) {
    out[threadIdx.x] = __shfl_xor_sync(0xffffu, (int)threadIdx.x, 1);
}
static void beyond_shared(int *out) {
    shared_memory[512 + threadIdx.x] = (unsigned char)(*out + 2);
}
static void ldmatrix_aside(int *out) {
    uint32_t r[4];
    shared_memory[0] = 0;
    ldmatrix_x4(r, shared_memory + threadIdx.x % 2 * 16 + (threadIdx.x == 3 ? 8 : 0));
    out[threadIdx.x] = (int)r[0];
}
static void ldmatrix_beyond(int *out) {
    uint32_t r[4];
    ldmatrix_x4(r, shared_memory + threadIdx.x % 32 * 16 + 16);
    out[threadIdx.x] = (int)r[0];
}
static void copy_aside(int *out) {
    copy_async_16(shared_memory + threadIdx.x % 2 * 16, out + 1, true);
}
static void copy_from_host(int *out) {
    alignas(16) int here[4] = {*out};
    copy_async_16(shared_memory, here, true);
}
static void one_product(int *out, int place, bool fence, bool wait) {
    float sums[8][4] = {};
    uint32_t ones[4] = {};
    if (fence)
        wgmma_fence();
    wgmma_64x64x16<true>(sums, ones, wgmma_tile(place), false);
    wgmma_commit();
    if (wait)
        wgmma_wait<0>();
    out[threadIdx.x] = (int)sums[0][0];
}
static void product_unfenced(int *out) {
    one_product(out, 0, false, true);
}
static void product_left(int *out) {
    one_product(out, 0, true, false);
}
static void product_aside(int *out) {
    one_product(out, 32, true, true);
}
static void product_beyond(int *out) {
    one_product(out, 1024, true, true);
}
static void product_of_copies(int *out) {
    copy_async_16(shared_memory, out, true);
    copy_async_commit();
    copy_async_wait<0>();
    __syncthreads();
    one_product(out, 0, true, true);
}
static void product_of_stores(int *out) {
    store_for_products((int)threadIdx.x * 4, 0);
    __syncthreads();
    one_product(out, 0, true, true);
}
static void product_of_some(int *out) {
    if (threadIdx.x / 32 != 1)
        one_product(out, 0, true, true);
}
static void beyond_device(int *out) {
    out[64 + threadIdx.x] = 0;
}

static void (*misuse)(int *);
static size_t misused_bytes;
static void check_misuse() {
    int *out = device_memory<int>(64);
    launch(misuse, 2, 64, misused_bytes, out);
    cudaFree(out);
}
static void free_twice() {
    int *p = device_memory<int>(1);
    cudaFree(p);
    cudaFree(p);
}
static void free_never() {
    device_memory<int>(5);
}

int main() {
    static const struct {
        const char *name;
        void (*kernel)(int *);
        const char *text;
        size_t shared = 512;
    } misuses[] = {
        {"a lane at the barrier", lane_at_barrier,
         "only 31 of 32 lanes of warp 1 arrive: 1 wait at __syncthreads()"},
        {"a lane gone", lane_gone, "only 31 of 32 lanes of warp 1 arrive"},
        {"lanes at two shuffles", lanes_apart, "waits here, and lane 0 in __shfl_xor_sync"},
        {"threads at two barriers", barriers_apart, "__syncthreads(): thread 32 waits here, and thread 0 at"},
        {"half a mask", half_a_mask, "mask 0xffff is not the full one"},
        {"beyond shared memory", beyond_shared,
         "byte 512 of shared memory was written, and the launch asked for 512"},
        {"ldmatrix not aligned", ldmatrix_aside,
         "lane 3: byte 24 of 512 bytes of shared memory, not aligned to 16"},
        {"ldmatrix beyond", ldmatrix_beyond, "byte 512 of 512 bytes of shared memory"},
        {"a copy not aligned", copy_aside, "which is not aligned to 16"},
        {"a copy from the host", copy_from_host, "which is no device memory"},
        {"a product without a fence", product_unfenced, "no wgmma_fence() in front of the group", 2048},
        {"a product without a wait", product_left, "the block ends, and no wgmma_wait() came behind it", 2048},
        {"a product within a block of rows", product_aside, "byte 32 of shared memory is within a block", 2048},
        {"a product beyond shared memory", product_beyond, "byte 2048 of 2048 bytes of shared memory", 2048},
        {"a product of copies not made known", product_of_copies, "has copied to shared memory without", 2048},
        {"a product of stores not made known", product_of_stores, "without shared_to_products()", 2048},
        {"a product of three warps", product_of_some, "warps 0 and 1 of one warpgroup did not do the same", 2048},
        {"beyond device memory", beyond_device, "byte 256 of a block of 256 bytes of device memory was written"},
    };
    good("mma and ldmatrix", check_mma);
    good("products of a warpgroup", check_warpgroup_products);
    good("products are late", check_products_are_late);
    good("shuffles", check_shuffles);
    good("barriers", check_barriers);
    good("asynchronous copies", check_copies);
    good("races show", check_races_show);
    good("runtime", check_runtime);
    for (const auto &m : misuses) {
        misuse = m.kernel;
        misused_bytes = m.shared;
        bad(m.name, check_misuse, m.text, false);
    }
    bad("freed twice", free_twice, "no block of device memory, or freed before", false);
    bad("never freed", free_never, "1 blocks of device memory (20 bytes) were never freed", true);
    printf("%d checks, %d failed\n", checks, failures);
    return failures > 0;
}
