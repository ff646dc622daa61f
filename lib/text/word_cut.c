// Any run of a word's tokens is what its text alone becomes: the merges within it are the same, in the same order,
// for none crosses its borders. So take a stretch of a word. A token of the word holds the stretch's first byte,
// and one its last: where these begin and end is not known, but the vocabulary has only few tokens that could be
// they. With each of their beginnings and each of their ends the text between is encoded; where a token ends in
// all of these, one ends in the word. And the parts before and behind that place are runs of the word's tokens.
//
// Where a word repeats itself that may be nowhere: then the word is encoded from its beginning, which is known.
// Its tokens and those of a text with each of the ends, from the first token in the stretch on, that have one
// token in common, are together the tokens of the word up to that end (bpe.h): the common token begins in the
// word, too.
//
// That both parts are words, too, is a matter of the pattern. The stretch and a margin on both sides, longer than
// any token and than a contraction, hold no added token and are characters of one kind, with which every pattern
// goes on to the kind's end from wherever it began:
// - letters, `\p{L}+`; in o200k those of lower case, behind the first one;
// - in o200k, letters of upper case, and those without, where it matters what came before: their run must begin
//   behind ASCII, and those without case behind none of lower case, which they would end;
// - gpt2's digits, `\p{N}+`;
// - signs, `[^\s\p{L}\p{N}]+`: more of them follow, so there is no contraction. Slashes in o200k may be of the end
// of
//   a line, `[\r\n/]*`, if their run begins behind one;
// - white space, where the part behind begins with more than the one character that the next word may begin with:
//   gpt2's `\s+`; elsewhere blanks, if none of the white space before ends a line, for a later end of a line would
//   take all of it; and ends of lines, if they are not those of signs before them.
// Marks are of no kind, nor digits in groups. The words are longer than any token, so that neither the whole nor a
// part is looked up as one.
#include "text/word_cut.h"
#include "base/utf8.h"
#include "text/added.h"
#include "text/bpe.h"
#include "text/joints.h"
#include "text/normalize.h"
#include "text/normalize_nfc.h"
#include "text/normalize_sentencepiece.h"
#include "text/symbols.h"
#include "text/vocabulary_private.h"

#include <stdlib.h>

// CONTRACTION: its bytes and one more. TRIES: stretches that are looked at. CASES: beginnings times ends. TOKENS:
// the longest ones that a stretch has room for where a word repeats itself.
enum {
    STRETCH = 96,
    CONTRACTION = 4,
    LONGEST = 512,
    TRIES = 4,
    SIDES = 128,
    CASES = 64,
    TOKENS = 4,
    CHARACTER_MOST = 4,
    WORDS = 256
};
enum { STRETCH_MOST = STRETCH + TOKENS * LONGEST, ROOM = STRETCH_MOST + CHARACTER_MOST + 2 * LONGEST };

enum kind {
    KIND_NONE,
    KIND_LOWER,
    KIND_UPPER,
    KIND_CASELESS,
    KIND_LETTER,
    KIND_DIGIT,
    KIND_SIGN,
    KIND_BLANK,
    KIND_NEWLINE,
    KIND_ANY
};

static bool is_newline(uint32_t c) {
    return c == '\n' || c == '\r';
}

static enum kind kind_of_ascii(enum text_pattern pattern, uint32_t c) {
    bool by_lines = pattern != PATTERN_GPT2 && pattern != PATTERN_STARCODER2;
    switch (character_class(c)) {
    case CLASS_LETTER:
        return pattern != PATTERN_O200K ? KIND_LETTER : c >= 'a' ? KIND_LOWER : KIND_UPPER;
    case CLASS_NUMBER:
        return pattern == PATTERN_GPT2 ? KIND_DIGIT : KIND_NONE;
    case CLASS_SPACE:
        return by_lines && is_newline(c) ? KIND_NEWLINE : KIND_BLANK;
    default:
        return KIND_SIGN;
    }
}

// Kana, ideographs and the syllables of Hangul.
static bool is_caseless(uint32_t c) {
    return (c >= 0x3041 && c <= 0x3096) || (c >= 0x30a1 && c <= 0x30fa) || (c >= 0x4e00 && c <= 0x9fff) ||
           (c >= 0xac00 && c <= 0xd7a3);
}

static enum kind kind_of(const struct vocabulary *v, uint32_t c) {
    enum text_pattern pattern = v->scheme.pattern;
    if (c < 0x80)
        return kind_of_ascii(pattern, c);
    if (v->scheme.normalizer == NORMALIZE_NFC && !normalize_nfc_begins(c))
        return KIND_NONE;
    enum text_class class = character_class(c);
    if (class == CLASS_LETTER && pattern == PATTERN_O200K)
        return character_is_lower(c) ? KIND_LOWER : is_caseless(c) ? KIND_CASELESS : KIND_NONE;
    // starcoder2 has digits apart that the classes do not know
    return class == CLASS_LETTER                                   ? KIND_LETTER
           : class == CLASS_OTHER && pattern != PATTERN_STARCODER2 ? KIND_SIGN
                                                                   : KIND_NONE;
}

// Of the character at `at`, and its bytes.
static enum kind kind_at(const struct vocabulary *v, const uint8_t *text, size_t at, size_t size, size_t *length) {
    enum text_pattern pattern = v->scheme.pattern;
    uint32_t c;
    *length = utf8_character(text + at, size - at, &c);
    if (*length == 0 || (character_class(c) == CLASS_SPACE && added_strips(v))) // a token far away may take it
        return KIND_NONE;
    if (pattern != PATTERN_NONE && pattern != PATTERN_META_SPACE)
        return kind_of(v, c);
    if (c == ' ' || c == 0x2581 || (v->scheme.normalizer == NORMALIZE_NFC && !normalize_nfc_begins(c)) ||
        (v->scheme.normalizer == NORMALIZE_SENTENCEPIECE && !normalize_sentencepiece_keeps(v, text, at, size)))
        return KIND_NONE;
    return KIND_ANY;
}

static bool is_continuation(uint8_t byte) {
    return byte >> 6 == 2;
}

// Whether a token may end or begin there.
static bool is_edge(const struct vocabulary *v, uint8_t byte) {
    return v->scheme.symbols == SYMBOLS_BYTES || !is_continuation(byte);
}

struct stretch {
    const uint8_t *text;
    size_t begin, end;
    enum kind kind;
    size_t begins[SIDES], begin_count; // of the token that holds text[begin]
    size_t ends[SIDES], end_count;     // of the one that holds text[end - 1]
    uint16_t tokens[STRETCH_MOST +
                    CHARACTER_MOST]; // by place: bytes of the token that begins there in every case; 0: none
    uint32_t symbols[ROOM], ids[ROOM];
};

// A stretch and its margins, from the first character at `at` on.
static bool find_stretch(const struct vocabulary *v, struct stretch *s, size_t at, size_t width, size_t size) {
    const size_t margin = joints_longest(v->joints) + CONTRACTION;
    size_t length;
    while (at < size && is_continuation(s->text[at]))
        at++;
    const size_t first = at;
    s->begin = s->end = 0;
    for (; at < size; at += length) {
        enum kind kind = kind_at(v, s->text, at, size, &length);
        if (kind == KIND_NONE || (at > first && kind != s->kind))
            return false;
        s->kind = kind;
        if (s->begin == 0 && at >= first + margin)
            s->begin = at;
        if (s->begin > 0 && s->end == 0 && at >= s->begin + width)
            s->end = at;
        if (s->end > 0 && at >= s->end + margin)
            return !added_may_touch(v, s->text, first, at, size);
    }
    return false;
}

static bool is_token(const struct vocabulary *v, const uint8_t *text, size_t begin, size_t end) {
    return end - begin <= joints_longest_from(v->joints, text[begin]) && is_edge(v, text[begin]) &&
           is_edge(v, text[end]) && vocabulary_find(v, text + begin, end - begin) != no_id;
}

// Where the tokens that may lie across the borders begin and end; false: there are too many.
static bool find_sides(const struct vocabulary *v, struct stretch *s) {
    const size_t longest = joints_longest(v->joints);
    s->begin_count = s->end_count = 1;
    s->begins[0] = s->begin;
    s->ends[0] = s->end;
    for (size_t far = 1; far < longest; far++) {
        bool begins = false, ends = false;
        for (size_t more = 1; more <= longest - far && !(begins && ends); more++) {
            begins = begins || is_token(v, s->text, s->begin - far, s->begin + more);
            ends = ends || is_token(v, s->text, s->end - more, s->end + far);
        }
        if ((begins && s->begin_count == SIDES) || (ends && s->end_count == SIDES))
            return false;
        if (begins)
            s->begins[s->begin_count++] = s->begin - far;
        if (ends)
            s->ends[s->end_count++] = s->end + far;
    }
    return true;
}

// Which of `count` tokens begin within the stretch, of a text that ends at `end`; false: their bytes there are not
// the text's.
static bool find_tokens(const struct vocabulary *v, const struct stretch *s, const uint32_t *ids, size_t count,
                        size_t end, uint16_t *tokens) {
    memset(tokens, 0, sizeof s->tokens);
    for (size_t size; end > s->begin && count > 0; end -= size) {
        vocabulary_bytes(v, ids[--count], &size);
        if (size == 0 || size > end || ids[count] == v->scheme.unknown)
            return false;
        if (end - size >= s->begin && end - size < s->end)
            tokens[end - size - s->begin] = (uint16_t)size;
    }
    return true;
}

// Leave what begins with a token of text[begin..end), too; `same`: the same one.
static bool keep_tokens(struct bpe *b, struct stretch *s, size_t begin, size_t end, bool same) {
    const struct vocabulary *v = b->vocabulary;
    uint16_t here[sizeof s->tokens / sizeof *s->tokens];
    size_t count = word_symbols(v, s->text + begin, end - begin, s->symbols);
    if (count == 0 || bpe_merge(b, s->symbols, count, s->ids, &count) != 0 ||
        !find_tokens(v, s, s->ids, count, end, here))
        return false;
    for (size_t i = 0; i < s->end - s->begin; i++)
        if (here[i] == 0 || (same && here[i] != s->tokens[i]))
            s->tokens[i] = 0;
    return true;
}

// Whether it matters not what came before the run of this kind that holds text[at - 1].
static bool begins_well(const struct vocabulary *v, const struct stretch *s, size_t at) {
    enum text_pattern pattern = v->scheme.pattern;
    enum kind kind = s->kind;
    bool by_lines = pattern != PATTERN_GPT2 && pattern != PATTERN_STARCODER2;
    bool slashes = kind == KIND_SIGN && pattern == PATTERN_O200K;
    if (!slashes && kind != KIND_UPPER && kind != KIND_CASELESS && !(by_lines && kind == KIND_BLANK) &&
        kind != KIND_NEWLINE)
        return true;
    for (size_t before, length; at > 0; at = before) {
        for (before = at - 1; before > 0 && at - before < CHARACTER_MOST && is_continuation(s->text[before]);)
            before--;
        if (slashes ? s->text[before] != '/'
                    : kind_at(v, s->text, before, at, &length) != kind || length != at - before)
            break;
    }
    const uint8_t c = at > 0 ? s->text[at - 1] : ' ';
    if (slashes || kind == KIND_BLANK)
        return (slashes || c < 0x80) && !is_newline(c);
    if (kind == KIND_NEWLINE)
        return c < 0x80 && kind_of_ascii(pattern, c) != KIND_SIGN;
    return c < 0x80 && !(kind == KIND_CASELESS && c >= 'a' && c <= 'z');
}

// The last place that is left.
static size_t last_place(const struct vocabulary *v, const struct stretch *s, size_t size) {
    for (size_t p = s->end - 1; p > s->begin; p--)
        if (s->tokens[p - s->begin] > 0 && !is_continuation(s->text[p]) &&
            !added_may_touch(v, s->text, p, p + 1, size))
            return begins_well(v, s, p) ? p : 0;
    return 0;
}

static size_t cut_stretch(struct bpe *b, struct stretch *s, size_t at, size_t size) {
    const struct vocabulary *v = b->vocabulary;
    if (!find_stretch(v, s, at, STRETCH, size) || !find_sides(v, s))
        return 0;
    if (s->begin_count * s->end_count > CASES)
        return 0;
    memset(s->tokens, 0xff, sizeof s->tokens);
    for (size_t i = 0; i < s->begin_count; i++)
        for (size_t k = 0; k < s->end_count; k++)
            if (!keep_tokens(b, s, s->begins[i], s->ends[k], false))
                return 0;
    return last_place(v, s, size);
}

// ---- from the word's beginning ----

static size_t word_begin(enum text_pattern pattern, const uint8_t *text, size_t size, size_t begin) {
    size_t ends[WORDS], n = WORDS;
    while (n == WORDS) {
        n = split_words(pattern, text, size, begin, ends, WORDS);
        for (size_t i = 0; i < n && ends[i] < size; i++)
            begin = ends[i];
    }
    return begin;
}

// What the text up to the stretch's end is encoded from, behind the last added token; the word's beginning there.
static bool find_word(const struct vocabulary *v, const struct stretch *s, bool goes_on, struct buffer *normalized,
                      const uint8_t **text, size_t *size, size_t *begin) {
    size_t behind, again = 0;
    bool late = normalizer_is_late(v), known = added_last(v->matcher, s->text, s->end, &behind);
    if (known && late) {
        known = added_last(v->normalized_matcher, s->text + behind, s->end - behind, &again);
        behind += again;
    }
    enum text_place place = behind > 0 ? TEXT_BEHIND : goes_on ? TEXT_GOES_ON : TEXT_FIRST;
    *text = s->text + behind;
    *size = s->end - behind;
    known = known && normalize_text(v, text, size, place, normalized) == 0;
    again = 0;
    if (known && !late)
        known = added_last(v->normalized_matcher, *text, *size, &again);
    if (known)
        *begin = word_begin(v->scheme.pattern, *text, *size, again);
    return known && *size - *begin > s->end - s->begin + joints_longest(v->joints);
}

// The tokens from the word's beginning to the stretch's end; where the first of them that lies within it begins.
static size_t find_first(struct bpe *b, struct stretch *s, bool goes_on) {
    const struct vocabulary *v = b->vocabulary;
    struct buffer normalized = {0};
    const uint8_t *text;
    size_t size, word, count, at = s->end;
    if (find_word(v, s, goes_on, &normalized, &text, &size, &word)) {
        uint32_t *symbols = memory_new(size - word, sizeof *symbols), *ids = memory_new(size - word, sizeof *ids);
        count = symbols && ids ? word_symbols(v, text + word, size - word, symbols) : 0;
        if (count > 0 && bpe_merge(b, symbols, count, ids, &count) == 0 &&
            find_tokens(v, s, ids, count, s->end, s->tokens))
            for (at = s->begin; at < s->end && s->tokens[at - s->begin] == 0;)
                at++;
        free(symbols);
        free(ids);
    }
    buffer_release(&normalized);
    return at;
}

static size_t cut_begun(struct bpe *b, struct stretch *s, size_t at, size_t width, size_t size, bool goes_on) {
    const struct vocabulary *v = b->vocabulary;
    if (!find_stretch(v, s, at, width, size) || !find_sides(v, s))
        return 0;
    size_t first = find_first(b, s, goes_on);
    for (size_t k = 0; k < s->end_count && first < s->end; k++)
        if (!keep_tokens(b, s, first, s->ends[k], true))
            return 0;
    return first < s->end ? last_place(v, s, size) : 0;
}

size_t word_cut(const struct vocabulary *v, const uint8_t *text, size_t from, size_t size, bool goes_on) {
    const size_t longest = joints_longest(v->joints), around = 2 * (longest + CONTRACTION) + 4 * CHARACTER_MOST;
    const size_t need = STRETCH + around, wide = STRETCH + TOKENS * longest;
    // What an unused piece stands for may be unknown, and one with what is beside it.
    bool may_fuse = v->unused_ends.size > 0 && !v->scheme.byte_fallback;
    if (v->scheme.model != MODEL_BPE || may_fuse || longest == 0 || longest > LONGEST)
        return 0;
    from = from > need ? from - need : 0; // there was too little behind it
    if (size - from < need)
        return 0;
    struct bpe b = {.vocabulary = v};
    struct stretch s = {.text = text};
    size_t last = size - need, step = (last - from) / TRIES + 1, p = 0;
    for (size_t back = 0; p == 0 && back <= last - from; back += step)
        p = cut_stretch(&b, &s, last - back, size);
    if (p == 0 && size >= wide + around)
        p = cut_begun(&b, &s, size - wide - around, wide, size, goes_on);
    bpe_release(&b);
    return p;
}
