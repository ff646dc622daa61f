#include "base/background.h"
#include "base/error.h"
#include "base/threads.h"
#include "base/tool.h"
#include "text/cutting.h"
#include "tokenize/encoding.h"
#include "tokenize/pipeline.h"

#include <inttypes.h>
#include <stdlib.h>

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
    const struct vocabulary_job *v = &e->job->vocabulary;
    int code = vocabulary_load_with(&e->vocabulary, v->path, &v->options);
    if (code == OK && !e->job->no_end_of_text && vocabulary_end_of_text(e->vocabulary) == UINT32_MAX)
        return error_set(ERROR_INPUT,
                         "%s: has no <|endoftext|> token or the like; name its own with --eot (ranks have some "
                         "under --pattern r50k_base and the like), or use --no-eot",
                         v->path);
    return code;
}

static size_t find_cut(void *context, const uint8_t *text, size_t from, size_t size, bool goes_on) {
    return vocabulary_cut_in_order(context, text, from, size, goes_on);
}

int encoding_make_encoder(const struct encoding *e, struct encoder **encoder) {
    int code = encoder_new(encoder, e->vocabulary);
    if (code == OK)
        encoder_allow_special(*encoder, e->job->allow_special);
    return code;
}

static int make_workers(struct encoding *e, int count) {
    e->workers = memory_new((size_t)count, sizeof *e->workers);
    e->records = memory_new((size_t)count + 1, sizeof *e->records);
    e->batches = memory_new((size_t)count * PIPELINE_BATCHES, sizeof *e->batches);
    int code = e->workers && e->records && e->batches ? held_init(&e->held) : ERROR_SYSTEM;
    if (code == OK) {
        e->batch_count = count * PIPELINE_BATCHES;
        e->record_count = count + 1;
    }
    for (; e->worker_count < count && code == OK; e->worker_count++) {
        struct worker *w = &e->workers[e->worker_count];
        code = encoding_make_encoder(e, &w->encoder);
        if (code == OK)
            code = frequency_init(&w->frequency);
    }
    return code;
}

static int run(struct encoding *e, struct threads *threads) {
    struct pipeline pipeline = {.context = e,
                                .read = encoding_read,
                                .prepare = encoding_prepare,
                                .work = encoding_work,
                                .settle = encoding_settle};
    struct text_job text = e->job->text;
    text.documents.cut = find_cut;
    text.documents.cut_context = e->vocabulary;
    void **batches = memory_new((size_t)e->batch_count, sizeof *batches);
    int code = batches ? OK : ERROR_SYSTEM;
    for (int i = 0; i < e->batch_count && code == OK; i++)
        batches[i] = &e->batches[i];
    if (code == OK) {
        code = text_reader_start(&e->reader, &text);
        if (code == OK)
            code = pipeline_run(&pipeline, threads, batches, e->batch_count);
        text_reader_release(&e->reader);
    }
    free(batches);
    return code;
}

// A domain that no document had is likely to be misspelt.
static void report_unmet(const struct document_filter *filter, bool met) {
    if (filter->domain && !met)
        tool_notice("--filter %s: no document is of this domain", filter->given);
}

static void report_dropped(const struct encoding *e) {
    static const char *const causes[VERDICTS] = {
        [DUPLICATE] = "documents were left out for their text was there before",
        [FREQUENT] = "documents were left out by the filter code-frequency",
        [REPEATED] = "documents were left out by the filter repeats"};
    const bool wanted[VERDICTS] = {[DUPLICATE] = e->job->no_duplicates,
                                   [FREQUENT] = e->job->frequency.given,
                                   [REPEATED] = e->job->repeats.given};
    if (e->totals.empty > 0)
        tool_notice("%" PRIu64 " empty documents were left out", e->totals.empty);
    for (int v = 0; v < VERDICTS; v++)
        if (wanted[v])
            tool_notice("%" PRIu64 " %s", e->dropped[v], causes[v]);
    report_unmet(&e->job->frequency, e->frequency_met);
    report_unmet(&e->job->repeats, e->repeats_met);
}

static void report(const struct encoding *e) {
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
                e->totals.documents, e->totals.bytes, tokens,
                tokens ? (double)e->totals.bytes / (double)tokens : 0.0, sequences);
    report_dropped(e);
}

static void release(struct encoding *e) {
    packer_close(e->packer);
    counts_release(&e->counts);
    for (int i = 0; i < e->worker_count; i++) {
        encoder_free(e->workers[i].encoder);
        frequency_release(&e->workers[i].frequency);
    }
    free(e->workers);
    for (int i = 0; i < e->record_count; i++)
        json_line_release(&e->records[i]);
    free(e->records);
    for (int i = 0; i < e->batch_count; i++) {
        buffer_release(&e->batches[i].text);
        buffer_release(&e->batches[i].items);
        buffer_release(&e->batches[i].ids);
        buffer_release(&e->batches[i].domains);
    }
    free(e->batches);
    held_release(&e->held);
    encoder_free(e->in_order);
    digest_set_release(&e->seen);
    pthread_mutex_destroy(&e->mutex);
    vocabulary_free(e->vocabulary);
    document_split_release(&e->split);
    for (int i = 0; e->paths && i < e->parts; i++)
        free(e->paths[i]);
    free(e->paths);
    free(e->documents);
}

// All but the packer, which `e` has by then where tokens are to be written.
static int encode(struct encoding *e) {
    struct threads *threads = NULL;
    int code = threads_new(&threads, e->job->threads);
    background_allow(true); // for one thread that encodes, too, reading and writing go on beside it
    if (code == OK)
        code = make_workers(e, threads_count(threads));
    if (code == OK)
        code = run(e, threads);
    threads_free(threads);
    return code;
}

static int start(struct encoding *e, const struct encode_job *job) {
    *e = (struct encoding){.job = job};
    pthread_mutex_init(&e->mutex, NULL);
    spool_init(&e->held.ids);
    spool_init(&e->held.text);
    int code = name_outputs(e);
    return code == OK ? open_vocabulary(e) : code;
}

int encode_text(const struct encode_job *job) {
    struct encoding e;
    int code = start(&e, job);
    if (code == OK) {
        struct packer_options options = {.vocabulary = e.vocabulary,
                                         .vocab_size = vocabulary_size(e.vocabulary),
                                         .length = job->length,
                                         .ragged = job->ragged,
                                         .level = job->level};
        code = packer_open(&e.packer, &options, e.parts, e.paths);
    }
    if (code == OK)
        code = encode(&e);
    if (code == OK)
        code = packer_commit(e.packer);
    if (code == OK)
        report(&e);
    release(&e);
    return code;
}

int count_text(const struct encode_job *job, struct counts *counts) {
    struct encoding e;
    int code = start(&e, job);
    if (code == OK)
        code = encode(&e);
    if (code == OK) {
        report_dropped(&e);
        *counts = e.counts;
        e.counts = (struct counts){0};
    }
    release(&e);
    return code;
}
