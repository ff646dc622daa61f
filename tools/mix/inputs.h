// The experts' log-prob streams, read in lockstep or by an assignment.
#ifndef TACIT_MIX_INPUTS_H
#define TACIT_MIX_INPUTS_H

#include "stream/stream.h"

#include <stdbool.h>
#include <stdint.h>

struct inputs {
    uint32_t count;
    struct stream **streams;
    struct record *records; // the current sequence, of each stream
    float **values;         // its log-probs
    size_t *capacity;       // of values[j]
    uint64_t sequences;     // read so far
};

// Open `count` files of log-probs and check that they share a vocabulary. inputs_close() it, after a failure too.
int inputs_open(struct inputs *in, char **paths, uint32_t count);
void inputs_close(struct inputs *in);

// The same sequence of every stream. ERROR_INPUT names two streams that differ.
int inputs_next(struct inputs *in, bool *got);
// The next sequence of stream j alone.
int inputs_next_of(struct inputs *in, uint32_t j, bool *got);

// The header of what is mixed from them: vocabulary, bounds, and all models in order. The caller owns
// h->models and h->names (free() both; the names themselves are borrowed).
int inputs_header(const struct inputs *in, struct stream_header *h);
// Record every stream as a parent of w; ERROR_INPUT where two come from different corpora.
int inputs_parents(struct inputs *in, struct stream_writer *w);

#endif
