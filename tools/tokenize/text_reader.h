// The text of all inputs, one document or piece of one after the other, with a progress line in bytes of the
// inputs.
#ifndef TACIT_TOKENIZE_TEXT_READER_H
#define TACIT_TOKENIZE_TEXT_READER_H

#include "base/progress.h"
#include "tokenize/documents.h"
#include "tokenize/text_sources.h"

struct text_job;

struct text_reader {
    struct documents_options options;
    struct text_sources sources;
    int next; // source
    struct documents *documents;
    struct progress progress;
    uint64_t before, shown; // bytes of the inputs before this one; at the latest update
};

// Both are called once; release what a failed start left, too.
int text_reader_start(struct text_reader *r, const struct text_job *job);
void text_reader_release(struct text_reader *r);
// The next piece, of source number *source.
int text_reader_next(struct text_reader *r, struct piece *piece, int *source, bool *got);

#endif
