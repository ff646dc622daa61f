#include "model/safetensors.h"

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "arrays of floats are written as they lie in memory");

enum { HEADER_LIMIT = 100000000, PIECE = 1 << 14 };

enum dtype { DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_OTHER };
static const struct {
    const char *name;
    int size;
    enum dtype dtype;
} dtypes[] = {
    {"F32", 4, DTYPE_F32},    {"F16", 2, DTYPE_F16},       {"BF16", 2, DTYPE_BF16},     {"F64", 8, DTYPE_OTHER},
    {"I64", 8, DTYPE_OTHER},  {"U64", 8, DTYPE_OTHER},     {"I32", 4, DTYPE_OTHER},     {"U32", 4, DTYPE_OTHER},
    {"I16", 2, DTYPE_OTHER},  {"U16", 2, DTYPE_OTHER},     {"I8", 1, DTYPE_OTHER},      {"U8", 1, DTYPE_OTHER},
    {"BOOL", 1, DTYPE_OTHER}, {"F8_E4M3", 1, DTYPE_OTHER}, {"F8_E5M2", 1, DTYPE_OTHER},
};

struct safetensors {
    char *path;
    int fd;
    uint64_t data, data_size; // where the tensors' bytes begin, and how many
    json_t *header;           // owns the names
    struct safetensors_tensor *tensors;
    int count;
};

// ---- the header ----

static int read_shape(struct safetensors_tensor *t, const json_t *shape) {
    size_t n = json_array_size(shape);
    if (!json_is_array(shape) || n > SAFETENSORS_DIMENSIONS)
        return error_set(ERROR_INPUT, "shape is not a list of at most %d numbers", SAFETENSORS_DIMENSIONS);
    t->dimensions = (int)n;
    t->elements = 1;
    for (size_t i = 0; i < n; i++) {
        const json_t *value = json_array_get(shape, i);
        int64_t size = json_is_integer(value) ? json_integer_value(value) : -1;
        if (size < 0 || __builtin_mul_overflow(t->elements, (size_t)size, &t->elements))
            return error_set(ERROR_INPUT, "shape is out of range");
        t->shape[i] = size;
    }
    return OK;
}

static int read_offsets(struct safetensors_tensor *t, const json_t *offsets) {
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end) ||
        json_integer_value(begin) < 0 || json_integer_value(end) < json_integer_value(begin))
        return error_set(ERROR_INPUT, "data_offsets is not a pair of increasing numbers");
    t->begin = (uint64_t)json_integer_value(begin);
    t->end = (uint64_t)json_integer_value(end);
    return OK;
}

static int read_tensor(struct safetensors_tensor *t, const json_t *entry) {
    const char *dtype = NULL;
    int code = json_is_object(entry) ? json_get_string(entry, "dtype", true, &dtype)
                                     : error_set(ERROR_INPUT, "not a JSON object");
    if (!code)
        code = read_shape(t, json_object_get(entry, "shape"));
    if (!code)
        code = read_offsets(t, json_object_get(entry, "data_offsets"));
    if (code)
        return code;
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (!strcmp(dtype, dtypes[i].name)) {
            size_t bytes;
            t->dtype = (int)dtypes[i].dtype;
            if (__builtin_mul_overflow(t->elements, (size_t)dtypes[i].size, &bytes) || bytes != t->end - t->begin)
                return error_set(ERROR_INPUT, "%llu bytes do not fit its shape and dtype",
                                 (unsigned long long)(t->end - t->begin));
            return OK;
        }
    return error_set(ERROR_INPUT, "dtype '%.20s' is unknown", dtype);
}

static int by_place(const void *a, const void *b) {
    const struct safetensors_tensor *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end)
        return x->end < y->end ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int check_cover(struct safetensors *s) {
    qsort(s->tensors, (size_t)s->count, sizeof *s->tensors, by_place);
    uint64_t at = 0;
    for (int i = 0; i < s->count; i++) {
        if (s->tensors[i].begin != at)
            return error_set(ERROR_INPUT, "tensor '%.200s': a gap or an overlap at byte %llu of the data",
                             s->tensors[i].name, (unsigned long long)at);
        at = s->tensors[i].end;
    }
    if (at != s->data_size)
        return error_set(ERROR_INPUT,
                         "tensors of %llu bytes, but data of %llu (truncated, or bytes behind the end)",
                         (unsigned long long)at, (unsigned long long)s->data_size);
    return OK;
}

static int read_entries(struct safetensors *s) {
    if (!json_is_object(s->header))
        return error_set(ERROR_INPUT, "the header is not a JSON object");
    s->tensors = memory_new(json_object_size(s->header) + 1, sizeof *s->tensors);
    if (!s->tensors)
        return ERROR_SYSTEM;
    const char *name;
    json_t *entry;
    json_object_foreach(s->header, name, entry) {
        if (!strcmp(name, "__metadata__"))
            continue;
        struct safetensors_tensor *t = &s->tensors[s->count++];
        t->name = name;
        int code = read_tensor(t, entry);
        if (code)
            return error_prefix(code, "tensor '%.200s'", name);
    }
    return check_cover(s);
}

static int read_header(struct safetensors *s) {
    uint8_t length[8];
    uint64_t size;
    size_t got;
    int code = file_size(s->fd, &size);
    if (!code)
        code = input_read_at(s->fd, 0, length, sizeof length, &got);
    if (code)
        return code;
    if (got < sizeof length)
        return error_set(ERROR_INPUT, "shorter than a safetensors header");
    uint64_t n = load_le(length, 8);
    if (n > HEADER_LIMIT || n > size - sizeof length)
        return error_set(ERROR_INPUT, "a header of %llu bytes in a file of %llu", (unsigned long long)n,
                         (unsigned long long)size);
    char *text = memory_new((size_t)n + 1, 1);
    if (!text)
        return ERROR_SYSTEM;
    code = input_read_at(s->fd, sizeof length, text, (size_t)n, &got);
    if (!code && got < n)
        code = error_set(ERROR_INPUT, "the header is truncated");
    if (!code)
        code = json_parse(&s->header, text, (size_t)n);
    free(text);
    s->data = sizeof length + n;
    s->data_size = size - s->data;
    return code ? code : read_entries(s);
}

// ---- reading ----

int safetensors_open(struct safetensors **out, const char *path) {
    *out = NULL;
    struct safetensors *s = memory_new(1, sizeof *s);
    if (!s)
        return ERROR_SYSTEM;
    s->fd = -1;
    s->path = string_copy(path);
    int code = s->path ? input_open(&s->fd, path) : ERROR_SYSTEM;
    if (!code) {
        code = read_header(s);
        if (code)
            error_prefix(code, "%s", path);
    }
    if (code) {
        safetensors_close(s);
        return code;
    }
    *out = s;
    return OK;
}

void safetensors_close(struct safetensors *s) {
    if (!s)
        return;
    if (s->fd >= 0)
        input_close(s->fd);
    json_decref(s->header);
    free(s->tensors);
    free(s->path);
    free(s);
}

int safetensors_count(const struct safetensors *s) {
    return s->count;
}

const struct safetensors_tensor *safetensors_get(const struct safetensors *s, int i) {
    return &s->tensors[i];
}

const struct safetensors_tensor *safetensors_find(const struct safetensors *s, const char *name) {
    for (int i = 0; i < s->count; i++)
        if (!strcmp(s->tensors[i].name, name))
            return &s->tensors[i];
    return NULL;
}

const char *safetensors_metadata(const struct safetensors *s, const char *key) {
    return json_string_value(json_object_get(json_object_get(s->header, "__metadata__"), key));
}

// IEEE 754 binary16 and bfloat16 to float32, exactly.
static float widen(uint16_t bits, enum dtype dtype) {
    float value;
    if (dtype == DTYPE_BF16) {
        uint32_t wide = (uint32_t)bits << 16;
        memcpy(&value, &wide, sizeof value);
        return value;
    }
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    if (exponent == 31)
        value = fraction ? NAN : INFINITY;
    else if (exponent == 0)
        value = ldexpf((float)fraction, -24);
    else
        value = ldexpf((float)(fraction + 1024), exponent - 25);
    return bits >> 15 ? -value : value;
}

int safetensors_read(struct safetensors *s, const struct safetensors_tensor *t, size_t begin, size_t n,
                     float *out) {
    if (t->dtype == DTYPE_OTHER)
        return error_set(ERROR_INPUT, "%s: tensor '%.200s': dtype is not F32, F16 or BF16", s->path, t->name);
    if (begin > t->elements || n > t->elements - begin)
        return error_set(ERROR_INPUT, "%s: tensor '%.200s' has %zu elements", s->path, t->name, t->elements);
    bool wide = t->dtype == DTYPE_F32;
    size_t size = wide ? 4 : 2, got;
    for (size_t done = 0; done < n;) {
        uint16_t narrow[PIECE];
        size_t part = wide || n - done < PIECE ? n - done : PIECE;
        uint64_t at = s->data + t->begin + (begin + done) * size;
        int code = input_read_at(s->fd, at, wide ? (void *)out : narrow, part * size, &got);
        if (code)
            return error_prefix(code, "%s", s->path);
        if (got < part * size)
            return error_set(ERROR_INPUT, "%s: tensor '%.200s' is truncated", s->path, t->name);
        for (size_t i = 0; i < part && !wide; i++)
            out[done + i] = widen(narrow[i], (enum dtype)t->dtype);
        done += part;
    }
    return OK;
}

// ---- writing ----

static json_t *header_entry(const struct safetensors_tensor *t, uint64_t begin, uint64_t end) {
    json_t *shape = json_array();
    for (int i = 0; i < t->dimensions; i++)
        json_array_append_new(shape, json_integer(t->shape[i]));
    return json_pack("{s:s,s:o,s:[I,I]}", "dtype", "F32", "shape", shape, "data_offsets", (json_int_t)begin,
                     (json_int_t)end);
}

static json_t *make_header(const struct safetensors_tensor *tensors, int count, const char *const *metadata) {
    json_t *header = json_object(), *pairs = metadata ? json_object() : NULL;
    bool good = header && (pairs || !metadata);
    for (; good && metadata && metadata[0]; metadata += 2)
        good = json_object_set_new(pairs, metadata[0], json_string(metadata[1])) == 0;
    if (good && pairs)
        good = json_object_set(header, "__metadata__", pairs) == 0;
    uint64_t at = 0;
    for (int i = 0; good && i < count; i++) {
        uint64_t bytes = sizeof(float);
        for (int j = 0; j < tensors[i].dimensions; j++)
            bytes *= (uint64_t)tensors[i].shape[j];
        good = json_object_set_new(header, tensors[i].name, header_entry(&tensors[i], at, at + bytes)) == 0;
        at += bytes;
    }
    json_decref(pairs);
    if (good)
        return header;
    json_decref(header);
    return NULL;
}

int safetensors_create(struct output **out, const char *path, const struct safetensors_tensor *tensors, int count,
                       const char *const *metadata) {
    *out = NULL;
    json_t *header = make_header(tensors, count, metadata);
    char *text = header ? json_canonical(header) : NULL;
    json_decref(header);
    if (!text)
        return error_set(ERROR_SYSTEM, "%s: out of memory for a header of %d tensors", path, count);
    // Spaces behind the header align the data to 8 bytes, as the reference writer does.
    size_t n = strlen(text), padding = -n & 7;
    uint8_t length[8];
    store_le(length, n + padding, 8);
    int code = output_open(out, path, true);
    if (!code)
        code = output_write(*out, length, sizeof length);
    if (!code)
        code = output_write(*out, text, n);
    if (!code)
        code = output_write(*out, "       ", padding);
    free(text);
    if (code && *out) {
        output_abort(*out);
        *out = NULL;
    }
    return code;
}

int safetensors_write(struct output *out, const float *values, size_t n) {
    return output_write(out, values, n * sizeof *values);
}
