#include "text/vocabulary.h"
#include "base/error.h"
#include "text/vocabulary_private.h"

#include <stdlib.h>
#include <string.h>

// ---- the byte alphabet ----

static bool is_printable(int byte) {
    return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

// The others, in order: 0x00-0x20, 0x7f-0xa0 and 0xad.
uint32_t byte_to_code_point(uint8_t byte) {
    if (is_printable(byte))
        return byte;
    return 0x100u + (byte <= 0x20 ? byte : byte <= 0xa0 ? byte - 0x7fu + 33u : 67u);
}

int code_point_to_byte(uint32_t code_point) {
    if (code_point < BYTES)
        return is_printable((int)code_point) ? (int)code_point : -1;
    int n = (int)(code_point - 0x100);
    return code_point > ALPHABET_LAST ? -1 : n <= 0x20 ? n : n < 67 ? n - 33 + 0x7f : 0xad;
}

void bytes_in_alphabet_order(uint8_t order[BYTES]) {
    int n = 0;
    for (int printable = 1; printable >= 0; printable--)
        for (int b = 0; b < BYTES; b++)
            if (is_printable(b) == (printable != 0))
                order[n++] = (uint8_t)b;
}

// ---- making ----

int vocabulary_new(struct vocabulary **out) {
    struct vocabulary *v = *out = memory_new(1, sizeof *v);
    if (!v)
        return ERROR_SYSTEM;
    v->end_of_text = no_id;
    v->scheme = (struct scheme){.pattern = PATTERN_GPT2, .unknown = no_id};
    return OK;
}

void vocabulary_free(struct vocabulary *v) {
    if (!v)
        return;
    struct special *specials = (struct special *)v->specials.data;
    for (uint32_t i = 0; i < vocabulary_special_count(v); i++)
        free(specials[i].text);
    buffer_release(&v->bytes);
    buffer_release(&v->ends);
    buffer_release(&v->specials);
    buffer_release(&v->merges);
    free(v->pairs);
    free(v);
}

int vocabulary_add_token(struct vocabulary *v, const uint8_t *bytes, size_t size) {
    int code = buffer_append(&v->bytes, bytes, size);
    uint64_t end = v->bytes.size;
    if (code == OK)
        code = buffer_append(&v->ends, &end, sizeof end);
    if (code == OK)
        v->size++;
    return code;
}

int vocabulary_add_special(struct vocabulary *v, const char *text, bool in_model) {
    struct special special = {.id = v->size, .text = string_copy(text), .in_model = in_model};
    if (!special.text)
        return ERROR_SYSTEM;
    int code = buffer_append(&v->specials, &special, sizeof special);
    if (code != OK) {
        free(special.text);
        return code;
    }
    if (strcmp(text, END_OF_TEXT) == 0)
        v->end_of_text = special.id;
    return vocabulary_add_token(v, (const uint8_t *)"", 0);
}

int vocabulary_add_merge(struct vocabulary *v, uint32_t left, uint32_t right, uint32_t result) {
    struct merge merge = {left, right, result};
    return buffer_append(&v->merges, &merge, sizeof merge);
}

static int index_bytes(struct vocabulary *v) {
    for (int b = 0; b < BYTES; b++)
        v->byte_id[b] = no_id;
    for (uint32_t id = v->size; id-- > 0;) {
        size_t size;
        const uint8_t *bytes = vocabulary_bytes(v, id, &size);
        if (size == 1)
            v->byte_id[*bytes] = id;
    }
    for (int b = 0; b < BYTES; b++)
        if (v->byte_id[b] == no_id)
            return error_set(ERROR_INPUT, "byte 0x%02x has no token", (unsigned)b);
    return OK;
}

static int index_pairs(struct vocabulary *v) {
    uint32_t n = vocabulary_merge_count(v);
    uint64_t slots = 16;
    while (slots < 2 * (uint64_t)n)
        slots *= 2;
    v->pairs = memory_new(slots, sizeof *v->pairs);
    if (!v->pairs)
        return ERROR_SYSTEM;
    memset(v->pairs, 0xff, slots * sizeof *v->pairs);
    v->pair_mask = slots - 1;
    const struct merge *merges = (const struct merge *)v->merges.data;
    for (uint32_t rank = 0; rank < n; rank++) {
        uint64_t pair = pair_key(merges[rank].left, merges[rank].right), i = pair_hash(pair) & v->pair_mask;
        while (v->pairs[i].pair != UINT64_MAX && v->pairs[i].pair != pair)
            i = (i + 1) & v->pair_mask;
        if (v->pairs[i].pair == pair)
            return error_set(ERROR_INPUT, "merge %u: the same pair as merge %u", rank, v->pairs[i].rank);
        v->pairs[i] = (struct pair_slot){pair, rank, merges[rank].result};
    }
    return OK;
}

static void hash_number(XXH3_state_t *state, uint64_t value, int bytes) {
    uint8_t encoded[8];
    store_le(encoded, value, bytes);
    XXH3_128bits_update(state, encoded, (size_t)bytes);
}

// Per id: length (u32), whether special (u8), bytes (a special one's text); per merge: left, right (u32).
static int compute_digest(struct vocabulary *v) {
    XXH3_state_t *state = XXH3_createState();
    if (!state)
        return error_set(ERROR_SYSTEM, "out of memory: hashing a vocabulary");
    XXH3_128bits_reset(state);
    hash_number(state, v->size, 4);
    for (uint32_t id = 0; id < v->size; id++) {
        size_t size;
        const void *bytes = vocabulary_bytes(v, id, &size);
        const char *special = vocabulary_special(v, id);
        if (special) {
            bytes = special;
            size = strlen(special);
        }
        hash_number(state, size, 4);
        hash_number(state, special != NULL, 1);
        XXH3_128bits_update(state, bytes, size);
    }
    const struct merge *merges = (const struct merge *)v->merges.data;
    for (uint32_t rank = 0; rank < vocabulary_merge_count(v); rank++) {
        hash_number(state, merges[rank].left, 4);
        hash_number(state, merges[rank].right, 4);
    }
    v->digest = digest_final(state);
    XXH3_freeState(state);
    return OK;
}

int vocabulary_seal(struct vocabulary *v) {
    int code = index_bytes(v);
    if (code == OK)
        code = index_pairs(v);
    return code == OK ? compute_digest(v) : code;
}

// ---- asking ----

uint32_t vocabulary_size(const struct vocabulary *v) {
    return v->size;
}

uint32_t vocabulary_end_of_text(const struct vocabulary *v) {
    return v->end_of_text;
}

struct digest vocabulary_digest(const struct vocabulary *v) {
    return v->digest;
}

uint32_t vocabulary_merges(const struct vocabulary *v) {
    return vocabulary_merge_count(v);
}

const uint8_t *vocabulary_bytes(const struct vocabulary *v, uint32_t id, size_t *size) {
    const uint64_t *ends = (const uint64_t *)v->ends.data;
    uint64_t begin = id > 0 ? ends[id - 1] : 0;
    *size = (size_t)(ends[id] - begin);
    return v->bytes.data + begin;
}

const char *vocabulary_special(const struct vocabulary *v, uint32_t id) {
    const struct special *specials = (const struct special *)v->specials.data;
    for (uint32_t low = 0, high = vocabulary_special_count(v); low < high;) {
        uint32_t middle = (low + high) / 2;
        if (specials[middle].id == id)
            return specials[middle].text;
        if (specials[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}
