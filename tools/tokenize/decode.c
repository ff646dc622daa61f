#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "stream/stream.h"
#include "text/vocabulary.h"
#include "tokenize/jobs.h"

#include <inttypes.h>

struct decoding {
    struct vocabulary *vocabulary;
    const struct decode_job *job;
    struct output *out;
    struct buffer ids;
    // Whether the next token of a domain begins a document, where the scheme puts a space in front.
    struct buffer inside; // bool by domain: no
};

static int find_inside(struct decoding *d, uint16_t domain, bool **inside) {
    static const bool zero = false;
    int code = OK;
    while (d->inside.size <= domain && code == OK)
        code = buffer_append(&d->inside, &zero, 1);
    *inside = (bool *)d->inside.data + domain;
    return code;
}

// What a token stands for; the space that the scheme put in front of a document is not the document's.
static const uint8_t *token_text(const struct decoding *d, uint32_t id, bool *inside, size_t *size) {
    const uint8_t *bytes = vocabulary_bytes(d->vocabulary, id, size);
    const char *special = vocabulary_special(d->vocabulary, id);
    if (id == vocabulary_end_of_text(d->vocabulary)) {
        *inside = false;
        *size = d->job->separator_size;
        return d->job->separator;
    }
    if (special && d->job->specials) {
        *inside = true;
        *size = strlen(special);
        return (const uint8_t *)special;
    }
    if (!*inside && *size > 0 && vocabulary_has_prefix(d->vocabulary) && *bytes == ' ') {
        bytes++;
        --*size;
    }
    *inside = true;
    return bytes;
}

static int write_sequence(struct decoding *d, const struct stream *s, const struct record *r) {
    bool *inside;
    buffer_clear(&d->ids);
    int code = buffer_reserve(&d->ids, r->count * sizeof(uint32_t));
    if (code == OK)
        code = find_inside(d, r->domain, &inside);
    if (code != OK)
        return code;
    if (stream_header(s)->length == 0) // ragged: a document each
        *inside = false;
    uint32_t *ids = (uint32_t *)d->ids.data;
    record_tokens(stream_header(s), r, 0, r->count, ids);
    for (uint32_t i = 0; i < r->count && code == OK; i++) {
        if (ids[i] >= vocabulary_size(d->vocabulary))
            return error_set(ERROR_INPUT, "%s: sequence %" PRIu64 ": token %u is not in %s", stream_name(s), r->id,
                             ids[i], d->job->vocabulary.path);
        size_t size;
        const uint8_t *bytes = token_text(d, ids[i], inside, &size);
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
    struct digest ours = vocabulary_digest(d->vocabulary);
    code = stream_match_vocabularies(stream_name(s), &stream_header(s)->vocab, d->job->vocabulary.path, &ours,
                                     "give the vocabulary that made it");
    while (code == OK && (code = stream_next(s, &r, &got)) == OK && got)
        code = write_sequence(d, s, &r);
    if (code == OK)
        code = stream_finish(s);
    stream_close(s);
    return code;
}

static int spare_inputs(const struct decode_job *job) {
    for (int i = 0; i < job->count; i++)
        if (path_is_input(job->output, job->operands[i]))
            return output_is_input(job->output);
    return OK;
}

int decode_tokens(const struct decode_job *job) {
    struct decoding d = {.job = job};
    int code = spare_inputs(job);
    if (code == OK)
        code = vocabulary_load_with(&d.vocabulary, job->vocabulary.path, &job->vocabulary.options);
    if (code == OK)
        code = output_open(&d.out, job->output, false);
    for (int i = 0; i < (job->count > 0 ? job->count : 1) && code == OK; i++) {
        buffer_clear(&d.inside);
        code = decode_stream(&d, job->count > 0 ? job->operands[i] : NULL);
    }
    if (code == OK)
        code = output_commit(d.out);
    else
        output_abort(d.out);
    vocabulary_free(d.vocabulary);
    buffer_release(&d.ids);
    buffer_release(&d.inside);
    return code;
}
