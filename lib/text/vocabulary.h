// Vocabularies: byte-level BPE in the GPT-2 scheme, as Hugging Face's tokenizer.json.
//
// ids of ordinary tokens map to byte strings; every one of the 256 bytes is a token, so any byte string can be
// encoded and decode(encode(x)) = x. One special token ends documents ("<|endoftext|>"); it is never produced
// from text.
#ifndef TACIT_TEXT_VOCABULARY_H
#define TACIT_TEXT_VOCABULARY_H

#include "base/hash.h"

#include <stddef.h>
#include <stdint.h>

struct buffer;
struct vocabulary;

// Load a tokenizer.json. What the file asks for and we do not implement is ERROR_INPUT by name.
int vocabulary_load(struct vocabulary **v, const char *path);
void vocabulary_free(struct vocabulary *v);
// Write tokenizer.json, atomically; path NULL or "-": standard output. Byte for byte what Hugging Face tokenizers
// 0.23 saves for the same vocabulary.
int vocabulary_save(const struct vocabulary *v, const char *path);

uint32_t vocabulary_size(const struct vocabulary *v);        // V, special tokens included
uint32_t vocabulary_merges(const struct vocabulary *v);      // how many
uint32_t vocabulary_end_of_text(const struct vocabulary *v); // UINT32_MAX where it has none
struct digest vocabulary_digest(const struct vocabulary *v); // of (id, bytes, special) and the merges in order
const uint8_t *vocabulary_bytes(const struct vocabulary *v, uint32_t id, size_t *size); // special: size 0
const char *vocabulary_special(const struct vocabulary *v, uint32_t id);                // its text, or NULL

// Append the ids of `size` bytes of text to `ids` (a buffer of uint32_t).
struct encoder; // per-thread scratch and cache
int encoder_new(struct encoder **e, const struct vocabulary *v);
void encoder_free(struct encoder *e);
int encoder_encode(struct encoder *e, const uint8_t *text, size_t size, struct buffer *ids);

// Learn merges: feed documents, then make the vocabulary. The most frequent pair of neighbours is merged first;
// ties go to the pair with the smaller ids. The result does not depend on the order of the documents.
// Ids: the 256 bytes in the order of GPT-2's alphabet, the merges, the end-of-text token last, `size` in all;
// fewer where the text runs out of pairs. size = 257 learns none: a byte vocabulary.
struct learner;
struct progress;
int learner_new(struct learner **l);
void learner_free(struct learner *l);
int learner_add(struct learner *l, const uint8_t *text, size_t size);
uint32_t learner_words(const struct learner *l);                     // distinct words so far
void learner_progress(struct learner *l, struct progress *progress); // started, in tokens; told of every merge
int learner_finish(struct learner *l, uint32_t size, struct vocabulary **v);

#endif
