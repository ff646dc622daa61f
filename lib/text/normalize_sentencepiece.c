// The compiled map is a double array of Darts-clone (32-bit units) behind its size, then the replacements, each
// with a NUL behind it. A unit: the byte that leads to it (bits 0-7; bit 31 set: it is a value instead, bits
// 0-30), whether a value is among its children, under byte 0 (bit 8), and the way to its children, to be XORed
// with its own index and the byte (bits 10-31, times 256 where bit 9 is set).
#include "text/normalize_sentencepiece.h"
#include "base/error.h"
#include "base/json.h"
#include "base/utf8.h"
#include "text/vocabulary_private.h"

#include <stdlib.h>
#include <string.h>

// RULES: SentencePiece looks at no more of the rules that match at one place, the shortest first.
enum { RULE_MOST = 255, RULES = 32, RUN = 1024, MALFORMED_SIZE = 3 };
#define MALFORMED "\xef\xbf\xbd" // U+FFFD

// ---- the compiled map ----

struct charsmap {
    const uint8_t *units;
    uint32_t size; // units; 0: there is no map
    const uint8_t *replacements;
    size_t replacements_size;
};

static struct charsmap find_charsmap(const struct vocabulary *v) {
    if (v->charsmap.size == 0)
        return (struct charsmap){.size = 0};
    const uint8_t *data = v->charsmap.data;
    size_t size = (size_t)load_le(data, 4);
    return (struct charsmap){data + 4, (uint32_t)(size / 4), data + 4 + size, v->charsmap.size - 4 - size};
}

static inline uint32_t unit_at(const struct charsmap *map, uint32_t i) {
    return (uint32_t)load_le(map->units + (size_t)i * 4, 4);
}
static inline bool unit_leads(uint32_t unit, uint8_t byte) {
    return (unit & 0x800000ffu) == byte;
}
static inline bool unit_has_value(uint32_t unit) {
    return (unit >> 8 & 1) != 0;
}
static inline uint32_t unit_offset(uint32_t unit) {
    return unit >> 10 << (unit >> 6 & 8);
}
static inline uint32_t unit_value(uint32_t unit) {
    return unit & 0x7fffffffu;
}

// ---- checking it ----

// A walk over all nodes that a text can reach, each once: the longest way below it says whether another way to it
// makes a rule too long, and finds circles.
struct walk {
    struct charsmap map;
    uint16_t *height; // by unit: the bytes of the longest rule's rest from there + 1; 0: not yet known
    struct place {
        uint32_t node, children;
        int byte;        // the next child to look at
        uint16_t height; // as far as is known
    } path[RULE_MOST + 1];
};

static size_t unit_place(uint32_t unit) {
    return 4 + (size_t)unit * 4;
}

static int check_value(const struct walk *w, uint32_t place) {
    uint32_t unit = unit_at(&w->map, place), value = unit_value(unit);
    if (unit == value)
        return error_set(ERROR_INPUT, "charsmap: byte %zu: no value where one should be", unit_place(place));
    if (value >= w->map.replacements_size)
        return error_set(ERROR_INPUT, "charsmap: byte %zu: replacement %u of %zu bytes of them", unit_place(place),
                         value, w->map.replacements_size);
    const char *text = (const char *)w->map.replacements + value;
    size_t size = strlen(text);
    if (size > RULE_MOST || !json_is_utf8(text, size))
        return error_set(ERROR_INPUT, "charsmap: byte %zu: a replacement of %zu bytes, %s, is not implemented",
                         unit_place(place), size, size > RULE_MOST ? "more than 255" : "not UTF-8");
    return OK;
}

// Step onto a node: its children must be within the array.
static int enter_node(struct walk *w, int depth, uint32_t node) {
    uint32_t unit = unit_at(&w->map, node), children = node ^ unit_offset(unit);
    if ((children | 0xff) >= w->map.size)
        return error_set(ERROR_INPUT, "charsmap: byte %zu: its children are at unit %u of %u", unit_place(node),
                         children, w->map.size);
    w->path[depth] = (struct place){.node = node, .children = children, .height = 1};
    return unit_has_value(unit) ? check_value(w, children) : OK;
}

static int check_nodes(struct walk *w) {
    int depth = 0;
    int code = enter_node(w, 0, 0);
    while (code == OK && depth >= 0) {
        struct place *at = &w->path[depth];
        if (at->byte == BYTES) {
            w->height[at->node] = at->height;
            if (depth-- > 0 && at[-1].height < at->height + 1)
                at[-1].height = at->height + 1;
            continue;
        }
        uint8_t byte = (uint8_t)at->byte++;
        uint32_t child = at->children ^ byte;
        if (!unit_leads(unit_at(&w->map, child), byte))
            continue;
        uint16_t height = w->height[child];
        if (depth + (height > 0 ? height : 1) > RULE_MOST)
            return error_set(ERROR_INPUT, "charsmap: byte %zu: a rule for more than %d bytes is not implemented",
                             unit_place(child), RULE_MOST);
        if (height == 0)
            code = enter_node(w, ++depth, child);
        else if (at->height < height + 1)
            at->height = height + 1;
    }
    return code;
}

static int check_charsmap(struct vocabulary *v) {
    size_t size = v->charsmap.size, units = size > 4 ? (size_t)load_le(v->charsmap.data, 4) : 0;
    if (size <= 4 || units >= size - 4 || units == 0 || units % 1024 != 0)
        return error_set(ERROR_INPUT, "charsmap: %zu bytes, %zu of them for its trie", size, units);
    struct walk w = {.map = find_charsmap(v)};
    if (v->charsmap.data[size - 1] != 0)
        return error_set(ERROR_INPUT, "charsmap: byte %zu: no NUL behind the last replacement", size - 1);
    w.height = memory_new(w.map.size, sizeof *w.height);
    if (!w.height)
        return ERROR_SYSTEM;
    int code = check_nodes(&w);
    if (code == OK && v->reach + 1 < w.path[0].height)
        v->reach = w.path[0].height - 1u;
    free(w.height);
    return code;
}

// ---- what stays as it is ----

static bool is_plain(const struct vocabulary *v, const struct charsmap *map, uint8_t byte) {
    const struct trie *symbols = &v->user_defined;
    uint32_t node = symbols->units ? trie_child(symbols, 0, byte) : 0;
    if (node != 0 && trie_value(symbols, node) > 0)
        return false;
    uint32_t children = 0;
    bool starts = false;
    if (map->size > 0) {
        uint32_t place = unit_offset(unit_at(map, 0)) ^ byte, unit = unit_at(map, place);
        starts = unit_leads(unit, byte);
        if (starts && unit_has_value(unit))
            return false;
        children = place ^ unit_offset(unit);
    }
    for (uint32_t next = 0; next < sizeof v->plain; next++)
        if ((node != 0 && trie_child(symbols, node, (uint8_t)next) != 0) ||
            (starts && unit_leads(unit_at(map, children ^ next), (uint8_t)next)))
            return false;
    return true;
}

// Where the bytes end that a rule or symbol might begin with, from `at` on; `whole`: one of them is a rule or
// symbol.
static size_t walk_end(const struct vocabulary *v, const struct charsmap *map, const uint8_t *text, size_t size,
                       size_t at, bool *whole) {
    const struct trie *symbols = &v->user_defined;
    bool follows = symbols->units != NULL, leads = map->size > 0;
    uint32_t node = 0, place = leads ? unit_offset(unit_at(map, 0)) : 0;
    *whole = false;
    for (; at < size; at++) {
        node = follows ? trie_child(symbols, node, text[at]) : 0;
        follows = node != 0;
        uint32_t unit = leads ? unit_at(map, place ^= text[at]) : 0;
        leads = leads && unit_leads(unit, text[at]);
        if (!follows && !leads)
            break;
        *whole = *whole || (follows && trie_value(symbols, node) > 0) || (leads && unit_has_value(unit));
        place ^= unit_offset(unit);
    }
    return at;
}

bool normalize_sentencepiece_keeps(const struct vocabulary *v, const uint8_t *text, size_t begin, size_t size) {
    const struct charsmap map = find_charsmap(v);
    bool whole;
    for (size_t at = begin < v->reach ? 0 : begin - v->reach; at < begin; at++)
        if (walk_end(v, &map, text, begin + 1, at, &whole) > begin)
            return false;
    return walk_end(v, &map, text, size, begin, &whole) < size && !whole;
}

// Whether a rule or symbol begins with the character, or inside it.
static bool is_touched(const struct vocabulary *v, const struct charsmap *map, const uint8_t *bytes, size_t size) {
    const struct trie *symbols = &v->user_defined;
    bool follows = symbols->units != NULL, leads = map->size > 0;
    uint32_t node = 0, place = leads ? unit_offset(unit_at(map, 0)) : 0;
    for (size_t i = 0; i < size && (follows || leads); i++) {
        node = follows ? trie_child(symbols, node, bytes[i]) : 0;
        follows = node != 0;
        uint32_t unit = leads ? unit_at(map, place ^= bytes[i]) : 0;
        leads = leads && unit_leads(unit, bytes[i]);
        if ((follows && trie_value(symbols, node) > 0) || (leads && unit_has_value(unit)))
            return true;
        place ^= unit_offset(unit);
    }
    return follows || leads;
}

int normalize_sentencepiece_prepare(struct vocabulary *v) {
    int code = v->charsmap.size > 0 ? check_charsmap(v) : OK;
    struct charsmap map = find_charsmap(v);
    for (uint32_t c = 0; c < sizeof v->plain && code == OK; c++)
        v->plain[c] = is_plain(v, &map, (uint8_t)c);
    for (uint32_t c = sizeof v->plain; c < BASIC_PLANE && code == OK; c++) {
        uint8_t bytes[4];
        if (is_touched(v, &map, bytes, utf8_write(c, bytes)))
            v->touched[c / 64] |= UINT64_C(1) << c % 64;
    }
    return code;
}

// ---- normalizing ----

struct normalizer {
    const struct vocabulary *vocabulary;
    struct charsmap map;
    struct buffer *out;
    bool behind_space; // and another one is to be left out
};

struct step { // what the beginning of a text becomes
    const uint8_t *bytes;
    size_t size, consumed;
};

static struct step find_step(const struct normalizer *n, const uint8_t *text, size_t size) {
    uint32_t id;
    size_t length =
        n->vocabulary->user_defined.units ? trie_longest(&n->vocabulary->user_defined, text, size, &id) : 0;
    if (length > 0)
        return (struct step){text, length, length};
    const struct charsmap *map = &n->map;
    uint32_t value = 0, place = map->size > 0 ? unit_offset(unit_at(map, 0)) : 0;
    int rules = 0;
    for (size_t i = 0; map->size > 0 && i < size; i++) {
        place ^= text[i];
        uint32_t unit = unit_at(map, place);
        if (!unit_leads(unit, text[i]))
            break;
        place ^= unit_offset(unit);
        if (unit_has_value(unit) && rules++ < RULES) {
            length = i + 1;
            value = unit_value(unit_at(map, place));
        }
    }
    if (length > 0) {
        const uint8_t *bytes = map->replacements + value;
        return (struct step){bytes, strlen((const char *)bytes), length};
    }
    uint32_t c;
    if (text[0] < 0x80)
        return (struct step){text, 1, 1};
    if (!utf8_read(text, size, 0, &c, &length))
        return (struct step){(const uint8_t *)MALFORMED, MALFORMED_SIZE, 1};
    return (struct step){text, length, length};
}

static void put_space(struct normalizer *n) {
    if (n->vocabulary->scheme.escape_spaces) {
        memcpy(n->out->data + n->out->size, META_SPACE, META_SPACE_SIZE);
        n->out->size += META_SPACE_SIZE;
    } else
        n->out->data[n->out->size++] = ' ';
}

static int put_step(struct normalizer *n, struct step s) {
    int code = s.size > RULE_MOST ? buffer_reserve(n->out, s.size * META_SPACE_SIZE) : OK; // else there is room
    if (code != OK)
        return code;
    while (n->behind_space && s.size > 0 && s.bytes[0] == ' ') {
        s.bytes++;
        s.size--;
    }
    for (size_t i = 0; i < s.size; i++)
        if (s.bytes[i] == ' ')
            put_space(n);
        else
            n->out->data[n->out->size++] = s.bytes[i];
    if (s.size > 0)
        n->behind_space = n->vocabulary->scheme.remove_extra_spaces && s.bytes[s.size - 1] == ' ';
    return OK;
}

// A character beyond ASCII that nothing touches: its size, or 0.
static inline size_t untouched_size(const struct vocabulary *v, const uint8_t *text, size_t size) {
    uint32_t c;
    size_t length;
    bool known = utf8_read(text, size, 0, &c, &length) && c < BASIC_PLANE;
    return known && !(v->touched[c / 64] >> c % 64 & 1) ? length : 0;
}

static inline bool is_plain_letter(const struct vocabulary *v, uint8_t byte) {
    return byte < sizeof v->plain && byte != ' ' && v->plain[byte];
}

// Take what stays as it is, about RUN bytes of it; how many. ASCII before a character that is not is none of it: a
// rule may join the two.
static size_t put_plain(struct normalizer *n, const uint8_t *text, size_t size) {
    const struct vocabulary *v = n->vocabulary;
    size_t most = size < RUN ? size : RUN, i = 0;
    uint8_t *out = n->out->data + n->out->size;
    while (i < most) {
        size_t begin = i;
        for (; i < most && is_plain_letter(v, text[i]) && (i + 1 == size || text[i + 1] < 0x80); i++)
            *out++ = text[i];
        n->behind_space = n->behind_space && i == begin;
        if (i == most)
            break;
        if (text[i] >= 0x80) {
            size_t end = i + untouched_size(v, text + i, size - i);
            if (end == i)
                break;
            while (i < end)
                *out++ = text[i++];
            n->behind_space = false;
            continue;
        }
        if (text[i] != ' ' || !v->plain[' '] || (i + 1 < size && text[i + 1] >= 0x80))
            break;
        if (!n->behind_space) {
            n->out->size = (size_t)(out - n->out->data);
            put_space(n);
            out = n->out->data + n->out->size;
            n->behind_space = v->scheme.remove_extra_spaces;
        }
        i++;
    }
    n->out->size = (size_t)(out - n->out->data);
    return i;
}

int normalize_sentencepiece(const struct vocabulary *v, const uint8_t *text, size_t size, bool goes_on,
                            struct buffer *out) {
    struct normalizer n = {v, find_charsmap(v), out, v->scheme.remove_extra_spaces && !goes_on};
    size_t begin = out->size, at = 0;
    const char *space = v->scheme.escape_spaces ? META_SPACE : " ";
    size_t space_size = strlen(space);
    for (; n.behind_space && at < size; at++) {
        struct step s = find_step(&n, text + at, size - at);
        if (s.size != 1 || s.bytes[0] != ' ')
            break;
        at += s.consumed - 1;
    }
    if (at == size)
        return OK;
    int code = OK;
    if (v->scheme.dummy_prefix && !goes_on)
        code = buffer_append(out, space, space_size);
    while (at < size && code == OK) {
        code = buffer_reserve(out, (size_t)(RUN + 2 + RULE_MOST) * META_SPACE_SIZE);
        if (code != OK)
            break;
        size_t taken = put_plain(&n, text + at, size - at);
        at += taken;
        if (taken < RUN && at < size) {
            struct step s = find_step(&n, text + at, size - at);
            code = put_step(&n, s);
            at += s.consumed;
        }
    }
    while (v->scheme.remove_extra_spaces && out->size - begin >= space_size &&
           memcmp(out->data + out->size - space_size, space, space_size) == 0)
        out->size -= space_size;
    return code;
}
