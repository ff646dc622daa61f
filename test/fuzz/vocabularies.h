// What the targets of vocabularies hold: one that was saved is loaded as it was.
#ifndef TACIT_TEST_FUZZ_VOCABULARIES_H
#define TACIT_TEST_FUZZ_VOCABULARIES_H

#include "support.h"

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

#endif
