#include "stream/frame.h"
#include "base/error.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

// The columns in the order of the format.
enum { ID, DOMAIN, PREDICTED, BYTES, FIRST, GROUP, CHOICE, GOLD, NORM_LENGTH };
static const struct {
    uint8_t width;
    size_t place; // in struct record
} columns[COLUMNS] = {
    [ID] = {8, offsetof(struct record, id)},
    [DOMAIN] = {2, offsetof(struct record, domain)},
    [PREDICTED] = {4, offsetof(struct record, predicted)},
    [BYTES] = {4, offsetof(struct record, bytes)},
    [FIRST] = {4, offsetof(struct record, first)},
    [GROUP] = {4, offsetof(struct record, group)},
    [CHOICE] = {2, offsetof(struct record, choice)},
    [GOLD] = {1, offsetof(struct record, gold)},
    [NORM_LENGTH] = {4, offsetof(struct record, norm_length)},
};
enum { ENCODING_PLAIN, ENCODING_ARITHMETIC };

// ---- encoding ----

static inline uint64_t load_field(const char *field, int width) {
    switch (width) {
    case 8:
        return *(const uint64_t *)field;
    case 4:
        return *(const uint32_t *)field;
    case 2:
        return *(const uint16_t *)field;
    default:
        return *(const uint8_t *)field;
    }
}

static uint64_t record_column(const struct record *r, int c) {
    return load_field((const char *)r + columns[c].place, columns[c].width);
}

static inline void store_fields(uint8_t *p, const char *field, uint32_t n, int width) {
    for (uint32_t i = 0; i < n; i++, p += width, field += sizeof(struct record))
        store_le(p, load_field(field, width), width);
}

// A loop for each width, for a copy of so few bytes must not be a call.
static void store_column(uint8_t *p, const struct record *records, uint32_t n, int c) {
    const char *field = (const char *)records + columns[c].place;
    switch (columns[c].width) {
    case 8:
        store_fields(p, field, n, 8);
        break;
    case 4:
        store_fields(p, field, n, 4);
        break;
    case 2:
        store_fields(p, field, n, 2);
        break;
    default:
        store_fields(p, field, n, 1);
    }
}

static uint64_t width_mask(int width) {
    return UINT64_MAX >> (64 - 8 * width);
}

static bool is_arithmetic(const struct record *records, uint32_t n, int c, uint64_t *step) {
    uint64_t mask = width_mask(columns[c].width), value = record_column(&records[0], c);
    *step = n > 1 ? (record_column(&records[1], c) - value) & mask : 0;
    for (uint32_t i = 1; i < n; i++)
        if (record_column(&records[i], c) != (value = (value + *step) & mask))
            return false;
    return n > 1;
}

int frame_encode_columns(struct buffer *out, const struct record *records, uint32_t n) {
    for (int c = 0; c < COLUMNS; c++) {
        uint8_t width = columns[c].width;
        uint64_t step;
        bool arithmetic = is_arithmetic(records, n, c, &step);
        uint32_t values = arithmetic ? 1 : n;
        size_t size = 1 + (arithmetic ? 2 : (size_t)n) * width;
        int code = buffer_reserve(out, size);
        if (code != OK)
            return code;
        uint8_t *p = out->data + out->size;
        *p++ = arithmetic ? ENCODING_ARITHMETIC : ENCODING_PLAIN;
        store_column(p, records, values, c);
        if (arithmetic)
            store_le(p + width, step, width);
        out->size += size;
    }
    return OK;
}

size_t frame_columns_most(uint32_t n) {
    size_t size = 0;
    for (int c = 0; c < COLUMNS; c++)
        size += 1 + (n > 2 ? (size_t)n : 2) * columns[c].width;
    return size;
}

// ---- decoding ----

int frame_raw(const struct frame_bytes *b, ZSTD_DCtx *zstd, uint8_t **raw, size_t *capacity,
              const uint8_t **content) {
    const struct frame_header *h = &b->header;
    if (!h->compressed) {
        *content = b->stored;
        return OK;
    }
    if (ZSTD_getFrameContentSize(b->stored, h->stored) != h->raw ||
        ZSTD_findFrameCompressedSize(b->stored, h->stored) != h->stored)
        return error_set(ERROR_INPUT, "compressed size differs from the frame header");
    if (*capacity < h->raw) {
        free(*raw);
        *capacity = 0;
        *raw = memory_new_aligned(h->raw);
        if (!*raw)
            return ERROR_SYSTEM;
        *capacity = h->raw;
    }
    size_t got = ZSTD_decompressDCtx(zstd, *raw, h->raw, b->stored, h->stored);
    if (ZSTD_isError(got))
        return error_set(ERROR_INPUT, "cannot decompress: %s", ZSTD_getErrorName(got));
    if (got != h->raw)
        return error_set(ERROR_INPUT, "decompressed to %zu bytes instead of %u", got, h->raw);
    *content = *raw;
    return OK;
}

static inline uint64_t column_value(const struct column *c, int width, uint32_t i) {
    return c->plain ? load_le(c->plain + (size_t)i * (size_t)width, width)
                    : (c->first + c->step * i) & width_mask(width);
}

static int decode_columns(struct frame *f, const uint8_t *p, size_t size) {
    for (int c = 0; c < COLUMNS; c++) {
        size_t width = columns[c].width;
        uint8_t encoding = size > 0 ? *p : UINT8_MAX;
        size_t values = encoding == ENCODING_PLAIN ? f->records : 2;
        if (encoding > ENCODING_ARITHMETIC || size - 1 < values * width)
            return error_set(ERROR_INPUT, "column %d is cut short or of an unknown encoding", c);
        p++;
        f->columns[c] = (struct column){.plain = p};
        if (encoding == ENCODING_ARITHMETIC)
            f->columns[c] =
                (struct column){.first = load_le(p, (int)width), .step = load_le(p + width, (int)width)};
        p += values * width;
        size -= 1 + values * width;
    }
    size_t used = 0;
    int code = domains_measure(p, size, &f->domains, &used);
    if (code == OK && used != size)
        code = error_set(ERROR_INPUT, "%zu bytes behind the columns", size - used);
    f->names = p;
    return code;
}

// Domains are numbered by first use, so that equal content has equal bytes in the digest: a new name is used
// in its frame, in order.
static int check_domains(const struct frame *f, uint32_t before) {
    uint32_t next = before;
    for (uint32_t i = 0; i < f->records; i++) {
        uint32_t domain = (uint32_t)column_value(&f->columns[DOMAIN], 2, i);
        if (domain > next || domain >= before + f->domains)
            return error_set(ERROR_INPUT, "sequence %u of the frame has domain %u before its name", i, domain);
        next += domain == next;
    }
    return next == before + f->domains ? OK : error_set(ERROR_INPUT, "a domain is named and not used");
}

static int locate_payloads(struct frame *f, const struct stream_header *h, uint32_t payload) {
    if (f->offset_capacity < f->records + 1u) {
        int code = memory_resize(&f->offsets, f->records + 1u, sizeof *f->offsets);
        if (code != OK)
            return code;
        f->offset_capacity = f->records + 1u;
    }
    uint64_t at = 0;
    for (uint32_t i = 0; i < f->records; i++) {
        uint32_t first = (uint32_t)column_value(&f->columns[FIRST], 4, i);
        uint32_t predicted = (uint32_t)column_value(&f->columns[PREDICTED], 4, i);
        f->offsets[i] = (uint32_t)at;
        at += payload_size(h, payload_count(h, first, predicted));
        bool long_one = h->kind == STREAM_TOKENS && h->length > 0 && (uint64_t)first + predicted > h->length;
        if (first == 0 || long_one || at > payload)
            return error_set(ERROR_INPUT, "sequence %u of the frame has %u + %u tokens: out of bounds", i, first,
                             predicted);
    }
    f->offsets[f->records] = (uint32_t)at;
    return at == payload ? OK
                         : error_set(ERROR_INPUT, "payload of %u bytes, its sequences have %" PRIu64, payload, at);
}

int frame_decode(struct frame *f, const struct stream_header *h, const struct frame_bytes *b,
                 uint32_t domains_before, ZSTD_DCtx *zstd) {
    const uint8_t *content;
    f->number = b->header.number;
    f->records = b->header.records;
    int code = frame_raw(b, zstd, &f->raw, &f->raw_capacity, &content);
    if (code != OK)
        return code;
    f->payload = content;
    code = decode_columns(f, content + b->header.payload, b->header.raw - b->header.payload);
    if (code == OK)
        code = check_domains(f, domains_before);
    if (code == OK)
        code = locate_payloads(f, h, b->header.payload);
    return code == OK ? payload_check(h, f->payload, b->header.payload) : code;
}

void frame_record(const struct frame *f, const struct stream_header *h, uint32_t i, struct record *r) {
    const struct column *c = f->columns;
    r->id = column_value(&c[ID], 8, i);
    r->domain = (uint16_t)column_value(&c[DOMAIN], 2, i);
    r->predicted = (uint32_t)column_value(&c[PREDICTED], 4, i);
    r->bytes = (uint32_t)column_value(&c[BYTES], 4, i);
    r->first = (uint32_t)column_value(&c[FIRST], 4, i);
    r->group = (uint32_t)column_value(&c[GROUP], 4, i);
    r->choice = (uint16_t)column_value(&c[CHOICE], 2, i);
    r->gold = (uint8_t)column_value(&c[GOLD], 1, i);
    r->norm_length = (uint32_t)column_value(&c[NORM_LENGTH], 4, i);
    r->count = (uint32_t)payload_count(h, r->first, r->predicted);
    r->payload = f->payload + f->offsets[i];
}

uint32_t frame_payload_size(const struct frame *f, uint32_t i) {
    return f->offsets[i + 1] - f->offsets[i];
}

size_t frame_memory(const struct frame *f) {
    return sizeof *f + f->offset_capacity * sizeof *f->offsets + f->raw_capacity;
}

void frame_release(struct frame *f) {
    free(f->offsets);
    free(f->raw);
    *f = (struct frame){0};
}
