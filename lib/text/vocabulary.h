// Vocabularies: what text becomes and is made from again. BPE over bytes or characters and unigram models, from
// Hugging Face's tokenizer.json, tiktoken's rank files and SentencePiece's models.
//
// Ids are 0 .. size-1; some may have no token (cl100k_base has gaps before its special ones). An ordinary token
// stands for a byte string, a special one for none: it is never produced from text unless the caller allows it.
// One special token ends documents.
#ifndef TACIT_TEXT_VOCABULARY_H
#define TACIT_TEXT_VOCABULARY_H

#include "base/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer;
struct vocabulary;

// Load a vocabulary, whatever its format: what the file's bytes are decides. What it asks for and we do not
// implement is ERROR_INPUT by name.
//
// A rank file of tiktoken says neither how text is split nor which special tokens there are. Both are known for
// r50k_base, p50k_base, cl100k_base and o200k_base by the file's name (cl100k_base.tiktoken) or by that name given
// as `pattern`; any other file needs the name of a pattern or its regular expression (pattern_find()) and has no
// special tokens. Other formats say it themselves, and refuse a pattern.
//
// The end of text is the special token (of whatever kind) named `end_of_text`; NULL: the first of <|endoftext|>,
// <|end_of_text|>, </s> and <eos> that is a special token, or none. Where a file calls none by these names, it
// must be named.
struct vocabulary_options {
    const char *pattern, *end_of_text;
};
int vocabulary_load(struct vocabulary **v, const char *path);
int vocabulary_load_with(struct vocabulary **v, const char *path, const struct vocabulary_options *options);
// The same of a file that was read already, which was called `path`.
int vocabulary_parse(struct vocabulary **v, const struct buffer *file, const char *path,
                     const struct vocabulary_options *options);
void vocabulary_free(struct vocabulary *v);
// Write tokenizer.json, atomically; path NULL or "-": standard output. Hugging Face's tokenizers 0.23 gives the
// same ids with it (without the special tokens that a post_processor puts around a text: it is not kept). Byte for
// byte what it saves itself for a byte-level vocabulary with GPT-2's pattern. ERROR_INPUT by name where
// tokenizer.json has no words for the vocabulary.
int vocabulary_save(const struct vocabulary *v, const char *path);
int vocabulary_json(const struct vocabulary *v, struct buffer *text); // appends what vocabulary_save writes

uint32_t vocabulary_size(const struct vocabulary *v);        // V, special tokens included
uint32_t vocabulary_merges(const struct vocabulary *v);      // how many
uint32_t vocabulary_end_of_text(const struct vocabulary *v); // UINT32_MAX where it has none
struct digest vocabulary_digest(const struct vocabulary *v); // of all that ids depend on
// What an id stands for: nothing for a special token and an unused id. Where the scheme puts a space in front of a
// text (vocabulary_has_prefix), the first token's bytes have it too: who decodes takes one off each document.
const uint8_t *vocabulary_bytes(const struct vocabulary *v, uint32_t id, size_t *size);
bool vocabulary_has_prefix(const struct vocabulary *v);
const char *vocabulary_special(const struct vocabulary *v, uint32_t id);        // its text, or NULL
uint32_t vocabulary_find_special(const struct vocabulary *v, const char *text); // UINT32_MAX where it has none

// Append the ids of `size` bytes of text to `ids` (a buffer of uint32_t).
struct encoder; // per-thread scratch and cache
int encoder_new(struct encoder **e, const struct vocabulary *v);
void encoder_free(struct encoder *e);
// Special tokens inside the text become their ids; by default they are text.
void encoder_allow_special(struct encoder *e, bool allowed);
// The next text goes on where the one before it was cut off (lib/text/cutting.h).
void encoder_continue(struct encoder *e);
int encoder_encode(struct encoder *e, const uint8_t *text, size_t size, struct buffer *ids);

#endif
