// The common contract of every tool (DESIGN.md section 4): one option table gives parsing, --help with live
// defaults, shell completion and the man page's list (--help-options: one line per option with long name, letter,
// argument, default, choices with spaces between, and help, separated by tabs); tool_main() prints the one error
// line and turns the error code into the exit status.
#ifndef TACIT_BASE_TOOL_H
#define TACIT_BASE_TOOL_H

#include "progress.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_type {
    OPTION_FLAG,    // bool *: set to true
    OPTION_INTEGER, // int64_t *: whole number within [low, high]; K, M, G multiply by 1000
    OPTION_SIZE,    // int64_t *: bytes; K, M, G multiply by 1024
    OPTION_NUMBER,  // double *: within [low, high]
    OPTION_STRING,  // const char **: borrowed from argv
    OPTION_LIST,    // struct string_list *: may be given several times
    OPTION_CHOICE,  // int *: index into `choices`
    OPTION_RANGE,   // struct range *: "a..b", a inclusive, b exclusive; "a.." and "..b" are allowed
};

struct string_list {
    const char **items; // borrowed strings in an owned array; freed by tool_main at the end
    int count;
};
struct range {
    int64_t begin, end; // end = INT64_MAX where open; {0, INT64_MAX} is everything
};

struct option {
    const char *name; // long name without dashes; NULL ends the table
    char letter;      // short name or 0
    enum option_type type;
    void *value;          // holds the default when the table is built, the result after parsing
    const char *argument; // its name in the help: "FILE", "N"
    const char *help;     // one line; the default is appended from *value
    double low, high;     // numbers: inclusive limits (both 0: none); a default outside them reads as "not set"
    const char *const *choices; // NULL-terminated, for OPTION_CHOICE
    bool given;                 // set by parsing
};

struct tool {
    const char *name, *purpose;
    const char *synopsis;    // behind the name, one line per form, '\n' between
    const char *description; // further paragraphs of the help; may be NULL
    const char *example, *see_also;
    struct option *options;
    int (*run)(int count, char **operands); // returns an error code; operands are the non-options
};

// What every tool accepts besides its own table (present only where the flag below asks for it).
struct common_options {
    const char *output; // -o
    const char *device; // --device, TACIT_DEVICE; "auto"
    int64_t threads;    // --threads; 0: one per processor
    int64_t seed;       // --seed
    bool quiet;         // -q
    int64_t verbose;    // -v: 0 or 1
    enum progress_mode progress;
    const char *log; // --log FILE
};
extern struct common_options common;
enum { TOOL_OUTPUT = 1, TOOL_DEVICE = 2, TOOL_THREADS = 4, TOOL_SEED = 8, TOOL_PROGRESS = 16, TOOL_LOG = 32 };

// Parse argv, handle --help and --version, call tool->run, print the error line, flush and check standard
// output, remove unfinished outputs; returns the exit status. `uses` is a set of TOOL_ flags.
int tool_main(struct tool *tool, int uses, int argc, char **argv);

// The tool's name, as in its messages.
const char *tool_name(void);

// One line on standard error, `tool: ...`, unless -q: notices, reports, warnings.
void tool_notice(const char *format, ...) __attribute__((format(printf, 1, 2)));
// The same under -v only.
void tool_verbose(const char *format, ...) __attribute__((format(printf, 1, 2)));

bool option_given(const struct option *options, const char *name);

// --log: one JSON object per line, each written at once; without --log nothing happens. The text is one object
// without the newline. The first call opens the file and empties it, unless log_keep() came before (resume).
int log_line(const char *json_text);
void log_keep(void);

#endif
