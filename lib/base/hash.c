#include "base/hash.h"
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { READ_SIZE = 1 << 18 };

static struct digest from_hash(XXH128_hash_t hash) {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, hash);
    struct digest d;
    memcpy(d.bytes, canonical.digest, sizeof d.bytes);
    return d;
}

struct digest digest_of(const void *data, size_t size) {
    return from_hash(XXH3_128bits(data, size));
}

struct digest digest_final(const XXH3_state_t *state) {
    return from_hash(XXH3_128bits_digest(state));
}

bool digest_equal(const struct digest *a, const struct digest *b) {
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

bool digest_known(const struct digest *d) {
    static const struct digest zero;
    return !digest_equal(d, &zero);
}

void digest_format(const struct digest *d, char text[33]) {
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < 16; i++) {
        text[2 * i] = digits[d->bytes[i] >> 4];
        text[2 * i + 1] = digits[d->bytes[i] & 15];
    }
    text[32] = 0;
}

static int digit_value(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int digest_parse(struct digest *d, const char *text) {
    struct digest parsed;
    bool good = strnlen(text, 33) == 32;
    for (int i = 0; good && i < 16; i++) {
        int high = digit_value(text[2 * i]), low = digit_value(text[2 * i + 1]);
        good = high >= 0 && low >= 0;
        if (good)
            parsed.bytes[i] = (uint8_t)(high << 4 | low);
    }
    if (!good)
        return error_set(ERROR_INPUT, "'%.40s' is not a digest of 32 hexadecimal digits", text);
    *d = parsed;
    return OK;
}

static int hash_descriptor(struct digest *d, int fd, XXH3_state_t *state, uint8_t *data) {
    size_t got = READ_SIZE;
    XXH3_128bits_reset(state);
    while (got == READ_SIZE) {
        int code = input_read(fd, data, READ_SIZE, &got);
        if (code != OK)
            return code;
        XXH3_128bits_update(state, data, got);
    }
    *d = digest_final(state);
    return OK;
}

int digest_file(struct digest *d, const char *path) {
    int fd;
    int code = input_open(&fd, path);
    if (code != OK)
        return code;
    XXH3_state_t *state = XXH3_createState();
    uint8_t *data = memory_new(READ_SIZE, 1);
    if (state && data)
        code = hash_descriptor(d, fd, state, data);
    else
        code = error_set(ERROR_SYSTEM, "out of memory: %d bytes", READ_SIZE);
    if (code != OK)
        error_prefix(code, "%s", input_name(path));
    free(data);
    XXH3_freeState(state);
    input_close(fd);
    return code;
}
