// GPT-2's pattern, by hand:
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// A word starts where the last one ended, so the alternatives are decided by its first two characters; only
// white space needs the look-ahead: a run before other text leaves its last character to the next word.
#include "text/split.h"

#include <stdbool.h>
#include <string.h>

enum { OTHER, L, N, S }; // letter, number, space

// Our own table, not a library's: the words must be those of the release of Unicode that Hugging Face's
// tokenizers use, and the installed utf8proc is of whichever release the machine has (Debian 12's, of Unicode
// 15.0, differs in 5,004 code points). test/unit/text_split.c holds the two against each other where both
// know a code point.
static const struct range {
    uint32_t first, last;
    uint32_t class;
} ranges[] = {
#include "text/unicode_ranges.h"
};
enum { RANGES = sizeof ranges / sizeof *ranges };

static const uint8_t ascii_class[128] = {
    ['\t'] = S, ['\n'] = S, ['\v'] = S, ['\f'] = S, ['\r'] = S, [' '] = S, ['0'] = N, ['1'] = N, ['2'] = N,
    ['3'] = N,  ['4'] = N,  ['5'] = N,  ['6'] = N,  ['7'] = N,  ['8'] = N, ['9'] = N, ['A'] = L, ['B'] = L,
    ['C'] = L,  ['D'] = L,  ['E'] = L,  ['F'] = L,  ['G'] = L,  ['H'] = L, ['I'] = L, ['J'] = L, ['K'] = L,
    ['L'] = L,  ['M'] = L,  ['N'] = L,  ['O'] = L,  ['P'] = L,  ['Q'] = L, ['R'] = L, ['S'] = L, ['T'] = L,
    ['U'] = L,  ['V'] = L,  ['W'] = L,  ['X'] = L,  ['Y'] = L,  ['Z'] = L, ['a'] = L, ['b'] = L, ['c'] = L,
    ['d'] = L,  ['e'] = L,  ['f'] = L,  ['g'] = L,  ['h'] = L,  ['i'] = L, ['j'] = L, ['k'] = L, ['l'] = L,
    ['m'] = L,  ['n'] = L,  ['o'] = L,  ['p'] = L,  ['q'] = L,  ['r'] = L, ['s'] = L, ['t'] = L, ['u'] = L,
    ['v'] = L,  ['w'] = L,  ['x'] = L,  ['y'] = L,  ['z'] = L,
};

struct scanner {
    const uint8_t *text;
    size_t size;
    int range; // where the last code point was found: neighbours in text are neighbours in the table
};

static int class_of(struct scanner *s, uint32_t c) {
    const struct range *r = &ranges[s->range];
    if (c >= r->first && c <= r->last)
        return (int)r->class;
    int low = 0, high = RANGES;
    while (low < high) {
        int middle = (low + high) / 2;
        if (ranges[middle].last < c)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == RANGES || c < ranges[low].first)
        return OTHER;
    s->range = low;
    return (int)ranges[low].class;
}

// The class of the character at `at`, and its bytes. A byte that starts no well-formed sequence (Unicode table
// 3-7: no overlong forms, no surrogates, nothing above U+10FFFF) is a character of its own.
static int scan(struct scanner *s, size_t at, size_t *length) {
    const uint8_t *t = s->text + at;
    size_t left = s->size - at;
    *length = 1;
    if (t[0] < 0x80)
        return ascii_class[t[0]];
    int more = t[0] >= 0xf0 ? 3 : t[0] >= 0xe0 ? 2 : 1;
    if (t[0] < 0xc2 || t[0] > 0xf4 || left <= (size_t)more)
        return OTHER;
    uint32_t c = t[0] & (0x3fu >> more);
    for (int i = 1; i <= more; i++) {
        if ((t[i] & 0xc0) != 0x80)
            return OTHER;
        c = c << 6 | (t[i] & 0x3f);
    }
    if ((more == 2 && (c < 0x800 || (c >= 0xd800 && c < 0xe000))) || (more == 3 && (c < 0x10000 || c > 0x10ffff)))
        return OTHER;
    *length = (size_t)more + 1;
    return class_of(s, c);
}

// Bytes of a contraction ('s 't 'm 'd 're 've 'll) at `at`, or 0.
static size_t contraction(const struct scanner *s, size_t at) {
    const uint8_t *t = s->text + at;
    size_t left = s->size - at;
    if (left < 2)
        return 0;
    if (t[1] == 's' || t[1] == 't' || t[1] == 'm' || t[1] == 'd')
        return 2;
    if (left < 3)
        return 0;
    return ((t[1] == 'r' || t[1] == 'v') && t[2] == 'e') || (t[1] == 'l' && t[2] == 'l') ? 3 : 0;
}

static size_t word_end(struct scanner *s, size_t begin) {
    size_t length, at = begin;
    if (s->text[at] == '\'' && (length = contraction(s, at)) > 0)
        return at + length;
    int class = scan(s, at, &length);
    if (s->text[at] == ' ' && at + 1 < s->size) {
        size_t next_length;
        int next = scan(s, at + 1, &next_length);
        if (next != S) {
            class = next;
            length = 1 + next_length;
        }
    }
    size_t last = at; // the start of the run's last character
    for (at += length; at < s->size; at += length) {
        if (scan(s, at, &length) != class)
            return class == S && last > begin ? last : at;
        last = at;
    }
    return at;
}

size_t split_words(enum text_pattern pattern, const uint8_t *text, size_t size, size_t begin, size_t *ends,
                   size_t room) {
    struct scanner s = {.text = text, .size = size};
    size_t n = 0;
    for (; n < room && begin < size; begin = ends[n++])
        ends[n] = pattern == PATTERN_GPT2 ? word_end(&s, begin) : size;
    return n;
}

static const char *const names[] = {"none",   "gpt2",  "starcoder2", "cl100k",
                                    "llama3", "qwen2", "o200k",      "meta-space"};

int pattern_find(const char *name) {
    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

const char *pattern_name(enum text_pattern pattern) {
    return names[pattern];
}
