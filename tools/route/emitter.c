// Scores and log-probs as stream records.
#include "base/error.h"
#include "route/route.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- float16 ----

uint16_t half_from_float(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000)
        return (uint16_t)(sign | 0x7e00);
    if (magnitude >= 0x47800000) // 65536 and above, infinity included
        return (uint16_t)(sign | 0x7c00);
    if (magnitude < 0x38800000) { // below 2^-14: a multiple of 2^-24
        float scaled = fabsf(x) * 16777216.0f;
        return (uint16_t)(sign | (uint32_t)lrintf(scaled));
    }
    // Rebias the exponent and round 13 bits away; a carry goes into the exponent, up to infinity, as it should.
    uint32_t kept = magnitude - 0x38000000;
    return (uint16_t)(sign | (kept + 0xfff + (kept >> 13 & 1)) >> 13);
}

// ---- records ----

int emitter_open(struct emitter *e, const char *path, bool per_token, enum stream_dtype dtype,
                 const struct scorer *scorer, const struct stream *from) {
    const struct stream_header *tokens = stream_header(from);
    const struct panel *panel = scorer->panel;
    int64_t prefix = scorer->options.prefix;
    struct stream_header h = {.kind = per_token ? STREAM_LOGPROBS : STREAM_SCORES,
                              .dtype = dtype,
                              .length = tokens->length,
                              .vocab_size = tokens->vocab_size,
                              .vocab = tokens->vocab,
                              .experts = per_token ? 0 : (uint32_t)panel->model_count,
                              .prefix = prefix > 0 ? (uint32_t)prefix : 0,
                              .rule = prefix == PREFIX_CONTEXT ? "context" : NULL,
                              .model_count = (uint32_t)panel->model_count,
                              .models = panel->digests,
                              .names = panel->names};
    *e = (struct emitter){.from = from, .per_token = per_token, .dtype = dtype};
    return stream_create(&e->writer, path, &h, STREAM_LEVEL_DEFAULT);
}

static int reserve_payload(struct emitter *e, size_t elements) {
    size_t size = (elements + 1) * sizeof(float);
    if (size <= e->payload_size)
        return OK;
    int code = memory_resize(&e->payload, size, 1);
    if (code == OK)
        e->payload_size = size;
    return code;
}

static void store_float(struct emitter *e, size_t i, float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (e->dtype == STREAM_F16)
        store_le(e->payload + 2 * i, half_from_float(x), 2);
    else
        store_le(e->payload + 4 * i, bits, 4);
}

// The mean over the scored tokens; 0, the same for every model, where there are none.
static float mean_logprob(const struct scorer *scorer, int sequence, int model) {
    uint32_t n;
    const float *l = scorer_logprobs(scorer, sequence, model, &n);
    double sum = 0;
    for (uint32_t k = 0; k < n; k++)
        sum += (double)l[k];
    return n > 0 ? (float)(sum / n) : 0;
}

int emitter_write(struct emitter *e, const struct scorer *scorer, int sequence) {
    struct record record = scorer->records[sequence];
    uint32_t n;
    const float *l = scorer_logprobs(scorer, sequence, 0, &n);
    record.count = e->per_token ? n : (uint32_t)scorer->panel->model_count;
    int code = reserve_payload(e, record.count);
    if (code != OK)
        return code;
    for (uint32_t i = 0; i < record.count; i++)
        store_float(e, i, e->per_token ? l[i] : mean_logprob(scorer, sequence, (int)i));
    record.payload = e->payload;
    return stream_write_from(e->writer, e->from, &record);
}

int emitter_commit(struct emitter *e) {
    int code = stream_commit(e->writer, NULL);
    e->writer = NULL;
    return code;
}

void emitter_close(struct emitter *e) {
    stream_abort(e->writer);
    free(e->payload);
    *e = (struct emitter){0};
}
