// A set of digests: 16 bytes each in a table that is between three and six eighths full (21 to 43 bytes a digest;
// half as much again while it grows).
#ifndef TACIT_TOKENIZE_DIGEST_SET_H
#define TACIT_TOKENIZE_DIGEST_SET_H

#include "base/hash.h"

struct digest_set { // zero-initialise
    struct digest *slots;
    uint64_t mask, count; // a power of two of slots, less one; none: 0
};

bool digest_set_has(const struct digest_set *s, const struct digest *digest);
int digest_set_add(struct digest_set *s, const struct digest *digest, bool *added); // false: it was there
void digest_set_release(struct digest_set *s);

#endif
