#include "base/error.h"
#include "base/memory.h"
#include "shard.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { DESCRIPTORS_BESIDE = 64 };

struct split {
    struct stream *in, *assignment;
    struct stream_writer **outs;
    uint32_t experts;
};

// The one %d of the pattern, replaced.
static char *name_of(const char *pattern, uint32_t expert) {
    const char *mark = strstr(pattern, "%d");
    return string_format("%.*s%" PRIu32 "%s", (int)(mark - pattern), pattern, expert, mark + 2);
}

static int check_pattern(const char *pattern) {
    const char *mark = strchr(pattern, '%');
    if (!mark || mark[1] != 'd' || strchr(mark + 1, '%'))
        return error_set(ERROR_USAGE, "--split: '%s' has not one %%d for the expert and no other %%", pattern);
    return OK;
}

// One descriptor per expert: take what the system grants.
static int raise_descriptors(uint32_t experts) {
    struct rlimit limit;
    rlim_t wanted = (rlim_t)experts + DESCRIPTORS_BESIDE;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return OK;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    if (limit.rlim_cur < wanted || setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return error_set(ERROR_SYSTEM, "%" PRIu32 " outputs at once: only %llu open files are allowed", experts,
                         (unsigned long long)limit.rlim_max);
    return OK;
}

// An assignment of the whole stream is sliced like it; another one has to belong to the slice.
static int select_both(struct split *s, const struct shard_job *job) {
    int code = stream_select(s->in, job->begin, job->end);
    if (code == OK && stream_seekable(s->in))
        code = stream_check_selection(s->in);
    if (code == OK && stream_seekable(s->in) && stream_seekable(s->assignment) &&
        stream_count(s->in) == stream_count(s->assignment))
        code = stream_select(s->assignment, job->begin, job->end);
    return code;
}

static int open_inputs(struct split *s, const struct shard_job *job) {
    int code = stream_open(&s->in, job->input, STREAM_ANY);
    if (code == OK)
        code = stream_open(&s->assignment, job->assignment, 1u << STREAM_ASSIGNMENT);
    if (code == OK)
        code = stream_match(s->in, s->assignment);
    if (code == OK)
        code = stream_match_corpus(s->in, s->assignment);
    return code == OK ? select_both(s, job) : code;
}

static int open_outputs(struct split *s, const struct shard_job *job, const char *pattern) {
    s->experts = stream_header(s->assignment)->experts;
    s->outs = memory_new(s->experts, sizeof *s->outs);
    int code = s->outs ? raise_descriptors(s->experts) : ERROR_SYSTEM;
    for (uint32_t e = 0; code == OK && e < s->experts; e++) {
        char *name = name_of(pattern, e);
        code = name ? stream_create(&s->outs[e], name, stream_header(s->in), job->level) : ERROR_SYSTEM;
        free(name);
    }
    return code;
}

static int distribute(struct split *s, const struct shard_job *job) {
    const struct stream_header *h = stream_header(s->assignment);
    struct record r, a;
    bool got = true, assigned;
    int code = OK;
    shard_expect(job, s->in);
    for (uint64_t n = 0; code == OK; n++) {
        code = stream_next(s->in, &r, &got);
        if (code == OK)
            code = stream_next(s->assignment, &a, &assigned);
        if (code == OK && got != assigned)
            code = error_set(ERROR_INPUT, "%s and %s: %s ends after %" PRIu64 " sequences, the other goes on",
                             stream_name(s->in), stream_name(s->assignment),
                             stream_name(got ? s->assignment : s->in), n);
        if (code != OK || !got)
            break;
        code = record_match(s->in, &r, s->assignment, &a, n);
        for (uint32_t k = 0; code == OK && k < h->topk; k++)
            code = stream_write_from(s->outs[record_expert(h, &a, k)], s->in, &r);
        progress_update(job->progress, (double)n + 1, NULL);
    }
    return code;
}

static int commit_all(struct split *s) {
    int code = OK;
    for (uint32_t e = 0; code == OK && e < s->experts; e++) {
        code = stream_add_parent(s->outs[e], s->in);
        if (code == OK)
            code = stream_add_parent(s->outs[e], s->assignment);
    }
    return code == OK ? stream_commit_all(s->outs, s->experts) : code;
}

int shard_split(const struct shard_job *job, const char *pattern) {
    struct split s = {0};
    int code = check_pattern(pattern);
    if (code == OK)
        code = open_inputs(&s, job);
    if (code == OK)
        code = open_outputs(&s, job, pattern);
    if (code == OK)
        code = distribute(&s, job);
    if (code == OK)
        code = stream_finish(s.in);
    if (code == OK)
        code = stream_check_selection(s.in);
    if (code == OK)
        code = stream_finish(s.assignment);
    if (code == OK) // of a pipe known only now
        code = stream_match_corpus(s.in, s.assignment);
    if (code == OK)
        code = commit_all(&s);
    for (uint32_t e = 0; s.outs && e < s.experts; e++)
        stream_abort(s.outs[e]);
    free(s.outs);
    stream_close(s.in);
    stream_close(s.assignment);
    return code;
}
