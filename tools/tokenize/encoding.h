// Encoding: what the stages of the pipeline share. Batches of text are read, worked on by many threads, and
// settled in order: only then it is known which documents are duplicates, and where tokens go.
#ifndef TACIT_TOKENIZE_ENCODING_H
#define TACIT_TOKENIZE_ENCODING_H

#include "base/memory.h"
#include "text/vocabulary.h"
#include "tokenize/counts.h"
#include "tokenize/digest_set.h"
#include "tokenize/document_split.h"
#include "tokenize/filters.h"
#include "tokenize/jobs.h"
#include "tokenize/packer.h"
#include "tokenize/spool.h"
#include "tokenize/text_reader.h"

#include <pthread.h>

enum verdict { KEPT, DUPLICATE, FREQUENT, REPEATED, VERDICTS };

// A document, or a piece of a long one.
struct item {
    size_t begin, size; // in the batch's text; of a line of JSON, once it is prepared, its text
    uint64_t line;
    int source;
    bool first, last, json;
    // What was made of it:
    size_t ids, count, tokens; // in the batch's ids; how many, with and without end-of-text
    size_t bytes;              // of text
    size_t domain;             // its name in the batch's domains, plus one; 0: the source's
    int part;
    bool repeats;
    enum verdict verdict; // as far as it can be known: not whether there was the same text before
    struct digest digest;
};

struct batch {
    struct buffer text, items, ids, domains;
    size_t prepared, done; // items; done: worked on
};

struct worker {
    struct encoder *encoder;
    struct frequency frequency;
};

// A long document whose pieces wait for its end: a split, a filter or a duplicate is known only there.
struct held {
    struct spool ids, text; // text: only for a second look at the words
    struct buffer tail;     // the latest ids
    struct frequency frequency;
    XXH3_state_t *split, *digest;
    uint64_t bytes;
    bool repeats;
};

struct encoding {
    const struct encode_job *job;
    struct vocabulary *vocabulary;
    struct text_reader reader;
    struct document_split split;
    struct packer *packer; // NULL: tokens are only counted
    struct counts counts;
    struct worker *workers;
    int worker_count;
    struct json_line *records; // by thread of the pipeline: one more than the workers
    int record_count;
    struct batch *batches;
    int batch_count;
    char **paths; // by part
    int parts;
    uint64_t *documents; // by part
    struct text_totals totals;
    uint64_t dropped[VERDICTS];
    bool repeats_met, frequency_met; // a document that the filter looks at
    struct held held;
    struct encoder *in_order; // of pieces, where the vocabulary needs their order; made for the first
    struct digest_set seen;
    pthread_mutex_t mutex; // of `seen`
};

static inline struct item *batch_items(const struct batch *b, size_t *count) {
    *count = b->items.size / sizeof(struct item);
    return (struct item *)b->items.data;
}
const char *encoding_domain(const struct encoding *e, const struct batch *b, const struct item *item);
// Whether a filter looks at documents of this domain.
bool filter_applies(const struct document_filter *filter, const char *domain);

int encoding_make_encoder(const struct encoding *e, struct encoder **encoder);
// A document's or piece's ids, into the batch.
int encoding_encode(struct encoding *e, struct encoder *encoder, struct batch *b, struct item *item,
                    const struct document *document, const char *domain);

// The stages; `context` is the encoding.
int encoding_read(void *context, void *batch, bool *got);
int encoding_prepare(void *context, void *batch, int thread);
int encoding_work(void *context, void *batch, int thread);
int encoding_settle(void *context, void *batch);

// What encode_text() would write, by domain.
int count_text(const struct encode_job *job, struct counts *counts);

int held_init(struct held *h);
void held_release(struct held *h);

#endif
