// Shifted left, a mask tells of each byte what the one before it is, and to the right, the one behind it. A sum
// carries a bit through a run of ones to its end.
#include "text/split_window.h"
#include "base/byte_vector.h"

#define INLINE inline __attribute__((always_inline))

// gap: ' ', blank: white space but newlines.
struct window {
    uint64_t letter, upper, number, space, blank, newline, gap, quote, slash, rest;
    int ascii; // how many bytes before one that is not
};

static INLINE struct window window_read(const uint8_t *text) {
    struct window w = {0};
    uint64_t beyond = 0;
    for (int i = 0; i < WINDOW; i += BYTE_VECTOR) {
        byte_vector v = byte_vector_load(text + i);
        w.letter |= byte_vector_bits((byte_vector)((v | 0x20) - 'a' < 26)) << i;
        w.upper |= byte_vector_bits((byte_vector)(v - 'A' < 26)) << i;
        w.number |= byte_vector_bits((byte_vector)(v - '0' < 10)) << i;
        w.space |= byte_vector_bits((byte_vector)(v - '\t' < 5) | (byte_vector)(v == ' ')) << i;
        w.newline |= byte_vector_bits((byte_vector)(v == '\n') | (byte_vector)(v == '\r')) << i;
        w.gap |= byte_vector_bits((byte_vector)(v == ' ')) << i;
        w.quote |= byte_vector_bits((byte_vector)(v == '\'')) << i;
        w.slash |= byte_vector_bits((byte_vector)(v == '/')) << i;
        beyond |= byte_vector_bits(v) << i;
    }
    w.blank = w.space & ~w.newline;
    w.rest = ~(w.letter | w.number | w.space);
    w.ascii = beyond ? __builtin_ctzll(beyond) : WINDOW;
    return w;
}

static INLINE uint64_t bits_below(int n) {
    return n >= 64 ? ~(uint64_t)0 : n > 0 ? ((uint64_t)1 << n) - 1 : 0;
}

static INLINE uint64_t run_starts(uint64_t run) {
    return run & ~(run << 1);
}

// The contraction (split.c) at text[i], of which both letters are there: its bytes, or 0.
static INLINE int contraction(const uint8_t *text, int i, bool any_case) {
    uint8_t bit = any_case ? 0x20 : 0, one = text[i + 1] | bit, two = text[i + 2] | bit;
    if (one == 's' || one == 't' || one == 'm' || one == 'd')
        return 2;
    return ((one == 'r' || one == 'v') && two == 'e') || (one == 'l' && two == 'l') ? 3 : 0;
}

static INLINE uint64_t gpt2_starts(const struct window *w, const uint8_t *text, bool digits_apart) {
    uint64_t words = run_starts(w->letter) | run_starts(w->rest) | (digits_apart ? 0 : run_starts(w->number));
    words &= ~(w->gap << 1);
    // The last one of white space starts the next word, but in front of a digit that was cut out.
    uint64_t last = w->space & ~(w->space >> 1);
    uint64_t starts =
        words | run_starts(w->space) | (digits_apart ? w->number | (last & ~(w->number >> 1)) : last);
    uint64_t quotes = w->quote & words & w->letter >> 1 & bits_below(w->ascii - 3);
    for (; quotes; quotes &= quotes - 1) {
        int i = __builtin_ctzll(quotes), length = contraction(text, i, false);
        if (length > 0) // where it ends before other than a letter, a word starts anyway
            starts = (starts & ~((uint64_t)2 << i)) | (uint64_t)1 << i << length;
    }
    return starts;
}

// \s*[\r\n]+|\s+(?!\S)|\s+, where lines that a run of others ended with are its own.
static INLINE uint64_t line_starts(const struct window *w) {
    uint64_t owned = w->newline & ~(w->newline + (w->newline & w->rest << 1));
    // White space behind a line's end is the next line's, if that has other text.
    uint64_t indents = w->blank & w->newline << 1;
    uint64_t empty = (w->blank + indents) & ~w->blank & w->newline;
    for (; empty; empty &= empty - 1) {
        uint64_t before = indents & bits_below(__builtin_ctzll(empty));
        indents &= ~((uint64_t)1 << 63 >> __builtin_clzll(before));
    }
    return run_starts(w->space & ~owned) | indents | (w->blank & ~(w->space >> 1));
}

static INLINE uint64_t number_starts(uint64_t number, int most) {
    if (most == 1)
        return number;
    uint64_t starts = 0;
    for (uint64_t chunk = run_starts(number); chunk; chunk = chunk << 1 & number) {
        starts |= chunk;
        chunk = chunk << 1 & number;
        chunk = chunk << 1 & number;
    }
    return starts;
}

static INLINE uint64_t cl100k_starts(const struct window *w, const uint8_t *text, int digits, bool by_case) {
    uint64_t alone = run_starts(w->rest) & ~(w->gap << 1); // the first of others behind no ' '
    uint64_t prefix = (w->blank | (alone & ~(w->rest >> 1))) & w->letter >> 1;
    uint64_t starts =
        (run_starts(w->letter) & ~(prefix << 1)) | number_starts(w->number, digits) | alone | line_starts(w);
    if (by_case)
        starts |= w->upper & (w->letter & ~w->upper) << 1;
    uint64_t quotes = w->quote & prefix & bits_below(w->ascii - 3);
    if (by_case)
        quotes &= w->letter << 1; // it is the end of a word, not one of its own
    for (int i, length, end = 0; quotes; quotes &= quotes - 1) {
        i = __builtin_ctzll(quotes);
        length = by_case && i == end ? 0 : contraction(text, i, true);
        if (length == 0)
            continue;
        end = i + length;
        starts |= (uint64_t)1 << end;
        if (by_case)
            starts &= ~(bits_below(end) & ~bits_below(i)); // nor does its letters' case start one
    }
    return starts;
}

// What the first bytes tell for certain: at the end, a contraction may begin, and white space goes by what ends
// it.
static INLINE uint64_t certain(const struct window *w, bool by_lines) {
    int n = w->ascii - 3;
    if (by_lines) {
        uint64_t other = ~w->space & bits_below(w->ascii);
        int white = other ? WINDOW - __builtin_clzll(other) : 0;
        if (white + 1 < n)
            n = white + 1;
    }
    return bits_below(n) & ~(uint64_t)1;
}

uint64_t window_starts(enum text_pattern pattern, const uint8_t text[WINDOW], bool *whole) {
    struct window w = window_read(text);
    *whole = w.ascii == WINDOW;
    switch (pattern) {
    case PATTERN_GPT2:
        return gpt2_starts(&w, text, false) & certain(&w, false);
    case PATTERN_STARCODER2:
        return gpt2_starts(&w, text, true) & certain(&w, false);
    case PATTERN_CL100K:
    case PATTERN_LLAMA3: // they differ at the end of the text, which is not known to be here
        return cl100k_starts(&w, text, 3, false) & certain(&w, true);
    case PATTERN_QWEN2:
        return cl100k_starts(&w, text, 1, false) & certain(&w, true);
    case PATTERN_O200K: {
        uint64_t slashes = w.slash & w.newline << 1; // words that end in newlines end in these too
        if (slashes && __builtin_ctzll(slashes) < w.ascii)
            w.ascii = __builtin_ctzll(slashes);
        return cl100k_starts(&w, text, 3, true) & certain(&w, true);
    }
    default:
        return 0;
    }
}
