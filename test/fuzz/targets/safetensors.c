// A safetensors file: a whole one, or (where the input begins with '{') the header up to the first 0 byte and the
// data behind it, with the length put in front.
#include "../support.h"

#include "model/safetensors.h"

enum { LENGTH = 8, PIECE = 100 };

static void use(struct safetensors *s, const struct safetensors_tensor *t, size_t file) {
    float values[PIECE];
    REQUIRE(t->end - t->begin <= file);
    REQUIRE(safetensors_find(s, t->name) != NULL);
    for (size_t begin = 0; begin < t->elements; begin += PIECE) {
        size_t n = t->elements - begin < PIECE ? t->elements - begin : PIECE;
        if (safetensors_read(s, t, begin, n, values) != OK)
            return; // a dtype that is not read
    }
    REQUIRE(safetensors_read(s, t, t->elements, 1, values) == ERROR_INPUT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct safetensors *s;
    uint8_t *file = malloc(size + LENGTH);
    size_t header = 0;
    REQUIRE(file);
    fuzz_json();
    if (size > 0 && data[0] == '{') {
        const uint8_t *zero = memchr(data, 0, size);
        size_t text = zero ? (size_t)(zero - data) : size;
        store_le(file, text, LENGTH);
        memcpy(file + LENGTH, data, text);
        header = LENGTH;
        if (zero) // the 0 byte separates, and is no data
            memcpy(file + LENGTH + text, zero + 1, --size - text);
    } else if (size > 0) {
        memcpy(file, data, size);
    }
    fuzz_file(file, header + size);
    free(file);
    if (safetensors_open(&s, "-") == OK) {
        for (int i = 0; i < safetensors_count(s); i++)
            use(s, safetensors_get(s, i), header + size);
        (void)safetensors_metadata(s, "format");
        safetensors_close(s);
    }
    return 0;
}
