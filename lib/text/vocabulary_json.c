// tokenizer.json, as Hugging Face tokenizers 0.23 writes it, read and written.
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "text/vocabulary_private.h"

#include <stdlib.h>
#include <string.h>

static const size_t file_limit = (size_t)128 << 20;

// ---- what the file asks for ----

static bool is_absent(const json_t *value) {
    return !value || json_is_null(value);
}

static const char *type_of(const json_t *object) {
    const char *type = json_string_value(json_object_get(object, "type"));
    return type ? type : "without a type";
}

static int refuse(const char *place, const char *what) {
    return error_set(ERROR_INPUT, "%s: %.64s is not supported (only byte-level BPE in the GPT-2 scheme is)", place,
                     what);
}

// A step of the pipeline that must be absent, or ByteLevel, which changes no id there.
static int check_step(const json_t *root, const char *key, bool byte_level) {
    const json_t *step = json_object_get(root, key);
    if (is_absent(step) || (byte_level && strcmp(type_of(step), "ByteLevel") == 0))
        return OK;
    return refuse(key, json_is_object(step) ? type_of(step) : "this value");
}

static int check_pre_tokenizer(const json_t *root) {
    const json_t *step = json_object_get(root, "pre_tokenizer");
    if (is_absent(step))
        return refuse("pre_tokenizer", "none");
    if (strcmp(type_of(step), "ByteLevel") != 0)
        return refuse("pre_tokenizer", type_of(step));
    if (!json_is_false(json_object_get(step, "add_prefix_space")))
        return refuse("pre_tokenizer", "add_prefix_space");
    const json_t *use_regex = json_object_get(step, "use_regex");
    return !use_regex || json_is_true(use_regex) ? OK : refuse("pre_tokenizer", "use_regex false");
}

static int check_model(const json_t *model) {
    if (!json_is_object(model))
        return error_set(ERROR_INPUT, "key 'model': not an object");
    // Old files have no type; a BPE model is known by its merges then.
    const json_t *type = json_object_get(model, "type");
    if (type ? strcmp(type_of(model), "BPE") != 0 : !json_object_get(model, "merges"))
        return refuse("model", type_of(model));
    static const char *const empty[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
        const json_t *value = json_object_get(model, empty[i]);
        if (!is_absent(value) && !(json_is_string(value) && json_string_length(value) == 0))
            return refuse("model", empty[i]);
    }
    static const char *const off[] = {"byte_fallback", "ignore_merges"};
    for (size_t i = 0; i < sizeof off / sizeof *off; i++) {
        const json_t *value = json_object_get(model, off[i]);
        if (!is_absent(value) && !json_is_false(value))
            return refuse("model", off[i]);
    }
    const json_t *dropout = json_object_get(model, "dropout");
    if (!is_absent(dropout) && !(json_is_number(dropout) && json_number_value(dropout) == 0))
        return refuse("model", "dropout");
    return OK;
}

static int check_scheme(const json_t *root) {
    if (!json_is_object(root))
        return error_set(ERROR_INPUT, "not an object");
    int code = check_model(json_object_get(root, "model"));
    if (code == OK)
        code = check_pre_tokenizer(root);
    static const struct {
        const char *key;
        bool byte_level;
    } steps[] = {{"normalizer", false},
                 {"truncation", false},
                 {"padding", false},
                 {"post_processor", true},
                 {"decoder", true}};
    for (size_t i = 0; code == OK && i < sizeof steps / sizeof *steps; i++)
        code = check_step(root, steps[i].key, steps[i].byte_level);
    return code;
}

// ---- reading ----

struct reading {
    const json_t *vocab, *added;
    uint32_t size;     // ids in use: 0..size-1, each once
    const char **text; // by id: the token as written, borrowed from the JSON
    const json_t **special;
    struct buffer bytes; // scratch
};

// A token as the file writes it, to bytes: every character stands for one.
static int parse_token(const char *text, struct buffer *bytes) {
    buffer_clear(bytes);
    for (const uint8_t *t = (const uint8_t *)text; *t;) {
        uint32_t c = *t++;
        bool longer = c >= 0xe0; // three or four bytes: U+0800 upward, where the alphabet has nothing
        if (c >= 0x80 && !longer)
            c = (c & 0x1f) << 6 | (*t++ & 0x3f); // the JSON reader takes well-formed UTF-8 only
        int byte = longer ? -1 : code_point_to_byte(c);
        if (byte < 0)
            return error_set(ERROR_INPUT, "token \"%.64s\": not in the byte-level alphabet", text);
        uint8_t b = (uint8_t)byte;
        int code = buffer_append(bytes, &b, 1);
        if (code != OK)
            return code;
    }
    return bytes->size > 0 ? OK : error_set(ERROR_INPUT, "an empty token");
}

static int take_id(struct reading *r, const char *text, const json_t *id, uint32_t *out) {
    if (!json_is_integer(id))
        return error_set(ERROR_INPUT, "token \"%.64s\": id is not an integer", text);
    json_int_t value = json_integer_value(id);
    if (value < 0 || value >= (json_int_t)r->size)
        return error_set(ERROR_INPUT, "token \"%.64s\": id %lld is out of range (ids are 0 to %u, each once)",
                         text, (long long)value, r->size - 1);
    *out = (uint32_t)value;
    if (r->text[*out])
        return error_set(ERROR_INPUT, "id %u: both \"%.64s\" and \"%.64s\"", *out, r->text[*out], text);
    r->text[*out] = text;
    return OK;
}

static int read_added_token(struct reading *r, const json_t *token) {
    const char *content;
    bool special = false;
    int code = json_get_string(token, "content", true, &content);
    if (code == OK)
        code = json_get_boolean(token, "special", false, &special);
    if (code != OK)
        return error_prefix(code, "added_tokens");
    if (!*content)
        return error_set(ERROR_INPUT, "added_tokens: an empty token");
    if (!special)
        return error_set(ERROR_INPUT, "added_tokens: \"%.64s\" is not special, which is not supported", content);
    const json_t *id = json_object_get(token, "id"), *listed = json_object_get(r->vocab, content);
    uint32_t number;
    if (listed) {
        if (!json_equal(listed, id))
            return error_set(ERROR_INPUT, "added_tokens: \"%.64s\": another id in model.vocab", content);
        number = (uint32_t)json_integer_value(id); // checked when model.vocab was read
    } else {
        code = take_id(r, content, id, &number);
        if (code != OK)
            return code;
    }
    if (r->special[number])
        return error_set(ERROR_INPUT, "added_tokens: \"%.64s\" twice", content);
    r->special[number] = token;
    return OK;
}

// Find which token every id is; afterwards 0..size-1 are all taken, for there are as many tokens as ids.
static int read_ids(struct reading *r) {
    uint64_t size = json_object_size(r->vocab);
    size_t i;
    json_t *token;
    json_array_foreach(r->added, i, token) {
        const char *content = json_string_value(json_object_get(token, "content"));
        size += !content || !json_object_get(r->vocab, content);
    }
    if (size == 0 || size >= UINT32_MAX)
        return error_set(ERROR_INPUT, "key 'vocab': %llu tokens", (unsigned long long)size);
    r->size = (uint32_t)size;
    r->text = memory_new(size, sizeof *r->text);
    r->special = memory_new(size, sizeof *r->special);
    if (!r->text || !r->special)
        return ERROR_SYSTEM;
    int code = OK;
    uint32_t id;
    for (void *at = json_object_iter((json_t *)r->vocab); at && code == OK;
         at = json_object_iter_next((json_t *)r->vocab, at))
        code = take_id(r, json_object_iter_key(at), json_object_iter_value(at), &id);
    json_array_foreach(r->added, i, token) {
        if (code == OK)
            code = read_added_token(r, token);
    }
    return code;
}

static int read_tokens(struct reading *r, struct vocabulary *v) {
    int code = OK;
    for (uint32_t id = 0; id < r->size && code == OK; id++) {
        if (r->special[id]) {
            code = vocabulary_add_special(v, r->text[id], json_object_get(r->vocab, r->text[id]) != NULL);
            continue;
        }
        code = parse_token(r->text[id], &r->bytes);
        if (code == OK)
            code = vocabulary_add_token(v, r->bytes.data, r->bytes.size);
    }
    return code;
}

// A string's text; NULL where it is no string, or a NUL inside would shorten it.
static const char *text_of(const json_t *value) {
    const char *text = json_string_value(value);
    return text && strlen(text) == json_string_length(value) ? text : NULL;
}

// One merge: "left right" or ["left", "right"]; the result is the token that both make together.
static int read_merge(struct reading *r, struct vocabulary *v, const json_t *merge) {
    const char *left = text_of(json_array_get(merge, 0)), *right = text_of(json_array_get(merge, 1));
    struct buffer *text = &r->bytes;
    buffer_clear(text);
    if (text_of(merge)) {
        int code = buffer_append(text, text_of(merge), json_string_length(merge) + 1);
        if (code != OK)
            return code;
        char *space = strchr((char *)text->data, ' ');
        if (space) {
            *space = 0;
            left = (char *)text->data;
            right = space + 1;
        }
    } else if (json_array_size(merge) != 2) {
        left = NULL;
    }
    if (!left || !right)
        return error_set(ERROR_INPUT, "not a pair of tokens");
    char *joined = string_format("%s%s", left, right);
    if (!joined)
        return ERROR_SYSTEM;
    const char *names[] = {left, right, joined};
    uint32_t ids[3];
    int code = OK;
    for (int i = 0; i < 3 && code == OK; i++) {
        const json_t *id = json_object_get(r->vocab, names[i]);
        if (id)
            ids[i] = (uint32_t)json_integer_value(id);
        if (!id || r->special[ids[i]])
            code = error_set(ERROR_INPUT, "\"%.64s\" is no token", names[i]);
    }
    free(joined);
    return code == OK ? vocabulary_add_merge(v, ids[0], ids[1], ids[2]) : code;
}

static int read_merges(struct reading *r, struct vocabulary *v, const json_t *merges) {
    if (!json_is_array(merges))
        return error_set(ERROR_INPUT, "key 'merges': not an array");
    size_t i;
    json_t *merge;
    json_array_foreach(merges, i, merge) {
        int code = read_merge(r, v, merge);
        if (code != OK)
            return error_prefix(code, "merge %zu", i);
    }
    return OK;
}

static int read_vocabulary(const json_t *root, struct vocabulary *v) {
    int code = check_scheme(root);
    if (code != OK)
        return code;
    const json_t *model = json_object_get(root, "model");
    struct reading r = {.vocab = json_object_get(model, "vocab"), .added = json_object_get(root, "added_tokens")};
    if (!json_is_object(r.vocab))
        return error_set(ERROR_INPUT, "key 'vocab': not an object");
    if (!is_absent(r.added) && !json_is_array(r.added))
        return error_set(ERROR_INPUT, "key 'added_tokens': not an array");
    code = read_ids(&r);
    if (code == OK)
        code = read_tokens(&r, v);
    if (code == OK)
        code = read_merges(&r, v, json_object_get(model, "merges"));
    if (code == OK)
        code = vocabulary_seal(v);
    free(r.text);
    free(r.special);
    buffer_release(&r.bytes);
    return code;
}

int vocabulary_load(struct vocabulary **out, const char *path) {
    json_t *root = NULL;
    struct vocabulary *v = NULL;
    *out = NULL;
    int code = path_is_directory(path)
                   ? error_set(ERROR_SYSTEM, "%s: is a directory; a checkpoint's vocabulary is %s/tokenizer.json",
                               path, path)
                   : json_read(&root, path, file_limit);
    if (code == OK)
        code = vocabulary_new(&v);
    if (code == OK) {
        code = read_vocabulary(root, v);
        if (code != OK)
            error_prefix(code, "%s", input_name(path));
    }
    if (code == ERROR_INPUT && !json_object_get(root, "model"))
        error_set(code, "%s; a tokenizer.json is wanted (tokenize --learn makes one)", error_message());
    json_decref(root);
    if (code == OK)
        *out = v;
    else
        vocabulary_free(v);
    return code;
}

// ---- writing ----

static int append_quoted(struct buffer *b, const char *text) {
    json_t *value = json_string(text);
    char *quoted = json_text(value, 0);
    json_decref(value);
    if (!quoted)
        return ERROR_SYSTEM;
    int code = buffer_append_string(b, quoted);
    free(quoted);
    return code;
}

static int append_token(struct buffer *b, const struct vocabulary *v, uint32_t id) {
    size_t size;
    const uint8_t *bytes = vocabulary_bytes(v, id, &size);
    struct buffer text = {0};
    int code = OK;
    for (size_t i = 0; i < size && code == OK; i++) {
        uint32_t c = byte_to_code_point(bytes[i]);
        char utf8[] = {(char)(c < 0x80 ? c : 0xc0 | c >> 6), (char)(0x80 | (c & 0x3f))};
        code = buffer_append(&text, utf8, c < 0x80 ? 1 : 2);
    }
    if (code == OK)
        code = buffer_append(&text, "", 1);
    if (code == OK)
        code = append_quoted(b, (const char *)text.data);
    buffer_release(&text);
    return code;
}

static int append_added_tokens(struct buffer *b, const struct vocabulary *v) {
    const struct special *specials = (const struct special *)v->specials.data;
    uint32_t n = vocabulary_special_count(v);
    int code = buffer_append_string(b, n > 0 ? "  \"added_tokens\": [\n" : "  \"added_tokens\": [],\n");
    for (uint32_t i = 0; i < n && code == OK; i++) {
        code = buffer_append_format(b, "    {\n      \"id\": %u,\n      \"content\": ", specials[i].id);
        if (code == OK)
            code = append_quoted(b, specials[i].text);
        if (code == OK)
            code = buffer_append_format(b,
                                        ",\n      \"single_word\": false,\n      \"lstrip\": false,\n"
                                        "      \"rstrip\": false,\n      \"normalized\": false,\n"
                                        "      \"special\": true\n    }%s\n",
                                        i + 1 < n ? "," : "\n  ],");
    }
    return code;
}

static int append_vocab(struct buffer *b, const struct vocabulary *v) {
    const struct special *specials = (const struct special *)v->specials.data;
    uint32_t count = vocabulary_special_count(v), at = 0;
    const char *comma = "";
    int code = buffer_append_string(b, "    \"vocab\": {");
    for (uint32_t id = 0; id < v->size && code == OK; id++) {
        const struct special *here = at < count && specials[at].id == id ? &specials[at++] : NULL;
        if (here && !here->in_model)
            continue;
        code = buffer_append_format(b, "%s\n      ", comma);
        if (code == OK)
            code = here ? append_quoted(b, here->text) : append_token(b, v, id);
        if (code == OK)
            code = buffer_append_format(b, ": %u", id);
        comma = ",";
    }
    return code == OK ? buffer_append_string(b, "\n    },\n") : code;
}

static int append_merges(struct buffer *b, const struct vocabulary *v) {
    const struct merge *merges = (const struct merge *)v->merges.data;
    uint32_t n = vocabulary_merge_count(v);
    int code = buffer_append_string(b, "    \"merges\": [");
    for (uint32_t rank = 0; rank < n && code == OK; rank++) {
        code = buffer_append_format(b, "%s\n      [\n        ", rank > 0 ? "," : "");
        if (code == OK)
            code = append_token(b, v, merges[rank].left);
        if (code == OK)
            code = buffer_append_string(b, ",\n        ");
        if (code == OK)
            code = append_token(b, v, merges[rank].right);
        if (code == OK)
            code = buffer_append_string(b, "\n      ]");
    }
    return code == OK ? buffer_append_string(b, n > 0 ? "\n    ]\n" : "]\n") : code;
}

static const char head[] = "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n";
static const char middle[] =
    "  \"normalizer\": null,\n"
    "  \"pre_tokenizer\": {\n    \"type\": \"ByteLevel\",\n    \"add_prefix_space\": false,\n"
    "    \"trim_offsets\": true,\n    \"use_regex\": true\n  },\n"
    "  \"post_processor\": null,\n"
    "  \"decoder\": {\n    \"type\": \"ByteLevel\",\n    \"add_prefix_space\": true,\n"
    "    \"trim_offsets\": true,\n    \"use_regex\": true\n  },\n"
    "  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": null,\n"
    "    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n    \"fuse_unk\": false,\n"
    "    \"byte_fallback\": false,\n    \"ignore_merges\": false,\n";

int vocabulary_save(const struct vocabulary *v, const char *path) {
    struct buffer b = {0};
    struct output *out = NULL;
    int code = buffer_append_string(&b, head);
    if (code == OK)
        code = append_added_tokens(&b, v);
    if (code == OK)
        code = buffer_append_string(&b, middle);
    if (code == OK)
        code = append_vocab(&b, v);
    if (code == OK)
        code = append_merges(&b, v);
    if (code == OK)
        code = buffer_append_string(&b, "  }\n}");
    if (code == OK)
        code = output_open(&out, path, false);
    if (code == OK)
        code = output_write(out, b.data, b.size);
    if (code == OK)
        code = output_commit(out);
    else
        output_abort(out);
    buffer_release(&b);
    return code;
}
