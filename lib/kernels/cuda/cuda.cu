// The backend's device: opening, memory, failures.
#include "cuda.cuh"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- failures ----

void cuda_fail(struct cuda *s, const char *format, ...) {
    if (s->failure != 0)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(s->message, sizeof s->message, format, arguments);
    va_end(arguments);
    s->failure = ERROR_SYSTEM;
}

bool cuda_check(struct cuda *s, cudaError_t status, const char *what) {
    if (status != cudaSuccess)
        cuda_fail(s, "device 'cuda:%d': %s: %s", s->index, what, cudaGetErrorString(status));
    return status == cudaSuccess;
}

bool cuda_shared_ask(struct cuda *s, const char *name, const void *kernel, size_t bytes) {
    if (bytes > s->shared_most) {
        cuda_fail(s, "device 'cuda:%d': %s needs %zu bytes of shared memory a block, and this device has %zu",
                  s->index, name, bytes, s->shared_most);
        return false;
    }
    return cuda_check(s, cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes),
                      name);
}

static int returned_failure(struct cuda *s) {
    int code = s->failure;
    s->failure = 0;
    return code == 0 ? OK : error_set(code, "%s", s->message);
}

static int synchronize(struct device *d) {
    struct cuda *s = cuda_of(d);
    cuda_check(s, cudaStreamSynchronize(s->stream), "running kernels");
    return returned_failure(s);
}

// ---- memory ----

struct cuda_block {
    void *p;
    size_t bytes;
    struct cuda_block *next;
};

static int out_of_memory(const struct cuda *s, size_t bytes) {
    size_t available = 0, whole = 0;
    if (cudaMemGetInfo(&available, &whole) != cudaSuccess)
        cudaGetLastError();
    return error_set(ERROR_SYSTEM,
                     "device 'cuda:%d': cannot allocate %zu bytes (%zu in use here, %zu of %zu are free)",
                     s->index, bytes, s->used, available, whole);
}

int cuda_memory_new(struct cuda *s, size_t bytes, void **p) {
    *p = NULL;
    struct cuda_block *block = (struct cuda_block *)malloc(sizeof *block);
    if (!block)
        return error_set(ERROR_SYSTEM, "out of memory: %zu bytes", sizeof *block);
    cudaError_t status = cudaMalloc(&block->p, bytes > 0 ? bytes : 1);
    if (status != cudaSuccess) {
        cudaGetLastError(); // that it failed is said here, not by the next call
        free(block);
        if (status == cudaErrorMemoryAllocation)
            return out_of_memory(s, bytes);
        return error_set(ERROR_SYSTEM, "device 'cuda:%d': allocating memory: %s", s->index,
                         cudaGetErrorString(status));
    }
    block->bytes = bytes;
    block->next = s->blocks;
    s->blocks = block;
    s->used += bytes;
    *p = block->p;
    return OK;
}

void cuda_memory_free(struct cuda *s, void *p) {
    for (struct cuda_block **at = &s->blocks; p && *at; at = &(*at)->next)
        if ((*at)->p == p) {
            struct cuda_block *block = *at;
            *at = block->next;
            s->used -= block->bytes;
            cudaFree(p); // waits for the work that may use it
            free(block);
            return;
        }
}

void *cuda_scratch(struct cuda *s, size_t bytes) {
    if (s->failure != 0)
        return NULL;
    if (bytes <= s->scratch_bytes)
        return s->scratch;
    if (cuda_recording(s)) {
        cuda_fail(s, "device 'cuda:%d': a recorded pass asks for more scratch than the same pass before",
                  s->index);
        return NULL;
    }
    cuda_forget(s); // graphs hold the old address
    cuda_memory_free(s, s->scratch);
    s->scratch = NULL;
    s->scratch_bytes = 0;
    if (cuda_memory_new(s, bytes, &s->scratch) != OK) {
        cuda_fail(s, "%s", error_message());
        return NULL;
    }
    s->scratch_bytes = bytes;
    return s->scratch;
}

static int allocate(struct device *d, size_t bytes, dptr *p) {
    void *memory;
    int code = cuda_memory_new(cuda_of(d), bytes, &memory);
    *p = (dptr)memory;
    return code;
}

static void release(struct device *d, dptr p) {
    cuda_forget(cuda_of(d)); // a graph may hold it
    cuda_memory_free(cuda_of(d), p);
}

// What is uploaded waits here until the stream comes to it: the device reads this memory by itself, where for any
// other the runtime may wait for all that was issued before. Parts are taken in turn, so the host may be as many
// uploads ahead: two passes of a model.
enum { STAGING_PARTS = 8, STAGING_BYTES = 4 << 20 };

struct cuda_staging {
    struct {
        void *memory;
        cudaEvent_t read; // what it held is on the device
    } parts[STAGING_PARTS];
    int next;
};

static int staging_open(struct cuda *s) {
    s->staging = (struct cuda_staging *)calloc(1, sizeof *s->staging);
    if (!s->staging)
        return error_set(ERROR_SYSTEM, "out of memory: %zu bytes", sizeof *s->staging);
    cudaError_t status = cudaSuccess;
    for (int i = 0; i < STAGING_PARTS && status == cudaSuccess; i++) {
        status = cudaMallocHost(&s->staging->parts[i].memory, STAGING_BYTES);
        if (status == cudaSuccess)
            status = cudaEventCreateWithFlags(&s->staging->parts[i].read, cudaEventDisableTiming);
    }
    return status == cudaSuccess
               ? OK
               : error_set(ERROR_SYSTEM, "device 'cuda:%d': %d bytes of the host's memory for uploads: %s",
                           s->index, STAGING_PARTS * STAGING_BYTES, cudaGetErrorString(status));
}

static void staging_close(struct cuda *s) {
    for (int i = 0; s->staging && i < STAGING_PARTS; i++) {
        if (s->staging->parts[i].read)
            cudaEventDestroy(s->staging->parts[i].read);
        if (s->staging->parts[i].memory)
            cudaFreeHost(s->staging->parts[i].memory);
    }
    free(s->staging);
    s->staging = NULL;
}

static void upload(struct device *d, dptr to, const void *from, size_t bytes) {
    static const char what[] = "copying to the device";
    struct cuda *s = cuda_of(d);
    for (size_t at = 0; at < bytes && s->failure == 0; at += STAGING_BYTES) {
        size_t piece = bytes - at < STAGING_BYTES ? bytes - at : (size_t)STAGING_BYTES;
        auto *part = &s->staging->parts[s->staging->next];
        s->staging->next = (s->staging->next + 1) % STAGING_PARTS;
        if (!cuda_check(s, cudaEventSynchronize(part->read), what))
            return;
        memcpy(part->memory, (const char *)from + at, piece);
        if (cuda_check(s, cudaMemcpyAsync(dptr_at(to, at), part->memory, piece, cudaMemcpyHostToDevice, s->stream),
                       what))
            cuda_check(s, cudaEventRecord(part->read, s->stream), what);
    }
}

static int download(struct device *d, void *to, dptr from, size_t bytes) {
    struct cuda *s = cuda_of(d);
    if (s->failure == 0)
        cuda_check(s, cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, s->stream),
                   "copying from the device");
    return synchronize(d);
}

static void copy(struct device *d, dptr to, dptr from, size_t bytes) {
    struct cuda *s = cuda_of(d);
    if (s->failure == 0)
        cuda_check(s, cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, s->stream), "copying");
}

static void zero(struct device *d, dptr p, size_t bytes) {
    struct cuda *s = cuda_of(d);
    if (s->failure == 0)
        cuda_check(s, cudaMemsetAsync(p, 0, bytes, s->stream), "clearing memory");
}

static size_t memory_used(const struct device *d) {
    return cuda_of(d)->used;
}

// ---- scratch ----

static size_t largest_scratch(const struct cuda *s, const struct kernel_limits *l) {
    const size_t all[] = {cuda_embed_scratch(l), cuda_norm_scratch(l), cuda_attention_scratch(s, l),
                          cuda_classifier_scratch(l, s->half), cuda_update_scratch(l)};
    size_t most = 0;
    for (size_t bytes : all)
        most = bytes > most ? bytes : most;
    return most;
}

static size_t workspace(const struct device *d, const struct kernel_limits *l) {
    return largest_scratch(cuda_of(d), l) + cuda_matmul_workspace();
}

static int prepare(struct device *d, const struct kernel_limits *l) {
    cuda_scratch(cuda_of(d), largest_scratch(cuda_of(d), l));
    return synchronize(d);
}

// ---- opening ----

static void close_device(struct device *d) {
    struct cuda *s = cuda_of(d);
    if (!s)
        return;
    if (s->stream)
        cudaStreamSynchronize(s->stream);
    staging_close(s);
    cuda_forget(s);
    cuda_matmul_close(s);
    while (s->blocks)
        cuda_memory_free(s, s->blocks->p);
    if (s->products)
        cublasLtDestroy(s->products);
    if (s->stream)
        cudaStreamDestroy(s->stream);
    free(s);
    d->state = NULL;
}

static const struct kernels *operations();

// What the driver is too old for, or cannot find, in one line.
static int no_device(cudaError_t status) {
    int driver = 0, runtime = 0;
    bool versions = status == cudaErrorInsufficientDriver && cudaDriverGetVersion(&driver) == cudaSuccess &&
                    cudaRuntimeGetVersion(&runtime) == cudaSuccess;
    if (versions && driver == 0) // how the runtime says that there is none
        return error_set(ERROR_SYSTEM, "device 'cuda': there is no NVIDIA driver here; use --device cpu");
    if (versions)
        return error_set(ERROR_SYSTEM,
                         "device 'cuda': the driver serves CUDA %d.%d, and this build needs %d.%d: update the "
                         "driver, or use --device cpu",
                         driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
    return error_set(ERROR_SYSTEM, "device 'cuda': %s; use --device cpu", cudaGetErrorString(status));
}

static int check_device(int index) {
    int count = 0;
    cudaError_t status = cudaGetDeviceCount(&count);
    if (status != cudaSuccess)
        return no_device(status);
    if (index >= count)
        return error_set(ERROR_SYSTEM, "device 'cuda:%d': there %s %d (0%s)", index, count == 1 ? "is" : "are",
                         count, count > 1 ? " and up" : "");
    int major = 0;
    status = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index);
    if (status != cudaSuccess)
        return no_device(status);
    if (major < 8)
        return error_set(ERROR_SYSTEM, "device 'cuda:%d': compute capability %d.x, and 8.0 is needed", index,
                         major);
    return OK;
}

// TACIT_ATTENTION: mma or wgmma.
static int choose_attention(struct cuda *s) {
    const char *named = getenv("TACIT_ATTENTION");
    if (!named || !*named)
        return OK;
    if (strcmp(named, "mma") != 0 && strcmp(named, "wgmma") != 0)
        return error_set(ERROR_USAGE, "TACIT_ATTENTION: '%s' is neither mma nor wgmma", named);
    s->attention = *named == 'm' ? ATTENTION_MMA : ATTENTION_WGMMA;
    if (s->attention == ATTENTION_WGMMA && !s->warpgroups)
        return error_set(ERROR_SYSTEM,
                         "TACIT_ATTENTION: device 'cuda:%d' has no wgmma (only compute capability 9.0 has)",
                         s->index);
    return OK;
}

static int open_state(struct cuda *s) {
    int shared = 0, major = 0;
    cudaError_t status = cudaSetDevice(s->index);
    if (status == cudaSuccess)
        status = cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, s->index);
    if (status == cudaSuccess)
        status = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, s->index);
    if (status == cudaSuccess)
        status = cudaStreamCreateWithFlags(&s->stream, cudaStreamNonBlocking);
    if (status != cudaSuccess)
        return error_set(ERROR_SYSTEM, "device 'cuda:%d': starting: %s", s->index, cudaGetErrorString(status));
    s->shared_most = (size_t)shared;
    s->warpgroups = major == 9;
    cublasStatus_t products = cublasLtCreate(&s->products);
    if (products != CUBLAS_STATUS_SUCCESS)
        return error_set(ERROR_SYSTEM, "device 'cuda:%d': cuBLASLt does not start (status %d)", s->index,
                         (int)products);
    int code = choose_attention(s);
    if (code == OK)
        code = staging_open(s);
    return code == OK ? cuda_matmul_open(s) : code;
}

// The chip's name, which table of `make tune` chooses the products, and which kernels attention if it was said:
// all goes into logs.
static void describe(struct device *d) {
    static const char *const attention[] = {"", ", attention by mma", ", attention by wgmma"};
    struct cuda *s = cuda_of(d);
    uint32_t digest = cuda_matmul_digest(s);
    char tuned[32] = "";
    cudaDeviceProp properties;
    if (cudaGetDeviceProperties(&properties, s->index) != cudaSuccess) {
        cudaGetLastError();
        return;
    }
    if (digest != 0)
        snprintf(tuned, sizeof tuned, ", tuned %08x", digest);
    snprintf(d->detail, sizeof d->detail, "%.56s%s%s", properties.name, tuned, attention[s->attention]);
}

// bfloat16 unless float32 is asked for: every chip served has the instruction.
extern "C" int kernels_cuda_open(struct device *d, int index, enum kernel_dtype dtype) {
    d->state = NULL;
    int code = check_device(index);
    if (code != OK)
        return code;
    struct cuda *s = (struct cuda *)calloc(1, sizeof *s);
    if (!s)
        return error_set(ERROR_SYSTEM, "out of memory: %zu bytes", sizeof *s);
    d->k = operations();
    d->state = s;
    d->compute = dtype == KERNEL_F32 ? KERNEL_F32 : KERNEL_BF16;
    d->threads = 1;
    s->half = d->compute == KERNEL_BF16;
    s->index = index;
    code = open_state(s);
    if (code == OK)
        describe(d);
    else
        close_device(d);
    return code;
}

static const struct kernels *operations() {
    static struct kernels k;
    k.name = "cuda";
    k.close = close_device;
    k.allocate = allocate;
    k.release = release;
    k.upload = upload;
    k.download = download;
    k.copy = copy;
    k.zero = zero;
    k.synchronize = synchronize;
    k.memory_used = memory_used;
    k.workspace = workspace;
    k.prepare = prepare;
    k.replay = cuda_replay;
    k.recorded = cuda_recorded;
    k.embed_forward = cuda_embed_forward;
    k.embed_backward = cuda_embed_backward;
    k.norm_forward = cuda_norm_forward;
    k.norm_backward = cuda_norm_backward;
    k.matmul_forward = cuda_matmul_forward;
    k.matmul_backward_input = cuda_matmul_backward_input;
    k.matmul_backward_weight = cuda_matmul_backward_weight;
    k.swiglu_forward = cuda_swiglu_forward;
    k.swiglu_backward = cuda_swiglu_backward;
    k.attention_forward = cuda_attention_forward;
    k.attention_backward = cuda_attention_backward;
    k.classifier = cuda_classifier;
    k.convert = cuda_convert;
    k.sum_squares = cuda_sum_squares;
    k.clip_scale = cuda_clip_scale;
    k.adamw = cuda_adamw;
    return &k;
}
