#include "base/error.h"
#include "shard.h"

void shard_expect(const struct shard_job *job, const struct stream *in) {
    uint64_t count = stream_seekable(in) ? stream_count(in) : 0;
    uint64_t end = job->end < count ? job->end : count;
    job->progress->total = end > job->begin ? (double)(end - job->begin) : 0;
}

static int copy(const struct shard_job *job, struct stream *in, struct stream_writer *out) {
    struct record r;
    bool got = true;
    uint64_t done = 0;
    int code = OK;
    shard_expect(job, in);
    while (code == OK && got) {
        code = stream_next(in, &r, &got);
        if (code == OK && got)
            code = stream_write_from(out, in, &r);
        progress_update(job->progress, (double)++done, NULL);
    }
    if (code == OK)
        code = stream_add_parent(out, in);
    return code == OK ? stream_check_selection(in) : code;
}

int shard_slice(const struct shard_job *job) {
    struct stream *in = NULL;
    struct stream_writer *out = NULL;
    int code = stream_open(&in, job->input, STREAM_ANY);
    if (code == OK)
        code = stream_select(in, job->begin, job->end);
    if (code == OK && stream_seekable(in))
        code = stream_check_selection(in);
    if (code == OK)
        code = stream_create(&out, job->output, stream_header(in), job->level);
    if (code == OK)
        code = copy(job, in, out);
    if (code == OK)
        code = stream_commit(out, NULL);
    else
        stream_abort(out);
    stream_close(in);
    return code;
}
