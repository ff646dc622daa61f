#include "text/vocabulary.h"
#include "base/error.h"
#include "text/added.h"
#include "text/joints.h"
#include "text/symbols.h"
#include "text/unigram.h"
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

int byte_of_name(const void *piece, size_t size) {
    static const char digits[] = "0123456789ABCDEF";
    const char *name = piece;
    if (size != 6 || memcmp(name, "<0x", 3) != 0 || name[5] != '>')
        return -1;
    const char *high = memchr(digits, name[3], 16), *low = memchr(digits, name[4], 16);
    return high && low ? (int)(high - digits) << 4 | (int)(low - digits) : -1;
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
    for (uint32_t i = 0; i < vocabulary_added_count(v); i++)
        free(vocabulary_added(v)[i].text);
    struct buffer *const buffers[] = {&v->bytes,  &v->ends,   &v->pieces,   &v->piece_ends,  &v->added,
                                      &v->merges, &v->scores, &v->charsmap, &v->unused_ends, &v->unused_ids};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        buffer_release(buffers[i]);
    trie_release(&v->user_defined);
    unigram_model_free(v->unigram);
    character_table_free(v->characters);
    joints_free(v->joints);
    added_matcher_free(v->matcher);
    added_matcher_free(v->normalized_matcher);
    free(v->pairs);
    free(v->pair_bits);
    free(v->piece_bits);
    free(v->pieces_by_hash);
    free(v);
}

static int append_ended(struct buffer *bytes, struct buffer *ends, const void *data, size_t size) {
    int code = buffer_append(bytes, data, size);
    uint64_t end = bytes->size;
    return code == OK ? buffer_append(ends, &end, sizeof end) : code;
}

int vocabulary_add_token(struct vocabulary *v, const uint8_t *bytes, size_t size) {
    int code = append_ended(&v->bytes, &v->ends, bytes, size);
    if (code == OK && v->scheme.symbols == SYMBOLS_CHARACTERS) // a special token or none at all: no piece either
        code = append_ended(&v->pieces, &v->piece_ends, "", 0);
    if (code == OK)
        v->size++;
    return code;
}

int vocabulary_add_piece(struct vocabulary *v, const char *piece, size_t size, int byte) {
    size_t before = v->bytes.size;
    uint8_t one = (uint8_t)byte;
    int code = buffer_reserve(&v->bytes, size);
    if (code == OK)
        code = append_ended(&v->pieces, &v->piece_ends, piece, size);
    if (code == OK && byte >= 0)
        code = buffer_append(&v->bytes, &one, 1);
    for (size_t i = 0; i < size && code == OK && byte < 0;) {
        bool space = size - i >= META_SPACE_SIZE && memcmp(piece + i, META_SPACE, META_SPACE_SIZE) == 0;
        code = buffer_append(&v->bytes, space ? " " : piece + i, 1);
        i += space ? META_SPACE_SIZE : 1;
    }
    uint64_t end = v->bytes.size;
    if (code == OK)
        code = buffer_append(&v->ends, &end, sizeof end);
    if (code == OK)
        v->size++;
    else
        v->bytes.size = before;
    return code;
}

int vocabulary_add_added(struct vocabulary *v, const struct added *added) {
    struct added copy = *added;
    copy.text = string_copy(added->text);
    int code = copy.text ? buffer_append(&v->added, &copy, sizeof copy) : ERROR_SYSTEM;
    if (code != OK)
        free(copy.text);
    return code;
}

int vocabulary_add_special(struct vocabulary *v, const char *text, bool in_model) {
    struct added added = {.id = v->size, .text = (char *)text, .special = true, .in_model = in_model};
    int code = vocabulary_add_added(v, &added);
    return code == OK ? vocabulary_add_token(v, (const uint8_t *)"", 0) : code;
}

int vocabulary_add_ranked_merge(struct vocabulary *v, const struct merge *merge) {
    return buffer_append(&v->merges, merge, sizeof *merge);
}

int vocabulary_add_merge(struct vocabulary *v, uint32_t left, uint32_t right, uint32_t result) {
    struct merge merge = {left, right, result, vocabulary_merge_count(v)};
    return vocabulary_add_ranked_merge(v, &merge);
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

bool vocabulary_has_prefix(const struct vocabulary *v) {
    return v->scheme.dummy_prefix;
}

const uint8_t *vocabulary_bytes(const struct vocabulary *v, uint32_t id, size_t *size) {
    return find_ended(&v->bytes, &v->ends, id, size);
}

const struct added *vocabulary_added_token(const struct vocabulary *v, uint32_t id) {
    const struct added *added = vocabulary_added(v);
    for (uint32_t low = 0, high = vocabulary_added_count(v); low < high;) {
        uint32_t middle = (low + high) / 2;
        if (added[middle].id == id)
            return &added[middle];
        if (added[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const char *vocabulary_special(const struct vocabulary *v, uint32_t id) {
    const struct added *added = vocabulary_added_token(v, id);
    return added && added->special ? added->text : NULL;
}

uint32_t vocabulary_find_special(const struct vocabulary *v, const char *text) {
    const struct added *added = vocabulary_added(v);
    for (uint32_t i = 0; i < vocabulary_added_count(v); i++)
        if (added[i].special && strcmp(added[i].text, text) == 0)
            return added[i].id;
    return no_id;
}
