#include "base/error.h"
#include "base/memory.h"
#include "base/tool.h"
#include "text/vocabulary.h"
#include "tokenize/document_split.h"
#include "tokenize/jobs.h"
#include "tokenize/packer.h"

#include <inttypes.h>
#include <stdlib.h>

struct encoding {
    const struct encode_job *job;
    struct vocabulary *vocabulary;
    struct encoder *encoder;
    struct packer *packer;
    struct document_split split;
    char **paths; // by part
    int parts;
    uint64_t *documents; // by part
    struct buffer ids;
};

static int take_document(void *context, const struct document *document, const char *domain) {
    struct encoding *e = context;
    int part = e->split.count > 0 ? document_split_part(&e->split, document->text, document->size) : 0;
    e->documents[part]++;
    buffer_clear(&e->ids);
    int code = encoder_encode(e->encoder, document->text, document->size, &e->ids);
    uint32_t end = vocabulary_end_of_text(e->vocabulary);
    if (code == OK && !e->job->no_end_of_text)
        code = buffer_append(&e->ids, &end, sizeof end);
    if (code == OK)
        code = packer_add(e->packer, part, domain, (const uint32_t *)e->ids.data, e->ids.size / sizeof end);
    return code;
}

static int name_outputs(struct encoding *e) {
    const struct text_job *text = &e->job->text;
    int code = text->split ? document_split_parse(&e->split, text->split) : OK;
    if (code != OK)
        return code;
    e->parts = e->split.count > 0 ? e->split.count : 1;
    e->paths = memory_new((size_t)e->parts, sizeof *e->paths);
    e->documents = memory_new((size_t)e->parts, sizeof *e->documents);
    if (!e->paths || !e->documents)
        return ERROR_SYSTEM;
    if (!text->split) {
        e->paths[0] = string_copy(text->output ? text->output : "-");
        return e->paths[0] ? OK : ERROR_SYSTEM;
    }
    for (int i = 0; i < e->parts && code == OK; i++)
        code = document_split_path(text->output ? text->output : "-", e->split.parts[i].name, &e->paths[i]);
    return code;
}

static int open_vocabulary(struct encoding *e) {
    int code = vocabulary_load(&e->vocabulary, e->job->vocabulary);
    if (code == OK && !e->job->no_end_of_text && vocabulary_end_of_text(e->vocabulary) == UINT32_MAX)
        return error_set(ERROR_INPUT, "%s: has no <|endoftext|> token; use --no-eot", e->job->vocabulary);
    return code == OK ? encoder_new(&e->encoder, e->vocabulary) : code;
}

static void report(const struct encoding *e, const struct text_totals *totals) {
    uint64_t tokens = 0, sequences = 0;
    for (int i = 0; i < e->parts; i++) {
        struct packer_totals part = packer_totals(e->packer, i);
        tokens += part.tokens;
        sequences += part.sequences;
        if (e->split.count > 0)
            tool_notice("%s: %" PRIu64 " documents, %" PRIu64 " bytes, %" PRIu64 " tokens, %" PRIu64 " sequences",
                        e->split.parts[i].name, e->documents[i], part.bytes, part.tokens, part.sequences);
    }
    tool_notice("%" PRIu64 " documents, %" PRIu64 " bytes, %" PRIu64 " tokens (%.2f bytes per token), %" PRIu64
                " sequences",
                totals->documents, totals->bytes, tokens, tokens ? (double)totals->bytes / (double)tokens : 0.0,
                sequences);
    if (totals->empty > 0)
        tool_notice("%" PRIu64 " empty documents were left out", totals->empty);
}

int encode_text(const struct encode_job *job) {
    struct encoding e = {.job = job};
    struct text_totals totals;
    int code = name_outputs(&e);
    if (code == OK)
        code = open_vocabulary(&e);
    if (code == OK) {
        struct packer_options options = {
            .vocabulary = e.vocabulary, .length = job->length, .ragged = job->ragged, .level = job->level};
        code = packer_open(&e.packer, &options, e.parts, e.paths);
    }
    if (code == OK)
        code = text_each(&job->text, take_document, &e, &totals);
    if (code == OK)
        code = packer_commit(e.packer);
    if (code == OK)
        report(&e, &totals);
    packer_close(e.packer);
    encoder_free(e.encoder);
    vocabulary_free(e.vocabulary);
    document_split_release(&e.split);
    for (int i = 0; e.paths && i < e.parts; i++)
        free(e.paths[i]);
    free(e.paths);
    free(e.documents);
    buffer_release(&e.ids);
    return code;
}
