// Outputs: buffered bytes to standard output, to a special file, or to a temporary file that is renamed.
#include "base/output.h"
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/system.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { BUFFER_SIZE = 256 * 1024, UNFINISHED_MOST = 4096, NAME_TRIES = 1000, SYNC_SIZE = 8 << 20 };

struct output {
    int fd, slot;               // slot in `unfinished`, or -1
    bool owns_fd;               // false for standard output
    int failure;                // errno of the write that failed: later ones fail with it too
    int lock;                   // a second descriptor of the file, or -1
    bool placed, traded, alone; // it has the name; an old file has the temporary one; there was no old file
    bool aged;                  // the new one seems old
    char *path;                 // as given; NULL for standard output
    char *target;               // where the rename goes: path with symbolic links followed
    char *temporary;            // the file under construction; owned by `unfinished` once registered
    off_t written, syncing;     // bytes of the file: so far, and those on their way to the disk
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
            system_unlink(name);
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
        system_close(out->fd);
    if (out->lock >= 0)
        system_close(out->lock);
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

// ---- names ----

static char *name_temporary(const char *target) {
    static atomic_uint serial;
    return string_format("%s.tmp.%ld.%u", target, (long)getpid(), atomic_fetch_add(&serial, 1));
}

// How much of such a name is the target's, and which process gave it; 0: it is none.
static size_t target_size(const char *temporary, long *pid) {
    const char *mark = NULL;
    for (const char *p = temporary; (p = strstr(p, ".tmp.")); p++)
        mark = p;
    unsigned serial;
    int end = 0;
    bool whole = mark && sscanf(mark, ".tmp.%ld.%u%n", pid, &serial, &end) == 2 && end > 0 && !mark[end];
    return whole ? (size_t)(mark - temporary) : 0;
}

bool path_is_unfinished(const char *path) {
    long pid;
    return target_size(path, &pid) > 0 && pid == (long)getpid();
}

// ---- what a killed writer left ----

// Its writer holds a lock on it for as long as it lives, wherever it runs.
static void remove_leftover(const char *path) {
    struct stat status;
    int fd = path_open(path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (system_flock(fd, LOCK_EX | LOCK_NB) == 0 && system_fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
        descriptor_has_name(fd))
        system_unlink(path);
    system_close(fd);
}

int output_clear_leftovers(const char *target) {
    const char *slash = strrchr(target, '/'), *base = slash ? slash + 1 : target;
    char *folder = path_parent(target);
    if (!folder)
        return ERROR_SYSTEM;
    // A folder that cannot be read can still be written to.
    DIR *directory = system_opendir(folder);
    int code = OK;
    for (struct dirent *entry; code == OK && directory && (entry = system_readdir(directory));) {
        long pid;
        if (target_size(entry->d_name, &pid) != strlen(base) || strncmp(entry->d_name, base, strlen(base)) != 0)
            continue;
        char *path = path_join(folder, entry->d_name);
        code = path ? OK : ERROR_SYSTEM;
        if (path)
            remove_leftover(path);
        free(path);
    }
    if (directory)
        system_closedir(directory);
    free(folder);
    return code;
}

// False where another process, clearing, got between the creation and the lock, and removed the file. A file
// system without locks leaves it unlocked, and nothing is cleared there.
static bool lock_temporary(int fd) {
    int result;
    do
        result = system_flock(fd, LOCK_EX);
    while (result != 0 && errno == EINTR);
    return result != 0 || descriptor_has_name(fd);
}

// ---- a file under construction ----

static int open_temporary(struct output *out) {
    char *real = system_realpath(out->path); // a symbolic link stays, the file that it names is replaced
    if (!real && errno == ENOMEM)
        return error_set_errno(ERROR_SYSTEM, "%s: cannot create", out->path);
    out->target = real ? real : string_copy(out->path);
    int code = out->target ? output_clear_leftovers(out->target) : ERROR_SYSTEM;
    if (code != OK)
        return code;
    for (int try = 0; try < NAME_TRIES; try++) {
        free(out->temporary);
        out->temporary = name_temporary(out->target);
        if (!out->temporary)
            return ERROR_SYSTEM;
        out->fd = path_open(out->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (out->fd >= 0 ? lock_temporary(out->fd) : errno != EEXIST)
            break;
        if (out->fd >= 0)
            system_close(out->fd);
        out->fd = -1;
        errno = EEXIST;
    }
    if (out->fd < 0) {
        const char *advice = errno == ENOENT ? "; make its folder first" : "";
        error_set_errno(ERROR_SYSTEM, "%s: cannot create", out->path);
        return error_set(ERROR_SYSTEM, "%s%s", error_message(), advice);
    }
    code = unfinished_add(out);
    if (code != OK)
        system_unlink(out->temporary);
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
    else if (system_stat(out->path, &status) == 0 && !S_ISREG(status.st_mode))
        out->fd = path_open(out->path, O_WRONLY | O_CLOEXEC | O_NOCTTY, 0);
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
    out->slot = out->lock = -1;
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

// The disk gets to work while more is made, so that the sync at the end has little left to wait for. That sync
// tells of any error, too.
static void start_sync(struct output *out) {
    if (!out->temporary || out->written - out->syncing < SYNC_SIZE)
        return;
    (void)system_start_sync(out->fd, out->syncing, out->written - out->syncing);
    out->syncing = out->written;
}

static int write_all(struct output *out, const uint8_t *data, size_t size) {
    out->written += (off_t)size;
    while (size > 0) {
        ssize_t n = system_write(out->fd, data, size);
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
    start_sync(out);
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
    if (code == OK && out->temporary && descriptor_sync(out->fd) != 0)
        code = error_set_errno(ERROR_SYSTEM, "%s: write failed", output_name(out));
    return code;
}

// ---- committing ----

static int sync_and_close(struct output *out) {
    int code = output_sync(out);
    int fd = out->fd;
    out->fd = -1;
    if (out->owns_fd && system_close(fd) != 0 && code == OK && errno != EINTR)
        code = error_set_errno(ERROR_SYSTEM, "%s: write failed", output_name(out));
    return code;
}

// The new file takes the name. It trades places with an old one, which goes only when all is known to be on disk.
// Until then the new one seems old.
static int put_in_place(struct output *out) {
    out->aged = path_exists(out->target);
    if (out->aged)
        path_make_old(out->temporary);
    out->traded = system_exchange(out->temporary, out->target) == 0;
    out->alone = !out->traded && errno == ENOENT;
    bool able = out->traded || (errno != EINVAL && errno != ENOSYS && errno != ENOTSUP);
    if (!out->traded && ((able && !out->alone) || system_rename(out->temporary, out->target) != 0))
        return error_set_errno(ERROR_SYSTEM, "%s: cannot rename %s to it", out->path, out->temporary);
    out->placed = true;
    return OK;
}

// The old file is back, or none is there; not where the file system could not trade.
static void take_back(struct output *out, int code) {
    if (out->placed && (out->traded  ? system_exchange(out->temporary, out->target) != 0
                        : out->alone ? system_unlink(out->target) != 0
                                     : true))
        error_prefix(code, "%s: is the new file, but a power cut may lose it", out->path);
}

static void settle(struct output *out) {
    if (out->traded)
        system_unlink(out->temporary);
    if (out->aged)
        (void)path_touch(out->target, NULL); // at worst make does it once more
    unfinished_drop(out);
    output_free(out);
}

int output_commit_all(struct output **outs, int count) {
    int code = OK;
    for (int i = 0; i < count && code == OK; i++) {
        // A second descriptor keeps the lock until the temporary name is gone.
        outs[i]->lock = outs[i]->temporary ? fcntl(outs[i]->fd, F_DUPFD_CLOEXEC, 0) : -1;
        code = sync_and_close(outs[i]);
    }
    for (int i = 0; i < count && code == OK; i++)
        code = outs[i]->temporary ? put_in_place(outs[i]) : OK;
    for (int i = 0; i < count && code == OK; i++)
        code = outs[i]->temporary ? path_sync_parent(outs[i]->target) : OK;
    for (int i = count; i-- > 0 && code != OK;) {
        take_back(outs[i], code);
        output_abort(outs[i]);
    }
    for (int i = 0; i < count && code == OK; i++)
        settle(outs[i]);
    return code;
}

int output_commit(struct output *out) {
    return output_commit_all(&out, 1);
}

void output_abort(struct output *out) {
    if (!out)
        return;
    if (out->temporary && out->slot >= 0)
        system_unlink(out->temporary);
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
