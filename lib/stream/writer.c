// Writing: records gather in a frame, frames go out with their hashes, the end frame closes the stream.
#include "stream/writer.h"
#include "base/background.h"
#include "base/error.h"
#include "base/file.h"
#include "stream/frame.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { LEVEL_MOST = 19, COLUMNS_SIZE = 33, UNUSED = UINT32_MAX, FRAMES_BEFORE = 2 };

// Indices of a source's domains in the writer's table, so that a name is looked up once per source.
struct domain_map {
    uint64_t source; // stream.serial
    uint32_t count;
    uint32_t *indices;
};

// A frame on its way out: room for its header and the payloads, to be followed by its columns and names; and what
// the index will say of it.
struct leaving {
    struct buffer raw, names;
    struct record *records;
    uint32_t record_capacity;
    struct frame_header header;
    struct index_entry entry;
    bool pending;
    atomic_bool uncounted; // its records are still to be added to the content digest
};

struct stream_writer {
    struct output *out;
    struct stream_header header;
    int level;
    uint32_t target;
    bool trusted, sealed;
    ZSTD_CCtx *zstd;
    XXH3_state_t *content;
    uint64_t header_hash, position; // bytes written
    struct totals totals;

    struct domains domains; // in the order of stream_add_domain
    uint32_t *numbers;      // of a domain in the file, by first use; UNUSED before
    uint32_t number_capacity;
    struct domains used;   // in the file's order
    uint32_t used_written; // those that earlier frames named
    struct domain_map *maps;
    int map_count;

    struct record *records; // of the frame under construction; domain is the file's number
    uint32_t record_count, record_capacity;
    struct buffer frame; // room for its header, and the payloads
    struct buffer index;
    uint64_t frames;

    // While records gather in one frame, a thread encodes, compresses, hashes and writes the one before (where
    // there are enough of them). Until end_leaving() it has these, and zstd, out and position.
    struct background *thread;
    struct leaving leaving;
    struct buffer stored; // header and compressed content

    struct digest *parents;
    uint32_t parent_count;
    struct digest corpus, digest;
};

// ---- opening ----

static int write_bytes(struct stream_writer *w, const void *data, size_t size) {
    int code = output_write(w->out, data, size);
    if (code == OK)
        w->position += size;
    return code;
}

static int begin_frame(struct stream_writer *w) {
    static const uint8_t room[FRAME_HEADER_SIZE];
    buffer_clear(&w->frame);
    w->record_count = 0;
    return buffer_append(&w->frame, room, sizeof room);
}

static int begin(struct stream_writer *w, const struct stream_header *h) {
    struct buffer block = {0};
    int code = header_check(h);
    if (code == OK)
        code = header_copy(&w->header, h);
    if (code == OK)
        code = header_block_encode(&block, h);
    if (code == OK)
        code = content_begin(w->content, h);
    if (code == OK) {
        w->header_hash = load_le(block.data + block.size - HASH_SIZE, HASH_SIZE);
        code = write_bytes(w, block.data, block.size);
    }
    buffer_release(&block);
    return code == OK ? begin_frame(w) : code;
}

int stream_create(struct stream_writer **result, const char *path, const struct stream_header *h, int level) {
    *result = NULL;
    if (level < 0 || level > LEVEL_MOST)
        return error_set(ERROR_USAGE, "compression level %d is not 0 to %d", level, LEVEL_MOST);
    struct stream_writer *w = memory_new(1, sizeof *w);
    if (!w)
        return ERROR_SYSTEM;
    w->level = level;
    w->target = FRAME_TARGET;
    w->zstd = ZSTD_createCCtx();
    w->content = XXH3_createState();
    int code = w->zstd && w->content ? OK : error_set(ERROR_SYSTEM, "out of memory: creating a stream");
    if (code == OK)
        code = output_open(&w->out, path, true);
    if (code == OK && (code = begin(w, h)) != OK && code != ERROR_SYSTEM)
        error_prefix(code, "%s", output_name(w->out));
    if (code != OK) {
        stream_abort(w);
        return code;
    }
    *result = w;
    return OK;
}

void stream_writer_target(struct stream_writer *w, uint32_t bytes) {
    w->target = bytes;
}

void stream_writer_trust(struct stream_writer *w) {
    w->trusted = true;
}

// ---- frames ----

// Compress the content behind the room for the header, where that makes it smaller.
static int compress_frame(struct stream_writer *w, const struct buffer *raw, struct frame_header *header) {
    size_t size = raw->size - FRAME_HEADER_SIZE, bound = ZSTD_compressBound(size);
    buffer_clear(&w->stored);
    int code = buffer_reserve(&w->stored, FRAME_HEADER_SIZE + bound);
    if (code != OK)
        return code;
    size_t got = ZSTD_compressCCtx(w->zstd, w->stored.data + FRAME_HEADER_SIZE, bound,
                                   raw->data + FRAME_HEADER_SIZE, size, w->level);
    if (ZSTD_isError(got))
        return error_set(ERROR_SYSTEM, "%s: compressing failed: %s", output_name(w->out), ZSTD_getErrorName(got));
    header->compressed = got < size;
    header->stored = (uint32_t)(got < size ? got : size);
    w->stored.size = FRAME_HEADER_SIZE + header->stored;
    return OK;
}

// Write header and content as a frame; `raw` holds room for the header, then the content.
static int write_frame(struct stream_writer *w, struct buffer *raw, struct frame_header *header, uint64_t *hash,
                       uint64_t *length) {
    static const uint8_t zeros[8];
    size_t size = raw->size - FRAME_HEADER_SIZE;
    header->raw = header->stored = (uint32_t)size;
    int code = w->level > 0 && size > 0 ? compress_frame(w, raw, header) : OK;
    if (code != OK)
        return code;
    struct buffer *out = header->compressed ? &w->stored : raw;
    frame_header_encode(out->data, header);
    code = buffer_append(out, zeros, round_up_8(header->stored) - header->stored);
    if (code != OK)
        return code;
    *hash = XXH3_64bits(out->data, out->size);
    uint8_t encoded[HASH_SIZE];
    store_le(encoded, *hash, HASH_SIZE);
    code = buffer_append(out, encoded, HASH_SIZE);
    *length = out->size;
    return code == OK ? write_bytes(w, out->data, out->size) : code;
}

// Add the records of the frame on its way out to the content digest: the thread does it when the frame is written,
// or the caller when the next one is full, whichever comes first.
static void count_leaving(struct stream_writer *w) {
    struct leaving *l = &w->leaving;
    struct content content = {.state = w->content};
    if (!atomic_exchange(&l->uncounted, false))
        return;
    const uint8_t *payload = l->raw.data + FRAME_HEADER_SIZE;
    for (uint32_t i = 0; i < l->header.records; i++) {
        struct record *r = &l->records[i];
        size_t size = (size_t)payload_size(&w->header, payload_count(&w->header, r->first, r->predicted));
        r->payload = payload;
        content_record(&content, r, r->domain, size);
        payload += size;
    }
    content_flush(&content);
}

static int write_leaving(void *context) {
    struct stream_writer *w = context;
    struct leaving *l = &w->leaving;
    uint64_t length = 0;
    int code = frame_encode_columns(&l->raw, l->records, l->header.records);
    if (code == OK)
        code = buffer_append(&l->raw, l->names.data, l->names.size);
    if (code == OK && l->raw.size - FRAME_HEADER_SIZE > FRAME_LIMIT)
        code = error_set(ERROR_INPUT, "%s: a frame of %zu bytes exceeds %d", output_name(w->out), l->raw.size,
                         FRAME_LIMIT);
    if (code == OK)
        code = write_frame(w, &l->raw, &l->header, &l->entry.hash, &length);
    l->entry.length = (uint32_t)length;
    count_leaving(w);
    return code;
}

static int append_entry(struct stream_writer *w) {
    uint8_t encoded[INDEX_ENTRY_SIZE];
    index_entry_encode(encoded, &w->leaving.entry);
    return buffer_append(&w->index, encoded, sizeof encoded);
}

// Wait until the frame on its way out is written.
static int end_leaving(struct stream_writer *w) {
    if (!w->leaving.pending)
        return OK;
    count_leaving(w);
    w->leaving.pending = false;
    int code = background_wait(w->thread);
    return code == OK ? append_entry(w) : code;
}

// Hand the frame under construction over to those that leave; the memory of the one before is used again. All that
// its encoding appends has room, so that its payloads stay where they are.
static int begin_leaving(struct stream_writer *w) {
    struct leaving *l = &w->leaving;
    struct buffer raw = l->raw;
    struct record *records = l->records;
    uint32_t capacity = l->record_capacity;
    l->raw = w->frame;
    l->records = w->records;
    l->record_capacity = w->record_capacity;
    w->frame = raw;
    w->records = records;
    w->record_capacity = capacity;
    l->header = (struct frame_header){.number = w->frames, .records = w->record_count};
    l->header.payload = (uint32_t)(l->raw.size - FRAME_HEADER_SIZE);
    l->entry = (struct index_entry){.records = w->record_count, .domains = w->used.count - w->used_written};
    atomic_store(&l->uncounted, true);
    buffer_clear(&l->names);
    int code = domains_encode(&l->names, &w->used, w->used_written, w->used.count);
    if (code == OK)
        code = buffer_reserve(&l->raw, frame_columns_most(w->record_count) + l->names.size + 8 + HASH_SIZE);
    return code;
}

static int end_frame(struct stream_writer *w) {
    if (w->record_count == 0)
        return OK;
    int code = end_leaving(w);
    if (code == OK)
        code = begin_leaving(w);
    if (code != OK)
        return code;
    if (w->frames == FRAMES_BEFORE)
        w->thread = background_new();
    if (w->thread) {
        w->leaving.pending = true;
        background_start(w->thread, write_leaving, w);
    } else {
        code = write_leaving(w);
        if (code == OK)
            code = append_entry(w);
    }
    w->used_written = w->used.count;
    w->frames++;
    return code == OK ? begin_frame(w) : code;
}

// ---- domains ----

int stream_add_domain(struct stream_writer *w, const char *name, uint16_t *domain) {
    size_t size = strlen(name);
    int64_t found = domains_find(&w->domains, name, size);
    if (found < 0) {
        int code = domains_add(&w->domains, name, size, ERROR_INPUT);
        if (code == OK && w->number_capacity < w->domains.count) {
            code = memory_resize(&w->numbers, w->domains.capacity, sizeof *w->numbers);
            if (code == OK)
                w->number_capacity = w->domains.capacity;
        }
        if (code != OK)
            return error_prefix(code, "%s", output_name(w->out));
        found = w->domains.count - 1;
        w->numbers[found] = UNUSED;
    }
    *domain = (uint16_t)found;
    return OK;
}

// The file numbers domains by first use, whatever the order in which the writer learned of them.
static int number_domain(struct stream_writer *w, uint16_t domain, uint16_t *number) {
    if (domain >= w->domains.count)
        return error_set(ERROR_INPUT, "%s: domain %u is not one of %u", output_name(w->out), domain,
                         w->domains.count);
    if (w->numbers[domain] == UNUSED) {
        const char *name = w->domains.names[domain];
        int code = domains_add(&w->used, name, strlen(name), ERROR_INPUT);
        if (code != OK)
            return code;
        w->numbers[domain] = w->used.count - 1;
    }
    *number = (uint16_t)w->numbers[domain];
    return OK;
}

static int map_of(struct stream_writer *w, const struct stream *from, struct domain_map **map) {
    uint64_t serial = stream_serial(from);
    for (int i = w->map_count - 1; i >= 0; i--) {
        *map = &w->maps[i];
        if ((*map)->source == serial)
            return OK;
    }
    int code = memory_resize(&w->maps, (size_t)w->map_count + 1, sizeof *w->maps);
    if (code != OK)
        return code;
    *map = &w->maps[w->map_count++];
    **map = (struct domain_map){.source = serial};
    return OK;
}

// ---- records ----

static int check_record(const struct stream_writer *w, const struct record *r, size_t size) {
    const struct stream_header *h = &w->header;
    int code = OK;
    if (r->first == 0)
        code = error_set(ERROR_INPUT, "its first scored position is 0");
    else if (r->count != payload_count(h, r->first, r->predicted))
        code = error_set(ERROR_INPUT, "%u elements, %" PRIu64 " are due", r->count,
                         payload_count(h, r->first, r->predicted));
    else if (h->kind == STREAM_TOKENS && h->length > 0 && r->count > h->length)
        code = error_set(ERROR_INPUT, "%u tokens, at most %u are announced", r->count, h->length);
    else if (size + 2 * COLUMNS_SIZE > FRAME_LIMIT - DOMAIN_NAME_LIMIT)
        code = error_set(ERROR_INPUT, "%zu bytes exceed a frame", size);
    else if (!w->trusted)
        code = payload_check(h, r->payload, size);
    if (code != OK)
        error_prefix(code, "%s: sequence %" PRIu64, output_name(w->out), w->totals.sequences);
    return code;
}

static int make_room(struct stream_writer *w, size_t size) {
    size_t filled = w->frame.size - FRAME_HEADER_SIZE + (size_t)w->record_count * COLUMNS_SIZE;
    if (w->record_count > 0 &&
        (w->record_count == FRAME_RECORDS_LIMIT || filled + size + COLUMNS_SIZE > w->target)) {
        int code = end_frame(w);
        if (code != OK)
            return code;
    }
    if (w->record_count < w->record_capacity)
        return OK;
    uint32_t capacity = w->record_capacity ? 2 * w->record_capacity : 256;
    int code = memory_resize(&w->records, capacity, sizeof *w->records);
    if (code == OK)
        w->record_capacity = capacity;
    return code;
}

// A record whose domain is this one of the writer's.
static int write_record(struct stream_writer *w, const struct record *r, uint16_t domain) {
    uint64_t bytes = payload_size(&w->header, payload_count(&w->header, r->first, r->predicted));
    size_t size = bytes < FRAME_LIMIT ? (size_t)bytes : FRAME_LIMIT;
    int code =
        w->sealed ? error_set(ERROR_SYSTEM, "%s: is sealed", output_name(w->out)) : check_record(w, r, size);
    if (code == OK)
        code = make_room(w, size);
    if (code != OK)
        return code;
    struct record *kept = &w->records[w->record_count];
    *kept = *r;
    code = number_domain(w, domain, &kept->domain);
    if (code == OK && size > 0)
        code = buffer_append(&w->frame, r->payload, size);
    if (code != OK)
        return code;
    w->record_count++;
    w->totals.sequences++;
    w->totals.predicted += r->predicted;
    w->totals.bytes += r->bytes;
    return OK;
}

int stream_write(struct stream_writer *w, const struct record *r) {
    return write_record(w, r, r->domain);
}

int stream_write_from(struct stream_writer *w, const struct stream *from, const struct record *r) {
    struct domain_map *map;
    int code = map_of(w, from, &map);
    if (code == OK && r->domain >= map->count) {
        uint32_t count = (uint32_t)stream_domains(from);
        if (r->domain >= count)
            return error_set(ERROR_INPUT, "%s: domain %u is not one of %u", stream_name(from), r->domain, count);
        code = memory_resize(&map->indices, count, sizeof *map->indices);
        for (; code == OK && map->count < count; map->count++)
            map->indices[map->count] = UNUSED;
    }
    if (code != OK)
        return code;
    uint32_t *index = &map->indices[r->domain];
    if (*index == UNUSED) {
        uint16_t domain;
        code = stream_add_domain(w, stream_domain(from, r->domain), &domain);
        if (code != OK)
            return code;
        *index = domain;
    }
    return write_record(w, r, (uint16_t)*index);
}

// ---- closing ----

int stream_add_parent(struct stream_writer *w, struct stream *from) {
    int code = stream_finish(from);
    if (code == OK)
        code = memory_resize(&w->parents, w->parent_count + (size_t)1, sizeof *w->parents);
    if (code != OK)
        return code;
    struct digest corpus = stream_corpus(from);
    w->parents[w->parent_count++] = stream_content(from);
    if (!digest_known(&w->corpus))
        w->corpus = corpus;
    return OK;
}

void stream_set_corpus(struct stream_writer *w, const struct digest *corpus) {
    w->corpus = *corpus;
}

static int write_end(struct stream_writer *w) {
    struct frame_header header = {.end = true, .number = w->frames};
    struct end end = {.header_hash = w->header_hash,
                      .totals = w->totals,
                      .parent_count = w->parent_count,
                      .parents = w->parents,
                      .domains = w->used,
                      .frames = w->frames,
                      .index = w->index.data};
    uint64_t offset = w->position, hash, length;
    end.content = w->digest = content_end(w->content, &w->used, &w->totals);
    end.corpus = digest_known(&w->corpus) ? w->corpus : w->digest;
    int code = end_encode(&w->frame, &end); // behind the room for the header that end_frame left
    if (code == OK && w->frame.size - FRAME_HEADER_SIZE > END_LIMIT)
        code = error_set(ERROR_INPUT, "%s: an index of %" PRIu64 " frames exceeds %d bytes", output_name(w->out),
                         w->frames, END_LIMIT);
    if (code == OK)
        code = write_frame(w, &w->frame, &header, &hash, &length);
    uint8_t trailer[TRAILER_SIZE];
    trailer_encode(trailer, offset, w->position + TRAILER_SIZE);
    return code == OK ? write_bytes(w, trailer, sizeof trailer) : code;
}

int stream_seal(struct stream_writer *w) {
    int code = w->sealed ? OK : end_frame(w);
    if (code == OK)
        code = end_leaving(w);
    if (code == OK && !w->sealed)
        code = write_end(w);
    if (code == OK && !w->sealed)
        code = output_sync(w->out);
    w->sealed = true;
    return code;
}

static void release(struct stream_writer *w) {
    background_free(w->thread);
    header_release(&w->header);
    domains_release(&w->domains);
    domains_release(&w->used);
    for (int i = 0; i < w->map_count; i++)
        free(w->maps[i].indices);
    free(w->maps);
    free(w->numbers);
    free(w->records);
    free(w->parents);
    buffer_release(&w->frame);
    buffer_release(&w->leaving.raw);
    buffer_release(&w->leaving.names);
    free(w->leaving.records);
    buffer_release(&w->stored);
    buffer_release(&w->index);
    ZSTD_freeCCtx(w->zstd);
    XXH3_freeState(w->content);
    free(w);
}

int stream_commit(struct stream_writer *w, struct digest *content) {
    int code = stream_seal(w);
    if (code != OK) {
        stream_abort(w);
        return code;
    }
    if (content)
        *content = w->digest;
    code = output_commit(w->out);
    release(w);
    return code;
}

int stream_commit_all(struct stream_writer **writers, uint32_t count) {
    struct output **outs = memory_new(count, sizeof *outs);
    int code = outs ? OK : ERROR_SYSTEM;
    for (uint32_t i = 0; i < count && code == OK; i++) {
        code = stream_seal(writers[i]);
        outs[i] = writers[i]->out;
    }
    if (code == OK) {
        code = output_commit_all(outs, (int)count);
        for (uint32_t i = 0; i < count; i++) {
            release(writers[i]);
            writers[i] = NULL;
        }
    }
    free(outs);
    return code;
}

void stream_abort(struct stream_writer *w) {
    if (!w)
        return;
    background_free(w->thread); // before what it writes to
    w->thread = NULL;
    output_abort(w->out);
    release(w);
}
