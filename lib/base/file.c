// Inputs, directories and scratch files; outputs are in output.c.
#include "base/file.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/output.h"
#include "base/system.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    READ_CHUNK = 1 << 20,
    MOVE_PIECE = 64 << 10,
    PEEK_AGAIN = 10,   // milliseconds
    OLD = 365 * 86400, // 1971: older than any file, and not the time 0 that archives write
};

// ---- input ----

static bool is_standard(const char *path) {
    return !path || strcmp(path, "-") == 0;
}

// A fifo is opened when its other end is: time enough for a signal.
int path_open(const char *path, int flags, mode_t mode) {
    int fd;
    do
        fd = system_open(path, flags, mode);
    while (fd < 0 && errno == EINTR);
    return fd;
}

int input_open(int *fd, const char *path) {
    *fd = STDIN_FILENO;
    if (is_standard(path))
        return OK;
    *fd = path_open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY, 0);
    if (*fd < 0)
        return error_set_errno(ERROR_SYSTEM, "%s: cannot open", input_name(path));
    struct stat status;
    if (system_fstat(*fd, &status) == 0 && S_ISDIR(status.st_mode)) {
        system_close(*fd);
        *fd = -1;
        return error_set(ERROR_SYSTEM, "%s: is a directory", path);
    }
    return OK;
}

void input_close(int fd) {
    if (fd > STDIN_FILENO)
        system_close(fd);
}

const char *input_name(const char *path) {
    return is_standard(path) ? "standard input" : *path ? path : "''";
}

int input_read_some(int fd, void *data, size_t size, size_t *got) {
    ssize_t n;
    *got = 0;
    while ((n = system_read(fd, data, size)) < 0)
        if (errno != EINTR)
            return error_set_errno(ERROR_SYSTEM, "read failed");
    *got = (size_t)n;
    return OK;
}

int input_move_some(int fd, int to, uint64_t to_offset, size_t size, size_t *got) {
    uint8_t piece[MOVE_PIECE];
    off_t at = (off_t)to_offset;
    ssize_t n;
    *got = 0;
    while ((n = system_splice(fd, to, &at, size)) < 0 && errno == EINTR) {
    }
    if (n >= 0) {
        *got = (size_t)n;
        return OK;
    }
    if (errno != EINVAL)
        return error_set_errno(ERROR_SYSTEM, "cannot copy to a temporary file");
    int code = input_read_some(fd, piece, size < sizeof piece ? size : sizeof piece, got); // no pipe
    return code == OK ? descriptor_write_at(to, to_offset, piece, *got) : code;
}

int input_read(int fd, void *data, size_t size, size_t *got) {
    size_t piece = 1;
    int code = OK;
    *got = 0;
    while (code == OK && *got < size && piece > 0) {
        code = input_read_some(fd, (uint8_t *)data + *got, size - *got, &piece);
        *got += piece;
    }
    return code;
}

int input_read_at(int fd, uint64_t offset, void *data, size_t size, size_t *got) {
    uint8_t *bytes = data;
    *got = 0;
    if (offset > INT64_MAX || size > INT64_MAX - offset)
        return error_set(ERROR_INPUT, "offset %llu is beyond any file", (unsigned long long)offset);
    while (*got < size) {
        ssize_t n = system_pread(fd, bytes + *got, size - *got, (off_t)(offset + *got));
        if (n == 0)
            break;
        if (n > 0)
            *got += (size_t)n;
        else if (errno != EINTR)
            return error_set_errno(ERROR_SYSTEM, "read failed");
    }
    return OK;
}

// What is copied to another pipe stays in this one. Nothing tells when more than its first bytes are there, so it
// is tried again until they are enough or no other process can write.
static int peek_pipe(int fd, const int ends[2], void *data, size_t size, size_t *got) {
    struct pollfd writers = {.fd = fd};
    bool ended = false;
    for (int wait = 0; *got < size && !ended; wait = PEEK_AGAIN) {
        ended = poll(&writers, 1, wait) > 0; // POLLHUP is told unasked
        ssize_t n = system_tee(fd, ends[1], size);
        if (n < 0 && errno == EINVAL)
            return OK;
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return error_set_errno(ERROR_SYSTEM, "read failed");
        ended = ended && n >= 0;
        int code = n > 0 ? input_read(ends[0], data, (size_t)n, got) : OK;
        if (code != OK)
            return code;
    }
    return OK;
}

int input_peek(int fd, void *data, size_t size, size_t *got) {
    off_t at = lseek(fd, 0, SEEK_CUR);
    int ends[2];
    *got = 0;
    if (at >= 0)
        return input_read_at(fd, (uint64_t)at, data, size, got);
    if (system_pipe(ends) != 0)
        return error_set_errno(ERROR_SYSTEM, "cannot make a pipe");
    int code = peek_pipe(fd, ends, data, size, got);
    system_close(ends[0]);
    system_close(ends[1]);
    return code;
}

static int read_whole(int fd, size_t limit, struct buffer *out) {
    struct stat status;
    size_t chunk = READ_CHUNK;
    // One allocation for a regular file; the size is a hint only, /proc reports 0 and files may grow.
    if (system_fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0 &&
        (uint64_t)status.st_size <= limit)
        chunk = (size_t)status.st_size + 1;
    for (;;) {
        size_t got, room = limit - out->size < chunk ? limit - out->size + 1 : chunk;
        int code = buffer_reserve(out, room + 1);
        if (code == OK)
            code = input_read(fd, out->data + out->size, room, &got);
        if (code != OK)
            return code;
        out->size += got;
        if (out->size > limit)
            return error_set(ERROR_INPUT, "larger than the permitted %zu bytes", limit);
        if (got < room)
            return OK;
        chunk = READ_CHUNK;
    }
}

int file_read(const char *path, size_t limit, struct buffer *out) {
    int fd;
    buffer_clear(out);
    int code = input_open(&fd, path);
    if (code != OK)
        return code;
    code = read_whole(fd, limit < SIZE_MAX / 4 ? limit : SIZE_MAX / 4, out);
    input_close(fd);
    if (code != OK)
        return error_prefix(code, "%s", input_name(path));
    out->data[out->size] = 0;
    return OK;
}

int file_size(int fd, uint64_t *size) {
    struct stat status;
    if (system_fstat(fd, &status) != 0)
        return error_set_errno(ERROR_SYSTEM, "cannot stat");
    if (!S_ISREG(status.st_mode))
        return error_set(ERROR_SYSTEM, "not a regular file");
    *size = (uint64_t)status.st_size;
    return OK;
}

// ---- directories ----

int directory_make(const char *path) {
    char *partial = string_copy(path);
    if (!partial)
        return ERROR_SYSTEM;
    int code = OK;
    for (char *p = partial + 1; code == OK && *partial; p++) {
        char kept = *p;
        if (kept != '/' && kept)
            continue;
        *p = 0;
        // Another process may make the same folder at this moment, so only the outcome counts.
        if (system_mkdir(partial, 0777) != 0 && (errno != EEXIST || !path_is_directory(partial)))
            code = error_set_errno(ERROR_SYSTEM, "%s: cannot make the directory", partial);
        *p = kept;
        if (!kept)
            break;
    }
    free(partial);
    return code;
}

int descriptor_sync(int fd) {
    int result;
    do
        result = system_fsync(fd);
    while (result != 0 && errno == EINTR);
    // Some file systems know no fsync; everything else that it reports is a lost write.
    return result != 0 && errno != EINVAL && errno != ENOTSUP ? -1 : 0;
}

bool descriptor_has_name(int fd) {
    struct stat status;
    return system_fstat(fd, &status) != 0 || status.st_nlink > 0;
}

int directory_sync(const char *path) {
    int fd = path_open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0) {
        // A folder may be writable and searchable without being readable; its entries are then left to the kernel.
        return errno == EACCES ? OK : error_set_errno(ERROR_SYSTEM, "%s: cannot open the directory", path);
    }
    int code = OK;
    if (descriptor_sync(fd) != 0)
        code = error_set_errno(ERROR_SYSTEM, "%s: cannot sync the directory", path);
    system_close(fd);
    return code;
}

int path_sync_parent(const char *path) {
    char *parent = path_parent(path);
    int code = parent ? directory_sync(parent) : ERROR_SYSTEM;
    free(parent);
    return code;
}

int directory_each(const char *path, int (*visit)(void *context, const char *entry, const char *name),
                   void *context) {
    DIR *directory = system_opendir(path);
    if (!directory)
        return error_set_errno(ERROR_SYSTEM, "%s: cannot read the directory", path);
    int code = OK;
    for (struct dirent *entry; errno = 0, code == OK && (entry = system_readdir(directory));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        char full[PATH_MAX]; // a removal needs no memory
        if ((size_t)snprintf(full, sizeof full, "%s/%s", path, entry->d_name) >= sizeof full)
            code = error_set(ERROR_SYSTEM, "%s/%s: name too long", path, entry->d_name);
        else
            code = visit(context, full, entry->d_name);
    }
    if (code == OK && errno != 0)
        code = error_set_errno(ERROR_SYSTEM, "%s: cannot read the directory", path);
    system_closedir(directory);
    return code;
}

static int remove_entry(void *context, const char *path, const char *name) {
    (void)context;
    (void)name;
    return directory_remove(path);
}

int directory_remove(const char *path) {
    struct stat status;
    if (system_lstat(path, &status) != 0)
        return errno == ENOENT ? OK : error_set_errno(ERROR_SYSTEM, "%s: cannot remove", path);
    bool directory = S_ISDIR(status.st_mode);
    int code = directory ? directory_each(path, remove_entry, NULL) : OK;
    if (code == OK && (directory ? system_rmdir(path) : system_unlink(path)) != 0 && errno != ENOENT)
        code = error_set_errno(ERROR_SYSTEM, "%s: cannot remove", path);
    return code;
}

bool path_exists(const char *path) {
    struct stat status;
    // What cannot be looked at counts as there: whoever opens it will say why.
    return system_stat(path, &status) == 0 || (errno != ENOENT && errno != ENOTDIR && errno != ELOOP);
}

bool path_of_library(const char *name, char *path, size_t size) {
    static const char *const folders[] = {"", "../lib/", "../lib/tacit/"};
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = 0;
    char *slash = strrchr(self, '/');
    if (!slash)
        return false;
    slash[1] = 0;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        int length = snprintf(path, size, "%s%s%s", self, folders[i], name);
        if (length > 0 && (size_t)length < size && path_exists(path))
            return true;
    }
    return false;
}

bool path_is_directory(const char *path) {
    struct stat status;
    return system_stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

bool path_is_input(const char *output, const char *input) {
    struct stat a, b;
    int failed = is_standard(output) ? system_fstat(STDOUT_FILENO, &a) : system_stat(output, &a);
    if (failed || !S_ISREG(a.st_mode))
        return false;
    failed = is_standard(input) ? system_fstat(STDIN_FILENO, &b) : system_stat(input, &b);
    return !failed && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

char *path_join(const char *a, const char *b) {
    size_t n = strlen(a);
    return string_format("%s%s%s", a, n > 0 && a[n - 1] == '/' ? "" : "/", b);
}

char *path_parent(const char *path) {
    const char *slash = strrchr(path, '/');
    return !slash ? string_copy(".") : string_copy_n(path, slash == path ? 1 : (size_t)(slash - path));
}

int path_rename(const char *from, const char *to) {
    return system_rename(from, to) == 0 ? OK : error_set_errno(ERROR_SYSTEM, "%s: cannot rename to %s", from, to);
}

// ---- times ----

void path_make_old(const char *path) {
    const struct timespec old = {.tv_sec = OLD};
    (void)system_touch(path, (struct timespec[2]){old, old});
}

bool path_is_old(const char *path) {
    struct stat status;
    return system_stat(path, &status) == 0 && status.st_mtim.tv_sec == OLD;
}

int path_touch(const char *path, const char *like) {
    struct stat status;
    if (like && system_stat(like, &status) != 0)
        return error_set_errno(ERROR_SYSTEM, "%s: cannot stat", like);
    const struct timespec *times = like ? (struct timespec[2]){status.st_atim, status.st_mtim} : NULL;
    return system_touch(path, times) == 0 ? OK : error_set_errno(ERROR_SYSTEM, "%s: cannot touch", path);
}

// ---- scratch ----

int scratch_open(int *fd) {
    const char *folder = getenv("TMPDIR");
    if (!folder || !*folder)
        folder = "/tmp";
    *fd = path_open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (*fd >= 0)
        return OK;
    // Not every file system has anonymous files.
    if (errno != ENOTSUP && errno != EISDIR && errno != EINVAL)
        return error_set_errno(ERROR_SYSTEM, "%s: cannot make a temporary file", folder);
    char *name = string_format("%s/tacit.XXXXXX", folder);
    if (!name)
        return ERROR_SYSTEM;
    *fd = system_mkostemp(name, O_CLOEXEC);
    int code = *fd < 0 ? error_set_errno(ERROR_SYSTEM, "%s: cannot make a temporary file", folder) : OK;
    if (code == OK)
        system_unlink(name);
    free(name);
    return code;
}

void scratch_forget(int fd, uint64_t offset, uint64_t size) {
    (void)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)size);
}

int descriptor_write_at(int fd, uint64_t offset, const void *data, size_t size) {
    const uint8_t *bytes = data;
    while (size > 0) {
        ssize_t n = system_pwrite(fd, bytes, size, (off_t)offset);
        if (n > 0) {
            bytes += n;
            offset += (uint64_t)n;
            size -= (size_t)n;
        } else if (n == 0 || errno != EINTR) {
            return error_set_errno(ERROR_SYSTEM, "write failed");
        }
    }
    return OK;
}
