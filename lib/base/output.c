// Outputs: buffered bytes to standard output, to a special file, or to a temporary file that is renamed.
#include "base/output.h"
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUFFER_SIZE = 256 * 1024, UNFINISHED_MOST = 4096, NAME_TRIES = 1000 };

struct output {
    int fd, slot;    // slot in `unfinished`, or -1
    bool owns_fd;    // false for standard output
    int failure;     // errno of the write that failed: later ones fail with it too
    char *path;      // as given; NULL for standard output
    char *target;    // where the rename goes: path with symbolic links followed
    char *temporary; // the file under construction; owned by `unfinished` once registered
    size_t used;
    uint8_t *buffer;
};

// ---- temporary names, removed on signals ----

// A name is owned by whoever swaps it out of the table: the output when it is done, or a handler in a process
// that is about to die. So a handler never reads freed memory.
static _Atomic(char *) unfinished[UNFINISHED_MOST];

void output_remove_unfinished(void) {
    for (int i = 0; i < UNFINISHED_MOST; i++) {
        if (!atomic_load(&unfinished[i]))
            continue;
        char *name = atomic_exchange(&unfinished[i], NULL);
        if (name)
            unlink(name);
    }
}

static void die(int number) {
    output_remove_unfinished();
    signal(number, SIG_DFL);
    raise(number);
}

static void install_handlers(void) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGXFSZ};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction action;
        // What the parent ignored stays ignored, and a tool's own handler stays.
        if (sigaction(numbers[i], NULL, &action) != 0 || action.sa_handler != SIG_DFL)
            continue;
        memset(&action, 0, sizeof action);
        action.sa_handler = die;
        action.sa_flags = SA_NODEFER;
        sigaction(numbers[i], &action, NULL);
    }
}

static int unfinished_add(struct output *out) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install_handlers);
    for (int i = 0; i < UNFINISHED_MOST; i++) {
        char *empty = NULL;
        if (atomic_compare_exchange_strong(&unfinished[i], &empty, out->temporary)) {
            out->slot = i;
            return OK;
        }
    }
    return error_set(ERROR_SYSTEM, "%s: too many files under construction", out->path);
}

static void unfinished_drop(struct output *out) {
    if (out->slot >= 0)
        free(atomic_exchange(&unfinished[out->slot], NULL));
    else
        free(out->temporary);
    out->slot = -1;
    out->temporary = NULL;
}

// ---- opening ----

static void output_free(struct output *out) {
    if (out->owns_fd && out->fd >= 0)
        close(out->fd);
    unfinished_drop(out);
    free(out->path);
    free(out->target);
    free(out->buffer);
    free(out);
}

// A path that names an open descriptor (/dev/stdout, /dev/fd/3): its number, or -1. Renaming over such a
// name would leave the descriptor's file empty.
static int descriptor_of(const char *path) {
    if (strcmp(path, "/dev/stdout") == 0)
        return STDOUT_FILENO;
    if (strcmp(path, "/dev/stderr") == 0)
        return STDERR_FILENO;
    int fd, end = 0;
    if ((sscanf(path, "/dev/fd/%d%n", &fd, &end) == 1 && end > 0 && !path[end]) ||
        (end = 0, sscanf(path, "/proc/self/fd/%d%n", &fd, &end) == 1 && end > 0 && !path[end]))
        return fd;
    return -1;
}

static int open_temporary(struct output *out) {
    static atomic_uint serial;
    char *real = realpath(out->path, NULL); // a symbolic link stays, the file that it names is replaced
    out->target = real ? real : string_copy(out->path);
    if (!out->target)
        return ERROR_SYSTEM;
    for (int try = 0; try < NAME_TRIES; try++) {
        free(out->temporary);
        out->temporary = string_format("%s.tmp.%ld.%u", out->target, (long)getpid(), atomic_fetch_add(&serial, 1));
        if (!out->temporary)
            return ERROR_SYSTEM;
        out->fd = open(out->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (out->fd >= 0 || errno != EEXIST)
            break;
    }
    if (out->fd < 0) {
        const char *advice = errno == ENOENT ? "; make its folder first" : "";
        error_set_errno(ERROR_SYSTEM, "%s: cannot create", out->path);
        return error_set(ERROR_SYSTEM, "%s%s", error_message(), advice);
    }
    int code = unfinished_add(out);
    if (code != OK)
        unlink(out->temporary);
    return code;
}

static int open_path(struct output *out) {
    struct stat status;
    out->owns_fd = true;
    int fd = descriptor_of(out->path);
    if (fd >= 0)
        out->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    else if (path_is_directory(out->path))
        return error_set(ERROR_SYSTEM, "%s: is a directory; -o names a file", out->path);
    else if (stat(out->path, &status) == 0 && !S_ISREG(status.st_mode))
        out->fd = open(out->path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    else
        return open_temporary(out);
    return out->fd < 0 ? error_set_errno(ERROR_SYSTEM, "%s: cannot open for writing", out->path) : OK;
}

int output_open(struct output **result, const char *path, bool binary) {
    *result = NULL;
    struct output *out = memory_new(1, sizeof *out);
    if (!out)
        return ERROR_SYSTEM;
    out->fd = STDOUT_FILENO;
    out->slot = -1;
    int code = OK;
    if (path && strcmp(path, "-") != 0) {
        out->fd = -1;
        out->path = string_copy(path);
        code = out->path ? open_path(out) : ERROR_SYSTEM;
    }
    if (code == OK && binary && isatty(out->fd))
        code = error_set(ERROR_USAGE, "%s: is a terminal, and the output is binary: use -o FILE, or a pipe",
                         output_name(out));
    if (code == OK && !(out->buffer = memory_new_aligned(BUFFER_SIZE)))
        code = ERROR_SYSTEM;
    if (code != OK) {
        output_abort(out);
        return code;
    }
    *result = out;
    return OK;
}

const char *output_name(const struct output *out) {
    return out->path ? out->path : "standard output";
}

// ---- writing ----

static int write_failed(const struct output *out) {
    errno = out->failure;
    return error_set_errno(ERROR_SYSTEM, "%s: write failed", output_name(out));
}

static int write_all(struct output *out, const uint8_t *data, size_t size) {
    while (size > 0) {
        ssize_t n = write(out->fd, data, size);
        if (n > 0) {
            data += n;
            size -= (size_t)n;
        } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            // A shared terminal or pipe may have been made non-blocking by a neighbour.
            struct pollfd ready = {.fd = out->fd, .events = POLLOUT};
            poll(&ready, 1, -1);
        } else if (n == 0 || errno != EINTR) {
            out->failure = errno;
            return write_failed(out);
        }
    }
    return OK;
}

static int flush(struct output *out) {
    size_t used = out->used;
    out->used = 0;
    return write_all(out, out->buffer, used);
}

int output_write(struct output *out, const void *data, size_t size) {
    if (out->failure != 0)
        return write_failed(out);
    if (size > BUFFER_SIZE - out->used) {
        int code = flush(out);
        if (code != OK)
            return code;
    }
    if (size >= BUFFER_SIZE)
        return write_all(out, data, size);
    if (size > 0)
        memcpy(out->buffer + out->used, data, size);
    out->used += size;
    return OK;
}

int output_sync(struct output *out) {
    int code = out->failure != 0 ? write_failed(out) : flush(out);
    // Some file systems know no fsync; everything else that it reports is a lost write.
    if (code == OK && out->temporary && fsync(out->fd) != 0 && errno != EINVAL && errno != ENOTSUP)
        code = error_set_errno(ERROR_SYSTEM, "%s: write failed", output_name(out));
    return code;
}

static int sync_and_close(struct output *out) {
    int code = output_sync(out);
    int fd = out->fd;
    out->fd = -1;
    if (out->owns_fd && close(fd) != 0 && code == OK && errno != EINTR)
        code = error_set_errno(ERROR_SYSTEM, "%s: write failed", output_name(out));
    return code;
}

int output_commit(struct output *out) {
    int code = sync_and_close(out);
    if (code == OK && out->temporary) {
        if (rename(out->temporary, out->target) != 0)
            code = error_set_errno(ERROR_SYSTEM, "%s: cannot rename %s to it", out->path, out->temporary);
        else if ((code = path_sync_parent(out->target)) == OK)
            unfinished_drop(out);
    }
    if (code != OK)
        output_abort(out);
    else
        output_free(out);
    return code;
}

void output_abort(struct output *out) {
    if (!out)
        return;
    if (out->temporary && out->slot >= 0)
        unlink(out->temporary);
    output_free(out);
}

int file_write(const char *path, const void *data, size_t size) {
    struct output *out;
    int code = output_open(&out, path, false);
    if (code != OK)
        return code;
    code = output_write(out, data, size);
    if (code != OK) {
        output_abort(out);
        return code;
    }
    return output_commit(out);
}
