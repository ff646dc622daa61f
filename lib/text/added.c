#include "text/added.h"
#include "base/error.h"
#include "base/utf8.h"
#include "text/normalize.h"
#include "text/vocabulary_private.h"
#include "text/word_characters.h"

#include <stdlib.h>

enum { PAIRS = 1 << 16, WORD_BITS = 64 };

struct added_matcher {
    const struct added *tokens; // the trie's values are places here
    struct trie trie;
    bool ordinary;                         // one of them is not special
    uint64_t first_two[PAIRS / WORD_BITS]; // two bytes that one of them begins with, little-endian
    bool first[BYTES];                     // of one byte
};

void added_matcher_free(struct added_matcher *m) {
    if (m)
        trie_release(&m->trie);
    free(m);
}

bool added_matcher_wanted(const struct added_matcher *m, bool allow_special) {
    return m && (allow_special || m->ordinary);
}

// ---- making ----

static void add_beginning(struct added_matcher *m, const struct trie_key *key) {
    m->first[key->bytes[0]] |= key->size == 1;
    for (uint32_t second = 0; second < BYTES; second++)
        if (key->size == 1 || key->bytes[1] == second) {
            uint32_t pair = key->bytes[0] | second << 8;
            m->first_two[pair / WORD_BITS] |= UINT64_C(1) << pair % WORD_BITS;
        }
}

static int add_keys(struct added_matcher *m, const struct vocabulary *v, bool normalized, struct trie_key *keys,
                    struct buffer *texts, size_t *count) {
    struct buffer text = {0};
    int code = OK;
    *count = 0;
    for (uint32_t i = 0; i < vocabulary_added_count(v) && code == OK; i++) {
        const struct added *added = &m->tokens[i];
        size_t size = strlen(added->text);
        if (added->normalized != normalized || size == 0)
            continue;
        buffer_clear(&text);
        code = normalized ? normalize_added(v, added->text, &text) : buffer_append(&text, added->text, size);
        if (code == OK)
            code = buffer_append(texts, text.data, text.size);
        keys[*count] = (struct trie_key){NULL, text.size, i};
        *count += code == OK && text.size > 0;
    }
    buffer_release(&text);
    return code;
}

int added_matcher_new(struct added_matcher **out, const struct vocabulary *v, bool normalized) {
    *out = NULL;
    struct added_matcher *m = memory_new(1, sizeof *m);
    struct trie_key *keys = memory_new(vocabulary_added_count(v) + 1, sizeof *keys);
    struct buffer texts = {0};
    size_t count = 0, at = 0;
    int code = m && keys ? OK : ERROR_SYSTEM;
    if (code == OK) {
        m->tokens = vocabulary_added(v);
        code = add_keys(m, v, normalized, keys, &texts, &count);
    }
    for (size_t i = 0; i < count && code == OK; at += keys[i++].size) {
        keys[i].bytes = texts.data + at;
        add_beginning(m, &keys[i]);
        m->ordinary |= !m->tokens[keys[i].value].special;
    }
    if (code == OK && count > 0)
        code = trie_build(&m->trie, keys, count);
    if (code == OK && count > 0)
        *out = m;
    else
        added_matcher_free(m);
    free(keys);
    buffer_release(&texts);
    return code;
}

// ---- finding ----

// The next place where one may begin.
static size_t next_candidate(const struct added_matcher *m, const uint8_t *text, size_t size, size_t at) {
    for (; at + 1 < size; at++) {
        uint32_t pair = (uint32_t)load_le(text + at, 2);
        if (m->first_two[pair / WORD_BITS] >> pair % WORD_BITS & 1)
            return at;
    }
    return at < size && m->first[text[at]] ? at : size;
}

static bool is_word_character(uint32_t c) {
    enum text_class class = character_class(c);
    if (class == CLASS_LETTER || class == CLASS_MARK)
        return true;
    size_t low = 0, high = sizeof word_characters / sizeof *word_characters;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (c > word_characters[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    return low < sizeof word_characters / sizeof *word_characters && c >= word_characters[low].first;
}

// The characters beside a place, and where they end; a malformed byte is one without a class.
static uint32_t character_before(const struct added_search *s, size_t at, size_t *begin) {
    uint32_t c;
    for (size_t size = at < 4 ? at : 4; size > 0; size--)
        if (utf8_character(s->text + at - size, size, &c) == size) {
            *begin = at - size;
            return c;
        }
    *begin = at - 1;
    return UINT32_MAX;
}

static uint32_t character_behind(const struct added_search *s, size_t at, size_t *end) {
    uint32_t c;
    size_t size = utf8_character(s->text + at, s->size - at, &c);
    *end = at + (size > 0 ? size : 1);
    return size > 0 ? c : UINT32_MAX;
}

static bool stands_alone(const struct added_search *s) {
    size_t beside;
    return (s->match_begin == 0 || !is_word_character(character_before(s, s->match_begin, &beside))) &&
           (s->match_end == s->size || !is_word_character(character_behind(s, s->match_end, &beside)));
}

static void take_spaces(struct added_search *s, const struct added *token) {
    size_t beside;
    if (token->strip_left && s->match_begin < s->begin)
        s->match_begin = s->begin;
    while (token->strip_left && s->match_begin > s->begin &&
           character_class(character_before(s, s->match_begin, &beside)) == CLASS_SPACE)
        s->match_begin = beside;
    while (token->strip_right && s->match_end < s->size &&
           character_class(character_behind(s, s->match_end, &beside)) == CLASS_SPACE)
        s->match_end = beside;
}

bool added_next(const struct added_matcher *m, struct added_search *s, bool allow_special) {
    s->begin = s->match_end;
    while ((s->at = next_candidate(m, s->text, s->size, s->at)) < s->size) {
        uint32_t found = 0;
        size_t size = trie_longest(&m->trie, s->text + s->at, s->size - s->at, &found);
        if (size == 0) {
            s->at++;
            continue;
        }
        const struct added *token = &m->tokens[found];
        s->match_begin = s->at;
        s->at = s->match_end = s->match_begin + size;
        if ((token->special && !allow_special) || (token->single_word && !stands_alone(s)))
            continue;
        take_spaces(s, token);
        if (s->match_begin >= s->match_end)
            continue; // the token before has taken all of it
        s->id = token->id;
        return true;
    }
    return false;
}

// ---- cutting ----

// Whether it may begin in text[from..end].
static bool may_begin(const char *token, size_t length, const uint8_t *text, size_t from, size_t end,
                      size_t size) {
    for (const uint8_t *at = text + from; (at = memchr(at, token[0], (size_t)(text + end + 1 - at))); at++) {
        size_t left = size - (size_t)(at - text),
               known = left < length ? left : length; // what follows is not known
        if (memcmp(at, token, known) == 0)
            return true;
    }
    return false;
}

bool added_may_touch(const struct vocabulary *v, const uint8_t *text, size_t begin, size_t end, size_t size) {
    const struct added *added = vocabulary_added(v);
    for (uint32_t i = 0; i < vocabulary_added_count(v); i++) {
        size_t length = strlen(added[i].text), from = begin > length ? begin - length : 0;
        if (length > 0 && may_begin(added[i].text, length, text, from, end, size))
            return true;
    }
    return false;
}

bool added_strips(const struct vocabulary *v) {
    const struct added *added = vocabulary_added(v);
    for (uint32_t i = 0; i < vocabulary_added_count(v); i++)
        if (added[i].strip_left || added[i].strip_right)
            return true;
    return false;
}

static size_t last_end(const struct added_matcher *m, const uint8_t *text, size_t size, bool allow_special) {
    struct added_search s = {.text = text, .size = size};
    while (added_matcher_wanted(m, allow_special) && added_next(m, &s, allow_special))
        ;
    return s.begin;
}

bool added_last(const struct added_matcher *m, const uint8_t *text, size_t size, size_t *end) {
    *end = last_end(m, text, size, false);
    return *end == last_end(m, text, size, true);
}
