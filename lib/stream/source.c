#include "stream/source.h"
#include "base/background.h"
#include "base/error.h"
#include "base/file.h"

#include <stdlib.h>
#include <string.h>

enum { BUFFER_FIRST = 16 << 10 };

static int source_grow(struct source *s) {
    size_t capacity = s->capacity ? 2 * s->capacity : BUFFER_FIRST;
    uint8_t *buffer = memory_new_aligned(capacity);
    if (!buffer)
        return ERROR_SYSTEM;
    if (s->filled > 0)
        memcpy(buffer, s->buffer, s->filled);
    free(s->buffer);
    s->buffer = buffer;
    s->capacity = capacity;
    return OK;
}

static int take_from_pipe(struct source *s, size_t size) {
    while (s->filled < size) {
        if (s->filled == s->capacity && source_grow(s) != OK)
            return ERROR_SYSTEM;
        size_t room = s->capacity < size ? s->capacity : size, wanted = room - s->filled, got;
        if (!background_await(s->fd))
            return error_set(ERROR_SYSTEM, "interrupted");
        int code = input_read_some(s->fd, s->buffer + s->filled, wanted, &got);
        if (code != OK)
            return code;
        s->filled += got;
        if (got == 0)
            break;
    }
    return OK;
}

int source_take(struct source *s, size_t size, const uint8_t **data, size_t *got) {
    if (s->map) {
        uint64_t left = s->position < s->size ? s->size - s->position : 0;
        *data = s->map + (s->size - left);
        *got = left < size ? (size_t)left : size;
        return OK;
    }
    int code = take_from_pipe(s, size);
    *data = s->buffer;
    *got = s->filled < size ? s->filled : size;
    return code;
}

void source_advance(struct source *s, uint64_t size) {
    s->position += size;
    s->filled = 0;
}

void source_release(struct source *s) {
    free(s->buffer);
    s->buffer = NULL;
    s->filled = s->capacity = 0;
}

int source_frame(struct source *s, struct frame_bytes *b) {
    const uint8_t *data;
    size_t got;
    int code = source_take(s, FRAME_HEADER_SIZE, &data, &got);
    if (code == OK && got < FRAME_HEADER_SIZE)
        code = error_set(ERROR_INPUT, got == 0 ? "the stream stops here, without its end frame"
                                               : "truncated in a frame header");
    if (code == OK)
        code = frame_header_decode(&b->header, data);
    if (code != OK)
        return code;
    size_t length = frame_length(&b->header), padded = length - HASH_SIZE;
    code = source_take(s, length, &data, &got);
    if (code != OK)
        return code;
    if (got < length)
        return error_set(ERROR_INPUT, "truncated: %zu of %zu bytes", got, length);
    b->hash = load_le(data + padded, HASH_SIZE);
    if (b->hash != XXH3_64bits(data, padded))
        return error_set(ERROR_INPUT, "content hash mismatch");
    for (size_t at = FRAME_HEADER_SIZE + b->header.stored; at < padded; at++)
        if (data[at] != 0)
            return error_set(ERROR_INPUT, "padding is not zero");
    b->stored = data + FRAME_HEADER_SIZE;
    return OK;
}

int source_trailer(struct source *s, uint64_t end_offset) {
    const uint8_t *data;
    size_t got;
    uint64_t said_offset, said_size;
    int code = source_take(s, TRAILER_SIZE, &data, &got);
    if (code == OK && got < TRAILER_SIZE)
        code = error_set(ERROR_INPUT, "truncated: %zu of %d bytes of the trailer", got, TRAILER_SIZE);
    if (code == OK)
        code = trailer_decode(data, &said_offset, &said_size);
    if (code == OK && (said_offset != end_offset || said_size != s->position + TRAILER_SIZE))
        code = error_set(ERROR_INPUT, "the trailer names another end frame");
    if (code != OK)
        return code;
    source_advance(s, TRAILER_SIZE);
    code = source_take(s, 1, &data, &got);
    if (code == OK && got > 0)
        code = error_set(ERROR_INPUT, "bytes behind the end of the stream");
    return code;
}
