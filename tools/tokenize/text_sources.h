// Where the text is: the operands as a list of files, with the domain that a place stands for.
#ifndef TACIT_TOKENIZE_TEXT_SOURCES_H
#define TACIT_TOKENIZE_TEXT_SOURCES_H

#include <stdbool.h>
#include <stdint.h>

enum domain_from { DOMAIN_FROM_NONE, DOMAIN_FROM_DIR, DOMAIN_FROM_FILE };

// Where to look: the operands, then what the list names.
struct text_operands {
    int count;
    char **operands;
    const char *list; // a file of paths, one a line ("-": standard input); NULL: none
    bool null;        // the list's paths end in NUL instead
    enum domain_from domain_from;
};

struct text_source {
    char *path;    // NULL: standard input
    char *domain;  // NULL: none
    uint64_t size; // bytes; 0 where it is no regular file
};

struct text_sources {
    struct text_source *items;
    int count;
    uint64_t size; // of all; 0 where one is unknown
    bool standard_input;
};

// Operands in their order, then the list's paths in theirs, each as if it were an operand; a directory is its
// regular files, recursively, hidden ones left out, in byte order of their paths (as `find DIR -type f | LC_ALL=C
// sort`). Neither operand nor list is standard input. DOMAIN_FROM_DIR: the first folder below the operand (the
// operand itself for files directly in it, a file operand's own folder). DOMAIN_FROM_FILE: the file's name up to
// its first dot.
int text_sources_collect(struct text_sources *s, const struct text_operands *operands);
// ERROR_USAGE where that file (NULL or "-": standard output), which is to be written, is one of them.
int text_sources_spare(const struct text_sources *s, const char *output);
int output_is_input(const char *output); // ERROR_USAGE that says so
void text_sources_release(struct text_sources *s);

#endif
