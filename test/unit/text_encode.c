// Ids: Hugging Face's (golden), and decode(encode(x)) = x for any bytes.
#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"
#include "check.h"
#include "text/vocabulary_private.h"

#include <stdlib.h>

static char *golden_path(const char *name) {
    const char *folder = getenv("TACIT_GOLDEN");
    return string_format("%s/tokenizer/%s", folder ? folder : "test/golden", name);
}

static void read_golden(const char *name, struct buffer *out) {
    char *path = golden_path(name);
    CHECK_OK(file_read(path, 1 << 24, out));
    free(path);
}

static struct vocabulary *load_golden(const char *name) {
    struct vocabulary *v;
    char *path = golden_path(name);
    CHECK_OK(vocabulary_load(&v, path));
    free(path);
    return v;
}

// The ids of a NUL-separated document file, a line of decimal numbers per document.
static void check_ids(const char *vocabulary, const char *expected) {
    struct buffer text = {0}, lines = {0}, got = {0}, ids = {0};
    struct vocabulary *v = load_golden(vocabulary);
    struct encoder *e;
    CHECK_OK(encoder_new(&e, v));
    read_golden("documents.txt", &text);
    read_golden(expected, &lines);
    for (size_t at = 0; at <= text.size;) {
        size_t size = strlen((const char *)text.data + at); // file_read puts a 0 behind the last one
        buffer_clear(&ids);
        CHECK_OK(encoder_encode(e, text.data + at, size, &ids));
        for (size_t i = 0; i < ids.size / 4; i++)
            CHECK_OK(buffer_append_format(&got, "%s%u", i > 0 ? " " : "", ((const uint32_t *)ids.data)[i]));
        CHECK_OK(buffer_append_string(&got, "\n"));
        at += size + 1;
    }
    CHECK_EQUAL_INT(got.size, lines.size);
    size_t same = 0;
    while (same < got.size && same < lines.size && got.data[same] == lines.data[same])
        same++;
    CHECK_EQUAL_INT(same, lines.size);
    encoder_free(e);
    vocabulary_free(v);
    buffer_release(&text);
    buffer_release(&lines);
    buffer_release(&got);
    buffer_release(&ids);
}

static bool comes_back(struct encoder *e, const struct vocabulary *v, const uint8_t *text, size_t size) {
    struct buffer ids = {0}, back = {0};
    CHECK_OK(encoder_encode(e, text, size, &ids));
    for (size_t i = 0; i < ids.size / 4; i++) {
        size_t n;
        const uint8_t *bytes = vocabulary_bytes(v, ((const uint32_t *)ids.data)[i], &n);
        CHECK_OK(buffer_append(&back, bytes, n));
    }
    bool same = back.size == size && (size == 0 || memcmp(back.data, text, size) == 0);
    buffer_release(&ids);
    buffer_release(&back);
    return same;
}

static void round_trips(void) {
    enum { ROUNDS = 3000, MOST = 200 };
    static const char alphabet[] = "the aing  'sre\n\t12\xd0\xb0\xe4\xb8\x80\xff!";
    struct vocabulary *v = load_golden("tokenizer.json");
    struct encoder *e;
    CHECK_OK(encoder_new(&e, v));
    for (uint64_t round = 0; round < ROUNDS; round++) {
        uint8_t text[MOST];
        size_t size = random_below(1, 2 * round, 0, MOST);
        for (size_t i = 0; i < size; i++) {
            uint64_t r = random_bits(1, 2 * round + 1, i);
            text[i] = (uint8_t)(round % 2 ? r : (uint64_t)alphabet[r % (sizeof alphabet - 1)]);
        }
        CHECK(comes_back(e, v, text, size));
    }
    encoder_free(e);
    vocabulary_free(v);
}

// One word of four megabytes: only an encoder whose cost is near linear comes to its end.
static void long_word(void) {
    const size_t size = (size_t)4 << 20;
    struct vocabulary *v = load_golden("tokenizer.json");
    struct encoder *e;
    uint8_t *text = malloc(size);
    CHECK_OK(encoder_new(&e, v));
    for (size_t i = 0; text && i < size; i++)
        text[i] = (uint8_t) "theandriver"[random_below(2, 0, i, 11)];
    CHECK(text && comes_back(e, v, text, size));
    free(text);
    encoder_free(e);
    vocabulary_free(v);
}

static void special_tokens(void) {
    struct vocabulary *v = load_golden("foreign.json");
    struct encoder *e;
    struct buffer ids = {0};
    size_t size;
    CHECK_EQUAL_INT(vocabulary_end_of_text(v), 0);
    CHECK_EQUAL_STRING(vocabulary_special(v, 0), "<|endoftext|>");
    CHECK(vocabulary_special(v, 1) == NULL);
    vocabulary_bytes(v, 0, &size);
    CHECK_EQUAL_INT(size, 0);
    CHECK_OK(encoder_new(&e, v));
    CHECK_OK(encoder_encode(e, (const uint8_t *)"<|endoftext|>", 13, &ids));
    for (size_t i = 0; i < ids.size / 4; i++)
        CHECK(((const uint32_t *)ids.data)[i] != 0); // text never makes the token
    encoder_free(e);
    vocabulary_free(v);
    buffer_release(&ids);
}

// What was loaded is written so that it loads as the same vocabulary.
static void check_saves(struct vocabulary *v) {
    struct vocabulary *again;
    CHECK_OK(vocabulary_save(v, "again.json"));
    CHECK_OK(vocabulary_load(&again, "again.json"));
    remove("again.json");
    struct digest a = vocabulary_digest(v), b = vocabulary_digest(again);
    CHECK(digest_equal(&a, &b));
    vocabulary_free(v);
    vocabulary_free(again);
}

static void save_again(void) {
    static const char *const schemes[] = {"first", "always", "never"};
    check_saves(load_golden("tokenizer.json"));
    check_saves(load_golden("foreign.json"));
    // With and without a token for unknown characters, which are dropped without; with whole words; with words.
    for (int i = 0; i < 24; i++) {
        struct vocabulary *v;
        FILE *file = fopen("metaspace.json", "w");
        fprintf(file,
                "{\"pre_tokenizer\": {\"type\": \"Metaspace\", \"replacement\": \"\u2581\", "
                "\"prepend_scheme\": \"%s\", \"split\": %s}, \"model\": {\"type\": \"BPE\", \"unk_token\": %s, "
                "\"ignore_merges\": %s, "
                "\"vocab\": {\"a\": 0, \"\u2581\": 1, \"\u2581a\": 2, \"?!\": 3}, \"merges\": [\"\u2581 a\"]}}",
                schemes[i % 3], i < 12 ? "true" : "false", i / 3 % 2 == 0 ? "null" : "\"?!\"",
                i / 6 % 2 == 0 ? "true" : "false");
        fclose(file);
        CHECK_OK(vocabulary_load(&v, "metaspace.json"));
        remove("metaspace.json");
        check_saves(v);
    }
}

// ---- merges, against the definition ----

enum { MERGES = 120, LONGEST = 9 };

// Bytes and random merges of what there is; now and then two of the same rank, or two pairs that make the same
// token.
static struct vocabulary *random_vocabulary(uint64_t seed) {
    static const char *const letters[] = {"a", "b", "c", " ", "\xe3\x81\x82", "\xe3\x81\x84", "\xe6\xbc\xa2"};
    uint32_t used[BYTES + MERGES], count = 0, rank = 0;
    struct vocabulary *v;
    CHECK_OK(vocabulary_new(&v));
    v->scheme = (struct scheme){.pattern = PATTERN_NONE, .unknown = no_id};
    bool seen[BYTES] = {false};
    for (size_t i = 0; i < sizeof letters / sizeof *letters; i++)
        for (const char *c = letters[i]; *c; c++)
            seen[(uint8_t)*c] = true;
    for (uint32_t b = 0; b < BYTES; b++) {
        uint8_t byte = (uint8_t)b;
        CHECK_OK(vocabulary_add_token(v, &byte, 1));
        if (seen[b])
            used[count++] = b;
    }
    for (uint64_t i = 0; i < 8 * MERGES && count < MERGES; i++) {
        uint32_t left = used[random_below(seed, 1, 3 * i, count)],
                 right = used[random_below(seed, 1, 3 * i + 1, count)];
        size_t left_size, right_size;
        uint8_t bytes[2 * LONGEST];
        const uint8_t *piece = vocabulary_piece(v, left, &left_size);
        memcpy(bytes, piece, left_size);
        piece = vocabulary_piece(v, right, &right_size);
        if (left_size + right_size > LONGEST)
            continue;
        memcpy(bytes + left_size, piece, right_size);
        uint32_t result = v->size;
        for (uint32_t id = 0; id < v->size; id++) {
            size_t size;
            piece = vocabulary_piece(v, id, &size);
            if (size == left_size + right_size && memcmp(piece, bytes, size) == 0)
                result = id;
        }
        bool known = false;
        for (uint32_t m = 0; m < vocabulary_merge_count(v); m++)
            known |= ((struct merge *)v->merges.data)[m].left == left &&
                     ((struct merge *)v->merges.data)[m].right == right;
        if (known)
            continue;
        if (result == v->size) {
            CHECK_OK(vocabulary_add_token(v, bytes, left_size + right_size));
            used[count++] = result;
        }
        rank += random_below(seed, 1, 3 * i + 2, 4) > 0;
        CHECK_OK(vocabulary_add_ranked_merge(v, &(struct merge){left, right, result, rank}));
    }
    CHECK_OK(vocabulary_seal(v));
    return v;
}

// The pair with the lowest rank, the leftmost among equals, until there is none.
static size_t merge_by_definition(const struct vocabulary *v, uint32_t *ids, size_t n) {
    for (;;) {
        const struct pair_slot *best = NULL;
        size_t at = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            const struct pair_slot *pair = vocabulary_pair(v, ids[i], ids[i + 1]);
            if (pair && (!best || pair->rank < best->rank)) {
                best = pair;
                at = i;
            }
        }
        if (!best)
            return n;
        ids[at] = best->result;
        memmove(ids + at + 1, ids + at + 2, (n - at - 2) * sizeof *ids);
        n--;
    }
}

// Words of all sizes: runs of one letter, repeated phrases, random text.
static size_t random_word(uint64_t seed, uint64_t round, uint8_t *text, size_t most) {
    static const char *const letters[] = {"a",   "b", "c", " ", "\xe3\x81\x82", "\xe3\x81\x84", "\xe6\xbc\xa2",
                                          "\xe3"};
    size_t size = 0, wanted = 1 + random_below(seed, 2, 2 * round, round % 3 ? 40 : most - 8);
    uint64_t kinds = 1 + random_below(seed, 2, 2 * round + 1, 8),
             phrase = round % 4 == 1 ? 3 + round % 7 : UINT64_MAX;
    for (uint64_t i = 0; size < wanted; i++) {
        const char *letter = letters[random_below(seed, 3 + round, i % phrase, kinds)];
        memcpy(text + size, letter, strlen(letter));
        size += strlen(letter);
    }
    return size;
}

static void merges_by_definition(void) {
    enum { VOCABULARIES = 40, WORDS = 60, MOST = 700 };
    struct buffer ids = {0};
    for (uint64_t seed = 0; seed < VOCABULARIES; seed++) {
        struct vocabulary *v = random_vocabulary(seed);
        struct encoder *e;
        CHECK_OK(encoder_new(&e, v));
        for (uint64_t round = 0; round < WORDS; round++) {
            uint8_t text[MOST];
            uint32_t expected[MOST];
            size_t size = random_word(seed, round, text, MOST), n;
            for (size_t i = 0; i < size; i++)
                expected[i] = text[i];
            n = merge_by_definition(v, expected, size);
            buffer_clear(&ids);
            CHECK_OK(encoder_encode(e, text, size, &ids));
            CHECK(ids.size == n * sizeof *expected && memcmp(ids.data, expected, ids.size) == 0);
        }
        encoder_free(e);
        vocabulary_free(v);
    }
    buffer_release(&ids);
}

// "abc" with the added tokens "ab" and "bc": who is not normalized is found first, without a normalizer too (the
// ids are those of tokenizers), and the digest tells such vocabularies apart.
static void normalized_tokens(void) {
    static const struct {
        bool ab, bc;
        uint32_t ids[2];
    } cases[] = {
        {false, false, {BYTES, 'c'}},
        {true, true, {BYTES, 'c'}},
        {false, true, {BYTES, 'c'}},
        {true, false, {'a', BYTES + 1}},
    };
    struct digest digests[sizeof cases / sizeof *cases];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct vocabulary *v;
        struct encoder *e;
        struct buffer ids = {0};
        struct added ab = {.id = BYTES, .text = (char *)"ab", .normalized = cases[i].ab},
                     bc = {.id = BYTES + 1, .text = (char *)"bc", .normalized = cases[i].bc};
        CHECK_OK(vocabulary_new(&v));
        for (int b = 0; b < BYTES; b++)
            CHECK_OK(vocabulary_add_token(v, &(uint8_t){(uint8_t)b}, 1));
        CHECK_OK(vocabulary_add_added(v, &ab));
        CHECK_OK(vocabulary_add_token(v, (const uint8_t *)"ab", 2));
        CHECK_OK(vocabulary_add_added(v, &bc));
        CHECK_OK(vocabulary_add_token(v, (const uint8_t *)"bc", 2));
        CHECK_OK(vocabulary_seal(v));
        CHECK_OK(encoder_new(&e, v));
        CHECK_OK(encoder_encode(e, (const uint8_t *)"abc", 3, &ids));
        CHECK(ids.size == sizeof cases[i].ids && memcmp(ids.data, cases[i].ids, ids.size) == 0);
        digests[i] = vocabulary_digest(v);
        encoder_free(e);
        buffer_release(&ids);
        check_saves(v);
    }
    CHECK(digest_equal(&digests[0], &digests[1]));
    CHECK(!digest_equal(&digests[0], &digests[3]) && !digest_equal(&digests[2], &digests[3]));
}

int main(void) {
    check_ids("tokenizer.json", "ids.txt");
    check_ids("foreign.json", "foreign.ids");
    round_trips();
    long_word();
    special_tokens();
    save_again();
    normalized_tokens();
    merges_by_definition();
    return check_report();
}
