// Protocol Buffers' wire format, read field by field within the bounds of what there is.
#ifndef TACIT_TEXT_PROTOBUF_H
#define TACIT_TEXT_PROTOBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct wire { // a message; all offsets are into the file that it lies in
    const uint8_t *file;
    size_t at, end;
};

struct wire_field {
    uint32_t number;
    enum wire_type type;
    uint64_t value;     // of the fixed ones and varints
    struct wire inside; // of WIRE_BYTES
    size_t offset;      // where the field begins
};

// The next field; false where the message ends or an error is met: then *code is set. ERROR_INPUT `byte N:
// MESSAGE: cause`: cut off, a number of more than 64 bits, groups.
bool wire_next(struct wire *w, const char *message, struct wire_field *field, int *code);

// The field's value, where it has the type that it should have: ERROR_INPUT `byte N: NAME: cause`.
int wire_bytes(const struct wire_field *field, const char *name, struct wire *out);
int wire_bool(const struct wire_field *field, const char *name, bool *out);
int wire_float(const struct wire_field *field, const char *name, float *out);
int wire_number(const struct wire_field *field, const char *name, uint64_t *out);

#endif
