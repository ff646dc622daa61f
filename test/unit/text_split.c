// Words: every pattern by examples worked by hand, against the words of the original libraries
// (test/golden/words), over texts that a careless look-ahead takes forever for, and the classes of all code points
// against utf8proc.
#include "base/file.h"
#include "base/memory.h"
#include "check.h"
#include "text/normalize_nfc.h"
#include "text/split.h"

#include <stdlib.h>
#include <utf8proc.h>

struct words {
    char text[512]; // the words, each in [brackets]
    size_t count;
};

// Two words at a time, so that every text is taken up again in its middle.
static struct words split_bytes(enum text_pattern pattern, const uint8_t *text, size_t size) {
    struct words w = {0};
    size_t ends[2], n, begin = 0;
    while ((n = split_words(pattern, text, size, begin, ends, 2)) > 0)
        for (size_t i = 0; i < n; begin = ends[i++]) {
            size_t at = strlen(w.text);
            snprintf(w.text + at, sizeof w.text - at, "[%.*s]", (int)(ends[i] - begin),
                     (const char *)text + begin);
            w.count++;
        }
    return w;
}

static const char *split_as(enum text_pattern pattern, const char *text) {
    static struct words w;
    w = split_bytes(pattern, (const uint8_t *)text, strlen(text));
    return w.text;
}

static const char *split(const char *text) {
    return split_as(PATTERN_GPT2, text);
}

static void split_text(void) {
    CHECK_EQUAL_STRING(split(""), "");
    CHECK_EQUAL_STRING(split("one two"), "[one][ two]");
    CHECK_EQUAL_STRING(split("a1b22 c3"), "[a][1][b][22][ c][3]");
    CHECK_EQUAL_STRING(split("it's we'll they've I'm don't he'd you're"),
                       "[it]['s][ we]['ll][ they]['ve][ I]['m][ don]['t][ he]['d][ you]['re]");
    CHECK_EQUAL_STRING(split("IT'S 'tis x'y"), "[IT]['][S][ '][tis][ x]['][y]");
    CHECK_EQUAL_STRING(split("!'s"), "[!'][s]");
    CHECK_EQUAL_STRING(split("'"), "[']");
    CHECK_EQUAL_STRING(split("'r"), "['][r]");
    CHECK_EQUAL_STRING(split("f(x) += {};"), "[f][(][x][)][ +=][ {};]");
}

static void split_space(void) {
    CHECK_EQUAL_STRING(split("  "), "[  ]");
    CHECK_EQUAL_STRING(split("a  b"), "[a][ ][ b]");
    CHECK_EQUAL_STRING(split("a   b"), "[a][  ][ b]");
    CHECK_EQUAL_STRING(split("a \n b"), "[a][ \n][ b]");
    CHECK_EQUAL_STRING(split("a\n\nb"), "[a][\n][\n][b]");
    CHECK_EQUAL_STRING(split("a \tb"), "[a][ ][\t][b]");
    CHECK_EQUAL_STRING(split("a \n"), "[a][ \n]");
    CHECK_EQUAL_STRING(split("a\u00a0\u00a0b"), "[a][\u00a0][\u00a0][b]");
    CHECK_EQUAL_STRING(split("a\u3000\u2003 b"), "[a][\u3000\u2003][ b]");
}

static void split_malformed(void) {
    // Every bad byte is a character that is neither letter, number nor space.
    CHECK_EQUAL_STRING(split("a\xff\xfe"
                             "b"),
                       "[a][\xff\xfe][b]");
    CHECK_EQUAL_STRING(split("a \x80!1"), "[a][ \x80!][1]");
    CHECK_EQUAL_STRING(split("\xc3"), "[\xc3]");
    CHECK_EQUAL_STRING(split("\xc3(a"), "[\xc3(][a]");
    CHECK_EQUAL_STRING(split("\xc1\x81"
                             "a"),
                       "[\xc1\x81][a]"); // overlong 'A'
    CHECK_EQUAL_STRING(split("\xe0\x81\x81"
                             "a"),
                       "[\xe0\x81\x81][a]"); // overlong 'A'
    CHECK_EQUAL_STRING(split("\xf0\x80\x81\x81"
                             "a"),
                       "[\xf0\x80\x81\x81][a]");
    CHECK_EQUAL_STRING(split("\xed\xa0\x80"
                             "a"),
                       "[\xed\xa0\x80][a]"); // a surrogate
    CHECK_EQUAL_STRING(split("\xf4\x90\x80\x80"
                             "a"),
                       "[\xf4\x90\x80\x80][a]"); // above U+10FFFF
    CHECK_EQUAL_STRING(split("\xe4\xb8"
                             "1"),
                       "[\xe4\xb8][1]"); // cut short
}

static void split_starcoder2(void) {
    CHECK_EQUAL_STRING(split_as(PATTERN_STARCODER2, "a12 3"), "[a][1][2][ ][3]");
    CHECK_EQUAL_STRING(split_as(PATTERN_STARCODER2, "x   1   y"), "[x][   ][1][  ][ y]");
    CHECK_EQUAL_STRING(split_as(PATTERN_STARCODER2, "it's 's\u00bd!"), "[it]['s][ '][s][\u00bd][!]");
    // The digits of Unicode 17 are cut out, but are no numbers to what follows.
    CHECK_EQUAL_STRING(split_as(PATTERN_STARCODER2, "!\U00011de0 \U00011de1"), "[!][\U00011de0][ ][\U00011de1]");
    CHECK_EQUAL_STRING(split("!\U00011de0 \U00011de1"), "[!\U00011de0][ \U00011de1]");
}

static void split_cl100k(void) {
    static const enum text_pattern three[] = {PATTERN_CL100K, PATTERN_LLAMA3, PATTERN_QWEN2};
    for (int i = 0; i < 3; i++) {
        CHECK_EQUAL_STRING(split_as(three[i], "It's I'LL 'Twas 'sure"), "[It]['s][ I]['LL][ '][Twas][ '][sure]");
        CHECK_EQUAL_STRING(split_as(three[i], "'sure a'\u017fx"), "['s][ure][ a]['\u017f][x]");
        CHECK_EQUAL_STRING(split_as(three[i], "(a) !b\tc \"\"d"), "[(a][)][ !][b][\tc][ \"\"][d]");
        CHECK_EQUAL_STRING(split_as(three[i], "x;\n\n  y\n \n\tz"), "[x][;\n\n][ ][ y][\n \n][\tz]");
        CHECK_EQUAL_STRING(split_as(three[i], "a  \u3000b"), "[a][  ][\u3000b]");
        CHECK_EQUAL_STRING(split_as(three[i], "e\u0301t !\u0301"), "[e][\u0301t][ !\u0301]");
    }
    CHECK_EQUAL_STRING(split_as(PATTERN_LLAMA3, "a1234567 89"), "[a][123][456][7][ ][89]");
    CHECK_EQUAL_STRING(split_as(PATTERN_QWEN2, "a123 4"), "[a][1][2][3][ ][4]");
    CHECK_EQUAL_STRING(split_as(PATTERN_LLAMA3, "a \n  "), "[a][ \n][  ]");
    CHECK_EQUAL_STRING(split_as(PATTERN_CL100K, "a \n  "), "[a][ \n  ]");
    CHECK_EQUAL_STRING(split_as(PATTERN_CL100K, "a \n  b"), "[a][ \n][ ][ b]");
}

static void split_o200k(void) {
    CHECK_EQUAL_STRING(split_as(PATTERN_O200K, "camelCase HTTPServer ABC aB"),
                       "[camel][Case][ HTTPServer][ ABC][ a][B]");
    CHECK_EQUAL_STRING(split_as(PATTERN_O200K, "It's she'LLx 't's 12345"),
                       "[It's][ she'LL][x][ '][t's][ ][123][45]");
    CHECK_EQUAL_STRING(
        split_as(PATTERN_O200K, "a'lLb a'vE \"a'lL\" - a window of 64 bytes is full and more than that"),
        "[a'lL][b][ a'vE][ \"][a'lL][\"][ -][ a][ window][ of][ ][64][ bytes][ is][ full][ and]"
        "[ more][ than][ that]");
    CHECK_EQUAL_STRING(split_as(PATTERN_O200K, "a//\n/b /\n"), "[a][//\n/][b][ /\n]");
    CHECK_EQUAL_STRING(split_as(PATTERN_O200K, "e\u0301t\u0301A"), "[e\u0301t\u0301][A]");
    // Characters that begin a word as well as end it: what HEAD* took, it gives back up to the last of them.
    CHECK_EQUAL_STRING(split_as(PATTERN_O200K, "\u65e5\u672cABC \u65e5Ab"), "[\u65e5\u672c][ABC][ \u65e5Ab]");
    CHECK_EQUAL_STRING(split_as(PATTERN_O200K, "\u0301ABC !\u0301"), "[\u0301][ABC][ !\u0301]");
    CHECK_EQUAL_STRING(split_as(PATTERN_O200K, "!\u0301a !!\u0301a"), "[!\u0301a][ !!\u0301][a]");
}

static void split_meta_space(void) {
    CHECK_EQUAL_STRING(split_as(PATTERN_META_SPACE, "\u2581one\u2581\u2581two\u2581"),
                       "[\u2581one][\u2581\u2581two][\u2581]");
    CHECK_EQUAL_STRING(split_as(PATTERN_META_SPACE, "a b\u2582\u2581"), "[a b\u2582][\u2581]");
    CHECK_EQUAL_STRING(split_as(PATTERN_NONE, "a b"), "[a b]");
}

static void find_patterns(void) {
    for (int i = PATTERN_NONE; i <= PATTERN_META_SPACE; i++) {
        const char *expression = pattern_expression((enum text_pattern)i);
        CHECK_EQUAL_INT(pattern_find(pattern_name((enum text_pattern)i)), i);
        CHECK_EQUAL_INT(pattern_find_split(pattern_name((enum text_pattern)i)), -1);
        if (expression)
            CHECK_EQUAL_INT(pattern_find_split(expression), i);
    }
    // Oniguruma takes {1,3}+ for any number of digits.
    static const char cl100k[] = "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}+|"
                                 " ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|\\s++$|\\s*[\\r\\n]|\\s+(?!\\S)|\\s";
    CHECK_EQUAL_INT(pattern_find(cl100k), PATTERN_CL100K);
    CHECK_EQUAL_INT(pattern_find_split(cl100k), -1);
    CHECK_EQUAL_INT(pattern_find("\\w+"), -1);
}

// ---- the original libraries' words ----

static void read_golden(struct buffer *out, const char *name, const char *ending) {
    const char *folder = getenv("TACIT_GOLDEN");
    char *path = string_format("%s/words/%s%s", folder ? folder : "test/golden", name, ending);
    CHECK_OK(file_read(path, 1 << 24, out));
    free(path);
}

// However many words are asked for at a time.
static void golden_words(enum text_pattern pattern, const struct buffer *documents) {
    static const size_t rooms[] = {1, 3, 500};
    struct buffer expected = {0}, got = {0};
    read_golden(&expected, pattern_name(pattern), ".words");
    for (int r = 0; r < 3; r++) {
        buffer_clear(&got);
        for (size_t at = 0, size; at < documents->size; at += size + 1) {
            const uint8_t *text = documents->data + at;
            size_t ends[500], n, begin = 0;
            size = strlen((const char *)text);
            while ((n = split_words(pattern, text, size, begin, ends, rooms[r])) > 0)
                for (size_t i = 0; i < n; begin = ends[i++])
                    CHECK_OK(buffer_append_format(&got, "%s%zu", begin > 0 ? " " : "", ends[i] - begin));
            CHECK_OK(buffer_append_string(&got, "\n"));
        }
        CHECK(got.size == expected.size && memcmp(got.data, expected.data, got.size) == 0);
    }
    buffer_release(&expected);
    buffer_release(&got);
}

static void golden_forms(const struct buffer *documents) {
    struct buffer expected = {0}, got = {0}, out = {0};
    read_golden(&expected, "nfc", ".txt");
    for (size_t at = 0, size; at < documents->size; at += size + 1) {
        const uint8_t *text = documents->data + at;
        bool changed;
        size = strlen((const char *)text);
        CHECK_OK(normalize_nfc(text, size, &out, &changed));
        CHECK_OK(buffer_append(&got, changed ? out.data : text, changed ? out.size : size));
        CHECK_OK(buffer_append(&got, "", 1));
    }
    CHECK(got.size == expected.size && memcmp(got.data, expected.data, got.size) == 0);
    buffer_release(&expected);
    buffer_release(&got);
    buffer_release(&out);
}

static const char *nfc(const char *text) {
    static char result[64];
    struct buffer out = {0};
    bool changed;
    CHECK_OK(buffer_append_string(&out, "kept"));
    CHECK_OK(normalize_nfc((const uint8_t *)text, strlen(text), &out, &changed));
    if (!changed)
        CHECK(out.size == 4 && memcmp(out.data, "kept", 4) == 0);
    snprintf(result, sizeof result, "%.*s", (int)out.size, (const char *)out.data);
    buffer_release(&out);
    return result;
}

static void normal_forms(void) {
    CHECK_EQUAL_STRING(nfc(""), "kept");
    CHECK_EQUAL_STRING(nfc("caf\u00e9 \uac01 a\u0315"), "kept");
    CHECK_EQUAL_STRING(nfc("cafe\u0301 x"), "caf\u00e9 x");
    CHECK_EQUAL_STRING(nfc("\u00e9\u0323"), "\u1eb9\u0301"); // decomposed, ordered, composed
    CHECK_EQUAL_STRING(nfc("q\u0323\u0307"), "kept");        // nothing to compose
    CHECK_EQUAL_STRING(nfc("q\u0307\u0323"), "q\u0323\u0307");
    CHECK_EQUAL_STRING(nfc("a\u0305\u0301"), "kept"); // a mark of the same class lies between
    CHECK_EQUAL_STRING(nfc("\u1100\u1161\u11a8\u1161"), "\uac01\u1161");
    CHECK_EQUAL_STRING(nfc("\u0958\u212b"), "\u0915\u093c\u00c5"); // one is never composed
    CHECK_EQUAL_STRING(nfc("\U00011935\U00011930"), "kept");       // composed since Unicode 13 only
    CHECK_EQUAL_STRING(nfc("e\xff\u0301\u0323 e\u0301\xcc"), "e\xff\u0323\u0301 \u00e9\xcc");
}

// ---- all code points ----

static uint64_t digest(uint64_t value, uint64_t number) {
    return (value ^ number) * 0x100000001b3u; // FNV-1a
}

// The text of make.py's points(): from this code point on, 4096 of them.
static uint32_t append_points(struct buffer *text, uint32_t c) {
    static const char *const behind[] = {"B1", " ", "!", "\n"};
    buffer_clear(text);
    for (int n = 0; n < 4096 && c <= 0x10ffff; n++, c = c == 0xd7ff ? 0xe000 : c + 1) {
        uint8_t bytes[4];
        size_t size = (size_t)utf8proc_encode_char((utf8proc_int32_t)c, bytes);
        CHECK_OK(buffer_append_string(text, "a"));
        for (int i = 0; i < 4; i++) {
            CHECK_OK(buffer_append(text, bytes, size));
            CHECK_OK(buffer_append_string(text, behind[i]));
        }
    }
    return c;
}

static void golden_points(void) {
    enum { DIGESTS = PATTERN_O200K + 1 }; // the first is NFC's
    uint64_t digests[DIGESTS];
    struct buffer text = {0}, out = {0}, expected = {0};
    for (int i = 0; i < DIGESTS; i++)
        digests[i] = 0xcbf29ce484222325u;
    for (uint32_t c = 1; c <= 0x10ffff;) {
        bool changed;
        c = append_points(&text, c);
        CHECK_OK(normalize_nfc(text.data, text.size, &out, &changed));
        const struct buffer *form = changed ? &out : &text;
        for (size_t i = 0; i < form->size; i++)
            digests[0] = digest(digests[0], form->data[i]);
        for (int p = PATTERN_GPT2; p < DIGESTS; p++) {
            size_t ends[64], n, begin = 0;
            while ((n = split_words((enum text_pattern)p, text.data, text.size, begin, ends, 64)) > 0)
                for (size_t i = 0; i < n; begin = ends[i++])
                    digests[p] = digest(digests[p], ends[i] - begin);
        }
    }
    read_golden(&expected, "points", ".txt");
    for (int i = 0; i < DIGESTS; i++) {
        char *line = string_format("%s %016llx\n", i == 0 ? "nfc" : pattern_name((enum text_pattern)i),
                                   (unsigned long long)digests[i]);
        CHECK(strstr((const char *)expected.data, line) != NULL);
        free(line);
    }
    buffer_release(&text);
    buffer_release(&out);
    buffer_release(&expected);
}

// ---- texts of megabytes that are a few words, or that a word's look-ahead goes far in ----

static void long_runs(void) {
    static const struct {
        const char *begin, *repeated, *end;
    } texts[] = {{"a", " ", "b"},      {"a", " ", ""},
                 {"", "\n", " b"},     {";", "\n", " "},
                 {"", "a", "1"},       {"", "A", "\u65e5"},
                 {"\u0301", "A", "!"}, {"!", "\u0301", "A"},
                 {"", "1", ""},        {"", " \n", "\u3000x"},
                 {"", "!", "\n"},      {"", "'", "s"},
                 {"", "\xff", "a"},    {"\u65e5", "AA", "\u0301"},
                 {"", " \u3000", "a"}, {"", "\u2581", "a"}};
    enum { SIZE = 1 << 20 };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct buffer text = {0};
        CHECK_OK(buffer_append_string(&text, texts[i].begin));
        while (text.size < SIZE)
            CHECK_OK(buffer_append_string(&text, texts[i].repeated));
        CHECK_OK(buffer_append_string(&text, texts[i].end));
        for (int p = PATTERN_NONE; p <= PATTERN_META_SPACE; p++) {
            size_t end = 0, before = 0;
            while (split_words((enum text_pattern)p, text.data, text.size, end, &end, 1) == 1 && end > before)
                before = end;
            CHECK_EQUAL_INT(end, text.size);
        }
        buffer_release(&text);
    }
}

static size_t count_words(char before, uint32_t c) {
    uint8_t text[5] = {(uint8_t)before};
    size_t n = (size_t)utf8proc_encode_char((utf8proc_int32_t)c, text + 1);
    return split_bytes(PATTERN_GPT2, text, n + 1).count;
}

// A character joins a letter, a digit or a "!" in front of it, by its class; white space joins none.
static char class_of(uint32_t c) {
    return count_words('a', c) == 1 ? 'L' : count_words('1', c) == 1 ? 'N' : count_words('!', c) == 1 ? 'O' : 'S';
}

static char expected_class(uint32_t c) {
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
    if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO)
        return 'L';
    if (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO)
        return 'N';
    bool control = (c >= '\t' && c <= '\r') || c == 0x85;
    return control || (category >= UTF8PROC_CATEGORY_ZS && category <= UTF8PROC_CATEGORY_ZP) ? 'S' : 'O';
}

// The installed utf8proc may be of another Unicode version, so only what it and 16.0 have assigned is compared.
static void classes(void) {
    int different = 0, compared = 0;
    for (uint32_t c = 1; c <= 0x10ffff; c++) {
        if ((c >= 0xd800 && c < 0xe000) || utf8proc_category((utf8proc_int32_t)c) == UTF8PROC_CATEGORY_CN)
            continue;
        compared++;
        if (class_of(c) != expected_class(c) && different++ < 10)
            printf("U+%04X is %c, expected %c\n", c, class_of(c), expected_class(c));
    }
    CHECK(compared > 280000);
    CHECK(different < (strcmp(utf8proc_unicode_version(), "16.0.0") <= 0 ? 1 : 10000));
}

int main(void) {
    split_text();
    split_space();
    split_malformed();
    split_starcoder2();
    split_cl100k();
    split_o200k();
    split_meta_space();
    find_patterns();
    struct buffer documents = {0};
    read_golden(&documents, "documents", ".txt");
    for (int p = PATTERN_GPT2; p <= PATTERN_O200K; p++)
        golden_words((enum text_pattern)p, &documents);
    golden_forms(&documents);
    normal_forms();
    buffer_release(&documents);
    golden_points();
    long_runs();
    classes();
    return check_report();
}
