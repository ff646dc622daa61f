// usage: tokenize FILE...
// How fast text is cut into words, in MB/s: what no encoder by words can exceed. The best of several passes.
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/progress.h"
#include "text/split.h"

#include <stdio.h>

enum { PASSES = 3, WORDS_AT_ONCE = 256 };

int main(int argc, char **argv) {
    uint64_t bytes = 0;
    double best[PASSES] = {0}, least = 0;
    for (int i = 1; i < argc; i++) {
        struct buffer text = {0};
        if (file_read(argv[i], SIZE_MAX - 1, &text) != OK) {
            fprintf(stderr, "tokenize: %s\n", error_message());
            return 1;
        }
        bytes += text.size;
        for (int pass = 0; pass < PASSES; pass++) {
            double start = clock_seconds();
            size_t ends[WORDS_AT_ONCE], n = 0, begin = 0;
            for (; begin < text.size; begin = ends[n - 1])
                n = split_words(PATTERN_GPT2, text.data, text.size, begin, ends, WORDS_AT_ONCE);
            best[pass] += clock_seconds() - start;
        }
        buffer_release(&text);
    }
    for (int pass = 0; pass < PASSES; pass++)
        least = pass == 0 || best[pass] < least ? best[pass] : least;
    if (bytes == 0 || least <= 0) {
        fprintf(stderr, "usage: tokenize FILE...\n");
        return 2;
    }
    printf("%.3f\n", (double)bytes / least / 1e6);
    return 0;
}
