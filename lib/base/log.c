// The JSON-lines log of --log.
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/output.h"
#include "base/system.h"
#include "base/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static int log_descriptor = -1;
static bool keep;

void log_keep(void) {
    keep = true;
}

static int write_line(const char *text, size_t size) {
    while (size > 0) {
        ssize_t n = system_write(log_descriptor, text, size);
        if (n >= 0) {
            text += n;
            size -= (size_t)n;
        } else if (errno != EINTR) {
            return error_set_errno(ERROR_SYSTEM, "%s: write failed", common.log);
        }
    }
    return OK;
}

// A run that was killed may have left half a line; what follows starts a line of its own.
static int end_torn_line(void) {
    struct stat status;
    char last = '\n';
    if (system_fstat(log_descriptor, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0 &&
        system_pread(log_descriptor, &last, 1, status.st_size - 1) == 1 && last != '\n')
        return write_line("\n", 1);
    return OK;
}

static int open_log(void) {
    // Readable too, to see how the last line ended.
    int flags = O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | (keep ? 0 : O_TRUNC);
    log_descriptor = path_open(common.log, flags, 0666);
    if (log_descriptor < 0)
        return error_set_errno(ERROR_SYSTEM, "%s: cannot open the log", common.log);
    int code = end_torn_line();
    // A run that was killed while it dropped the lines beyond its last saved step may have left a copy.
    return code == OK ? output_clear_leftovers(common.log) : code;
}

int log_line(const char *json_text) {
    if (!common.log)
        return OK;
    int code = log_descriptor < 0 ? open_log() : OK;
    if (code != OK)
        return code;
    // Joined first: one write per line keeps lines whole when several runs append to one file.
    char *line = string_format("%s\n", json_text);
    code = line ? write_line(line, strlen(line)) : ERROR_SYSTEM;
    free(line);
    return code;
}
