#include "base/error.h"
#include "base/memory.h"
#include "shard.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

// ---- what may be joined ----

static int differ(const struct stream *a, const struct stream *b, const char *what, const char *va,
                  const char *vb) {
    return error_set(ERROR_INPUT, "%s and %s: %s differs: %s and %s", stream_name(a), stream_name(b), what, va,
                     vb);
}

static int differ_in_number(const struct stream *a, const struct stream *b, const char *what, uint32_t va,
                            uint32_t vb) {
    return error_set(ERROR_INPUT, "%s and %s: %s differs: %" PRIu32 " and %" PRIu32, stream_name(a),
                     stream_name(b), what, va, vb);
}

static int match_models(const struct stream *a, const struct stream *b) {
    const struct stream_header *x = stream_header(a), *y = stream_header(b);
    if (x->model_count != y->model_count)
        return differ_in_number(a, b, "number of models", x->model_count, y->model_count);
    for (uint32_t i = 0; i < x->model_count; i++) {
        if (!digest_equal(&x->models[i], &y->models[i])) {
            char ta[33], tb[33];
            digest_format(&x->models[i], ta);
            digest_format(&y->models[i], tb);
            return differ(a, b, "model", ta, tb);
        }
    }
    return OK;
}

// Everything but length and the models' names.
static int match_headers(const struct stream *a, const struct stream *b) {
    const struct stream_header *x = stream_header(a), *y = stream_header(b);
    const char *rx = x->rule ? x->rule : "none", *ry = y->rule ? y->rule : "none";
    const struct {
        const char *name;
        uint32_t a, b;
    } numbers[] = {{"number of experts", x->experts, y->experts},
                   {"top-k", x->topk, y->topk},
                   {"prefix", x->prefix, y->prefix},
                   {"per_position", x->per_position, y->per_position},
                   {"improper", x->improper, y->improper}};
    if (x->kind != y->kind)
        return differ(a, b, "kind", stream_kind_name(x->kind), stream_kind_name(y->kind));
    if (x->dtype != y->dtype)
        return differ(a, b, "dtype", stream_dtype_name(x->dtype), stream_dtype_name(y->dtype));
    if (strcmp(rx, ry) != 0)
        return differ(a, b, "rule", rx, ry);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (numbers[i].a != numbers[i].b)
            return differ_in_number(a, b, numbers[i].name, numbers[i].a, numbers[i].b);
    int code = stream_match(a, b);
    return code == OK ? match_models(a, b) : code;
}

// ---- joining ----

struct join {
    struct stream **ins;
    int count;
    bool one_corpus;
    struct digest corpus; // of the result, where there are several
    struct stream_header header;
};

static int open_all(struct join *j, char **inputs) {
    int code = OK;
    for (int i = 0; code == OK && i < j->count; i++) {
        code = stream_open(&j->ins[i], inputs[i], STREAM_ANY);
        if (code == OK && i > 0)
            code = match_headers(j->ins[0], j->ins[i]);
        // Whether ids may stay is known from the corpus digest, which a pipe has at its end.
        if (code == OK && j->count > 1 && !stream_seekable(j->ins[i]))
            code = error_set(ERROR_USAGE, "--join: %s is no regular file: save it first", stream_name(j->ins[i]));
    }
    return code;
}

static int compare_corpora(struct join *j) {
    struct buffer list = {0};
    int code = OK;
    j->one_corpus = true;
    for (int i = 0; code == OK && j->count > 1 && i < j->count; i++) {
        uint8_t count[8];
        struct digest first = stream_corpus(j->ins[0]), corpus = stream_corpus(j->ins[i]);
        j->one_corpus &= digest_equal(&first, &corpus);
        store_le(count, stream_count(j->ins[i]), sizeof count);
        code = buffer_append(&list, corpus.bytes, sizeof corpus.bytes);
        if (code == OK)
            code = buffer_append(&list, count, sizeof count);
    }
    if (code == OK)
        j->corpus = digest_of(list.data, list.size);
    buffer_release(&list);
    return code;
}

// The first header, with the greatest length and whichever vocabulary is known.
static void join_headers(struct join *j) {
    j->header = *stream_header(j->ins[0]);
    for (int i = 1; i < j->count; i++) {
        const struct stream_header *h = stream_header(j->ins[i]);
        if (h->length == 0 || (j->header.length > 0 && h->length > j->header.length))
            j->header.length = h->length;
        if (!digest_known(&j->header.vocab))
            j->header.vocab = h->vocab;
        if (j->header.vocab_size == 0)
            j->header.vocab_size = h->vocab_size;
    }
}

static int copy_all(struct join *j, const struct shard_job *job, struct stream_writer *out) {
    struct record r;
    uint64_t done = 0;
    int code = OK;
    if (!j->one_corpus)
        stream_set_corpus(out, &j->corpus);
    for (int i = 0; code == OK && i < j->count; i++) {
        for (bool got = true; code == OK && got;) {
            code = stream_next(j->ins[i], &r, &got);
            if (code != OK || !got)
                break;
            if (!j->one_corpus)
                r.id = done;
            code = stream_write_from(out, j->ins[i], &r);
            progress_update(job->progress, (double)++done, NULL);
        }
        if (code == OK)
            code = stream_add_parent(out, j->ins[i]);
    }
    return code;
}

int shard_join(const struct shard_job *job, char **inputs, int count) {
    struct join j = {.count = count};
    struct stream_writer *out = NULL;
    j.ins = memory_new((size_t)count, sizeof *j.ins);
    int code = j.ins ? open_all(&j, inputs) : ERROR_SYSTEM;
    if (code == OK)
        code = compare_corpora(&j);
    if (code == OK) {
        join_headers(&j);
        code = stream_create(&out, job->output, &j.header, job->level);
    }
    if (code == OK)
        code = copy_all(&j, job, out);
    if (code == OK)
        code = stream_commit(out, NULL);
    else
        stream_abort(out);
    for (int i = 0; j.ins && i < count; i++)
        stream_close(j.ins[i]);
    free(j.ins);
    return code;
}
