// --stats: what there is of each domain, in token streams or in text that would become one.
#include "base/error.h"
#include "base/file.h"
#include "base/system.h"
#include "stream/stream.h"
#include "tokenize/byte_source.h"
#include "tokenize/encoding.h"

#include <inttypes.h>

// A pipe that a folder names is taken for text: opened twice, it would lose its writer in between.
static int find_stream(const char *path, bool *stream) {
    uint8_t head[STREAM_MAGIC];
    size_t got = 0;
    struct stat status;
    int fd;
    *stream = false;
    if (path_is_directory(path) || (system_lstat(path, &status) == 0 && S_ISFIFO(status.st_mode)))
        return OK;
    int code = input_open(&fd, path);
    if (code != OK)
        return code;
    code = input_peek(fd, head, sizeof head, &got);
    input_close(fd);
    *stream = is_stream_magic(head, got);
    return code == OK ? OK : error_prefix(code, "%s", input_name(path));
}

static int count_sequence(const struct vocabulary *v, const struct stream *s, const struct record *r,
                          struct buffer *buffer, struct counts *counts) {
    uint64_t documents = 0, bytes = 0;
    buffer_clear(buffer);
    int code = buffer_reserve(buffer, r->count * sizeof(uint32_t));
    if (code != OK)
        return code;
    uint32_t *ids = (uint32_t *)buffer->data;
    record_tokens(stream_header(s), r, 0, r->count, ids);
    for (uint32_t i = 0; i < r->count; i++) {
        if (ids[i] >= vocabulary_size(v))
            return error_set(ERROR_INPUT, "%s: sequence %" PRIu64 ": token %u is not in the vocabulary",
                             stream_name(s), r->id, ids[i]);
        size_t size;
        vocabulary_bytes(v, ids[i], &size);
        bytes += size;
        documents += ids[i] == vocabulary_end_of_text(v);
    }
    return counts_add(counts, stream_domain(s, r->domain), documents, bytes, r->count);
}

static int count_stream(const struct vocabulary *v, const char *vocabulary_path, const char *path,
                        struct counts *counts) {
    struct stream *s;
    struct record r;
    struct buffer ids = {0};
    bool got = true;
    int code = stream_open(&s, path, 1u << STREAM_TOKENS);
    if (code != OK)
        return code;
    struct digest ours = vocabulary_digest(v);
    code = stream_match_vocabularies(stream_name(s), &stream_header(s)->vocab, vocabulary_path, &ours,
                                     "give the vocabulary that made it");
    while (code == OK && (code = stream_next(s, &r, &got)) == OK && got)
        code = count_sequence(v, s, &r, &ids, counts);
    if (code == OK)
        code = stream_finish(s);
    stream_close(s);
    buffer_release(&ids);
    return code;
}

int count_tokens(const struct encode_job *job) {
    const struct text_operands *o = &job->text.operands;
    char standard[] = "-", *only[] = {standard};
    char *const *paths = o->count > 0 ? o->operands : only;
    const int count = o->count > 0 || o->list ? o->count : 1;
    const char *text = o->list, *tokens = NULL; // one of each
    struct counts counts = {0};
    int code = OK;
    for (int i = 0; i < count && code == OK; i++) {
        bool stream;
        code = find_stream(paths[i], &stream);
        *(stream ? &tokens : &text) = paths[i];
    }
    if (code != OK)
        return code;
    if (tokens && text)
        return error_set(ERROR_INPUT, "%s is a token stream and %s is none; --stats counts streams or text",
                         input_name(tokens), input_name(text));
    if (!tokens) {
        code = count_text(job, &counts);
    } else {
        struct vocabulary *v;
        code = vocabulary_load_with(&v, job->vocabulary.path, &job->vocabulary.options);
        for (int i = 0; i < count && code == OK; i++)
            code = count_stream(v, job->vocabulary.path, paths[i], &counts);
        vocabulary_free(v);
    }
    if (code == OK)
        code = counts_write(&counts, job->text.output);
    counts_release(&counts);
    return code;
}
