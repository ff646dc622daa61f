// The kinds: what a payload is made of, how long it is, and which elements are legal.
#include "base/error.h"
#include "stream/format.h"

#include <endian.h>
#include <string.h>

static const struct {
    const char *name;
    unsigned dtypes;
} kinds[STREAM_KINDS] = {
    [STREAM_TOKENS] = {"tokens", 1 << STREAM_U16 | 1 << STREAM_U32},
    [STREAM_SCORES] = {"scores", 1 << STREAM_F32 | 1 << STREAM_F16},
    [STREAM_LOGPROBS] = {"logprobs", 1 << STREAM_F32},
    [STREAM_WEIGHTS] = {"weights", 1 << STREAM_F32},
    [STREAM_ASSIGNMENT] = {"assignment", 1 << STREAM_U16},
    [STREAM_TRACE] = {"trace", 0},
};

static const struct {
    const char *name;
    size_t size;
} dtypes[] = {
    [STREAM_U16] = {"u16", 2}, [STREAM_U32] = {"u32", 4}, [STREAM_F16] = {"f16", 2}, [STREAM_F32] = {"f32", 4}};

const char *stream_kind_name(enum stream_kind kind) {
    return kinds[kind].name;
}

const char *stream_dtype_name(enum stream_dtype dtype) {
    return dtypes[dtype].name;
}

size_t dtype_size(enum stream_dtype dtype) {
    return dtypes[dtype].size;
}

bool kind_takes(enum stream_kind kind, enum stream_dtype dtype) {
    return kinds[kind].dtypes >> dtype & 1;
}

uint64_t payload_count(const struct stream_header *h, uint32_t first, uint32_t predicted) {
    switch (h->kind) {
    case STREAM_TOKENS:
        return (uint64_t)first + predicted;
    case STREAM_LOGPROBS:
        return predicted;
    case STREAM_WEIGHTS:
        return h->per_position ? (uint64_t)h->experts * predicted : h->experts;
    case STREAM_ASSIGNMENT:
        return h->topk;
    default:
        return h->experts;
    }
}

// K experts are followed by K log-weights, except for the one expert of weight 1.
static size_t assignment_size(const struct stream_header *h) {
    return h->topk == 1 ? 2 : 6 * (size_t)h->topk;
}

uint64_t payload_size(const struct stream_header *h, uint64_t count) {
    return h->kind == STREAM_ASSIGNMENT ? assignment_size(h) : count * dtypes[h->dtype].size;
}

uint32_t record_payload_size(const struct stream_header *h, const struct record *r) {
    return (uint32_t)payload_size(h, r->count);
}

// ---- which elements are legal ----

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

static int bad_number(size_t at, bool nan) {
    return error_set(ERROR_NUMERIC, "element %zu of the payload is %s", at, nan ? "NaN" : "+inf");
}

// As integers, NaN and +inf are 0x7f800000..0x7fffffff and everything above 0xff800000 (-inf).
static inline uint32_t is_bad_f32(uint32_t v) {
    return (v >= 0x7f800000u) & ((v < 0x80000000u) | (v > 0xff800000u));
}

// The elements are judged in blocks of a constant length, which the compiler turns into vector code; every byte
// that a stream carries passes here.
enum { BLOCK = 256 };

static int check_f32(const uint8_t *p, size_t n) {
    for (size_t begin = 0; begin < n; begin += BLOCK) {
        uint32_t bad = 0;
        if (n - begin >= BLOCK) {
            for (size_t i = 0; i < BLOCK; i++)
                bad |= is_bad_f32(get_32(p + 4 * (begin + i)));
        }
        for (size_t i = begin; (bad || n - begin < BLOCK) && i < n; i++)
            if (is_bad_f32(get_32(p + 4 * i)))
                return bad_number(i, get_32(p + 4 * i) != 0x7f800000u);
    }
    return OK;
}

static int check_f16(const uint8_t *p, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint16_t v = get_16(p + 2 * i);
        if (v >= 0x7c00 && (v < 0x8000 || v > 0xfc00))
            return bad_number(i, v != 0x7c00);
    }
    return OK;
}

// Bit 31 of most - v is set where v > most; tokens of u32 beyond 2^31 need the comparison itself.
static uint32_t any_above_16(const uint8_t *p, size_t n, uint32_t most) {
    uint32_t above = 0;
    for (; n >= BLOCK; p += 2 * BLOCK, n -= BLOCK)
        for (size_t i = 0; i < BLOCK; i++)
            above |= most - get_16(p + 2 * i);
    for (size_t i = 0; i < n; i++)
        above |= most - get_16(p + 2 * i);
    return above >> 31;
}

static uint32_t any_above_32(const uint8_t *p, size_t n, uint32_t most) {
    uint32_t above = 0;
    for (; n >= BLOCK; p += 4 * BLOCK, n -= BLOCK)
        for (size_t i = 0; i < BLOCK; i++)
            above |= get_32(p + 4 * i) > most;
    for (size_t i = 0; i < n; i++)
        above |= get_32(p + 4 * i) > most;
    return above;
}

static int check_tokens(const struct stream_header *h, const uint8_t *p, size_t n) {
    uint32_t most = h->vocab_size - 1;
    bool narrow = h->dtype == STREAM_U16;
    if (h->vocab_size == 0 ||
        (narrow ? most == UINT16_MAX || !any_above_16(p, n, most) : !any_above_32(p, n, most)))
        return OK;
    for (size_t i = 0; i < n; i++) {
        uint32_t token = narrow ? get_16(p + 2 * i) : get_32(p + 4 * i);
        if (token > most)
            return error_set(ERROR_INPUT, "token %u is not in the vocabulary of %u", token, h->vocab_size);
    }
    return OK;
}

static int check_assignment(const struct stream_header *h, const uint8_t *p, size_t size) {
    size_t step = assignment_size(h), experts = 2 * (size_t)h->topk;
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
        return check_tokens(h, payload, size / dtypes[h->dtype].size);
    if (h->kind == STREAM_ASSIGNMENT)
        return check_assignment(h, payload, size);
    return h->dtype == STREAM_F16 ? check_f16(payload, size / 2) : check_f32(payload, size / 4);
}
