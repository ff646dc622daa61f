// Vocabularies that rank tokens: their merges give what the definition gives, whatever the order of the ranks.
#include "base/random.h"
#include "check.h"
#include "text/vocabulary_private.h"

enum { TOKENS = 160, LONGEST = 80, LETTERS = 4, TEXT = 300 };

enum order { LEARNED, TIES, SWAPPED, SHUFFLED, ORDERS };

static uint32_t find(const struct vocabulary *v, const uint8_t *bytes, size_t size) {
    for (uint32_t id = 0; id < v->size; id++) {
        size_t other_size;
        const uint8_t *other = vocabulary_piece(v, id, &other_size);
        if (other_size == size && memcmp(other, bytes, size) == 0)
            return id;
    }
    return no_id;
}

// The bytes, then tokens that are mostly two of those before; some ids take no part.
static struct vocabulary *random_vocabulary(uint64_t seed, enum order order, uint32_t *rank) {
    struct vocabulary *v;
    CHECK_OK(vocabulary_new(&v));
    v->scheme = (struct scheme){.pattern = PATTERN_NONE, .unknown = no_id};
    for (uint32_t b = 0; b < BYTES; b++)
        CHECK_OK(vocabulary_add_token(v, &(uint8_t){(uint8_t)b}, 1));
    uint64_t next = 0, letters = 1 + seed % LETTERS;
    for (int tries = 0; v->size < BYTES + TOKENS && tries < 8 * TOKENS; tries++) {
        uint8_t bytes[2 * LONGEST];
        size_t size = 0;
        for (int part = 0; part < 2 + (tries % 16 == 0); part++) {
            uint64_t i = random_below(seed, 1, next++, v->size - BYTES + letters);
            size_t n;
            const uint8_t *piece =
                vocabulary_piece(v, (uint32_t)(i < letters ? 'a' + i : BYTES + i - letters), &n);
            if (size + n <= sizeof bytes)
                memcpy(bytes + size, piece, n);
            size += n;
        }
        if (size <= LONGEST && find(v, bytes, size) == no_id)
            CHECK_OK(vocabulary_add_token(v, bytes, size));
    }
    for (uint32_t id = 0; id < v->size; id++)
        rank[id] = order == TIES ? id / 3 * 3 : id;
    uint32_t swaps = order == SWAPPED ? TOKENS / 16 : order == SHUFFLED ? 4 * TOKENS : 0;
    for (uint32_t i = 0; i < swaps; i++) {
        uint32_t a = (uint32_t)random_below(seed, 2, 2 * i, v->size),
                 b = (uint32_t)random_below(seed, 2, 2 * i + 1, v->size), was = rank[a];
        rank[a] = rank[b];
        rank[b] = was;
    }
    for (uint32_t id = 0; id < v->size; id++)
        if (random_below(seed, 3, id, 24) == 0)
            rank[id] = no_id;
    CHECK_OK(vocabulary_index_pieces(v));
    CHECK_OK(vocabulary_merge_ranked(v, rank));
    CHECK_OK(vocabulary_seal(v));
    return v;
}

// Of all neighbours that make a token together those of the lowest rank, the leftmost among equals, until there
// are none.
static size_t merge_by_definition(const struct vocabulary *v, const uint32_t *rank, const uint8_t *text,
                                  size_t size, uint32_t *ids) {
    size_t begin[TEXT + 1], n = size;
    for (size_t i = 0; i <= size; i++)
        begin[i] = i;
    for (;;) {
        uint32_t best = no_id;
        size_t at = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            uint32_t id = find(v, text + begin[i], begin[i + 2] - begin[i]);
            if (id != no_id && rank[id] != no_id && (best == no_id || rank[id] < rank[best])) {
                best = id;
                at = i;
            }
        }
        if (best == no_id)
            break;
        memmove(begin + at + 1, begin + at + 2, (n - at - 1) * sizeof *begin);
        n--;
    }
    for (size_t i = 0; i < n; i++)
        ids[i] = find(v, text + begin[i], begin[i + 1] - begin[i]);
    return n;
}

static void merges_by_definition(uint64_t seed, enum order order) {
    enum { WORDS = 12 };
    uint32_t rank[BYTES + TOKENS], expected[TEXT];
    struct vocabulary *v = random_vocabulary(seed, order, rank);
    struct encoder *e;
    struct buffer ids = {0};
    CHECK_OK(encoder_new(&e, v));
    for (uint64_t word = 0; word < WORDS; word++) {
        uint8_t text[TEXT];
        size_t size = 1 + random_below(seed, 4, word, word % 3 == 0 ? TEXT : 40);
        for (size_t i = 0; i < size; i++)
            text[i] = (uint8_t)('a' + random_below(seed, 5 + word, i, LETTERS));
        size_t n = merge_by_definition(v, rank, text, size, expected);
        buffer_clear(&ids);
        CHECK_OK(encoder_encode(e, text, size, &ids));
        CHECK(ids.size == n * sizeof *expected && memcmp(ids.data, expected, ids.size) == 0);
    }
    buffer_release(&ids);
    encoder_free(e);
    vocabulary_free(v);
}

int main(void) {
    enum { VOCABULARIES = 12 };
    for (uint64_t seed = 0; seed < VOCABULARIES; seed++)
        for (enum order order = LEARNED; order < ORDERS; order++)
            merges_by_definition(seed, order);
    return check_report();
}
