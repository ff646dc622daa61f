// The file is read whole into a list of pieces and what matters of its specs; then the vocabulary is made of
// these. Fields that say how the model was learned are skipped, as are those that are unknown to the library
// itself.
#include "text/sentencepiece.h"
#include "base/error.h"
#include "base/json.h"
#include "text/normalize_sentencepiece.h"
#include "text/protobuf.h"
#include "text/vocabulary_private.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

// As in SentencePiece's sentencepiece_model.proto.
enum piece_type { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, USER_DEFINED = 4, UNUSED = 5, BYTE = 6 };
enum model_type { UNIGRAM = 1, BPE = 2, WORD = 3, CHARACTER = 4 };
// The library's: bytes of a piece; symbols that are found at one place; how often unused pieces are taken apart.
enum { PIECE_MOST = 7999, SYMBOLS_MOST = 64, APART_MOST = 100 };
// Ours: how far symbols are looked for in pieces. In files that there are it is a step or two a byte.
enum { STEPS_A_BYTE = 64, STEPS_FREE = 1 << 26 };

struct piece {
    const uint8_t *bytes;
    size_t size, offset; // in the file
    float score;
    enum piece_type type;
};

struct model {
    struct buffer pieces; // struct piece
    bool has_trainer, has_normalizer;
    uint64_t type;
    bool byte_fallback, space_as_suffix;
    struct wire end_of_text, charsmap;
    bool dummy_prefix, remove_extra_spaces, escape_spaces;
};

static uint32_t piece_count(const struct model *m) {
    return (uint32_t)(m->pieces.size / sizeof(struct piece));
}
static const struct piece *piece_of(const struct model *m, uint32_t id) {
    return (const struct piece *)m->pieces.data + id;
}

static bool is_null(const struct piece *p) { // converters put it in, and the library leaves it out
    return p->size == 1 && *p->bytes == 0;
}

// ---- reading ----

static int refuse(const struct piece *p, uint32_t id, const char *cause) {
    return error_set(ERROR_INPUT, "byte %zu: pieces[%u] %s", p->offset, id, cause);
}

static int check_piece(const struct piece *p, uint32_t id) {
    const char *cause = NULL;
    if (p->size == 0)
        cause = "is empty";
    else if (p->size > PIECE_MOST)
        cause = "is longer than 7999 bytes";
    else if (!json_is_utf8((const char *)p->bytes, p->size))
        cause = "is not UTF-8";
    else if (memchr(p->bytes, 0, p->size) && !is_null(p))
        cause = "holds a NUL";
    else if (!isfinite(p->score))
        cause = "has a score that is not finite";
    return cause ? refuse(p, id, cause) : OK;
}

static int read_piece(struct model *m, struct wire w) {
    struct piece p = {.offset = w.at, .type = NORMAL};
    struct wire text = {w.file, w.at, w.at};
    uint64_t type = NORMAL;
    struct wire_field f;
    int code = OK;
    while (code == OK && wire_next(&w, "pieces", &f, &code)) {
        if (f.number == 1)
            code = wire_bytes(&f, "pieces.piece", &text);
        else if (f.number == 2)
            code = wire_float(&f, "pieces.score", &p.score);
        else if (f.number == 3)
            code = wire_number(&f, "pieces.type", &type);
        if (code == OK && f.number == 3 && (type < NORMAL || type > BYTE))
            code = error_set(ERROR_INPUT, "byte %zu: pieces.type: %llu is not implemented", f.offset,
                             (unsigned long long)type);
    }
    p.bytes = w.file + text.at;
    p.size = text.end - text.at;
    p.type = (enum piece_type)type;
    if (code == OK)
        code = check_piece(&p, piece_count(m));
    return code == OK ? buffer_append(&m->pieces, &p, sizeof p) : code;
}

static int read_trainer(struct model *m, struct wire w) {
    static const char *const types[] = {"0", "UNIGRAM", "BPE", "WORD", "CHAR"};
    struct wire_field f;
    int code = OK;
    while (code == OK && wire_next(&w, "trainer_spec", &f, &code))
        if (f.number == 3) {
            code = wire_number(&f, "trainer_spec.model_type", &m->type);
            if (code == OK && m->type != UNIGRAM && m->type != BPE)
                code = error_set(ERROR_INPUT, "byte %zu: trainer_spec.model_type: %s is not implemented", f.offset,
                                 m->type <= CHARACTER ? types[m->type] : "of an unknown kind");
        } else if (f.number == 24) {
            code = wire_bool(&f, "trainer_spec.treat_whitespace_as_suffix", &m->space_as_suffix);
            if (code == OK && m->space_as_suffix)
                code = error_set(ERROR_INPUT,
                                 "byte %zu: trainer_spec.treat_whitespace_as_suffix: true is not implemented",
                                 f.offset);
        } else if (f.number == 35)
            code = wire_bool(&f, "trainer_spec.byte_fallback", &m->byte_fallback);
        else if (f.number == 47)
            code = wire_bytes(&f, "trainer_spec.eos_piece", &m->end_of_text);
    return code;
}

static int read_normalizer(struct model *m, struct wire w) {
    struct wire_field f;
    int code = OK;
    while (code == OK && wire_next(&w, "normalizer_spec", &f, &code))
        if (f.number == 2)
            code = wire_bytes(&f, "normalizer_spec.precompiled_charsmap", &m->charsmap);
        else if (f.number == 3)
            code = wire_bool(&f, "normalizer_spec.add_dummy_prefix", &m->dummy_prefix);
        else if (f.number == 4)
            code = wire_bool(&f, "normalizer_spec.remove_extra_whitespaces", &m->remove_extra_spaces);
        else if (f.number == 5)
            code = wire_bool(&f, "normalizer_spec.escape_whitespaces", &m->escape_spaces);
    return code;
}

static int read_denormalizer(struct wire w) {
    struct wire map = {0};
    struct wire_field f;
    int code = OK;
    while (code == OK && wire_next(&w, "denormalizer_spec", &f, &code))
        if (f.number == 2) {
            code = wire_bytes(&f, "denormalizer_spec.precompiled_charsmap", &map);
            if (code == OK && map.end > map.at)
                code = error_set(ERROR_INPUT,
                                 "byte %zu: denormalizer_spec.precompiled_charsmap is not implemented", f.offset);
        }
    return code;
}

static int read_model(struct model *m, const uint8_t *data, size_t size) {
    struct wire w = {data, 0, size}, inside;
    struct wire_field f;
    int code = OK;
    while (code == OK && wire_next(&w, "model", &f, &code)) {
        if (f.number != 1 && f.number != 2 && f.number != 3 && f.number != 5)
            continue;
        code = wire_bytes(&f, "model", &inside);
        m->has_trainer |= f.number == 2;
        m->has_normalizer |= f.number == 3;
        if (code == OK)
            code = f.number == 1   ? read_piece(m, inside)
                   : f.number == 2 ? read_trainer(m, inside)
                   : f.number == 3 ? read_normalizer(m, inside)
                                   : read_denormalizer(inside);
    }
    // A message has no end of its own: one that was cut off between two fields is known by what it lacks.
    const char *lacks = piece_count(m) == 0  ? "pieces"
                        : !m->has_trainer    ? "trainer_spec"
                        : !m->has_normalizer ? "normalizer_spec"
                                             : NULL;
    return code == OK && lacks ? error_set(ERROR_INPUT, "byte %zu: the end, and no %s", size, lacks) : code;
}

// ---- the vocabulary ----

static int add_special(struct vocabulary *v, const struct model *m, const struct piece *p) {
    static const char end_of_text[] = "</s>";
    char *text = string_copy_n((const char *)p->bytes, p->size);
    const char *end = (const char *)m->end_of_text.file + m->end_of_text.at;
    size_t end_size = m->end_of_text.end - m->end_of_text.at;
    if (end_size == 0) {
        end = end_of_text;
        end_size = strlen(end_of_text);
    }
    if (p->type == CONTROL && p->size == end_size && memcmp(p->bytes, end, end_size) == 0)
        v->end_of_text = v->size;
    int code = text ? vocabulary_add_special(v, text, true) : ERROR_SYSTEM;
    free(text);
    return code;
}

static int add_byte(struct vocabulary *v, const struct model *m, const struct piece *p) {
    int byte = byte_of_name(p->bytes, p->size);
    if (byte < 0 || !m->byte_fallback)
        return error_set(ERROR_INPUT, "byte %zu: pieces[%u] is of type BYTE, and %s", p->offset, v->size,
                         byte < 0 ? "not named <0x00> .. <0xFF>" : "trainer_spec.byte_fallback is false");
    return vocabulary_add_piece(v, (const char *)p->bytes, p->size, byte);
}

static int add_piece(struct vocabulary *v, struct model *m, struct piece *p) {
    if (is_null(p)) {
        if (p->type != UNUSED && !m->byte_fallback)
            return refuse(p, v->size, "holds a NUL");
        p->type = UNUSED;
        return vocabulary_add_piece(v, "", 0, -1);
    }
    if (p->type == UNKNOWN) {
        if (v->scheme.unknown != no_id)
            return error_set(ERROR_INPUT, "byte %zu: pieces[%u] is of type UNKNOWN, as pieces[%u]", p->offset,
                             v->size, v->scheme.unknown);
        v->scheme.unknown = v->size;
    }
    if (p->type == UNKNOWN || p->type == CONTROL)
        return add_special(v, m, p);
    if (p->type == BYTE)
        return add_byte(v, m, p);
    if (m->byte_fallback && byte_of_name(p->bytes, p->size) >= 0)
        return refuse(p, v->size, "is named like a byte and not of type BYTE");
    return vocabulary_add_piece(v, (const char *)p->bytes, p->size, -1);
}

static int add_pieces(struct vocabulary *v, struct model *m) {
    struct piece *pieces = (struct piece *)m->pieces.data;
    int code = OK;
    for (uint32_t id = 0; id < piece_count(m) && code == OK; id++)
        code = add_piece(v, m, &pieces[id]);
    if (code == OK && v->scheme.unknown == no_id && !m->byte_fallback)
        code = error_set(ERROR_INPUT, "pieces: none is of type UNKNOWN, and trainer_spec.byte_fallback is false");
    return code;
}

// The trie of user-defined symbols.
static int add_symbols(struct vocabulary *v, const struct model *m) {
    struct trie_key *keys = memory_new(piece_count(m), sizeof *keys);
    size_t count = 0;
    if (!keys)
        return ERROR_SYSTEM;
    for (uint32_t id = 0; id < piece_count(m); id++)
        if (piece_of(m, id)->type == USER_DEFINED)
            keys[count++] = (struct trie_key){piece_of(m, id)->bytes, piece_of(m, id)->size, id};
    int code = trie_build(&v->user_defined, keys, count);
    for (size_t i = 0; i < count && code == OK; i++) {
        uint32_t node = 0;
        int found = 0;
        v->reach = keys[i].size > v->reach ? keys[i].size : v->reach;
        for (size_t k = 0; k < keys[i].size; k++) {
            node = trie_child(&v->user_defined, node, keys[i].bytes[k]);
            found += trie_value(&v->user_defined, node) > 0;
        }
        if (found > SYMBOLS_MOST)
            code = error_set(ERROR_INPUT,
                             "byte %zu: pieces[%u]: a symbol that begins with %d others is not implemented",
                             piece_of(m, keys[i].value)->offset, keys[i].value, found - 1);
    }
    free(keys);
    return code;
}

// ---- BPE ----

struct scored {
    uint32_t key, id; // ascending keys: descending scores
};

static int compare_scored(const void *a, const void *b) {
    const struct scored *x = a, *y = b;
    return x->key != y->key ? (x->key < y->key ? -1 : 1) : (x->id > y->id) - (x->id < y->id);
}

// The library orders scores by their bits: -0 is below 0.
static uint32_t score_key(float score) {
    uint32_t bits;
    memcpy(&bits, &score, sizeof bits);
    return bits >> 31 ? bits : 0x7fffffff - bits;
}

// A symbol is never merged, so no piece that has one within it is ever made. `steps` counts the bytes looked at:
// for pieces that hold long beginnings of symbols again and again they are the square of what the file has.
static bool has_symbol(const struct vocabulary *v, const struct piece *p, uint64_t *steps) {
    const struct trie *trie = &v->user_defined;
    for (size_t i = 0; trie->units && i < p->size; i++) {
        uint32_t node = 0;
        for (size_t k = i; k < p->size && (node = trie_child(trie, node, p->bytes[k])) != 0; k++, ++*steps)
            if (trie_value(trie, node) > 0)
                return true;
    }
    return false;
}

static int add_merges(struct vocabulary *v, const struct model *m) {
    uint32_t *rank = memory_new(v->size, sizeof *rank);
    struct scored *order = memory_new(v->size, sizeof *order);
    uint32_t count = 0;
    uint64_t steps = 0, most = STEPS_FREE + STEPS_A_BYTE * (uint64_t)v->pieces.size;
    int code = rank && order ? vocabulary_index_pieces(v) : ERROR_SYSTEM;
    for (uint32_t id = 0; id < v->size && code == OK; id++) {
        const struct piece *p = piece_of(m, id);
        rank[id] = no_id;
        if ((p->type == NORMAL || p->type == UNUSED) && !has_symbol(v, p, &steps))
            order[count++] = (struct scored){score_key(p->score), id};
        if (steps > most)
            code = refuse(p, id, "and those before it hold too much of user-defined symbols");
    }
    if (code == OK) {
        qsort(order, count, sizeof *order, compare_scored);
        for (uint32_t i = 0; i < count; i++)
            rank[order[i].id] = i > 0 && order[i].key == order[i - 1].key ? rank[order[i - 1].id] : i;
        code = vocabulary_merge_ranked(v, rank);
    }
    free(rank);
    free(order);
    return code;
}

// What comes out where merges end in a piece that is not to be used: it is taken apart the way it was made.
// `made`: by id, the merge that makes it, or NULL.
static int take_apart(struct vocabulary *v, const struct model *m, const struct merge *const *made, uint32_t id,
                      int depth) {
    const struct piece *p = piece_of(m, id);
    bool used = p->type != UNUSED || depth > APART_MOST;
    if (!used && made[id]) {
        int code = take_apart(v, m, made, made[id]->left, depth + 1);
        return code == OK ? take_apart(v, m, made, made[id]->right, depth + 1) : code;
    }
    if (used || !v->scheme.byte_fallback)
        return buffer_append(&v->unused_ids, used ? &id : &v->scheme.unknown, sizeof id);
    int code = OK;
    for (size_t i = 0; i < p->size && code == OK; i++)
        code = buffer_append(&v->unused_ids, &v->byte_id[p->bytes[i]], sizeof *v->byte_id);
    return code;
}

static int add_unused(struct vocabulary *v, const struct model *m) {
    bool any = false;
    for (uint32_t id = 0; id < v->size; id++)
        any = any || (piece_of(m, id)->type == UNUSED && !is_null(piece_of(m, id)));
    if (!any)
        return OK;
    const struct merge **made = memory_new(v->size, sizeof *made), *merges = (const struct merge *)v->merges.data;
    int code = made ? OK : ERROR_SYSTEM;
    for (uint32_t i = 0; i < vocabulary_merge_count(v) && code == OK; i++)
        made[merges[i].result] = &merges[i];
    vocabulary_index_bytes(v);
    for (uint32_t id = 0; id < v->size && code == OK; id++) {
        if (piece_of(m, id)->type == UNUSED && !is_null(piece_of(m, id)))
            code = take_apart(v, m, made, id, 0);
        uint32_t end = (uint32_t)(v->unused_ids.size / sizeof id);
        if (code == OK)
            code = buffer_append(&v->unused_ends, &end, sizeof end);
    }
    free(made);
    return code;
}

// ---- unigram ----

static int add_scores(struct vocabulary *v, const struct model *m) {
    static const double symbol_bonus = 0.1;
    static const float unknown_penalty = 10;
    float least = FLT_MAX;
    int code = OK;
    for (uint32_t id = 0; id < v->size && code == OK; id++) {
        const struct piece *p = piece_of(m, id);
        float score = p->type == NORMAL         ? p->score
                      : p->type == USER_DEFINED ? (float)(symbol_bonus * (double)(p->size - 1))
                                                : NAN;
        if (p->type == NORMAL && score < least)
            least = score;
        code = buffer_append(&v->scores, &score, sizeof score);
    }
    v->unknown_score = least - unknown_penalty;
    return code;
}

// ---- all of it ----

static struct scheme scheme_of(const struct model *m) {
    struct scheme scheme = {
        .normalizer = NORMALIZE_SENTENCEPIECE,
        .pattern = PATTERN_NONE,
        .model = m->type == BPE ? MODEL_BPE : MODEL_UNIGRAM,
        .symbols = SYMBOLS_CHARACTERS,
        .byte_fallback = m->byte_fallback,
        .fuse_unknown = !m->byte_fallback,
        .unknown = no_id,
        .dummy_prefix = m->dummy_prefix,
        .remove_extra_spaces = m->remove_extra_spaces,
        .escape_spaces = m->escape_spaces,
    };
    return scheme;
}

// Where the normalizer changes nothing but spaces and every byte has a token (Llama 2), bytes that are not UTF-8
// stay what they are: the library makes U+FFFD of them. Any text then comes back to the byte, the ids of
// well-formed text are the library's, and those of any text the same as with the vocabulary's tokenizer.json.
static bool keeps_bytes(const struct vocabulary *v) {
    const struct scheme *s = &v->scheme;
    return s->model == MODEL_BPE && s->byte_fallback && s->escape_spaces && !s->remove_extra_spaces &&
           v->charsmap.size == 0 && !v->user_defined.units;
}

static int fill(struct vocabulary *v, struct model *m) {
    v->scheme = scheme_of(m);
    int code = add_pieces(v, m);
    if (code == OK)
        code = add_symbols(v, m);
    if (code == OK)
        code = buffer_append(&v->charsmap, m->charsmap.file + m->charsmap.at, m->charsmap.end - m->charsmap.at);
    if (code == OK)
        code = normalize_sentencepiece_prepare(v);
    if (code != OK)
        return code;
    if (keeps_bytes(v))
        v->scheme.normalizer = NORMALIZE_META_SPACE;
    if (v->scheme.model == MODEL_UNIGRAM)
        return add_scores(v, m);
    code = add_merges(v, m);
    return code == OK ? add_unused(v, m) : code;
}

int sentencepiece_read(struct vocabulary *v, const uint8_t *data, size_t size) {
    struct wire nothing = {data, 0, 0};
    struct model m = {.type = UNIGRAM,
                      .end_of_text = nothing,
                      .charsmap = nothing,
                      .dummy_prefix = true,
                      .remove_extra_spaces = true,
                      .escape_spaces = true};
    int code = read_model(&m, data, size);
    if (code == OK)
        code = fill(v, &m);
    buffer_release(&m.pieces);
    return code;
}
