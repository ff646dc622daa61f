// The end frame: counts, digests, domain table and frame index; and the content digest that it carries.
#include "base/error.h"
#include "base/json.h"
#include "stream/format.h"

#include <stdlib.h>
#include <string.h>

enum { RECORD_COLUMNS = 33, SHORT_PAYLOAD = 512 };

// ---- content digest ----

int content_begin(XXH3_state_t *state, const struct stream_header *h) {
    json_t *json = header_to_json(h, false);
    char *text = json ? json_canonical(json) : NULL;
    json_decref(json);
    if (!text)
        return ERROR_SYSTEM;
    XXH3_128bits_reset(state);
    XXH3_128bits_update(state, text, strlen(text));
    free(text);
    return OK;
}

void content_flush(struct content *c) {
    XXH3_128bits_update(c->state, c->waiting, c->used);
    c->used = 0;
}

void content_record(struct content *c, const struct record *r, uint16_t domain, size_t payload) {
    if (c->used + RECORD_COLUMNS + SHORT_PAYLOAD > sizeof c->waiting)
        content_flush(c);
    uint8_t *columns = c->waiting + c->used;
    store_le(columns, r->id, 8);
    store_le(columns + 8, domain, 2);
    store_le(columns + 10, r->predicted, 4);
    store_le(columns + 14, r->bytes, 4);
    store_le(columns + 18, r->first, 4);
    store_le(columns + 22, r->group, 4);
    store_le(columns + 26, r->choice, 2);
    store_le(columns + 28, r->gold, 1);
    store_le(columns + 29, r->norm_length, 4);
    c->used += RECORD_COLUMNS;
    if (payload > SHORT_PAYLOAD) {
        content_flush(c);
        XXH3_128bits_update(c->state, r->payload, payload);
    } else if (payload > 0) {
        memcpy(columns + RECORD_COLUMNS, r->payload, payload);
        c->used += payload;
    }
}

struct digest content_end(XXH3_state_t *state, const struct domains *domains, const struct totals *totals) {
    uint8_t number[8];
    for (uint32_t i = 0; i < domains->count; i++) {
        size_t length = strlen(domains->names[i]);
        store_le(number, length, 2);
        XXH3_128bits_update(state, number, 2);
        XXH3_128bits_update(state, domains->names[i], length);
    }
    store_le(number, domains->count, 4);
    XXH3_128bits_update(state, number, 4);
    store_le(number, totals->sequences, 8);
    XXH3_128bits_update(state, number, 8);
    return digest_final(state);
}

// ---- index ----

void index_entry_encode(uint8_t out[INDEX_ENTRY_SIZE], const struct index_entry *e) {
    store_le(out, e->length, 4);
    store_le(out + 4, e->records, 4);
    store_le(out + 8, e->domains, 4);
    store_le(out + 12, e->hash, 8);
}

void end_entry(const struct end *e, uint64_t frame, struct index_entry *entry) {
    const uint8_t *p = e->index + frame * INDEX_ENTRY_SIZE;
    entry->length = (uint32_t)load_le(p, 4);
    entry->records = (uint32_t)load_le(p + 4, 4);
    entry->domains = (uint32_t)load_le(p + 8, 4);
    entry->hash = load_le(p + 12, 8);
}

int end_sum(struct end *e, uint64_t first_frame, uint64_t end_offset) {
    e->offsets = memory_new(e->frames + 1, sizeof *e->offsets);
    e->firsts = memory_new(e->frames + 1, sizeof *e->firsts);
    e->domains_before = memory_new(e->frames + 1, sizeof *e->domains_before);
    if (!e->offsets || !e->firsts || !e->domains_before)
        return ERROR_SYSTEM;
    uint64_t offset = first_frame, sequences = 0, domains = 0;
    for (uint64_t f = 0;; f++) {
        e->offsets[f] = offset;
        e->firsts[f] = sequences;
        e->domains_before[f] = (uint32_t)domains;
        if (f == e->frames)
            break;
        struct index_entry entry;
        end_entry(e, f, &entry);
        offset += entry.length;
        sequences += entry.records;
        domains += entry.domains;
        if (entry.length < FRAME_HEADER_SIZE + HASH_SIZE || entry.length % 8 != 0 || offset > end_offset ||
            entry.records == 0 || sequences > e->totals.sequences || domains > e->domains.count)
            return error_set(ERROR_INPUT, "frame index is out of bounds at frame %llu", (unsigned long long)f);
    }
    if (offset != end_offset || sequences != e->totals.sequences || domains != e->domains.count)
        return error_set(ERROR_INPUT, "frame index disagrees with the counts");
    return OK;
}

// ---- encoding ----

static int append_number(struct buffer *out, uint64_t value, int size) {
    uint8_t bytes[8];
    store_le(bytes, value, size);
    return buffer_append(out, bytes, (size_t)size);
}

static int append_fixed(struct buffer *out, const struct end *e) {
    const uint64_t numbers[] = {e->header_hash, e->totals.sequences, e->totals.predicted, e->totals.bytes};
    int code = OK;
    for (int i = 0; code == OK && i < 4; i++)
        code = append_number(out, numbers[i], 8);
    if (code == OK)
        code = buffer_append(out, e->content.bytes, sizeof e->content.bytes);
    return code == OK ? buffer_append(out, e->corpus.bytes, sizeof e->corpus.bytes) : code;
}

int end_encode(struct buffer *out, const struct end *e) {
    int code = append_fixed(out, e);
    if (code == OK)
        code = append_number(out, e->parent_count, 4);
    if (code == OK && e->parent_count > 0)
        code = buffer_append(out, e->parents, e->parent_count * sizeof *e->parents);
    if (code == OK)
        code = domains_encode(out, &e->domains, 0, e->domains.count);
    if (code == OK)
        code = append_number(out, e->frames, 8);
    if (code == OK && e->frames > 0)
        code = buffer_append(out, e->index, e->frames * INDEX_ENTRY_SIZE);
    return code;
}

// ---- decoding ----

static int decode_lists(struct end *e, const uint8_t *raw, size_t size) {
    size_t at = END_FIXED, used;
    uint32_t count;
    if (size < END_FIXED + 4 || (e->parent_count = (uint32_t)load_le(raw + at, 4)) > (size - at - 4) / 16)
        return error_set(ERROR_INPUT, "end frame is cut short");
    at += 4;
    e->parents = memory_new(e->parent_count, sizeof *e->parents);
    if (!e->parents)
        return ERROR_SYSTEM;
    memcpy(e->parents, raw + at, e->parent_count * sizeof *e->parents);
    at += e->parent_count * sizeof *e->parents;
    int code = domains_measure(raw + at, size - at, &count, &used);
    if (code == OK)
        code = domains_decode(&e->domains, raw + at);
    if (code != OK)
        return code;
    at += used;
    if (size - at < 8 || (e->frames = load_le(raw + at, 8)) != (size - at - 8) / INDEX_ENTRY_SIZE ||
        (size - at - 8) % INDEX_ENTRY_SIZE != 0)
        return error_set(ERROR_INPUT, "frame index has another length than it says");
    at += 8;
    e->index = memory_new(e->frames, INDEX_ENTRY_SIZE);
    if (!e->index)
        return ERROR_SYSTEM;
    memcpy(e->index, raw + at, e->frames * INDEX_ENTRY_SIZE);
    return OK;
}

int end_decode(struct end *e, const uint8_t *raw, size_t size) {
    *e = (struct end){0};
    if (size < END_FIXED)
        return error_set(ERROR_INPUT, "end frame is cut short");
    e->header_hash = load_le(raw, 8);
    e->totals.sequences = load_le(raw + 8, 8);
    e->totals.predicted = load_le(raw + 16, 8);
    e->totals.bytes = load_le(raw + 24, 8);
    memcpy(e->content.bytes, raw + 32, 16);
    memcpy(e->corpus.bytes, raw + 48, 16);
    int code = decode_lists(e, raw, size);
    if (code != OK)
        end_release(e);
    return code;
}

void end_release(struct end *e) {
    free(e->parents);
    domains_release(&e->domains);
    free(e->index);
    free(e->offsets);
    free(e->firsts);
    free(e->domains_before);
    *e = (struct end){0};
}
