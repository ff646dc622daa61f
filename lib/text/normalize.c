#include "text/normalize.h"
#include "base/error.h"
#include "text/normalize_nfc.h"
#include "text/normalize_sentencepiece.h"
#include "text/vocabulary_private.h"

bool normalizer_is_late(const struct vocabulary *v) {
    return v->scheme.meta_space_step;
}

static bool wants_prefix(const struct scheme *s, const uint8_t *text, size_t size, enum text_place place) {
    bool space = text[0] == ' ' || (size >= META_SPACE_SIZE && memcmp(text, META_SPACE, META_SPACE_SIZE) == 0);
    bool here = place == TEXT_FIRST || (place == TEXT_BEHIND && !s->prefix_first);
    return s->dummy_prefix && here && !(s->meta_space_step && space);
}

static int meta_space(const struct scheme *s, const uint8_t *text, size_t size, enum text_place place,
                      struct buffer *out) {
    buffer_clear(out);
    // what a space becomes is written as four bytes
    int code = buffer_reserve(out, (size + 1) * META_SPACE_SIZE + 1);
    if (code != OK || size == 0)
        return code;
    uint8_t *to = out->data;
    if (wants_prefix(s, text, size, place)) {
        memcpy(to, META_SPACE, META_SPACE_SIZE);
        to += META_SPACE_SIZE;
    }
    for (size_t i = 0; i < size; i++) {
        bool space = text[i] == ' ';
        memcpy(to, META_SPACE, META_SPACE_SIZE + 1);
        to[0] = space ? to[0] : text[i];
        to += space ? META_SPACE_SIZE : 1;
    }
    out->size = (size_t)(to - out->data);
    return OK;
}

int normalize_text(const struct vocabulary *v, const uint8_t **text, size_t *size, enum text_place place,
                   struct buffer *out) {
    int code = OK;
    bool changed = true;
    switch (v->scheme.normalizer) {
    case NORMALIZE_NONE:
        return OK;
    case NORMALIZE_NFC:
        code = normalize_nfc(*text, *size, out, &changed);
        break;
    case NORMALIZE_META_SPACE:
        code = meta_space(&v->scheme, *text, *size, place, out);
        break;
    case NORMALIZE_SENTENCEPIECE:
        buffer_clear(out);
        code = normalize_sentencepiece(v, *text, *size, place == TEXT_GOES_ON, out);
        break;
    }
    if (code == OK && changed) {
        *text = out->data;
        *size = out->size;
    }
    return code;
}

int normalize_added(const struct vocabulary *v, const char *token, struct buffer *out) {
    const uint8_t *text = (const uint8_t *)token;
    size_t size = strlen(token);
    struct buffer normalized = {0};
    int code = normalizer_is_late(v) ? OK : normalize_text(v, &text, &size, TEXT_FIRST, &normalized);
    if (code == OK)
        code = buffer_append(out, text, size);
    buffer_release(&normalized);
    return code;
}
