// From words to ids: words of a text are collected and looked up together, in the cache of the words seen lately,
// or else encoded by the model. One thread's scratch.
#ifndef TACIT_TEXT_WORDS_H
#define TACIT_TEXT_WORDS_H

#include "text/bpe.h"
#include "text/joints.h"
#include "text/word_cache.h"

enum { WORDS_AT_ONCE = 256 };

struct words {
    const struct vocabulary *vocabulary;
    struct word_cache cache;
    struct bpe bpe;
    struct joint_cache joints;
    uint32_t *symbols; // of a word that is too long for the stack
    size_t symbol_room;
    // Those collected: text and size; text NULL: `size` is an id. And where the cache has them: struct short_set
    // or, of a longer word, struct long_slot.
    size_t count;
    const uint8_t *text[WORDS_AT_ONCE];
    size_t size[WORDS_AT_ONCE];
    uint8_t part[WORDS_AT_ONCE]; // 1: of a word that was cut, and is not to be looked up as a whole
    struct word_key keys[WORDS_AT_ONCE];
    void *places[WORDS_AT_ONCE];
};

int words_init(struct words *w, const struct vocabulary *v); // of MODEL_BPE
void words_release(struct words *w);

// The words of a piece of text behind those before, whose ids are appended to `ids` when enough are collected. The
// text stays as it is until words_flush(); nothing is read from `text_end` on, which is behind the piece or
// further.
int words_add(struct words *w, const uint8_t *text, size_t size, const uint8_t *text_end, struct buffer *ids);
int words_add_id(struct words *w, uint32_t id, const uint8_t *text_end, struct buffer *ids);
int words_flush(struct words *w, const uint8_t *text_end, struct buffer *ids);

#endif
