// Which format a vocabulary's file has, and from there on.
#include "base/error.h"
#include "base/file.h"
#include "text/sentencepiece.h"
#include "text/vocabulary_private.h"

static const size_t file_limit = (size_t)128 << 20;

enum format { FORMAT_JSON, FORMAT_TIKTOKEN, FORMAT_SENTENCEPIECE, FORMAT_UNKNOWN };

// A SentencePiece model is a protobuf message that begins with its field 1, the pieces: a 0x0a, which is also a
// line feed, so the texts are looked for first.
static enum format find_format(const uint8_t *data, size_t size) {
    size_t blank = 0;
    while (blank < size && memchr(" \t\r\n", data[blank], 4))
        blank++;
    if (blank < size && (data[blank] == '{' || data[blank] == '['))
        return FORMAT_JSON;
    if (vocabulary_is_tiktoken(data, size))
        return FORMAT_TIKTOKEN;
    return size > 0 && data[0] == 0x0a ? FORMAT_SENTENCEPIECE : FORMAT_UNKNOWN;
}

static int read_file(struct vocabulary *v, const struct buffer *file, const char *path,
                     const struct vocabulary_options *options) {
    enum format format = find_format(file->data, file->size);
    if (options->pattern && format == FORMAT_UNKNOWN)
        format = FORMAT_TIKTOKEN; // whose reader names the place that is wrong
    if (options->pattern && format != FORMAT_TIKTOKEN)
        return error_set(ERROR_USAGE,
                         "a pattern is for rank files of tiktoken; this file says itself how to split");
    switch (format) {
    case FORMAT_JSON:
        return vocabulary_read_json(v, file->data, file->size);
    case FORMAT_TIKTOKEN:
        return vocabulary_read_tiktoken(v, file->data, file->size, path, options->pattern);
    case FORMAT_SENTENCEPIECE:
        return sentencepiece_read(v, file->data, file->size);
    case FORMAT_UNKNOWN:
        break;
    }
    return error_set(ERROR_INPUT,
                     "no vocabulary: neither a tokenizer.json (tokenize --learn makes one) nor a rank file of "
                     "tiktoken nor a model of SentencePiece");
}

static int choose_end_of_text(struct vocabulary *v, const char *name) {
    if (!name)
        return OK;
    v->end_of_text = vocabulary_find_special(v, name);
    return v->end_of_text != no_id ? OK : error_set(ERROR_INPUT, "\"%.64s\" is no special token", name);
}

int vocabulary_parse(struct vocabulary **out, const struct buffer *file, const char *path,
                     const struct vocabulary_options *options) {
    struct vocabulary *v = NULL;
    *out = NULL;
    int code = vocabulary_new(&v);
    if (code == OK) {
        code = read_file(v, file, path, options);
        if (code == OK)
            code = vocabulary_seal(v);
        if (code == OK)
            code = choose_end_of_text(v, options->end_of_text);
        if (code != OK)
            error_prefix(code, "%s", input_name(path));
    }
    if (code == OK)
        *out = v;
    else
        vocabulary_free(v);
    return code;
}

int vocabulary_load_with(struct vocabulary **out, const char *path, const struct vocabulary_options *options) {
    struct buffer file = {0};
    *out = NULL;
    if (path_is_directory(path))
        return error_set(ERROR_SYSTEM, "%s: is a directory; a checkpoint's vocabulary is %s/tokenizer.json", path,
                         path);
    int code = file_read(path, file_limit, &file);
    if (code == OK)
        code = vocabulary_parse(out, &file, path, options);
    buffer_release(&file);
    return code;
}

int vocabulary_load(struct vocabulary **out, const char *path) {
    struct vocabulary_options none = {0};
    return vocabulary_load_with(out, path, &none);
}
