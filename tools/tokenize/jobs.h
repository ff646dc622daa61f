// What tokenize does: learn a vocabulary, encode text, decode token streams, count them, import others'.
#ifndef TACIT_TOKENIZE_JOBS_H
#define TACIT_TOKENIZE_JOBS_H

#include "text/vocabulary.h"
#include "tokenize/documents.h"
#include "tokenize/json_line.h"
#include "tokenize/text_sources.h"

#include <stdbool.h>

// The text to read, the same for learning and encoding.
struct text_job {
    struct text_operands operands;
    struct documents_options documents;
    struct json_fields records;
    const char *records_option; // one that was given and is about JSON lines only; NULL: none was
    const char *domain;         // of text that says nothing else
    const char *split;          // NULL: none
    const char *output;
};

struct text_totals {
    uint64_t documents, empty, bytes; // empty ones are left out
};

// Read all documents in order with a progress line; `take` gets each that is not empty, with its domain.
int text_each(const struct text_job *job,
              int (*take)(void *context, const struct document *document, const char *domain), void *context,
              struct text_totals *totals);

// Learn a vocabulary from the documents and write tokenizer.json.
struct learn_job {
    struct text_job text;
    const char *part;    // of the split; NULL: its first
    const char *pattern; // as typed; NULL: none was
    bool characters;     // SentencePiece's style instead
    double coverage;
    uint32_t size;
    uint64_t min_frequency;
    const char *const *specials;
    int special_count, threads;
};
int learn_vocabulary(const struct learn_job *job);

struct document_filter {
    const char *given;  // as typed; NULL: it was not
    const char *domain; // of the documents that it looks at; NULL: all
};

struct vocabulary_job {
    const char *path;
    struct vocabulary_options options;
};

struct encode_job {
    struct text_job text;
    struct vocabulary_job vocabulary;
    bool allow_special;
    uint32_t length; // 0: no bound
    bool ragged, no_end_of_text;
    int level, threads; // threads: 0 is one per processor
    bool no_duplicates; // a document whose text was there before is left out
    struct document_filter repeats, frequency;
};
int encode_text(const struct encode_job *job);
// Count instead of writing: text, or token streams, which are known by their first bytes.
int count_tokens(const struct encode_job *job);

// The documents' text of token streams (no operand: standard input).
struct decode_job {
    struct vocabulary_job vocabulary;
    int count;
    char **operands;
    const uint8_t *separator; // what stands for end-of-text, maybe nothing
    size_t separator_size;
    bool specials; // the other special tokens as their text, not as nothing
    const char *output;
};
int decode_tokens(const struct decode_job *job);

// Token files of other programs, one token stream.
struct import_job {
    struct vocabulary_job vocabulary; // path NULL: only its size is known
    uint32_t vocab_size;
    int width; // bytes of a token in a file that does not say
    struct text_operands operands;
    const char *domain, *output;
    uint32_t length; // 0: no bound
    bool ragged, no_end_of_text;
    int level;
};
int import_tokens(const struct import_job *job);

#endif
