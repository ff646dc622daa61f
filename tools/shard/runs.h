// An external sort of records by a 64-bit key, equal keys in the order in which they were added: records gather
// in memory, a full memory is sorted and written to a scratch file as a run, and the runs are merged at the end.
#ifndef TACIT_SHARD_RUNS_H
#define TACIT_SHARD_RUNS_H

#include "stream/stream.h"

struct runs;

// About `memory` bytes are used. runs_free() it.
int runs_new(struct runs **runs, uint64_t memory);
int runs_add(struct runs *runs, uint64_t key, const struct record *r, uint32_t payload);
// Hand every record to `take`, by key; the payload is valid during the call.
int runs_drain(struct runs *runs, int (*take)(void *context, const struct record *r), void *context);
void runs_free(struct runs *runs); // NULL is allowed

#endif
