#include "base/error.h"
#include "base/tool.h"
#include "tokenize/jobs.h"

static const uint64_t update_bytes = 1 << 20; // of text between two looks at the clock

struct reading {
    const struct text_job *job;
    int (*take)(void *context, const struct document *document, const char *domain);
    void *context;
    struct text_totals *totals;
    struct progress progress;
    uint64_t before, shown; // bytes of the files before this one; text at the latest update
};

static int read_source(struct reading *r, const struct text_source *source) {
    struct documents *documents;
    struct document document;
    bool got = true;
    int code = documents_open(&documents, source->path, &r->job->documents);
    while (code == OK && (code = documents_next(documents, &document, &got)) == OK && got) {
        if (document.size == 0) {
            r->totals->empty++;
            continue;
        }
        r->totals->documents++;
        r->totals->bytes += document.size;
        const char *domain = document.domain ? document.domain : source->domain ? source->domain : r->job->domain;
        code = r->take(r->context, &document, domain);
        if (r->totals->bytes - r->shown >= update_bytes) {
            progress_update(&r->progress, (double)(r->before + documents_consumed(documents)), NULL);
            r->shown = r->totals->bytes;
        }
    }
    if (code == OK)
        r->before += documents_consumed(documents);
    documents_close(documents);
    return code;
}

int text_each(const struct text_job *job,
              int (*take)(void *context, const struct document *document, const char *domain), void *context,
              struct text_totals *totals) {
    struct text_sources sources;
    struct reading r = {.job = job, .take = take, .context = context, .totals = totals};
    *totals = (struct text_totals){0};
    int code = text_sources_collect(&sources, job->count, job->operands, job->domain_from);
    if (code != OK)
        return code;
    progress_start(&r.progress, tool_name(), "bytes", (double)sources.size, common.progress);
    for (int i = 0; i < sources.count && code == OK; i++)
        code = read_source(&r, &sources.items[i]);
    progress_finish(&r.progress);
    text_sources_release(&sources);
    return code;
}
