// Packing: documents' tokens to sequences, in one output stream per part of a split.
//
// Documents follow each other without a gap and are cut every S tokens, separately for every (part, domain), so
// that no sequence crosses either. A sequence is written when it is full; the tails, shorter, follow at the end by
// part, then domain. Ragged: every document is a sequence of its own, cut into pieces of S tokens where S > 0.
//
// A sequence's id is its ordinal over all parts, in the order of writing. The corpus that the ids count has a
// digest, the same in every part: XXH3-128 over the vocabulary's digest (16 bytes) and for each sequence part
// (u16), domain (u16, by first appearance), tokens (u32) and the token ids (u16 or u32), little-endian.
#ifndef TACIT_TOKENIZE_PACKER_H
#define TACIT_TOKENIZE_PACKER_H

#include "stream/stream.h"

struct vocabulary;
struct packer;

struct packer_options {
    const struct vocabulary *vocabulary; // must outlive the packer; NULL: unknown, and so are the tokens' bytes
    uint32_t vocab_size;
    uint32_t length; // S; 0: no bound (ragged only)
    bool ragged;
    int level; // zstd level of the outputs
};

struct packer_totals {
    uint64_t tokens, sequences, predicted, bytes; // bytes of all tokens
};

// One output per path (NULL or "-": standard output).
int packer_open(struct packer **p, const struct packer_options *options, int parts, char *const *paths);
// Add a document's tokens, end-of-text included where wanted; in several calls, one behind the other, of which the
// last one says so.
int packer_add(struct packer *p, int part, const char *domain, const uint32_t *ids, size_t count, bool last);
// Write the tails and make all outputs appear. The packer is then only good for packer_totals and packer_close.
int packer_commit(struct packer *p);
struct packer_totals packer_totals(const struct packer *p, int part);
void packer_close(struct packer *p); // outputs that were not committed vanish; NULL is allowed

#endif
