// Sequences that are decided before the first is written: what is kept of them meanwhile. The scores stay in the
// input, which is a file, or spooled like one.
#ifndef TACIT_ASSIGN_GATHERED_H
#define TACIT_ASSIGN_GATHERED_H

#include "columns.h"
#include "decisions.h"
#include "run.h"

enum {
    CONTESTED = UINT16_MAX, // a choice that is not made yet; there are fewer experts
    CHOICES_BLOCK = 2048,
};

struct gathered {
    struct run *r;
    struct columns *columns;
    struct spool choices;          // uint16_t in stream order, whole blocks of them
    uint16_t block[CHOICES_BLOCK]; // the latest
    struct decisions *contested;   // the experts of the contested, in stream order
    bool read;                     // the input was read once, its columns are known
    uint64_t at;                   // the next sequence
};

// Go through all sequences in stream order (again); the row lives until the next call.
int gathered_rewind(struct gathered *g);
int gathered_next(struct gathered *g, struct subject *s);
int gathered_end(struct gathered *g); // behind the last sequence: the input's end is verified
// Any sequence, out of order.
int gathered_row(struct gathered *g, uint64_t ordinal, struct subject *s);
int gathered_choose(struct gathered *g, uint32_t choice); // of the sequence that gathered_next gave

#endif
