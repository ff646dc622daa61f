// Vocabularies. Where a file is to be of use it has the 256 bytes, so the first '@' of the input stands for their
// tokens in the byte-level alphabet, `"vocab":{@,"ab":256}`, and the first '`' for <0x00> to <0xFF> as 3 to 258.
// An input that begins with 1 is a rank file of tiktoken: a byte that chooses the pattern, and what follows the
// lines of the 256 bytes. What is accepted encodes any text, to ids whose bytes are that text where nothing
// normalizes it, and comes back equal after it was saved.
#include "../vocabularies.h"

enum { TEXT_MOST = 200, RANKS = 1, FALLBACK_FIRST = 3 };

static struct buffer byte_tokens, fallback_tokens, ranks; // "!":0,"\"":1,...

static void make_byte_tokens(void) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t order[BYTES];
    bytes_in_alphabet_order(order);
    for (int i = 0; i < BYTES; i++) {
        uint32_t c = byte_to_code_point(order[i]);
        char utf8[3] = {(char)(c < 0x80 ? c : 0xc0 | c >> 6), c < 0x80 ? 0 : (char)(0x80 | (c & 0x3f)), 0};
        const char *escape = c == '"' || c == '\\' ? "\\" : "", *comma = i > 0 ? "," : "";
        REQUIRE(buffer_append_format(&byte_tokens, "%s\"%s%s\":%d", comma, escape, utf8, i) == OK);
        REQUIRE(buffer_append_format(&fallback_tokens, "%s\"<0x%02X>\":%d", comma, (unsigned)i,
                                     FALLBACK_FIRST + i) == OK);
        REQUIRE(buffer_append_format(&ranks, "%c%c== %d\n", digits[i >> 2], digits[(i & 3) << 4], i) == OK);
    }
}

// Whether every text comes back from its ids.
static bool keeps_text(const struct vocabulary *v) {
    for (uint32_t i = 0; i < vocabulary_added_count(v); i++)
        if (vocabulary_added(v)[i].strip_left || vocabulary_added(v)[i].strip_right)
            return false;
    for (int b = 0; b < BYTES; b++)
        if (v->byte_id[b] == no_id)
            return false;
    return v->scheme.normalizer == NORMALIZE_NONE;
}

static void use_encoder(const struct vocabulary *v, const uint8_t *text, size_t size) {
    struct encoder *e;
    struct buffer ids = {0}, back = {0};
    REQUIRE(encoder_new(&e, v) == OK);
    REQUIRE(encoder_encode(e, text, size, &ids) == OK);
    for (size_t i = 0; i < ids.size / sizeof(uint32_t); i++) {
        uint32_t id = ((const uint32_t *)(const void *)ids.data)[i];
        size_t n;
        REQUIRE(id < vocabulary_size(v) && (!vocabulary_special(v, id) || id == v->scheme.unknown));
        const uint8_t *bytes = vocabulary_bytes(v, id, &n);
        REQUIRE(buffer_append(&back, bytes, n) == OK);
    }
    if (keeps_text(v))
        REQUIRE(back.size == size && (size == 0 || memcmp(back.data, text, size) == 0));
    buffer_release(&back);
    buffer_release(&ids);
    encoder_free(e);
}

static void use(const struct vocabulary *v, const uint8_t *data, size_t size) {
    struct vocabulary *again;
    uint32_t end = vocabulary_end_of_text(v);
    REQUIRE(end == UINT32_MAX || vocabulary_special(v, end));
    if (!fuzz_one_in(16, data, size))
        return;
    use_encoder(v, data, size < TEXT_MOST ? size : TEXT_MOST);
    fuzz_same_cut(v, data, size);
    fuzz_output();
    int code = vocabulary_save(v, "-");
    if (code == ERROR_INPUT)
        return; // there is no tokenizer.json for it
    REQUIRE(code == OK);
    fuzz_output_as_input();
    REQUIRE(vocabulary_load(&again, "-") == OK);
    fuzz_same_vocabulary(v, again);
    vocabulary_free(again);
}

// The input with what the markers stand for.
static void expand(struct buffer *file, const uint8_t *data, size_t size) {
    bool bytes = false, fallback = false;
    for (size_t i = 0; i < size; i++) {
        struct buffer *tokens = data[i] == '@' && !bytes      ? &byte_tokens
                                : data[i] == '`' && !fallback ? &fallback_tokens
                                                              : NULL;
        bytes = bytes || data[i] == '@';
        fallback = fallback || data[i] == '`';
        REQUIRE(buffer_append(file, tokens ? tokens->data : data + i, tokens ? tokens->size : 1) == OK);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct buffer file = {0};
    struct vocabulary *v;
    struct vocabulary_options options = {0};
    if (!byte_tokens.size)
        make_byte_tokens();
    fuzz_json();
    if (size > 1 && data[0] == RANKS) {
        options.pattern = pattern_name(data[1] % (PATTERN_O200K + 1));
        REQUIRE(buffer_append(&file, ranks.data, ranks.size) == OK);
        REQUIRE(buffer_append(&file, data + 2, size - 2) == OK);
    } else
        expand(&file, data, size);
    fuzz_file(file.data, file.size);
    buffer_release(&file);
    if (vocabulary_load_with(&v, "-", &options) == OK) {
        use(v, data, size);
        vocabulary_free(v);
    }
    return 0;
}
