#include "product.h"

#include "base/error.h"
#include "base/memory.h"
#include "base/system.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { BUCKETS = 64, WAYS = 16, SLOTS = 4, PRIMITIVE_ROOM = 16 << 20 };
enum { SLOT_A, SLOT_B, SLOT_C, SLOT_PACKING };

struct product {
    struct product_shape shape;
    uint64_t used; // when it was last asked for
    dnnl_primitive_t primitive;
    size_t packing_bytes;
    dnnl_memory_t (*memory)[SLOTS]; // of each thread
};

struct product_cache {
    uint64_t clock;
    struct product *bucket[BUCKETS][WAYS];
};

int product_cache_new(struct cpu *s) {
    s->products = memory_new(1, sizeof *s->products);
    return s->products ? OK : ERROR_SYSTEM;
}

static void product_free(struct cpu *s, struct product *p) {
    if (!p)
        return;
    for (int t = 0; p->memory && t < s->threads; t++)
        for (int i = 0; i < SLOTS; i++)
            if (p->memory[t][i])
                dnnl_memory_destroy(p->memory[t][i]);
    if (p->primitive)
        dnnl_primitive_destroy(p->primitive);
    free(p->memory);
    free(p);
}

void product_cache_free(struct cpu *s) {
    for (int i = 0; s->products && i < BUCKETS * WAYS; i++)
        product_free(s, s->products->bucket[i / WAYS][i % WAYS]);
    free(s->products);
    s->products = NULL;
}

static dnnl_status_t describe(const struct product_shape *q, dnnl_memory_desc_t md[3]) {
    dnnl_data_type_t in = q->half_in ? dnnl_bf16 : dnnl_f32, out = q->half_out ? dnnl_bf16 : dnnl_f32;
    bool a_turned = q->kind == PRODUCT_COLUMNS, b_turned = q->kind == PRODUCT_ROWS;
    dnnl_dims_t a = {q->m, q->k}, b = {q->k, q->n}, c = {q->m, q->n};
    dnnl_dims_t a_step = {a_turned ? 1 : q->lda, a_turned ? q->lda : 1};
    dnnl_dims_t b_step = {b_turned ? 1 : q->ldb, b_turned ? q->ldb : 1};
    dnnl_dims_t c_step = {q->ldc, 1};
    dnnl_status_t status = dnnl_memory_desc_init_by_strides(&md[SLOT_A], 2, a, in, a_step);
    if (status == dnnl_success)
        status = dnnl_memory_desc_init_by_strides(&md[SLOT_B], 2, b, in, b_step);
    if (status == dnnl_success)
        status = dnnl_memory_desc_init_by_strides(&md[SLOT_C], 2, c, out, c_step);
    return status;
}

// The scratchpad is ours, for a primitive may then run on several threads at once.
static dnnl_status_t make_attributes(const struct product_shape *q, dnnl_primitive_attr_t *attributes) {
    dnnl_status_t status = dnnl_primitive_attr_create(attributes);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_scratchpad_mode(*attributes, dnnl_scratchpad_mode_user);
    if (status != dnnl_success || q->kind != PRODUCT_COLUMNS)
        return status;
    dnnl_post_ops_t add = NULL;
    status = dnnl_post_ops_create(&add);
    if (status == dnnl_success)
        status = dnnl_post_ops_append_sum(add, 1);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_post_ops(*attributes, add);
    if (add)
        dnnl_post_ops_destroy(add);
    return status;
}

static dnnl_status_t make_memory(struct cpu *s, struct product *p, const dnnl_memory_desc_t md[3],
                                 const dnnl_memory_desc_t *packing) {
    for (int t = 0; t < s->threads; t++)
        for (int i = 0; i < SLOTS; i++) {
            const dnnl_memory_desc_t *of = i == SLOT_PACKING ? packing : &md[i];
            dnnl_status_t status = dnnl_memory_create(&p->memory[t][i], of, s->engine, DNNL_MEMORY_NONE);
            if (status != dnnl_success)
                return status;
        }
    return dnnl_success;
}

// oneDNN's code generator does not survive memory that is out; what it takes is far below this.
static bool has_room(void) {
    void *room = system_mmap(NULL, PRIMITIVE_ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED)
        return false;
    system_munmap(room, PRIMITIVE_ROOM);
    return true;
}

static dnnl_status_t make_primitive(struct cpu *s, struct product *p) {
    dnnl_memory_desc_t md[3];
    dnnl_matmul_desc_t matmul;
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_primitive_desc_t pd = NULL;
    omp_set_num_threads(1);
    dnnl_status_t status = has_room() ? describe(&p->shape, md) : dnnl_out_of_memory;
    if (status == dnnl_success)
        status = dnnl_matmul_desc_init(&matmul, &md[SLOT_A], &md[SLOT_B], NULL, &md[SLOT_C]);
    if (status == dnnl_success)
        status = make_attributes(&p->shape, &attributes);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(&pd, &matmul, attributes, s->engine, NULL);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&p->primitive, pd);
    if (status == dnnl_success) {
        const dnnl_memory_desc_t *packing = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
        p->packing_bytes = dnnl_memory_desc_get_size(packing);
        status = make_memory(s, p, md, packing);
    }
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    if (attributes)
        dnnl_primitive_attr_destroy(attributes);
    return status;
}

static struct product *product_new(struct cpu *s, const struct product_shape *q) {
    struct product *p = memory_new(1, sizeof *p);
    if (p)
        p->memory = memory_new((size_t)s->threads, sizeof *p->memory);
    if (!p || !p->memory) {
        product_free(s, p);
        cpu_fail(s, ERROR_SYSTEM);
        return NULL;
    }
    p->shape = *q;
    dnnl_status_t status = make_primitive(s, p);
    if (status != dnnl_success) {
        cpu_fail(s, error_set(ERROR_SYSTEM, "%s a %s product of %d x %d x %d (status %d)",
                              status == dnnl_out_of_memory ? "out of memory for" : "oneDNN refuses",
                              q->half_in ? "bf16" : "f32", q->m, q->n, q->k, (int)status));
        product_free(s, p);
        return NULL;
    }
    return p;
}

static unsigned bucket_of(const struct product_shape *q) {
    uint64_t h = 0;
    int word[sizeof *q / sizeof(int)];
    memcpy(word, q, sizeof word);
    for (size_t i = 0; i < sizeof word / sizeof *word; i++)
        h = (h ^ (uint32_t)word[i]) * 0x9e3779b97f4a7c15u;
    return (unsigned)(h >> 40) % BUCKETS;
}

struct product *product_get(struct cpu *s, const struct product_shape *shape) {
    if (s->failure)
        return NULL;
    struct product **way = s->products->bucket[bucket_of(shape)];
    int oldest = 0;
    for (int i = 0; i < WAYS; i++) {
        if (way[i] && memcmp(&way[i]->shape, shape, sizeof *shape) == 0) {
            way[i]->used = ++s->products->clock;
            return way[i];
        }
        if (!way[i] || (way[oldest] && way[i]->used < way[oldest]->used))
            oldest = i;
    }
    struct product *p = product_new(s, shape);
    if (!p || !cpu_reserve_packing(s, p->packing_bytes)) {
        product_free(s, p);
        return NULL;
    }
    product_free(s, way[oldest]);
    way[oldest] = p;
    p->used = ++s->products->clock;
    return p;
}

void product_run(struct cpu *s, struct product *p, int thread, const void *a, const void *b, void *c) {
    dnnl_memory_t *memory = p->memory[thread];
    dnnl_memory_set_data_handle(memory[SLOT_A], (void *)(uintptr_t)a);
    dnnl_memory_set_data_handle(memory[SLOT_B], (void *)(uintptr_t)b);
    dnnl_memory_set_data_handle(memory[SLOT_C], c);
    dnnl_memory_set_data_handle(memory[SLOT_PACKING], s->packing[thread]);
    const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, memory[SLOT_A]},
                                         {DNNL_ARG_WEIGHTS, memory[SLOT_B]},
                                         {DNNL_ARG_DST, memory[SLOT_C]},
                                         {DNNL_ARG_SCRATCHPAD, memory[SLOT_PACKING]}};
    // OpenMP's setting is per thread; oneDNN would otherwise start its own threads inside ours.
    omp_set_num_threads(1);
    dnnl_primitive_execute(p->primitive, s->streams[thread], SLOTS, arguments);
}

// What oneDNN 2.6 was seen to take is at most two thirds of this: a panel of one operand, or one packed whole.
size_t product_packing_bound(int m, int n, int k, bool half) {
    size_t lines = cpu_round_up((size_t)m, 64) + cpu_least(cpu_round_up((size_t)n, 64), 1024);
    return lines * cpu_least(cpu_round_up((size_t)k, 64), 2048) * (half ? 2 : 4);
}
