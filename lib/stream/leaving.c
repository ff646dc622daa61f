#include "stream/leaving.h"
#include "base/background.h"
#include "base/error.h"
#include "base/file.h"

#include <stdlib.h>

int leaving_init(struct leaving *l, const struct stream_header *header, int level) {
    l->header = header;
    l->level = level;
    l->zstd = ZSTD_createCCtx();
    l->content = XXH3_createState();
    return l->zstd && l->content ? OK : error_set(ERROR_SYSTEM, "out of memory: creating a stream");
}

int leaving_write(struct leaving *l, const void *data, size_t size) {
    int code = output_write(l->out, data, size);
    if (code == OK)
        l->position += size;
    return code;
}

int gathered_clear(struct gathered *g) {
    static const uint8_t room[FRAME_HEADER_SIZE];
    buffer_clear(&g->raw);
    g->count = 0;
    return buffer_append(&g->raw, room, sizeof room);
}

void gathered_release(struct gathered *g) {
    buffer_release(&g->raw);
    free(g->records);
}

// ---- packing ----

// Compress the content behind the room for the header, where that makes it smaller.
static int compress(struct leaving *l, const struct buffer *raw, struct frame_header *header) {
    size_t size = raw->size - FRAME_HEADER_SIZE, bound = ZSTD_compressBound(size);
    buffer_clear(&l->stored);
    int code = buffer_reserve(&l->stored, FRAME_HEADER_SIZE + bound);
    if (code != OK)
        return code;
    size_t got = ZSTD_compressCCtx(l->zstd, l->stored.data + FRAME_HEADER_SIZE, bound,
                                   raw->data + FRAME_HEADER_SIZE, size, l->level);
    if (ZSTD_isError(got))
        return error_set(ERROR_SYSTEM, "%s: compressing failed: %s", output_name(l->out), ZSTD_getErrorName(got));
    header->compressed = got < size;
    header->stored = (uint32_t)(got < size ? got : size);
    l->stored.size = FRAME_HEADER_SIZE + header->stored;
    return OK;
}

// Make a frame of `raw`, which holds room for the header and the content: there, or compressed in l->stored.
static int pack(struct leaving *l, struct buffer *raw, struct frame_header *header, struct buffer **packed,
                uint64_t *hash) {
    static const uint8_t zeros[8];
    size_t size = raw->size - FRAME_HEADER_SIZE;
    header->raw = header->stored = (uint32_t)size;
    int code = l->level > 0 && size > 0 ? compress(l, raw, header) : OK;
    if (code != OK)
        return code;
    struct buffer *out = *packed = header->compressed ? &l->stored : raw;
    frame_header_encode(out->data, header);
    code = buffer_append(out, zeros, round_up_8(header->stored) - header->stored);
    if (code != OK)
        return code;
    *hash = XXH3_64bits(out->data, out->size);
    uint8_t encoded[HASH_SIZE];
    store_le(encoded, *hash, HASH_SIZE);
    return buffer_append(out, encoded, HASH_SIZE);
}

// ---- one frame ----

// Add the frame's records to the content digest: the thread does it when the frame is written, or the caller when
// the next one is full, whichever comes first.
static void count_records(struct leaving *l) {
    struct content content = {.state = l->content};
    if (!atomic_exchange(&l->uncounted, false))
        return;
    const uint8_t *payload = l->frame.raw.data + FRAME_HEADER_SIZE;
    for (uint32_t i = 0; i < l->frame.count; i++) {
        struct record *r = &l->frame.records[i];
        size_t size = (size_t)payload_size(l->header, payload_count(l->header, r->first, r->predicted));
        r->payload = payload;
        content_record(&content, r, r->domain, size);
        payload += size;
    }
    content_flush(&content);
}

static int write_frame(void *context) {
    struct leaving *l = context;
    struct buffer *raw = &l->frame.raw, *packed = NULL;
    int code = frame_encode_columns(raw, l->frame.records, l->frame.count);
    if (code == OK)
        code = buffer_append(raw, l->names.data, l->names.size);
    if (code == OK && raw->size - FRAME_HEADER_SIZE > FRAME_LIMIT)
        code = error_set(ERROR_INPUT, "%s: a frame of %zu bytes exceeds %d", output_name(l->out), raw->size,
                         FRAME_LIMIT);
    if (code == OK)
        code = pack(l, raw, &l->frame_header, &packed, &l->entry.hash);
    if (code == OK) {
        l->entry.length = (uint32_t)packed->size;
        l->written = !l->frame_header.compressed || !atomic_load(&l->awaited);
        if (l->written)
            code = leaving_write(l, packed->data, packed->size);
    }
    count_records(l);
    return code;
}

static int append_entry(struct leaving *l) {
    uint8_t encoded[INDEX_ENTRY_SIZE];
    index_entry_encode(encoded, &l->entry);
    return buffer_append(&l->index, encoded, sizeof encoded);
}

// ---- one behind the other ----

// Take over the caller's records, who gets the memory of those before. All that the encoding appends has room, so
// that the payloads stay where they are.
static int take_over(struct leaving *l, struct gathered *g, const struct domains *names, uint32_t first) {
    struct gathered spare = l->frame;
    l->frame = *g;
    *g = spare;
    l->frame_header = (struct frame_header){.number = l->frames,
                                            .records = l->frame.count,
                                            .payload = (uint32_t)(l->frame.raw.size - FRAME_HEADER_SIZE)};
    l->entry = (struct index_entry){.records = l->frame.count, .domains = names->count - first};
    atomic_store(&l->uncounted, true);
    buffer_clear(&l->names);
    int code = domains_encode(&l->names, names, first, names->count);
    return code == OK
               ? buffer_reserve(&l->frame.raw, frame_columns_most(l->frame.count) + l->names.size + 8 + HASH_SIZE)
               : code;
}

// Wait until the frame on its way out is written, or late.
static int await(struct leaving *l) {
    if (!l->pending)
        return OK;
    count_records(l);
    l->pending = false;
    atomic_store(&l->awaited, true);
    int code = background_wait(l->thread);
    if (code == OK && !l->written) {
        struct buffer spare = l->late;
        l->late = l->stored;
        l->stored = spare;
    }
    return code == OK ? append_entry(l) : code;
}

static int write_late(struct leaving *l) {
    int code = l->late.size > 0 ? leaving_write(l, l->late.data, l->late.size) : OK;
    buffer_clear(&l->late);
    atomic_store(&l->awaited, false);
    return code;
}

int leaving_frame(struct leaving *l, struct gathered *g, const struct domains *names, uint32_t first) {
    int code = await(l);
    if (code == OK)
        code = take_over(l, g, names, first);
    if (code != OK)
        return code;
    if (l->frames++ == FRAMES_ALONE)
        l->thread = background_new();
    if (l->thread) {
        l->pending = true;
        background_start(l->thread, write_frame, l);
        code = write_late(l);
    } else {
        code = write_frame(l);
        if (code == OK)
            code = append_entry(l);
    }
    return code == OK ? gathered_clear(g) : code;
}

int leaving_finish(struct leaving *l) {
    int code = await(l);
    return code == OK ? write_late(l) : code;
}

int leaving_end(struct leaving *l, struct buffer *raw) {
    struct frame_header header = {.end = true, .number = l->frames};
    struct buffer *packed;
    uint64_t hash;
    int code = pack(l, raw, &header, &packed, &hash);
    return code == OK ? leaving_write(l, packed->data, packed->size) : code;
}

void leaving_stop(struct leaving *l) {
    background_free(l->thread);
    l->thread = NULL;
}

void leaving_release(struct leaving *l) {
    leaving_stop(l);
    gathered_release(&l->frame);
    buffer_release(&l->names);
    buffer_release(&l->stored);
    buffer_release(&l->late);
    buffer_release(&l->index);
    ZSTD_freeCCtx(l->zstd);
    XXH3_freeState(l->content);
}
