// tokenizer.json. The first '@' of the input stands for the 256 tokens of the bytes, without which no vocabulary
// is accepted: `"vocab":{@,"ab":256}`. What is accepted encodes any text to ids whose bytes are that text, and
// comes back equal after it was saved.
#include "../support.h"

#include "text/vocabulary_private.h"

enum { TEXT_MOST = 200 };

static struct buffer byte_tokens; // "!":0,"\"":1,...

static void make_byte_tokens(void) {
    uint8_t order[BYTES];
    bytes_in_alphabet_order(order);
    for (int i = 0; i < BYTES; i++) {
        uint32_t c = byte_to_code_point(order[i]);
        char utf8[3] = {(char)(c < 0x80 ? c : 0xc0 | c >> 6), c < 0x80 ? 0 : (char)(0x80 | (c & 0x3f)), 0};
        const char *escape = c == '"' || c == '\\' ? "\\" : "";
        REQUIRE(buffer_append_format(&byte_tokens, "%s\"%s%s\":%d", i > 0 ? "," : "", escape, utf8, i) == OK);
    }
}

static void use_encoder(const struct vocabulary *v, const uint8_t *text, size_t size) {
    struct encoder *e;
    struct buffer ids = {0}, back = {0};
    REQUIRE(encoder_new(&e, v) == OK);
    REQUIRE(encoder_encode(e, text, size, &ids) == OK);
    for (size_t i = 0; i < ids.size / sizeof(uint32_t); i++) {
        uint32_t id = ((const uint32_t *)(const void *)ids.data)[i];
        size_t n;
        REQUIRE(id < vocabulary_size(v) && !vocabulary_special(v, id));
        const uint8_t *bytes = vocabulary_bytes(v, id, &n);
        REQUIRE(buffer_append(&back, bytes, n) == OK);
    }
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
    fuzz_output();
    REQUIRE(vocabulary_save(v, "-") == OK);
    fuzz_output_as_input();
    REQUIRE(vocabulary_load(&again, "-") == OK);
    struct digest before = vocabulary_digest(v), after = vocabulary_digest(again);
    REQUIRE(digest_equal(&before, &after));
    vocabulary_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct buffer file = {0};
    struct vocabulary *v;
    if (!byte_tokens.size)
        make_byte_tokens();
    fuzz_json();
    const uint8_t *at = size > 0 ? memchr(data, '@', size) : NULL;
    size_t before = at ? (size_t)(at - data) : size;
    REQUIRE(buffer_append(&file, data, before) == OK);
    if (at) {
        REQUIRE(buffer_append(&file, byte_tokens.data, byte_tokens.size) == OK);
        REQUIRE(buffer_append(&file, at + 1, size - before - 1) == OK);
    }
    fuzz_file(file.data, file.size);
    buffer_release(&file);
    if (vocabulary_load(&v, "-") == OK) {
        use(v, data, size);
        vocabulary_free(v);
    }
    return 0;
}
