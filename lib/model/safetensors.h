// The safetensors format: 8 bytes of header length (little-endian), a JSON header, then the tensors' bytes.
//
// A reader trusts nothing: the header must lie in the file, be JSON of the known form, and its tensors must cover
// the data without gap or overlap, each with exactly the bytes of its shape and dtype. Nothing is allocated for
// a length that the file does not have. Violations are ERROR_INPUT; messages begin with the file's path.
#ifndef TACIT_MODEL_SAFETENSORS_H
#define TACIT_MODEL_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

struct output;
struct safetensors; // an open file

enum { SAFETENSORS_DIMENSIONS = 8 };

struct safetensors_tensor {
    const char *name; // borrowed from the open file
    int dtype;        // the reader's own; F32, F16 and BF16 are there
    int dimensions;
    int64_t shape[SAFETENSORS_DIMENSIONS];
    uint64_t begin, end; // bytes from the start of the data
    size_t elements;
};

int safetensors_open(struct safetensors **out, const char *path);
void safetensors_close(struct safetensors *s); // NULL is allowed

int safetensors_count(const struct safetensors *s);
const struct safetensors_tensor *safetensors_get(const struct safetensors *s, int i); // in order of their bytes
const struct safetensors_tensor *safetensors_find(const struct safetensors *s, const char *name); // NULL: absent
const char *safetensors_metadata(const struct safetensors *s, const char *key);                   // NULL: absent

// Elements [begin, begin + n) of a tensor as float32. A tensor of another dtype is ERROR_INPUT.
int safetensors_read(struct safetensors *s, const struct safetensors_tensor *t, size_t begin, size_t n,
                     float *out);

// ---- writing ----

// Start PATH with the header of `count` float32 tensors (name, dimensions, shape are read) and the given metadata
// (pairs of strings, ended by NULL; NULL: none). The caller then writes the tensors' values in this order with
// safetensors_write and ends with output_commit, or output_abort.
int safetensors_create(struct output **out, const char *path, const struct safetensors_tensor *tensors, int count,
                       const char *const *metadata);
int safetensors_write(struct output *out, const float *values, size_t n);

#endif
