#include "tokenize/digest_set.h"
#include "base/error.h"
#include "base/memory.h"

#include <stdlib.h>

enum { SLOTS_FIRST = 1 << 10 };

// Where the digest is, or would be. All zeros marks a free slot; no document is known to have that digest, and one
// that had it would never count as a duplicate.
static uint64_t find(const struct digest *slots, uint64_t mask, const struct digest *digest) {
    uint64_t i = load_le(digest->bytes, 8) & mask;
    while (digest_known(&slots[i]) && !digest_equal(&slots[i], digest))
        i = (i + 1) & mask;
    return i;
}

bool digest_set_has(const struct digest_set *s, const struct digest *digest) {
    return s->slots && digest_known(&s->slots[find(s->slots, s->mask, digest)]);
}

static int grow(struct digest_set *s) {
    uint64_t count = s->slots ? 2 * (s->mask + 1) : SLOTS_FIRST;
    struct digest *slots = memory_new(count, sizeof *slots);
    if (!slots)
        return ERROR_SYSTEM;
    for (uint64_t i = 0; s->slots && i <= s->mask; i++)
        if (digest_known(&s->slots[i]))
            slots[find(slots, count - 1, &s->slots[i])] = s->slots[i];
    free(s->slots);
    s->slots = slots;
    s->mask = count - 1;
    return OK;
}

int digest_set_add(struct digest_set *s, const struct digest *digest, bool *added) {
    *added = !digest_set_has(s, digest);
    if (!*added)
        return OK;
    if (!s->slots || 4 * (s->count + 1) > 3 * (s->mask + 1)) {
        int code = grow(s);
        if (code != OK)
            return code;
    }
    s->slots[find(s->slots, s->mask, digest)] = *digest;
    s->count++;
    return OK;
}

void digest_set_release(struct digest_set *s) {
    free(s->slots);
    *s = (struct digest_set){0};
}
