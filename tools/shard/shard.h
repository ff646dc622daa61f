// Rearranging streams of any kind. Each function is one form of the tool: it opens its inputs, writes its output,
// and commits it only after every input's end was verified. An error leaves no output.
#ifndef TACIT_SHARD_SHARD_H
#define TACIT_SHARD_SHARD_H

#include "base/progress.h"
#include "stream/stream.h"

struct shard_job {
    const char *input;      // NULL or "-": standard input
    const char *output;     // NULL: standard output
    uint64_t begin, end;    // the sequences taken; UINT64_MAX: to the stream's end
    int level;              // zstd level of the output
    uint64_t seed, memory;  // of the shuffle; bytes
    const char *assignment; // of the split
    struct progress *progress;
};

// Tell the progress line how many sequences the input has, where that is known.
void shard_expect(const struct shard_job *job, const struct stream *in);

// Copy sequences begin..end-1.
int shard_slice(const struct shard_job *job);

// All sequences in an order that depends on the seed and the number of sequences only: by a random 64-bit key per
// ordinal. What exceeds `memory` is sorted in runs on a scratch file.
int shard_shuffle(const struct shard_job *job);

// One output per expert of the assignment, named by `pattern` with its one %d replaced, or none at all. With K > 1
// a sequence goes to each of its K experts.
int shard_split(const struct shard_job *job, const char *pattern);

// The inputs one behind the other. Inputs of one corpus keep their ids; inputs of several get fresh ids, and a
// corpus digest over theirs. Streams that differ in anything but length and names are refused.
int shard_join(const struct shard_job *job, char **inputs, int count);

#endif
