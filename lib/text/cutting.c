// Why a cut is safe. The regular expressions of the pre-tokenizers have no look-behind, so words behind a border
// are what they would be at the start of a text. A letter or digit followed by something that is neither, nor a
// mark, nor the apostrophe of a contraction, is always a border: no word goes on across it. And the words before
// it are the same where the text ends there: only white space looks further ahead than its own end.
//
// In SentencePiece's scheme the border is a space between two characters. It becomes the U+2581 that starts a
// word, and a text of its own gets the same one in front.
#include "text/cutting.h"
#include "base/utf8.h"
#include "text/vocabulary_private.h"

enum { CHARACTER_MOST = 4, RULE_MOST = 16 };

static bool is_alphanumeric(uint8_t c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

// Whether a letter or an ASCII digit ends at `p`.
static bool is_behind_letter(const uint8_t *text, size_t p) {
    size_t begin = p - 1, next;
    uint32_t c;
    if (text[begin] < 0x80)
        return is_alphanumeric(text[begin]);
    while (begin > 0 && p - begin < CHARACTER_MOST && text[begin] >> 6 == 2)
        begin--;
    return utf8_read(text, p, begin, &c, &next) && next == p && character_class(c) == CLASS_LETTER;
}

static bool is_border(const uint8_t *text, size_t p, size_t size) {
    uint8_t next = text[p];
    if (next < 0x80)
        return !is_alphanumeric(next) && next != '\'' && is_behind_letter(text, p);
    return size - p >= 3 && is_behind_letter(text, p) && next == 0xe3 && text[p + 1] == 0x80 &&
           (text[p + 2] == 0x81 || text[p + 2] == 0x82); // the Japanese comma and full stop
}

// Whether a character next to a space may be any but white space and U+2581.
static bool is_word_byte(const uint8_t *text, size_t at, bool before) {
    if (text[at] < 0x80)
        return is_alphanumeric(text[at]);
    return before ? at < 2 || memcmp(text + at - 2, META_SPACE, META_SPACE_SIZE) != 0
                  : text[at] != (uint8_t)META_SPACE[0];
}

// A space that alone stands between two characters which the model's character map leaves as they are.
static bool is_space_border(const struct vocabulary *v, const uint8_t *text, size_t p) {
    if (text[p] != ' ' || !is_word_byte(text, p - 1, true) || !is_word_byte(text, p + 1, false))
        return false;
    if (v->scheme.normalizer != NORMALIZE_SENTENCEPIECE || v->charsmap.size == 0)
        return true;
    // ... and no rule reaches across.
    size_t begin = p < RULE_MOST ? 0 : p - RULE_MOST;
    for (size_t i = begin; i <= p + 1; i++)
        if (text[i] >= 0x80 || !v->plain[text[i]])
            return false;
    return true;
}

// Whether an added token may begin, lie or end at the border, or at the character behind it.
static bool meets_added(const struct vocabulary *v, const uint8_t *text, size_t p, size_t size) {
    const struct added *added = (const struct added *)v->added.data;
    for (size_t n = v->added.size / sizeof *added, i = 0; i < n; i++) {
        size_t length = strlen(added[i].text);
        for (size_t at = p > length ? p - length : 0; at <= p + 1; at++) {
            size_t known = size - at < length ? size - at : length; // what follows is not known
            if (memcmp(text + at, added[i].text, known) == 0)
                return true;
        }
    }
    return false;
}

// Whether the scheme's words have borders that we know.
static bool has_borders(const struct vocabulary *v) {
    const struct scheme *s = &v->scheme;
    if (s->pattern == PATTERN_META_SPACE) {
        if (s->normalizer == NORMALIZE_SENTENCEPIECE &&
            (!s->escape_spaces || v->user_defined.units || (s->remove_extra_spaces && !s->dummy_prefix)))
            return false;
        return s->normalizer == NORMALIZE_META_SPACE || s->normalizer == NORMALIZE_SENTENCEPIECE;
    }
    return s->pattern != PATTERN_NONE && !s->dummy_prefix &&
           (s->normalizer == NORMALIZE_NONE || s->normalizer == NORMALIZE_NFC);
}

size_t vocabulary_cut_skip(const struct vocabulary *v) {
    return v->scheme.dummy_prefix;
}

size_t vocabulary_cut_in_order(const struct vocabulary *v, const uint8_t *text, size_t from, size_t size) {
    bool spaces = v->scheme.pattern == PATTERN_META_SPACE;
    if (size < 3 || !has_borders(v))
        return 0;
    for (size_t p = size - 2; p > from; p--)
        if ((spaces ? is_space_border(v, text, p) : is_border(text, p, size)) && !meets_added(v, text, p, size))
            return p;
    return 0;
}

bool vocabulary_needs_order(const struct vocabulary *v) {
    return v->scheme.model == MODEL_UNIGRAM;
}

size_t vocabulary_cut(const struct vocabulary *v, const uint8_t *text, size_t from, size_t size) {
    return vocabulary_needs_order(v) ? 0 : vocabulary_cut_in_order(v, text, from, size);
}
