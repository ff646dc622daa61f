// Splits: named shares of the documents, chosen by a hash of a document's bytes, so that the same text always
// falls into the same part, in every run, whatever else the corpus holds.
#ifndef TACIT_TOKENIZE_DOCUMENT_SPLIT_H
#define TACIT_TOKENIZE_DOCUMENT_SPLIT_H

#include <stddef.h>
#include <stdint.h>

struct document_part {
    char *name;
    double below; // the part takes hashes (as a fraction of all) below this and not below the part before
};

struct document_split {
    struct document_part *parts;
    int count;
};

// "train=0.98,valid=0.01,test=0.01": names of letters, digits, '_', '-', '.', shares above 0 that sum to 1.
// ERROR_USAGE otherwise.
int document_split_parse(struct document_split *s, const char *text);
void document_split_release(struct document_split *s);
int document_split_find(const struct document_split *s, const char *name); // -1: no such part
// XXH3-64 of the bytes, as a fraction of 2^64, finds the part.
int document_split_part(const struct document_split *s, const void *bytes, size_t size);
int document_split_part_of(const struct document_split *s, uint64_t hash); // of bytes with this hash

// A part's output: the pattern with its one %s replaced; ERROR_USAGE where it has none or two. free() it.
int document_split_path(const char *pattern, const char *name, char **path);

#endif
