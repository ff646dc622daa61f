// Small streams of every kind for the unit checks, in memory files that are read as files or through a pipe.
#ifndef TACIT_TEST_UNIT_STREAM_SAMPLE_H
#define TACIT_TEST_UNIT_STREAM_SAMPLE_H

#include "base/memory.h"
#include "check.h"
#include "stream/format.h"
#include "stream/writer.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

// The kinds of the checks; the last three are further shapes of a kind.
enum { SAMPLES = 8, SAMPLE_RECORDS = 11 };

static inline struct stream_header sample_header(int sample) {
    static const struct stream_header headers[SAMPLES] = {
        {.kind = STREAM_TOKENS, .dtype = STREAM_U16, .length = 9, .vocab_size = 300},
        {.kind = STREAM_SCORES, .dtype = STREAM_F32, .experts = 3, .prefix = 4},
        {.kind = STREAM_LOGPROBS, .dtype = STREAM_F32, .length = 9},
        {.kind = STREAM_WEIGHTS, .dtype = STREAM_F32, .experts = 2},
        {.kind = STREAM_ASSIGNMENT, .dtype = STREAM_U16, .experts = 5, .topk = 1, .rule = "balanced"},
        {.kind = STREAM_TOKENS, .dtype = STREAM_U32, .vocab_size = 100000},
        {.kind = STREAM_WEIGHTS, .dtype = STREAM_F32, .experts = 2, .per_position = true},
        {.kind = STREAM_ASSIGNMENT, .dtype = STREAM_U16, .experts = 5, .topk = 2},
    };
    return headers[sample];
}

// Record i of a sample; the payload is static.
static inline struct record sample_record(const struct stream_header *h, uint32_t i) {
    static uint32_t integers[64];
    static float floats[64];
    static uint8_t payload[64 * 6];
    struct record r = {.id = 1000 + (uint64_t)i * i, .first = 1 + i % 2, .predicted = 2 + i % 5};
    r.bytes = 3 * r.predicted;
    r.group = i / 4;
    r.choice = (uint16_t)(i % 4);
    r.gold = i % 4 == 1;
    r.norm_length = 7 + i;
    r.count = (uint32_t)payload_count(h, r.first, r.predicted);
    for (uint32_t e = 0; e < r.count; e++) {
        integers[e] = h->kind == STREAM_TOKENS ? (i * 31 + e * 7) % h->vocab_size : (i + e) % 5;
        floats[e] = -0.5f - 0.25f * (float)((i + 3 * e) % 13);
    }
    if (h->kind == STREAM_TOKENS)
        payload_tokens(h, integers, r.count, payload);
    else if (h->kind == STREAM_ASSIGNMENT)
        payload_experts(h, integers, floats, payload);
    else
        payload_floats(h, floats, r.count, payload);
    r.payload = payload;
    return r;
}

static inline const char *sample_domain(uint32_t i) {
    static const char *const names[] = {"law", "näive", "code"};
    return names[(i / 3) % 3];
}

// A memory file; its path names it as long as the descriptor is open.
static inline int memory_file(const void *data, size_t size, char path[32]) {
    int fd = memfd_create("stream", 0);
    if (fd < 0 || ftruncate(fd, (off_t)size) != 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
        abort();
    snprintf(path, 32, "/proc/self/fd/%d", fd);
    return fd;
}

// Put bytes (at most 64 KiB) into a pipe whose writer has gone, as standard input.
static inline void pipe_to_standard_input(const void *data, size_t size) {
    int ends[2];
    if (pipe(ends) != 0 || write(ends[1], data, size) != (ssize_t)size)
        abort();
    dup2(ends[0], 0);
    close(ends[0]);
    close(ends[1]);
}

// The bytes of a finished stream of n records with frames of about `target` bytes.
static inline struct buffer sample_stream(const struct stream_header *h, uint32_t n, int level, uint32_t target) {
    struct buffer bytes = {0};
    struct stream_writer *w;
    int code;
    char path[] = "/tmp/stream-sample.XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0 || stream_create(&w, path, h, level) != OK)
        abort();
    stream_writer_target(w, target);
    for (uint32_t i = 0; i < n; i++) {
        struct record r = sample_record(h, i);
        CHECK_OK(stream_add_domain(w, sample_domain(i), &r.domain));
        CHECK_OK(stream_write(w, &r));
    }
    CHECK_OK(stream_commit(w, NULL));
    close(fd);
    FILE *file = fopen(path, "rb");
    uint8_t data[4096];
    size_t got;
    while ((got = fread(data, 1, sizeof data, file)) > 0)
        if ((code = buffer_append(&bytes, data, got)) != OK)
            abort();
    fclose(file);
    unlink(path);
    return bytes;
}

// Read everything in order; the sequences got, or the error.
static inline int read_all(const char *path, uint64_t *sequences) {
    struct stream *s;
    struct record r;
    bool got = true;
    *sequences = 0;
    int code = stream_open(&s, path, STREAM_ANY);
    if (code != OK)
        return code;
    while (code == OK && got) {
        code = stream_next(s, &r, &got);
        *sequences += code == OK && got;
    }
    if (code == OK)
        code = stream_finish(s);
    stream_close(s);
    return code;
}

#endif
