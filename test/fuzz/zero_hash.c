// XXH3 with one value: linked before libxxhash, it makes every frame hash and content digest 0, in streams written
// and read alike. So the fuzzer passes the hash checks and gets at the decoders behind them, and the code under
// test is the shipped one.
#include "base/hash.h" // which may give the functions other names

XXH64_hash_t XXH3_64bits(const void *data, size_t size) {
    (void)data;
    (void)size;
    return 0;
}

XXH64_hash_t XXH3_64bits_digest(const XXH3_state_t *state) {
    (void)state;
    return 0;
}

XXH128_hash_t XXH3_128bits(const void *data, size_t size) {
    (void)data;
    (void)size;
    return (XXH128_hash_t){0, 0};
}

XXH128_hash_t XXH3_128bits_digest(const XXH3_state_t *state) {
    (void)state;
    return (XXH128_hash_t){0, 0};
}
