// Streams whose hashes are right and whose fields lie: huge lengths and counts, negative sizes, deep JSON. Each is
// ERROR_INPUT, through a pipe and as a file, and makes the process no larger.
#include "stream_sample.h"

#include <sys/resource.h>
#include <zstd.h>

#if defined(__SANITIZE_ADDRESS__)
enum { MEASURE = 0 }; // its quarantine keeps what was freed
#else
enum { MEASURE = 1 };
#endif

static void refuse_bytes(const struct buffer *b, const char *what) {
    char path[32];
    uint64_t sequences;
    int fd = memory_file(b->data, b->size, path);
    int as_file = read_all(path, &sequences);
    close(fd);
    pipe_to_standard_input(b->data, b->size);
    int as_pipe = read_all(NULL, &sequences);
    check_count++;
    if (as_file != ERROR_INPUT || as_pipe != ERROR_INPUT || !strstr(error_message(), " at byte ")) {
        check_failures++;
        printf("%s: codes %d and %d, message '%s'\n", what, as_file, as_pipe, error_message());
    }
}

// ---- headers ----

static struct buffer header_block(const char *json, size_t size, uint64_t said) {
    struct buffer b = {0};
    uint8_t fixed[HEADER_FIXED] = {0x8e, 'T', 'C', 'T', '\r', '\n', 0x1a, STREAM_FORMAT_VERSION};
    static const uint8_t zeros[8];
    uint8_t hash[8];
    store_le(fixed + 8, said, 8);
    CHECK_OK(buffer_append(&b, fixed, sizeof fixed));
    CHECK_OK(buffer_append(&b, json, size));
    CHECK_OK(buffer_append(&b, zeros, round_up_8(size) - size));
    store_le(hash, XXH3_64bits(b.data, b.size), 8);
    CHECK_OK(buffer_append(&b, hash, 8));
    return b;
}

static void refuse_header(const char *json) {
    struct buffer b = header_block(json, strlen(json), strlen(json));
    refuse_bytes(&b, json);
    buffer_release(&b);
}

static void refuse_headers(void) {
    static const char *const texts[] = {
        "",
        "[]",
        "{}",
        "null",
        "{\"dtype\":\"u16\",\"kind\":\"tokens\"",
        "{\"dtype\":\"u16\",\"kind\":\"tokens\"}x",
        "{\"kind\":\"tokens\",\"dtype\":\"u16\"}",
        "{\"dtype\": \"u16\",\"kind\":\"tokens\"}",
        "{\"dtype\":\"u16\",\"kind\":\"tokens\",\"surprise\":1}",
        "{\"dtype\":\"u16\",\"kind\":\"tokens\",\"kind\":\"tokens\"}",
        "{\"dtype\":\"u16\",\"kind\":\"tokens\",\"length\":-1}",
        "{\"dtype\":\"u16\",\"kind\":\"tokens\",\"length\":0}",
        "{\"dtype\":\"u16\",\"kind\":\"tokens\",\"length\":4294967296}",
        "{\"dtype\":\"u16\",\"kind\":\"tokens\",\"length\":1e99}",
        "{\"dtype\":\"u16\",\"kind\":\"tokens\",\"length\":99999999999999999999}",
        "{\"dtype\":\"u16\",\"kind\":\"tokens\",\"length\":\"9\"}",
        "{\"dtype\":\"u16\",\"kind\":\"tokens\",\"vocab_size\":65537}",
        "{\"dtype\":\"f32\",\"kind\":\"tokens\"}",
        "{\"dtype\":\"u16\",\"kind\":\"trace\"}",
        "{\"dtype\":\"u16\",\"kind\":\"\"}",
        "{\"dtype\":\"f32\",\"kind\":\"scores\"}",
        "{\"dtype\":\"f32\",\"experts\":65536,\"kind\":\"scores\"}",
        "{\"dtype\":\"f32\",\"experts\":-3,\"kind\":\"scores\"}",
        "{\"dtype\":\"u16\",\"experts\":4,\"kind\":\"assignment\"}",
        "{\"dtype\":\"u16\",\"experts\":4,\"kind\":\"assignment\",\"topk\":5}",
        "{\"dtype\":\"u16\",\"experts\":400,\"kind\":\"assignment\",\"topk\":65}",
        "{\"dtype\":\"f32\",\"kind\":\"logprobs\",\"per_position\":true}",
        "{\"dtype\":\"f32\",\"kind\":\"logprobs\",\"improper\":false}",
        "{\"dtype\":\"f32\",\"kind\":\"logprobs\",\"models\":[]}",
        "{\"dtype\":\"f32\",\"kind\":\"logprobs\",\"models\":[\"00\"]}",
        "{\"dtype\":\"f32\",\"kind\":\"logprobs\",\"names\":[\"a\"]}",
        "{\"dtype\":\"f32\",\"kind\":\"logprobs\",\"rule\":\"a\\u0000b\"}",
        "{\"dtype\":\"f32\",\"kind\":\"logprobs\",\"vocab\":\"xyz\"}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        refuse_header(texts[i]);
    char *deep = malloc(50001);
    memset(deep, '[', 50000);
    deep[50000] = 0;
    refuse_header(deep);
    free(deep);
    // Lengths that the block does not have; the upper half of the field is zero.
    static const uint64_t lengths[] = {UINT32_MAX, HEADER_JSON_LIMIT, HEADER_JSON_LIMIT + 1,
                                       UINT64_MAX, 1ull << 32,        37};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct buffer b = header_block("{\"dtype\":\"u16\",\"kind\":\"tokens\"}", 31, lengths[i]);
        refuse_bytes(&b, "header length");
        buffer_release(&b);
    }
}

// ---- frames ----

// A header, then one frame of these fields and content with the right hash, then zeros.
static void refuse_frame(const struct frame_header *f, const void *content, size_t size, const char *what) {
    static const uint8_t zeros[64];
    struct stream_header h = sample_header(0);
    struct buffer b = {0};
    uint8_t fixed[FRAME_HEADER_SIZE], hash[8];
    CHECK_OK(header_block_encode(&b, &h));
    size_t start = b.size;
    frame_header_encode(fixed, f);
    CHECK_OK(buffer_append(&b, fixed, sizeof fixed));
    CHECK_OK(buffer_append(&b, content, size));
    CHECK_OK(buffer_append(&b, zeros, round_up_8(size) - size));
    store_le(hash, XXH3_64bits(b.data + start, b.size - start), 8);
    CHECK_OK(buffer_append(&b, hash, 8));
    CHECK_OK(buffer_append(&b, zeros, sizeof zeros));
    refuse_bytes(&b, what);
    buffer_release(&b);
}

static void refuse_frame_headers(void) {
    uint8_t content[64] = {0};
    const uint32_t sizes[] = {0, 1, 63, 65, FRAME_LIMIT, FRAME_LIMIT + 1, INT32_MAX, 0x80000000u, UINT32_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (int field = 0; field < 5; field++) {
            struct frame_header f = {.records = 1, .raw = 64, .stored = 64, .payload = 8};
            uint32_t *fields[] = {&f.raw, &f.stored, &f.payload, &f.records, &f.raw};
            *fields[field] = sizes[i];
            if (field == 4)
                f.stored = sizes[i];
            f.compressed = i % 2;
            refuse_frame(&f, content, sizeof content, "frame sizes");
            f.end = true;
            refuse_frame(&f, content, sizeof content, "end frame sizes");
        }
    }
}

// Columns that say more than they hold: n x huge lengths, domains without names, sums that wrap.
static void refuse_columns(void) {
    uint8_t content[9 * 17 + 64];
    // Every column arithmetic: first value `first`, step `step`; the list of domains behind.
    const struct {
        uint64_t first, step;
    } cases[] = {{0, 0}, {1, 0}, {UINT64_MAX, 0}, {1, UINT64_MAX}, {0x80000000u, 0}, {0x7fffffff, 1}};
    static const uint8_t widths[9] = {8, 2, 4, 4, 4, 4, 2, 1, 4};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (uint32_t records = 1; records <= FRAME_RECORDS_LIMIT; records *= 16) {
            uint8_t *p = content;
            for (int c = 0; c < 9; c++) {
                *p++ = 1;
                store_le(p, cases[i].first, widths[c]);
                store_le(p + widths[c], cases[i].step, widths[c]);
                p += 2 * widths[c];
            }
            store_le(p, i == 2 ? UINT32_MAX : 0, 4); // names
            p += 4;
            struct frame_header f = {.records = records, .raw = (uint32_t)(p - content)};
            f.stored = f.raw;
            refuse_frame(&f, content, f.raw, "columns");
        }
    }
}

// A compressed frame that unpacks to another size than declared.
static void refuse_compressed(void) {
    static uint8_t zeros[1 << 20];
    uint8_t packed[4096];
    size_t size = ZSTD_compress(packed, sizeof packed, zeros, sizeof zeros, 3);
    const uint32_t said[] = {(uint32_t)size + 1, sizeof zeros - 1, sizeof zeros + 1, FRAME_LIMIT};
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        struct frame_header f = {.records = 1, .raw = said[i], .stored = (uint32_t)size, .compressed = true};
        refuse_frame(&f, packed, size, "compressed size");
        f.end = true;
        f.records = 0;
        refuse_frame(&f, packed, size, "compressed end");
    }
    // Garbage behind the zstd frame, and no zstd frame at all.
    struct frame_header f = {.records = 1, .raw = sizeof zeros, .stored = (uint32_t)size + 8, .compressed = true};
    refuse_frame(&f, packed, size + 8, "bytes behind zstd");
    f.stored = 64;
    refuse_frame(&f, zeros, 64, "no zstd");
}

// ---- end frames ----

static void refuse_end(size_t at, uint64_t value, int size) {
    struct stream_header h = sample_header(0);
    struct buffer b = sample_stream(&h, SAMPLE_RECORDS, 0, 200);
    uint64_t end_offset, total;
    struct frame_header f;
    CHECK_OK(trailer_decode(b.data + b.size - TRAILER_SIZE, &end_offset, &total));
    CHECK_OK(frame_header_decode(&f, b.data + end_offset));
    uint8_t *raw = b.data + end_offset + FRAME_HEADER_SIZE;
    if (load_le(raw + at, size) != value) {
        store_le(raw + at, value, size);
        store_le(b.data + total - TRAILER_SIZE - HASH_SIZE,
                 XXH3_64bits(b.data + end_offset, frame_length(&f) - HASH_SIZE), 8);
        refuse_bytes(&b, "end frame field");
    }
    buffer_release(&b);
}

static void refuse_ends(void) {
    const uint64_t values[] = {0, 1, 1 << 20, INT32_MAX, 0x80000000u, UINT32_MAX, INT64_MAX, UINT64_MAX};
    struct stream_header h = sample_header(0);
    struct buffer b = sample_stream(&h, SAMPLE_RECORDS, 0, 200);
    uint64_t end_offset, total;
    struct frame_header f;
    CHECK_OK(trailer_decode(b.data + b.size - TRAILER_SIZE, &end_offset, &total));
    CHECK_OK(frame_header_decode(&f, b.data + end_offset));
    // The corpus digest (48..63) may be any; every other place of 4 bytes is checked somewhere.
    for (size_t at = 0; at + 8 <= f.raw; at += 4)
        for (size_t i = 0; i < sizeof values / sizeof *values; i++)
            if (at < 44 || at >= 64)
                refuse_end(at, values[i], i < 6 ? 4 : 8);
    buffer_release(&b);
}

static long peak_kib(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

int main(void) {
    uint64_t sequences;
    struct stream_header h = sample_header(0);
    struct buffer b = sample_stream(&h, SAMPLE_RECORDS, 3, 200);
    pipe_to_standard_input(b.data, b.size);
    CHECK_OK(read_all(NULL, &sequences)); // so that the libraries' own memory is counted before
    buffer_release(&b);
    long before = peak_kib();
    refuse_headers();
    refuse_frame_headers();
    refuse_columns();
    refuse_compressed();
    refuse_ends();
    // The largest honest need here is a frame of 1 MiB.
    if (MEASURE)
        CHECK(peak_kib() - before < 8 * 1024);
    printf("%ld KiB grown\n", peak_kib() - before);
    return check_report();
}
