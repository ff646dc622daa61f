// Digests: XXH3-128 as 16 bytes (canonical, big-endian order) and as 32 hexadecimal digits.
#ifndef TACIT_BASE_HASH_H
#define TACIT_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xxhash.h>
#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h> // the same functions by the same names, with the widest vectors of the processor
#endif

struct digest {
    uint8_t bytes[16]; // all zero: unknown
};

struct digest digest_of(const void *data, size_t size);
struct digest digest_final(const XXH3_state_t *state);
bool digest_equal(const struct digest *a, const struct digest *b);
bool digest_known(const struct digest *d); // not all zero
void digest_format(const struct digest *d, char text[33]);
int digest_parse(struct digest *d, const char *text); // ERROR_INPUT where it is not 32 hexadecimal digits
int digest_file(struct digest *d, const char *path);  // of a file's bytes

#endif
