#include "tokenize/packer.h"
#include "base/error.h"
#include "base/memory.h"
#include "text/vocabulary.h"

#include <stdlib.h>

enum { SEQUENCE_MOST = 1 << 25 }; // tokens: more fit in no frame
enum { SIZE_LONG = 255 };

// The tokens of one (part, domain) that fill no sequence yet: fewer than S.
struct lane {
    struct buffer ids; // uint32_t
};

struct part {
    struct stream_writer *writer; // NULL once committed
    struct lane *lanes;           // by domain
    uint32_t lane_count;
    struct packer_totals totals;
};

struct packer {
    struct packer_options options;
    struct part *parts;
    int part_count;
    uint32_t domains; // so far
    uint64_t next_id;
    enum stream_dtype dtype;
    struct digest digest; // of the vocabulary
    uint8_t *sizes;       // of its tokens, from SIZE_LONG on that; NULL: not known
    struct buffer payload;
    struct buffer ragged; // uint32_t: of the document that is under way
    XXH3_state_t *corpus;
};

static int open_parts(struct packer *p, int parts, char *const *paths) {
    struct stream_header header = {.kind = STREAM_TOKENS,
                                   .dtype = p->dtype,
                                   .length = p->options.length,
                                   .vocab_size = p->options.vocab_size,
                                   .vocab = p->digest};
    p->parts = memory_new((size_t)parts, sizeof *p->parts);
    if (!p->parts)
        return ERROR_SYSTEM;
    p->part_count = parts;
    int code = OK;
    for (int i = 0; i < parts && code == OK; i++)
        code = stream_create(&p->parts[i].writer, paths[i], &header, p->options.level);
    return code;
}

// Bytes by token, in one table that stays in the processor's cache.
static int measure_tokens(struct packer *p) {
    p->digest = vocabulary_digest(p->options.vocabulary);
    p->sizes = memory_new(p->options.vocab_size, 1);
    for (uint32_t id = 0; p->sizes && id < p->options.vocab_size; id++) {
        size_t size;
        vocabulary_bytes(p->options.vocabulary, id, &size);
        p->sizes[id] = (uint8_t)(size < SIZE_LONG ? size : SIZE_LONG);
    }
    return p->sizes ? OK : ERROR_SYSTEM;
}

int packer_open(struct packer **out, const struct packer_options *options, int parts, char *const *paths) {
    *out = NULL;
    struct packer *p = memory_new(1, sizeof *p);
    if (!p)
        return ERROR_SYSTEM;
    p->options = *options;
    p->dtype = options->vocab_size <= 65536 ? STREAM_U16 : STREAM_U32;
    p->corpus = XXH3_createState();
    int code = p->corpus ? OK : error_set(ERROR_SYSTEM, "out of memory: hashing the corpus");
    if (code == OK && options->vocabulary)
        code = measure_tokens(p);
    if (code == OK) {
        XXH3_128bits_reset(p->corpus);
        XXH3_128bits_update(p->corpus, p->digest.bytes, sizeof p->digest.bytes);
        code = open_parts(p, parts, paths);
    }
    if (code != OK) {
        packer_close(p);
        return code;
    }
    *out = p;
    return OK;
}

void packer_close(struct packer *p) {
    if (!p)
        return;
    for (int i = 0; i < p->part_count; i++) {
        stream_abort(p->parts[i].writer);
        for (uint32_t k = 0; k < p->parts[i].lane_count; k++)
            buffer_release(&p->parts[i].lanes[k].ids);
        free(p->parts[i].lanes);
    }
    free(p->parts);
    buffer_release(&p->payload);
    buffer_release(&p->ragged);
    free(p->sizes);
    XXH3_freeState(p->corpus);
    free(p);
}

struct packer_totals packer_totals(const struct packer *p, int part) {
    return p->parts[part].totals;
}

// ---- sequences ----

static int fill_payload(struct packer *p, const uint32_t *ids, uint32_t count) {
    size_t size = (size_t)count * (p->dtype == STREAM_U16 ? 2 : 4);
    buffer_clear(&p->payload);
    int code = buffer_reserve(&p->payload, size);
    if (code != OK)
        return code;
    // Loops of one width each, which the compiler makes fast.
    if (p->dtype == STREAM_U16)
        for (uint32_t i = 0; i < count; i++)
            store_le(p->payload.data + (size_t)i * 2, ids[i], 2);
    else
        for (uint32_t i = 0; i < count; i++)
            store_le(p->payload.data + (size_t)i * 4, ids[i], 4);
    p->payload.size = size;
    return OK;
}

static uint64_t token_bytes(const struct packer *p, uint32_t id) {
    size_t size = p->sizes[id];
    if (size == SIZE_LONG)
        vocabulary_bytes(p->options.vocabulary, id, &size);
    return size;
}

static void hash_sequence(struct packer *p, int part, uint16_t domain, uint32_t count) {
    uint8_t head[8];
    store_le(head, (uint64_t)part, 2);
    store_le(head + 2, domain, 2);
    store_le(head + 4, count, 4);
    XXH3_128bits_update(p->corpus, head, sizeof head);
    XXH3_128bits_update(p->corpus, p->payload.data, p->payload.size);
}

static int write_sequence(struct packer *p, int part, uint16_t domain, const uint32_t *ids, uint32_t count) {
    struct part *to = &p->parts[part];
    uint64_t bytes = 0, first = 0;
    if (p->sizes && count > 0)
        first = token_bytes(p, ids[0]);
    for (uint32_t i = 0; i < count && p->sizes; i++)
        bytes += token_bytes(p, ids[i]);
    if (bytes > UINT32_MAX)
        return error_set(ERROR_INPUT, "a sequence of %llu bytes is too long", (unsigned long long)bytes);
    int code = fill_payload(p, ids, count);
    if (code != OK)
        return code;
    hash_sequence(p, part, domain, count);
    struct record record = {.id = p->next_id++,
                            .domain = domain,
                            .predicted = count - 1,
                            .bytes = (uint32_t)(bytes - first),
                            .first = 1,
                            .count = count,
                            .payload = p->payload.data};
    to->totals.tokens += count;
    to->totals.predicted += count - 1;
    to->totals.bytes += bytes;
    to->totals.sequences++;
    return stream_write(to->writer, &record);
}

// ---- documents ----

static int find_lane(struct packer *p, int part, const char *domain, uint16_t *index) {
    // Every part numbers the domains alike, so that the numbers do not depend on the split.
    int code = stream_add_domain(p->parts[0].writer, domain, index);
    if (code == OK && *index == p->domains) {
        for (int i = 1; i < p->part_count && code == OK; i++)
            code = stream_add_domain(p->parts[i].writer, domain, index);
        p->domains++;
    }
    struct part *to = &p->parts[part];
    if (code != OK || *index < to->lane_count)
        return code;
    uint32_t count = (*index + 1u) * 2;
    code = memory_resize(&to->lanes, count, sizeof *to->lanes);
    for (; code == OK && to->lane_count < count; to->lane_count++)
        to->lanes[to->lane_count] = (struct lane){0};
    return code;
}

// Sequences of a document, `count` tokens of which are left over; the last one may be short where it is the last.
static int write_pieces(struct packer *p, int part, uint16_t domain, const uint32_t *ids, size_t *count,
                        bool last) {
    size_t length = p->options.length ? p->options.length : UINT32_MAX;
    int code = OK;
    while (code == OK && (*count >= length || (last && *count > 0))) {
        size_t take = *count < length ? *count : length;
        code = write_sequence(p, part, domain, ids, (uint32_t)take);
        ids += take;
        *count -= take;
    }
    return code;
}

static int add_ragged(struct packer *p, int part, uint16_t domain, const uint32_t *ids, size_t count, bool last) {
    struct buffer *held = &p->ragged;
    if (held->size == 0 && last) // a whole document needs no gathering
        return write_pieces(p, part, domain, ids, &count, last);
    int code = buffer_append(held, ids, count * sizeof *ids);
    size_t all = held->size / sizeof *ids, left = all;
    if (code == OK && p->options.length == 0 && all > SEQUENCE_MOST)
        return error_set(ERROR_INPUT, "a document of more than %d tokens does not fit a sequence; give --length",
                         SEQUENCE_MOST);
    if (code == OK)
        code = write_pieces(p, part, domain, (const uint32_t *)held->data, &left, last);
    memmove(held->data, held->data + (all - left) * sizeof *ids, left * sizeof *ids);
    held->size = left * sizeof *ids;
    return code;
}

int packer_add(struct packer *p, int part, const char *domain, const uint32_t *ids, size_t count, bool last) {
    uint16_t index;
    int code = find_lane(p, part, domain, &index);
    if (code != OK || p->options.ragged)
        return code == OK ? add_ragged(p, part, index, ids, count, last) : code;
    struct buffer *lane = &p->parts[part].lanes[index].ids;
    const size_t length = p->options.length;
    while (count > 0 && code == OK) {
        size_t held = lane->size / sizeof *ids, take = count < length - held ? count : length - held;
        if (take == length) { // a whole sequence of one document needs no gathering
            code = write_sequence(p, part, index, ids, (uint32_t)length);
        } else {
            code = buffer_append(lane, ids, take * sizeof *ids);
            if (code == OK && held + take == length) {
                code = write_sequence(p, part, index, (const uint32_t *)lane->data, (uint32_t)length);
                buffer_clear(lane);
            }
        }
        ids += take;
        count -= take;
    }
    return code;
}

static int write_tails(struct packer *p) {
    int code = OK;
    for (int i = 0; i < p->part_count; i++) {
        for (uint32_t k = 0; k < p->parts[i].lane_count && code == OK; k++) {
            struct buffer *lane = &p->parts[i].lanes[k].ids;
            size_t count = lane->size / sizeof(uint32_t);
            if (count > 0)
                code = write_sequence(p, i, (uint16_t)k, (const uint32_t *)lane->data, (uint32_t)count);
        }
    }
    return code;
}

int packer_commit(struct packer *p) {
    int code = write_tails(p);
    struct digest corpus = digest_final(p->corpus);
    struct stream_writer **writers = memory_new((size_t)p->part_count, sizeof *writers);
    if (code == OK && !writers)
        code = ERROR_SYSTEM;
    for (int i = 0; i < p->part_count && code == OK; i++) {
        stream_set_corpus(p->parts[i].writer, &corpus);
        writers[i] = p->parts[i].writer;
    }
    if (code == OK) {
        code = stream_commit_all(writers, (uint32_t)p->part_count);
        for (int i = 0; i < p->part_count; i++)
            p->parts[i].writer = writers[i];
    }
    free(writers);
    return code;
}
