#include "tokenize/megatron.h"
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdlib.h>

// Magic (9 bytes), version (u64), type (u8), sequences (u64), documents + 1 (u64); then lengths (i32 a sequence),
// byte offsets (i64 a sequence), and each document's first sequence, the end of the last one behind (i64).
enum { HEADER_SIZE = 34, WINDOW = 1 << 15 };
static const uint8_t magic[9] = "MMIDIDX";

// One array of the file, a window of it in memory.
struct column {
    uint64_t place, count; // in the file; entries
    int width;
    uint64_t first, held; // entries in `window`
    uint8_t window[WINDOW];
};

struct megatron {
    char *path;
    int fd, width;
    struct column lengths, offsets, documents;
    uint64_t next, document; // sequence; how many documents ended before it
    uint64_t ended;          // behind the last sequence of the latest of these
};

static int broken(const struct megatron *m, const char *cause) {
    return error_set(ERROR_INPUT, "%s: %s", m->path, cause);
}

static int column_get(struct megatron *m, struct column *c, uint64_t i, uint64_t *value) {
    if (i < c->first || i >= c->first + c->held) {
        uint64_t left = c->count - i, room = (uint64_t)(WINDOW / c->width);
        size_t want = (size_t)((left < room ? left : room) * (uint64_t)c->width), got;
        int code = input_read_at(m->fd, c->place + i * (uint64_t)c->width, c->window, want, &got);
        if (code == OK && got < want)
            code = broken(m, "is shorter than it says");
        if (code != OK)
            return code;
        c->first = i;
        c->held = want / (size_t)c->width;
    }
    *value = load_le(c->window + (i - c->first) * (uint64_t)c->width, c->width);
    return OK;
}

static int read_header(struct megatron *m) {
    static const int widths[] = {[3] = 2, [4] = 4, [8] = 2}; // int16, int32, uint16
    uint8_t head[HEADER_SIZE];
    size_t got;
    uint64_t size;
    int code = input_read_at(m->fd, 0, head, sizeof head, &got);
    if (code == OK)
        code = file_size(m->fd, &size);
    if (code != OK)
        return error_prefix(code, "%s", m->path);
    if (got < sizeof head || memcmp(head, magic, sizeof magic) != 0 || load_le(head + 9, 8) != 1)
        return broken(m, "is no index of Megatron's, version 1");
    uint8_t type = head[17];
    m->width = type < sizeof widths / sizeof *widths ? widths[type] : 0;
    if (m->width == 0)
        return error_set(ERROR_INPUT, "%s: type %u: only int16, uint16 and int32 tokens are read", m->path, type);
    uint64_t sequences = load_le(head + 18, 8), documents = load_le(head + 26, 8);
    if (sequences > size / 12 || documents > size / 8 || documents == 0 ||
        HEADER_SIZE + 12 * sequences + 8 * documents > size)
        return broken(m, "is shorter than it says");
    m->lengths = (struct column){.place = HEADER_SIZE, .count = sequences, .width = 4};
    m->offsets = (struct column){.place = HEADER_SIZE + 4 * sequences, .count = sequences, .width = 8};
    m->documents = (struct column){.place = HEADER_SIZE + 12 * sequences, .count = documents, .width = 8};
    return OK;
}

int megatron_open(struct megatron **out, const char *path) {
    *out = NULL;
    struct megatron *m = memory_new(1, sizeof *m);
    if (!m)
        return ERROR_SYSTEM;
    m->fd = -1;
    m->path = string_copy(path);
    int code = m->path ? input_open(&m->fd, path) : ERROR_SYSTEM;
    if (code != OK)
        m->fd = -1;
    else
        code = read_header(m);
    if (code != OK) {
        megatron_close(m);
        return code;
    }
    *out = m;
    return OK;
}

void megatron_close(struct megatron *m) {
    if (!m)
        return;
    if (m->fd >= 0)
        input_close(m->fd);
    free(m->path);
    free(m);
}

int megatron_width(const struct megatron *m) {
    return m->width;
}

int megatron_next(struct megatron *m, uint64_t *offset, uint64_t *size, bool *last, bool *got) {
    uint64_t length, end;
    *got = m->next < m->lengths.count;
    if (!*got)
        return OK;
    int code = column_get(m, &m->lengths, m->next, &length);
    if (code == OK)
        code = column_get(m, &m->offsets, m->next, offset);
    if (code != OK)
        return code;
    if (length > INT32_MAX || *offset > INT64_MAX)
        return error_set(ERROR_INPUT, "%s: sequence %" PRIu64 " has no sound place", m->path, m->next);
    *size = length * (uint64_t)m->width;
    m->next++;
    *last = false;
    // Documents without sequences end here, too.
    while (code == OK && m->document + 1 < m->documents.count) {
        code = column_get(m, &m->documents, m->document + 1, &end);
        if (code == OK && (end > m->lengths.count || end < m->ended))
            code = error_set(ERROR_INPUT, "%s: document %" PRIu64 " ends at sequence %" PRIu64 ", out of order",
                             m->path, m->document, end);
        if (code != OK || end > m->next)
            break;
        m->ended = end;
        *last = *last || end == m->next;
        m->document++;
    }
    *last = *last || m->next == m->lengths.count;
    return code;
}
