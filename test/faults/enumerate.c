// usage: FAULTS=MODE build/faults/TOOL ARGUMENT...   in a folder that holds nothing but old outputs
//
// MODE is `all`, or some kinds of fault ("memory,write"): the tool runs undisturbed, then once for every call of
// the kind, which fails alone, and once more with all later ones failing too. A run that meets the fault must exit
// with 1 and one line that names the tool, leave the folder as it was, and nothing that hinders the next run; a
// kind that the tool can do without may also end in the whole result. Prints one line per kind, and what is not
// so. MODE `brief`: reads and writes take one byte; `interrupted`: every second call is; `storm`: signals come all
// the time, whose handler restarts nothing. All three must give the undisturbed result (storm: the caller
// compares). MODE `kill`: kill -9 before each call. It must leave the result and nothing else, or the old outputs
// and some CKPT.part or temporary file, and the next run must end in the result. A result that replaces an old one
// may have such beside it where make would take it for out of date, and begin that next run.
//
// FAULTS_MOST   how many places to try per kind: the first ones, then evenly spread; 0 (default): every one
// FAULTS_INPUT  a file that the tool gets through a pipe on standard input
#include "faults.h"
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FIRST_PLACES = 60, SECONDS_MOST = 60, ERRORS_SIZE = 1 << 16, FINDINGS_SHOWN = 12 };

static const char *const kind_names[FAULT_KINDS + 1] = {
    [FAULT_MEMORY] = "memory", [FAULT_OPEN] = "open",     [FAULT_READ] = "read",     [FAULT_WRITE] = "write",
    [FAULT_SYNC] = "sync",     [FAULT_RENAME] = "rename", [FAULT_MAP] = "map",       [FAULT_FOLDER] = "folder",
    [FAULT_THREAD] = "thread", [FAULT_CLOSE] = "close",   [FAULT_REMOVE] = "remove", [FAULT_STATUS] = "status",
    [FAULT_LOCK] = "lock",     [FAULT_LIST] = "list",     [FAULT_TOUCH] = "touch",   [FAULT_NONE] = "kill"};

static struct tree before, expected, now;
static char errors[ERRORS_SIZE]; // what the latest run said
static const char *tool;
static int findings;

// ---- one run ----

// In the child, which goes on to main().
static void enter(int input, int said) {
    int null = open("/dev/null", O_WRONLY);
    if (input >= 0)
        dup2(input, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    dup2(said, STDERR_FILENO);
    close(null);
    close(said);
    if (input >= 0)
        close(input);
    alarm(SECONDS_MOST);
    faults->active = true;
}

static pid_t feed(const char *path, int *input) {
    int ends[2];
    if (pipe(ends) != 0)
        _exit(99);
    pid_t feeder = fork();
    if (feeder == 0) {
        char data[4096];
        int fd = open(path, O_RDONLY);
        ssize_t n;
        close(ends[0]);
        while ((n = read(fd, data, sizeof data)) > 0)
            if (write(ends[1], data, (size_t)n) < 0)
                break;
        _exit(0);
    }
    close(ends[1]);
    *input = ends[0];
    return feeder;
}

// Fork the tool; true in the child. In the parent *status is how it ended, and `errors` what it said.
static bool run(int *status) {
    const char *path = getenv("FAULTS_INPUT");
    int input = -1, said = memfd_create("errors", MFD_CLOEXEC);
    pid_t feeder = path ? feed(path, &input) : -1, child = fork();
    if (child == 0) {
        enter(input, said);
        return true;
    }
    if (input >= 0)
        close(input);
    waitpid(child, status, 0);
    if (feeder > 0)
        waitpid(feeder, NULL, 0);
    ssize_t n = pread(said, errors, sizeof errors - 1, 0);
    errors[n > 0 ? n : 0] = 0;
    close(said);
    return false;
}

static void tell(enum fault_kind kind, long at, bool on) {
    memset(faults, 0, sizeof *faults);
    faults->kind = kind;
    faults->at = at;
    faults->on = on;
}

// ---- what a run leaves ----

static bool ignore_none(const char *path) {
    (void)path;
    return false;
}

// --log tells how far a run came. The state of an unfinished training run is for --resume; it holds no unfinished
// file.
static bool ignore_account(const char *path) {
    return strcmp(path, "./log") == 0 || (strstr(path, ".part") && !strstr(path, ".tmp."));
}

static bool ignore_unremoved(const char *path) {
    return ignore_account(path) || strstr(path, ".tmp.");
}

static void found(const char *what, const char *detail, int status) {
    if (++findings > FINDINGS_SHOWN)
        return;
    printf("%s: %s fault %ld%s: %s%s%s (status %#x)\n    %s\n", tool, kind_names[faults->kind], faults->at,
           faults->on ? " and on" : "", what, detail ? " " : "", detail ? detail : "", (unsigned)status,
           *errors ? errors : "(said nothing)");
}

static bool is_one_line(void) {
    size_t n = strlen(tool);
    const char *end = strchr(errors, '\n');
    return strncmp(errors, tool, n) == 0 && strncmp(errors + n, ": ", 2) == 0 && end && !end[1];
}

static void check_refused(int status) {
    bool (*ignore)(const char *) = faults->kind == FAULT_REMOVE ? ignore_unremoved : ignore_account;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 1)
        found("not exit 1", NULL, status);
    else if (!is_one_line())
        found("not one line", NULL, status);
    const char *path = tree_difference(&now, &before, ignore);
    if (path)
        found("left changed:", path, status);
}

// True in the child. A fault that was met, and what came of it, is counted.
static bool suffer(enum fault_kind kind, long at, bool on, long counts[3]) {
    int status;
    tell(kind, at, on);
    if (run(&status))
        return true;
    long hits = atomic_load(&faults->hits);
    tree_read(&now);
    bool done = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    const char *path;
    counts[0] += hits > 0;
    counts[1] += hits > 0 && !done;
    counts[2] += hits > 0 && done;
    if (hits > 0 && (!done || kind < FAULT_THREAD))
        check_refused(status);
    else if (!done)
        found("failed without a fault", NULL, status);
    else if ((path = tree_difference(&now, &expected, kind < FAULT_THREAD ? ignore_none : ignore_unremoved)))
        found("another result:", path, status);
    // What was left must not hinder the next run.
    bool again = tree_difference(&now, done ? &expected : &before, ignore_none);
    tree_free(&now);
    if (again) {
        tell(FAULT_NONE, 0, false);
        if (run(&status))
            return true;
        faults->kind = kind;
        faults->at = at;
        faults->on = on;
        tree_read(&now);
        if (status != 0 || tree_difference(&now, &expected, ignore_none))
            found("the next run fails or leaves", tree_difference(&now, &expected, ignore_none), status);
        tree_free(&now);
    }
    tree_restore(&before);
    return false;
}

// ---- all of them ----

// The place after `at`: each, or as many as `most` allows for.
static long next_place(long at, long calls, long most) {
    if (most == 0 || at < FIRST_PLACES || calls <= most)
        return at + 1;
    long step = most > FIRST_PLACES ? (calls - FIRST_PLACES) / (most - FIRST_PLACES) : calls;
    return at + (step > 1 ? step : 1);
}

static bool enumerate(enum fault_kind kind, long calls, long most) {
    long counts[3] = {0};
    for (long at = 1; at <= calls; at = next_place(at, calls, most))
        for (int on = 0; on < 2; on++)
            if (suffer(kind, at, on, counts))
                return true;
    printf("%-9s %-8s %7ld calls %7ld faults %7ld refused %7ld done without\n", tool, kind_names[kind], calls,
           counts[0], counts[1], counts[2]);
    return false;
}

// Whether `kind` is in the list that FAULTS holds.
static bool is_wanted(const char *modes, const char *name) {
    size_t n = strlen(name);
    for (const char *at = modes; (at = strstr(at, name)); at += n)
        if ((at == modes || at[-1] == ',') && (!at[n] || at[n] == ','))
            return true;
    return strcmp(modes, "all") == 0;
}

static bool undisturbed(long calls[FAULT_KINDS]) {
    int status;
    tell(FAULT_NONE, 0, false);
    if (run(&status))
        return true;
    tree_read(&expected);
    tree_restore(&before);
    for (int k = 0; k < FAULT_KINDS; k++)
        calls[k] = atomic_load(&faults->calls[k]);
    if (status == 0)
        return false;
    printf("%s: the undisturbed run fails (status %#x): %s\n", tool, (unsigned)status, errors);
    fflush(stdout);
    _exit(1);
}

static bool ignore_unfinished(const char *path) {
    return strstr(path, ".part") || strstr(path, ".tmp.");
}

static bool is_out_of_date(const struct tree *t) {
    bool old = false;
    for (size_t i = 0; i < t->count; i++)
        old = old || (t->entries[i].old && !ignore_unfinished(t->entries[i].path));
    return old;
}

static void check_killed(int status, long *published) {
    bool whole = !tree_difference(&now, &expected, ignore_unfinished);
    const char *beside = whole ? tree_difference(&now, &expected, ignore_none) : NULL;
    *published += whole;
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        found("not killed", NULL, status);
    else if (!whole && tree_difference(&now, &before, ignore_unfinished))
        found("left changed:", tree_difference(&now, &before, ignore_unfinished), status);
    else if (beside && !is_out_of_date(&now))
        found("left beside the result:", beside, status);
}

// True in the child.
static bool kill_everywhere(long calls, long most) {
    long published = 0;
    for (long at = 1; at <= calls; at = next_place(at, calls, most)) {
        int status;
        tell(FAULT_NONE, at, false);
        faults->kill = at;
        if (run(&status))
            return true;
        tree_read(&now);
        check_killed(status, &published);
        tree_free(&now);
        faults->kill = 0;
        if (run(&status))
            return true;
        tree_read(&now);
        if (status != 0 || tree_difference(&now, &expected, ignore_none))
            found("the next run fails or leaves", tree_difference(&now, &expected, ignore_none), status);
        else if (is_out_of_date(&now))
            found("the next run leaves it out of date", NULL, status);
        tree_free(&now);
        tree_restore(&before);
    }
    printf("%-9s %-8s %7ld calls %7ld left the result\n", tool, "kill", calls, published);
    return false;
}

static bool disturb_mildly(const char *mode) {
    int status;
    tell(FAULT_NONE, 0, false);
    faults->brief = strcmp(mode, "brief") == 0;
    faults->interrupted = !faults->brief;
    if (run(&status))
        return true;
    tree_read(&now);
    const char *path = tree_difference(&now, &expected, ignore_none);
    if (status != 0 || path)
        printf("%s: %s: status %#x, another result: %s\n    %s\n", tool, mode, (unsigned)status, path ? path : "-",
               errors);
    fflush(stdout);
    _exit(status != 0 || path);
}

static void wake(int number) {
    (void)number;
}

static void start_storm(void) {
    struct sigaction action = {.sa_handler = wake};
    struct itimerval often = {{0, 300}, {0, 300}};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
}

__attribute__((constructor)) static void begin(int argc, char **argv) {
    const char *mode = getenv("FAULTS"), *most = getenv("FAULTS_MOST");
    long calls[FAULT_KINDS];
    (void)argc;
    if (!mode)
        return;
    if (strcmp(mode, "storm") == 0) {
        start_storm();
        return;
    }
    tool = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
    faults = mmap(NULL, sizeof *faults, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    tree_read(&before);
    if (undisturbed(calls))
        return;
    if (strcmp(mode, "brief") == 0 || strcmp(mode, "interrupted") == 0) {
        if (disturb_mildly(mode))
            return;
    }
    long places = most ? atol(most) : 0;
    if (strcmp(mode, "kill") == 0 && kill_everywhere(atomic_load(&faults->steps), places))
        return;
    for (int k = 0; k < FAULT_KINDS; k++)
        if (is_wanted(mode, kind_names[k]) && calls[k] > 0 && enumerate(k, calls[k], places))
            return;
    if (findings > FINDINGS_SHOWN)
        printf("%s: %d findings more\n", tool, findings - FINDINGS_SHOWN);
    fflush(stdout);
    _exit(findings > 0);
}
