// The host's side: devices, memory, streams that do at once what they are told, graphs that keep it for later.
#include "cuda_runtime.h"
#include "grid.h"

#include <iterator>
#include <map>
#include <mutex>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <vector>

enum { RUNTIME_VERSION = 13000, SHARED_DEFAULT = 48 << 10 };

static std::recursive_mutex lock;
typedef std::lock_guard<std::recursive_mutex> locked;

static size_t number_of(const char *name, size_t otherwise) {
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

static size_t memory_there() {
    return number_of("EMULATE_MEMORY", (size_t)4 << 30);
}

// ---- errors ----

static thread_local cudaError_t latest;

static cudaError_t result(cudaError_t status) {
    if (status != cudaSuccess)
        latest = status;
    return status;
}

static const struct {
    cudaError_t status;
    const char *name, *text;
} errors[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInitializationError, "cudaErrorInitializationError", "initialization error"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureUnmatched, "cudaErrorStreamCaptureUnmatched", "stream was not captured"},
};

const char *cudaGetErrorString(cudaError_t status) {
    for (const auto &e : errors)
        if (e.status == status)
            return e.text;
    return "unrecognized error code";
}

const char *cudaGetErrorName(cudaError_t status) {
    for (const auto &e : errors)
        if (e.status == status)
            return e.name;
    return "unrecognized error code";
}

cudaError_t cudaGetLastError() {
    cudaError_t status = latest;
    latest = cudaSuccess;
    return status;
}

cudaError_t cudaPeekAtLastError() {
    return latest;
}

// ---- the device ----

static thread_local int device_now;

static int device_count() {
    return (int)number_of("EMULATE_DEVICES", 1);
}

static cudaError_t started() {
    if (number_of("EMULATE_DRIVER", RUNTIME_VERSION) < RUNTIME_VERSION)
        return result(cudaErrorInsufficientDriver);
    return device_count() > 0 ? cudaSuccess : result(cudaErrorNoDevice);
}

cudaError_t cudaGetDeviceCount(int *count) {
    cudaError_t status = started();
    *count = status == cudaSuccess ? device_count() : 0;
    return status;
}

static cudaError_t check_device(int device) {
    cudaError_t status = started();
    if (status == cudaSuccess && (device < 0 || device >= device_count()))
        status = result(cudaErrorInvalidDevice);
    return status;
}

cudaError_t cudaSetDevice(int device) {
    cudaError_t status = check_device(device);
    if (status == cudaSuccess)
        device_now = device;
    return status;
}

cudaError_t cudaGetDevice(int *device) {
    *device = device_now;
    return started();
}

static double capability() {
    const char *text = getenv("EMULATE_CAPABILITY");
    return text && *text ? strtod(text, NULL) : 8.0;
}

// As in the CUDA C++ Programming Guide, "Technical Specifications per Compute Capability".
static int shared_most() {
    static const struct {
        double capability; // and above
        int kilobytes;
    } most[] = {{12, 99}, {9, 227}, {8.85, 99}, {8.65, 163}, {8.55, 99}, {8, 163}, {0, 96}};
    int i = 0;
    while (capability() < most[i].capability)
        i++;
    return (int)number_of("EMULATE_SHARED", (size_t)most[i].kilobytes << 10);
}

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr which, int device) {
    *value = 0;
    switch (which) {
    case cudaDevAttrMaxThreadsPerBlock:
        *value = 1024;
        break;
    case cudaDevAttrMultiProcessorCount:
        *value = 5; // no round number: nothing may be cut by it
        break;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
        *value = 2048;
        break;
    case cudaDevAttrComputeCapabilityMajor:
        *value = (int)capability();
        break;
    case cudaDevAttrComputeCapabilityMinor:
        *value = (int)(capability() * 10 + 0.5) % 10;
        break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
        *value = shared_most() + 1024;
        break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        *value = shared_most();
        break;
    default:
        return result(cudaErrorInvalidValue);
    }
    return check_device(device);
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int device) {
    *properties = {};
    snprintf(properties->name, sizeof properties->name, "emulated device");
    properties->totalGlobalMem = memory_there();
    cudaDeviceGetAttribute(&properties->multiProcessorCount, cudaDevAttrMultiProcessorCount, device);
    properties->sharedMemPerBlockOptin = (size_t)shared_most();
    properties->major = (int)capability();
    properties->minor = (int)(capability() * 10 + 0.5) % 10;
    return check_device(device);
}

cudaError_t cudaDriverGetVersion(int *version) {
    *version = (int)number_of("EMULATE_DRIVER", RUNTIME_VERSION);
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version) {
    *version = RUNTIME_VERSION;
    return cudaSuccess;
}

// ---- streams ----

struct emulate_task {
    emulate_kind kind;
    std::function<void()> run;
};
typedef std::vector<emulate_task> tasks;

struct emulate_graph {
    tasks all;
};
struct emulate_stream {
    bool capturing, broken;
    tasks captured;
};
struct emulate_event {
    double seconds;
    bool recorded, waited_for; // waited_for: issued, and not yet done
};

static emulate_stream default_stream;
static emulate_stream *capturing; // one at a time is enough

static emulate_stream *stream_of(cudaStream_t stream) {
    return stream ? stream : &default_stream;
}

// A call that waits or allocates breaks a capture.
static cudaError_t outside_capture() {
    if (!capturing)
        return cudaSuccess;
    capturing->broken = true;
    return result(cudaErrorStreamCaptureUnsupported);
}

// ---- counting, instead of running ----

static const char *count_file() {
    static const char *name = getenv("EMULATE_COUNT");
    return name && *name ? name : NULL;
}

static struct counts {
    size_t of[EMULATE_KINDS], graphs, waits;
    ~counts() {
        FILE *f = count_file() ? fopen(count_file(), "a") : NULL;
        if (!f)
            return;
        fprintf(f, "kernels %zu products %zu copies %zu downloads %zu sets %zu graphs %zu waits %zu\n",
                of[EMULATE_KERNEL], of[EMULATE_PRODUCT], of[EMULATE_COPY], of[EMULATE_DOWNLOAD], of[EMULATE_SET],
                graphs, waits);
        fclose(f);
    }
} counted;

// ---- late, instead of at once ----

static tasks waiting; // of all streams, in the order in which they were issued

static bool is_late() {
    static const char *when = getenv("EMULATE_STREAM");
    return when && strcmp(when, "late") == 0;
}

// The host waits, for everything.
static void catch_up() {
    tasks all = std::move(waiting);
    waiting.clear();
    for (const auto &task : all)
        task.run();
}

cudaError_t emulate_issue(cudaStream_t stream, emulate_kind kind, std::function<void()> task) {
    emulate_stream *s = stream_of(stream);
    if (s->capturing) {
        s->captured.push_back({kind, task});
        return cudaSuccess;
    }
    counted.of[kind]++;
    if (count_file() && kind != EMULATE_DOWNLOAD && kind != EMULATE_EVENT)
        return cudaSuccess;
    waiting.push_back({kind, task});
    if (!is_late())
        catch_up();
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) {
    (void)flags;
    *stream = NULL;
    cudaError_t status = started();
    if (status == cudaSuccess)
        *stream = new emulate_stream();
    return status;
}

cudaError_t cudaStreamCreate(cudaStream_t *stream) {
    return cudaStreamCreateWithFlags(stream, 0);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    catch_up();
    if (capturing == stream)
        capturing = NULL;
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    locked l(lock);
    counted.waits++;
    catch_up();
    return stream_of(stream)->capturing ? outside_capture() : cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
    return cudaStreamSynchronize(stream);
}

cudaError_t cudaDeviceSynchronize() {
    locked l(lock);
    catch_up();
    return outside_capture();
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus *status) {
    const emulate_stream *s = stream_of(stream);
    *status = !s->capturing ? cudaStreamCaptureStatusNone
              : s->broken   ? cudaStreamCaptureStatusInvalidated
                            : cudaStreamCaptureStatusActive;
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
    (void)mode;
    locked l(lock);
    if (!stream || capturing)
        return result(cudaErrorStreamCaptureUnsupported);
    capturing = stream;
    stream->capturing = true;
    stream->broken = false;
    stream->captured.clear();
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
    locked l(lock);
    *graph = NULL;
    if (!stream || capturing != stream)
        return result(cudaErrorStreamCaptureUnmatched);
    capturing = NULL;
    stream->capturing = false;
    if (stream->broken)
        return result(cudaErrorStreamCaptureInvalidated);
    *graph = new emulate_graph{std::move(stream->captured)};
    stream->captured.clear();
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long flags) {
    (void)flags;
    *executable = new emulate_graph(*graph);
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
    locked l(lock);
    counted.graphs++;
    for (const auto &task : executable->all)
        emulate_issue(stream, task.kind, task.run);
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    delete graph;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
    delete executable;
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) {
    (void)flags;
    *event = new emulate_event();
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *event) {
    return cudaEventCreateWithFlags(event, 0);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    catch_up();
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    locked l(lock);
    event->waited_for = true;
    return emulate_issue(stream, EMULATE_EVENT, [event] {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        event->seconds = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
        event->recorded = true;
        event->waited_for = false;
    });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    locked l(lock);
    if (event->waited_for)
        catch_up();
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
    (void)event;
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) {
    (void)stream, (void)event, (void)flags;
    return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t start, cudaEvent_t end) {
    if (!start->recorded || !end->recorded)
        return result(cudaErrorInvalidResourceHandle);
    *milliseconds = (float)(1e3 * (end->seconds - start->seconds));
    return cudaSuccess;
}

// ---- memory ----

// Each block with a fence of 0xff behind it, which must be whole when the block is freed.
enum { FENCE = 256 };

struct block_table {
    std::map<uintptr_t, size_t> blocks;
    size_t used = 0;
    ~block_table() {
        if (!blocks.empty())
            fprintf(stderr, "emulate: %zu blocks of device memory (%zu bytes) were never freed\n", blocks.size(),
                    used);
    }
};
static block_table memory;

bool emulate_is_device(const void *p, size_t bytes) {
    uintptr_t at = (uintptr_t)p;
    auto next = memory.blocks.upper_bound(at);
    if (next == memory.blocks.begin())
        return false;
    --next;
    return at - next->first <= next->second && bytes <= next->second - (at - next->first);
}

cudaError_t cudaMalloc(void **p, size_t bytes) {
    locked l(lock);
    *p = NULL;
    cudaError_t status = started();
    if (status == cudaSuccess)
        status = outside_capture();
    if (status != cudaSuccess)
        return status;
    size_t most = memory_there();
    if (bytes > most || memory.used > most - bytes)
        return result(cudaErrorMemoryAllocation);
#ifdef __SANITIZE_ADDRESS__
    size_t whole = (bytes + 255) / 256 * 256; // AddressSanitizer's own fence is better; it begins at 256 bytes
#else
    size_t whole = (bytes + 255) / 256 * 256 + FENCE;
#endif
    void *block;
    if (posix_memalign(&block, 256, whole) != 0)
        return result(cudaErrorMemoryAllocation);
    if (!count_file())
        memset(block, 0xff, whole);
    else // what is fresh from the system is zero, and takes no memory until it is touched
        memset(block, 0, whole < ((size_t)64 << 20) ? whole : 0);
    memory.blocks[(uintptr_t)block] = bytes;
    memory.used += bytes;
    *p = block;
    return cudaSuccess;
}

cudaError_t cudaFree(void *p) {
    locked l(lock);
    if (!p)
        return cudaSuccess;
    cudaError_t status = outside_capture();
    if (status != cudaSuccess)
        return status;
    catch_up();
    auto at = memory.blocks.find((uintptr_t)p);
    if (at == memory.blocks.end()) {
        fprintf(stderr, "emulate: cudaFree(%p): no block of device memory, or freed before\n", p);
        abort();
    }
    size_t bytes = at->second;
#ifndef __SANITIZE_ADDRESS__
    for (size_t i = bytes; !count_file() && i < (bytes + 255) / 256 * 256 + FENCE; i++)
        if (((unsigned char *)p)[i] != 0xff) {
            fprintf(stderr, "emulate: byte %zu of a block of %zu bytes of device memory was written\n", i, bytes);
            abort();
        }
#endif
    memory.used -= bytes;
    memory.blocks.erase(at);
    free(p);
    return cudaSuccess;
}

static std::map<uintptr_t, size_t> host_blocks; // that the device reads by itself

static bool is_paged(const void *p) {
    auto next = host_blocks.upper_bound((uintptr_t)p);
    return next == host_blocks.begin() || (uintptr_t)p - std::prev(next)->first >= std::prev(next)->second;
}

cudaError_t cudaMallocHost(void **p, size_t bytes) {
    locked l(lock);
    cudaError_t status = outside_capture();
    *p = NULL;
    if (status == cudaSuccess && !(*p = malloc(bytes > 0 ? bytes : 1)))
        status = result(cudaErrorMemoryAllocation);
    if (status == cudaSuccess)
        host_blocks[(uintptr_t)*p] = bytes;
    return status;
}

cudaError_t cudaFreeHost(void *p) {
    locked l(lock);
    catch_up();
    host_blocks.erase((uintptr_t)p);
    free(p);
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *available, size_t *whole) {
    locked l(lock);
    *whole = memory_there();
    *available = *whole - memory.used;
    return started();
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
    locked l(lock);
    bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if (bytes == 0)
        return cudaSuccess;
    if ((to_device && !emulate_is_device(to, bytes)) || (from_device && !emulate_is_device(from, bytes)))
        return result(cudaErrorInvalidValue);
    bool paged = !(to_device && from_device) && is_paged(to_device ? from : to);
    cudaError_t status = paged && stream_of(stream)->capturing ? outside_capture() : cudaSuccess;
    if (status == cudaSuccess)
        status =
            emulate_issue(stream, to_device ? EMULATE_COPY : EMULATE_DOWNLOAD, [=] { memmove(to, from, bytes); });
    if (paged)
        catch_up();
    return status;
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind) {
    cudaError_t status = outside_capture();
    return status != cudaSuccess ? status : cudaMemcpyAsync(to, from, bytes, kind, 0);
}

cudaError_t cudaMemsetAsync(void *p, int value, size_t bytes, cudaStream_t stream) {
    locked l(lock);
    if (bytes == 0)
        return cudaSuccess;
    if (!emulate_is_device(p, bytes))
        return result(cudaErrorInvalidValue);
    return emulate_issue(stream, EMULATE_SET, [=] { memset(p, value, bytes); });
}

cudaError_t cudaMemset(void *p, int value, size_t bytes) {
    cudaError_t status = outside_capture();
    return status != cudaSuccess ? status : cudaMemsetAsync(p, value, bytes, 0);
}

// ---- launches ----

static std::map<const void *, size_t> shared_limits; // of the kernels that asked for more than the usual

cudaError_t cudaFuncSetAttribute(const void *kernel, cudaFuncAttribute which, int value) {
    locked l(lock);
    if (which != cudaFuncAttributeMaxDynamicSharedMemorySize)
        return cudaSuccess;
    if (value < 0 || value > shared_most())
        return result(cudaErrorInvalidValue);
    shared_limits[kernel] = (size_t)value;
    return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, const void *kernel, int threads,
                                                          size_t shared) {
    (void)kernel, (void)threads, (void)shared;
    *blocks = 1;
    return cudaSuccess;
}

cudaError_t emulate_launch(const cudaLaunchConfig_t *configuration, const void *kernel,
                           std::function<void()> body) {
    locked l(lock);
    dim3 blocks = configuration->gridDim, threads = configuration->blockDim;
    size_t shared = configuration->dynamicSmemBytes;
    auto asked = shared_limits.find(kernel);
    size_t most = SHARED_DEFAULT;
    if (asked != shared_limits.end() && asked->second > most)
        most = asked->second;
    if (blocks.x == 0 || blocks.y == 0 || blocks.z == 0 || blocks.x > 0x7fffffffu || blocks.y > 65535 ||
        blocks.z > 65535 || threads.x == 0 || threads.y == 0 || threads.z == 0 || threads.z > 64 ||
        (size_t)threads.x * threads.y * threads.z > 1024)
        return result(cudaErrorInvalidConfiguration);
    if (shared > most)
        return result(cudaErrorInvalidValue);
    return emulate_issue(configuration->stream, EMULATE_KERNEL,
                         [=] { emulate_grid(kernel, blocks, threads, shared, body); });
}
