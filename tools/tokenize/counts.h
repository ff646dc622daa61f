// Counts by domain, as a table.
#ifndef TACIT_TOKENIZE_COUNTS_H
#define TACIT_TOKENIZE_COUNTS_H

#include <stdint.h>

struct domain_count {
    char *domain;
    uint64_t documents, bytes, tokens;
};

struct counts {                 // zero-initialise
    struct domain_count *items; // ascending by name
    int count;
};

int counts_add(struct counts *c, const char *domain, uint64_t documents, uint64_t bytes, uint64_t tokens);
// Tab-separated: a line of names, one for each domain, and one named "all"; path NULL or "-": standard output.
int counts_write(const struct counts *c, const char *path);
void counts_release(struct counts *c);

#endif
