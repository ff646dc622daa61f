// Splitting text into words, the pre-tokenizers of the vocabularies in use. A merge never crosses a word's border.
//
// The words are those of the libraries that the vocabularies come from: Hugging Face tokenizers 0.23, tiktoken
// 0.14. Both know the classes of Unicode 16, which lib/text/unicode_classes.h pins, whatever the machine's
// libraries know. They take no malformed UTF-8; here every byte that starts no well-formed sequence is an "other"
// character.
#ifndef TACIT_TEXT_SPLIT_H
#define TACIT_TEXT_SPLIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum text_pattern {
    PATTERN_NONE,       // the whole text is one word
    PATTERN_GPT2,       // GPT-2, GPT-NeoX, OLMoE; r50k_base and p50k_base
    PATTERN_STARCODER2, // every digit apart, then as GPT-2
    PATTERN_CL100K,     // cl100k_base: white space at the end of the text is one word
    PATTERN_LLAMA3,     // as that but for the end: a word ends at the last line feed (cl100k_base at first, too)
    PATTERN_QWEN2,      // like Llama 3, every digit apart
    PATTERN_O200K,      // o200k_base: words by letter case and marks
    PATTERN_META_SPACE  // SentencePiece: a word starts at U+2581 behind another character
};

// The ends of the words of text[begin..size), in order, at most `room` of them; how many. Fewer than `room` only
// where the text ends. `text` is whole: look-ahead goes to its end.
size_t split_words(enum text_pattern pattern, const uint8_t *text, size_t size, size_t begin, size_t *ends,
                   size_t room);

// By the name of its vocabulary ("gpt2", "cl100k", ...), or by the regular expression that a release of tiktoken
// has for it; -1: unknown.
int pattern_find(const char *name_or_expression);
// By the regular expression of a tokenizer.json's Split (behaviour Isolated, not inverted); -1: unknown. No names,
// and none of tiktoken's spellings that mean something else to Oniguruma.
int pattern_find_split(const char *expression);
// The expression to write into a tokenizer.json's Split, which pattern_find_split() finds again; NULL: it has
// none.
const char *pattern_expression(enum text_pattern pattern);
const char *pattern_name(enum text_pattern pattern);

// The class of a code point (letters are all of \p{L}).
enum text_class { CLASS_OTHER, CLASS_LETTER, CLASS_MARK, CLASS_NUMBER, CLASS_SPACE };
enum text_class character_class(uint32_t code_point);
bool character_is_lower(uint32_t code_point); // \p{Ll}

#endif
