#include "base/error.h"
#include "base/tool.h"
#include "text/learner.h"
#include "tokenize/document_split.h"
#include "tokenize/jobs.h"

#include <inttypes.h>

struct learning {
    struct learner *learner;
    struct document_split split;
    int part;
    uint64_t documents, bytes; // of the part
};

static int take_document(void *context, const struct document *document, const char *domain) {
    struct learning *l = context;
    (void)domain;
    if (l->split.count > 0 && document_split_part(&l->split, document->text, document->size) != l->part)
        return OK;
    l->documents++;
    l->bytes += document->size;
    return learner_add(l->learner, document->text, document->size);
}

static int find_part(struct learning *l, const struct text_job *job, const char *part) {
    if (!job->split)
        return OK;
    int code = document_split_parse(&l->split, job->split);
    if (code != OK || !part)
        return code;
    l->part = document_split_find(&l->split, part);
    return l->part >= 0 ? OK : error_set(ERROR_USAGE, "--part '%s': not in --split", part);
}

static int find_pattern(const char *name, enum text_pattern *pattern) {
    int found = name ? pattern_find(name) : PATTERN_GPT2;
    if (found < PATTERN_GPT2 || found > PATTERN_O200K)
        return error_set(ERROR_USAGE, "--pattern '%s': not gpt2, starcoder2, cl100k, llama3, qwen2 or o200k",
                         name);
    *pattern = (enum text_pattern)found;
    return OK;
}

int learn_vocabulary(const struct learn_job *job) {
    struct learning l = {0};
    struct text_totals totals;
    struct vocabulary *vocabulary = NULL;
    double start = clock_seconds();
    int code = find_part(&l, &job->text, job->part);
    struct learner_options options = {.characters = job->characters,
                                      .coverage = job->coverage,
                                      .min_frequency = job->min_frequency,
                                      .specials = job->specials,
                                      .special_count = job->special_count,
                                      .threads = job->threads};
    if (code == OK)
        code = find_pattern(job->pattern, &options.pattern);
    if (code == OK)
        code = learner_new(&l.learner, &options);
    if (code == OK)
        code = text_each(&job->text, take_document, &l, &totals);
    if (code == OK && l.documents == 0)
        code = error_set(ERROR_INPUT, "no text to learn from: the input has no documents");
    if (code == OK) {
        struct progress progress;
        progress_start(&progress, tool_name(), "tokens of the vocabulary", job->size, common.progress);
        code = learner_finish(l.learner, job->size, &progress, &vocabulary);
        progress_finish(&progress);
    }
    if (code == OK)
        code = vocabulary_save(vocabulary, job->text.output);
    if (code == OK) {
        tool_notice("%" PRIu64 " documents, %" PRIu64 " bytes, %" PRIu64
                    " distinct words; %u merges, vocabulary of %u, in %.1f s",
                    l.documents, l.bytes, learner_words(l.learner), vocabulary_merges(vocabulary),
                    vocabulary_size(vocabulary), clock_seconds() - start);
        if (vocabulary_size(vocabulary) < job->size)
            tool_notice("the vocabulary has %u tokens, not %u: no pair is left to merge",
                        vocabulary_size(vocabulary), job->size);
    }
    vocabulary_free(vocabulary);
    learner_free(l.learner);
    document_split_release(&l.split);
    return code;
}
