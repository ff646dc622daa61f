// What the targets of vocabularies hold: one that was saved is loaded as it was; the ids of a text that is cut are
// those of the whole.
#ifndef TACIT_TEST_FUZZ_VOCABULARIES_H
#define TACIT_TEST_FUZZ_VOCABULARIES_H

#include "support.h"

#include "text/cutting.h"
#include "text/vocabulary_private.h"

static inline void fuzz_same_vocabulary(const struct vocabulary *a, const struct vocabulary *b) {
    struct digest x = vocabulary_digest(a), y = vocabulary_digest(b);
    REQUIRE(digest_equal(&x, &y));
    for (uint32_t id = 0; id < vocabulary_size(a); id++) {
        size_t n, m;
        const uint8_t *bytes = vocabulary_bytes(a, id, &n), *same = vocabulary_bytes(b, id, &m);
        REQUIRE(n == m && memcmp(bytes, same, n) == 0);
    }
}

static inline void fuzz_same_cut(const struct vocabulary *v, const uint8_t *text, size_t size) {
    struct encoder *e;
    struct buffer whole = {0}, parts = {0};
    uint8_t *known = fuzz_copy(text, size / 4 * 3); // what follows is not
    size_t cut = size < 8 ? 0 : vocabulary_cut_in_order(v, known, 0, size / 4 * 3, false);
    free(known);
    if (cut == 0)
        return;
    REQUIRE(cut < size / 4 * 3 - 1);
    for (int allowed = 0; allowed < 2; allowed++) {
        buffer_clear(&whole);
        buffer_clear(&parts);
        REQUIRE(encoder_new(&e, v) == OK);
        encoder_allow_special(e, allowed);
        REQUIRE(encoder_encode(e, text, size, &whole) == OK);
        REQUIRE(encoder_encode(e, text, cut, &parts) == OK);
        encoder_continue(e);
        REQUIRE(encoder_encode(e, text + cut, size - cut, &parts) == OK);
        REQUIRE(whole.size == parts.size && (whole.size == 0 || memcmp(whole.data, parts.data, whole.size) == 0));
        encoder_free(e);
    }
    buffer_release(&whole);
    buffer_release(&parts);
}

#endif
