// Frames that threads read ahead and write behind: many streams at once, errors at their frame, and streams that
// are closed while a thread waits for the other end of a pipe.
#include "base/background.h"
#include "base/file.h"
#include "stream_sample.h"

enum { STREAMS = 24, RECORDS = 900, TARGET = 300 };

static struct buffer sample(const struct stream_header *h, int level) {
    return sample_stream(h, RECORDS, level, TARGET);
}

static void check_record_of(const struct stream_header *h, struct stream *s, uint32_t i) {
    struct record r, expected = sample_record(h, i);
    bool got;
    CHECK_OK(stream_next(s, &r, &got));
    bool same = got && r.id == expected.id && r.count == expected.count &&
                memcmp(r.payload, expected.payload, record_payload_size(h, &r)) == 0 &&
                strcmp(stream_domain(s, r.domain), sample_domain(i)) == 0;
    if (!same)
        CHECK_EQUAL_INT(i, -1); // names the record
}

// More streams than there may be threads, record by record in lockstep, files and pipes.
static void read_together(int level, bool pipes) {
    struct stream_header h = sample_header(0);
    struct buffer bytes = sample(&h, level);
    struct stream *streams[STREAMS];
    char path[32];
    int fd = memory_file(bytes.data, bytes.size, path);
    for (int i = 0; i < STREAMS; i++) {
        if (pipes) {
            pipe_to_standard_input(bytes.data, bytes.size);
            snprintf(path, sizeof path, "/proc/self/fd/%d", dup(0));
        }
        CHECK_OK(stream_open(&streams[i], path, STREAM_ANY));
    }
    for (uint32_t n = 0; n < RECORDS; n++)
        for (int i = 0; i < STREAMS; i++)
            check_record_of(&h, streams[i], n);
    for (int i = 0; i < STREAMS; i++) {
        struct record r;
        bool got;
        CHECK_OK(stream_next(streams[i], &r, &got));
        CHECK(!got);
        CHECK_OK(stream_finish(streams[i]));
        stream_close(streams[i]);
    }
    close(fd);
    buffer_release(&bytes);
}

// The records before a damaged frame come whole, and its error when it is its turn.
static void damaged_frame(void) {
    struct stream_header h = sample_header(0);
    struct buffer bytes = sample(&h, 0);
    uint64_t sequences;
    size_t at = bytes.size / 2;
    bytes.data[at] ^= 1;
    pipe_to_standard_input(bytes.data, bytes.size);
    CHECK_ERROR(read_all(NULL, &sequences), ERROR_INPUT);
    CHECK_MESSAGE("standard input: frame ");
    CHECK_MESSAGE("content hash mismatch");
    CHECK(sequences > RECORDS / 4 && sequences < RECORDS);
    buffer_release(&bytes);
}

// Nothing waits for a writer that neither writes nor closes.
static void close_stalled_reader(void) {
    struct stream_header h = sample_header(0);
    struct buffer bytes = sample(&h, 1);
    struct stream *s;
    int ends[2];
    if (pipe(ends) != 0 || write(ends[1], bytes.data, bytes.size / 2) != (ssize_t)(bytes.size / 2))
        abort();
    dup2(ends[0], 0);
    CHECK_OK(stream_open(&s, NULL, STREAM_ANY));
    for (uint32_t i = 0; i < RECORDS / 4; i++)
        check_record_of(&h, s, i);
    stream_close(s);
    close(ends[0]);
    close(ends[1]);
    buffer_release(&bytes);
}

static int write_records(struct stream_writer *w, const struct stream_header *h, uint32_t n) {
    int code = OK;
    for (uint32_t i = 0; code == OK && i < n; i++) {
        struct record r = sample_record(h, i);
        code = stream_add_domain(w, sample_domain(i), &r.domain);
        if (code == OK)
            code = stream_write(w, &r);
    }
    return code;
}

// A failed write is told by a later call, at the latest by the commit.
static void full_device(void) {
    struct stream_header h = sample_header(0);
    struct stream_writer *w;
    CHECK_OK(stream_create(&w, "/dev/full", &h, 0));
    int code = write_records(w, &h, 100000);
    if (code == OK)
        code = stream_commit(w, NULL);
    else
        stream_abort(w);
    CHECK_ERROR(code, ERROR_SYSTEM);
    CHECK_MESSAGE("/dev/full: write failed: No space left on device");
}

static int count_thread(void *context, const char *path, const char *name) {
    (void)path;
    (void)name;
    ++*(int *)context;
    return OK;
}

static void denied(void) {
    struct stream_header h = sample_header(0);
    struct buffer bytes = sample(&h, 1);
    struct stream *s;
    char path[32];
    int fd = memory_file(bytes.data, bytes.size, path), before = 0, running = 0;
    background_allow(false);
    CHECK_OK(directory_each("/proc/self/task", count_thread, &before)); // a sanitizer has one of its own
    CHECK_OK(stream_open(&s, path, STREAM_ANY));
    for (uint32_t i = 0; i < RECORDS; i++)
        check_record_of(&h, s, i);
    CHECK_OK(directory_each("/proc/self/task", count_thread, &running));
    CHECK_EQUAL_INT(running, before);
    stream_close(s);
    close(fd);
    buffer_release(&bytes);
}

int main(void) {
    alarm(60); // instead of waiting for ever
    for (int level = 0; level < 2; level++) {
        read_together(level, false);
        read_together(level, true);
    }
    damaged_frame();
    close_stalled_reader();
    full_device();
    denied();
    return check_report();
}
