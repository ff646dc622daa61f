// The last step in making a vocabulary: its indexes, its end of text and its digest.
#include "base/error.h"
#include "text/added.h"
#include "text/joints.h"
#include "text/symbols.h"
#include "text/unigram.h"
#include "text/vocabulary_private.h"

#include <stdio.h>
#include <stdlib.h>

enum { PAIRS_AHEAD = 16 /* slots on their way from memory */, HASHED_AT_ONCE = 1 << 12 };

// ---- indexes ----

// At most half of them are taken.
static uint64_t slots_for(uint64_t count) {
    uint64_t slots = 16;
    while (slots < 2 * count)
        slots *= 2;
    return slots;
}

int vocabulary_reserve_pieces(struct vocabulary *v, uint64_t count) {
    uint64_t slots = slots_for(count);
    free(v->pieces_by_hash);
    free(v->piece_bits);
    v->pieces_by_hash = memory_new(slots, sizeof *v->pieces_by_hash);
    v->piece_bits = memory_new(slots * FILTER_BITS / 64, sizeof *v->piece_bits);
    v->piece_mask = slots - 1;
    return v->pieces_by_hash && v->piece_bits ? OK : ERROR_SYSTEM;
}

uint32_t vocabulary_insert_piece(struct vocabulary *v, uint32_t id) {
    size_t size;
    const uint8_t *piece = vocabulary_piece(v, id, &size);
    uint64_t hash = piece_hash(piece, size);
    uint32_t *slot = vocabulary_piece_slot(v, piece, size, hash);
    if (*slot)
        return *slot - 1;
    *slot = id + 1;
    *filter_word(v->piece_bits, v->piece_mask, hash) |= filter_bit(hash);
    return no_id;
}

int vocabulary_index_pieces(struct vocabulary *v) {
    int code = vocabulary_reserve_pieces(v, v->size);
    for (uint32_t id = 0; id < v->size && code == OK; id++) {
        const struct added *added = vocabulary_added_token(v, id);
        size_t size;
        vocabulary_piece(v, id, &size);
        uint32_t same = size > 0 && (!added || added->in_model) ? vocabulary_insert_piece(v, id) : no_id;
        if (same != no_id)
            code = error_set(ERROR_INPUT, "tokens %u and %u are the same", same, id);
    }
    return code;
}

void vocabulary_index_bytes(struct vocabulary *v) {
    bool characters = v->scheme.symbols == SYMBOLS_CHARACTERS;
    for (int b = 0; b < BYTES; b++) {
        char name[7];
        uint8_t byte = (uint8_t)b;
        snprintf(name, sizeof name, "<0x%02X>", (unsigned)b);
        v->byte_id[b] = !characters               ? vocabulary_find(v, &byte, 1)
                        : v->scheme.byte_fallback ? vocabulary_find(v, (const uint8_t *)name, 6)
                                                  : no_id;
    }
}

static int check_bytes(const struct vocabulary *v) {
    bool characters = v->scheme.symbols == SYMBOLS_CHARACTERS;
    for (int b = 0; b < BYTES; b++) {
        bool needed = characters ? v->scheme.byte_fallback : !(b == 0xc0 || b == 0xc1 || b >= 0xf5);
        if (needed && v->byte_id[b] == no_id)
            return error_set(ERROR_INPUT, "byte 0x%02x has no token", (unsigned)b);
    }
    return OK;
}

int vocabulary_reserve_pairs(struct vocabulary *v, uint64_t count) {
    uint64_t slots = slots_for(count);
    free(v->pairs);
    free(v->pair_bits);
    v->pairs = memory_new(slots, sizeof *v->pairs);
    v->pair_bits = memory_new(slots * FILTER_BITS / 64, sizeof *v->pair_bits);
    if (!v->pairs || !v->pair_bits)
        return ERROR_SYSTEM;
    memset(v->pairs, 0xff, slots * sizeof *v->pairs);
    v->pair_mask = slots - 1;
    return OK;
}

struct pair_slot *vocabulary_insert_pair(struct vocabulary *v, const struct merge *merge) {
    uint64_t pair = pair_key(merge->left, merge->right), hash = pair_hash(pair), i = hash & v->pair_mask;
    for (; v->pairs[i].pair != UINT64_MAX; i = (i + 1) & v->pair_mask)
        if (v->pairs[i].pair == pair)
            return &v->pairs[i];
    v->pairs[i] = (struct pair_slot){pair, merge->rank, merge->result};
    *filter_word(v->pair_bits, v->pair_mask, hash) |= filter_bit(hash);
    return NULL;
}

static int index_pairs(struct vocabulary *v) {
    uint32_t n = vocabulary_merge_count(v);
    int code = vocabulary_reserve_pairs(v, n);
    const struct merge *merges = (const struct merge *)v->merges.data;
    for (uint32_t i = 0; i < n && code == OK; i++) {
        if (i + PAIRS_AHEAD < n) {
            const struct merge *later = &merges[i + PAIRS_AHEAD];
            __builtin_prefetch(&v->pairs[pair_hash(pair_key(later->left, later->right)) & v->pair_mask]);
        }
        const struct pair_slot *same = vocabulary_insert_pair(v, &merges[i]);
        if (merges[i].rank > RANK_MOST)
            code = error_set(ERROR_INPUT, "merge %u: more than %d ranks are not supported", i, RANK_MOST);
        else if (same)
            code = error_set(ERROR_INPUT, "merge %u: the same pair as merge %u", i, same->rank);
    }
    return code;
}

// ---- texts ----

static int compare_texts(const void *a, const void *b) {
    const struct added *const *x = a, *const *y = b;
    int order = strcmp((*x)->text, (*y)->text);
    return order != 0 ? order : ((*x)->id > (*y)->id) - ((*x)->id < (*y)->id);
}

// The piece that a tokenizer.json would spell like an added token. In SYMBOLS_BYTES: where the alphabet is ASCII,
// as in the names that readers without spellings know.
static uint32_t find_spelled(const struct vocabulary *v, const char *text) {
    for (const char *c = text; *c && v->scheme.symbols == SYMBOLS_BYTES; c++)
        if (*c < '!' || *c > '~')
            return no_id;
    return vocabulary_find(v, (const uint8_t *)text, strlen(text));
}

// A text is one token's: by it tokenizer.json and the libraries know them apart.
static int check_added(const struct vocabulary *v) {
    uint32_t n = vocabulary_added_count(v);
    const struct added **order = memory_new(n, sizeof *order);
    int code = order ? OK : ERROR_SYSTEM;
    for (uint32_t i = 0; i < n && code == OK; i++)
        order[i] = &vocabulary_added(v)[i];
    if (code == OK)
        qsort(order, n, sizeof *order, compare_texts);
    for (uint32_t i = 0; i < n && code == OK; i++) {
        const struct added *a = order[i];
        bool twice = i + 1 < n && strcmp(a->text, order[i + 1]->text) == 0;
        uint32_t same = twice ? order[i + 1]->id : find_spelled(v, a->text);
        if (same != no_id && same != a->id)
            code = error_set(ERROR_INPUT, "tokens %u and %u are both \"%.64s\"", a->id < same ? a->id : same,
                             a->id < same ? same : a->id, a->text);
    }
    free(order);
    return code;
}

// ---- what follows from the tokens ----

static bool has_inner_meta_space(const uint8_t *piece, size_t size) {
    bool behind = false; // another character
    for (size_t i = 0; i < size; i++) {
        if (size - i < META_SPACE_SIZE || memcmp(piece + i, META_SPACE, META_SPACE_SIZE) != 0)
            behind = true;
        else if (behind)
            return true;
        else
            i += META_SPACE_SIZE - 1;
    }
    return false;
}

// Where U+2581 is a token and no other has it behind another character, no merge and no run of unknown characters
// crosses such a place: a word may end there.
static void find_words(struct vocabulary *v) {
    if (v->scheme.pattern != PATTERN_NONE || v->scheme.normalizer < NORMALIZE_META_SPACE ||
        scheme_asks_for_words(&v->scheme) ||
        vocabulary_find(v, (const uint8_t *)META_SPACE, META_SPACE_SIZE) == no_id)
        return;
    for (uint32_t id = 0; id < v->size; id++) {
        size_t size;
        const uint8_t *piece = vocabulary_piece(v, id, &size);
        if (has_inner_meta_space(piece, size))
            return;
    }
    v->scheme.pattern = PATTERN_META_SPACE;
}

static void find_end_of_text(struct vocabulary *v) {
    static const char *const names[] = {END_OF_TEXT, "<|end_of_text|>", "</s>", "<eos>"};
    for (size_t i = 0; i < sizeof names / sizeof *names && v->end_of_text == no_id; i++)
        v->end_of_text = vocabulary_find_special(v, names[i]);
}

// ---- the digest ----

// Many short strings are hashed as few long ones.
struct hashing {
    XXH3_state_t *state;
    size_t size;
    uint8_t waiting[HASHED_AT_ONCE];
};

static void hash_waiting(struct hashing *h) {
    XXH3_128bits_update(h->state, h->waiting, h->size);
    h->size = 0;
}

static void hash_bytes(struct hashing *h, const void *bytes, size_t size) {
    if (size > HASHED_AT_ONCE - h->size)
        hash_waiting(h);
    if (size > HASHED_AT_ONCE) {
        XXH3_128bits_update(h->state, bytes, size);
    } else if (size > 0) {
        memcpy(h->waiting + h->size, bytes, size);
        h->size += size;
    }
}

static void hash_number(struct hashing *h, uint64_t value, size_t size) {
    uint8_t encoded[8];
    store_le(encoded, value, 8);
    hash_bytes(h, encoded, size);
}

static void hash_tokens(struct hashing *h, const struct vocabulary *v) {
    uint32_t next = 0; // among the added tokens
    hash_number(h, v->size, 4);
    for (uint32_t id = 0; id < v->size; id++) {
        size_t size;
        const void *bytes = vocabulary_piece(v, id, &size);
        const struct added *added = next < vocabulary_added_count(v) ? &vocabulary_added(v)[next] : NULL;
        bool found = added && added->id == id;
        if (found && (added->special || !added->in_model)) {
            bytes = added->text;
            size = strlen(added->text);
        }
        hash_number(h, size, 4);
        hash_number(h, found && added->special, 1);
        hash_bytes(h, bytes, size);
        next += found;
    }
}

static void hash_merges(struct hashing *h, const struct vocabulary *v) {
    const struct merge *merges = (const struct merge *)v->merges.data;
    for (uint32_t i = 0; i < vocabulary_merge_count(v); i++) {
        hash_number(h, pair_key(merges[i].right, merges[i].left), 8);
        if (i > 0 && merges[i].rank == merges[i - 1].rank)
            hash_number(h, i, 4);
    }
}

static void hash_symbols(struct hashing *h, const struct vocabulary *v) {
    for (uint32_t id = 0; id < v->size && v->user_defined.units; id++) {
        size_t size;
        uint32_t found;
        const uint8_t *piece = vocabulary_piece(v, id, &size);
        if (size > 0 && trie_longest(&v->user_defined, piece, size, &found) == size && found == id)
            hash_number(h, id, 4);
    }
}

// Whether it matters for added tokens which of them are found in normalized text. Without a normalizer those are
// still looked for behind all others; only where there are some of both kinds is that another order.
static bool has_normalized_order(const struct vocabulary *v) {
    uint32_t count = vocabulary_added_count(v), normalized = 0;
    for (uint32_t i = 0; i < count; i++)
        normalized += vocabulary_added(v)[i].normalized;
    return v->scheme.normalizer != NORMALIZE_NONE || (normalized > 0 && normalized < count);
}

// What the scheme adds to a byte-level vocabulary with GPT-2's pattern and nothing but plain special tokens: as
// text, so that the numbers of our enumerators do not enter.
static int describe_scheme(const struct vocabulary *v, struct buffer *b) {
    static const char *const normalizers[] = {"", " nfc", " meta-space", " sentencepiece"};
    const struct scheme *s = &v->scheme;
    bool sentencepiece = s->normalizer == NORMALIZE_SENTENCEPIECE;
    int code = OK;
    if (s->pattern != PATTERN_GPT2)
        code = buffer_append_format(b, " pattern=%s", pattern_name(s->pattern));
    if (code == OK)
        code = buffer_append_format(
            b, "%s%s%s%s%s%s%s%s%s%s%s", normalizers[s->normalizer], s->model == MODEL_UNIGRAM ? " unigram" : "",
            s->symbols == SYMBOLS_CHARACTERS ? " characters" : "", s->whole_words ? " whole-words" : "",
            s->byte_fallback ? " byte-fallback" : "", s->fuse_unknown ? " fuse-unknown" : "",
            s->dummy_prefix ? " dummy-prefix" : "", s->meta_space_step ? " pre-tokenizer" : "",
            s->prefix_first ? " prefix-first" : "",
            sentencepiece && s->remove_extra_spaces ? " remove-extra-spaces" : "",
            sentencepiece && s->escape_spaces ? " escape-spaces" : "");
    if (code == OK && s->unknown != no_id)
        code = buffer_append_format(b, " unknown=%u", s->unknown);
    const struct added *added = vocabulary_added(v);
    bool ordered = has_normalized_order(v);
    for (uint32_t i = 0; i < vocabulary_added_count(v) && code == OK; i++) {
        const struct added *a = &added[i];
        bool normalized = a->normalized && ordered;
        if (!a->special || a->single_word || a->strip_left || a->strip_right || normalized)
            code = buffer_append_format(b, " added=%u%s%s%s%s%s", a->id, a->special ? "" : ",text",
                                        a->single_word ? ",single-word" : "", a->strip_left ? ",lstrip" : "",
                                        a->strip_right ? ",rstrip" : "", normalized ? ",normalized" : "");
    }
    return code;
}

// Per id: length (u32), whether special (u8), piece (the text of one that the model does not know); per merge:
// left, right (u32), its number (u32) where its rank is that of the one before; then, where there is any, the
// scheme as text, the scores, the character map, the unused pieces and what they stand for, the ids of
// user-defined symbols.
static int compute_digest(struct vocabulary *v) {
    struct buffer scheme = {0};
    struct hashing h = {.size = 0};
    int code = describe_scheme(v, &scheme);
    h.state = code == OK ? XXH3_createState() : NULL;
    if (code == OK && !h.state)
        code = error_set(ERROR_SYSTEM, "out of memory: hashing a vocabulary");
    if (code == OK) {
        XXH3_128bits_reset(h.state);
        hash_tokens(&h, v);
        hash_merges(&h, v);
        const struct buffer *const rest[] = {&scheme, &v->scores, &v->charsmap, &v->unused_ends, &v->unused_ids};
        for (size_t i = 0; i < sizeof rest / sizeof *rest; i++)
            hash_bytes(&h, rest[i]->data, rest[i]->size);
        hash_symbols(&h, v);
        hash_waiting(&h);
        v->digest = digest_final(h.state);
    }
    XXH3_freeState(h.state);
    buffer_release(&scheme);
    return code;
}

int vocabulary_seal(struct vocabulary *v) {
    int code = v->pieces_by_hash ? OK : vocabulary_index_pieces(v);
    if (code == OK)
        code = check_added(v);
    if (code == OK) {
        vocabulary_index_bytes(v);
        code = check_bytes(v);
    }
    if (code == OK)
        code = index_pairs(v);
    if (code == OK) {
        find_words(v);
        find_end_of_text(v);
        code = compute_digest(v);
    }
    if (code == OK && v->scheme.model == MODEL_UNIGRAM)
        code = unigram_model_new(&v->unigram, v);
    if (code == OK)
        code = joints_new(&v->joints, v);
    if (code == OK && v->scheme.symbols == SYMBOLS_CHARACTERS)
        code = character_table_new(&v->characters, v);
    if (code == OK)
        code = added_matcher_new(&v->matcher, v, false);
    if (code == OK)
        code = added_matcher_new(&v->normalized_matcher, v, true);
    return code;
}
