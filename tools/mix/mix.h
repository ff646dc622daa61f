// Mixing jobs, from opened inputs to a committed output.
#ifndef TACIT_MIX_MIX_H
#define TACIT_MIX_MIX_H

#include "inputs.h"
#include "rules.h"

#include "base/progress.h"

struct mix_job {
    struct inputs in;
    struct stream *assignment; // select
    struct mixer mixer;        // every other rule
    const char *rule;          // its name, for the header
    const char *output;        // as for stream_create
    bool improper;
    struct progress *progress; // NULL: none
    // Called before the output gets its name: where the output is, the log is too.
    int (*report)(const struct mix_job *job);

    // results
    uint64_t sequences, tokens;
    double nats; // the sum of -log p
};

// Every stream holds every sequence. ERROR_NUMERIC names the sequence.
int mix_combine(struct mix_job *job, mix_rule *rule);

// Stream e holds the sequences that the assignment gave to expert e, in its order (SmallTalk LM). ERROR_INPUT
// where the assignment is not for this many experts or names several per sequence, where ids differ, and where a
// stream ends early or has sequences left.
int mix_select(struct mix_job *job);

#endif
