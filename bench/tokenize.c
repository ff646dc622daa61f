// usage: tokenize split PATTERN TEXT            how fast a text is cut into words: no encoder by words is faster
//        tokenize encode VOCABULARY TEXT [IDS]  how fast it is encoded
//        tokenize save VOCABULARY TOKENIZER     the vocabulary as a tokenizer.json, for who knows no other form
//        tokenize lines TEXT LINES              the documents of the text as JSON lines
// Speeds are in MB/s on one thread, the best of several passes, each of which begins with an empty cache of words.
// A document of the text ends at the first line feed behind DOCUMENT bytes. IDS: for every document how many ids
// it has, and these, as 32-bit numbers.
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/progress.h"
#include "text/split.h"
#include "text/vocabulary.h"

#include <stdio.h>
#include <stdlib.h>

enum { PASSES = 3, SECONDS = 3, WORDS_AT_ONCE = 256, DOCUMENT = 1 << 14 }; // no pass begins after SECONDS

static size_t document_end(const struct buffer *text, size_t begin) {
    if (text->size - begin <= DOCUMENT)
        return text->size;
    const uint8_t *from = text->data + begin + DOCUMENT, *line = memchr(from, '\n', text->size - begin - DOCUMENT);
    return line ? (size_t)(line + 1 - text->data) : text->size;
}

static void split_all(enum text_pattern pattern, const struct buffer *text) {
    size_t ends[WORDS_AT_ONCE];
    for (size_t begin = 0, end; begin < text->size; begin = end) {
        end = document_end(text, begin);
        for (size_t at = begin; at < end; at = begin + ends[0])
            ends[0] =
                ends[split_words(pattern, text->data + begin, end - begin, at - begin, ends, WORDS_AT_ONCE) - 1];
    }
}

// With `all`: keep every document's ids there, and how many they are.
static int encode_all(const struct vocabulary *v, const struct buffer *text, struct buffer *all) {
    struct encoder *e;
    struct buffer ids = {0};
    int code = encoder_new(&e, v);
    for (size_t begin = 0, end; begin < text->size && code == OK; begin = end) {
        end = document_end(text, begin);
        buffer_clear(&ids);
        code = encoder_encode(e, text->data + begin, end - begin, &ids);
        uint32_t count = (uint32_t)(ids.size / sizeof count);
        if (code == OK && all)
            code = buffer_append(all, &count, sizeof count);
        if (code == OK && all)
            code = buffer_append(all, ids.data, ids.size);
    }
    encoder_free(e);
    buffer_release(&ids);
    return code;
}

// Of v == NULL: cutting by the pattern.
static int time_passes(const struct vocabulary *v, enum text_pattern pattern, const struct buffer *text) {
    double best = 0, all = 0;
    int code = OK;
    for (int pass = 0; pass < PASSES && all < SECONDS && code == OK; pass++) {
        double start = clock_seconds();
        if (v)
            code = encode_all(v, text, NULL);
        else
            split_all(pattern, text);
        double seconds = clock_seconds() - start;
        all += seconds;
        best = pass == 0 || seconds < best ? seconds : best;
    }
    if (code == OK && best <= 0)
        return error_set(ERROR_USAGE, "nothing to measure");
    if (code == OK)
        printf("%.3f\n", (double)text->size / best / 1e6);
    return code;
}

static int split(char **arguments) {
    struct buffer text = {0};
    int pattern = pattern_find(arguments[0]);
    int code = pattern < 0 ? error_set(ERROR_USAGE, "%s: no such pattern", arguments[0])
                           : file_read(arguments[1], SIZE_MAX - 1, &text);
    if (code == OK)
        code = time_passes(NULL, (enum text_pattern)pattern, &text);
    buffer_release(&text);
    return code;
}

static int encode(char **arguments) {
    struct vocabulary *v = NULL;
    struct buffer text = {0}, all = {0};
    int code = file_read(arguments[1], SIZE_MAX - 1, &text);
    if (code == OK)
        code = vocabulary_load(&v, arguments[0]);
    if (code == OK)
        code = time_passes(v, 0, &text);
    if (code == OK && arguments[2])
        code = encode_all(v, &text, &all);
    if (code == OK && arguments[2])
        code = file_write(arguments[2], all.data, all.size);
    vocabulary_free(v);
    buffer_release(&text);
    buffer_release(&all);
    return code;
}

static int save(char **arguments) {
    struct vocabulary *v = NULL;
    int code = vocabulary_load(&v, arguments[0]);
    if (code == OK)
        code = vocabulary_save(v, arguments[1]);
    vocabulary_free(v);
    return code;
}

static int lines(char **arguments) {
    struct buffer text = {0}, all = {0};
    int code = file_read(arguments[0], SIZE_MAX - 1, &text);
    for (size_t begin = 0, end; begin < text.size && code == OK; begin = end) {
        end = document_end(&text, begin);
        const char *document = (const char *)text.data + begin;
        if (!json_is_utf8(document, end - begin)) {
            code = error_set(ERROR_INPUT, "%s: byte %zu: a document that is no UTF-8", arguments[0], begin);
            break;
        }
        json_t *object = json_pack("{s:s%}", "text", document, end - begin);
        char *line = json_text(object, JSON_COMPACT);
        code = line ? buffer_append_format(&all, "%s\n", line) : ERROR_SYSTEM;
        json_decref(object);
        free(line);
    }
    if (code == OK)
        code = file_write(arguments[1], all.data, all.size);
    buffer_release(&text);
    buffer_release(&all);
    return code;
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        int least, most;
        int (*run)(char **arguments);
    } commands[] = {
        {"split", 2, 2, split}, {"encode", 2, 3, encode}, {"save", 2, 2, save}, {"lines", 2, 2, lines}};
    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof *commands; i++)
        if (strcmp(argv[1], commands[i].name) == 0 && argc - 2 >= commands[i].least &&
            argc - 2 <= commands[i].most) {
            if (commands[i].run(argv + 2) == OK)
                return 0;
            fprintf(stderr, "tokenize: %s\n", error_message());
            return 1;
        }
    fprintf(stderr,
            "usage: tokenize split PATTERN TEXT | encode VOCABULARY TEXT [IDS] | save VOCABULARY TOKENIZER | "
            "lines TEXT LINES\n");
    return 2;
}
