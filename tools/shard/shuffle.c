#include "base/error.h"
#include "base/random.h"
#include "base/tool.h"
#include "runs.h"
#include "shard.h"

enum { SHUFFLE_STREAM = 0x53 }; // its own stream of random numbers under the seed

struct shuffle {
    struct stream *in;
    struct stream_writer *out;
    struct runs *runs;
    struct progress *progress;
    double count, written; // sequences
};

static int gather(struct shuffle *s, const struct shard_job *job) {
    struct record r;
    bool got = true;
    int code = OK;
    shard_expect(job, s->in);
    for (uint64_t ordinal = 0; code == OK; ordinal++) {
        code = stream_next(s->in, &r, &got);
        if (code != OK || !got)
            break;
        uint64_t key = random_bits(job->seed, SHUFFLE_STREAM, ordinal);
        code = runs_add(s->runs, key, &r, record_payload_size(stream_header(s->in), &r));
        s->count = (double)ordinal + 1;
        progress_update(job->progress, s->count, NULL);
    }
    return code;
}

static int write_record(void *context, const struct record *r) {
    struct shuffle *s = context;
    progress_update(s->progress, ++s->written, NULL);
    return stream_write_from(s->out, s->in, r);
}

int shard_shuffle(const struct shard_job *job) {
    struct shuffle s = {.progress = job->progress};
    int code = stream_open(&s.in, job->input, STREAM_ANY);
    if (code == OK)
        code = stream_create(&s.out, job->output, stream_header(s.in), job->level);
    if (code == OK)
        code = runs_new(&s.runs, job->memory);
    if (code == OK)
        code = gather(&s, job);
    if (code == OK)
        code = stream_add_parent(s.out, s.in);
    // Reading was the first half: the second has a rate of its own.
    progress_start(s.progress, tool_name(), "sequences written", s.count, common.progress);
    if (code == OK)
        code = runs_drain(s.runs, write_record, &s);
    runs_free(s.runs);
    if (code == OK)
        code = stream_commit(s.out, NULL);
    else
        stream_abort(s.out);
    stream_close(s.in);
    return code;
}
