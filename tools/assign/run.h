// What the files of an assignment share while one runs; for tools/assign alone.
#ifndef TACIT_ASSIGN_RUN_H
#define TACIT_ASSIGN_RUN_H

#include "assign.h"

#include "stream/stream.h"

struct run {
    struct assign_job *job;
    const struct stream_header *header;
    bool scored;        // the input holds scores
    uint64_t sequences; // N
    uint64_t *room;     // by expert, for the balanced methods
    float *row;         // the scores of one sequence
    uint16_t *chosen;   // K experts
    float *weights;     // K log-weights
    uint8_t *payload;   // both, encoded
};

// One sequence to decide; `record` is NULL where it was gathered.
struct subject {
    uint64_t ordinal; // within the slice
    const float *row; // NULL without scores
    uint32_t best;
    const struct record *record;
};

typedef int chooser(struct run *r, const struct subject *s);

// The scores of a record: where they stand, or converted into r->row.
const float *run_row(struct run *r, const struct record *record);
// The next record and, where there are scores, its row and arg max.
int run_next(struct run *r, struct record *record, struct subject *s, bool *got);
uint64_t run_selected(const struct run *r); // sequences of the slice, of a seekable input
// The number of sequences is known: check the capacity, and hand out the room.
int run_begin(struct run *r, uint64_t sequences);
// Count a decision for the report.
void run_count(struct run *r, const struct subject *s, uint32_t expert);

int run_create(struct run *r, struct stream_writer **w);
int run_write(struct run *r, struct stream_writer *w, struct record *record); // with r->chosen
int run_finish(struct run *r, struct stream_writer *w, int rc);               // commit, or abort after a failure

// Gather, decide in the order of the scores, and write; of a seekable input.
int run_balanced(struct run *r);

#endif
