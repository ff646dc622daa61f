// A tool with one option of every type, for test/base.bats: it prints what it parsed, or does one of the things
// that the common contract speaks of.
#include "base/error.h"
#include "base/file.h"
#include "base/tool.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum mode { MODE_PRINT, MODE_COPY, MODE_WAIT, MODE_FAIL, MODE_LOG, MODE_PROGRESS };
static const char *const modes[] = {"print", "copy", "wait", "fail", "log", "progress", NULL};

static bool flag, keep_log;
static int mode = MODE_PRINT;
static int64_t count = 10, unset = -1, bytes = 256 << 20, code = ERROR_INPUT;
static double rate = 5e-4;
static const char *label;
static struct string_list models;
static struct range sequences = {0, INT64_MAX};

static struct option options[] = {
    {.name = "flag", .letter = 'f', .type = OPTION_FLAG, .value = &flag, .help = "a flag"},
    {.name = "keep-log", .type = OPTION_FLAG, .value = &keep_log, .help = "go on with the log"},
    {.name = "mode", .type = OPTION_CHOICE, .value = &mode, .choices = modes, .help = "what to do"},
    {.name = "count",
     .letter = 'n',
     .type = OPTION_INTEGER,
     .value = &count,
     .low = 1,
     .high = 1e6,
     .help = "a number"},
    {.name = "unset", .type = OPTION_INTEGER, .value = &unset, .high = 9, .help = "a number without a default"},
    {.name = "memory", .type = OPTION_SIZE, .value = &bytes, .help = "a number of bytes"},
    {.name = "rate", .type = OPTION_NUMBER, .value = &rate, .high = 1, .help = "a real number"},
    {.name = "label", .type = OPTION_STRING, .value = &label, .argument = "NAME", .help = "a string"},
    {.name = "model", .letter = 'm', .type = OPTION_LIST, .value = &models, .argument = "CKPT", .help = "a list"},
    {.name = "sequences", .type = OPTION_RANGE, .value = &sequences, .help = "a range"},
    {.name = "code", .type = OPTION_INTEGER, .value = &code, .high = 9, .help = "how --mode fail fails"},
    {0},
};

static void print_values(int n, char **operands) {
    printf("flag=%d mode=%s count=%" PRId64 " unset=%" PRId64 " memory=%" PRId64 " rate=%g\n", flag, modes[mode],
           count, unset, bytes, rate);
    printf("label=%s sequences=%" PRId64 "..%" PRId64 " given=%d\n", label ? label : "(none)", sequences.begin,
           sequences.end, option_given(options, "count"));
    printf("device=%s threads=%" PRId64 " seed=%" PRId64 " quiet=%d verbose=%" PRId64 "\n", common.device,
           common.threads, common.seed, common.quiet, common.verbose);
    for (int i = 0; i < models.count; i++)
        printf("model=%s\n", models.items[i]);
    for (int i = 0; i < n; i++)
        printf("operand=%s\n", operands[i]);
    tool_notice("a notice");
    tool_verbose("a detail");
}

// Copy the first operand to the output; with `wait`, stop before the commit until a signal comes.
static int copy(const char *path, bool wait) {
    static char data[1 << 16];
    struct output *out;
    size_t got = sizeof data;
    int fd;
    int result = input_open(&fd, path);
    if (result != OK)
        return result;
    result = output_open(&out, common.output, true);
    if (result != OK)
        return result;
    while (result == OK && got == sizeof data) {
        result = input_read(fd, data, sizeof data, &got);
        if (result == OK)
            result = output_write(out, data, got);
    }
    input_close(fd);
    if (result != OK) {
        output_abort(out);
        return result;
    }
    if (wait) {
        printf("waiting\n");
        fflush(stdout);
        pause();
    }
    return output_commit(out);
}

// An unfinished output is left behind on purpose: tool_main removes it.
static int fail(void) {
    static struct output *out;
    int result = output_open(&out, common.output, false);
    if (result != OK)
        return result;
    return error_set((int)code, "a.tok: frame 17 at byte 4194304: \"bad\nhash\"");
}

static int write_log(int n, char **operands) {
    if (keep_log)
        log_keep();
    int result = OK;
    for (int i = 0; result == OK && i < n; i++)
        result = log_line(operands[i]);
    return result;
}

static void show_progress(void) {
    struct progress progress;
    progress_start(&progress, tool_name(), "tokens", 3e6, common.progress);
    progress.start -= 2; // as if two seconds had passed
    progress.last -= 3;
    progress_update(&progress, 1e6, "loss 1.234");
    progress_update(&progress, 2e6, "too soon");
    progress_finish(&progress);
}

static int run(int n, char **operands) {
    switch ((enum mode)mode) {
    case MODE_PRINT:
        print_values(n, operands);
        return OK;
    case MODE_COPY:
    case MODE_WAIT:
        return copy(n > 0 ? operands[0] : NULL, mode == MODE_WAIT);
    case MODE_FAIL:
        return fail();
    case MODE_LOG:
        return write_log(n, operands);
    case MODE_PROGRESS:
        show_progress();
        return OK;
    }
    return error_set(ERROR_USAGE, "mode %d", mode);
}

int main(int argc, char **argv) {
    static struct tool tool = {
        .name = "base_tool",
        .purpose = "show the common contract",
        .synopsis = "[OPTION]... [FILE]...\n--mode copy [FILE] -o FILE",
        .description = "One paragraph\non two lines.",
        .example = "base_tool -n 5 --label x a b",
        .see_also = "route, view",
        .options = options,
        .run = run,
    };
    int all = TOOL_OUTPUT | TOOL_DEVICE | TOOL_THREADS | TOOL_SEED | TOOL_PROGRESS | TOOL_LOG;
    return tool_main(&tool, all, argc, argv);
}
