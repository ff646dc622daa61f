// A pipeline over batches: they are read one after the other, prepared and worked on by as many threads as there
// are, and settled one after the other in the order of reading. Every thread does whatever is due, so one thread
// needs no other, and what is settled does not depend on their number. Where background_new() gives one, a thread
// more reads, settles and, as far as it has time, prepares, so that the others keep to their work.
#ifndef TACIT_TOKENIZE_PIPELINE_H
#define TACIT_TOKENIZE_PIPELINE_H

#include <stdbool.h>

struct threads;

struct pipeline {
    void *context;
    // Fill a batch; *got = false: there was nothing more. What an error of this stage or the next two leaves in
    // the batch still goes through those behind it.
    int (*read)(void *context, void *batch, bool *got);
    // `thread`: whose scratch memory is free; the number of workers stands for the thread beside them.
    int (*prepare)(void *context, void *batch, int thread);
    int (*work)(void *context, void *batch, int thread);
    int (*settle)(void *context, void *batch);
};

enum { PIPELINE_BATCHES = 3 }; // for each worker: one to be read, one in work, one done

// Run it to the end over `count` batches (at least one), which are used over and over. The first error in the
// order of reading ends it, and is returned with its message.
int pipeline_run(const struct pipeline *pipeline, struct threads *threads, void *const *batches, int count);

#endif
