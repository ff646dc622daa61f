// Learning a vocabulary: feed documents, then join the most frequent pair of neighbours until the vocabulary is
// full. Ties go to the pair with the smaller left id, then the smaller right id. The result depends neither on the
// order of the documents nor on the number of threads; the merges are those of Hugging Face's BpeTrainer.
//
// Memory: the distinct words with about 30 bytes each, then about two bytes for a byte of distinct words and 60
// MB.
#ifndef TACIT_TEXT_LEARNER_H
#define TACIT_TEXT_LEARNER_H

#include "text/split.h"
#include "text/vocabulary.h"

struct learner;
struct progress;

struct learner_options {
    bool characters;             // SentencePiece's style: symbols are characters, the rest are bytes
    double coverage;             // characters: the share of the text's that get a token of their own, above 0
    enum text_pattern pattern;   // bytes: how text is cut into words
    uint64_t min_frequency;      // pairs that occur less often are not joined; 0 as 1
    const char *const *specials; // further special tokens, borrowed until learner_finish
    int special_count;
    int threads; // 0: one per processor
};

// ERROR_USAGE where a special token is empty or comes twice.
int learner_new(struct learner **l, const struct learner_options *options);
void learner_free(struct learner *l);
int learner_add(struct learner *l, const uint8_t *text, size_t size);

// Make the vocabulary of `size` tokens, fewer where the text runs out of pairs. Once, for it uses up the words.
// Ids of bytes: the 256 in the order of GPT-2's alphabet, the merges, then the special tokens in their order,
// <|endoftext|> in front of them unless it is one of them. size = 257 without others: a byte vocabulary.
// Ids of characters: <unk>, <s>, </s> (which ends documents), the special tokens, the 256 bytes, the characters by
// code point, the merges. Text is what Llama 2's tokenizer.json makes of it, and words are those of characters.h.
// ERROR_USAGE where `size` is too small for that, ERROR_INPUT where a special token is an ordinary one, too.
// progress (NULL: none): started, in tokens; told of every merge.
int learner_finish(struct learner *l, uint32_t size, struct progress *progress, struct vocabulary **v);
uint64_t learner_words(const struct learner *l); // distinct words, when it is finished

#endif
