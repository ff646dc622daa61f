// The patterns by hand. A word starts where the last one ended, so that its first characters decide which
// alternative matches, and what a regular expression finds by trying again becomes a few runs of characters: a run
// before other text that leaves its last character to the next word, white space up to its last line feed, letters
// up to the last one that may be lower case. Every run is looked at a fixed number of times, whatever its length.
#include "base/utf8.h"
#include "text/split_window.h"

#include <string.h>

#include "text/unicode_classes.h"

#define INLINE inline __attribute__((always_inline))

// Sets of classes: digit d of the tables, the character '0' + d, is the bit ('0' + d) % 32.
enum {
    OTHER = 1 << 16,
    MARK = 1 << 17,
    UPPER = 1 << 18,
    LOWER = 1 << 19,
    CASELESS = 1 << 20,
    NUMBER = 1 << 21,
    BLANK = 1 << 22,
    NEWLINE = 1 << 23,
    NEW_DIGIT = 1 << 24,
    LETTER = UPPER | LOWER | CASELESS,
    SPACE = BLANK | NEWLINE,
    REST = OTHER | MARK | NEW_DIGIT, // [^\s\p{L}\p{N}]
    HEAD = UPPER | CASELESS | MARK,  // o200k: how a word may begin
    TAIL = LOWER | CASELESS | MARK   // and end
};

struct text {
    const uint8_t *bytes;
    size_t size;
};

static INLINE int class_bit(char digit) {
    return 1 << ((unsigned)digit % 32);
}

static INLINE int class_of(uint32_t c) {
    if (c < CLASS_END)
        return class_bit(class_blocks[class_index[c / 64]][c % 64]);
    return c >= 0xe0100 && c < 0xe01f0 ? MARK : OTHER;
}

// The class of the character at `at`, and where the next one starts. A byte that starts no well-formed sequence is
// a character of its own.
static INLINE int class_at(struct text t, size_t at, size_t *next) {
    const uint8_t *s = t.bytes + at;
    uint32_t c;
    *next = at + 1;
    if (s[0] < 0x80)
        return class_bit(class_ascii[s[0]]);
    // Cyrillic, Greek, Hebrew and Arabic: fewer steps than in general.
    if (s[0] >= 0xc2 && s[0] < 0xe0 && t.size - at >= 2 && (s[1] & 0xc0) == 0x80) {
        *next = at + 2;
        return class_bit(class_blocks[class_index[s[0] & 0x1f]][s[1] & 0x3f]);
    }
    return utf8_read(t.bytes, t.size, at, &c, next) ? class_of(c) : OTHER;
}

// Where the run of characters of these classes ends that starts at `at` (it may be empty).
static INLINE size_t run_end(struct text t, size_t at, int classes) {
    size_t next;
    while (at < t.size && class_at(t, at, &next) & classes)
        at = next;
    return at;
}

static INLINE bool byte_is(struct text t, size_t at, uint8_t byte) {
    return at < t.size && t.bytes[at] == byte;
}

// Bytes of a contraction ('s 't 'm 'd 're 've 'll) at `at`, or 0. Without regard to case, U+017F is an s too.
static INLINE size_t contraction(struct text t, size_t at, bool any_case) {
    if (!byte_is(t, at, '\'') || t.size - at < 2)
        return 0;
    const uint8_t *s = t.bytes + at;
    uint8_t bit = any_case ? 0x20 : 0, one = s[1] | bit;
    if (one == 's' || one == 't' || one == 'm' || one == 'd')
        return 2;
    if (t.size - at < 3)
        return 0;
    uint8_t two = s[2] | bit;
    if (((one == 'r' || one == 'v') && two == 'e') || (one == 'l' && two == 'l'))
        return 3;
    return any_case && s[1] == 0xc5 && s[2] == 0xbf ? 3 : 0;
}

struct white {
    size_t last;     // where its last character starts
    size_t newlines; // behind its last line feed or carriage return; 0: has none
    size_t end;
};

static INLINE struct white white_space(struct text t, size_t at) {
    struct white w = {.last = at};
    size_t next;
    for (int class; at < t.size && (class = class_at(t, at, &next)) & SPACE; at = next) {
        w.last = at;
        if (class == NEWLINE)
            w.newlines = next;
    }
    w.end = at;
    return w;
}

// \s+(?!\S)|\s+
static INLINE size_t white_space_end(struct text t, size_t begin, struct white w) {
    return w.end < t.size && w.last > begin ? w.last : w.end;
}

// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// Where digits are apart, they were cut out before: for what is left, the text ends in front of each.
static INLINE size_t gpt2_end(struct text t, size_t begin, bool digits_apart) {
    const int digit = digits_apart ? NUMBER | NEW_DIGIT : 0;
    size_t length = contraction(t, begin, false), next, behind;
    if (length > 0)
        return begin + length;
    int class = class_at(t, begin, &next);
    if (class & digit)
        return next;
    if (t.bytes[begin] == ' ' && next < t.size) {
        int second = class_at(t, next, &behind);
        if (!(second & (SPACE | digit))) {
            class = second;
            next = behind;
        }
    }
    if (class & LETTER)
        return run_end(t, next, LETTER);
    if (class & NUMBER)
        return run_end(t, next, NUMBER);
    if (class & REST)
        return run_end(t, next, REST & ~digit);
    struct white w = white_space(t, begin);
    return w.end < t.size && class_at(t, w.end, &next) & digit ? w.end : white_space_end(t, begin, w);
}

static size_t gpt2_word(struct text t, size_t begin) {
    return gpt2_end(t, begin, false);
}

static size_t starcoder2_word(struct text t, size_t begin) {
    return gpt2_end(t, begin, true);
}

// \p{N}{1,most}, of which the first ends at `at`.
static INLINE size_t number_end(struct text t, size_t at, int most) {
    size_t next;
    for (int i = 1; i < most && at < t.size && class_at(t, at, &next) & NUMBER; i++)
        at = next;
    return at;
}

// [^\s\p{L}\p{N}]+[\r\n]*, of which the first character ends at `at`; or [\r\n/]*.
static INLINE size_t rest_end(struct text t, size_t at, bool slashes) {
    at = run_end(t, at, REST);
    while (byte_is(t, at, '\n') || byte_is(t, at, '\r') || (slashes && byte_is(t, at, '/')))
        at++;
    return at;
}

// \s*[\r\n]+|\s+(?!\S)|\s+, or with \s++$ in front of it.
static INLINE size_t lines_end(struct text t, size_t begin, bool whole_at_end) {
    struct white w = white_space(t, begin);
    if (w.newlines > 0 && !(whole_at_end && w.end == t.size))
        return w.newlines;
    return white_space_end(t, begin, w);
}

// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*| and white space.
static INLINE size_t cl100k_end(struct text t, size_t begin, int digits, bool whole_at_end) {
    size_t length = contraction(t, begin, true), next, behind;
    if (length > 0)
        return begin + length;
    int class = class_at(t, begin, &next);
    if (class & LETTER)
        return run_end(t, next, LETTER);
    if (class & NUMBER)
        return number_end(t, next, digits);
    if (class & (REST | BLANK) && next < t.size) {
        int second = class_at(t, next, &behind);
        if (second & LETTER)
            return run_end(t, behind, LETTER);
        if (t.bytes[begin] == ' ' && second & REST)
            return rest_end(t, behind, false);
    }
    return class & REST ? rest_end(t, next, false) : lines_end(t, begin, whole_at_end);
}

static size_t cl100k_word(struct text t, size_t begin) {
    return cl100k_end(t, begin, 3, true);
}

static size_t llama3_word(struct text t, size_t begin) {
    return cl100k_end(t, begin, 3, false);
}

static size_t qwen2_word(struct text t, size_t begin) {
    return cl100k_end(t, begin, 1, false);
}

// HEAD*TAIL+ at `at`, else HEAD+TAIL*, else nothing. HEAD* takes all it can; where no lower case letter follows,
// it gives back characters until one is left for TAIL+.
static INLINE size_t cased_end(struct text t, size_t at) {
    const size_t caseless = run_end(t, at, HEAD & TAIL); // Japanese has no other letters
    size_t next, given_back = caseless > at ? caseless : 0;
    at = caseless;
    for (int class; at < t.size; at = next) {
        class = class_at(t, at, &next);
        if (class & LOWER)
            return run_end(t, next, TAIL);
        if (!(class & HEAD))
            break;
        if (class & TAIL)
            given_back = next;
    }
    return given_back > 0 ? given_back : at;
}

// [^\r\n\p{L}\p{N}]?HEAD*TAIL+(?i:'s|...)?|[^\r\n\p{L}\p{N}]?HEAD+TAIL*(?i:'s|...)?|\p{N}{1,3}|
//  ?[^\s\p{L}\p{N}]+[\r\n/]*| and white space.
// A mark in front is what both the optional character and HEAD match, and it comes to the same.
static size_t o200k_word(struct text t, size_t begin) {
    size_t next, behind;
    int class = class_at(t, begin, &next);
    if (class & (LETTER | MARK | REST | BLANK)) {
        size_t from = class & (LETTER | MARK) ? begin : next, end = cased_end(t, from);
        if (end > from)
            return end + contraction(t, end, true);
    }
    if (class & NUMBER)
        return number_end(t, next, 3);
    if (t.bytes[begin] == ' ' && next < t.size && class_at(t, next, &behind) & REST)
        return rest_end(t, behind, true);
    return class & REST ? rest_end(t, next, true) : lines_end(t, begin, false);
}

// A word starts at U+2581 behind another character.
static size_t meta_space_word(struct text t, size_t begin) {
    static const uint8_t meta_space[3] = {0xe2, 0x96, 0x81};
    bool other = false; // a character that is not U+2581 was found
    for (size_t at = begin; at < t.size;) {
        if (t.size - at >= sizeof meta_space && memcmp(t.bytes + at, meta_space, sizeof meta_space) == 0) {
            if (other)
                return at;
            at += sizeof meta_space;
        } else {
            other = true;
            const uint8_t *found = memchr(t.bytes + at + 1, meta_space[0], t.size - at - 1);
            if (!found)
                return t.size;
            at = (size_t)(found - t.bytes);
        }
    }
    return t.size;
}

static size_t whole_text(struct text t, size_t begin) {
    (void)begin;
    return t.size;
}

static size_t (*const word_ends[])(struct text, size_t) = {
    [PATTERN_NONE] = whole_text,
    [PATTERN_GPT2] = gpt2_word,
    [PATTERN_STARCODER2] = starcoder2_word,
    [PATTERN_CL100K] = cl100k_word,
    [PATTERN_LLAMA3] = llama3_word,
    [PATTERN_QWEN2] = qwen2_word,
    [PATTERN_O200K] = o200k_word,
    [PATTERN_META_SPACE] = meta_space_word,
};

// Whether so much of a window is ASCII that it may tell something.
static bool is_ascii(const uint8_t text[sizeof(uint64_t)]) {
    uint64_t eight;
    memcpy(&eight, text, sizeof eight);
    return (eight & 0x8080808080808080u) == 0;
}

// ASCII by windows, the rest and what these do not tell word by word.
size_t split_words(enum text_pattern pattern, const uint8_t *bytes, size_t size, size_t begin, size_t *ends,
                   size_t room) {
    struct text t = {bytes, size};
    const bool by_windows = pattern != PATTERN_NONE && pattern != PATTERN_META_SPACE;
    size_t n = 0;
    while (n < room && begin < size) {
        bool whole = false;
        uint64_t starts = 0;
        if (by_windows && size - begin >= WINDOW && is_ascii(bytes + begin))
            starts = window_starts(pattern, bytes + begin, &whole);
        const size_t window = begin;
        for (; starts && n < room; starts &= starts - 1)
            ends[n++] = begin = window + (size_t)__builtin_ctzll(starts);
        if (n < room && (!whole || begin == window))
            ends[n] = word_ends[pattern](t, begin), begin = ends[n++];
    }
    return n;
}

enum text_class character_class(uint32_t c) {
    const int class = class_of(c);
    return class & LETTER   ? CLASS_LETTER
           : class & MARK   ? CLASS_MARK
           : class & NUMBER ? CLASS_NUMBER
           : class & SPACE  ? CLASS_SPACE
                            : CLASS_OTHER;
}

bool character_is_lower(uint32_t c) {
    return class_of(c) & LOWER;
}
