// Reading in order, to the verified end.
#include "stream/reader.h"
#include "base/error.h"
#include "base/json.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const struct stream_header *stream_header(const struct stream *s) {
    return &s->header;
}

const char *stream_name(const struct stream *s) {
    return s->name;
}

uint64_t stream_serial(const struct stream *s) {
    return s->serial;
}

bool stream_seekable(const struct stream *s) {
    return s->seekable;
}

uint64_t stream_count(const struct stream *s) {
    return s->has_end ? s->end.totals.sequences : s->totals.sequences;
}

int stream_domains(const struct stream *s) {
    return (int)(s->has_end ? s->end.domains.count : s->domains.count);
}

const char *stream_domain(const struct stream *s, int domain) {
    const struct domains *d = s->has_end ? &s->end.domains : &s->domains;
    return domain >= 0 && (uint32_t)domain < d->count ? d->names[domain] : NULL;
}

struct digest stream_content(const struct stream *s) {
    return s->end.content;
}

struct digest stream_corpus(const struct stream *s) {
    return s->end.corpus;
}

// ---- frames ----

static int failed_before(const struct stream *s) {
    return error_set(s->failure, "%s: reading it failed before", s->name);
}

static int check_entry(const struct stream *s, uint64_t n, const struct frame_bytes *b) {
    struct index_entry e;
    end_entry(&s->end, n, &e);
    if (b->header.end || b->header.number != n)
        return error_set(ERROR_INPUT, "frame %" PRIu64 " stands where %" PRIu64 " was expected", b->header.number,
                         n);
    if (e.length != frame_length(&b->header) || e.records != b->header.records || e.hash != b->hash)
        return error_set(ERROR_INPUT, "the frame is not the one of the index");
    return OK;
}

int stream_decode_frame(const struct stream *s, uint64_t n, struct frame *f, ZSTD_DCtx *zstd) {
    struct frame_bytes b;
    struct index_entry e;
    struct source source = s->source; // a view of the mapped file
    source.position = s->end.offsets[n];
    int code = source_frame(&source, &b);
    if (code == OK)
        code = check_entry(s, n, &b);
    if (code == OK)
        code = frame_decode(f, &s->header, &b, s->end.domains_before[n], zstd);
    end_entry(&s->end, n, &e);
    if (code == OK && f->domains != e.domains)
        code = error_set(ERROR_INPUT, "%u new domains, %u in the index", f->domains, e.domains);
    return code == OK ? domains_compare(&s->end.domains, s->end.domains_before[n], f->names) : code;
}

static void count_records(struct stream *s) {
    const struct frame *f = &s->frame;
    struct content content = {.state = s->content};
    struct record r;
    for (uint32_t i = 0; i < f->records; i++) {
        frame_record(f, &s->header, i, &r);
        content_record(&content, &r, r.domain, frame_payload_size(f, i));
        s->totals.predicted += r.predicted;
        s->totals.bytes += r.bytes;
    }
    content_flush(&content);
    s->totals.sequences += f->records;
}

void stream_count_frame(struct stream *s) {
    pthread_mutex_lock(&s->counting);
    if (s->uncounted)
        count_records(s);
    s->uncounted = false;
    pthread_mutex_unlock(&s->counting);
}

// What was read in order agrees with what the end frame says.
static int check_content(struct stream *s) {
    uint64_t offset = s->end.offsets[s->end.frames];
    const struct totals *a = &s->totals, *b = &s->end.totals;
    struct digest content = content_end(s->content, &s->end.domains, a);
    int code = OK;
    if (a->sequences != b->sequences || a->predicted != b->predicted || a->bytes != b->bytes)
        code = error_set(ERROR_INPUT, "the counts differ from what was read");
    else if (!digest_equal(&content, &s->end.content))
        code = error_set(ERROR_INPUT, "content digest mismatch");
    s->ended = code == OK;
    return code == OK ? OK : stream_failed(s, code, s->end.frames, offset);
}

static int end_pipe(struct stream *s, const struct frame_bytes *b) {
    uint64_t offset = s->source.position;
    int code = stream_read_end(s, b);
    if (code != OK)
        return code;
    if (s->end.domains.count != s->domains.count)
        code = error_set(ERROR_INPUT, "the domain table differs from the frames' names");
    for (uint32_t i = 0; code == OK && i < s->domains.count; i++)
        if (strcmp(s->domains.names[i], s->end.domains.names[i]) != 0)
            code = error_set(ERROR_INPUT, "the domain table differs from the frames' names");
    if (code == OK && XXH3_64bits(s->end.index, s->end.frames * INDEX_ENTRY_SIZE) != XXH3_64bits_digest(s->index))
        code = error_set(ERROR_INPUT, "the frame index differs from the frames");
    return code == OK ? check_content(s) : stream_failed(s, code, b->header.number, offset);
}

static int next_pipe_frame(struct stream *s) {
    const struct frame_bytes *b = &s->ahead.bytes;
    int code = ahead_take(s);
    if (code == OK && b->header.end)
        return end_pipe(s, b);
    if (code == OK)
        code = domains_decode(&s->domains, s->frame.names);
    if (code != OK)
        return stream_failed(s, code, s->next_frame, s->ahead.offset);
    uint8_t entry[INDEX_ENTRY_SIZE];
    index_entry_encode(entry, &(struct index_entry){.length = (uint32_t)frame_length(&b->header),
                                                    .records = b->header.records,
                                                    .domains = s->frame.domains,
                                                    .hash = b->hash});
    XXH3_64bits_update(s->index, entry, sizeof entry);
    return OK;
}

static int next_file_frame(struct stream *s) {
    uint64_t n = s->next_frame;
    if (n == s->end.frames) {
        if (s->complete)
            return check_content(s);
        s->ended = true;
        return OK;
    }
    int code = ahead_take(s);
    return code == OK ? OK : stream_failed(s, code, n, s->ahead.offset);
}

// Load the next frame; ended where there is none.
static int next_frame(struct stream *s) {
    stream_count_frame(s);
    s->at = 0;
    int code = s->seekable ? next_file_frame(s) : next_pipe_frame(s);
    if (code != OK || s->ended) {
        s->frame.records = 0; // the frame in hand is used up
        return code;
    }
    s->next_frame++;
    pthread_mutex_lock(&s->counting);
    s->uncounted = s->complete;
    pthread_mutex_unlock(&s->counting);
    ahead_start(s);
    return OK;
}

// ---- records ----

int stream_select(struct stream *s, uint64_t begin, uint64_t end) {
    s->begin = begin;
    s->stop = end < begin ? begin : end;
    if (!s->seekable || begin == 0)
        return OK;
    // The last frame that starts at or before `begin`.
    uint64_t low = 0, high = s->end.frames;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (s->end.firsts[middle + 1] <= begin)
            low = middle + 1;
        else
            high = middle;
    }
    s->next_frame = low;
    s->ordinal = s->end.firsts[low];
    s->complete = low == 0;
    return OK;
}

int stream_check_selection(const struct stream *s) {
    uint64_t count = stream_count(s);
    if (s->begin <= count && (s->stop <= count || s->stop == UINT64_MAX))
        return OK;
    if (s->stop == UINT64_MAX)
        return error_set(ERROR_INPUT, "%s: sequences %" PRIu64 "..: there are only %" PRIu64, s->name, s->begin,
                         count);
    return error_set(ERROR_INPUT, "%s: sequences %" PRIu64 "..%" PRIu64 ": there are only %" PRIu64, s->name,
                     s->begin, s->stop, count);
}

int stream_next(struct stream *s, struct record *r, bool *got) {
    *got = false;
    if (s->failure != OK)
        return failed_before(s);
    while (!s->ended && s->ordinal < s->stop) {
        uint32_t left = s->frame.records - s->at;
        if (left == 0) {
            int code = next_frame(s);
            if (code != OK)
                return code;
        } else if (s->ordinal < s->begin) {
            uint32_t skip = s->begin - s->ordinal < left ? (uint32_t)(s->begin - s->ordinal) : left;
            s->at += skip;
            s->ordinal += skip;
        } else {
            frame_record(&s->frame, &s->header, s->at++, r);
            s->ordinal++;
            *got = true;
            return OK;
        }
    }
    return OK;
}

// All of a pipe is verified, though only a slice of it was used.
static int read_again(struct stream *s) {
    uint64_t begin = s->begin, stop = s->stop;
    ahead_forget(s);
    s->begin = s->next_frame = 0;
    s->stop = UINT64_MAX;
    s->complete = true;
    s->ended = false;
    s->uncounted = false;
    s->totals = (struct totals){0};
    int code = content_begin(s->content, &s->header);
    while (code == OK && !s->ended)
        code = next_frame(s);
    s->begin = begin;
    s->stop = stop;
    return code;
}

int stream_finish(struct stream *s) {
    if (s->failure != OK)
        return failed_before(s);
    if (s->spooled && !(s->ended && s->complete))
        return read_again(s);
    int code = OK;
    while (code == OK && !s->seekable && !s->ended)
        code = next_frame(s);
    return code;
}

int stream_check(const char *path, void (*tell)(void *context, uint64_t sequences, uint64_t all), void *context,
                 uint64_t *sequences, uint64_t *frames) {
    struct stream *s;
    int code = stream_open(&s, path, STREAM_ANY);
    if (code != OK)
        return code;
    for (uint64_t verified = 0; code == OK && !s->ended; verified += s->frame.records) {
        tell(context, verified, s->end.totals.sequences);
        code = next_frame(s);
    }
    *sequences = s->end.totals.sequences;
    *frames = s->end.frames;
    stream_close(s);
    return code;
}

// ---- description ----

static json_t *digest_json(const struct digest *d) {
    char text[33];
    digest_format(d, text);
    return json_string(text);
}

static json_t *describe_end(const struct end *e) {
    json_t *parents = json_array(), *domains = json_array();
    for (uint32_t i = 0; i < e->parent_count; i++)
        json_array_append_new(parents, digest_json(&e->parents[i]));
    for (uint32_t i = 0; i < e->domains.count; i++)
        json_array_append_new(domains, json_string(e->domains.names[i]));
    return json_pack("{s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o}", "sequences", (json_int_t)e->totals.sequences,
                     "predicted", (json_int_t)e->totals.predicted, "bytes", (json_int_t)e->totals.bytes, "frames",
                     (json_int_t)e->frames, "content", digest_json(&e->content), "corpus", digest_json(&e->corpus),
                     "parents", parents, "domains", domains);
}

char *stream_describe(struct stream *s) {
    json_t *object = header_to_json(&s->header, true);
    if (!object)
        return NULL;
    char *text = NULL;
    if (json_object_set_new(object, "format", json_integer(STREAM_FORMAT_VERSION)) == 0 &&
        (!s->has_end || json_object_set_new(object, "end", describe_end(&s->end)) == 0))
        text = json_canonical(object);
    else
        error_set(ERROR_SYSTEM, "out of memory: describing %s", s->name);
    json_decref(object);
    return text;
}
