#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "stream/stream.h"
#include "text/vocabulary.h"
#include "tokenize/jobs.h"

#include <inttypes.h>

struct decoding {
    struct vocabulary *vocabulary;
    const char *vocabulary_name;
    const uint8_t *separator;
    size_t separator_size;
    struct output *out;
    struct buffer ids;
};

static int check_vocabulary(const struct decoding *d, const struct stream *s) {
    const struct stream_header *h = stream_header(s);
    struct digest ours = vocabulary_digest(d->vocabulary);
    char theirs_text[33], ours_text[33];
    if (!digest_known(&h->vocab) || digest_equal(&h->vocab, &ours))
        return OK;
    digest_format(&h->vocab, theirs_text);
    digest_format(&ours, ours_text);
    return error_set(ERROR_INPUT, "%s: made with vocabulary %s, %s is %s; give the tokenizer.json that made it",
                     stream_name(s), theirs_text, d->vocabulary_name, ours_text);
}

static int write_sequence(struct decoding *d, const struct stream *s, const struct record *r) {
    buffer_clear(&d->ids);
    int code = buffer_reserve(&d->ids, r->count * sizeof(uint32_t));
    if (code != OK)
        return code;
    uint32_t *ids = (uint32_t *)d->ids.data;
    record_tokens(stream_header(s), r, 0, r->count, ids);
    for (uint32_t i = 0; i < r->count && code == OK; i++) {
        if (ids[i] >= vocabulary_size(d->vocabulary))
            return error_set(ERROR_INPUT, "%s: sequence %" PRIu64 ": token %u is not in %s", stream_name(s), r->id,
                             ids[i], d->vocabulary_name);
        size_t size;
        const uint8_t *bytes = vocabulary_bytes(d->vocabulary, ids[i], &size);
        if (ids[i] == vocabulary_end_of_text(d->vocabulary)) {
            bytes = d->separator;
            size = d->separator_size;
        }
        code = output_write(d->out, bytes, size);
    }
    return code;
}

static int decode_stream(struct decoding *d, const char *path) {
    struct stream *s;
    struct record r;
    bool got = true;
    int code = stream_open(&s, path, 1u << STREAM_TOKENS);
    if (code != OK)
        return code;
    code = check_vocabulary(d, s);
    while (code == OK && (code = stream_next(s, &r, &got)) == OK && got)
        code = write_sequence(d, s, &r);
    if (code == OK)
        code = stream_finish(s);
    stream_close(s);
    return code;
}

int decode_tokens(const char *vocabulary, int count, char **operands, const uint8_t *separator,
                  size_t separator_size, const char *output) {
    struct decoding d = {.vocabulary_name = vocabulary, .separator = separator, .separator_size = separator_size};
    int code = vocabulary_load(&d.vocabulary, vocabulary);
    if (code == OK)
        code = output_open(&d.out, output, false);
    for (int i = 0; i < (count > 0 ? count : 1) && code == OK; i++)
        code = decode_stream(&d, count > 0 ? operands[i] : NULL);
    if (code == OK)
        code = output_commit(d.out);
    else
        output_abort(d.out);
    vocabulary_free(d.vocabulary);
    buffer_release(&d.ids);
    return code;
}
