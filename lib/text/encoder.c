// Encoding: added tokens cut the text, each piece between them is normalized, cut into words and encoded by the
// model (lib/text/vocabulary_private.h).
#include "base/error.h"
#include "text/added.h"
#include "text/normalize.h"
#include "text/unigram.h"
#include "text/vocabulary_private.h"
#include "text/words.h"

#include <stdlib.h>

struct encoder {
    const struct vocabulary *vocabulary;
    bool allow_special, going_on;
    struct words words;      // MODEL_BPE
    struct unigram *unigram; // MODEL_UNIGRAM
    struct buffer normalized;
    // of the present call
    const uint8_t *text, *text_end; // behind the text, or the normalized piece
    struct buffer *ids;
};

int encoder_new(struct encoder **out, const struct vocabulary *v) {
    struct encoder *e = *out = memory_new(1, sizeof *e);
    if (!e)
        return ERROR_SYSTEM;
    e->vocabulary = v;
    int code = v->scheme.model == MODEL_UNIGRAM ? unigram_new(&e->unigram, v) : words_init(&e->words, v);
    if (code != OK) {
        encoder_free(e);
        *out = NULL;
    }
    return code;
}

void encoder_free(struct encoder *e) {
    if (!e)
        return;
    words_release(&e->words);
    unigram_free(e->unigram);
    buffer_release(&e->normalized);
    free(e);
}

void encoder_allow_special(struct encoder *e, bool allowed) {
    e->allow_special = allowed;
}

void encoder_continue(struct encoder *e) {
    e->going_on = true;
}

static int encode_unigram(struct encoder *e, const uint8_t *text, size_t size) {
    if (!e->going_on)
        unigram_begin(e->unigram);
    e->going_on = false;
    return unigram_add(e->unigram, text, size, e->text_end, e->ids);
}

static int encode_words(struct encoder *e, const uint8_t *text, size_t size) {
    return e->unigram ? encode_unigram(e, text, size) : words_add(&e->words, text, size, e->text_end, e->ids);
}

static int flush(struct encoder *e) {
    return e->unigram ? OK : words_flush(&e->words, e->text_end, e->ids);
}

static int append_id(struct encoder *e, uint32_t id) {
    return e->unigram ? buffer_append(e->ids, &id, sizeof id) : words_add_id(&e->words, id, e->text_end, e->ids);
}

// Unknown characters beside each other are one, over the words' borders, too.
static void fuse_unknown(struct encoder *e, size_t from) {
    uint32_t *ids = (uint32_t *)(void *)e->ids->data, unknown = e->vocabulary->scheme.unknown;
    size_t kept = from, n = e->ids->size / sizeof *ids;
    for (size_t i = from; i < n; i++)
        if (i == from || ids[i] != unknown || ids[kept - 1] != unknown)
            ids[kept++] = ids[i];
    e->ids->size = kept * sizeof *ids;
}

static int encode_normalized(struct encoder *e, const uint8_t *text, size_t size) {
    const struct scheme *s = &e->vocabulary->scheme;
    bool fuse = s->fuse_unknown && !s->byte_fallback && s->unknown != no_id && !e->unigram;
    int code = fuse ? flush(e) : OK;
    size_t from = e->ids->size / sizeof(uint32_t);
    if (code == OK)
        code = encode_words(e, text, size);
    if (code == OK && fuse) {
        code = flush(e);
        fuse_unknown(e, from);
    }
    return code;
}

// What a matcher finds becomes its id, what lies between goes to `encode`.
typedef int encode_function(struct encoder *e, const uint8_t *text, size_t size, bool first);

static int encode_around(struct encoder *e, const struct added_matcher *m, const uint8_t *text, size_t size,
                         bool first, encode_function *encode) {
    if (!added_matcher_wanted(m, e->allow_special))
        return encode(e, text, size, first);
    struct added_search s = {.text = text, .size = size};
    int code = OK;
    for (bool more = true; more && code == OK;) {
        more = added_next(m, &s, e->allow_special);
        size_t end = more ? s.match_begin : size;
        if (s.begin < end)
            code = encode(e, text + s.begin, end - s.begin, first && s.begin == 0);
        if (more && code == OK)
            code = append_id(e, s.id);
    }
    return code;
}

static int encode_between(struct encoder *e, const uint8_t *text, size_t size, bool first) {
    (void)first;
    return encode_normalized(e, text, size);
}

// Normalizing takes the buffer that words collected before may lie in.
static int normalize_and_encode(struct encoder *e, const struct added_matcher *m, const uint8_t *text, size_t size,
                                bool first) {
    const uint8_t *piece = text, *text_end = e->text_end;
    enum text_place place = !first ? TEXT_BEHIND : e->going_on ? TEXT_GOES_ON : TEXT_FIRST;
    bool same = e->vocabulary->scheme.normalizer == NORMALIZE_NONE;
    int code = same ? OK : flush(e);
    if (code == OK)
        code = normalize_text(e->vocabulary, &piece, &size, place, &e->normalized);
    same = piece == text;
    e->text_end = same ? text_end : piece + size;
    if (code == OK && size > 0)
        code = encode_around(e, m, piece, size, first, encode_between);
    if (code == OK && !same)
        code = flush(e);
    e->text_end = text_end;
    return code;
}

static int encode_late(struct encoder *e, const uint8_t *text, size_t size, bool first) {
    return normalize_and_encode(e, NULL, text, size, first);
}

// A piece between the added tokens of the text as it is: those of the normalized text cut it again.
static int encode_piece(struct encoder *e, const uint8_t *text, size_t size, bool first) {
    const struct vocabulary *v = e->vocabulary;
    return normalizer_is_late(v) ? encode_around(e, v->normalized_matcher, text, size, first, encode_late)
                                 : normalize_and_encode(e, v->normalized_matcher, text, size, first);
}

int encoder_encode(struct encoder *e, const uint8_t *text, size_t size, struct buffer *ids) {
    e->ids = ids;
    e->text_end = text + size;
    e->words.count = 0;
    int code = encode_around(e, e->vocabulary->matcher, text, size, true, encode_piece);
    e->going_on = false;
    return code == OK ? flush(e) : code;
}
