// Words: GPT-2's pattern by examples worked by hand, and the classes of all code points against utf8proc.
#include "check.h"
#include "text/split.h"

#include <utf8proc.h>

struct words {
    char text[256]; // the words, each in [brackets]
    size_t count;
};

// Two words at a time, so that every text is taken up again in its middle.
static struct words split_bytes(const uint8_t *text, size_t size) {
    struct words w = {0};
    size_t ends[2], n, begin = 0;
    while ((n = split_words(PATTERN_GPT2, text, size, begin, ends, 2)) > 0)
        for (size_t i = 0; i < n; begin = ends[i++]) {
            size_t at = strlen(w.text);
            snprintf(w.text + at, sizeof w.text - at, "[%.*s]", (int)(ends[i] - begin),
                     (const char *)text + begin);
            w.count++;
        }
    return w;
}

static const char *split(const char *text) {
    static struct words w;
    w = split_bytes((const uint8_t *)text, strlen(text));
    return w.text;
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

static size_t count_words(char before, uint32_t c) {
    uint8_t text[5] = {(uint8_t)before};
    size_t n = (size_t)utf8proc_encode_char((utf8proc_int32_t)c, text + 1);
    return split_bytes(text, n + 1).count;
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
    classes();
    return check_report();
}
