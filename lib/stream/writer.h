// What a stream's writer lets its tests choose; for lib/stream and test programs alone.
#ifndef TACIT_STREAM_WRITER_H
#define TACIT_STREAM_WRITER_H

#include "stream/stream.h"

// Raw bytes at which a frame ends (before the first record), so that small samples have several frames.
void stream_writer_target(struct stream_writer *w, uint32_t bytes);
// Let illegal elements (NaN, tokens beyond the vocabulary) through, so that readers can be shown some.
void stream_writer_trust(struct stream_writer *w);

#endif
