// The patterns by name, and by the regular expressions that stand for them.
#include "text/split.h"

#include <stdbool.h>
#include <string.h>

static const char *const names[] = {"none",   "gpt2",  "starcoder2", "cl100k",
                                    "llama3", "qwen2", "o200k",      "meta-space"};

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define HEADS "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define TAILS "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define BEFORE "[^\\r\\n\\p{L}\\p{N}]?"

// As tokenizer files and the releases of tiktoken spell them. The possessive forms and those without are the same
// words, but for white space at the end of the text, where cl100k_base's later forms differ from its first one.
static const struct spelling {
    const char *expression;
    enum text_pattern pattern;
    bool tiktoken_only; // Oniguruma reads it otherwise: \p{N}{1,3}+ is any number of digits
} spellings[] = {
    {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", PATTERN_GPT2, false},
    {"'s|'t|'re|'ve|'m|'ll|'d| ?[\\p{L}]+| ?[\\p{N}]+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", PATTERN_GPT2,
     false},
    {"'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", PATTERN_GPT2, false},
    {"'(?:[sdmt]|ll|ve|re)| ?\\p{L}++| ?\\p{N}++| ?[^\\s\\p{L}\\p{N}]++|\\s++$|\\s+(?!\\S)|\\s", PATTERN_GPT2,
     false},
    {CONTRACTIONS "|" BEFORE "\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
     PATTERN_LLAMA3, false},
    {"'(?i:[sdmt]|ll|ve|re)|" BEFORE
     "+\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+",
     PATTERN_LLAMA3, false},
    {"'(?i:[sdmt]|ll|ve|re)|" BEFORE
     "+\\p{L}++|\\p{N}{1,3}+| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|\\s++$|\\s*[\\r\\n]|\\s+(?!\\S)|\\s",
     PATTERN_CL100K, true},
    {"'(?i:[sdmt]|ll|ve|re)|" BEFORE // ours, that both engines read alike
     "\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s++\\z|\\s*[\\r\\n]|\\s+(?!\\S)|\\s",
     PATTERN_CL100K, false},
    {CONTRACTIONS "|" BEFORE "\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
     PATTERN_QWEN2, false},
    {BEFORE HEADS "*" TAILS "+" CONTRACTIONS "?|" BEFORE HEADS "+" TAILS "*" CONTRACTIONS
                  "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
     PATTERN_O200K, false},
};

int pattern_find(const char *name) {
    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++)
        if (strcmp(names[i], name) == 0)
            return i;
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++)
        if (strcmp(spellings[i].expression, name) == 0)
            return (int)spellings[i].pattern;
    return -1;
}

int pattern_find_split(const char *expression) {
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++)
        if (strcmp(spellings[i].expression, expression) == 0 && !spellings[i].tiktoken_only)
            return (int)spellings[i].pattern;
    return -1;
}

const char *pattern_name(enum text_pattern pattern) {
    return names[pattern];
}

const char *pattern_expression(enum text_pattern pattern) {
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++)
        if (spellings[i].pattern == pattern && !spellings[i].tiktoken_only)
            return spellings[i].expression;
    return NULL;
}
