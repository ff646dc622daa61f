// Long words: wherever one is cut inside, the ids of the parts are those of the whole, for vocabularies at random
// and every pattern.
#include "text/vocabulary_private.h"
#include "text_cuts.h"

enum { LONGEST = 24, ROUNDS = 2, TEXTS = 12, RUNS = 3, RUN = 1200 };

// Kinds of characters, of which long words are; and what stands between them. The last are of no kind.
static const char *const alphabets[][8] = {{"a", "b", "c", "s", "l"},
                                           {"A", "B", "S", "L"},
                                           {"a", "B", "s", "D"},
                                           {"0", "1", "7"},
                                           {"+", "=", "/", "#", "'"},
                                           {"/"},
                                           {"a"},
                                           {"A"},
                                           {"\xe3\x81\x82", "\xe6\x97\xa5", "\xe3\x82\xab"},
                                           {"\xd0\xb0", "\xd0\xb1", "\xd0\x92"},
                                           {"\xd0\xb0"},
                                           {"\xf0\x9f\x98\x80", "\xe2\x82\xac"},
                                           {" "},
                                           {" ", "\t"},
                                           {"\n", "\r"},
                                           {" ", "\n"},
                                           {"a", "1", "\xe6\x97\xa5", "A", "'", "\n"}};
static const char *const between[] = {" ",  "'",        "\n/",          "\n",           "a",        "Z",
                                      "7",  "\xcc\x81", "\xe6\x97\xa5", "\xc2\xbd",     "\xd0\xb0", "\xff",
                                      "'s", "'L",       "  ",           "\xe2\x96\x81", ".",        ""};
// KINDS: the first ones are always cut.
enum { KINDS = 8, ALPHABETS = sizeof alphabets / sizeof *alphabets, BETWEEN = sizeof between / sizeof *between };

static const char *pick_of(int alphabet) {
    uint32_t n = 0;
    while (n < 8 && alphabets[alphabet][n])
        n++;
    return alphabets[alphabet][pick(n)];
}

// ---- vocabularies ----

static bool has_token(const struct vocabulary *v, const uint8_t *bytes, size_t size) {
    bool there = false;
    for (uint32_t id = 0; id < v->size && !there; id++) {
        size_t n;
        const uint8_t *token = vocabulary_bytes(v, id, &n);
        there = n == size && memcmp(token, bytes, size) == 0;
    }
    return there;
}

// Maybe a token that is found in the text, of a few letters or spaces.
static void add_added(struct vocabulary *v, int alphabet) {
    struct buffer text = {0};
    if (pick(2) == 0)
        return;
    for (uint32_t n = 2 + pick(9); n > 0; n--)
        CHECK_OK(buffer_append_string(&text, pick_of(alphabet)));
    if (!has_token(v, text.data, text.size)) {
        CHECK_OK(buffer_append(&text, "", 1));
        CHECK_OK(vocabulary_add_token(v, (const uint8_t *)"", 0));
        struct added added = {.id = v->size - 1,
                              .text = (char *)text.data,
                              .special = pick(3) == 0,
                              .normalized = pick(2) == 0,
                              .strip_left = pick(3) == 0,
                              .single_word = pick(3) == 0};
        CHECK_OK(vocabulary_add_added(v, &added));
    }
    buffer_release(&text);
}

// The 256 bytes, and merges of tokens that stand for letters of one alphabet, or any two.
static struct vocabulary *make_vocabulary(const struct scheme *scheme, int alphabet) {
    struct vocabulary *v;
    CHECK_OK(vocabulary_new(&v));
    v->scheme = *scheme;
    for (int b = 0; b < BYTES; b++)
        CHECK_OK(vocabulary_add_token(v, &(uint8_t){(uint8_t)b}, 1));
    for (int tries = 0, merges = 20 + (int)pick(150); tries < 4 * merges; tries++) {
        // two that may stand side by side: the ends of what the text is made of
        uint8_t both[2 * LONGEST];
        size_t left_size, right_size;
        uint32_t left = v->size > BYTES && pick(2) ? BYTES + pick(v->size - BYTES) : (uint8_t)pick_of(alphabet)[0];
        uint32_t right =
            v->size > BYTES && pick(2) ? BYTES + pick(v->size - BYTES) : (uint8_t)pick_of(alphabet)[0];
        if (pick(3) == 0) // the inside of a character
            right = (uint8_t)pick_of(alphabet)[1] ? (uint8_t)pick_of(alphabet)[1] : right;
        const uint8_t *bytes = vocabulary_bytes(v, left, &left_size);
        memcpy(both, bytes, left_size);
        bytes = vocabulary_bytes(v, right, &right_size);
        memcpy(both + left_size, bytes, right_size);
        if (has_token(v, both, left_size + right_size) || left_size + right_size > LONGEST)
            continue;
        CHECK_OK(vocabulary_add_token(v, both, left_size + right_size));
        CHECK_OK(vocabulary_add_merge(v, left, right, v->size - 1));
    }
    add_added(v, alphabet);
    CHECK_OK(vocabulary_seal(v));
    return v;
}

// ---- texts ----

static void make_text(struct buffer *text, int alphabet) {
    buffer_clear(text);
    for (int run = 0; run < RUNS; run++) {
        for (uint32_t n = pick(4); n > 0; n--)
            CHECK_OK(buffer_append_string(text, between[pick(BETWEEN)]));
        for (uint32_t n = pick(RUN); n > 0; n--)
            CHECK_OK(buffer_append_string(text, pick_of(alphabet)));
    }
    CHECK_OK(buffer_append_string(text, between[pick(BETWEEN)]));
}

// Texts of one alphabet; the cuts, and how many were wrong.
static int cut_texts(const struct vocabulary *v, int alphabet, bool allow_special, int *wrong) {
    struct encoder *e;
    struct buffer text = {0};
    int cuts = 0;
    CHECK_OK(encoder_new(&e, v));
    encoder_allow_special(e, allow_special);
    for (int i = 0; i < TEXTS; i++) {
        make_text(&text, alphabet);
        int n = cut_up(e, v, &text, 100, 300);
        *wrong += n < 0;
        cuts += n > 0 ? n : 0;
    }
    encoder_free(e);
    buffer_release(&text);
    return cuts;
}

static void check_scheme(const struct scheme *scheme, int alphabet, int least) {
    int cuts = 0, wrong = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct vocabulary *v = make_vocabulary(scheme, alphabet);
        cuts += cut_texts(v, alphabet, round % 2, &wrong);
        vocabulary_free(v);
    }
    if (wrong > 0 || cuts <= least)
        printf("%s, alphabet %d: %d cuts, %d texts wrong\n", pattern_name(scheme->pattern), alphabet, cuts, wrong);
    CHECK_EQUAL_INT(wrong, 0);
    CHECK(cuts > least);
}

static void check_golden(const struct vocabulary *v) {
    for (int alphabet = 0; alphabet < ALPHABETS; alphabet++) {
        int wrong = 0, cuts = 0;
        for (int round = 0; round < ROUNDS; round++)
            cuts += cut_texts(v, alphabet, pick(2), &wrong);
        CHECK_EQUAL_INT(wrong, 0);
        CHECK(cuts > 0);
    }
}

int main(void) {
    for (int alphabet = 0; alphabet < ALPHABETS; alphabet++) {
        for (int pattern = PATTERN_NONE; pattern <= PATTERN_O200K; pattern++) {
            struct scheme scheme = {
                .pattern = (enum text_pattern)pattern, .unknown = no_id, .whole_words = pattern % 2 == 1};
            check_scheme(&scheme, alphabet, alphabet < KINDS ? 0 : -1);
            scheme.normalizer = NORMALIZE_NFC;
            scheme.whole_words = !scheme.whole_words;
            check_scheme(&scheme, alphabet, alphabet < KINDS ? 0 : -1);
        }
    }
    for (int model = 0; model < GOLDEN_MODELS; model++) {
        struct vocabulary *v = load_golden(model);
        check_golden(v);
        vocabulary_free(v);
    }
    return check_report();
}
