// The balanced assignment: sequences in the order of their best score, each to its most likely expert with room.
// Most are decided as they are read, from brackets; the contested ones are sorted.
#ifndef TACIT_ASSIGN_BALANCED_H
#define TACIT_ASSIGN_BALANCED_H

#include "gathered.h"

// Decide every sequence. `memory` is for the sorting alone.
int balanced_decide(struct gathered *g, size_t memory);

#endif
