#include "text.h"

#include "base/error.h"
#include "base/json.h"
#include "text/vocabulary.h"

#include <inttypes.h>

enum { PIECE = 256 };

static int gather(struct buffer *text, const struct stream *s, const struct record *r,
                  const struct vocabulary *v) {
    uint32_t ids[PIECE];
    int code = OK;
    for (uint32_t begin = 0; code == OK && begin < r->count; begin += PIECE) {
        uint32_t n = r->count - begin < PIECE ? r->count - begin : PIECE;
        record_tokens(stream_header(s), r, begin, n, ids);
        for (uint32_t i = 0; code == OK && i < n; i++) {
            if (ids[i] >= vocabulary_size(v))
                return error_set(ERROR_INPUT,
                                 "%s: sequence %" PRIu64 ": token %" PRIu32 " is not in the vocabulary",
                                 stream_name(s), r->id, ids[i]);
            size_t size;
            const uint8_t *bytes = vocabulary_bytes(v, ids[i], &size);
            const char *special = vocabulary_special(v, ids[i]);
            code = special ? buffer_append_string(text, special) : buffer_append(text, bytes, size);
        }
    }
    return code;
}

// The bytes of the well-formed character at `p`, or 0.
static size_t character_size(const uint8_t *p, size_t left) {
    size_t n = *p < 0x80 ? 1 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4;
    return n <= left && json_is_utf8((const char *)p, n) ? n : 0;
}

static int escape(struct buffer *out, uint8_t byte, bool json) {
    static const char bytes[] = "\n\t\r\\\"", names[] = "ntr\\\"";
    const char *named = byte > 0 ? memchr(bytes, byte, sizeof bytes - 1) : NULL;
    if (byte >= 0x80 && json)
        return buffer_append_string(out, "\xef\xbf\xbd");
    if (named && (json || byte != '"'))
        return buffer_append_format(out, "\\%c", names[named - bytes]);
    if (byte >= 0x20 && byte < 0x7f)
        return buffer_append(out, &byte, 1);
    return buffer_append_format(out, json ? "\\u%04x" : "\\x%02x", byte);
}

int view_print_text(struct buffer *out, const struct stream *s, const struct record *r, const struct vocabulary *v,
                    bool json) {
    struct buffer text = {0};
    int code = gather(&text, s, r, v);
    for (size_t i = 0, n; code == OK && i < text.size; i += n) {
        n = text.data[i] >= 0x80 ? character_size(text.data + i, text.size - i) : 0;
        if (n > 0) {
            code = buffer_append(out, text.data + i, n);
        } else {
            n = 1;
            code = escape(out, text.data[i], json);
        }
    }
    buffer_release(&text);
    return code;
}
