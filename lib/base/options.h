// The option parser behind tool_main(), and its number syntax for tools that read numbers elsewhere
// (`--split train=0.98`).
#ifndef TACIT_BASE_OPTIONS_H
#define TACIT_BASE_OPTIONS_H

#include "base/tool.h"

#include <stdio.h>

// A whole number with an optional K, M or G (multiplying by `thousand`: 1000 or 1024), nothing before or behind
// it. ERROR_USAGE with `'12x' is not a whole number` or `is too large`.
int parse_integer(const char *text, int64_t thousand, int64_t *value);
// A finite decimal number, K, M and G as above by 1000.
int parse_number(const char *text, double *value);

// Parse argv[1..] by the tables `own` and `shared` (ended by a NULL name; own is searched first). Options and
// operands may be mixed, `--` ends the options; names are never abbreviated. operands must have room for argc
// pointers. ERROR_USAGE names the option and what it permits.
int options_parse(struct option *own, struct option *shared, int argc, char **argv, int *count, char **operands);
void options_release(struct option *table); // the lists' arrays

// The name of an option's value: its own, or the type's.
const char *option_argument(const struct option *option);

// The help's list of one table (options that `own` shadows are left out; own may be NULL), and the same as
// tab-separated lines.
void options_help(FILE *file, const struct option *table, const struct option *own);
void options_list(FILE *file, const struct option *table, const struct option *own);

#endif
