#include "base/error.h"
#include "base/file.h"
#include "tokenize/jobs.h"
#include "tokenize/text_reader.h"

#include <inttypes.h>

// The document of a whole piece, and its domain.
static int open_piece(struct json_line *record, const struct text_job *job, const struct text_source *source,
                      const struct piece *piece, struct document *document, const char **domain) {
    *document = (struct document){.text = piece->bytes, .size = piece->size, .domain = piece->domain};
    int code = piece->json ? json_line_parse(record, &job->records, piece->bytes, piece->size, document) : OK;
    if (code != OK)
        return error_prefix(code, "%s: line %" PRIu64, input_name(source->path), piece->line);
    *domain = document->domain ? document->domain : source->domain ? source->domain : job->domain;
    return OK;
}

int text_each(const struct text_job *job,
              int (*take)(void *context, const struct document *document, const char *domain), void *context,
              struct text_totals *totals) {
    struct text_reader reader;
    struct json_line record = {0};
    struct piece piece;
    struct document document;
    const char *domain = NULL;
    int source;
    bool got = true;
    *totals = (struct text_totals){0};
    int code = text_reader_start(&reader, job);
    while (code == OK && (code = text_reader_next(&reader, &piece, &source, &got)) == OK && got) {
        code = open_piece(&record, job, &reader.sources.items[source], &piece, &document, &domain);
        if (code != OK)
            break;
        if (document.size == 0) {
            totals->empty++;
            continue;
        }
        totals->documents++;
        totals->bytes += document.size;
        code = take(context, &document, domain);
    }
    json_line_release(&record);
    text_reader_release(&reader);
    return code;
}
