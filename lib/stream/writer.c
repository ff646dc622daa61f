// Writing: records gather in a frame, frames go out with their hashes, the end frame closes the stream.
#include "stream/writer.h"
#include "base/error.h"
#include "base/file.h"
#include "stream/leaving.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { LEVEL_MOST = 19, COLUMNS_SIZE = 33, UNUSED = UINT32_MAX };

// Indices of a source's domains in the writer's table, so that a name is looked up once per source.
struct domain_map {
    uint64_t source; // stream.serial
    uint32_t count;
    uint32_t *indices;
};

struct stream_writer {
    struct stream_header header;
    uint32_t target;
    bool trusted, sealed;
    uint64_t header_hash;
    struct totals totals;

    struct domains domains; // in the order of stream_add_domain
    uint32_t *numbers;      // of a domain in the file, by first use; UNUSED before
    uint32_t number_capacity;
    struct domains used;   // in the file's order
    uint32_t used_written; // those that earlier frames named
    struct domain_map *maps;
    int map_count;

    struct gathered frame; // under construction
    struct leaving leaving;

    struct digest *parents;
    uint32_t parent_count;
    struct digest corpus, digest;
};

// ---- opening ----

static int begin(struct stream_writer *w, const struct stream_header *h) {
    struct buffer block = {0};
    int code = header_check(h);
    if (code == OK)
        code = header_copy(&w->header, h);
    if (code == OK)
        code = header_block_encode(&block, h);
    if (code == OK)
        code = content_begin(w->leaving.content, h);
    if (code == OK) {
        w->header_hash = load_le(block.data + block.size - HASH_SIZE, HASH_SIZE);
        code = leaving_write(&w->leaving, block.data, block.size);
    }
    buffer_release(&block);
    return code == OK ? gathered_clear(&w->frame) : code;
}

int stream_create(struct stream_writer **result, const char *path, const struct stream_header *h, int level) {
    *result = NULL;
    if (level < 0 || level > LEVEL_MOST)
        return error_set(ERROR_USAGE, "compression level %d is not 0 to %d", level, LEVEL_MOST);
    struct stream_writer *w = memory_new(1, sizeof *w);
    if (!w)
        return ERROR_SYSTEM;
    w->target = FRAME_TARGET;
    int code = leaving_init(&w->leaving, &w->header, level);
    if (code == OK)
        code = output_open(&w->leaving.out, path, true);
    if (code == OK && (code = begin(w, h)) != OK && code != ERROR_SYSTEM)
        error_prefix(code, "%s", output_name(w->leaving.out));
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

static int end_frame(struct stream_writer *w) {
    if (w->frame.count == 0)
        return OK;
    int code = leaving_frame(&w->leaving, &w->frame, &w->used, w->used_written);
    w->used_written = w->used.count;
    return code;
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
            return error_prefix(code, "%s", output_name(w->leaving.out));
        found = w->domains.count - 1;
        w->numbers[found] = UNUSED;
    }
    *domain = (uint16_t)found;
    return OK;
}

// The file numbers domains by first use, whatever the order in which the writer learned of them.
static int number_domain(struct stream_writer *w, uint16_t domain, uint16_t *number) {
    if (domain >= w->domains.count)
        return error_set(ERROR_INPUT, "%s: domain %u is not one of %u", output_name(w->leaving.out), domain,
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
    else if (size + 2 * COLUMNS_SIZE > FRAME_LIMIT - STREAM_DOMAIN_LIMIT)
        code = error_set(ERROR_INPUT, "%zu bytes exceed a frame", size);
    else if (!w->trusted)
        code = payload_check(h, r->payload, size);
    if (code != OK)
        error_prefix(code, "%s: sequence %" PRIu64, output_name(w->leaving.out), w->totals.sequences);
    return code;
}

static int make_room(struct stream_writer *w, size_t size) {
    size_t filled = w->frame.raw.size - FRAME_HEADER_SIZE + (size_t)w->frame.count * COLUMNS_SIZE;
    if (w->frame.count > 0 &&
        (w->frame.count == FRAME_RECORDS_LIMIT || filled + size + COLUMNS_SIZE > w->target)) {
        int code = end_frame(w);
        if (code != OK)
            return code;
    }
    if (w->frame.count < w->frame.capacity)
        return OK;
    uint32_t capacity = w->frame.capacity ? 2 * w->frame.capacity : 256;
    int code = memory_resize(&w->frame.records, capacity, sizeof *w->frame.records);
    if (code == OK)
        w->frame.capacity = capacity;
    return code;
}

// A record whose domain is this one of the writer's.
static int write_record(struct stream_writer *w, const struct record *r, uint16_t domain) {
    uint64_t bytes = payload_size(&w->header, payload_count(&w->header, r->first, r->predicted));
    size_t size = bytes < FRAME_LIMIT ? (size_t)bytes : FRAME_LIMIT;
    int code = w->sealed ? error_set(ERROR_SYSTEM, "%s: is sealed", output_name(w->leaving.out))
                         : check_record(w, r, size);
    if (code == OK)
        code = make_room(w, size);
    if (code != OK)
        return code;
    struct record *kept = &w->frame.records[w->frame.count];
    *kept = *r;
    code = number_domain(w, domain, &kept->domain);
    if (code == OK && size > 0)
        code = buffer_append(&w->frame.raw, r->payload, size);
    if (code != OK)
        return code;
    w->frame.count++;
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
    struct leaving *l = &w->leaving;
    struct end end = {.header_hash = w->header_hash,
                      .totals = w->totals,
                      .parent_count = w->parent_count,
                      .parents = w->parents,
                      .domains = w->used,
                      .frames = l->frames,
                      .index = l->index.data};
    uint64_t offset = l->position;
    end.content = w->digest = content_end(l->content, &w->used, &w->totals);
    end.corpus = digest_known(&w->corpus) ? w->corpus : w->digest;
    int code = end_encode(&w->frame.raw, &end); // behind the room for the header that the last frame left
    if (code == OK && w->frame.raw.size - FRAME_HEADER_SIZE > END_LIMIT)
        code = error_set(ERROR_INPUT, "%s: an index of %" PRIu64 " frames exceeds %d bytes", output_name(l->out),
                         l->frames, END_LIMIT);
    if (code == OK)
        code = leaving_end(l, &w->frame.raw);
    uint8_t trailer[TRAILER_SIZE];
    trailer_encode(trailer, offset, l->position + TRAILER_SIZE);
    return code == OK ? leaving_write(l, trailer, sizeof trailer) : code;
}

int stream_seal(struct stream_writer *w) {
    int code = w->sealed ? OK : end_frame(w);
    if (code == OK)
        code = leaving_finish(&w->leaving);
    if (code == OK && !w->sealed)
        code = write_end(w);
    if (code == OK && !w->sealed)
        code = output_sync(w->leaving.out);
    w->sealed = true;
    return code;
}

static void release(struct stream_writer *w) {
    leaving_release(&w->leaving);
    gathered_release(&w->frame);
    header_release(&w->header);
    domains_release(&w->domains);
    domains_release(&w->used);
    for (int i = 0; i < w->map_count; i++)
        free(w->maps[i].indices);
    free(w->maps);
    free(w->numbers);
    free(w->parents);
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
    code = output_commit(w->leaving.out);
    release(w);
    return code;
}

int stream_commit_all(struct stream_writer **writers, uint32_t count) {
    struct output **outs = memory_new(count, sizeof *outs);
    int code = outs ? OK : ERROR_SYSTEM;
    for (uint32_t i = 0; i < count && code == OK; i++) {
        code = stream_seal(writers[i]);
        outs[i] = writers[i]->leaving.out;
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
    leaving_stop(&w->leaving); // before what it writes to
    output_abort(w->leaving.out);
    release(w);
}
