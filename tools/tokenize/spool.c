#include "tokenize/spool.h"
#include "base/error.h"
#include "base/file.h"

enum { MEMORY_MOST = 8 << 20, READ_SIZE = 1 << 18 };

void spool_init(struct spool *s) {
    *s = (struct spool){.fd = -1};
}

void spool_release(struct spool *s) {
    buffer_release(&s->memory);
    if (s->fd >= 0)
        input_close(s->fd);
    s->fd = -1;
}

void spool_clear(struct spool *s) {
    buffer_clear(&s->memory);
    if (s->fd >= 0)
        scratch_forget(s->fd, 0, s->written);
    s->written = 0;
}

// The memory goes to the file, but for the last bytes of an incomplete eight.
static int write_out(struct spool *s) {
    size_t size = s->memory.size / 8 * 8;
    int code = s->fd < 0 ? scratch_open(&s->fd) : OK;
    if (code == OK)
        code = descriptor_write_at(s->fd, s->written, s->memory.data, size);
    if (code != OK)
        return code;
    s->written += size;
    s->memory.size -= size;
    memmove(s->memory.data, s->memory.data + size, s->memory.size);
    return OK;
}

int spool_add(struct spool *s, const void *data, size_t size) {
    int code = buffer_append(&s->memory, data, size);
    return code == OK && s->memory.size > MEMORY_MOST ? write_out(s) : code;
}

uint64_t spool_size(const struct spool *s) {
    return s->written + s->memory.size;
}

int spool_read(const struct spool *s, uint64_t at, void *data, size_t size, size_t *got) {
    *got = 0;
    if (at < s->written) {
        size_t want = s->written - at < size ? (size_t)(s->written - at) : size;
        int code = input_read_at(s->fd, at, data, want, got);
        if (code == OK && *got < want)
            code = error_set(ERROR_SYSTEM, "a scratch file became shorter");
        if (code != OK)
            return code;
    }
    at += *got;
    size -= *got;
    if (size > 0 && at < spool_size(s)) {
        size_t n = spool_size(s) - at < size ? (size_t)(spool_size(s) - at) : size;
        memcpy((uint8_t *)data + *got, s->memory.data + (at - s->written), n);
        *got += n;
    }
    return OK;
}

int spool_each(struct spool *s, int (*take)(void *context, const uint8_t *data, size_t size), void *context) {
    struct buffer piece = {0};
    int code = s->written > 0 ? buffer_reserve(&piece, READ_SIZE) : OK;
    for (uint64_t at = 0; at < s->written && code == OK; at += piece.size) {
        size_t want = s->written - at < READ_SIZE ? (size_t)(s->written - at) : READ_SIZE;
        code = spool_read(s, at, piece.data, want, &piece.size);
        if (code == OK)
            code = take(context, piece.data, piece.size);
    }
    if (code == OK && s->memory.size > 0)
        code = take(context, s->memory.data, s->memory.size);
    buffer_release(&piece);
    return code;
}
