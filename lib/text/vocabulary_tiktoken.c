// tiktoken's rank files: a line per token, its bytes in base64, a space, its rank, which is its id. What a token
// is merged from follows from the ranks (vocabulary_merge_ranked); a word that is a token is that token.
#include "base/error.h"
#include "text/vocabulary_private.h"

#include <stdlib.h>

enum { SPECIALS_MOST = 5, LINE_LEAST = 7 }; // "IQ== 0\n"

// What tiktoken knows by name, for the files do not say it.
static const struct encoding {
    const char *name;
    enum text_pattern pattern;
    uint32_t ranks; // how many; a special token's id among them is left out
    struct {
        const char *text;
        uint32_t id;
    } specials[SPECIALS_MOST]; // ascending
} encodings[] = {
    {"r50k_base", PATTERN_GPT2, 50256, {{END_OF_TEXT, 50256}}},
    {"p50k_base", PATTERN_GPT2, 50280, {{END_OF_TEXT, 50256}}},
    {"cl100k_base",
     PATTERN_CL100K,
     100256,
     {{END_OF_TEXT, 100257},
      {"<|fim_prefix|>", 100258},
      {"<|fim_middle|>", 100259},
      {"<|fim_suffix|>", 100260},
      {"<|endofprompt|>", 100276}}},
    {"o200k_base", PATTERN_O200K, 199998, {{END_OF_TEXT, 199999}, {"<|endofprompt|>", 200018}}},
};

static const struct encoding *find_encoding(const char *name, size_t size) {
    for (size_t i = 0; i < sizeof encodings / sizeof *encodings; i++)
        if (strlen(encodings[i].name) == size && memcmp(encodings[i].name, name, size) == 0)
            return &encodings[i];
    return NULL;
}

// By the pattern where one is given, else by the file's name; NULL with *code OK: a pattern alone.
static const struct encoding *choose_encoding(const char *path, const char *pattern, enum text_pattern *found,
                                              int *code) {
    static const char ending[] = ".tiktoken";
    const char *name = path ? strrchr(path, '/') : NULL;
    name = pattern ? pattern : name ? name + 1 : path ? path : "";
    size_t size = strlen(name), cut = sizeof ending - 1;
    if (!pattern && size > cut && strcmp(name + size - cut, ending) == 0)
        size -= cut;
    const struct encoding *encoding = find_encoding(name, size);
    int number = pattern ? pattern_find(pattern) : -1;
    *code = OK;
    if (encoding)
        *found = encoding->pattern;
    else if (!pattern)
        *code = error_set(ERROR_INPUT, "ranks of tiktoken do not say how text is split; name the pattern "
                                       "(r50k_base, p50k_base, cl100k_base and o200k_base are known by the file's "
                                       "name)");
    else if (number < 0)
        *code = error_set(ERROR_INPUT, "the pattern \"%.200s\" is not supported", pattern);
    else
        *found = (enum text_pattern)number;
    return encoding;
}

// ---- a line ----

// The value + 1 of a digit; 0: none.
static const uint8_t base64_values[BYTES] = {
    ['A'] = 1, 2,  3,  4,  5,          6,  7,  8,  9,  10, 11,         12, 13, 14, 15,         16,
    17,        18, 19, 20, 21,         22, 23, 24, 25, 26, ['a'] = 27, 28, 29, 30, 31,         32,
    33,        34, 35, 36, 37,         38, 39, 40, 41, 42, 43,         44, 45, 46, 47,         48,
    49,        50, 51, 52, ['0'] = 53, 54, 55, 56, 57, 58, 59,         60, 61, 62, ['+'] = 63, ['/'] = 64};

// Four digits are three bytes; false where one is none.
static bool decode_four(const uint8_t text[4], uint8_t bytes[3]) {
    uint32_t a = base64_values[text[0]] - 1u, b = base64_values[text[1]] - 1u, c = base64_values[text[2]] - 1u,
             d = base64_values[text[3]] - 1u;
    bytes[0] = (uint8_t)(a << 2 | b >> 4);
    bytes[1] = (uint8_t)(b << 4 | c >> 2);
    bytes[2] = (uint8_t)(c << 6 | d);
    return (a | b | c | d) < 64;
}

// Strict: padded, nothing behind, no bits left over. `bytes` has room for 3/4 of `size`; how many, 0: malformed.
static size_t decode_base64(const uint8_t *text, size_t size, uint8_t *bytes) {
    if (size == 0 || size % 4 != 0)
        return 0;
    size_t padding = text[size - 1] != '=' ? 0 : text[size - 2] != '=' ? 1 : 2, n = size / 4 * 3;
    for (size_t i = 0; i + 4 < size; i += 4)
        if (!decode_four(text + i, bytes + i / 4 * 3))
            return 0;
    uint8_t last[4];
    memcpy(last, text + size - 4, sizeof last);
    memset(last + 4 - padding, 'A', padding);
    if (!decode_four(last, bytes + n - 3))
        return 0;
    for (size_t i = n - padding; i < n; i++)
        if (bytes[i] != 0)
            return 0;
    return n - padding;
}

// A decimal number without leading zeros, below no_id.
static bool parse_rank(const uint8_t *text, size_t size, uint32_t *rank) {
    uint64_t value = 0;
    if (size == 0 || size > 10 || (size > 1 && *text == '0'))
        return false;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (text[i] - '0');
    }
    *rank = (uint32_t)value;
    return value < no_id;
}

static const uint8_t *end_of_line(const uint8_t *line, const uint8_t *end) {
    const uint8_t *newline = memchr(line, '\n', (size_t)(end - line));
    return newline ? newline : end;
}

bool vocabulary_is_tiktoken(const uint8_t *data, size_t size) {
    const uint8_t *end = end_of_line(data, data + size), *space = memchr(data, ' ', (size_t)(end - data));
    for (const uint8_t *c = data; space && c < space; c++)
        if (!base64_values[*c] && *c != '=')
            return false;
    return space && space > data && space + 1 < end && space[1] >= '0' && space[1] <= '9';
}

// ---- the whole ----

static int add_specials(struct vocabulary *v, const struct encoding *encoding, int *next, uint32_t until) {
    int code = OK;
    while (code == OK && encoding && *next < SPECIALS_MOST && encoding->specials[*next].text &&
           encoding->specials[*next].id <= until) {
        if (v->size < encoding->specials[*next].id)
            code = vocabulary_add_token(v, (const uint8_t *)"", 0); // a gap
        else
            code = vocabulary_add_special(v, encoding->specials[(*next)++].text, false);
    }
    return code;
}

// Ranks ascend without a gap, as in every file there is: so no number has to be believed.
static int read_line(struct vocabulary *v, const uint8_t *line, const uint8_t *end, struct buffer *bytes) {
    const uint8_t *space = memchr(line, ' ', (size_t)(end - line));
    uint32_t rank;
    if (!space)
        return error_set(ERROR_INPUT, "not a token in base64, a space and its rank");
    buffer_clear(bytes);
    int code = buffer_reserve(bytes, (size_t)(space - line));
    if (code != OK)
        return code;
    size_t size = decode_base64(line, (size_t)(space - line), bytes->data);
    if (size == 0)
        return error_set(ERROR_INPUT, "not base64");
    if (!parse_rank(space + 1, (size_t)(end - space - 1), &rank))
        return error_set(ERROR_INPUT, "\"%.*s\" is not a rank", end - space - 1 < 64 ? (int)(end - space - 1) : 64,
                         (const char *)space + 1);
    if (rank != v->size)
        return error_set(ERROR_INPUT, "rank %u where %u is next", rank, v->size);
    code = vocabulary_add_token(v, bytes->data, size);
    uint32_t same = code == OK ? vocabulary_insert_piece(v, rank) : no_id;
    return same == no_id ? code : error_set(ERROR_INPUT, "rank %u: the same token as rank %u", rank, same);
}

static int read_lines(struct vocabulary *v, const uint8_t *data, size_t size, const struct encoding *encoding,
                      int *next) {
    const uint8_t *end = data + size;
    struct buffer bytes = {0};
    uint64_t lines = 1;
    for (const uint8_t *line = data; (line = end_of_line(line, end)) < end; line++)
        lines++;
    lines = lines < size / LINE_LEAST ? lines : size / LINE_LEAST + 1;
    int code = vocabulary_reserve_pieces(v, lines);
    if (code == OK)
        code = buffer_reserve(&v->bytes, size / 4 * 3);
    if (code == OK)
        code = buffer_reserve(&v->ends, (lines + SPECIALS_MOST) * sizeof(uint64_t));
    uint64_t number = 1;
    for (const uint8_t *line = data, *stop; line < end && code == OK;
         line = stop < end ? stop + 1 : end, number++) {
        stop = end_of_line(line, end);
        code = add_specials(v, encoding, next, v->size);
        if (code == OK)
            code = read_line(v, line, stop, &bytes);
        if (code != OK)
            error_prefix(code, "line %llu", (unsigned long long)number);
    }
    buffer_release(&bytes);
    uint32_t ranks = v->size - (uint32_t)*next;
    if (code == OK && encoding && ranks != encoding->ranks)
        code = error_set(ERROR_INPUT, "line %llu: the end after %u ranks, where %s has %u",
                         (unsigned long long)number, ranks, encoding->name, encoding->ranks);
    return code;
}

static int merge_tokens(struct vocabulary *v) {
    uint32_t *rank = memory_new(v->size, sizeof *rank);
    int code = rank ? OK : ERROR_SYSTEM;
    vocabulary_index_bytes(v);
    for (int b = 0; b < BYTES && code == OK; b++)
        if (v->byte_id[b] == no_id)
            code = error_set(ERROR_INPUT, "byte 0x%02x has no token", (unsigned)b);
    for (uint32_t id = 0; id < v->size && code == OK; id++)
        rank[id] = id;
    if (code == OK)
        code = vocabulary_merge_ranked(v, rank);
    free(rank);
    return code;
}

int vocabulary_read_tiktoken(struct vocabulary *v, const uint8_t *data, size_t size, const char *path,
                             const char *pattern) {
    int code, next = 0;
    v->scheme = (struct scheme){.unknown = no_id, .whole_words = true};
    const struct encoding *encoding = choose_encoding(path, pattern, &v->scheme.pattern, &code);
    if (code == OK)
        code = read_lines(v, data, size, encoding, &next);
    if (code == OK)
        code = add_specials(v, encoding, &next, no_id);
    return code == OK ? merge_tokens(v) : code;
}
