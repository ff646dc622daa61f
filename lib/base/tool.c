#include "base/tool.h"
#include "base/background.h"
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/options.h"
#include "base/output.h"
#include "base/progress_line.h"
#include "base/system.h"
#include "base/version.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char library_version[] = "0.1.0";
#ifdef __clang__
static const char compiler[] = __VERSION__; // names itself
#else
static const char compiler[] = "gcc " __VERSION__;
#endif

enum { STREAM_FORMAT = 1, THREADS_MOST = 1024, SHARED_MOST = 16, LINE_MOST = 8192 };

struct common_options common = {.device = "auto", .progress = PROGRESS_AUTO};

static const char *name = "tacit";
static const char *prefix = ""; // of the name that the tool was called by: "tacit-" where it is installed
static bool wants_help, wants_version, wants_table, wants_progress, wants_no_progress, verbose;

// A row of the common options, with the TOOL_ flag that asks for it (0: always there).
struct shared_option {
    int use;
    struct option option;
};

static const struct shared_option shared_options[] = {
    {TOOL_OUTPUT,
     {.name = "output",
      .letter = 'o',
      .type = OPTION_STRING,
      .value = &common.output,
      .argument = "FILE",
      .help = "write to FILE, which appears whole or not at all, instead of standard output"}},
    {TOOL_DEVICE,
     {.name = "device",
      .type = OPTION_STRING,
      .value = &common.device,
      .argument = "DEVICE",
      .help = "auto, cpu, cuda or cuda:N; TACIT_DEVICE gives the default"}},
    {TOOL_THREADS,
     {.name = "threads",
      .type = OPTION_INTEGER,
      .value = &common.threads,
      .argument = "N",
      .help = "threads of the CPU; 0 is one per available processor",
      .high = THREADS_MOST}},
    {TOOL_SEED,
     {.name = "seed",
      .type = OPTION_INTEGER,
      .value = &common.seed,
      .argument = "N",
      .help = "seed of the random numbers: same seed, same bytes",
      .high = 9223372036854775807.0}},
    {TOOL_PROGRESS,
     {.name = "progress",
      .type = OPTION_FLAG,
      .value = &wants_progress,
      .help = "show progress even where standard error is no terminal"}},
    {TOOL_PROGRESS,
     {.name = "no-progress", .type = OPTION_FLAG, .value = &wants_no_progress, .help = "show no progress"}},
    {TOOL_LOG,
     {.name = "log",
      .type = OPTION_STRING,
      .value = &common.log,
      .argument = "FILE",
      .help = "write one JSON object per event to FILE"}},
    {0,
     {.name = "quiet",
      .letter = 'q',
      .type = OPTION_FLAG,
      .value = &common.quiet,
      .help = "print nothing but errors"}},
    {0, {.name = "verbose", .letter = 'v', .type = OPTION_FLAG, .value = &verbose, .help = "say more"}},
    {0, {.name = "help", .letter = 'h', .type = OPTION_FLAG, .value = &wants_help, .help = "print this text"}},
    {0,
     {.name = "version",
      .type = OPTION_FLAG,
      .value = &wants_version,
      .help = "print versions, compiler and backends"}},
};
// Parsed but not listed: it prints the list.
static const struct option table_option = {.name = "help-options", .type = OPTION_FLAG, .value = &wants_table};

static void collect_shared(int uses, struct option shared[SHARED_MOST], bool hidden) {
    int n = 0;
    for (size_t i = 0; i < sizeof shared_options / sizeof *shared_options; i++)
        if (shared_options[i].use == 0 || shared_options[i].use & uses)
            shared[n++] = shared_options[i].option;
    if (hidden)
        shared[n++] = table_option;
    shared[n] = (struct option){0};
}

const char *tool_name(void) {
    return name;
}

// ---- messages ----

// One line, whatever bytes a file name or a stream brought into the message.
static void print_message(const char *text) {
    progress_clear_line();
    fprintf(stderr, "%s: ", name);
    for (; *text; text++)
        fputc((unsigned char)*text < ' ' || *text == 127 ? '?' : *text, stderr);
    fputc('\n', stderr);
}

static void print_line(const char *format, va_list arguments) {
    char text[LINE_MOST];
    vsnprintf(text, sizeof text, format, arguments);
    print_message(text);
}

void tool_notice(const char *format, ...) {
    if (common.quiet)
        return;
    va_list arguments;
    va_start(arguments, format);
    print_line(format, arguments);
    va_end(arguments);
}

void tool_verbose(const char *format, ...) {
    if (common.quiet || common.verbose == 0)
        return;
    va_list arguments;
    va_start(arguments, format);
    print_line(format, arguments);
    va_end(arguments);
}

// ---- help and version ----

// Whether the word of n bytes is this tool or a neighbour that its help names.
static bool is_tool(const struct tool *tool, const char *word, size_t n) {
    if (strlen(tool->name) == n && memcmp(tool->name, word, n) == 0)
        return true;
    for (const char *at = tool->see_also; at && *at; at += strspn(at, ",; ")) {
        size_t length = strcspn(at, ",; ");
        if (length == n && memcmp(at, word, n) == 0)
            return !memchr(word, '/', n); // a document
        at += length;
    }
    return false;
}

// Indented text with its tools as they are called here; in an example, where they start a command.
static void print_names(const struct tool *tool, const char *indent, const char *text, bool example) {
    static const char gaps[] = " ,;|\n";
    fputs(indent, stdout);
    for (bool starts = true; *text;) {
        size_t n = strcspn(text, gaps);
        if (n > 0) {
            printf("%s%.*s", (starts || !example) && is_tool(tool, text, n) ? prefix : "", (int)n, text);
            starts = false;
            text += n;
            continue;
        }
        starts = *text == '|' || *text == '\n' || (starts && *text == ' ');
        putchar(*text);
        if (*text++ == '\n')
            fputs(indent, stdout);
    }
    putchar('\n');
}

static void print_help(const struct tool *tool, int uses) {
    struct option shared[SHARED_MOST];
    printf("%s%s - %s\n\n", prefix, tool->name, tool->purpose);
    const char *form = tool->synopsis ? tool->synopsis : "[OPTION]... [FILE]...";
    for (const char *lead = "Usage:"; *form; lead = "      ") {
        size_t n = strcspn(form, "\n");
        printf("%s %s%s %.*s\n", lead, prefix, tool->name, (int)n, form);
        form += form[n] ? n + 1 : n;
    }
    if (tool->description)
        printf("\n%s\n", tool->description);
    if (tool->options->name) {
        printf("\nOptions:\n");
        options_help(stdout, tool->options, NULL);
    }
    printf("\nCommon options:\n");
    collect_shared(uses, shared, false);
    options_help(stdout, shared, tool->options);
    printf("\nNumbers take K, M and G. No FILE, or -, is standard input.\n");
    if (tool->example) {
        printf("\nExample:\n");
        print_names(tool, "  ", tool->example, true);
    }
    if (tool->see_also) {
        printf("\nSee also: ");
        print_names(tool, "", tool->see_also, false);
    }
    printf(
        "\nExit status: 0 done, 1 system failure, 2 usage, 3 corrupt or incompatible input, 4 numeric failure\n");
}

static void print_version(const struct tool *tool) {
    printf("%s (tacit) %s\n", tool->name, tacit_version);
    printf("library: %s\nformats: stream %d\n", library_version, STREAM_FORMAT);
    char path[PATH_MAX];
    bool cuda = path_of_library("libtacit-cuda.so", path, sizeof path);
    printf("compiler: %s\nbackends: cpu%s\n", compiler, cuda ? " cuda" : "");
}

static void print_table(const struct tool *tool, int uses) {
    struct option shared[SHARED_MOST];
    collect_shared(uses, shared, false);
    options_list(stdout, tool->options, NULL);
    options_list(stdout, shared, tool->options);
}

// ---- main ----

// Give descriptors 0 to 2 something to be, in the wrong direction: otherwise a file opened later would take the
// number of a closed standard output, and text meant for it would be written into that file.
static void occupy_standard_descriptors(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
            continue;
        int opened = system_open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY, 0);
        if (opened >= 0 && opened != fd) {
            dup2(opened, fd);
            system_close(opened);
        }
    }
}

static int check_device(const char *device) {
    static const char cuda[] = "cuda:";
    int64_t number;
    if (strcmp(device, "auto") == 0 || strcmp(device, "cpu") == 0 || strcmp(device, "cuda") == 0)
        return OK;
    if (strncmp(device, cuda, sizeof cuda - 1) == 0 && parse_integer(device + sizeof cuda - 1, 0, &number) == OK &&
        number >= 0 && number < 1024)
        return OK;
    return error_set(ERROR_USAGE, "--device: '%s' is not auto, cpu, cuda or cuda:N", device);
}

static int settle_common(int uses) {
    common.verbose = verbose;
    if ((common.output && !*common.output) || (common.log && !*common.log))
        return error_set(ERROR_USAGE, "--%s: the name is empty",
                         common.output && !*common.output ? "output" : "log");
    if (wants_progress && wants_no_progress)
        return error_set(ERROR_USAGE, "--progress and --no-progress contradict each other");
    if (wants_progress)
        common.progress = PROGRESS_ON;
    else if (wants_no_progress || common.quiet)
        common.progress = PROGRESS_OFF;
    if (common.threads == 1)
        background_allow(false);
    return uses & TOOL_DEVICE ? check_device(common.device) : OK;
}

// Text still buffered, and what the kernel reports only at the end: both may fail on a full disk.
static int close_standard_output(void) {
    bool failed = ferror(stdout) != 0;
    errno = 0;
    if (fclose(stdout) != 0)
        failed = true;
    if (!failed)
        return OK;
    if (errno == 0)
        return error_set(ERROR_SYSTEM, "standard output: write failed");
    return error_set_errno(ERROR_SYSTEM, "standard output: write failed");
}

static int run(struct tool *tool, int uses, int argc, char **argv, char **operands) {
    struct option shared[SHARED_MOST];
    int count;
    collect_shared(uses, shared, true);
    int code = options_parse(tool->options, shared, argc, argv, &count, operands);
    if (wants_help)
        return print_help(tool, uses), OK;
    if (wants_version)
        return print_version(tool), OK;
    if (wants_table && code == OK)
        return print_table(tool, uses), OK;
    if (code == OK)
        code = settle_common(uses);
    if (code == OK)
        return tool->run(count, operands);
    if (code == ERROR_USAGE)
        error_set(code, "%s; try '%s%s --help'", error_message(), prefix, name);
    return code;
}

static void find_prefix(const char *called) {
    static const char installed[] = "tacit-";
    const char *slash = called ? strrchr(called, '/') : NULL, *word = slash ? slash + 1 : called;
    if (word && strncmp(word, installed, sizeof installed - 1) == 0)
        prefix = installed;
}

int tool_main(struct tool *tool, int uses, int argc, char **argv) {
    static struct option none[1];
    if (!tool->options)
        tool->options = none;
    name = tool->name;
    find_prefix(argv[0]);
    occupy_standard_descriptors();
    const char *device = getenv("TACIT_DEVICE");
    if (device && *device)
        common.device = device;
    char **operands = memory_new((size_t)argc + 1, sizeof *operands);
    int code = operands ? run(tool, uses, argc, argv, operands) : ERROR_SYSTEM;
    if (code == OK)
        code = close_standard_output();
    if (code != OK) {
        print_message(*error_message() ? error_message() : "failed");
        output_remove_unfinished();
    }
    options_release(tool->options);
    free(operands);
    return code;
}
