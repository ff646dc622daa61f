// Which characters stand side by side in a token. Between others no token can cross: a long word of Chinese or
// Japanese, which have no spaces, or of signs is cut there into words that come again.
#ifndef TACIT_TEXT_JOINTS_H
#define TACIT_TEXT_JOINTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vocabulary;
struct joints; // shared by threads; made when the vocabulary is sealed

int joints_new(struct joints **joints, const struct vocabulary *v);
void joints_free(struct joints *joints);

// What one thread has asked lately; zero-initialise.
enum { JOINTS_LATELY = 1 << 14 };
struct joint_cache {
    uint64_t entries[JOINTS_LATELY]; // both characters, above a bit: joined
};

// The first place in (begin, size) of a word where it may be cut; `size`: none.
size_t joints_cut(const struct joints *joints, struct joint_cache *cache, const uint8_t *word, size_t size,
                  size_t begin);

// Whether no token has the two characters, of so many bytes, side by side; false: not known.
bool joints_are_apart(const struct joints *joints, const uint8_t *left, size_t left_size, const uint8_t *right,
                      size_t right_size);
// Bytes of the longest token; 0: tokens' pieces do not tell of all that may be joined.
size_t joints_longest(const struct joints *joints);
size_t joints_longest_from(const struct joints *joints, uint8_t first); // of those that begin with the byte

#endif
