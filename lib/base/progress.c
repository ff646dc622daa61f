#include "base/progress.h"
#include "base/progress_line.h"
#include "base/system.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const double terminal_period = 0.2, log_period = 2.0;
enum { LINE_SIZE = 512, WIDTH_DEFAULT = 80 };

static bool line_drawn; // one terminal, one line: notices clear it first

double clock_seconds(void) {
    struct timespec t;
    system_clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void progress_start(struct progress *p, const char *tool, const char *unit, double total,
                    enum progress_mode mode) {
    double now = clock_seconds();
    *p = (struct progress){.tool = tool, .unit = unit, .total = total, .start = now, .last = now};
    p->terminal = isatty(STDERR_FILENO);
    p->enabled = mode == PROGRESS_ON || (mode == PROGRESS_AUTO && p->terminal);
}

// Three digits and a unit: 950, 1.25K, 31.2M.
static void format_count(char text[32], double x) {
    static const char *const units[] = {"", "K", "M", "G", "T"};
    int unit = 0;
    for (; x >= 999.5 && unit < 4; unit++)
        x /= 1000;
    snprintf(text, 32, "%.*f%s", unit == 0 || x >= 99.95 ? 0 : x >= 9.995 ? 1 : 2, x, units[unit]);
}

static void format_duration(char text[32], double seconds) {
    long s = seconds < 1e9 ? (long)(seconds + 0.5) : 1000000000;
    if (s < 3600)
        snprintf(text, 32, "%ld:%02ld", s / 60, s % 60);
    else
        snprintf(text, 32, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
}

static void format_line(const struct progress *p, double done, const char *note, double now,
                        char line[LINE_SIZE]) {
    char count[32], rate_text[32], left[32];
    double elapsed = now - p->start, rate = elapsed > 0 ? (done - p->done_at_start) / elapsed : 0;
    format_count(count, done);
    format_count(rate_text, rate);
    int n = snprintf(line, LINE_SIZE, "%s: ", p->tool);
    if (p->total > 0)
        n += snprintf(line + n, LINE_SIZE - (size_t)n, "%3.0f%% ", 100 * done / p->total);
    n += snprintf(line + n, LINE_SIZE - (size_t)n, "%s %s, %s/s", count, p->unit, rate_text);
    if (p->total > 0 && rate > 0) {
        format_duration(left, p->total > done ? (p->total - done) / rate : 0);
        n += snprintf(line + n, LINE_SIZE - (size_t)n, ", %s left", left);
    }
    if (note && n < LINE_SIZE)
        snprintf(line + n, LINE_SIZE - (size_t)n, ", %s", note);
}

void progress_update(struct progress *p, double done, const char *note) {
    if (!p->enabled)
        return;
    double now = clock_seconds();
    if (now - p->last < (p->terminal ? terminal_period : log_period))
        return;
    p->last = now;
    char line[LINE_SIZE];
    format_line(p, done, note, now, line);
    if (!p->terminal) {
        fprintf(stderr, "%s\n", line);
        return;
    }
    struct winsize window;
    int width = WIDTH_DEFAULT;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 1)
        width = window.ws_col;
    fprintf(stderr, "\r%.*s\033[K", width - 1, line);
    fflush(stderr);
    line_drawn = true;
}

void progress_finish(struct progress *p) {
    if (p->enabled)
        progress_clear_line();
}

void progress_clear_line(void) {
    if (!line_drawn)
        return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    line_drawn = false;
}
