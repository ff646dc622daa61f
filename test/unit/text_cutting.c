// Cuts: for every vocabulary, the ids of the parts are those of the whole, wherever a text may be cut.
#include "text/split.h"
#include "text/vocabulary_private.h"
#include "text_cuts.h"

// What stands at the borders that matter: letters of several kinds, marks, digits, white space, signs.
static const char *const characters[] = {"a",
                                         "B",
                                         "7",
                                         "0",
                                         " ",
                                         "\n",
                                         "\r",
                                         "\t",
                                         "'",
                                         "s",
                                         "/",
                                         ".",
                                         ",",
                                         "_",
                                         "\xcc\x81",
                                         "\xc3\xa9",
                                         "\xe6\x97\xa5",
                                         "\xe3\x81\x82",
                                         "\xe3\x80\x82",
                                         "\xe3\x80\x80",
                                         "\xc2\xa0",
                                         "\xff",
                                         "\xe2\x96\x81"};
enum { CHARACTERS = sizeof characters / sizeof *characters, TEXTS = 60000, WORDS = 256 };

// Characters at random, some of them again and again.
static void make_text(struct buffer *text) {
    uint32_t n = 3 + pick(12);
    buffer_clear(text);
    for (uint32_t i = 0; i < n; i++) {
        const char *c = characters[pick(CHARACTERS)];
        for (uint32_t more = pick(8) == 0 ? 1 + pick(7) : 1; more > 0; more--)
            CHECK_OK(buffer_append_string(text, c));
    }
}

// The ends of all words, as one text or as two.
static size_t words(enum text_pattern pattern, const struct buffer *text, size_t cut, size_t ends[WORDS]) {
    size_t n = split_words(pattern, text->data, cut, 0, ends, WORDS);
    size_t more = split_words(pattern, text->data + cut, text->size - cut, 0, ends + n, WORDS - n);
    for (size_t i = n; i < n + more; i++)
        ends[i] += cut;
    return n + more;
}

static void check_pattern(enum text_pattern pattern) {
    struct vocabulary v = {.scheme = {.pattern = pattern}};
    struct buffer text = {0};
    size_t whole[WORDS], parts[WORDS], wrong = 0, cuts = 0;
    for (int i = 0; i < TEXTS; i++) {
        make_text(&text);
        // The places are those of any shorter text, too: what follows must not matter.
        for (size_t size = 3; size <= text.size; size++) {
            size_t cut = vocabulary_cut(&v, text.data, 0, size, false);
            if (cut == 0)
                continue;
            cuts++;
            size_t n = words(pattern, &text, text.size, whole), m = words(pattern, &text, cut, parts);
            wrong += n != m || memcmp(whole, parts, n * sizeof *whole) != 0;
        }
    }
    CHECK_EQUAL_INT(wrong, 0);
    CHECK(cuts > TEXTS / 4);
    buffer_release(&text);
}

static void check_added(void) {
    static const char text[] = "one <fim x> two,three four";
    struct vocabulary v = {.scheme = {.pattern = PATTERN_GPT2}};
    struct added added = {.text = (char[]){"three "}};
    size_t size = strlen(text);
    CHECK_EQUAL_INT(vocabulary_cut(&v, (const uint8_t *)text, 0, size, false), 21);
    CHECK_EQUAL_INT(vocabulary_cut(&v, (const uint8_t *)text, 0, 20, false), 15);
    CHECK_OK(buffer_append(&v.added, &added, sizeof added));
    CHECK_EQUAL_INT(vocabulary_cut(&v, (const uint8_t *)text, 0, size, false), 11 - 1); // none touches "three "
    added.text = (char[]){"<fim x>"};
    CHECK_OK(buffer_append(&v.added, &added, sizeof added));
    CHECK_EQUAL_INT(vocabulary_cut(&v, (const uint8_t *)text, 0, size, false), 0);
    CHECK_EQUAL_INT(vocabulary_cut(&v, (const uint8_t *)"aa bb", 1, 5, false), 2);
    CHECK_EQUAL_INT(vocabulary_cut(&v, (const uint8_t *)"aa bb", 2, 5, false), 0);
    buffer_release(&v.added);
}

static void check_none(void) {
    static const struct scheme schemes[] = {
        {.pattern = PATTERN_NONE},
        {.pattern = PATTERN_META_SPACE, .model = MODEL_UNIGRAM, .normalizer = NORMALIZE_META_SPACE},
        {.pattern = PATTERN_META_SPACE, .normalizer = NORMALIZE_SENTENCEPIECE},
        {.pattern = PATTERN_GPT2, .dummy_prefix = true},
    };
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        struct vocabulary v = {.scheme = schemes[i]};
        CHECK_EQUAL_INT(vocabulary_cut(&v, (const uint8_t *)"one two three", 0, 13, false), 0);
    }
    struct vocabulary v = {.scheme = {.pattern = PATTERN_META_SPACE, .normalizer = NORMALIZE_META_SPACE}};
    CHECK_EQUAL_INT(vocabulary_cut(&v, (const uint8_t *)"one two,  x\ny", 0, 13, false), 8);
    CHECK_EQUAL_INT(vocabulary_cut(&v, (const uint8_t *)"one two,  x\ny", 0, 9, false), 3); // the last but one
    v.scheme.normalizer = NORMALIZE_SENTENCEPIECE;
    v.scheme.escape_spaces = v.scheme.remove_extra_spaces = true;
    CHECK_EQUAL_INT(vocabulary_cut(&v, (const uint8_t *)"one two,  x\ny", 0, 13, false), 8);
}

// Digits in groups of three, from where they begin.
static void check_digits(void) {
    struct vocabulary v = {.scheme = {.pattern = PATTERN_CL100K}};
    CHECK_EQUAL_INT(vocabulary_cut(&v, (const uint8_t *)"a 1234567890", 5, 12, false), 8);
    CHECK_EQUAL_INT(vocabulary_cut(&v,
                                   (const uint8_t *)"\xc2\xbd"
                                                    "1234567890",
                                   0, 12, false),
                    0);
    v.scheme.pattern = PATTERN_QWEN2;
    CHECK_EQUAL_INT(vocabulary_cut(&v, (const uint8_t *)"a 1234567890", 5, 12, false), 10);
    v.scheme.pattern = PATTERN_GPT2;
    CHECK_EQUAL_INT(vocabulary_cut(&v, (const uint8_t *)"a 1234567890", 5, 12, false), 0);
}

// ---- whole vocabularies ----

// Characters and pieces of the vocabulary, which may meet what it has rules for.
static void make_text_of(const struct vocabulary *v, struct buffer *text) {
    make_text(text);
    for (uint32_t n = pick(8); n > 0; n--) {
        size_t size;
        const uint8_t *bytes = vocabulary_bytes(v, pick(v->size), &size);
        CHECK_OK(buffer_append(text, bytes, size));
        if (pick(3) == 0)
            CHECK_OK(buffer_append_string(text, characters[pick(CHARACTERS)]));
    }
}

static void check_whole(const struct vocabulary *v, int least) {
    struct encoder *e;
    struct buffer text = {0};
    int wrong = 0, cuts = 0;
    CHECK_OK(encoder_new(&e, v));
    for (int i = 0; i < TEXTS / 4; i++) {
        make_text_of(v, &text);
        uint32_t step = 1 + pick(12);
        int n = cut_up(e, v, &text, step, step);
        wrong += n < 0;
        cuts += n > 0;
    }
    CHECK_EQUAL_INT(wrong, 0);
    CHECK(cuts > least);
    buffer_release(&text);
    encoder_free(e);
}

// A real vocabulary, where there is one: `$TACIT_DATA/vocab/NAME`.
static void check_vocabulary(const char *name) {
    const char *data = getenv("TACIT_DATA");
    char *path = string_format("%s/vocab/%s", data ? data : "../shared/data", name);
    struct vocabulary *v;
    FILE *file = path ? fopen(path, "r") : NULL;
    if (!file) {
        printf("%s: absent, not tried\n", name);
        free(path);
        return;
    }
    fclose(file);
    CHECK_OK(vocabulary_load(&v, path));
    check_whole(v, TEXTS / 16);
    vocabulary_free(v);
    free(path);
}

int main(void) {
    for (int pattern = PATTERN_GPT2; pattern <= PATTERN_O200K; pattern++)
        check_pattern((enum text_pattern)pattern);
    check_added();
    check_none();
    check_digits();
    for (int model = 0; model < GOLDEN_MODELS; model++) {
        struct vocabulary *v = load_golden(model);
        check_whole(v, TEXTS / 16);
        vocabulary_free(v);
    }
    check_vocabulary("cl100k_base.tiktoken");
    check_vocabulary("gpt-neox-20b.tokenizer.json");
    check_vocabulary("llama2.tokenizer.model");
    return check_report();
}
