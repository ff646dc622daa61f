// The part of a token stream that one model is given: a range of its sequences, and of these the ones that an
// assignment gives to one expert. Tokens and assignment are read in lockstep and must agree sequence by sequence.
//
// The assignment covers the selected sequences, or the whole stream (then it is sliced alike). From a pipe it is
// taken to cover the selected ones; ids that differ are ERROR_INPUT either way.
#ifndef TACIT_STREAM_SHARE_H
#define TACIT_STREAM_SHARE_H

#include "stream/stream.h"

struct share_options {
    uint64_t begin, end;    // sequences begin..end-1 of the stream; end = UINT64_MAX: to its end
    const char *assignment; // NULL: every selected sequence
    uint32_t expert;
};

struct share;

// Open tokens (NULL or "-": standard input) and the assignment. A range outside a seekable stream is ERROR_INPUT.
int share_open(struct share **share, const char *tokens, const struct share_options *options);
void share_close(struct share *share); // NULL is allowed

struct stream *share_tokens(const struct share *share);     // owned by the share
struct stream *share_assignment(const struct share *share); // owned by the share; NULL without one

// Sequences in the selected range; 0 where it is not known before the end (a pipe).
uint64_t share_range(const struct share *share);

// The next sequence of the share, in stream order; *got = false at the verified end of the range.
int share_next(struct share *share, struct record *r, bool *got);

// Read both streams to their verified ends, where it shows whether their ids count the same corpus.
int share_finish(struct share *share);

// All sequences of the share at once, for reading in any order (stream_read of the tokens, which must be
// seekable): where they lie, and which id and predicted tokens they must have. With no assignment *entries is NULL
// and the share is the plain range from *first on. free() the entries. It takes the place of share_next.
struct share_entry {
    uint64_t ordinal, id;
    uint32_t predicted;
};
int share_index(struct share *share, struct share_entry **entries, uint64_t *first, uint64_t *count);

#endif
