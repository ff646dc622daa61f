// What the command line of tokenize says.
#ifndef TACIT_TOKENIZE_SETTINGS_H
#define TACIT_TOKENIZE_SETTINGS_H

#include "base/tool.h"

// Each option belongs to some of the jobs.
enum job { JOB_LEARN = 1, JOB_ENCODE = 2, JOB_DECODE = 4, JOB_IMPORT = 8, JOB_STATS = 16 };

struct settings {
    bool learn, decode, stats;
    int import; // 0: none, 1: tokens of two bytes, 2: of four
    // vocabulary
    const char *vocabulary, *pattern, *end_of_text;
    bool allow_special;
    int64_t vocab_size, min_frequency;
    int symbols; // 0: bytes, 1: characters
    double coverage;
    struct string_list specials;
    // inputs
    const char *list;
    bool list_null;
    int unit;
    const char *separator, *field, *join, *domain_field, *domain;
    int domain_from;
    bool json_lines;
    // documents
    struct string_list filters;
    int dedup;
    const char *split, *part;
    // sequences
    int64_t length, level;
    bool ragged, no_end_of_text;
};
extern struct settings settings;
extern struct option tokenize_options[];

enum job settings_job(void);
int settings_check(enum job job); // ERROR_USAGE with what does not go together

#endif
