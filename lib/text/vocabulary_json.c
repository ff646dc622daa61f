// tokenizer.json, as Hugging Face tokenizers 0.23 reads it: the tokens and the merges.
#include "base/error.h"
#include "base/json.h"
#include "base/utf8.h"
#include "text/vocabulary_private.h"

#include <stdlib.h>

struct named {
    const char *text;    // the token as written, borrowed from the JSON; NULL: the id has none
    const json_t *added; // its entry in added_tokens, or NULL
    bool in_model;
};

struct reading {
    struct vocabulary *v;
    const json_t *vocab, *added;
    uint64_t size, limit; // ids in use are below `size`; `limit`: what a file of so many tokens may have
    struct named *ids;
    struct buffer left, right;          // scratch
    int16_t byte_of[ALPHABET_LAST + 1]; // of a character in the byte-level alphabet; -1: none
};

static int shown(size_t size) { // of a text in a message
    return size < 64 ? (int)size : 64;
}

// ---- tokens ----

// Append the bytes that a text's characters stand for, or where `piece` is NULL only see whether all stand for
// one. The JSON reader takes well-formed UTF-8 only; three or four bytes are U+0800 upward, where the alphabet has
// nothing.
static bool spell(const struct reading *r, const char *text, size_t size, struct buffer *piece) {
    const uint8_t *t = (const uint8_t *)text, *end = t + size;
    while (t < end) {
        uint32_t c = *t++;
        if (c >= 0x80)
            c = c < 0xe0 ? (c & 0x1f) << 6 | (*t++ & 0x3f) : ALPHABET_LAST + 1;
        if (c > ALPHABET_LAST || r->byte_of[c] < 0)
            return false;
        if (piece)
            piece->data[piece->size++] = (uint8_t)r->byte_of[c];
    }
    return true;
}

static bool in_alphabet(const struct reading *r, const char *text) {
    return spell(r, text, strlen(text), NULL);
}

// A token as the file writes it, to a piece: in SYMBOLS_BYTES every character stands for a byte.
static int parse_piece(const struct reading *r, const char *text, size_t size, struct buffer *piece) {
    buffer_clear(piece);
    if (r->v->scheme.symbols == SYMBOLS_CHARACTERS)
        return buffer_append(piece, text, size);
    int code = buffer_reserve(piece, size);
    if (code == OK && !spell(r, text, size, piece))
        code = error_set(ERROR_INPUT, "token \"%.*s\": not in the byte-level alphabet", shown(size), text);
    return code;
}

static int take_id(struct reading *r, const char *text, uint64_t id, bool in_model) {
    struct named *named = &r->ids[id];
    if (named->text)
        return error_set(ERROR_INPUT, "id %llu: both \"%.64s\" and \"%.64s\"", (unsigned long long)id, named->text,
                         text);
    *named = (struct named){.text = text, .in_model = in_model};
    return OK;
}

static int check_id(struct reading *r, const char *text, const json_t *id) {
    if (!json_is_integer(id))
        return error_set(ERROR_INPUT, "token \"%.64s\": id is not an integer", text);
    json_int_t value = json_integer_value(id);
    if (value < 0 || (uint64_t)value >= r->limit)
        return error_set(ERROR_INPUT, "token \"%.64s\": id %lld is out of range (with so few tokens, below %llu)",
                         text, (long long)value, (unsigned long long)r->limit);
    return OK;
}

static const char *content_of(const json_t *token) {
    return json_string_value(json_object_get(token, "content"));
}

// How many ids there are. Files have gaps (cl100k_base before its special tokens), which take memory as tokens do:
// so they may be as many as the tokens, and a few more in a small file.
static int find_size(struct reading *r) {
    uint64_t count = json_object_size(r->vocab);
    uint64_t all = count;
    size_t i;
    json_t *token;
    json_array_foreach(r->added, i, token) all +=
        !content_of(token) || !json_object_get(r->vocab, content_of(token));
    if (all == 0 || all >= UINT32_MAX / 4)
        return error_set(ERROR_INPUT, "key 'vocab': %llu tokens", (unsigned long long)all);
    r->size = all;
    r->limit = 2 * all + 1024;
    for (void *at = json_object_iter((json_t *)r->vocab); at; at = json_object_iter_next((json_t *)r->vocab, at)) {
        const json_t *id = json_object_iter_value(at);
        int code = check_id(r, json_object_iter_key(at), id);
        if (code != OK)
            return code;
        if ((uint64_t)json_integer_value(id) >= r->size)
            r->size = (uint64_t)json_integer_value(id) + 1;
    }
    return OK;
}

// tokenizers gives the added tokens that model.vocab does not list the ids behind its number of tokens, in the
// file's order, whatever ids the file says. So it must say these.
static int read_added_token(struct reading *r, const json_t *token, uint64_t *next) {
    const char *content;
    int code = json_get_string(token, "content", true, &content);
    if (code != OK)
        return code;
    if (!*content)
        return error_set(ERROR_INPUT, "an empty token");
    const json_t *listed = json_object_get(r->vocab, content), *number = json_object_get(token, "id");
    code = check_id(r, content, number);
    if (code != OK)
        return code;
    uint64_t id = (uint64_t)json_integer_value(number);
    uint64_t wanted = listed ? (uint64_t)json_integer_value(listed) : (*next)++;
    if (id < r->size && r->ids[id].added && strcmp(r->ids[id].text, content) == 0)
        return error_set(ERROR_INPUT, "\"%.64s\" twice", content);
    if (!listed && id == wanted)
        code = take_id(r, content, id, false);
    else if (id != wanted && !(id < r->size && r->ids[id].text))
        return error_set(ERROR_INPUT, "\"%.64s\": id %llu, where tokenizers takes %llu", content,
                         (unsigned long long)id, (unsigned long long)wanted);
    else if (id != wanted)
        return error_set(ERROR_INPUT, "id %llu: both \"%.64s\" and \"%.64s\"", (unsigned long long)id,
                         r->ids[id].text, content);
    if (code == OK)
        r->ids[id].added = token;
    return code;
}

// Find which token every id is.
static int read_ids(struct reading *r) {
    int code = find_size(r);
    if (code != OK)
        return code;
    r->ids = memory_new(r->size, sizeof *r->ids);
    if (!r->ids)
        return ERROR_SYSTEM;
    for (void *at = json_object_iter((json_t *)r->vocab); at && code == OK;
         at = json_object_iter_next((json_t *)r->vocab, at))
        code =
            take_id(r, json_object_iter_key(at), (uint64_t)json_integer_value(json_object_iter_value(at)), true);
    uint64_t next = json_object_size(r->vocab);
    size_t i;
    json_t *token;
    json_array_foreach(r->added, i, token) {
        if (code == OK) {
            code = read_added_token(r, token, &next);
            if (code != OK)
                error_prefix(code, "added_tokens");
        }
    }
    return code;
}

static int add_ordinary(struct reading *r, const char *text) {
    struct vocabulary *v = r->v;
    if (!*text)
        return error_set(ERROR_INPUT, "an empty token");
    size_t size = strlen(text);
    if (v->scheme.symbols == SYMBOLS_BYTES) {
        int code = parse_piece(r, text, size, &r->left);
        return code == OK ? vocabulary_add_token(v, r->left.data, r->left.size) : code;
    }
    return vocabulary_add_piece(v, text, size, v->scheme.byte_fallback ? byte_of_name(text, size) : -1);
}

static bool is_character(const uint8_t *text, size_t size) {
    uint32_t character;
    return size > 0 && utf8_character(text, size, &character) == size;
}

// Whether the model makes a special token of model.vocab of a text that holds it, special or not: a character, or
// with ignore_merges a word. (None that merges make is accepted.)
static int find_made(struct reading *r, const char *text, bool *made) {
    const struct scheme *s = &r->v->scheme;
    size_t size = strlen(text), end = 0;
    *made = s->symbols == SYMBOLS_CHARACTERS && is_character((const uint8_t *)text, size);
    if (*made || !s->whole_words || (s->symbols == SYMBOLS_BYTES && !in_alphabet(r, text)))
        return OK;
    int code = parse_piece(r, text, size, &r->left);
    if (code == OK && split_words(s->pattern, r->left.data, r->left.size, 0, &end, 1) == 1)
        *made = end == r->left.size &&
                (!s->dummy_prefix || s->prefix_first || strncmp(text, META_SPACE, META_SPACE_SIZE) == 0);
    return code;
}

static int add_added(struct reading *r, const struct named *named) {
    struct vocabulary *v = r->v;
    struct added added = {.id = v->size, .text = (char *)named->text, .in_model = named->in_model};
    struct {
        const char *key;
        bool *value;
    } flags[] = {{"special", &added.special},
                 {"single_word", &added.single_word},
                 {"lstrip", &added.strip_left},
                 {"rstrip", &added.strip_right},
                 {"normalized", &added.normalized}};
    int code = OK;
    for (size_t i = 0; i < sizeof flags / sizeof *flags && code == OK; i++)
        code = json_get_boolean(named->added, flags[i].key, false, flags[i].value);
    if (code != OK)
        return error_prefix(code, "added_tokens: \"%.64s\"", named->text);
    bool made = false;
    if (added.special && added.in_model)
        code = find_made(r, named->text, &made);
    if (code == OK && made)
        code = error_set(ERROR_INPUT,
                         "added_tokens: \"%.64s\": a special token that the model makes is not supported",
                         named->text);
    if (code != OK)
        return code;
    size_t size = strlen(named->text);
    // Listed as the model could never come to it: it is found as added alone.
    if (!added.special && v->scheme.symbols == SYMBOLS_BYTES && !in_alphabet(r, named->text))
        added.in_model = false;
    code = vocabulary_add_added(v, &added);
    if (code != OK || (!added.special && added.in_model))
        return code == OK ? add_ordinary(r, named->text) : code;
    return vocabulary_add_token(v, (const uint8_t *)named->text, added.special ? 0 : size);
}

static int read_tokens(struct reading *r) {
    int code = OK;
    for (uint64_t id = 0; id < r->size && code == OK; id++) {
        const struct named *named = &r->ids[id];
        code = !named->text   ? vocabulary_add_token(r->v, (const uint8_t *)"", 0)
               : named->added ? add_added(r, named)
                              : add_ordinary(r, named->text);
    }
    return code == OK ? vocabulary_index_pieces(r->v) : code;
}

// ---- merges ----

// A string's text; NULL where it is no string, or a NUL inside would shorten it.
static const char *text_of(const json_t *value) {
    const char *text = json_string_value(value);
    return text && strlen(text) == json_string_length(value) ? text : NULL;
}

static int add_merge(struct reading *r, const char *left, size_t left_size, const char *right, size_t right_size) {
    int code = parse_piece(r, left, left_size, &r->left);
    if (code == OK)
        code = parse_piece(r, right, right_size, &r->right);
    if (code != OK)
        return code;
    uint32_t ids[2] = {vocabulary_find(r->v, r->left.data, r->left.size),
                       vocabulary_find(r->v, r->right.data, r->right.size)};
    if (ids[0] == no_id)
        return error_set(ERROR_INPUT, "\"%.*s\" is no token", shown(left_size), left);
    if (ids[1] == no_id)
        return error_set(ERROR_INPUT, "\"%.*s\" is no token", shown(right_size), right);
    code = buffer_append(&r->left, r->right.data, r->right.size);
    if (code != OK)
        return code;
    uint32_t result = vocabulary_find(r->v, r->left.data, r->left.size);
    if (result == no_id)
        return error_set(ERROR_INPUT, "\"%.*s%.*s\" is no token", shown(left_size), left, shown(right_size),
                         right);
    return vocabulary_add_merge(r->v, ids[0], ids[1], result);
}

// One merge: "left right" or ["left", "right"]; the result is the token that both make together.
static int read_merge(struct reading *r, const json_t *merge) {
    const char *both = text_of(merge), *space = both ? strchr(both, ' ') : NULL;
    if (space && !strchr(space + 1, ' '))
        return add_merge(r, both, (size_t)(space - both), space + 1, strlen(space + 1));
    const char *left = text_of(json_array_get(merge, 0)), *right = text_of(json_array_get(merge, 1));
    if (json_array_size(merge) != 2 || !left || !right)
        return error_set(ERROR_INPUT, "not a pair of tokens");
    return add_merge(r, left, strlen(left), right, strlen(right));
}

static int read_merges(struct reading *r, const json_t *merges) {
    if (!json_is_array(merges))
        return error_set(ERROR_INPUT, "key 'merges': not an array");
    size_t i;
    json_t *merge;
    json_array_foreach(merges, i, merge) {
        int code = read_merge(r, merge);
        if (code != OK)
            return error_prefix(code, "merge %zu", i);
    }
    return OK;
}

// ---- the whole ----

// The token of characters that have none. It must not come from others as well: words are cut where no token has
// the characters of both sides, and neighbouring unknown ones are told by their id.
static int read_unknown(struct reading *r, const json_t *model) {
    struct scheme *s = &r->v->scheme;
    const json_t *unknown = json_object_get(model, "unk_token");
    if (s->symbols == SYMBOLS_BYTES || !unknown || json_is_null(unknown))
        return OK;
    const json_t *id = text_of(unknown) ? json_object_get(r->vocab, text_of(unknown)) : NULL;
    if (!id)
        return error_set(ERROR_INPUT, "unk_token: no token of model.vocab");
    s->unknown = (uint32_t)json_integer_value(id);
    size_t size;
    const uint8_t *piece = vocabulary_piece(r->v, s->unknown, &size);
    bool made = is_character(piece, size);
    const struct merge *merges = (const struct merge *)r->v->merges.data;
    for (uint32_t i = 0; i < vocabulary_merge_count(r->v) && !made; i++)
        made = merges[i].left == s->unknown || merges[i].right == s->unknown || merges[i].result == s->unknown;
    return made ? error_set(ERROR_INPUT, "unk_token: \"%.64s\": a token that the model makes is not supported",
                            text_of(unknown))
                : OK;
}

// Metaspace's split cuts before every U+2581, ours at the first of several: the same where that is a token and no
// other token has two of them or one behind another character.
static int check_split(const struct vocabulary *v) {
    if (v->scheme.pattern != PATTERN_META_SPACE)
        return OK;
    if (vocabulary_find(v, (const uint8_t *)META_SPACE, META_SPACE_SIZE) == no_id)
        return error_set(ERROR_INPUT,
                         "pre_tokenizer: Metaspace with split is not supported where U+2581 is no token");
    for (uint32_t id = 0; id < v->size; id++) {
        size_t size;
        const uint8_t *piece = vocabulary_piece(v, id, &size);
        if (size > 1 && memmem(piece + 1, size - 1, META_SPACE, META_SPACE_SIZE))
            return error_set(
                ERROR_INPUT,
                "pre_tokenizer: Metaspace with split is not supported where tokens have U+2581 behind "
                "their beginning (\"%.*s\")",
                size < 64 ? (int)size : 64, (const char *)piece);
    }
    return OK;
}

static int read_root(struct reading *r, const json_t *root) {
    int code = vocabulary_read_scheme(&r->v->scheme, root);
    if (code != OK)
        return code;
    const json_t *model = json_object_get(root, "model");
    r->vocab = json_object_get(model, "vocab");
    r->added = json_object_get(root, "added_tokens");
    if (!json_is_object(r->vocab))
        return error_set(ERROR_INPUT, "key 'vocab': not an object");
    if (r->added && !json_is_null(r->added) && !json_is_array(r->added))
        return error_set(ERROR_INPUT, "key 'added_tokens': not an array");
    code = read_ids(r);
    if (code == OK)
        code = read_tokens(r);
    if (code == OK)
        code = read_merges(r, json_object_get(model, "merges"));
    if (code == OK)
        code = read_unknown(r, model);
    return code == OK ? check_split(r->v) : code;
}

int vocabulary_read_json(struct vocabulary *v, const uint8_t *data, size_t size) {
    struct reading r = {.v = v};
    for (uint32_t c = 0; c <= ALPHABET_LAST; c++)
        r.byte_of[c] = (int16_t)code_point_to_byte(c);
    struct json_document d;
    int code = json_document_parse(&d, (const char *)data, size);
    if (code != OK)
        return code;
    code = read_root(&r, d.root);
    if (code == ERROR_INPUT && !json_object_get(d.root, "model"))
        error_set(code, "%s; a tokenizer.json is wanted (tokenize --learn makes one)", error_message());
    free(r.ids);
    buffer_release(&r.left);
    buffer_release(&r.right);
    json_document_release(&d);
    return code;
}
