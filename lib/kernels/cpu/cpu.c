#include "cpu.h"

#include "base/error.h"
#include "base/machine.h"
#include "base/memory.h"
#include "base/system.h"
#include "product.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HEADER = 64, HUGE_PAGE = 2 << 20 };

// ---- failures ----

void cpu_fail(struct cpu *s, int code) {
    if (s->failure != 0)
        return;
    s->failure = code;
    snprintf(s->message, sizeof s->message, "%s", error_message());
}

static int cpu_synchronize(struct device *d) {
    struct cpu *s = cpu_of(d);
    int code = s->failure;
    s->failure = 0;
    return code == 0 ? OK : error_set(code, "%s", s->message);
}

// ---- memory: each block has its size in a cache line in front ----

int cpu_memory_new(struct cpu *s, size_t bytes, void **p) {
    *p = NULL;
    void *block = NULL;
    size_t whole = bytes + HEADER, align = whole >= 2 * HUGE_PAGE ? HUGE_PAGE : 64;
    // Linux grants what it cannot back; asking beyond what there is would end in a kill.
    bool fits = whole >= bytes && whole <= s->physical && s->used <= s->physical - whole;
    if (!fits || !(block = system_aligned_alloc(align, (whole + align - 1) / align * align)))
        return error_set(ERROR_SYSTEM, "cannot allocate %zu bytes of memory (%zu in use, there are %zu)", bytes,
                         s->used, s->physical);
    if (align == HUGE_PAGE)
        madvise(block, whole, MADV_HUGEPAGE);
    memcpy(block, &whole, sizeof whole);
    s->used += whole;
    *p = (char *)block + HEADER;
    return OK;
}

void cpu_memory_free(struct cpu *s, void *p) {
    if (!p)
        return;
    void *block = (char *)p - HEADER;
    size_t whole;
    memcpy(&whole, block, sizeof whole);
    s->used -= whole;
    free(block);
}

static int cpu_allocate(struct device *d, size_t bytes, dptr *p) {
    void *memory;
    int code = cpu_memory_new(cpu_of(d), bytes, &memory);
    *p = memory;
    return code;
}

static void cpu_release(struct device *d, dptr p) {
    cpu_memory_free(cpu_of(d), p);
}

static void cpu_upload(struct device *d, dptr to, const void *from, size_t bytes) {
    (void)d;
    memcpy(to, from, bytes);
}

static int cpu_download(struct device *d, void *to, dptr from, size_t bytes) {
    memcpy(to, from, bytes);
    return cpu_synchronize(d);
}

static void cpu_copy(struct device *d, dptr to, dptr from, size_t bytes) {
    (void)d;
    memmove(to, from, bytes);
}

static void cpu_zero(struct device *d, dptr p, size_t bytes) {
    (void)d;
    memset(p, 0, bytes);
}

static size_t cpu_memory_used(const struct device *d) {
    return cpu_of(d)->used;
}

// Issuing an operation costs nothing here, so nothing is kept.
static bool cpu_replay(struct device *d, uint64_t key) {
    (void)d;
    (void)key;
    return false;
}

static void cpu_recorded(struct device *d) {
    (void)d;
}

// ---- scratch ----

static bool grow(struct cpu *s, void **p, int count, size_t *now, size_t bytes) {
    if (bytes <= *now)
        return true;
    *now = 0;
    for (int i = 0; i < count; i++) {
        cpu_memory_free(s, p[i]);
        p[i] = NULL;
    }
    for (int i = 0; i < count; i++) {
        int code = cpu_memory_new(s, bytes, &p[i]);
        if (code != OK) {
            cpu_fail(s, code);
            return false;
        }
    }
    *now = bytes;
    return true;
}

bool cpu_reserve(struct cpu *s, size_t shared, size_t own) {
    return grow(s, &s->shared, 1, &s->shared_bytes, shared) && grow(s, s->own, s->threads, &s->own_bytes, own);
}

bool cpu_reserve_packing(struct cpu *s, size_t bytes) {
    return grow(s, s->packing, s->threads, &s->packing_bytes, bytes);
}

static size_t largest(size_t a, size_t b) {
    return a > b ? a : b;
}

static struct cpu_scratch scratch_of(const struct cpu *s, const struct kernel_limits *l) {
    struct cpu_scratch norm = cpu_norm_scratch(l), attention = cpu_attention_scratch(l, s->half),
                       classifier = cpu_classifier_scratch(l, s->half);
    return (struct cpu_scratch){.shared = largest(norm.shared, classifier.shared),
                                .own = largest(attention.own, classifier.own)};
}

static size_t cpu_workspace(const struct device *d, const struct kernel_limits *l) {
    const struct cpu *s = cpu_of(d);
    struct cpu_scratch need = scratch_of(s, l);
    int widest = (l->heads + 2 * l->kv_heads) * l->head_size;
    if (2 * l->feed_forward > widest)
        widest = 2 * l->feed_forward;
    size_t packing = largest(product_packing_bound(384, 768, widest, s->half),
                             product_packing_bound(128, l->vocab, l->hidden, s->half));
    size_t turns = (size_t)l->length * (size_t)l->head_size * sizeof(float);
    return need.shared + turns + (size_t)s->threads * (need.own + packing);
}

static int cpu_prepare(struct device *d, const struct kernel_limits *l) {
    struct cpu_scratch need = scratch_of(cpu_of(d), l);
    cpu_reserve(cpu_of(d), need.shared, need.own);
    return cpu_synchronize(d);
}

// ---- opening ----

static const struct kernels kernels;

static void cpu_close(struct device *d) {
    struct cpu *s = d->state;
    if (!s)
        return;
    product_cache_free(s);
    cpu_memory_free(s, s->shared);
    cpu_memory_free(s, s->turns);
    for (int i = 0; i < s->threads; i++) {
        if (s->own)
            cpu_memory_free(s, s->own[i]);
        if (s->packing)
            cpu_memory_free(s, s->packing[i]);
        if (s->streams && s->streams[i])
            dnnl_stream_destroy(s->streams[i]);
    }
    if (s->engine)
        dnnl_engine_destroy(s->engine);
    free(s->own);
    free(s->packing);
    free(s->streams);
    threads_free(s->pool);
    free(s);
    d->state = NULL;
}

static int open_products(struct cpu *s) {
    size_t n = (size_t)s->threads;
    s->own = memory_new(n, sizeof *s->own);
    s->packing = memory_new(n, sizeof *s->packing);
    s->streams = memory_new(n, sizeof *s->streams);
    if (!s->own || !s->packing || !s->streams || product_cache_new(s) != OK)
        return ERROR_SYSTEM;
    dnnl_status_t status = dnnl_engine_create(&s->engine, dnnl_cpu, 0);
    for (size_t i = 0; status == dnnl_success && i < n; i++)
        status = dnnl_stream_create(&s->streams[i], s->engine, dnnl_stream_default_flags);
    return status == dnnl_success ? OK : error_set(ERROR_SYSTEM, "oneDNN does not start (status %d)", (int)status);
}

// bfloat16 by itself only where products have the instruction; oneDNN takes it wherever AVX-512 is.
static int choose_dtype(enum kernel_dtype asked, enum kernel_dtype *chosen) {
    __builtin_cpu_init();
    *chosen = asked;
    if (asked == KERNEL_DTYPE_AUTO)
        *chosen = __builtin_cpu_supports("avx512bf16") ? KERNEL_BF16 : KERNEL_F32;
    if (*chosen == KERNEL_BF16 && !__builtin_cpu_supports("avx512bw"))
        return error_set(ERROR_SYSTEM, "this processor has no bf16 products: use f32");
    return OK;
}

int kernels_cpu_open(struct device *d, int index, enum kernel_dtype dtype) {
    (void)index;
    d->k = &kernels;
    d->state = NULL;
    int code = choose_dtype(dtype, &d->compute);
    if (code != OK)
        return code;
    struct cpu *s = memory_new(1, sizeof *s);
    if (!s)
        return ERROR_SYSTEM;
    d->state = s;
    s->half = d->compute == KERNEL_BF16;
    code = machine_memory("", &s->physical);
    if (code == OK)
        code = threads_new(&s->pool, d->threads);
    if (code == OK) {
        s->threads = d->threads = threads_count(s->pool);
        code = open_products(s);
    }
    if (code != OK)
        cpu_close(d);
    return code;
}

static const struct kernels kernels = {
    .name = "cpu",
    .close = cpu_close,
    .allocate = cpu_allocate,
    .release = cpu_release,
    .upload = cpu_upload,
    .download = cpu_download,
    .copy = cpu_copy,
    .zero = cpu_zero,
    .synchronize = cpu_synchronize,
    .memory_used = cpu_memory_used,
    .workspace = cpu_workspace,
    .prepare = cpu_prepare,
    .replay = cpu_replay,
    .recorded = cpu_recorded,
    .embed_forward = cpu_embed_forward,
    .embed_backward = cpu_embed_backward,
    .norm_forward = cpu_norm_forward,
    .norm_backward = cpu_norm_backward,
    .matmul_forward = cpu_matmul_forward,
    .matmul_backward_input = cpu_matmul_backward_input,
    .matmul_backward_weight = cpu_matmul_backward_weight,
    .swiglu_forward = cpu_swiglu_forward,
    .swiglu_backward = cpu_swiglu_backward,
    .attention_forward = cpu_attention_forward,
    .attention_backward = cpu_attention_backward,
    .classifier = cpu_classifier,
    .convert = cpu_convert,
    .sum_squares = cpu_sum_squares,
    .clip_scale = cpu_clip_scale,
    .adamw = cpu_adamw,
};
