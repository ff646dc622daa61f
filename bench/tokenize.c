// usage: tokenize split PATTERN FILE | tokenize encode VOCABULARY FILE [IDS]
// How fast a text is cut into words (what no encoder by words can exceed) and how fast it is encoded, in MB/s on
// one thread; the best of several passes. A document ends at the first line feed behind DOCUMENT bytes. IDS: a
// file for the ids of all documents behind each other, as 32-bit numbers.
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/progress.h"
#include "text/split.h"
#include "text/vocabulary.h"

#include <stdio.h>
#include <stdlib.h>

enum { PASSES = 3, WORDS_AT_ONCE = 256, DOCUMENT = 1 << 14 };

static int fail(void) {
    fprintf(stderr, "tokenize: %s\n", error_message());
    return 1;
}

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

// With `all`: keep every document's ids.
static int encode_all(struct encoder *e, const struct buffer *text, struct buffer *ids, struct buffer *all) {
    int code = OK;
    for (size_t begin = 0, end; begin < text->size && code == OK; begin = end) {
        end = document_end(text, begin);
        buffer_clear(ids);
        code = encoder_encode(e, text->data + begin, end - begin, ids);
        if (code == OK && all)
            code = buffer_append(all, ids->data, ids->size);
    }
    return code;
}

static int time_encoder(const char *path, const struct buffer *text, const char *ids_path, double *best) {
    struct vocabulary *v = NULL;
    struct encoder *e = NULL;
    struct buffer ids = {0}, all = {0};
    int code = vocabulary_load(&v, path);
    if (code == OK)
        code = encoder_new(&e, v);
    for (int pass = 0; pass < PASSES && code == OK; pass++) {
        double start = clock_seconds();
        code = encode_all(e, text, &ids, NULL);
        double seconds = clock_seconds() - start;
        *best = pass == 0 || seconds < *best ? seconds : *best;
    }
    if (code == OK && ids_path) {
        code = encode_all(e, text, &ids, &all);
        FILE *f = code == OK ? fopen(ids_path, "wb") : NULL;
        bool written = f && fwrite(all.data, 1, all.size, f) == all.size;
        if (code == OK && (!f || fclose(f) != 0 || !written))
            code = error_set_errno(ERROR_SYSTEM, "%s", ids_path);
    }
    encoder_free(e);
    vocabulary_free(v);
    buffer_release(&ids);
    buffer_release(&all);
    return code;
}

int main(int argc, char **argv) {
    bool split = argc == 4 && strcmp(argv[1], "split") == 0;
    if (!split && !(argc >= 4 && argc <= 5 && strcmp(argv[1], "encode") == 0)) {
        fprintf(stderr, "usage: tokenize split PATTERN FILE | tokenize encode VOCABULARY FILE [IDS]\n");
        return 2;
    }
    int pattern = split ? pattern_find(argv[2]) : 0;
    struct buffer text = {0};
    double best = 0;
    if (file_read(argv[3], SIZE_MAX - 1, &text) != OK)
        return fail();
    for (int pass = 0; pass < PASSES && split && pattern >= 0; pass++) {
        double start = clock_seconds();
        split_all((enum text_pattern)pattern, &text);
        double seconds = clock_seconds() - start;
        best = pass == 0 || seconds < best ? seconds : best;
    }
    if (!split && time_encoder(argv[2], &text, argc > 4 ? argv[4] : NULL, &best) != OK)
        return fail();
    if (text.size == 0 || best <= 0) {
        fprintf(stderr, "tokenize: nothing to measure: an empty text or an unknown pattern\n");
        return 1;
    }
    printf("%.3f\n", (double)text.size / best / 1e6);
    buffer_release(&text);
    return 0;
}
