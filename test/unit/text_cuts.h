// What the checks of cuts share: numbers at random, a text cut wherever it may be, golden models.
#ifndef TACIT_TEST_UNIT_TEXT_CUTS_H
#define TACIT_TEST_UNIT_TEXT_CUTS_H

#include "base/memory.h"
#include "base/random.h"
#include "check.h"
#include "text/cutting.h"
#include "text/vocabulary.h"

#include <stdlib.h>

static inline uint32_t pick(uint32_t n) {
    static uint64_t counter;
    return (uint32_t)random_below(7, 0, counter++, n);
}

static inline void append_part(struct encoder *e, const uint8_t *text, size_t begin, size_t end,
                               struct buffer *ids) {
    if (begin > 0)
        encoder_continue(e);
    CHECK_OK(encoder_encode(e, text + begin, end - begin, ids));
}

// Cut a text, of which first so many bytes are known and then up to `step` more each time, wherever it may be; how
// often, or -1 where the ids are others.
static inline int cut_up(struct encoder *e, const struct vocabulary *v, const struct buffer *text, size_t first,
                         uint32_t step) {
    struct buffer whole = {0}, parts = {0};
    size_t begin = 0, from = 0;
    int cuts = 0;
    CHECK_OK(encoder_encode(e, text->data, text->size, &whole));
    for (size_t known = first; known < text->size; known += 1 + pick(step)) {
        if (known - begin < 3)
            continue;
        size_t cut = vocabulary_cut_in_order(v, text->data + begin, from, known - begin, begin > 0);
        from = known - begin - 2;
        if (cut == 0)
            continue;
        append_part(e, text->data, begin, begin + cut, &parts);
        begin += cut;
        from = 0;
        cuts++;
    }
    append_part(e, text->data, begin, text->size, &parts);
    bool same = whole.size == parts.size && (whole.size == 0 || memcmp(whole.data, parts.data, whole.size) == 0);
    buffer_release(&whole);
    buffer_release(&parts);
    return same ? cuts : -1;
}

// Models of SentencePiece: with symbols, a character map, pieces that go across words.
static const char *const golden_models[] = {"llama", "symbols", "unigram", "inner"};
enum { GOLDEN_MODELS = sizeof golden_models / sizeof *golden_models };

static inline struct vocabulary *load_golden(int model) {
    const char *golden = getenv("TACIT_GOLDEN");
    char *path = string_format("%s/sentencepiece/%s.model", golden ? golden : "test/golden", golden_models[model]);
    struct vocabulary *v;
    CHECK_OK(vocabulary_load(&v, path));
    free(path);
    return v;
}

#endif
