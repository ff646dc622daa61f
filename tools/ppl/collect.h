// Reads the streams of a report in lockstep and tallies them by group.
#ifndef TACIT_PPL_COLLECT_H
#define TACIT_PPL_COLLECT_H

#include "choices.h"
#include "measure.h"

#include "base/progress.h"

#include <stdbool.h>
#include <stdint.h>

struct stream;

enum { BY_DOMAIN = 1, BY_EXPERT = 2 };

struct collection {
    // what to read: opened streams, closed by the caller
    struct stream *in, *baseline, *assignment; // the last two may be NULL
    unsigned by;                               // a set of BY_; BY_EXPERT needs the assignment
    uint32_t from;                             // positions below it are left out
    bool choices;
    uint64_t seed;
    struct progress *progress; // NULL: none

    // results, released by collection_release()
    struct tallied total, all_positions; // all_positions: as if from = 0
    struct tallied *groups;
    uint32_t group_count;
    struct questions questions;
    uint64_t sequences;

    // inside
    uint32_t **index; // [domain][expert]: group + 1
    float *values[2];
    uint32_t capacity[2];
};

// Read every stream to its verified end. ERROR_INPUT names two streams that differ in vocabulary, sequences or
// corpus.
int collection_read(struct collection *c);
void collection_release(struct collection *c);

#endif
