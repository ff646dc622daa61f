// The header block: the JSON text alone (the block is built around it, with its true hash), or a whole block where
// the input begins with the magic's first byte. What is accepted is written back as the same bytes.
#include "../support.h"

#include "stream/format.h"
#include "view/print.h"

static uint8_t *make_block(const uint8_t *data, size_t size, size_t *block_size) {
    static const uint8_t magic[MAGIC_SIZE] = {0x8e, 'T', 'C', 'T', '\r', '\n', 0x1a, STREAM_FORMAT_VERSION};
    if (size > 0 && data[0] == magic[0]) {
        *block_size = size;
        return fuzz_copy(data, size);
    }
    size_t padded = HEADER_FIXED + round_up_8(size);
    *block_size = padded + HASH_SIZE;
    uint8_t *block = calloc(*block_size, 1);
    REQUIRE(block);
    memcpy(block, magic, MAGIC_SIZE);
    store_le(block + MAGIC_SIZE, size, 8);
    if (size > 0)
        memcpy(block + HEADER_FIXED, data, size);
    store_le(block + padded, XXH3_64bits(block, padded), HASH_SIZE);
    return block;
}

static void use(const struct stream_header *h, const uint8_t *block, size_t size) {
    struct stream_header copy;
    struct buffer bytes = {0}, names = {0};
    XXH3_state_t *state = XXH3_createState();
    REQUIRE(state && content_begin(state, h) == OK);
    XXH3_freeState(state);
    REQUIRE(header_copy(&copy, h) == OK);
    REQUIRE(header_block_encode(&bytes, &copy) == OK);
    REQUIRE(bytes.size == size && memcmp(bytes.data, block, size) == 0);
    REQUIRE(view_print_names(&names, h, &(struct view_style){.columns = true}) == OK);
    buffer_release(&names);
    buffer_release(&bytes);
    header_release(&copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t block_size, said = 0;
    fuzz_json();
    uint8_t *block = make_block(data, size, &block_size);
    struct stream_header h;
    size_t fixed = block_size < HEADER_FIXED ? block_size : HEADER_FIXED;
    if (header_block_size(block, fixed, &said) == OK && said <= block_size &&
        header_block_decode(&h, block, said) == OK) {
        use(&h, block, said);
        header_release(&h);
    }
    free(block);
    return 0;
}
