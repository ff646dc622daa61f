// Memory: checked allocation, overflow-safe sizes, a growing byte buffer.
//
// Allocation failure is an ordinary error here (ERROR_SYSTEM with the number of bytes), never an abort.
#ifndef TACIT_BASE_MEMORY_H
#define TACIT_BASE_MEMORY_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

// Allocate count x size zeroed bytes (calloc); NULL with the error set on failure or overflow. free() it.
void *memory_new(size_t count, size_t size) __attribute__((malloc, warn_unused_result));

// Resize *pointer to count x size bytes; on failure *pointer is untouched and still owned.
int memory_resize(void *pointer, size_t count, size_t size) __attribute__((warn_unused_result));

// Allocate bytes aligned to 64 (uninitialised); free() it. NULL with the error set on failure.
void *memory_new_aligned(size_t bytes) __attribute__((malloc, warn_unused_result));

// Copy of a string, or of its first n bytes (always terminated). NULL with the error set on failure.
char *string_copy(const char *s) __attribute__((malloc, warn_unused_result));
char *string_copy_n(const char *s, size_t n) __attribute__((malloc, warn_unused_result));

// printf into a fresh string. NULL with the error set on failure.
char *string_format(const char *format, ...) __attribute__((format(printf, 1, 2), malloc, warn_unused_result));

// A growing byte buffer. Zero-initialise; buffer_clear() keeps the memory, buffer_release() frees it.
struct buffer {
    uint8_t *data;
    size_t size, capacity;
};
int buffer_reserve(struct buffer *b, size_t extra) __attribute__((warn_unused_result));
int buffer_append(struct buffer *b, const void *data, size_t size) __attribute__((warn_unused_result));
int buffer_append_string(struct buffer *b, const char *s) __attribute__((warn_unused_result));
int buffer_append_format(struct buffer *b, const char *format, ...)
    __attribute__((format(printf, 2, 3), warn_unused_result));
void buffer_clear(struct buffer *b);
void buffer_release(struct buffer *b);

// Little-endian integers at any address, for formats that are encoded field by field.
static inline uint64_t load_le(const void *p, int bytes) {
    uint64_t v = 0;
    memcpy(&v, p, (size_t)bytes);
    return le64toh(v);
}
static inline void store_le(void *p, uint64_t v, int bytes) {
    v = htole64(v);
    memcpy(p, &v, (size_t)bytes);
}

#endif
