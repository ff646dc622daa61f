#include "base/memory.h"
#include "base/error.h"
#include "base/system.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64, BUFFER_FIRST = 256 };

static int fail(size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return error_set(ERROR_SYSTEM, "out of memory: %zu x %zu bytes", count, size);
    return error_set(ERROR_SYSTEM, "out of memory: %zu bytes", bytes);
}

void *memory_new(size_t count, size_t size) {
    size_t bytes;
    void *p = NULL;
    // calloc(0) may be NULL, which here would read as a failure.
    if (!__builtin_mul_overflow(count, size, &bytes) && bytes <= PTRDIFF_MAX)
        p = system_calloc(bytes ? count : 1, bytes ? size : 1);
    if (!p)
        fail(count, size);
    return p;
}

int memory_resize(void *pointer, size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > PTRDIFF_MAX)
        return fail(count, size);
    void *old;
    memcpy(&old, pointer, sizeof old);
    void *fresh = system_realloc(old, bytes ? bytes : 1);
    if (!fresh)
        return fail(count, size);
    memcpy(pointer, &fresh, sizeof fresh);
    return OK;
}

void *memory_new_aligned(size_t bytes) {
    void *p = NULL;
    if (bytes <= PTRDIFF_MAX - ALIGNMENT) {
        size_t rounded = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        p = system_aligned_alloc(ALIGNMENT, rounded ? rounded : ALIGNMENT);
    }
    if (!p)
        fail(bytes, 1);
    return p;
}

char *string_copy(const char *s) {
    return string_copy_n(s, strlen(s));
}

char *string_copy_n(const char *s, size_t n) {
    n = strnlen(s, n);
    char *copy = system_malloc(n + 1);
    if (!copy) {
        fail(n + 1, 1);
        return NULL;
    }
    memcpy(copy, s, n);
    copy[n] = 0;
    return copy;
}

static int append_formatted(struct buffer *b, const char *format, va_list arguments) {
    va_list again;
    va_copy(again, arguments);
    int n = vsnprintf(NULL, 0, format, arguments), code = OK;
    if (n < 0)
        code = error_set(ERROR_SYSTEM, "cannot format a string");
    if (code == OK)
        code = buffer_reserve(b, (size_t)n + 1);
    if (code == OK) {
        vsnprintf((char *)b->data + b->size, (size_t)n + 1, format, again);
        b->size += (size_t)n;
    }
    va_end(again);
    return code;
}

char *string_format(const char *format, ...) {
    struct buffer b = {0};
    va_list arguments;
    va_start(arguments, format);
    int code = append_formatted(&b, format, arguments);
    va_end(arguments);
    if (code != OK)
        buffer_release(&b);
    return (char *)b.data;
}

int buffer_reserve(struct buffer *b, size_t extra) {
    size_t need;
    if (__builtin_add_overflow(b->size, extra, &need))
        return fail(SIZE_MAX, 1);
    if (need <= b->capacity)
        return OK;
    size_t capacity = b->capacity < BUFFER_FIRST ? BUFFER_FIRST : b->capacity;
    while (capacity < need)
        capacity = capacity > SIZE_MAX / 2 ? need : capacity * 2;
    int code = memory_resize(&b->data, capacity, 1);
    if (code == OK)
        b->capacity = capacity;
    return code;
}

int buffer_append(struct buffer *b, const void *data, size_t size) {
    int code = buffer_reserve(b, size);
    if (code == OK && size > 0) {
        memcpy(b->data + b->size, data, size);
        b->size += size;
    }
    return code;
}

int buffer_append_string(struct buffer *b, const char *s) {
    return buffer_append(b, s, strlen(s));
}

int buffer_append_format(struct buffer *b, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int code = append_formatted(b, format, arguments);
    va_end(arguments);
    return code;
}

void buffer_clear(struct buffer *b) {
    b->size = 0;
}

void buffer_release(struct buffer *b) {
    free(b->data);
    *b = (struct buffer){0};
}
