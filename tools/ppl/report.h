// A report: what was measured, as a table for people, as TSV, and as JSON.
#ifndef TACIT_PPL_REPORT_H
#define TACIT_PPL_REPORT_H

#include "measure.h"

#include <stdbool.h>
#include <stdint.h>

struct buffer;
struct collection;
struct threads;

struct report {
    const char *stream, *rule; // names of the stream and of what made it (NULL: none); borrowed
    bool improper;
    unsigned by; // as for the collection
    bool has_baseline, has_choices;
    uint32_t from; // 0: nothing was left out, and all_positions is unset
    struct measured total, all_positions;
    struct measured *groups; // by domain name, then expert
    uint32_t group_count;
};

// Measure what was collected, with intervals from `resamples` resamples. report_release() it.
int report_make(struct report *r, const struct collection *c, uint32_t resamples, struct threads *pool);
void report_release(struct report *r);

int report_table(const struct report *r, struct buffer *out); // aligned columns; `-`: unknown
int report_tsv(const struct report *r, struct buffer *out);   // full precision; `nan`: unknown
// One object on one line. Numbers that are unknown or infinite are null; a score with an infinite perplexity also
// has "infinite": true.
int report_json(const struct report *r, struct buffer *out);

#endif
