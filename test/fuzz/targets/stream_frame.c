// The content of one data frame: payloads, columns, new domain names. The first 8 bytes choose the stream's header
// and fill in the frame's. What is accepted is encoded again, and the records come back.
#include "../support.h"

#include "stream/frame.h"

#include <math.h>

enum { FIXED = 8, DOMAINS_BEFORE = 2, RAW_MOST = 1 << 20 };

static const struct stream_header headers[] = {
    {.kind = STREAM_TOKENS, .dtype = STREAM_U16, .length = 9, .vocab_size = 300},
    {.kind = STREAM_TOKENS, .dtype = STREAM_U16, .vocab_size = 65536},
    {.kind = STREAM_TOKENS, .dtype = STREAM_U32, .vocab_size = 100000},
    {.kind = STREAM_SCORES, .dtype = STREAM_F32, .experts = 3, .prefix = 4},
    {.kind = STREAM_SCORES, .dtype = STREAM_F16, .experts = 65535},
    {.kind = STREAM_LOGPROBS, .dtype = STREAM_F32, .length = 9},
    {.kind = STREAM_WEIGHTS, .dtype = STREAM_F32, .experts = 2},
    {.kind = STREAM_WEIGHTS, .dtype = STREAM_F32, .experts = 65535, .per_position = true},
    {.kind = STREAM_ASSIGNMENT, .dtype = STREAM_U16, .experts = 5, .topk = 1},
    {.kind = STREAM_ASSIGNMENT, .dtype = STREAM_U16, .experts = 65, .topk = 64},
};

static void use_payload(const struct stream_header *h, const struct record *r) {
    uint32_t token;
    float value;
    for (uint32_t i = 0; i < r->count; i++) {
        if (h->kind == STREAM_TOKENS) {
            record_tokens(h, r, i, 1, &token);
            REQUIRE(token < h->vocab_size);
        } else if (h->kind == STREAM_ASSIGNMENT) {
            REQUIRE(record_expert(h, r, i) < h->experts);
            REQUIRE(record_expert_weight(h, r, i) < INFINITY); // not NaN
        } else {
            record_floats(h, r, i, 1, &value);
            REQUIRE(value < INFINITY);
        }
    }
}

// Bytes of the list of new names behind the columns.
static size_t names_size(const struct frame *f) {
    size_t size = 4;
    for (uint32_t i = 0; i < f->domains; i++)
        size += 2 + load_le(f->names + size, 2);
    return size;
}

static void encode_again(const struct frame *f, const struct stream_header *h, const struct record *records) {
    static struct frame again;
    struct buffer raw = {0};
    uint32_t payload = f->offsets[f->records];
    REQUIRE(buffer_append(&raw, f->payload, payload) == OK);
    REQUIRE(frame_encode_columns(&raw, records, f->records) == OK);
    REQUIRE(buffer_append(&raw, f->names, names_size(f)) == OK);
    struct frame_bytes b = {.header = {.records = f->records,
                                       .payload = payload,
                                       .raw = (uint32_t)raw.size,
                                       .stored = (uint32_t)raw.size},
                            .stored = raw.data};
    REQUIRE(frame_decode(&again, h, &b, DOMAINS_BEFORE, NULL) == OK);
    for (uint32_t i = 0; i < f->records; i++) {
        struct record r = {0};
        frame_record(&again, h, i, &r);
        r.payload = records[i].payload;
        REQUIRE(memcmp(&r, &records[i], sizeof r) == 0);
    }
    buffer_release(&raw);
}

static void use(const struct frame *f, const struct stream_header *h, XXH3_state_t *digest) {
    struct record *records = calloc(f->records, sizeof *records);
    struct domains table = {0};
    struct content content = {.state = digest};
    REQUIRE(records);
    for (uint32_t i = 0; i < f->records; i++) {
        frame_record(f, h, i, &records[i]);
        content_record(&content, &records[i], records[i].domain, frame_payload_size(f, i));
        use_payload(h, &records[i]);
    }
    content_flush(&content);
    encode_again(f, h, records);
    if (domains_decode(&table, f->names) == OK) // the names themselves are judged here
        REQUIRE(domains_compare(&table, 0, f->names) == OK);
    domains_release(&table);
    free(records);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct frame frame;
    static ZSTD_DCtx *zstd;
    static XXH3_state_t *digest;
    if (!zstd) {
        zstd = ZSTD_createDCtx();
        digest = XXH3_createState();
        REQUIRE(zstd && digest);
        XXH3_128bits_reset(digest);
    }
    if (size < FIXED)
        return 0;
    fuzz_json(); // domain names are judged by it
    uint8_t choice = data[0];
    const struct stream_header *h = &headers[choice % (sizeof headers / sizeof *headers)];
    struct frame_bytes b = {.header = {.compressed = choice & 0x80,
                                       .records = (uint32_t)load_le(data + 1, 2) + 1,
                                       .payload = (uint32_t)load_le(data + 3, 2),
                                       .raw = (uint32_t)load_le(data + 5, 3),
                                       .stored = (uint32_t)(size - FIXED)}};
    if (!b.header.compressed)
        b.header.raw = b.header.stored;
    if (b.header.payload > b.header.raw || (b.header.compressed && b.header.stored >= b.header.raw) ||
        b.header.raw > RAW_MOST)
        return 0; // what the frame header's check refuses, and what would only be slow
    uint8_t *stored = fuzz_copy(data + FIXED, size - FIXED);
    b.stored = stored;
    if (frame_decode(&frame, h, &b, DOMAINS_BEFORE, zstd) == OK)
        use(&frame, h, digest);
    free(stored);
    return 0;
}
