// The kinds: what a payload is made of, and how long it is.
#include "stream/format.h"

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
