// The columns of the records, kept from the reading of a stream to the writing of its assignment: packed in
// blocks, a column of a block as its smallest value and the distances from it in as few bytes as they need.
// Ordinals cost nothing that way, lengths one or two bytes.
#ifndef TACIT_ASSIGN_COLUMNS_H
#define TACIT_ASSIGN_COLUMNS_H

#include "spool.h"

struct record;

enum { COLUMNS_KEPT = 9, COLUMNS_BLOCK = 1024 };

struct columns {
    struct spool spool;
    uint64_t values[COLUMNS_KEPT][COLUMNS_BLOCK];
    uint64_t count, given; // records added and handed out
};

// About `memory` bytes are used, the rest goes to a scratch file. columns_free() it.
int columns_new(struct columns **c, size_t memory);
int columns_add(struct columns *c, const struct record *r);
int columns_rewind(struct columns *c); // before the first columns_next
// The next record's columns; `count` and `payload` are left alone. At most c->count times.
int columns_next(struct columns *c, struct record *r);
void columns_free(struct columns *c); // NULL is allowed

#endif
