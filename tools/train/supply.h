// The batches of a training, one ahead: while a step computes, a thread draws, decodes and checks the sequences of
// the next. Which sequences those are is the feed's affair alone, so results are the same with and without it.
#ifndef TACIT_TRAIN_SUPPLY_H
#define TACIT_TRAIN_SUPPLY_H

#include "model/batch.h"
#include "train/feed.h"

struct supply;

// What each of `count` feeds gives for a step: `rows` sequences, each cut to `length` tokens, whose ids must be
// below `vocab`.
struct supply_shape {
    int count, rows, length, vocab;
};

// The feeds are borrowed, and the supply's alone while it lives.
int supply_new(struct supply **s, struct feed *const *feeds, const struct supply_shape *shape);
void supply_free(struct supply *s); // NULL is allowed

// The next batch of every feed (supply_batch); *got = false where a pipe ended before it was complete. With
// `more`, the ones behind are begun meanwhile.
int supply_next(struct supply *s, bool more, bool *got);
const struct batch *supply_batch(const struct supply *s, int i); // of feed i; valid until the next supply_next()

// Of feed i's batches handed out so far: sequences, passes over the data, and where the feed goes on
// (feed_restore).
uint64_t supply_drawn(const struct supply *s, int i);
double supply_epochs(const struct supply *s, int i);
json_t *supply_position(const struct supply *s, int i); // a new reference
double supply_waited(const struct supply *s);           // seconds that supply_next() took

// Append a sequence, cut to the batch's length. ERROR_INPUT where a token id is none of the model's. `row` has
// room for `length` ids.
int supply_add(struct batch *b, uint32_t *row, int vocab, const struct record *r, const struct stream_header *h,
               const char *name);

#endif
