// The feed: which sequence comes next in training, from one or several token streams.
//
// Sample n (0, 1, ...) is a pure function of the data, the seed and the numbers of samples already drawn from
// each lane, so a run can stop and go on anywhere. A lane is a list of sequences passed over again and again, an
// epoch each time, in stream order or in the epoch's permutation. Without weights all streams are one lane, in the
// order given; with weights each stream is a lane of its own, and sample n picks its lane at random.
//
// Pipes are read once, front to back: one lane, no shuffle, no second epoch.
#ifndef TACIT_TRAIN_FEED_H
#define TACIT_TRAIN_FEED_H

#include "base/json.h"
#include "stream/share.h"

struct feed_options {
    char **paths; // borrowed; count 0: standard input
    int count;
    struct share_options share; // a part of the one stream
    const double *weights;      // one per path, positive; NULL: none
    bool shuffle;
    uint64_t seed;
    uint64_t others; // feeds beside this one, that share the memory of decoded frames
};

struct feed;

int feed_open(struct feed **f, const struct feed_options *options);
void feed_close(struct feed *f); // NULL is allowed

bool feed_piped(const struct feed *f);         // some stream cannot be read twice
uint64_t feed_sequences(const struct feed *f); // of one pass; 0 for pipes: unknown
uint32_t feed_length(const struct feed *f,
                     const char **name); // the longest sequence that headers allow, and whose; 0: no bound
uint32_t feed_vocab_size(const struct feed *f, const char **name); // the largest, and whose it is; 0: unknown
uint64_t feed_memory(const struct feed *f);                        // bytes that reading will take, about
struct digest feed_vocab(const struct feed *f, const char **name); // the vocabulary's digest; zero: unknown

// The next sample; its payload lives until the next call. *h is its stream's header, *name its name. *got = false
// at the verified end of the pipes.
int feed_next(struct feed *f, struct record *r, const struct stream_header **h, const char **name, bool *got);

// Sequence n of one pass, the streams behind each other, without drawing it; files only. Else as feed_next.
int feed_look(const struct feed *f, uint64_t n, struct record *r, const struct stream_header **h);

uint64_t feed_drawn(const struct feed *f);     // samples so far
const char *feed_latest(const struct feed *f); // the stream of the latest one
double feed_epochs(const struct feed *f);      // passes over the data so far; 0 for pipes
// Samples drawn per lane, as state.json keeps them; and going on from there (pipes are read up to there).
json_t *feed_position(const struct feed *f);
int feed_restore(struct feed *f, const json_t *position);

// Read every pipe to its verified end, and confirm the files.
int feed_finish(struct feed *f);
// Content digests of the streams (and of the assignment), comma-separated, for the configuration; NULL for
// pipes before feed_finish. free() it.
char *feed_digests(const struct feed *f);

#endif
