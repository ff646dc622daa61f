// What this machine can do, for the floors of the benchmarks; each mode prints numbers alone.
//
//   floor product [--threads N] [--dtype bf16|f32]   GFLOP/s of one oneDNN product, 4096 x 1536 x 384
//   floor copy [--threads N]                         GB/s of memory copied (read and written: twice this moves)
//   floor zstd LEVEL FILE                            MB/s of compressing and of decompressing, in 1 MiB frames
//   floor disk FOLDER MEGABYTES                      MB/s of writing with a sync, reading back, copying with a
//   sync
//
// The best of several repetitions counts: other work on the machine only ever takes away.
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/progress.h"
#include "base/random.h"
#include "base/threads.h"

#include <fcntl.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

// oneDNN's own threads; its header need not be there.
extern void omp_set_num_threads(int n);

static void fail(const char *what) {
    fprintf(stderr, "floor: %s\n", what);
    exit(1);
}

static void *block_new(size_t bytes) {
    void *p = memory_new_aligned(bytes);
    if (!p)
        fail(error_message());
    memset(p, 1, bytes);
    return p;
}

// ---- products ----

enum { M = 4096, N = 1536, K = 384 };

struct product {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_t primitive;
    dnnl_memory_t memory[3];
};

static void check(dnnl_status_t status) {
    if (status != dnnl_success)
        fail("oneDNN refuses the product");
}

// packed: the weights in the layout that oneDNN likes best, which a caller pays for once.
static void product_open(struct product *p, dnnl_data_type_t type, bool packed) {
    dnnl_memory_desc_t md[3];
    dnnl_matmul_desc_t matmul;
    dnnl_primitive_desc_t pd;
    check(dnnl_memory_desc_init_by_tag(&md[0], 2, (dnnl_dims_t){M, K}, type, dnnl_ab));
    check(dnnl_memory_desc_init_by_tag(&md[1], 2, (dnnl_dims_t){K, N}, type,
                                       packed ? dnnl_format_tag_any : dnnl_ab));
    check(dnnl_memory_desc_init_by_tag(&md[2], 2, (dnnl_dims_t){M, N}, type, dnnl_ab));
    check(dnnl_matmul_desc_init(&matmul, &md[0], &md[1], NULL, &md[2]));
    check(dnnl_primitive_desc_create(&pd, &matmul, NULL, p->engine, NULL));
    check(dnnl_primitive_create(&p->primitive, pd));
    const dnnl_query_t query[3] = {dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_dst_md};
    for (int i = 0; i < 3; i++) {
        const dnnl_memory_desc_t *of = dnnl_primitive_desc_query_md(pd, query[i], 0);
        void *data = block_new(dnnl_memory_desc_get_size(of));
        memset(data, 0, dnnl_memory_desc_get_size(of));
        check(dnnl_memory_create(&p->memory[i], of, p->engine, data));
    }
    dnnl_primitive_desc_destroy(pd);
}

static double product_rate(struct product *p) {
    const dnnl_exec_arg_t arguments[] = {
        {DNNL_ARG_SRC, p->memory[0]}, {DNNL_ARG_WEIGHTS, p->memory[1]}, {DNNL_ARG_DST, p->memory[2]}};
    double best = 1e9, start = clock_seconds();
    while (clock_seconds() - start < 0.5) {
        double before = clock_seconds();
        check(dnnl_primitive_execute(p->primitive, p->stream, 3, arguments));
        check(dnnl_stream_wait(p->stream));
        double seconds = clock_seconds() - before;
        best = seconds < best ? seconds : best;
    }
    return 2.0 * M * N * K / best * 1e-9;
}

static void floor_product(int threads, bool half) {
    struct product p;
    double best = 0;
    omp_set_num_threads(threads);
    check(dnnl_engine_create(&p.engine, dnnl_cpu, 0));
    check(dnnl_stream_create(&p.stream, p.engine, dnnl_stream_default_flags));
    for (int packed = 0; packed < 2; packed++) {
        product_open(&p, half ? dnnl_bf16 : dnnl_f32, packed);
        double rate = product_rate(&p);
        best = rate > best ? rate : best;
    }
    printf("%.1f\n", best);
}

// ---- memory ----

enum { COPY_BYTES = 256 << 20 };

struct copy {
    char *to, *from;
    size_t each;
};

static void copy_task(void *context, int i, int thread) {
    (void)thread;
    struct copy *c = context;
    memcpy(c->to + (size_t)i * c->each, c->from + (size_t)i * c->each, c->each);
}

static void floor_copy(int threads) {
    struct threads *pool;
    if (threads_new(&pool, threads) != OK)
        fail(error_message());
    struct copy c = {block_new(COPY_BYTES), block_new(COPY_BYTES), COPY_BYTES / (size_t)threads};
    double best = 1e9;
    for (int i = 0; i < 8; i++) {
        double before = clock_seconds();
        threads_run(pool, threads, copy_task, &c);
        double seconds = clock_seconds() - before;
        best = seconds < best ? seconds : best;
    }
    printf("%.2f\n", COPY_BYTES / best * 1e-9);
}

// ---- compression ----

enum { FRAME = 1 << 20 };

static void floor_zstd(int level, const char *path) {
    struct buffer text = {0};
    if (file_read(path, (size_t)256 << 20, &text) != OK)
        fail(error_message());
    if (text.size == 0)
        fail("the file is empty");
    size_t frames = (text.size + FRAME - 1) / FRAME, room = ZSTD_compressBound(FRAME);
    uint8_t *packed = block_new(frames * room), *out = block_new(FRAME);
    size_t *sizes = block_new(frames * sizeof *sizes);
    ZSTD_CCtx *c = ZSTD_createCCtx();
    ZSTD_DCtx *d = ZSTD_createDCtx();
    double best[2] = {1e9, 1e9};
    for (int turn = 0; turn < 3; turn++) {
        double start = clock_seconds();
        for (size_t i = 0; i < frames; i++) {
            size_t n = text.size - i * FRAME < FRAME ? text.size - i * FRAME : FRAME;
            sizes[i] = ZSTD_compressCCtx(c, packed + i * room, room, text.data + i * FRAME, n, level);
            if (ZSTD_isError(sizes[i]))
                fail(ZSTD_getErrorName(sizes[i]));
        }
        double middle = clock_seconds();
        for (size_t i = 0; i < frames; i++)
            if (ZSTD_isError(ZSTD_decompressDCtx(d, out, FRAME, packed + i * room, sizes[i])))
                fail("zstd does not read what it wrote");
        double seconds[2] = {middle - start, clock_seconds() - middle};
        for (int k = 0; k < 2; k++)
            best[k] = seconds[k] < best[k] ? seconds[k] : best[k];
    }
    printf("%.0f %.0f\n", (double)text.size / best[0] * 1e-6, (double)text.size / best[1] * 1e-6);
}

// ---- disk ----

enum { BLOCK = 4 << 20 };

static int disk_open(const char *path, int flags) {
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd < 0)
        fail("cannot make a file in the folder");
    return fd;
}

static double disk_copy(int from, int to, size_t blocks, char *block) {
    double start = clock_seconds();
    for (size_t i = 0; i < blocks; i++) {
        size_t got = BLOCK;
        if (from >= 0 && input_read(from, block, BLOCK, &got) != OK)
            fail(error_message());
        if (to >= 0 && descriptor_write_at(to, i * (uint64_t)BLOCK, block, got) != OK)
            fail(error_message());
    }
    if (to >= 0 && fsync(to) != 0)
        fail("cannot sync");
    return (double)blocks * BLOCK / (clock_seconds() - start) * 1e-6;
}

// Reading comes from the cache where memory holds the file, as it does for the tools that are compared.
static void floor_disk(const char *folder, size_t megabytes) {
    size_t blocks = (megabytes * 1000000 + BLOCK - 1) / BLOCK;
    char *a = string_format("%s/floor.a", folder), *b = string_format("%s/floor.b", folder);
    char *block = block_new(BLOCK);
    if (!a || !b)
        fail(error_message());
    for (size_t i = 0; i < BLOCK / 8; i++) {
        uint64_t word = random_below(1, 0, i, UINT64_MAX);
        memcpy(block + 8 * i, &word, sizeof word);
    }
    int fd = disk_open(a, O_RDWR | O_CREAT | O_TRUNC);
    double write = disk_copy(-1, fd, blocks, block);
    lseek(fd, 0, SEEK_SET);
    double read = disk_copy(fd, -1, blocks, block);
    lseek(fd, 0, SEEK_SET);
    int to = disk_open(b, O_WRONLY | O_CREAT | O_TRUNC);
    double copy = disk_copy(fd, to, blocks, block);
    unlink(a);
    unlink(b);
    printf("%.0f %.0f %.0f\n", write, read, copy);
}

static const char *option(int argc, char **argv, const char *name, const char *otherwise) {
    for (int i = 2; i + 1 < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return argv[i + 1];
    return otherwise;
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "";
    int threads = atoi(option(argc, argv, "--threads", "0"));
    if (threads <= 0)
        threads = threads_processors();
    if (strcmp(mode, "product") == 0)
        floor_product(threads, strcmp(option(argc, argv, "--dtype", "bf16"), "bf16") == 0);
    else if (strcmp(mode, "copy") == 0)
        floor_copy(threads);
    else if (strcmp(mode, "zstd") == 0 && argc == 4)
        floor_zstd(atoi(argv[2]), argv[3]);
    else if (strcmp(mode, "disk") == 0 && argc == 4)
        floor_disk(argv[2], (size_t)atol(argv[3]));
    else {
        fprintf(stderr, "usage: floor product|copy|zstd LEVEL FILE|disk FOLDER MEGABYTES\n");
        return 2;
    }
    return 0;
}
