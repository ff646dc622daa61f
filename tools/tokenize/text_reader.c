#include "tokenize/text_reader.h"
#include "base/error.h"
#include "base/tool.h"
#include "tokenize/document_split.h"
#include "tokenize/jobs.h"

#include <stdlib.h>
#include <string.h>

static const uint64_t update_bytes = 1 << 18; // of the inputs between two looks at the clock

// No output is an input.
static int spare_inputs(const struct text_sources *sources, const struct text_job *job) {
    struct document_split split;
    if (!job->split || !job->output || !strstr(job->output, "%s"))
        return text_sources_spare(sources, job->output);
    int code = document_split_parse(&split, job->split);
    for (int i = 0; i < split.count && code == OK; i++) {
        char *path;
        code = document_split_path(job->output, split.parts[i].name, &path);
        if (code != OK)
            break;
        code = text_sources_spare(sources, path);
        free(path);
    }
    document_split_release(&split);
    return code;
}

// An option for JSON lines alone, without any, is a mistake.
static int find_records(const struct text_reader *r, const struct text_job *job) {
    for (int i = 0; i < r->sources.count; i++)
        if (!job->records_option || documents_are_json(&r->options, r->sources.items[i].path))
            return OK;
    return error_set(ERROR_USAGE, "--%s: no input is JSON lines by its name; --jsonl takes all inputs for such",
                     job->records_option);
}

int text_reader_start(struct text_reader *r, const struct text_job *job) {
    *r = (struct text_reader){.options = job->documents};
    int code = text_sources_collect(&r->sources, &job->operands);
    if (code == OK)
        code = find_records(r, job);
    if (code == OK)
        code = spare_inputs(&r->sources, job);
    progress_start(&r->progress, tool_name(), "bytes", (double)r->sources.size, common.progress);
    return code;
}

void text_reader_release(struct text_reader *r) {
    progress_finish(&r->progress);
    documents_close(r->documents);
    text_sources_release(&r->sources);
}

static void tell(struct text_reader *r) {
    uint64_t done = r->before + (r->documents ? documents_consumed(r->documents) : 0);
    if (done - r->shown < update_bytes)
        return;
    progress_update(&r->progress, (double)done, NULL);
    r->shown = done;
}

int text_reader_next(struct text_reader *r, struct piece *piece, int *source, bool *got) {
    *got = false;
    for (;;) {
        int code = OK;
        if (!r->documents) {
            if (r->next == r->sources.count)
                return OK;
            code = documents_open(&r->documents, r->sources.items[r->next++].path, &r->options);
        }
        if (code == OK)
            code = documents_next(r->documents, piece, got);
        if (code != OK)
            return code;
        *source = r->next - 1;
        tell(r);
        if (*got)
            return OK;
        r->before += documents_consumed(r->documents);
        documents_close(r->documents);
        r->documents = NULL;
    }
}
