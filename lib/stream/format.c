// Header block, frame headers and trailer: bytes to fields and back.
#include "stream/format.h"
#include "base/error.h"
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

// As PNG's: a byte with the high bit set, a name, CR LF, end-of-file for DOS, and the format version. A
// transfer that strips bit 7 or rewrites line ends breaks it.
static const uint8_t magic[MAGIC_SIZE] = {0x8e, 'T', 'C', 'T', '\r', '\n', 0x1a, STREAM_FORMAT_VERSION};
static const uint8_t end_magic[MAGIC_SIZE] = {0x8e, 'T', 'C', 'E', '\r', '\n', 0x1a, STREAM_FORMAT_VERSION};
static const uint8_t data_tag[4] = {'T', 'C', 'F', 'd'}, end_tag[4] = {'T', 'C', 'F', 'e'};
enum { FLAG_ZSTD = 1 };

// ---- header block ----

static bool is_text_damage(const uint8_t *p, size_t got) {
    static const uint8_t stripped[] = {0x0e, 'T', 'C', 'T'}, lf[] = {0x8e, 'T', 'C', 'T', '\n', 0x1a},
                         crlf[] = {0x8e, 'T', 'C', 'T', '\r', '\r', '\n'},
                         utf8[] = {0xef, 0xbf, 0xbd, 'T', 'C', 'T'}, latin[] = {0xc2, 0x8e, 'T', 'C', 'T'};
    const struct {
        const uint8_t *bytes;
        size_t size;
    } marks[] = {{stripped, sizeof stripped},
                 {lf, sizeof lf},
                 {crlf, sizeof crlf},
                 {utf8, sizeof utf8},
                 {latin, sizeof latin}};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (got >= marks[i].size && memcmp(p, marks[i].bytes, marks[i].size) == 0)
            return true;
    return false;
}

// What a file is that was taken for a stream, as far as its first bytes tell.
static const char *other_kind(const uint8_t *p, size_t got) {
    static const uint8_t gzip[] = {0x1f, 0x8b}, zstd[] = {0x28, 0xb5, 0x2f, 0xfd};
    if (got >= sizeof gzip && memcmp(p, gzip, sizeof gzip) == 0)
        return ", but a gzip file; decompress it first";
    if (got >= sizeof zstd && memcmp(p, zstd, sizeof zstd) == 0)
        return ", but a zstd file; decompress it first";
    for (size_t i = 0; i < got; i++)
        if ((p[i] < ' ' && p[i] != '\t' && p[i] != '\n' && p[i] != '\r') || p[i] == 0x7f)
            return "";
    return ", but text; tokenize makes a token stream of it";
}

int header_block_size(const uint8_t *fixed, size_t got, size_t *size) {
    if (got >= MAGIC_SIZE && memcmp(fixed, magic, MAGIC_SIZE - 1) == 0 &&
        fixed[MAGIC_SIZE - 1] != magic[MAGIC_SIZE - 1])
        return error_set(ERROR_INPUT, "format version %d, this build reads %d", fixed[MAGIC_SIZE - 1],
                         STREAM_FORMAT_VERSION);
    if (is_text_damage(fixed, got))
        return error_set(ERROR_INPUT, "damaged by a transfer as text");
    if (memcmp(fixed, magic, got < MAGIC_SIZE ? got : MAGIC_SIZE) != 0)
        return error_set(ERROR_INPUT, "not a stream%s", other_kind(fixed, got));
    if (got < HEADER_FIXED)
        return error_set(ERROR_INPUT, "truncated: %zu of %d bytes", got, HEADER_FIXED);
    uint64_t length = load_le(fixed + MAGIC_SIZE, 4);
    if (length > HEADER_JSON_LIMIT || load_le(fixed + MAGIC_SIZE + 4, 4) != 0)
        return error_set(ERROR_INPUT, "header of %llu bytes is out of bounds", (unsigned long long)length);
    *size = HEADER_FIXED + round_up_8(length) + HASH_SIZE;
    return OK;
}

int header_block_encode(struct buffer *out, const struct stream_header *h) {
    static const uint8_t zeros[8];
    uint8_t number[8];
    json_t *json = header_to_json(h, true);
    char *text = json ? json_canonical(json) : NULL;
    size_t length = text ? strlen(text) : 0, start = out->size;
    json_decref(json);
    int code = text ? OK : ERROR_SYSTEM;
    if (code == OK && length > HEADER_JSON_LIMIT)
        code = error_set(ERROR_USAGE, "a header of %zu bytes exceeds %d", length, HEADER_JSON_LIMIT);
    if (code == OK)
        code = buffer_append(out, magic, MAGIC_SIZE);
    store_le(number, length, 8); // at most 2^20: the upper half is the zero
    if (code == OK)
        code = buffer_append(out, number, 8);
    if (code == OK)
        code = buffer_append(out, text, length);
    if (code == OK)
        code = buffer_append(out, zeros, round_up_8(length) - length);
    if (code == OK) {
        store_le(number, XXH3_64bits(out->data + start, out->size - start), HASH_SIZE);
        code = buffer_append(out, number, HASH_SIZE);
    }
    free(text);
    return code;
}

// ---- frame header ----

void frame_header_encode(uint8_t out[FRAME_HEADER_SIZE], const struct frame_header *f) {
    memcpy(out, f->end ? end_tag : data_tag, 4);
    store_le(out + 4, f->records, 4);
    store_le(out + 8, f->number, 8);
    store_le(out + 16, f->raw, 4);
    store_le(out + 20, f->stored, 4);
    store_le(out + 24, f->payload, 4);
    store_le(out + 28, f->compressed ? FLAG_ZSTD : 0, 4);
}

int frame_header_decode(struct frame_header *f, const uint8_t in[FRAME_HEADER_SIZE]) {
    uint32_t flags = (uint32_t)load_le(in + 28, 4);
    f->end = memcmp(in, end_tag, 4) == 0;
    if (!f->end && memcmp(in, data_tag, 4) != 0)
        return error_set(ERROR_INPUT, "not a frame");
    f->compressed = flags == FLAG_ZSTD;
    f->records = (uint32_t)load_le(in + 4, 4);
    f->number = load_le(in + 8, 8);
    f->raw = (uint32_t)load_le(in + 16, 4);
    f->stored = (uint32_t)load_le(in + 20, 4);
    f->payload = (uint32_t)load_le(in + 24, 4);
    bool good = flags <= FLAG_ZSTD && f->raw <= (f->end ? END_LIMIT : FRAME_LIMIT) && f->payload <= f->raw &&
                (f->compressed ? f->stored < f->raw : f->stored == f->raw) && f->records <= FRAME_RECORDS_LIMIT &&
                (f->end ? f->records == 0 && f->payload == 0 : f->records > 0);
    return good ? OK : error_set(ERROR_INPUT, "frame header is out of bounds");
}

// ---- trailer ----

void trailer_encode(uint8_t out[TRAILER_SIZE], uint64_t end_offset, uint64_t size) {
    store_le(out, end_offset, 8);
    store_le(out + 8, size, 8);
    memcpy(out + 16, end_magic, MAGIC_SIZE);
    store_le(out + 24, XXH3_64bits(out, 24), HASH_SIZE);
}

int trailer_decode(const uint8_t in[TRAILER_SIZE], uint64_t *end_offset, uint64_t *size) {
    if (memcmp(in + 16, end_magic, MAGIC_SIZE) != 0 || load_le(in + 24, HASH_SIZE) != XXH3_64bits(in, 24))
        return error_set(ERROR_INPUT, "trailer hash mismatch");
    *end_offset = load_le(in, 8);
    *size = load_le(in + 8, 8);
    return OK;
}
