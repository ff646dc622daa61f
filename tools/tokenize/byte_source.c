#include "tokenize/byte_source.h"
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/tool.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

enum { INPUT_FIRST = 1 << 14, INPUT_MOST = 1 << 18, GZIP_WINDOW = 15 + 16 };

enum format { PLAIN, GZIP, ZSTD };

struct byte_source {
    const char *path;
    int fd;
    enum format format;
    uint64_t consumed; // bytes read from fd
    uint8_t *input;    // read and not yet used: begin..end
    size_t begin, end, capacity;
    bool at_end;  // of fd
    bool between; // of compressed members: a clean place to end
    z_stream gzip;
    ZSTD_DStream *zstd;
};

// A small file has a small buffer: there may be very many of them.
static int grow(struct byte_source *s) {
    if (s->capacity == INPUT_MOST)
        return OK;
    size_t capacity = s->capacity > 0 ? 2 * s->capacity : INPUT_FIRST;
    int code = memory_resize(&s->input, capacity, 1);
    if (code == OK)
        s->capacity = capacity;
    return code;
}

// More bytes behind begin..end, which becomes empty only at the end of the file.
static int refill(struct byte_source *s) {
    if (s->begin < s->end || s->at_end)
        return OK;
    s->begin = s->end = 0;
    int code = grow(s);
    if (code == OK)
        code = input_read(s->fd, s->input, s->capacity, &s->end);
    if (code != OK)
        return code;
    s->consumed += s->end;
    s->at_end = s->end < s->capacity;
    return OK;
}

bool is_stream_magic(const void *bytes, size_t n) {
    return n >= STREAM_MAGIC && memcmp(bytes, "\x8eTCT\r\n", STREAM_MAGIC) == 0;
}

static bool begins_with(const struct byte_source *s, const void *magic, size_t size) {
    return s->end >= size && memcmp(s->input, magic, size) == 0;
}

// A frame, or one to be skipped, which pzstd and others write in front.
static bool is_zstd(const struct byte_source *s) {
    return begins_with(s, "\x28\xb5\x2f\xfd", 4) ||
           (s->end >= 4 && (s->input[0] & 0xf0) == 0x50 && memcmp(s->input + 1, "\x2a\x4d\x18", 3) == 0);
}

// Any bytes are text, but those of other formats are hardly meant.
static void tell_strange(const struct byte_source *s) {
    static const struct {
        const char *magic, *what;
        size_t size;
    } kinds[] = {
        {"\3757zXZ", "an xz file and taken as text; decompress it first", 5},
        {"BZh", "a bzip2 file and taken as text; decompress it first", 3},
        {"\x04\x22\x4d\x18", "an lz4 file and taken as text; decompress it first", 4},
        {"PK\3\4", "a zip file and taken as text; extract it first", 4},
        {"PAR1", "a Parquet file and taken as text; make JSON lines of it first", 4},
        {"ARROW1", "an Arrow file and taken as text; make JSON lines of it first", 6},
        {"\xff\xfe", "UTF-16 and taken as it is; make UTF-8 of it first", 2},
        {"\xfe\xff", "UTF-16 and taken as it is; make UTF-8 of it first", 2},
    };
    if (is_stream_magic(s->input, s->end)) {
        tool_notice("%s: is a stream and taken as text; --decode gives the text of tokens", input_name(s->path));
        return;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (begins_with(s, kinds[i].magic, kinds[i].size)) {
            tool_notice("%s: is %s", input_name(s->path), kinds[i].what);
            return;
        }
}

static int start_format(struct byte_source *s) {
    if (begins_with(s, "\x1f\x8b", 2)) {
        if (inflateInit2(&s->gzip, GZIP_WINDOW) != Z_OK)
            return error_set(ERROR_SYSTEM, "out of memory: gzip");
        s->format = GZIP;
    } else if (is_zstd(s)) {
        s->zstd = ZSTD_createDStream();
        if (!s->zstd)
            return error_set(ERROR_SYSTEM, "out of memory: zstd");
        s->format = ZSTD;
    } else {
        tell_strange(s);
    }
    return OK;
}

int byte_source_open(struct byte_source **out, const char *path) {
    *out = NULL;
    struct byte_source *s = memory_new(1, sizeof *s);
    if (!s)
        return ERROR_SYSTEM;
    s->path = path;
    s->between = true;
    s->fd = -1;
    int code = input_open(&s->fd, path);
    if (code != OK)
        s->fd = -1;
    if (code == OK) {
        code = refill(s);
        if (code == OK)
            code = start_format(s);
        if (code != OK)
            error_prefix(code, "%s", input_name(path));
    }
    if (code != OK) {
        byte_source_close(s);
        return code;
    }
    *out = s;
    return OK;
}

void byte_source_close(struct byte_source *s) {
    if (!s)
        return;
    if (s->format == GZIP)
        inflateEnd(&s->gzip);
    ZSTD_freeDStream(s->zstd);
    if (s->fd >= 0)
        input_close(s->fd);
    free(s->input);
    free(s);
}

const char *byte_source_name(const struct byte_source *s) {
    return input_name(s->path);
}

uint64_t byte_source_consumed(const struct byte_source *s) {
    return s->consumed;
}

static int broken(const struct byte_source *s, const char *format, const char *cause) {
    return error_set(ERROR_INPUT, "byte %llu: %s: %s", (unsigned long long)(s->consumed - (s->end - s->begin)),
                     format, cause);
}

static int read_plain(struct byte_source *s, uint8_t *data, size_t size, size_t *got) {
    *got = s->end - s->begin < size ? s->end - s->begin : size;
    memcpy(data, s->input + s->begin, *got);
    s->begin += *got;
    return OK;
}

static int read_gzip(struct byte_source *s, uint8_t *data, size_t size, size_t *got) {
    z_stream *z = &s->gzip;
    if (s->between && inflateReset(z) != Z_OK)
        return broken(s, "gzip", "cannot start");
    s->between = false;
    z->next_in = s->input + s->begin;
    z->avail_in = (uInt)(s->end - s->begin);
    z->next_out = data;
    z->avail_out = size < UINT_MAX ? (uInt)size : UINT_MAX;
    uInt room = z->avail_out;
    int status = inflate(z, Z_NO_FLUSH);
    s->begin = s->end - z->avail_in;
    *got = room - z->avail_out;
    if (status == Z_MEM_ERROR)
        return error_set(ERROR_SYSTEM, "out of memory: gzip");
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
        return broken(s, "gzip", z->msg ? z->msg : "corrupt");
    s->between = status == Z_STREAM_END;
    return OK;
}

static int read_zstd(struct byte_source *s, uint8_t *data, size_t size, size_t *got) {
    ZSTD_inBuffer in = {s->input + s->begin, s->end - s->begin, 0};
    ZSTD_outBuffer out = {data, size, 0};
    size_t status = ZSTD_decompressStream(s->zstd, &out, &in);
    s->begin += in.pos;
    *got = out.pos;
    if (ZSTD_isError(status))
        return broken(s, "zstd", ZSTD_getErrorName(status));
    s->between = status == 0;
    return OK;
}

int byte_source_read(struct byte_source *s, void *data, size_t size, size_t *got) {
    static int (*const readers[])(struct byte_source *, uint8_t *, size_t, size_t *) = {read_plain, read_gzip,
                                                                                        read_zstd};
    int code = OK;
    *got = 0;
    while (*got < size && code == OK) {
        size_t n = 0;
        code = refill(s);
        bool dry = s->begin == s->end; // what the decompressor still holds may come out nevertheless
        if (code == OK && !(dry && s->between))
            code = readers[s->format](s, (uint8_t *)data + *got, size - *got, &n);
        *got += n;
        if (code == OK && dry && n == 0) {
            if (!s->between)
                code = broken(s, s->format == GZIP ? "gzip" : "zstd", "truncated");
            break;
        }
    }
    return code == OK ? OK : error_prefix(code, "%s", byte_source_name(s));
}
