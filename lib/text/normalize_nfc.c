// Nearly all text is in NFC. It is passed over by a table's byte for each character; only where that leaves doubt
// is a segment decomposed, ordered and composed again: from the last starter that nothing joins to the next one.
#include "text/normalize_nfc.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/utf8.h"

#include <stdlib.h>

#include "text/nfc_tables.h"

enum {
    MALFORMED = 0x110000, // plus the byte: a code point of its own
    UNSURE = 1,           // nfc_blocks' lowest bit
    RANKS = 128,
    // Hangul: a syllable is (L * 21 + V) * 28 + T (Unicode Standard, section 3.12)
    SYLLABLES = 0xac00,
    SYLLABLES_END = 0xac00 + 11172,
    LEADING = 0x1100,
    VOWEL = 0x1161,
    TRAILING = 0x11a7, // one below the first: 0 is none
    LEADINGS = 19,
    VOWELS = 21,
    TRAILINGS = 28
};

static inline unsigned property(uint32_t c) {
    return c < NFC_END ? nfc_blocks[nfc_index[c / 64]][c % 64] : 0;
}

static unsigned rank_of(uint32_t c) {
    return property(c) >> 1;
}

static uint32_t read_character(const uint8_t *text, size_t size, size_t at, size_t *next) {
    uint32_t c;
    *next = at + 1;
    if (text[at] < 0x80)
        return text[at];
    return utf8_read(text, size, at, &c, next) ? c : MALFORMED + (uint32_t)text[at];
}

static size_t write_character(uint32_t c, uint8_t to[4]) {
    if (c < MALFORMED)
        return utf8_write(c, to);
    to[0] = (uint8_t)(c - MALFORMED);
    return 1;
}

// ---- a segment: code points in a buffer ----

static int add_decomposed(struct buffer *points, uint32_t c) {
    if (c >= SYLLABLES && c < SYLLABLES_END) {
        uint32_t i = c - SYLLABLES, t = i % TRAILINGS;
        uint32_t parts[3] = {LEADING + i / TRAILINGS / VOWELS, VOWEL + i / TRAILINGS % VOWELS, TRAILING + t};
        return buffer_append(points, parts, (t > 0 ? 3 : 2) * sizeof *parts);
    }
    size_t low = 0, high = sizeof nfc_wholes / sizeof *nfc_wholes;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (nfc_wholes[middle].whole < c)
            low = middle + 1;
        else
            high = middle;
    }
    const struct nfc_whole *found = &nfc_wholes[low];
    if (low == sizeof nfc_wholes / sizeof *nfc_wholes || found->whole != c)
        return buffer_append(points, &c, sizeof c);
    size_t n = 1;
    while (n < 4 && found->parts[n] != 0)
        n++;
    return buffer_append(points, found->parts, n * sizeof *found->parts);
}

// Marks by rank, those of one rank in the order they have.
static int sort_marks(uint32_t *marks, size_t n) {
    enum { FEW = 16 };
    if (n <= FEW) {
        for (size_t i = 1, k; i < n; i++) {
            uint32_t c = marks[i];
            for (k = i; k > 0 && rank_of(marks[k - 1]) > rank_of(c); k--)
                marks[k] = marks[k - 1];
            marks[k] = c;
        }
        return OK;
    }
    uint32_t *sorted = memory_new(n, sizeof *sorted);
    if (!sorted)
        return ERROR_SYSTEM;
    size_t starts[RANKS + 1] = {0};
    for (size_t i = 0; i < n; i++)
        starts[rank_of(marks[i]) + 1]++;
    for (int r = 0; r < RANKS; r++)
        starts[r + 1] += starts[r];
    for (size_t i = 0; i < n; i++)
        sorted[starts[rank_of(marks[i])]++] = marks[i];
    memcpy(marks, sorted, n * sizeof *marks);
    free(sorted);
    return OK;
}

static int order_marks(uint32_t *points, size_t n) {
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i; end < n && rank_of(points[end]) > 0; end++)
            ;
        if (end > i + 1 && sort_marks(points + i, end - i) != OK)
            return ERROR_SYSTEM;
        end += end == i;
    }
    return OK;
}

static int pair_compare(const void *pa, const void *pb) {
    const struct nfc_pair *a = pa, *b = pb;
    if (a->first != b->first)
        return a->first < b->first ? -1 : 1;
    return (a->second > b->second) - (a->second < b->second);
}

// What two characters are composed to, or 0.
static uint32_t compose_pair(uint32_t first, uint32_t second) {
    if (first >= LEADING && first < LEADING + LEADINGS && second >= VOWEL && second < VOWEL + VOWELS)
        return SYLLABLES + ((first - LEADING) * VOWELS + (second - VOWEL)) * TRAILINGS;
    if (first >= SYLLABLES && first < SYLLABLES_END && (first - SYLLABLES) % TRAILINGS == 0 && second > TRAILING &&
        second < TRAILING + TRAILINGS)
        return first + (second - TRAILING);
    const struct nfc_pair key = {.first = first, .second = second};
    const struct nfc_pair *found =
        bsearch(&key, nfc_pairs, sizeof nfc_pairs / sizeof *nfc_pairs, sizeof *nfc_pairs, pair_compare);
    return found ? found->whole : 0;
}

// A character joins the last starter where none of its rank or a higher one, and no other starter, lies between.
static size_t compose(uint32_t *points, size_t n) {
    size_t kept = 0, starter = 0;
    bool has_starter = false;
    int last = -1; // the rank of the last one kept behind the starter; -1: none is
    for (size_t i = 0; i < n; i++) {
        int rank = (int)rank_of(points[i]);
        uint32_t whole = has_starter && last < rank ? compose_pair(points[starter], points[i]) : 0;
        if (whole) {
            points[starter] = whole;
            continue;
        }
        last = rank;
        if (rank == 0) {
            has_starter = true;
            starter = kept;
            last = -1;
        }
        points[kept++] = points[i];
    }
    return kept;
}

// ---- the text ----

// The first character that leaves doubt, or the end; *starter: where the last starter before it lies that joins
// none.
static size_t pass_over(const uint8_t *text, size_t size, size_t at, size_t *starter) {
    const uint64_t ascii = 0x8080808080808080u;
    unsigned last = 0;
    for (size_t next; at < size; at = next) {
        unsigned p = 0;
        uint32_t c;
        if (text[at] >= 0x80) {
            p = utf8_read(text, size, at, &c, &next) ? property(c) : 0;
        } else {
            uint64_t eight = ascii;
            if (size - at >= sizeof eight)
                memcpy(&eight, text + at, sizeof eight);
            next = at + (eight & ascii ? 1 : sizeof eight);
            at = next - 1;
        }
        if (p & UNSURE || (p > 0 && p < last))
            return at;
        if (p == 0)
            *starter = at;
        last = p;
    }
    return size;
}

static size_t segment_end(const uint8_t *text, size_t size, size_t at) {
    for (size_t next; at < size; at = next)
        if (property(read_character(text, size, at, &next)) == 0)
            return at;
    return size;
}

// text[begin..end) in NFC, at the end of `out`.
static int normalize_segment(const uint8_t *text, size_t begin, size_t end, struct buffer *points,
                             struct buffer *out) {
    int code = OK;
    buffer_clear(points);
    for (size_t at = begin; at < end && code == OK;)
        code = add_decomposed(points, read_character(text, end, at, &at));
    size_t n = points->size / sizeof(uint32_t);
    uint32_t *c = (uint32_t *)points->data;
    if (code == OK)
        code = order_marks(c, n);
    if (code == OK)
        n = compose(c, n);
    for (size_t i = 0; i < n && code == OK; i++) {
        uint8_t bytes[4];
        code = buffer_append(out, bytes, write_character(c[i], bytes));
    }
    return code;
}

int normalize_nfc(const uint8_t *text, size_t size, struct buffer *out, bool *changed) {
    struct buffer points = {0}, segment = {0};
    size_t copied = 0; // how much of the text is in `out`
    int code = OK;
    *changed = false;
    for (size_t at = 0, starter = 0; code == OK && (at = pass_over(text, size, at, &starter)) < size;) {
        size_t end = segment_end(text, size, at), begin = starter;
        buffer_clear(&segment);
        code = normalize_segment(text, begin, end, &points, &segment);
        at = starter = end;
        if (code != OK || (segment.size == end - begin && memcmp(segment.data, text + begin, end - begin) == 0))
            continue;
        if (!*changed)
            buffer_clear(out);
        *changed = true;
        code = buffer_append(out, text + copied, begin - copied);
        if (code == OK)
            code = buffer_append(out, segment.data, segment.size);
        copied = end;
    }
    if (code == OK && *changed)
        code = buffer_append(out, text + copied, size - copied);
    buffer_release(&points);
    buffer_release(&segment);
    return code;
}
