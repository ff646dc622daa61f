// Opening a stream: the header; for a regular file also the end frame with its index, found from the trailer.
#include "base/error.h"
#include "base/file.h"
#include "base/system.h"
#include "stream/reader.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PIPE_SIZE = 1 << 20, CACHE_DEFAULT = 64 << 20 };

int stream_failed(struct stream *s, int code, uint64_t frame, uint64_t byte) {
    s->failure = code;
    return error_prefix(code, "%s: frame %" PRIu64 " at byte %" PRIu64, s->name, frame, byte);
}

// ---- header ----

static int read_header(struct stream *s) {
    const uint8_t *data;
    size_t got, size = 0;
    int code = source_take(&s->source, HEADER_FIXED, &data, &got);
    if (code == OK)
        code = got == 0 ? error_set(ERROR_INPUT, "empty") : header_block_size(data, got, &size);
    if (code == OK)
        code = source_take(&s->source, size, &data, &got);
    if (code == OK && got < size)
        code = error_set(ERROR_INPUT, "truncated: %zu of %zu bytes", got, size);
    if (code == OK)
        code = header_block_decode(&s->header, data, size);
    if (code != OK)
        return error_prefix(code, "%s: header at byte 0", s->name);
    s->header_hash = load_le(data + size - HASH_SIZE, HASH_SIZE);
    s->first_frame = size;
    source_advance(&s->source, size);
    return OK;
}

// ---- end frame ----

static int decode_end(struct stream *s, const struct frame_bytes *b, uint64_t offset) {
    uint8_t *raw = NULL;
    size_t capacity = 0;
    const uint8_t *content;
    int code = frame_raw(b, s->zstd, &raw, &capacity, &content);
    if (code == OK)
        code = end_decode(&s->end, content, b->header.raw);
    free(raw);
    if (code != OK)
        return code;
    s->has_end = true;
    if (s->end.frames != b->header.number)
        return error_set(ERROR_INPUT, "an index of %" PRIu64 " frames behind %" PRIu64, s->end.frames,
                         b->header.number);
    if (s->end.header_hash != s->header_hash)
        return error_set(ERROR_INPUT, "the end frame belongs to another header");
    return end_sum(&s->end, s->first_frame, offset);
}

int stream_read_end(struct stream *s, const struct frame_bytes *b) {
    uint64_t offset = s->source.position, number = b->header.number;
    int code = decode_end(s, b, offset);
    if (code == OK) {
        source_advance(&s->source, frame_length(&b->header));
        code = source_trailer(&s->source, offset);
        offset = s->source.position;
    }
    return code == OK ? OK : stream_failed(s, code, number, offset);
}

static int open_end(struct stream *s) {
    struct source *source = &s->source;
    uint64_t end_offset, size;
    struct frame_bytes b;
    if (source->size < s->first_frame + FRAME_HEADER_SIZE + TRAILER_SIZE)
        return error_set(ERROR_INPUT, "truncated");
    int code = trailer_decode(source->map + source->size - TRAILER_SIZE, &end_offset, &size);
    if (code != OK)
        return code;
    if (size != source->size || end_offset < s->first_frame || end_offset > size - TRAILER_SIZE)
        return error_set(ERROR_INPUT, "the trailer names another end frame");
    source->position = end_offset;
    code = source_frame(source, &b);
    if (code == OK && !b.header.end)
        code = error_set(ERROR_INPUT, "a data frame where the end frame was expected");
    return code == OK ? stream_read_end(s, &b) : code;
}

// A file whose end is unsound: walk it from the front, so that the message names the first frame at fault.
static int diagnose(struct stream *s) {
    struct frame_bytes b = {0};
    end_release(&s->end);
    s->has_end = false;
    s->source.position = s->first_frame;
    for (uint64_t number = 0;; number++) {
        uint64_t offset = s->source.position;
        int code = source_frame(&s->source, &b);
        if (code == OK && b.header.number != number)
            code = error_set(ERROR_INPUT, "frame %" PRIu64 " stands where %" PRIu64 " was expected",
                             b.header.number, number);
        if (code != OK)
            return stream_failed(s, code, number, offset);
        if (b.header.end)
            return stream_read_end(s, &b);
        source_advance(&s->source, frame_length(&b.header));
    }
}

// ---- opening ----

int stream_open_end(struct stream *s) {
    int code = open_end(s);
    if (code == ERROR_INPUT) {
        code = diagnose(s);
        // The walk repeats every check, so it cannot pass; were it to, the end is still not to be trusted.
        if (code == OK)
            code = stream_failed(s, error_set(ERROR_INPUT, "trailer and frames disagree"), s->end.frames,
                                 s->source.size);
    }
    s->source.position = s->first_frame;
    return code;
}

int stream_open_source(struct stream *s) {
    int code = read_header(s);
    return code == OK && s->seekable ? stream_open_end(s) : code;
}

int stream_map(struct stream *s, uint64_t size) {
    void *map = system_mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, s->source.fd, 0);
    if (map == MAP_FAILED)
        return error_set_errno(ERROR_SYSTEM, "%s: cannot map %" PRIu64 " bytes", s->name, size);
    s->seekable = true;
    s->source.map = map;
    s->source.size = size;
    return OK;
}

// Map a regular file that is read from its start; anything else is read as a pipe.
static int map_file(struct stream *s) {
    struct stat status;
    int fd = s->source.fd;
    if (system_fstat(fd, &status) != 0)
        return error_set_errno(ERROR_SYSTEM, "%s: cannot stat", s->name);
    if (S_ISFIFO(status.st_mode))
        fcntl(fd, F_SETPIPE_SZ, (int)PIPE_SIZE); // only faster, so failing is fine
    if (!S_ISREG(status.st_mode) || lseek(fd, 0, SEEK_CUR) != 0)
        return OK;
    if (status.st_size == 0)
        return error_set(ERROR_INPUT, "%s: header at byte 0: empty", s->name);
    return stream_map(s, (uint64_t)status.st_size);
}

static int allocate(struct stream *s, const char *path) {
    static atomic_uint_fast64_t serial;
    s->source.fd = -1;
    pthread_mutex_init(&s->counting, NULL);
    s->serial = atomic_fetch_add(&serial, 1);
    s->stop = UINT64_MAX;
    s->complete = true;
    s->cache_limit = CACHE_DEFAULT;
    s->name = string_copy(input_name(path));
    s->zstd = ZSTD_createDCtx();
    s->ahead.zstd = ZSTD_createDCtx();
    s->content = XXH3_createState();
    s->index = XXH3_createState();
    if (!s->name || !s->zstd || !s->ahead.zstd || !s->content || !s->index)
        return error_set(ERROR_SYSTEM, "%s: out of memory: opening a stream", input_name(path));
    XXH3_64bits_reset(s->index);
    return OK;
}

// What was wanted, and who writes it.
static int check_kind(const struct stream *s, unsigned kinds) {
    static const char *const phrases[STREAM_KINDS] = {
        [STREAM_TOKENS] = "tokens (tokenize writes them)",
        [STREAM_SCORES] = "scores (route writes them)",
        [STREAM_LOGPROBS] = "log-probs (route --per-token and mix write them)",
        [STREAM_WEIGHTS] = "weights",
        [STREAM_ASSIGNMENT] = "an assignment (assign writes it)",
        [STREAM_TRACE] = "a trace",
    };
    if (kinds >> s->header.kind & 1)
        return OK;
    struct buffer wanted = {0};
    int code = OK;
    for (int k = 0; code == OK && k < STREAM_KINDS; k++)
        if (kinds >> k & 1)
            code = buffer_append_format(&wanted, "%s%s", wanted.size ? " or " : "", phrases[k]);
    if (code == OK)
        code = error_set(ERROR_INPUT, "%s: holds %s, not %s", s->name, stream_kind_name(s->header.kind),
                         wanted.size ? (const char *)wanted.data : "what is wanted");
    buffer_release(&wanted);
    return code;
}

int stream_open(struct stream **result, const char *path, unsigned kinds) {
    *result = NULL;
    struct stream *s = memory_new(1, sizeof *s);
    if (!s)
        return ERROR_SYSTEM;
    int code = allocate(s, path);
    if (code == OK)
        code = input_open(&s->source.fd, path);
    if (code == OK && s->source.fd == STDIN_FILENO && isatty(STDIN_FILENO))
        code = error_set(ERROR_USAGE, "%s: is a terminal; name a FILE, or pipe a stream in", s->name);
    if (code == OK)
        code = map_file(s);
    if (code == OK)
        code = stream_open_source(s);
    if (code == OK)
        code = check_kind(s, kinds);
    if (code == OK)
        code = content_begin(s->content, &s->header);
    if (code != OK) {
        stream_close(s);
        return code;
    }
    *result = s;
    return OK;
}

void stream_close(struct stream *s) {
    if (!s)
        return;
    ahead_release(&s->ahead);
    if (s->source.map)
        system_munmap((void *)(uintptr_t)s->source.map, s->source.size);
    if (s->source.fd >= 0)
        input_close(s->source.fd);
    source_release(&s->source);
    stream_cache_release(s);
    frame_release(&s->frame);
    header_release(&s->header);
    domains_release(&s->domains);
    end_release(&s->end);
    XXH3_freeState(s->content);
    XXH3_freeState(s->index);
    ZSTD_freeDCtx(s->zstd);
    pthread_mutex_destroy(&s->counting);
    free(s->name);
    free(s);
}
