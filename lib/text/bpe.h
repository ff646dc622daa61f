// Byte pair encoding of one word: of all neighbours that are a merge, the pair with the lowest rank is merged,
// the leftmost among equals, until none is left (Sennrich et al. 2016; Hugging Face's, tiktoken's and
// SentencePiece's rule alike).
//
// Words of up to 64 symbols are merged by looking for the lowest rank anew each time. Longer ones are merged in
// windows that overlap: two windows are joined at a token that both have, and no merge crosses there. For a run of
// tokens is the encoding of its text if every two neighbours are the encoding of theirs: the first merge across a
// border would be the first one across it in those two alone as well.
#ifndef TACIT_TEXT_BPE_H
#define TACIT_TEXT_BPE_H

#include <stddef.h>
#include <stdint.h>

struct vocabulary;
struct bpe_window { // a stretch of symbols, and the tokens they make
    size_t first, symbols, count;
    uint32_t *begins, *ids; // of every token: its first symbol, from `first` on; its id
    size_t room;
};
struct bpe { // scratch of one thread; zero-initialise but for the vocabulary
    const struct vocabulary *vocabulary;
    struct bpe_window windows[2];
    uint32_t *ranks; // of wide windows: a tree of minima
    size_t room;
};

void bpe_release(struct bpe *b);
// The tokens of `count` symbols, at least one; `symbols` are scratch afterwards. `ids` has room for `count`.
int bpe_merge(struct bpe *b, uint32_t *symbols, size_t count, uint32_t *ids, size_t *tokens);

#endif
