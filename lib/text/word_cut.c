// Any run of a word's tokens is what its text alone becomes: the merges within it are the same, in the same order,
// for none crosses its borders. So take a stretch of a word. A token of the word holds the stretch's first byte,
// and one its last: where these begin and end is not known, but the vocabulary has only few tokens that could be
// they. With each of their beginnings and each of their ends the text between is encoded; where a token ends in
// all of these, one ends in the word. And the parts before and behind that place are runs of the word's tokens.
//
// That both parts are words, too, is a matter of the pattern. The stretch and a margin on both sides, longer than
// any token and than a contraction, are characters of one kind, with which every pattern goes on to the kind's
// end, from wherever it began: `\p{L}+` in letters, in digits gpt2's `\p{N}+`, in signs `[^\s\p{L}\p{N}]+`, where
// more signs follow and none is an apostrophe (nor, in o200k, a slash, which may be of the end of a line). o200k's
// words go by case: of lower case `[..]+` behind the first one. Of upper case, and of letters without, it matters
// what came before, so the kind's beginning must be there: behind ASCII, and letters without case behind none of
// lower case, which they would end. Marks, white space and, where digits have groups, digits are of no kind. The
// words are longer than any token, so that neither the whole nor a part is looked up as one.
#include "text/word_cut.h"
#include "base/utf8.h"
#include "text/added.h"
#include "text/bpe.h"
#include "text/joints.h"
#include "text/normalize_nfc.h"
#include "text/normalize_sentencepiece.h"
#include "text/symbols.h"
#include "text/vocabulary_private.h"

// CONTRACTION: its bytes and one more. TRIES: stretches that are looked at.
enum { STRETCH = 96, CONTRACTION = 4, LONGEST = 512, TRIES = 32, SIDES = 64, CHARACTER_MOST = 4 };
enum { ROOM = STRETCH + CHARACTER_MOST + 2 * LONGEST };

enum kind { KIND_NONE, KIND_LOWER, KIND_UPPER, KIND_CASELESS, KIND_LETTER, KIND_DIGIT, KIND_SIGN, KIND_ANY };

static enum kind kind_of_ascii(enum text_pattern pattern, uint32_t c) {
    bool by_case = pattern == PATTERN_O200K;
    if (c >= 'a' && c <= 'z')
        return by_case ? KIND_LOWER : KIND_LETTER;
    if (c >= 'A' && c <= 'Z')
        return by_case ? KIND_UPPER : KIND_LETTER;
    if (c >= '0' && c <= '9')
        return pattern == PATTERN_GPT2 ? KIND_DIGIT : KIND_NONE;
    bool sign = c > ' ' && c < 0x7f && c != '\'' && !(by_case && c == '/');
    return sign ? KIND_SIGN : KIND_NONE;
}

// Kana, ideographs and the syllables of Hangul.
static bool is_caseless(uint32_t c) {
    return c >= 0x3041 && normalize_nfc_begins(c);
}

static enum kind kind_of(const struct vocabulary *v, uint32_t c) {
    enum text_pattern pattern = v->scheme.pattern;
    if (c < 0x80)
        return kind_of_ascii(pattern, c);
    if (is_caseless(c))
        return pattern == PATTERN_O200K ? KIND_CASELESS : KIND_LETTER;
    if (v->scheme.normalizer == NORMALIZE_NFC)
        return KIND_NONE;
    enum text_class class = character_class(c);
    if (class == CLASS_LETTER)
        return pattern == PATTERN_O200K ? KIND_NONE : KIND_LETTER;
    // starcoder2 has digits apart that the classes do not know
    return class == CLASS_OTHER && pattern != PATTERN_STARCODER2 ? KIND_SIGN : KIND_NONE;
}

// Of the character at `at`, and its bytes.
static enum kind kind_at(const struct vocabulary *v, const uint8_t *text, size_t at, size_t size, size_t *length) {
    enum text_pattern pattern = v->scheme.pattern;
    uint32_t c;
    *length = utf8_character(text + at, size - at, &c);
    if (*length == 0)
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
    bool in_all[STRETCH + CHARACTER_MOST];
    uint32_t symbols[ROOM], ids[ROOM];
};

// A stretch and its margins, from the first character at `at` on.
static bool find_stretch(const struct vocabulary *v, struct stretch *s, size_t at, size_t size) {
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
        if (s->begin > 0 && s->end == 0 && at >= s->begin + STRETCH)
            s->end = at;
        if (s->end > 0 && at >= s->end + margin)
            return true;
    }
    return false;
}

static bool is_token(const struct vocabulary *v, const uint8_t *text, size_t begin, size_t end) {
    return is_edge(v, text[begin]) && is_edge(v, text[end]) &&
           vocabulary_find(v, text + begin, end - begin) != no_id;
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

// Leave the places where a token of text[begin..end) ends; false: its tokens' bytes are not its own.
static bool keep_ends(struct bpe *b, struct stretch *s, size_t begin, size_t end) {
    const struct vocabulary *v = b->vocabulary;
    bool here[STRETCH + CHARACTER_MOST] = {false};
    size_t tokens = 0, count = word_symbols(v, s->text + begin, end - begin, s->symbols), at = begin;
    if (count == 0 || bpe_merge(b, s->symbols, count, s->ids, &tokens) != 0)
        return false;
    for (size_t i = 0, size; i < tokens; i++) {
        vocabulary_bytes(v, s->ids[i], &size);
        if (size == 0 || s->ids[i] == v->scheme.unknown)
            return false;
        at += size;
        if (at > s->begin && at < s->end)
            here[at - s->begin] = true;
    }
    for (size_t i = 0; i < s->end - s->begin; i++)
        s->in_all[i] = s->in_all[i] && here[i];
    return at == end;
}

static bool find_ends(struct bpe *b, struct stretch *s) {
    bool known = true;
    memset(s->in_all, true, sizeof s->in_all);
    for (size_t i = 0; i < s->begin_count && known; i++)
        for (size_t k = 0; k < s->end_count && known; k++)
            known = keep_ends(b, s, s->begins[i], s->ends[k]);
    return known;
}

// o200k's words by what came before: whether that matters not.
static bool begins_well(const struct vocabulary *v, const struct stretch *s) {
    size_t at = s->begin, length;
    if (s->kind != KIND_UPPER && s->kind != KIND_CASELESS)
        return true;
    for (size_t before; at > 0; at = before) {
        for (before = at - 1; before > 0 && at - before < CHARACTER_MOST && is_continuation(s->text[before]);)
            before--;
        if (kind_at(v, s->text, before, at, &length) != s->kind || length != at - before)
            break;
    }
    bool lower = at > 0 && s->text[at - 1] >= 'a' && s->text[at - 1] <= 'z';
    return at == 0 || (s->text[at - 1] < 0x80 && !(lower && s->kind == KIND_CASELESS));
}

static size_t cut_stretch(struct bpe *b, struct stretch *s, size_t at, size_t size) {
    const struct vocabulary *v = b->vocabulary;
    if (!find_stretch(v, s, at, size) || !find_sides(v, s) || !find_ends(b, s) || !begins_well(v, s))
        return 0;
    for (size_t p = s->end - 1; p > s->begin; p--)
        if (s->in_all[p - s->begin] && !is_continuation(s->text[p]) && !added_may_touch(v, s->text, p, size))
            return p;
    return 0;
}

size_t word_cut(const struct vocabulary *v, const uint8_t *text, size_t from, size_t size) {
    const size_t longest = joints_longest(v->joints);
    const size_t need = STRETCH + 2 * (longest + CONTRACTION) + 4 * CHARACTER_MOST;
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
    bpe_release(&b);
    return p;
}
