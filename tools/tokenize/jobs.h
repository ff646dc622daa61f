// What tokenize does: learn a vocabulary, encode text, decode a token stream.
#ifndef TACIT_TOKENIZE_JOBS_H
#define TACIT_TOKENIZE_JOBS_H

#include "tokenize/documents.h"
#include "tokenize/text_sources.h"

#include <stdbool.h>

// The text to read, the same for learning and encoding.
struct text_job {
    int count; // operands
    char **operands;
    struct documents_options documents;
    enum domain_from domain_from;
    const char *domain; // of text that says nothing else
    const char *split;  // NULL: none
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
    uint32_t size;
    uint64_t min_frequency;
    const char *const *specials;
    int special_count, threads;
};
int learn_vocabulary(const struct learn_job *job);

struct encode_job {
    struct text_job text;
    const char *vocabulary; // tokenizer.json
    uint32_t length;        // 0: no bound
    bool ragged, no_end_of_text;
    int level;
};
int encode_text(const struct encode_job *job);

// The documents' text of token streams (no operand: standard input); `separator` (maybe empty) stands for
// end-of-text.
int decode_tokens(const char *vocabulary, int count, char **operands, const uint8_t *separator,
                  size_t separator_size, const char *output);

#endif
