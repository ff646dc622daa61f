#include "text/protobuf.h"
#include "base/error.h"
#include "base/memory.h"

static bool fail(int *code, int error) {
    *code = error;
    return false;
}

static bool read_varint(struct wire *w, const char *message, uint64_t *value, int *code) {
    size_t begin = w->at;
    *value = 0;
    for (unsigned shift = 0; w->at < w->end; shift += 7) {
        uint8_t byte = w->file[w->at++];
        if (shift == 63 && byte > 1)
            return fail(code,
                        error_set(ERROR_INPUT, "byte %zu: %s: a number of more than 64 bits", begin, message));
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return fail(code, error_set(ERROR_INPUT, "byte %zu: %s: cut off within a number", begin, message));
}

static bool read_fixed(struct wire *w, const char *message, int bytes, uint64_t *value, int *code) {
    if (w->end - w->at < (size_t)bytes)
        return fail(code, error_set(ERROR_INPUT, "byte %zu: %s: cut off within a number", w->at, message));
    *value = load_le(w->file + w->at, bytes);
    w->at += (size_t)bytes;
    return true;
}

bool wire_next(struct wire *w, const char *message, struct wire_field *field, int *code) {
    uint64_t key;
    if (w->at == w->end)
        return false;
    *field = (struct wire_field){.offset = w->at};
    if (!read_varint(w, message, &key, code))
        return false;
    field->type = (enum wire_type)(key & 7);
    if (key >> 3 == 0 || key >> 3 > UINT32_MAX >> 3)
        return fail(code, error_set(ERROR_INPUT, "byte %zu: %s: no field has number %llu", field->offset, message,
                                    (unsigned long long)(key >> 3)));
    field->number = (uint32_t)(key >> 3);
    switch (field->type) {
    case WIRE_VARINT:
        return read_varint(w, message, &field->value, code);
    case WIRE_FIXED64:
        return read_fixed(w, message, 8, &field->value, code);
    case WIRE_FIXED32:
        return read_fixed(w, message, 4, &field->value, code);
    case WIRE_BYTES:
        if (!read_varint(w, message, &field->value, code))
            return false;
        if (field->value > w->end - w->at)
            return fail(code, error_set(ERROR_INPUT, "byte %zu: %s: field %u of %llu bytes, and %zu are left",
                                        field->offset, message, field->number, (unsigned long long)field->value,
                                        w->end - w->at));
        field->inside = (struct wire){w->file, w->at, w->at + (size_t)field->value};
        w->at = field->inside.end;
        return true;
    }
    return fail(code, error_set(ERROR_INPUT, "byte %zu: %s: field %u of wire type %d is not implemented",
                                field->offset, message, field->number, (int)field->type));
}

static int check_type(const struct wire_field *field, const char *name, enum wire_type type) {
    return field->type == type ? OK
                               : error_set(ERROR_INPUT, "byte %zu: %s: wire type %d, should be %d", field->offset,
                                           name, (int)field->type, (int)type);
}

int wire_bytes(const struct wire_field *field, const char *name, struct wire *out) {
    int code = check_type(field, name, WIRE_BYTES);
    if (code == OK)
        *out = field->inside;
    return code;
}

int wire_bool(const struct wire_field *field, const char *name, bool *out) {
    int code = check_type(field, name, WIRE_VARINT);
    if (code == OK)
        *out = field->value != 0;
    return code;
}

int wire_float(const struct wire_field *field, const char *name, float *out) {
    int code = check_type(field, name, WIRE_FIXED32);
    uint32_t bits = (uint32_t)field->value;
    if (code == OK)
        memcpy(out, &bits, sizeof bits);
    return code;
}

int wire_number(const struct wire_field *field, const char *name, uint64_t *out) {
    int code = check_type(field, name, WIRE_VARINT);
    if (code == OK)
        *out = field->value;
    return code;
}
