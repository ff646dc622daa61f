// Progress: at most five updates a second on one terminal line, and the JSON-lines log.
//
// The line is drawn on standard error when it is a terminal and -q was not given, or when --progress forces
// it (then one line per update, at most every two seconds, so that a log stays readable).
#ifndef TACIT_BASE_PROGRESS_H
#define TACIT_BASE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

enum progress_mode { PROGRESS_AUTO, PROGRESS_ON, PROGRESS_OFF };

struct progress {
    const char *tool, *unit; // "train", "tokens"
    double total;            // in units; 0 where unknown
    double start, last;      // seconds
    double done_at_start;    // units that an earlier run had done (resume)
    bool terminal, enabled;
};

void progress_start(struct progress *p, const char *tool, const char *unit, double total, enum progress_mode mode);
// done in units; note (may be NULL) is shown behind rate and time left, for instance "loss 1.234".
void progress_update(struct progress *p, double done, const char *note);
void progress_finish(struct progress *p); // clear the terminal line

double clock_seconds(void); // monotonic

#endif
