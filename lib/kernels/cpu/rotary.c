// Rotary positions: pairs (i, i + D/2) of q and k turn by position theta^(-2i/D), in float32, in place.
#include "cpu.h"
#include "simd.h"

#include "base/error.h"

#include <math.h>

enum { ROWS = 128 };

struct rotary {
    struct cpu *s;
    void *qkv;
    size_t rows, width, heads, half_size, length;
    float sign;
};

static INLINE void turn_row(const struct rotary *q, size_t row, size_t half_size, bool half) {
    const float *cosine = q->s->turns + row % q->length * half_size;
    const float *sine = cosine + (size_t)q->s->turns_length * half_size;
    for (size_t h = 0; h < q->heads; h++) {
        size_t at = row * q->width + h * 2 * half_size;
        for (size_t i = 0; i < half_size; i += 16) {
            int n = (int)cpu_least(16, half_size - i);
            v16 a = c_load_n(q->qkv, at + i, n, half), b = c_load_n(q->qkv, at + half_size + i, n, half);
            v16 c = v16_load_n(cosine + i, n), t = v16_load_n(sine + i, n) * q->sign;
            c_store_n(q->qkv, at + i, a * c - b * t, n, half);
            c_store_n(q->qkv, at + half_size + i, b * c + a * t, n, half);
        }
    }
}

// Heads of 16 in bfloat16 are vectors, of 8 two of them: (a, b) (c, c) + (b, a) (-s, s).
static INLINE void turn_row_packed(const struct rotary *q, size_t row, int half_size) {
    const float *cosine = q->s->turns + row % q->length * (size_t)half_size;
    const float *sine = cosine + (size_t)q->s->turns_length * (size_t)half_size;
    const v16i lanes = v16_lanes(), place = lanes & (half_size - 1), other = lanes ^ half_size;
    v16 c = __builtin_shuffle(v16_load_n(cosine, half_size), place);
    v16 s = __builtin_shuffle(v16_load_n(sine, half_size), place);
    s *= v16_select((lanes & half_size) == 0, v16_set(-q->sign), v16_set(q->sign));
    size_t width = q->heads * 2 * (size_t)half_size, begin = row * q->width;
    for (size_t i = 0; i < width; i += 16) {
        int n = (int)cpu_least(16, width - i);
        v16 x = c_load_n(q->qkv, begin + i, n, true);
        c_store_n(q->qkv, begin + i, x * c + __builtin_shuffle(x, other) * s, n, true);
    }
}

static void rotary_task(void *context, int i, int thread) {
    (void)thread;
    const struct rotary *q = context;
    size_t first = (size_t)i * ROWS, last = cpu_least(first + ROWS, q->rows);
    for (size_t r = first; r < last; r++) {
        if (!q->s->half)
            turn_row(q, r, q->half_size, false);
        else if (q->half_size == 8)
            turn_row_packed(q, r, 8);
        else if (q->half_size == 4)
            turn_row_packed(q, r, 4);
        else if (q->half_size == 16)
            turn_row(q, r, 16, true);
        else
            turn_row(q, r, q->half_size, true);
    }
}

// The table of cosines and sines is kept while theta and D stay the same and S does not grow.
static bool make_turns(struct cpu *s, float theta, int length, int size) {
    if (s->turns && s->turns_theta == theta && s->turns_length >= length && s->turns_size == size)
        return true;
    cpu_memory_free(s, s->turns);
    s->turns = NULL;
    size_t half_size = (size_t)size / 2, n = (size_t)length * half_size;
    void *memory;
    int code = cpu_memory_new(s, 2 * n * sizeof(float), &memory);
    if (code != OK) {
        cpu_fail(s, code);
        return false;
    }
    s->turns = memory;
    s->turns_theta = theta;
    s->turns_length = length;
    s->turns_size = size;
    for (size_t i = 0; i < half_size; i++) {
        double frequency = pow(theta, -2.0 * (double)i / size);
        for (size_t position = 0; position < (size_t)length; position++) {
            s->turns[position * half_size + i] = (float)cos((double)position * frequency);
            s->turns[n + position * half_size + i] = (float)sin((double)position * frequency);
        }
    }
    return true;
}

void cpu_rotary(struct cpu *s, dptr qkv, const struct attention_shape *shape, int models, int direction) {
    struct rotary q = {.s = s,
                       .qkv = qkv,
                       .rows = (size_t)models * (size_t)shape->batch * (size_t)shape->length,
                       .width = (size_t)(shape->heads + 2 * shape->kv_heads) * (size_t)shape->head_size,
                       .heads = (size_t)(shape->heads + shape->kv_heads),
                       .half_size = (size_t)shape->head_size / 2,
                       .length = (size_t)shape->length,
                       .sign = (float)direction};
    if (shape->theta > 0 && q.rows > 0 && make_turns(s, shape->theta, shape->length, shape->head_size))
        cpu_run(s, cpu_pieces(q.rows, ROWS), rotary_task, &q);
}
