// SentencePiece's models. An odd first byte puts the pieces of the 256 bytes in front of the rest, and
// byte_fallback behind it: no model of less than 3 KB has them otherwise. What is accepted encodes any text to ids
// whose pieces are the normalized text, and to the same ids where words are not told apart; and it comes back
// equal from its tokenizer.json, where it has one.
#include "../vocabularies.h"

#include "text/normalize.h"
#include "text/sentencepiece.h"

enum { TEXT_MOST = 300 };

static void make_file(const uint8_t *data, size_t size, struct buffer *file) {
    bool bytes = size > 0 && data[0] % 2 == 1;
    for (int b = 0; b < BYTES && bytes; b++) // piece 1 = "<0x..>", type 3 = BYTE
        REQUIRE(buffer_append_format(file, "\n\n\n\x06<0x%02X>\x18\x06", (unsigned)b) == OK);
    REQUIRE(buffer_append(file, data + (size > 0), size - (size > 0)) == OK);
    REQUIRE(buffer_append(file, "\x12\x00\x1a\x00", 4) == OK); // trainer_spec 2, normalizer_spec 3
    if (bytes)
        REQUIRE(buffer_append(file, "\x12\x03\x98\x02\x01", 5) == OK); // trainer_spec 2 { byte_fallback 35: true }
}

static void encode(const struct vocabulary *v, const uint8_t *text, size_t size, struct buffer *ids) {
    struct encoder *e;
    buffer_clear(ids);
    REQUIRE(encoder_new(&e, v) == OK);
    for (int i = 0; i < 2; i++) { // the second time from the cache
        buffer_clear(ids);
        REQUIRE(encoder_encode(e, text, size, ids) == OK);
    }
    encoder_free(e);
}

static void check_pieces(const struct vocabulary *v, const uint8_t *text, size_t size, const struct buffer *ids) {
    struct buffer pieces = {0}, normalized = {0};
    bool whole = true;
    for (size_t i = 0; i < ids->size / sizeof(uint32_t); i++) {
        uint32_t id = ((const uint32_t *)(const void *)ids->data)[i];
        REQUIRE(id < vocabulary_size(v));
        size_t n, bytes;
        const uint8_t *piece = vocabulary_piece(v, id, &n), *byte = vocabulary_bytes(v, id, &bytes);
        bool is_byte = bytes == 1 && v->byte_id[*byte] == id;
        whole = whole && id != v->scheme.unknown;
        REQUIRE(buffer_append(&pieces, is_byte ? byte : piece, is_byte ? 1 : n) == OK);
    }
    REQUIRE(normalize_text(v, &text, &size, TEXT_FIRST, &normalized) == OK);
    REQUIRE(!whole || (pieces.size == size && (size == 0 || memcmp(pieces.data, text, size) == 0)));
    buffer_release(&pieces);
    buffer_release(&normalized);
}

static void check_saved(const struct vocabulary *v) {
    struct buffer text = {0};
    struct vocabulary *again;
    int code = vocabulary_json(v, &text);
    REQUIRE(code == OK || code == ERROR_INPUT);
    if (code == OK) {
        REQUIRE(vocabulary_new(&again) == OK);
        REQUIRE(vocabulary_read_json(again, text.data, text.size) == OK);
        REQUIRE(vocabulary_seal(again) == OK);
        fuzz_same_vocabulary(v, again);
        vocabulary_free(again);
    }
    buffer_release(&text);
}

static void use(struct vocabulary *v, const uint8_t *text, size_t size) {
    struct buffer ids = {0}, again = {0};
    encode(v, text, size, &ids);
    check_pieces(v, text, size, &ids);
    check_saved(v);
    fuzz_same_cut(v, text, size);
    v->scheme.pattern = PATTERN_NONE;
    fuzz_same_cut(v, text, size);
    encode(v, text, size, &again);
    REQUIRE(again.size == ids.size && (ids.size == 0 || memcmp(again.data, ids.data, ids.size) == 0));
    buffer_release(&ids);
    buffer_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct buffer file = {0};
    struct vocabulary *v;
    fuzz_json();
    make_file(data, size, &file);
    uint8_t *copy = fuzz_copy(file.data, file.size);
    REQUIRE(vocabulary_new(&v) == OK);
    int code = sentencepiece_read(v, copy, file.size);
    free(copy);
    if (code == OK)
        code = vocabulary_seal(v);
    REQUIRE(code == OK || code == ERROR_INPUT);
    if (code == OK && fuzz_one_in(4, data, size))
        use(v, data, size < TEXT_MOST ? size : TEXT_MOST);
    vocabulary_free(v);
    buffer_release(&file);
    return 0;
}
