// tokenizer.json, as Hugging Face tokenizers 0.23 writes it.
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "text/vocabulary_private.h"

#include <stdlib.h>

// ---- texts ----

static int append_quoted(struct buffer *b, const char *text, size_t size) {
    json_t *value = json_stringn(text, size);
    char *quoted = json_text(value, 0);
    json_decref(value);
    if (!quoted)
        return ERROR_SYSTEM;
    int code = buffer_append_string(b, quoted);
    free(quoted);
    return code;
}

// A token as model.vocab spells it: the piece, in SYMBOLS_BYTES by the byte-level alphabet; the text of one that
// the model does not know.
static int append_token(struct buffer *b, const struct vocabulary *v, uint32_t id) {
    const struct added *added = vocabulary_added_token(v, id);
    if (added && (added->special || !added->in_model))
        return append_quoted(b, added->text, strlen(added->text));
    size_t size;
    const uint8_t *piece = vocabulary_piece(v, id, &size);
    if (v->scheme.symbols == SYMBOLS_CHARACTERS)
        return append_quoted(b, (const char *)piece, size);
    struct buffer text = {0};
    int code = OK;
    for (size_t i = 0; i < size && code == OK; i++) {
        uint8_t bytes[4];
        code = buffer_append(&text, bytes, utf8_write(byte_to_code_point(piece[i]), bytes));
    }
    if (code == OK)
        code = append_quoted(b, (const char *)text.data, text.size);
    buffer_release(&text);
    return code;
}

// ---- tokens and merges ----

static bool has_token(const struct vocabulary *v, uint32_t id) {
    size_t size;
    vocabulary_piece(v, id, &size);
    return size > 0 || vocabulary_added_token(v, id);
}

// Added tokens that the model does not know are not listed in model.vocab, where that gives them their ids:
// tokenizers numbers them from its number of tokens on. Else they are (cl100k_base's, behind a gap).
static bool lists_added(const struct vocabulary *v) {
    uint32_t next = 0;
    for (uint32_t id = 0; id < v->size; id++) {
        const struct added *added = vocabulary_added_token(v, id);
        next += has_token(v, id) && !(added && !added->in_model);
    }
    for (uint32_t i = 0; i < vocabulary_added_count(v); i++) {
        const struct added *added = &vocabulary_added(v)[i];
        if (!added->in_model && added->id != next++)
            return true;
    }
    return false;
}

static const char *truth(bool value) {
    return value ? "true" : "false";
}

static int append_added_tokens(struct buffer *b, const struct vocabulary *v) {
    uint32_t n = vocabulary_added_count(v);
    int code = buffer_append_string(b, n > 0 ? "  \"added_tokens\": [\n" : "  \"added_tokens\": [],\n");
    for (uint32_t i = 0; i < n && code == OK; i++) {
        const struct added *a = &vocabulary_added(v)[i];
        code = buffer_append_format(b, "    {\n      \"id\": %u,\n      \"content\": ", a->id);
        if (code == OK)
            code = append_quoted(b, a->text, strlen(a->text));
        if (code == OK)
            code = buffer_append_format(b,
                                        ",\n      \"single_word\": %s,\n      \"lstrip\": %s,\n"
                                        "      \"rstrip\": %s,\n      \"normalized\": %s,\n"
                                        "      \"special\": %s\n    }%s\n",
                                        truth(a->single_word), truth(a->strip_left), truth(a->strip_right),
                                        truth(a->normalized), truth(a->special), i + 1 < n ? "," : "\n  ],");
    }
    return code;
}

static int append_vocab(struct buffer *b, const struct vocabulary *v) {
    bool all = lists_added(v);
    const char *comma = "";
    int code = buffer_append_string(b, "    \"vocab\": {");
    for (uint32_t id = 0; id < v->size && code == OK; id++) {
        const struct added *added = vocabulary_added_token(v, id);
        if (!has_token(v, id) || (added && !added->in_model && !all))
            continue;
        code = buffer_append_format(b, "%s\n      ", comma);
        if (code == OK)
            code = append_token(b, v, id);
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
    for (uint32_t i = 0; i < n && code == OK; i++) {
        code = buffer_append_format(b, "%s\n      [\n        ", i > 0 ? "," : "");
        if (code == OK)
            code = append_token(b, v, merges[i].left);
        if (code == OK)
            code = buffer_append_string(b, ",\n        ");
        if (code == OK)
            code = append_token(b, v, merges[i].right);
        if (code == OK)
            code = buffer_append_string(b, "\n      ]");
    }
    return code == OK ? buffer_append_string(b, n > 0 ? "\n    ]\n" : "]\n") : code;
}

// ---- the scheme ----

static const char byte_level[] = "{\n    \"type\": \"ByteLevel\",\n    \"add_prefix_space\": true,\n"
                                 "    \"trim_offsets\": true,\n    \"use_regex\": true\n  }";

// The last step of a byte-level pre-tokenizer, at its place in the text.
static int append_byte_level(struct buffer *b, const char *indent, bool use_regex) {
    return buffer_append_format(b,
                                "{\n%s  \"type\": \"ByteLevel\",\n%s  \"add_prefix_space\": false,\n"
                                "%s  \"trim_offsets\": true,\n%s  \"use_regex\": %s\n%s}",
                                indent, indent, indent, indent, truth(use_regex), indent);
}

static int append_sequence(struct buffer *b, const struct scheme *s) {
    const char *expression = pattern_expression(s->pattern);
    int code = buffer_append_string(b, "{\n    \"type\": \"Sequence\",\n    \"pretokenizers\": [\n      {\n");
    if (code == OK && s->pattern == PATTERN_STARCODER2)
        code = buffer_append_string(b, "        \"type\": \"Digits\",\n        \"individual_digits\": true\n");
    else if (code == OK) {
        code = buffer_append_string(b, "        \"type\": \"Split\",\n        \"pattern\": {\n"
                                       "          \"Regex\": ");
        if (code == OK)
            code = append_quoted(b, expression, strlen(expression));
        if (code == OK)
            code = buffer_append_string(b, "\n        },\n        \"behavior\": \"Isolated\",\n"
                                           "        \"invert\": false\n");
    }
    if (code == OK)
        code = buffer_append_string(b, "      },\n      ");
    if (code == OK)
        code = append_byte_level(b, "      ", s->pattern == PATTERN_STARCODER2);
    return code == OK ? buffer_append_string(b, "\n    ]\n  }") : code;
}

static int append_normalizer(struct buffer *b, const struct scheme *s) {
    if (s->normalizer == NORMALIZE_NFC)
        return buffer_append_string(b, "{\n    \"type\": \"NFC\"\n  }");
    if (s->normalizer == NORMALIZE_NONE || s->meta_space_step)
        return buffer_append_string(b, "null");
    int code = buffer_append_string(b, "{\n    \"type\": \"Sequence\",\n    \"normalizers\": [\n");
    if (code == OK && s->dummy_prefix)
        code = buffer_append_string(
            b, "      {\n        \"type\": \"Prepend\",\n        \"prepend\": \"" META_SPACE "\"\n      },\n");
    return code == OK ? buffer_append_string(b, "      {\n        \"type\": \"Replace\",\n        \"pattern\": {\n"
                                                "          \"String\": \" \"\n        },\n"
                                                "        \"content\": \"" META_SPACE "\"\n      }\n    ]\n  }")
                      : code;
}

// Words that vocabulary_seal finds by itself are not asked for.
static int append_pre_tokenizer(struct buffer *b, const struct scheme *s) {
    if (s->meta_space_step)
        return buffer_append_format(b,
                                    "{\n    \"type\": \"Metaspace\",\n    \"replacement\": \"" META_SPACE "\",\n"
                                    "    \"prepend_scheme\": \"%s\",\n    \"split\": %s\n  }",
                                    s->prefix_first   ? "first"
                                    : s->dummy_prefix ? "always"
                                                      : "never",
                                    truth(s->pattern == PATTERN_META_SPACE && scheme_asks_for_words(s)));
    if (s->symbols == SYMBOLS_CHARACTERS)
        return buffer_append_string(b, "null");
    if (s->pattern == PATTERN_GPT2 || s->pattern == PATTERN_NONE)
        return append_byte_level(b, "  ", s->pattern == PATTERN_GPT2);
    return append_sequence(b, s);
}

static int append_decoder(struct buffer *b, const struct scheme *s) {
    if (s->symbols == SYMBOLS_BYTES)
        return buffer_append_string(b, byte_level);
    int code = buffer_append_string(
        b, "{\n    \"type\": \"Sequence\",\n    \"decoders\": [\n      {\n        \"type\": \"Replace\",\n"
           "        \"pattern\": {\n          \"String\": \"" META_SPACE "\"\n        },\n"
           "        \"content\": \" \"\n      },\n");
    if (code == OK && s->byte_fallback)
        code = buffer_append_string(b, "      {\n        \"type\": \"ByteFallback\"\n      },\n");
    if (code == OK)
        code = buffer_append_string(b, "      {\n        \"type\": \"Fuse\"\n      }");
    if (code == OK && s->dummy_prefix)
        code = buffer_append_string(b, ",\n      {\n        \"type\": \"Strip\",\n        \"content\": \" \",\n"
                                       "        \"start\": 1,\n        \"stop\": 0\n      }");
    return code == OK ? buffer_append_string(b, "\n    ]\n  }") : code;
}

static int append_model(struct buffer *b, const struct vocabulary *v) {
    const struct scheme *s = &v->scheme;
    int code = buffer_append_string(b, "  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n"
                                       "    \"unk_token\": ");
    if (code == OK)
        code = s->unknown == no_id ? buffer_append_string(b, "null") : append_token(b, v, s->unknown);
    if (code == OK)
        code = buffer_append_format(b,
                                    ",\n    \"continuing_subword_prefix\": null,\n"
                                    "    \"end_of_word_suffix\": null,\n    \"fuse_unk\": %s,\n"
                                    "    \"byte_fallback\": %s,\n    \"ignore_merges\": %s,\n",
                                    truth(s->fuse_unknown), truth(s->byte_fallback), truth(s->whole_words));
    if (code == OK)
        code = append_vocab(b, v);
    if (code == OK)
        code = append_merges(b, v);
    return code == OK ? buffer_append_string(b, "  }\n}") : code;
}

// ---- the whole ----

static int refuse(const char *what) {
    return error_set(ERROR_INPUT, "a tokenizer.json for %s cannot be written", what);
}

// What tokenizers cannot be told in our way of writing it.
static int check_scheme(const struct vocabulary *v) {
    const struct scheme *s = &v->scheme;
    bool split = s->symbols == SYMBOLS_BYTES && s->pattern != PATTERN_NONE && s->pattern != PATTERN_GPT2 &&
                 s->pattern != PATTERN_STARCODER2;
    if (s->model == MODEL_UNIGRAM)
        return refuse("a unigram model");
    if (s->normalizer == NORMALIZE_SENTENCEPIECE)
        return refuse("a model of SentencePiece with a normalizer");
    if (v->user_defined.units)
        return refuse("a model of SentencePiece with user-defined symbols");
    if (v->unused_ends.size > 0)
        return refuse("a model of SentencePiece with unused pieces");
    if (split && !pattern_expression(s->pattern))
        return refuse("this pattern");
    bool listed = lists_added(v);
    for (uint32_t i = 0; i < vocabulary_added_count(v); i++)
        if (listed && !vocabulary_added(v)[i].special && !vocabulary_added(v)[i].in_model)
            return refuse("added tokens of these ids");
    const struct merge *merges = (const struct merge *)v->merges.data;
    for (uint32_t i = 1; i < vocabulary_merge_count(v); i++)
        if (merges[i].rank == merges[i - 1].rank)
            return refuse("tokens of equal rank");
    return OK;
}

int vocabulary_json(const struct vocabulary *v, struct buffer *b) {
    static const char head[] = "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n";
    static const struct {
        const char *before;
        int (*append)(struct buffer *b, const struct scheme *s);
    } steps[] = {{"  \"normalizer\": ", append_normalizer},
                 {",\n  \"pre_tokenizer\": ", append_pre_tokenizer},
                 {",\n  \"post_processor\": null,\n  \"decoder\": ", append_decoder}};
    int code = check_scheme(v);
    if (code == OK)
        code = buffer_append_string(b, head);
    if (code == OK)
        code = append_added_tokens(b, v);
    for (size_t i = 0; i < sizeof steps / sizeof *steps && code == OK; i++) {
        code = buffer_append_string(b, steps[i].before);
        if (code == OK)
            code = steps[i].append(b, &v->scheme);
    }
    if (code == OK)
        code = buffer_append_string(b, ",\n");
    return code == OK ? append_model(b, v) : code;
}

int vocabulary_save(const struct vocabulary *v, const char *path) {
    struct buffer b = {0};
    struct output *out = NULL;
    int code = vocabulary_json(v, &b);
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
