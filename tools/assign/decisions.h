// Decisions: one expert per sequence, set in any order and read back in stream order.
//
// Two bytes a sequence where that fits `memory`; beyond it they go to a scratch file in buckets of
// neighbouring sequences, of which one at a time is put in order when they are read.
#ifndef TACIT_ASSIGN_DECISIONS_H
#define TACIT_ASSIGN_DECISIONS_H

#include <stddef.h>
#include <stdint.h>

struct decisions;

int decisions_new(struct decisions **d, uint64_t sequences, size_t memory);
// Set each sequence exactly once.
int decisions_set(struct decisions *d, uint64_t ordinal, uint32_t expert);
// The expert of sequence 0, 1, ...; the first call ends the setting.
int decisions_next(struct decisions *d, uint32_t *expert);
void decisions_free(struct decisions *d); // NULL is allowed

#endif
