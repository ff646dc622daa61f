// Which elements of a payload are legal. Every byte that a stream carries passes here, on its way in and on its
// way out: this file is compiled as the kernels are, and its loops have no exit, so that they become vector code.
#include "base/error.h"
#include "stream/format.h"

#include <endian.h>
#include <string.h>

// load_le() goes through 64 bits, and gcc 12 then makes no vector code of the loops.
static inline uint16_t get_16(const uint8_t *p) {
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return le16toh(v);
}

static inline uint32_t get_32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return le32toh(v);
}

// ---- numbers ----

static int bad_number(size_t at, bool nan) {
    return error_set(ERROR_NUMERIC, "element %zu of the payload is %s", at, nan ? "NaN" : "+inf");
}

// As integers, NaN and +inf are 0x7f800000..0x7fffffff and everything above 0xff800000 (-inf); moved so that the
// first of these ranges begins at 0, each is one comparison.
static inline uint32_t is_bad_f32(uint32_t v) {
    return (uint32_t)(v - 0x7f800000u <= 0x7fffffu) | (uint32_t)(v > 0xff800000u);
}

static int check_f32(const uint8_t *p, size_t n) {
    uint32_t bad = 0;
    for (size_t i = 0; i < n; i++)
        bad |= is_bad_f32(get_32(p + 4 * i));
    for (size_t i = 0; bad && i < n; i++)
        if (is_bad_f32(get_32(p + 4 * i)))
            return bad_number(i, get_32(p + 4 * i) != 0x7f800000u);
    return OK;
}

static inline uint16_t is_bad_f16(uint16_t v) {
    return (uint16_t)((uint16_t)(v - 0x7c00u) <= 0x3ffu) | (uint16_t)(v > 0xfc00u);
}

static int check_f16(const uint8_t *p, size_t n) {
    uint16_t bad = 0;
    for (size_t i = 0; i < n; i++)
        bad |= is_bad_f16(get_16(p + 2 * i));
    for (size_t i = 0; bad && i < n; i++)
        if (is_bad_f16(get_16(p + 2 * i)))
            return bad_number(i, get_16(p + 2 * i) != 0x7c00);
    return OK;
}

// ---- tokens ----

static uint16_t greatest_16(const uint8_t *p, size_t n) {
    uint16_t greatest = 0;
    for (size_t i = 0; i < n; i++)
        greatest = get_16(p + 2 * i) > greatest ? get_16(p + 2 * i) : greatest;
    return greatest;
}

static uint32_t greatest_32(const uint8_t *p, size_t n) {
    uint32_t greatest = 0;
    for (size_t i = 0; i < n; i++)
        greatest = get_32(p + 4 * i) > greatest ? get_32(p + 4 * i) : greatest;
    return greatest;
}

static int check_tokens(const struct stream_header *h, const uint8_t *p, size_t size) {
    size_t width = dtype_size(h->dtype);
    if (h->vocab_size == 0 || size == 0 ||
        (width == 2 ? greatest_16(p, size / width) : greatest_32(p, size / width)) < h->vocab_size)
        return OK;
    for (size_t i = 0; i < size / width; i++) {
        uint32_t token = width == 2 ? get_16(p + 2 * i) : get_32(p + 4 * i);
        if (token >= h->vocab_size)
            return error_set(ERROR_INPUT, "token %u is not in the vocabulary of %u", token, h->vocab_size);
    }
    return OK;
}

// ---- assignments ----

static int check_assignment(const struct stream_header *h, const uint8_t *p, size_t size) {
    size_t experts = 2 * (size_t)h->topk, step = h->topk == 1 ? experts : experts + 4 * (size_t)h->topk;
    int code = OK;
    for (size_t at = 0; code == OK && at < size; at += step) {
        for (size_t k = 0; k < experts; k += 2)
            if (get_16(p + at + k) >= h->experts)
                return error_set(ERROR_INPUT, "expert %u is not one of %u", get_16(p + at + k), h->experts);
        code = check_f32(p + at + experts, (step - experts) / 4);
    }
    return code;
}

int payload_check(const struct stream_header *h, const uint8_t *payload, size_t size) {
    if (h->kind == STREAM_TOKENS)
        return check_tokens(h, payload, size);
    if (h->kind == STREAM_ASSIGNMENT)
        return check_assignment(h, payload, size);
    return h->dtype == STREAM_F16 ? check_f16(payload, size / 2) : check_f32(payload, size / 4);
}
