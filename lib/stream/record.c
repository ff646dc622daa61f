// Payload elements as u32 and f32 whatever the dtype, and streams in lockstep.
#include "base/error.h"
#include "stream/format.h"
#include "stream/stream.h"

#include <endian.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

// ---- f16 (IEEE 754 binary16) ----

static float half_to_float(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, mantissa = h & 1023, bits;
    if (exponent == 31) {
        bits = sign | 0x7f800000u | mantissa << 13;
    } else if (exponent > 0) {
        bits = sign | (exponent + 112) << 23 | mantissa << 13;
    } else {
        float value = (float)mantissa * 0x1p-24f; // zero and subnormals
        return sign ? -value : value;
    }
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// Round to nearest, ties to even; finite values beyond the range saturate, so that -inf stays a statement.
static uint16_t float_to_half(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    uint32_t size = bits & 0x7fffffffu;
    if (size >= 0x7f800000u)
        return (uint16_t)(sign | (size > 0x7f800000u ? 0x7e00 : 0x7c00));
    if (size > 0x477fe000u) // above 65504
        return (uint16_t)(sign | 0x7bff);
    if (size < 0x38800000u) // below the least normal: units of 2^-24, rounded by the float addition
        return (uint16_t)(sign | (uint16_t)rintf(fabsf(value) * 0x1p24f));
    uint32_t rounded = size + 0xfff + (size >> 13 & 1);
    return (uint16_t)(sign | (uint16_t)((rounded - 0x38000000u) >> 13));
}

// ---- elements ----

static uint16_t get_16(const void *payload, size_t i) {
    uint16_t v;
    memcpy(&v, (const char *)payload + 2 * i, sizeof v);
    return le16toh(v);
}

static uint32_t get_32(const void *payload, size_t i) {
    uint32_t v;
    memcpy(&v, (const char *)payload + 4 * i, sizeof v);
    return le32toh(v);
}

static float get_float(const void *payload, size_t i) {
    uint32_t bits = get_32(payload, i);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void put_16(void *payload, size_t i, uint32_t value) {
    uint16_t v = htole16((uint16_t)value);
    memcpy((char *)payload + 2 * i, &v, sizeof v);
}

static void put_32(void *payload, size_t i, uint32_t value) {
    uint32_t v = htole32(value);
    memcpy((char *)payload + 4 * i, &v, sizeof v);
}

static void put_float(void *payload, size_t i, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_32(payload, i, bits);
}

void record_tokens(const struct stream_header *h, const struct record *r, uint32_t begin, uint32_t n,
                   uint32_t *out) {
    for (uint32_t i = 0; i < n; i++)
        out[i] =
            h->dtype == STREAM_U16 ? get_16(r->payload, (size_t)begin + i) : get_32(r->payload, (size_t)begin + i);
}

void record_floats(const struct stream_header *h, const struct record *r, uint32_t begin, uint32_t n, float *out) {
    const char *from = (const char *)r->payload + (size_t)begin * dtype_size(h->dtype);
    if (h->dtype == STREAM_F32 && BYTE_ORDER == LITTLE_ENDIAN)
        memcpy(out, from, n * sizeof *out);
    else
        for (uint32_t i = 0; i < n; i++)
            out[i] = h->dtype == STREAM_F16 ? half_to_float(get_16(from, i)) : get_float(from, i);
}

uint32_t record_expert(const struct stream_header *h, const struct record *r, uint32_t k) {
    return k < h->topk ? get_16(r->payload, k) : 0;
}

float record_expert_weight(const struct stream_header *h, const struct record *r, uint32_t k) {
    return h->topk > 1 && k < h->topk ? get_float((const char *)r->payload + 2 * (size_t)h->topk, k) : 0;
}

void payload_tokens(const struct stream_header *h, const uint32_t *tokens, uint32_t n, void *payload) {
    for (uint32_t i = 0; i < n; i++) {
        if (h->dtype == STREAM_U16)
            put_16(payload, i, tokens[i]);
        else
            put_32(payload, i, tokens[i]);
    }
}

void payload_floats(const struct stream_header *h, const float *values, uint32_t n, void *payload) {
    for (uint32_t i = 0; i < n; i++) {
        if (h->dtype == STREAM_F16)
            put_16(payload, i, float_to_half(values[i]));
        else
            put_float(payload, i, values[i]);
    }
}

void payload_experts(const struct stream_header *h, const uint32_t *experts, const float *weights, void *payload) {
    for (uint32_t k = 0; k < h->topk; k++) {
        put_16(payload, k, experts[k]);
        if (h->topk > 1)
            put_float((char *)payload + 2 * (size_t)h->topk, k, weights[k]);
    }
}

// ---- lockstep ----

int record_match(const struct stream *a, const struct record *ra, const struct stream *b, const struct record *rb,
                 uint64_t ordinal) {
    const struct {
        const char *name;
        uint64_t a, b;
    } columns[] = {{"id", ra->id, rb->id},
                   {"predicted", ra->predicted, rb->predicted},
                   {"bytes", ra->bytes, rb->bytes},
                   {"first", ra->first, rb->first}};
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        if (columns[i].a != columns[i].b)
            return error_set(ERROR_INPUT,
                             "%s and %s: sequence %" PRIu64 ": %s differs: %" PRIu64 " and %" PRIu64
                             "; these are other sequences, or in another order",
                             stream_name(a), stream_name(b), ordinal, columns[i].name, columns[i].a, columns[i].b);
    return OK;
}

int stream_match_vocabularies(const char *name, const struct digest *vocab, const char *other_name,
                              const struct digest *other, const char *advice) {
    char text[33], other_text[33];
    if (!digest_known(vocab) || !digest_known(other) || digest_equal(vocab, other))
        return OK;
    digest_format(vocab, text);
    digest_format(other, other_text);
    return error_set(ERROR_INPUT, "%s: vocabulary %s, but that of %s is %s; %s", name, text, other_name,
                     other_text, advice);
}

int stream_match(const struct stream *a, const struct stream *b) {
    const struct stream_header *ha = stream_header(a), *hb = stream_header(b);
    int code = stream_match_vocabularies(stream_name(a), &ha->vocab, stream_name(b), &hb->vocab,
                                         "use one tokenizer.json for both");
    if (code != OK)
        return code;
    if (ha->vocab_size != hb->vocab_size && ha->vocab_size && hb->vocab_size)
        return error_set(ERROR_INPUT, "%s and %s: vocabulary sizes differ: %u and %u", stream_name(a),
                         stream_name(b), ha->vocab_size, hb->vocab_size);
    return OK;
}

int stream_match_corpus(const struct stream *a, const struct stream *b) {
    struct digest of_a = stream_corpus(a), of_b = stream_corpus(b);
    if (!digest_known(&of_a) || !digest_known(&of_b) || digest_equal(&of_a, &of_b))
        return OK;
    char text_a[33], text_b[33];
    digest_format(&of_a, text_a);
    digest_format(&of_b, text_b);
    return error_set(ERROR_INPUT, "%s counts the sequences of corpus %s, %s those of corpus %s", stream_name(a),
                     text_a, stream_name(b), text_b);
}
