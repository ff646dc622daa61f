// The batches of a run, one ahead: while a step computes, a thread draws, decodes and checks the sequences of the
// next. Which sequences those are is the feed's affair alone, so results are the same with and without it.
#ifndef TACIT_TRAIN_SUPPLY_H
#define TACIT_TRAIN_SUPPLY_H

#include "model/batch.h"
#include "train/feed.h"

struct supply;

// Batches of `rows` sequences, each cut to `length` tokens, whose ids must be below `vocab`. The feed is borrowed,
// and the supply's alone while it lives.
int supply_new(struct supply **s, struct feed *f, int rows, int length, int vocab);
void supply_free(struct supply *s); // NULL is allowed

// The next batch, valid until the next call; *got = false where a pipe ended before it was complete. With `more`,
// the one behind it is begun meanwhile.
int supply_next(struct supply *s, bool more, const struct batch **b, bool *got);

// Of the batches handed out so far: sequences, passes over the data, and where the feed goes on (feed_restore).
uint64_t supply_drawn(const struct supply *s);
double supply_epochs(const struct supply *s);
json_t *supply_position(const struct supply *s); // a new reference; NULL: out of memory
double supply_waited(const struct supply *s);    // seconds that supply_next() took

// Append a sequence, cut to the batch's length. ERROR_INPUT where a token id is none of the model's. `row` has
// room for `length` ids.
int supply_add(struct batch *b, uint32_t *row, int vocab, const struct record *r, const struct stream_header *h,
               const char *name);

#endif
