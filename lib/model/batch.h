// Rows of token ids for a model: the sequences (or windows of them) of one pass, padded to one length.
//
// A row of n tokens x[0..n-1] whose first predicted token is x[f] (1 <= f) has targets[s] = x[s+1] for
// f-1 <= s <= n-2 and TARGET_NONE elsewhere, padding included (token 0).
#ifndef TACIT_MODEL_BATCH_H
#define TACIT_MODEL_BATCH_H

#include <stdint.h>

struct batch {
    int rows, length;           // room: rows of `length` tokens
    int count;                  // rows that are filled
    uint32_t *tokens, *targets; // [rows][length]
    int *lengths;               // tokens of each row
    int64_t predicted;          // targets in all rows
};

int batch_new(struct batch *b, int rows, int length); // batch_free() it, also on failure
void batch_free(struct batch *b);
void batch_clear(struct batch *b);

// Append a row; n <= length, and there must be room.
void batch_add(struct batch *b, const uint32_t *tokens, int n, int first);

// The longest of rows begin..begin+n-1, at least 1.
int batch_longest(const struct batch *b, int begin, int n);

// Copy these rows densely to [n][S], S >= batch_longest().
void batch_pack(const struct batch *b, int begin, int n, int S, uint32_t *tokens, uint32_t *targets);

#endif
