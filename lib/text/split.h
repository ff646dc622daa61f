// Splitting text into words, the pre-tokenizers of the vocabularies in use. A merge never crosses a word's border.
//
// Malformed UTF-8 bytes are each their own "other" character. Unicode's classes are those of Unicode 16, pinned in
// lib/text/unicode_ranges.h, whatever release the machine's libraries know.
#ifndef TACIT_TEXT_SPLIT_H
#define TACIT_TEXT_SPLIT_H

#include <stddef.h>
#include <stdint.h>

enum text_pattern {
    PATTERN_NONE,       // the whole text is one word
    PATTERN_GPT2,       // GPT-2, GPT-NeoX, OLMoE; r50k_base and p50k_base
    PATTERN_STARCODER2, // every digit apart, then as GPT-2
    PATTERN_CL100K,     // cl100k_base
    PATTERN_LLAMA3,     // like cl100k_base, but for its white space
    PATTERN_QWEN2,      // like Llama 3, every digit apart
    PATTERN_O200K,      // o200k_base: words by letter case and marks
    PATTERN_META_SPACE  // SentencePiece: a word starts at U+2581 behind another character
};

// The ends of the words of text[begin..size), in order, at most `room` of them; how many. Fewer than `room` only
// where the text ends. `text` is whole: look-ahead goes to its end.
size_t split_words(enum text_pattern pattern, const uint8_t *text, size_t size, size_t begin, size_t *ends,
                   size_t room);

// By the name of its vocabulary ("gpt2", "cl100k", ...), or by the regular expression that a tokenizer file or
// tiktoken gives for it, spelled as they spell it; -1: unknown.
int pattern_find(const char *name_or_expression);
const char *pattern_name(enum text_pattern pattern);

#endif
