#include "train/folder.h"
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_SIZE = 40 };

// ---- the lock ----

static int refuse_holder(const struct folder *f, int fd) {
    char pid[NAME_SIZE] = "";
    size_t got = 0;
    if (input_read_at(fd, 0, pid, sizeof pid - 1, &got) != OK)
        got = 0;
    pid[got] = 0;
    pid[strcspn(pid, "\n")] = 0;
    return error_set(ERROR_SYSTEM, "%s: process %s is training here", f->part, *pid ? pid : "(unknown)");
}

// Whether the locked file is still the one that the name leads to: a run that ended removed its own.
static bool is_in_place(int fd, const char *path) {
    struct stat mine, there;
    return fstat(fd, &mine) == 0 && stat(path, &there) == 0 && mine.st_ino == there.st_ino &&
           mine.st_dev == there.st_dev;
}

static int write_holder(int fd, const char *path) {
    char pid[NAME_SIZE];
    int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0)
        return error_set_errno(ERROR_SYSTEM, "%s: cannot write", path);
    return descriptor_write_at(fd, 0, pid, (size_t)n);
}

static int take_lock(struct folder *f) {
    char *path = path_join(f->part, "lock");
    int code = path ? OK : ERROR_SYSTEM;
    while (code == OK && f->lock < 0) {
        code = directory_make(f->part);
        if (code != OK)
            break;
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0 && errno == ENOENT)
            continue; // the folder went away in between
        if (fd < 0)
            code = error_set_errno(ERROR_SYSTEM, "%s: cannot open", path);
        else if (flock(fd, LOCK_EX | LOCK_NB) != 0)
            code = errno == EWOULDBLOCK ? refuse_holder(f, fd)
                                        : error_set_errno(ERROR_SYSTEM, "%s: cannot lock", path);
        else if (is_in_place(fd, path))
            f->lock = fd;
        if (fd >= 0 && f->lock != fd)
            close(fd);
    }
    if (code == OK)
        code = write_holder(f->lock, path);
    free(path);
    return code;
}

// ---- generations ----

static void generation_name(char name[NAME_SIZE], int64_t step) {
    snprintf(name, NAME_SIZE, "step-%" PRId64, step);
}

// The step of a generation's name, -1 where it is none.
static int64_t generation_step(const char *name) {
    int64_t step;
    int end = 0;
    if (sscanf(name, "step-%" SCNd64 "%n", &step, &end) == 1 && end > 0 && !name[end] && step >= 0)
        return step;
    return -1;
}

int64_t folder_step(const struct folder *f) {
    return f->current ? generation_step(strrchr(f->current, '/') + 1) : -1;
}

static int compare_steps(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

// The steps of all generations in CKPT.part, rising; free() them.
static int list_generations(const struct folder *f, int64_t **steps, size_t *count) {
    DIR *directory = opendir(f->part);
    *steps = NULL;
    *count = 0;
    if (!directory)
        return error_set_errno(ERROR_SYSTEM, "%s: cannot read", f->part);
    int code = OK;
    for (struct dirent *entry; code == OK && (entry = readdir(directory));) {
        int64_t step = generation_step(entry->d_name);
        if (step < 0)
            continue;
        code = memory_resize(steps, *count + 1, sizeof **steps);
        if (code == OK)
            (*steps)[(*count)++] = step;
    }
    closedir(directory);
    if (code == OK && *count > 0)
        qsort(*steps, *count, sizeof **steps, compare_steps);
    return code;
}

static int remove_generation(const struct folder *f, int64_t step) {
    char name[NAME_SIZE];
    generation_name(name, step);
    char *path = path_join(f->part, name);
    int code = path ? directory_remove(path) : ERROR_SYSTEM;
    free(path);
    return code;
}

// Remove what was never finished (behind `current`, or everything without one) and all but `keep` older ones.
static int prune(const struct folder *f, int64_t keep) {
    int64_t *steps, current = folder_step(f);
    size_t count, older = 0;
    int code = list_generations(f, &steps, &count);
    while (older < count && steps[older] < current)
        older++;
    for (size_t i = 0; i < count && code == OK; i++)
        if (i < older ? (int64_t)(older - i) > keep : steps[i] != current)
            code = remove_generation(f, steps[i]);
    free(steps);
    return code;
}

static int read_current(struct folder *f) {
    struct buffer text = {0};
    char *path = path_join(f->part, "current");
    int code = path ? OK : ERROR_SYSTEM;
    if (code == OK && path_exists(path)) {
        code = file_read(path, NAME_SIZE, &text);
        if (code == OK) {
            char *name = (char *)text.data;
            name[strcspn(name, "\n")] = 0;
            if (generation_step(name) < 0)
                code = error_set(ERROR_INPUT, "%s: names no generation", path);
            else if (!(f->current = path_join(f->part, name)))
                code = ERROR_SYSTEM;
        }
        // Already renamed to CKPT, and killed before CKPT.part was removed: nothing is left to go on from.
        if (code == OK && !path_exists(f->current)) {
            free(f->current);
            f->current = NULL;
        }
    }
    buffer_release(&text);
    free(path);
    return code;
}

// ---- interface ----

// CKPT will be replaced whole, so what is there must be a checkpoint (or empty).
static int check_replaceable(const char *path) {
    char *weights = path_join(path, "model.safetensors");
    int code = weights ? OK : ERROR_SYSTEM;
    if (code == OK && path_exists(path) && !path_exists(weights)) {
        DIR *directory = opendir(path);
        bool empty = directory != NULL;
        for (struct dirent *entry; empty && (entry = readdir(directory));)
            empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
        if (directory)
            closedir(directory);
        if (!empty)
            code = error_set(ERROR_SYSTEM, "%s: exists and is no checkpoint", path);
    }
    free(weights);
    return code;
}

int folder_open(struct folder *f, const char *checkpoint) {
    *f = (struct folder){.lock = -1};
    size_t n = strlen(checkpoint);
    while (n > 1 && checkpoint[n - 1] == '/')
        n--;
    f->final = string_copy_n(checkpoint, n);
    f->part = f->final ? string_format("%s.part", f->final) : NULL;
    int code = f->part ? check_replaceable(f->final) : ERROR_SYSTEM;
    if (code == OK)
        code = take_lock(f);
    if (code == OK)
        code = read_current(f);
    if (code == OK)
        code = prune(f, INT64_MAX);
    // What could not be read is not ours to remove.
    if (code != OK && f->lock >= 0) {
        close(f->lock);
        f->lock = -1;
    }
    return code;
}

void folder_close(struct folder *f) {
    if (f->lock >= 0 && !f->current)
        directory_remove(f->part);
    if (f->lock >= 0)
        close(f->lock);
    free(f->final);
    free(f->part);
    free(f->current);
    *f = (struct folder){.lock = -1};
}

int folder_clear(struct folder *f) {
    char *path = path_join(f->part, "current");
    int code = path ? OK : ERROR_SYSTEM;
    if (code == OK && unlink(path) != 0 && errno != ENOENT)
        code = error_set_errno(ERROR_SYSTEM, "%s: cannot remove", path);
    free(path);
    free(f->current);
    f->current = NULL;
    return code == OK ? prune(f, 0) : code;
}

int folder_begin(struct folder *f, int64_t step, char **directory) {
    char name[NAME_SIZE];
    generation_name(name, step);
    *directory = path_join(f->part, name);
    int code = *directory ? directory_remove(*directory) : ERROR_SYSTEM;
    return code == OK ? directory_make(*directory) : code;
}

int folder_advance(struct folder *f, int64_t step, int64_t keep) {
    char name[NAME_SIZE];
    generation_name(name, step);
    char *directory = path_join(f->part, name), *path = path_join(f->part, "current");
    char *line = string_format("%s\n", name);
    int code = directory && path && line ? OK : ERROR_SYSTEM;
    if (code == OK)
        code = directory_sync(directory);
    if (code == OK)
        code = directory_sync(f->part);
    if (code == OK)
        code = file_write(path, line, strlen(line));
    free(path);
    free(line);
    if (code != OK) {
        free(directory);
        return code;
    }
    free(f->current);
    f->current = directory;
    return prune(f, keep);
}

// The kept generations move below the current one, which is about to become CKPT.
static int move_snapshots(const struct folder *f) {
    int64_t *steps, current = folder_step(f);
    size_t count;
    int code = list_generations(f, &steps, &count);
    for (size_t i = 0; i < count && code == OK; i++) {
        if (steps[i] == current)
            continue;
        char name[NAME_SIZE];
        generation_name(name, steps[i]);
        char *from = path_join(f->part, name), *snapshots = path_join(f->current, "snapshots");
        char *to = snapshots ? path_join(snapshots, name) : NULL;
        code = from && to ? directory_make(snapshots) : ERROR_SYSTEM;
        if (code == OK)
            code = path_rename(from, to);
        free(from);
        free(snapshots);
        free(to);
    }
    free(steps);
    return code;
}

// Rename the current generation to CKPT; an older CKPT trades places with it where the file system can do that
// in one step, and is moved aside first where it cannot.
static int put_in_place(const struct folder *f) {
    if (!path_exists(f->final))
        return path_rename(f->current, f->final);
    if (renameat2(AT_FDCWD, f->current, AT_FDCWD, f->final, RENAME_EXCHANGE) == 0)
        return OK;
    if (errno != EINVAL && errno != ENOSYS)
        return error_set_errno(ERROR_SYSTEM, "%s: cannot replace", f->final);
    char *aside = path_join(f->part, "replaced");
    int code = aside ? directory_remove(aside) : ERROR_SYSTEM;
    if (code == OK)
        code = path_rename(f->final, aside);
    if (code == OK)
        code = path_rename(f->current, f->final);
    free(aside);
    return code;
}

static int sync_parent(const char *path) {
    const char *slash = strrchr(path, '/');
    char *parent = !slash ? string_copy(".") : string_copy_n(path, slash == path ? 1 : (size_t)(slash - path));
    int code = parent ? directory_sync(parent) : ERROR_SYSTEM;
    free(parent);
    return code;
}

int folder_finish(struct folder *f) {
    int code = move_snapshots(f);
    if (code == OK)
        code = put_in_place(f);
    if (code == OK)
        code = sync_parent(f->final);
    if (code == OK)
        code = directory_remove(f->part);
    if (code == OK) {
        free(f->current);
        f->current = NULL;
    }
    return code;
}
