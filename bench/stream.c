// How fast a stream is written into a pipe and read, verified, from one; prints rows for bench/run.
//
//   stream           every row
//   stream make      a stream of tokens of the given size on standard output: make MEGABYTES LEVEL
//
// A writer is timed against a process that splices the pipe away, a reader against one that maps ready pages into
// it, so neither waits for work of the other side. The floor of a stored stream is the pipe itself: the same bytes
// in plain calls of 1 MiB beside the same neighbour. The floor of a compressed one is libzstd on the same frames.
// Floors and values alternate, and the best of each counts: other work on the machine only ever takes away.
#include "base/error.h"
#include "base/file.h"
#include "base/progress.h"
#include "base/random.h"
#include "stream/format.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zstd.h>

enum { LENGTH = 256, VOCABULARY = 32000, POOL_RECORDS = 1 << 17, CHUNK = 1 << 20, TURNS = 5 };

static void fail(const char *what) {
    fprintf(stderr, "stream: %s\n", what);
    exit(1);
}

static void check(int code) {
    if (code != OK)
        fail(error_message());
}

static void *new_pages(size_t bytes) {
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        fail("out of memory");
    return p;
}

// ---- records ----

static const struct stream_header headers[] = {
    {.kind = STREAM_TOKENS, .dtype = STREAM_U16, .length = LENGTH, .vocab_size = VOCABULARY},
    {.kind = STREAM_LOGPROBS, .dtype = STREAM_F32, .vocab_size = VOCABULARY},
};

// Payloads of more records than the caches hold, so that a writer meets them as it would meet new ones.
static uint8_t *pool;

static size_t record_size(const struct stream_header *h) {
    return h->kind == STREAM_TOKENS ? 2 * LENGTH : 4 * (LENGTH - 1);
}

// Text as a compressor sees it: frequent tokens are frequent, and a third repeats what came shortly before.
static void fill_tokens(void) {
    uint16_t *token = (uint16_t *)pool;
    size_t n = (size_t)POOL_RECORDS * LENGTH, repeat = 0, distance = 1;
    for (size_t i = 0; i < n; i++) {
        uint32_t word[4];
        random_block(1, 0, i, word);
        if (repeat == 0 && i > 4096 && word[0] % 16 == 0) {
            repeat = 4 + word[1] % 8;
            distance = 1 + word[2] % 4096;
        }
        double u = (double)word[3] * 0x1p-32;
        token[i] = repeat > 0 ? token[i - distance] : (uint16_t)(VOCABULARY * u * u * u);
        repeat -= repeat > 0;
    }
}

static void fill_numbers(void) {
    float *number = (float *)pool;
    for (size_t i = 0; i < (size_t)POOL_RECORDS * (LENGTH - 1); i++) {
        uint32_t word[4];
        random_block(2, 0, i / 4, word);
        number[i] = -10.0f * (float)word[i % 4] * 0x1p-32f;
    }
}

static void fill_pool(const struct stream_header *h) {
    if (!pool)
        pool = new_pages((size_t)POOL_RECORDS * 4 * LENGTH);
    if (h->kind == STREAM_TOKENS)
        fill_tokens();
    else
        fill_numbers();
}

static void write_stream(const struct stream_header *h, const char *path, int level, uint64_t bytes) {
    static const char *const names[] = {"law", "code", "talk"};
    struct stream_writer *w;
    uint16_t domains[3];
    size_t size = record_size(h);
    uint64_t n = bytes / size;
    check(stream_create(&w, path, h, level));
    for (int d = 0; d < 3; d++)
        check(stream_add_domain(w, names[d], &domains[d]));
    for (uint64_t i = 0; i < n; i++) {
        uint64_t mixed = i * UINT64_C(0x9e3779b97f4a7c15) >> 32;
        struct record r = {.id = i,
                           .domain = domains[mixed % 3],
                           .predicted = LENGTH - 1,
                           .bytes = (uint32_t)(900 + mixed % 200),
                           .first = 1,
                           .count = (uint32_t)payload_count(h, 1, LENGTH - 1),
                           .payload = pool + i % POOL_RECORDS * size};
        check(stream_write(w, &r));
    }
    check(stream_commit(w, NULL));
}

static uint64_t read_stream(const char *path) {
    struct stream *s;
    struct record r;
    uint64_t sum = 0;
    bool got;
    check(stream_open(&s, path, STREAM_ANY));
    do {
        check(stream_next(s, &r, &got));
        if (got)
            sum += r.id + *(const uint8_t *)r.payload;
    } while (got);
    stream_close(s);
    return sum;
}

// ---- processes at the two ends of a pipe ----

struct job {
    const struct stream_header *header;
    int level;
    uint64_t bytes;            // of payload
    const uint8_t *data;       // what is fed
    size_t size;               // its bytes
    volatile double *seconds;  // where the timed side says how long it took
    volatile uint64_t *result; // keeps the reader's sum alive
};

typedef void side(const struct job *job);

// Splice a pipe away: its pages are dropped, not copied.
static void side_drop(const struct job *job) {
    (void)job;
    int null = open("/dev/null", O_WRONLY);
    while (splice(STDIN_FILENO, NULL, null, NULL, CHUNK, 0) > 0)
        ;
}

// Map the stream's pages into the pipe: nothing is copied on this side.
static void side_feed(const struct job *job) {
    for (size_t at = 0; at < job->size;) {
        struct iovec piece = {(void *)(uintptr_t)(job->data + at),
                              job->size - at < CHUNK ? job->size - at : CHUNK};
        ssize_t n = vmsplice(STDOUT_FILENO, &piece, 1, 0);
        if (n <= 0)
            fail("cannot feed the pipe");
        at += (size_t)n;
    }
}

static void side_write(const struct job *job) {
    write_stream(job->header, NULL, job->level, job->bytes);
}

static void side_read(const struct job *job) {
    *job->result = read_stream(NULL);
}

static void side_write_plain(const struct job *job) {
    uint64_t size = (uint64_t)POOL_RECORDS * record_size(job->header);
    for (uint64_t at = 0; at < job->bytes; at += CHUNK)
        if (write(STDOUT_FILENO, pool + at % size, CHUNK) != CHUNK)
            fail("cannot write to the pipe");
}

static void side_read_plain(const struct job *job) {
    (void)job;
    static uint8_t block[CHUNK];
    size_t got = CHUNK;
    while (got == CHUNK)
        check(input_read(STDIN_FILENO, block, CHUNK, &got));
}

static pid_t start(side *run, const struct job *job, int in, int out, int unused, bool timed) {
    pid_t child = fork();
    if (child < 0)
        fail("cannot fork");
    if (child > 0)
        return child;
    close(unused);
    if (in >= 0)
        dup2(in, STDIN_FILENO);
    if (out >= 0)
        dup2(out, STDOUT_FILENO);
    close(in >= 0 ? in : out);
    double begin = clock_seconds();
    run(job);
    if (timed)
        *job->seconds = clock_seconds() - begin;
    _exit(0);
}

// GB/s of payload, with `from` writing to a pipe and `to` reading it, as seen by the timed one.
static double pipe_rate(side *from, side *to, const struct job *job, bool time_from) {
    int ends[2], status[2];
    if (pipe(ends) != 0)
        fail("cannot make a pipe");
    fcntl(ends[1], F_SETPIPE_SZ, CHUNK);
    pid_t a = start(from, job, -1, ends[1], ends[0], time_from);
    pid_t b = start(to, job, ends[0], -1, ends[1], !time_from);
    close(ends[0]);
    close(ends[1]);
    if (waitpid(a, &status[0], 0) < 0 || waitpid(b, &status[1], 0) < 0 || status[0] != 0 || status[1] != 0)
        fail("a side of the pipe failed");
    return (double)job->bytes / *job->seconds * 1e-9;
}

// ---- libzstd alone ----

struct frames {
    uint8_t *packed, *out;
    size_t *at, *sizes, *stored; // in the stream, raw and compressed
    size_t count, room;
};

// The raw content of every frame of a stored stream.
static void find_frames(struct frames *f, const uint8_t *data, size_t size) {
    size_t at;
    check(header_block_size(data, size, &at));
    f->room = ZSTD_compressBound(2 * CHUNK);
    f->at = malloc(size / 4096 * sizeof *f->at);
    f->sizes = malloc(size / 4096 * sizeof *f->sizes);
    f->stored = malloc(size / 4096 * sizeof *f->stored);
    for (f->count = 0;; f->count++) {
        struct frame_header header;
        check(frame_header_decode(&header, data + at));
        if (header.end)
            break;
        f->at[f->count] = at + FRAME_HEADER_SIZE;
        f->sizes[f->count] = header.raw;
        at += frame_length(&header);
    }
    f->packed = new_pages(f->count * f->room);
    f->out = new_pages(2 * CHUNK);
}

static double zstd_compress_rate(struct frames *f, const struct job *job, const uint8_t *data) {
    ZSTD_CCtx *c = ZSTD_createCCtx();
    double begin = clock_seconds();
    for (size_t i = 0; i < f->count; i++) {
        f->stored[i] =
            ZSTD_compressCCtx(c, f->packed + i * f->room, f->room, data + f->at[i], f->sizes[i], job->level);
        if (ZSTD_isError(f->stored[i]))
            fail(ZSTD_getErrorName(f->stored[i]));
    }
    double seconds = clock_seconds() - begin;
    ZSTD_freeCCtx(c);
    return (double)job->bytes / seconds * 1e-9;
}

static double zstd_decompress_rate(struct frames *f, const struct job *job) {
    ZSTD_DCtx *d = ZSTD_createDCtx();
    double begin = clock_seconds();
    for (size_t i = 0; i < f->count; i++)
        if (ZSTD_isError(ZSTD_decompressDCtx(d, f->out, 2 * CHUNK, f->packed + i * f->room, f->stored[i])))
            fail("zstd does not read what it wrote");
    double seconds = clock_seconds() - begin;
    ZSTD_freeDCtx(d);
    return (double)job->bytes / seconds * 1e-9;
}

// ---- rows ----

// A stream in memory, in shared pages that can be mapped into a pipe.
static void make_stream(struct job *job, int level, const char *folder) {
    struct buffer whole = {0};
    char *path = string_format("%s/stream", folder);
    if (!path)
        fail(error_message());
    write_stream(job->header, path, level, job->bytes);
    check(file_read(path, SIZE_MAX, &whole));
    unlink(path);
    free(path);
    job->size = whole.size;
    uint8_t *pages = new_pages(whole.size);
    memcpy(pages, whole.data, whole.size);
    job->data = pages;
    buffer_release(&whole);
}

static void drop_stream(struct job *job) {
    munmap((void *)(uintptr_t)job->data, job->size);
}

static void raise_to(double *best, double rate) {
    *best = rate > *best ? rate : *best;
}

static void print_row(const char *name, const char *kind, double value, double floor, const char *note) {
    printf("%s%s\t%.4g\tGB/s\t%.4g\t%s\n", name, kind, value, floor, note);
}

static void time_stored(struct job *job, const char *kind, const char *folder) {
    double write = 0, write_floor = 0, read = 0, read_floor = 0, both = 0;
    char note[160];
    job->level = 0;
    make_stream(job, 0, folder);
    for (int i = 0; i < TURNS; i++) {
        raise_to(&write_floor, pipe_rate(side_write_plain, side_drop, job, true));
        raise_to(&write, pipe_rate(side_write, side_drop, job, true));
        raise_to(&read_floor, pipe_rate(side_feed, side_read_plain, job, false));
        raise_to(&read, pipe_rate(side_feed, side_read, job, false));
        raise_to(&both, pipe_rate(side_write, side_read, job, false));
    }
    snprintf(note, sizeof note, "stored, into a pipe; floor: 1 MiB writes; writer and reader together %.2f GB/s",
             both);
    print_row("stream-write", kind, write, write_floor, note);
    print_row("stream-read", kind, read, read_floor, "stored and verified, from a pipe; floor: 1 MiB reads");
    drop_stream(job);
}

static void time_zstd(struct job *job, const char *kind, const char *folder) {
    double write = 0, write_floor = 0, read = 0, read_floor = 0;
    struct frames frames;
    struct job packed = *job;
    job->level = packed.level = 1;
    make_stream(job, 0, folder);
    make_stream(&packed, 1, folder);
    find_frames(&frames, job->data, job->size);
    for (int i = 0; i < TURNS; i++) {
        raise_to(&write_floor, zstd_compress_rate(&frames, job, job->data));
        raise_to(&write, pipe_rate(side_write, side_drop, job, true));
        raise_to(&read_floor, zstd_decompress_rate(&frames, job));
        raise_to(&read, pipe_rate(side_feed, side_read, &packed, false));
    }
    print_row("stream-write", kind, write, write_floor, "zstd 1, into a pipe; floor: libzstd on the same frames");
    print_row("stream-read", kind, read, read_floor, "zstd 1 and verified, from a pipe; floor: libzstd");
    drop_stream(job);
    drop_stream(&packed);
}

int main(int argc, char **argv) {
    const char *folder = getenv("BENCH_TMP");
    uint64_t size = getenv("BENCH_QUICK") ? 64000000 : 512000000;
    struct job job = {.seconds = new_pages(64), .result = new_pages(64)};
    if (argc == 4 && strcmp(argv[1], "make") == 0) {
        fill_pool(&headers[0]);
        write_stream(&headers[0], NULL, atoi(argv[3]), (uint64_t)atol(argv[2]) * 1000000);
        return 0;
    }
    if (argc > 1) {
        fprintf(stderr, "usage: stream [make MEGABYTES LEVEL]\n");
        return 2;
    }
    static const char *const kinds[][2] = {{"", "-zstd"}, {"-logprobs", "-logprobs-zstd"}};
    for (int k = 0; k < 2; k++) {
        job.header = &headers[k];
        fill_pool(job.header);
        job.bytes = size;
        time_stored(&job, kinds[k][0], folder ? folder : "/tmp");
        job.bytes = size / 4;
        time_zstd(&job, kinds[k][1], folder ? folder : "/tmp");
    }
    return 0;
}
