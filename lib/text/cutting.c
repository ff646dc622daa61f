// Why a cut is safe. The regular expressions of the pre-tokenizers have no look-behind, so words behind a border
// are what they would be at the start of a text. A letter or digit followed by something that is neither, nor a
// mark, nor the apostrophe of a contraction, is always a border: no word goes on across it. So is a letter beside
// a digit, and what a pattern alone has: one of digits apart, of words by case. And the words before a border are
// the same where the text ends there: only white space looks further ahead than its own end.
//
// Where words are cut at U+2581, or not at all, a place is between two characters that the normalizer leaves as
// they are, so that the part before it comes out the same and the other one goes on from there; and either a space
// that begins a word, or where no token has both characters side by side.
#include "text/cutting.h"
#include "base/utf8.h"
#include "text/added.h"
#include "text/joints.h"
#include "text/normalize_nfc.h"
#include "text/normalize_sentencepiece.h"
#include "text/vocabulary_private.h"
#include "text/word_cut.h"

enum { CHARACTER_MOST = 4, DIGITS_OF_GROUP = 3 };

static bool is_digit(uint8_t c) {
    return c >= '0' && c <= '9';
}

static bool is_lower(uint8_t c) {
    return c >= 'a' && c <= 'z';
}

static bool is_upper(uint8_t c) {
    return c >= 'A' && c <= 'Z';
}

static bool is_alphanumeric(uint8_t c) {
    return is_digit(c) || is_lower(c) || is_upper(c);
}

// The bytes of the character that ends at `p`; 0: a malformed one.
static size_t character_before(const uint8_t *text, size_t p, uint32_t *c) {
    size_t begin = p - 1;
    while (begin > 0 && p - begin < CHARACTER_MOST && text[begin] >> 6 == 2)
        begin--;
    return utf8_character(text + begin, p - begin, c) == p - begin ? p - begin : 0;
}

// ---- byte-level vocabularies ----

// Whether a letter or an ASCII digit ends at `p`.
static bool is_behind_letter(const uint8_t *text, size_t p) {
    uint32_t c;
    if (text[p - 1] < 0x80)
        return is_alphanumeric(text[p - 1]);
    return character_before(text, p, &c) > 0 && character_class(c) == CLASS_LETTER;
}

// In front of a letter or digit of ASCII.
static bool is_inner_border(enum text_pattern pattern, const uint8_t *text, size_t p) {
    uint8_t before = text[p - 1], next = text[p];
    if (is_digit(before) && is_digit(next))
        return pattern == PATTERN_QWEN2 || pattern == PATTERN_STARCODER2;
    if (is_digit(before) || is_digit(next))
        return is_behind_letter(text, p);
    bool in_contraction = p >= 2 && text[p - 2] == '\'';
    return pattern == PATTERN_O200K && is_lower(before) && is_upper(next) && !in_contraction;
}

static bool is_border(const struct vocabulary *v, const uint8_t *text, size_t p, size_t size) {
    uint8_t next = text[p];
    if (is_alphanumeric(next))
        return is_inner_border(v->scheme.pattern, text, p);
    if (next < 0x80)
        return next != '\'' && is_behind_letter(text, p);
    return size - p >= 3 && is_behind_letter(text, p) && next == 0xe3 && text[p + 1] == 0x80 &&
           (text[p + 2] == 0x81 || text[p + 2] == 0x82); // the Japanese comma and full stop
}

// Between groups of three digits, which count from where the digits begin.
static size_t cut_digits(const struct vocabulary *v, const uint8_t *text, size_t size) {
    enum text_pattern pattern = v->scheme.pattern;
    size_t begin = size;
    if (pattern != PATTERN_CL100K && pattern != PATTERN_LLAMA3 && pattern != PATTERN_O200K)
        return 0;
    while (begin > 0 && is_digit(text[begin - 1]))
        begin--;
    if (size - begin < DIGITS_OF_GROUP + 2 || (begin > 0 && text[begin - 1] >= 0x80)) // that may be a number, too
        return 0;
    size_t p = begin + (size - 2 - begin) / DIGITS_OF_GROUP * DIGITS_OF_GROUP;
    return added_may_touch(v, text, begin, p + 1, size) ? 0 : p; // one would begin them anew
}

static bool has_words(const struct scheme *s) {
    return s->pattern != PATTERN_NONE && s->pattern != PATTERN_META_SPACE && !s->dummy_prefix &&
           (s->normalizer == NORMALIZE_NONE || s->normalizer == NORMALIZE_NFC);
}

static size_t cut_words(const struct vocabulary *v, const uint8_t *text, size_t from, size_t size) {
    for (size_t p = size - 2; p > from; p--)
        if (is_border(v, text, p, size) && !added_may_touch(v, text, p, p + 1, size))
            return p;
    return cut_digits(v, text, size);
}

// ---- others ----

static bool has_no_words(const struct scheme *s) {
    bool prefix = s->dummy_prefix && (s->normalizer == NORMALIZE_NONE || s->normalizer == NORMALIZE_NFC);
    return (s->pattern == PATTERN_NONE || s->pattern == PATTERN_META_SPACE) && !prefix;
}

// Whether the normalizer leaves the characters as they are, and cannot tell whether they stand beside each other.
static bool stays(const struct vocabulary *v, const uint8_t *text, size_t p, size_t before, uint32_t c,
                  size_t size) {
    switch (v->scheme.normalizer) {
    case NORMALIZE_NFC:
        return normalize_nfc_begins(c);
    case NORMALIZE_SENTENCEPIECE:
        return normalize_sentencepiece_keeps(v, text, p - before, size) &&
               normalize_sentencepiece_keeps(v, text, p, size);
    default:
        return true;
    }
}

// Whether what begins or ends with the character is never the unknown token.
static bool is_known(const struct vocabulary *v, const uint8_t *character, size_t size) {
    const uint32_t *ends = (const uint32_t *)v->unused_ends.data;
    uint32_t id = vocabulary_find(v, character, size);
    bool unused = id != no_id && v->unused_ends.size > 0 && ends[id] > (id > 0 ? ends[id - 1] : 0);
    return id != no_id && !unused;
}

// Whether an unknown token may go on across the place.
static bool may_fuse(const struct vocabulary *v, const uint8_t *left, size_t left_size, const uint8_t *right,
                     size_t right_size) {
    const struct scheme *s = &v->scheme;
    return s->fuse_unknown && !s->byte_fallback && s->unknown != no_id && s->model == MODEL_BPE &&
           !is_known(v, left, left_size) && !is_known(v, right, right_size);
}

static bool is_between(const struct vocabulary *v, const uint8_t *text, size_t p, size_t size) {
    const struct scheme *s = &v->scheme;
    uint32_t before, next;
    size_t before_size = character_before(text, p, &before), next_size = utf8_character(text + p, size - p, &next);
    bool escapes =
        s->normalizer == NORMALIZE_META_SPACE || (s->normalizer == NORMALIZE_SENTENCEPIECE && s->escape_spaces);
    if (before_size == 0 || next_size == 0 || before == ' ' || before == 0x2581)
        return false;
    if (character_class(before) == CLASS_SPACE && character_class(next) == CLASS_SPACE && added_strips(v))
        return false; // some token may take white space on both sides
    const uint8_t *left = text + p - before_size, *right = text + p;
    if (next == ' ' && escapes) {
        right = (const uint8_t *)META_SPACE;
        next_size = META_SPACE_SIZE;
        next = 0x2581;
    }
    bool begins_word = s->pattern == PATTERN_META_SPACE && next == 0x2581;
    bool apart = v->joints && !s->whole_words && joints_are_apart(v->joints, left, before_size, right, next_size);
    return (begins_word || apart) && !may_fuse(v, left, before_size, right, next_size) &&
           stays(v, text, p, before_size, next, size);
}

static size_t cut_between(const struct vocabulary *v, const uint8_t *text, size_t from, size_t size) {
    for (size_t p = size - 2; p > from; p--)
        if (is_between(v, text, p, size) && !added_may_touch(v, text, p, p + 1, size))
            return p;
    return 0;
}

size_t vocabulary_cut_in_order(const struct vocabulary *v, const uint8_t *text, size_t from, size_t size,
                               bool goes_on) {
    size_t p = 0;
    if (size < 3)
        return 0;
    if (has_words(&v->scheme))
        p = cut_words(v, text, from, size);
    else if (has_no_words(&v->scheme))
        p = cut_between(v, text, from, size);
    else
        return 0;
    return p > 0 || !v->joints ? p : word_cut(v, text, from, size, goes_on);
}

bool vocabulary_needs_order(const struct vocabulary *v) {
    return v->scheme.model == MODEL_UNIGRAM;
}

size_t vocabulary_cut(const struct vocabulary *v, const uint8_t *text, size_t from, size_t size, bool goes_on) {
    return vocabulary_needs_order(v) ? 0 : vocabulary_cut_in_order(v, text, from, size, goes_on);
}
