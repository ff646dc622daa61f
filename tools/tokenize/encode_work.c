// The stages of encoding but the last: reading batches, and what any thread can do with one.
#include "base/error.h"
#include "base/file.h"
#include "text/cutting.h"
#include "tokenize/encoding.h"

#include <inttypes.h>

enum { BATCH_TEXT = 1 << 18 }; // bytes, and one more document or piece

const char *encoding_domain(const struct encoding *e, const struct batch *b, const struct item *item) {
    const struct text_source *source = &e->reader.sources.items[item->source];
    return item->domain > 0 ? (const char *)b->domains.data + item->domain - 1
           : source->domain ? source->domain
                            : e->job->text.domain;
}

bool filter_applies(const struct document_filter *filter, const char *domain) {
    return filter->given && (!filter->domain || strcmp(filter->domain, domain) == 0);
}

static int name_domain(struct batch *b, struct item *item, const char *domain) {
    item->domain = b->domains.size + 1;
    return buffer_append(&b->domains, domain, strlen(domain) + 1);
}

int encoding_read(void *context, void *batch, bool *got) {
    struct encoding *e = context;
    struct batch *b = batch;
    struct piece piece;
    bool more = true;
    int code = OK;
    buffer_clear(&b->text);
    buffer_clear(&b->items);
    buffer_clear(&b->domains);
    *got = false;
    while (b->text.size < BATCH_TEXT) {
        struct item item = {.begin = b->text.size};
        code = text_reader_next(&e->reader, &piece, &item.source, &more);
        if (code != OK || !more)
            break;
        item.size = piece.size;
        item.line = piece.line;
        item.first = piece.first;
        item.last = piece.last;
        item.json = piece.json;
        code = buffer_append(&b->text, piece.bytes, piece.size);
        if (code == OK && piece.domain)
            code = name_domain(b, &item, piece.domain);
        if (code == OK)
            code = buffer_append(&b->items, &item, sizeof item);
        if (code != OK)
            break;
        *got = true;
    }
    return code;
}

// ---- work ----

static bool is_seen(struct encoding *e, const struct digest *digest) {
    pthread_mutex_lock(&e->mutex);
    bool seen = digest_set_has(&e->seen, digest);
    pthread_mutex_unlock(&e->mutex);
    return seen;
}

static bool is_too_frequent(struct frequency *f, const struct document *document) {
    frequency_start(f);
    frequency_add(f, document->text, document->size);
    frequency_again(f);
    frequency_add(f, document->text, document->size);
    return frequency_is_high(f);
}

// What is to be known of a whole document before it is encoded. Text that was there in an earlier batch need not
// be; that it was in this one, or one in work, comes out later.
static void judge(struct encoding *e, struct worker *w, struct item *item, const struct document *document,
                  const char *domain) {
    const struct encode_job *job = e->job;
    if (e->split.count > 0)
        item->part = document_split_part(&e->split, document->text, document->size);
    if (job->no_duplicates) {
        item->digest = digest_of(document->text, document->size);
        if (is_seen(e, &item->digest))
            item->verdict = DUPLICATE;
    }
    if (item->verdict == KEPT && filter_applies(&job->frequency, domain) &&
        is_too_frequent(&w->frequency, document))
        item->verdict = FREQUENT;
}

int encoding_encode(struct encoding *e, struct encoder *encoder, struct batch *b, struct item *item,
                    const struct document *document, const char *domain) {
    item->ids = b->ids.size / sizeof(uint32_t);
    if (!item->first)
        encoder_continue(encoder);
    int code = encoder_encode(encoder, document->text, document->size, &b->ids);
    if (code != OK)
        return code;
    const uint32_t *ids = (const uint32_t *)b->ids.data + item->ids;
    uint32_t end = vocabulary_end_of_text(e->vocabulary);
    item->tokens = item->count = b->ids.size / sizeof end - item->ids;
    item->repeats = filter_applies(&e->job->repeats, domain) && ids_repeat(ids, item->tokens);
    if (item->last && !e->job->no_end_of_text) {
        code = buffer_append(&b->ids, &end, sizeof end);
        item->count++;
    }
    if (item->repeats && item->first && item->last)
        item->verdict = REPEATED;
    return code;
}

// Of a line of JSON its text, where the line was if there is room.
static int parse_line(struct encoding *e, struct json_line *record, struct batch *b, struct item *item) {
    uint8_t *line = b->text.data + item->begin;
    struct document document;
    int code = json_line_parse(record, &e->job->text.records, line, item->size, &document);
    if (code != OK) {
        const struct text_source *source = &e->reader.sources.items[item->source];
        return error_prefix(code, "%s: line %" PRIu64, input_name(source->path), item->line);
    }
    if (document.domain)
        code = name_domain(b, item, document.domain);
    if (code != OK)
        return code;
    if (document.size > item->size) { // with what joins several fields
        item->begin = b->text.size;
        code = buffer_append(&b->text, document.text, document.size);
    } else if (document.size > 0) {
        memmove(line, document.text, document.size);
    }
    item->size = document.size;
    return code;
}

int encoding_prepare(void *context, void *batch, int thread) {
    struct encoding *e = context;
    struct batch *b = batch;
    size_t count;
    struct item *items = batch_items(b, &count);
    int code = OK;
    for (b->prepared = 0; b->prepared < count && code == OK; b->prepared += code == OK)
        if (items[b->prepared].json)
            code = parse_line(e, &e->records[thread], b, &items[b->prepared]);
    return code;
}

static int work_item(struct encoding *e, struct worker *w, struct batch *b, struct item *item) {
    const struct document document = {.text = b->text.data + item->begin, .size = item->size};
    item->bytes = item->size;
    if (item->size == 0)
        return OK;
    const char *domain = encoding_domain(e, b, item);
    bool whole = item->first && item->last;
    if (whole)
        judge(e, w, item, &document, domain);
    if (item->verdict != KEPT || (!whole && vocabulary_needs_order(e->vocabulary)))
        return OK;
    return encoding_encode(e, w->encoder, b, item, &document, domain);
}

int encoding_work(void *context, void *batch, int thread) {
    struct encoding *e = context;
    struct batch *b = batch;
    struct item *items = (struct item *)b->items.data;
    int code = OK;
    buffer_clear(&b->ids);
    for (b->done = 0; b->done < b->prepared && code == OK; b->done += code == OK)
        code = work_item(e, &e->workers[thread], b, &items[b->done]);
    return code;
}
