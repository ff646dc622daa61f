#include "train/folder.h"
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/system.h"
#include "base/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum { NAME_SIZE = 40, HOST_SIZE = 65, SINCE_SIZE = 32, LINE_SIZE = 128 };

// ---- the lock ----

// The holder's process, host and time, for whoever comes meanwhile.
static int write_holder(int fd, const char *path) {
    char host[HOST_SIZE] = "", since[SINCE_SIZE] = "", line[LINE_SIZE];
    struct timespec now = {0};
    struct tm parts;
    if (gethostname(host, sizeof host - 1) != 0)
        host[0] = 0;
    if (system_clock_gettime(CLOCK_REALTIME, &now) == 0 && localtime_r(&now.tv_sec, &parts))
        strftime(since, sizeof since, "%Y-%m-%dT%H:%M:%S%z", &parts);
    int n = snprintf(line, sizeof line, "%ld %s %s\n", (long)getpid(), *host ? host : "-", since);
    int code = system_ftruncate(fd, 0) != 0 ? error_set_errno(ERROR_SYSTEM, "cannot write")
                                            : descriptor_write_at(fd, 0, line, (size_t)n);
    return code == OK ? OK : error_prefix(code, "%s", path);
}

static int refuse_unnamed(const struct folder *f) {
    return error_set(ERROR_SYSTEM, "%s: another process is training here", f->part);
}

static int refuse_holder(const struct folder *f, int fd) {
    char line[LINE_SIZE] = "", host[HOST_SIZE] = "", since[SINCE_SIZE] = "";
    long pid;
    size_t got = 0;
    if (input_read_at(fd, 0, line, sizeof line - 1, &got) != OK)
        got = 0;
    line[got] = 0;
    if (sscanf(line, "%ld %64s %31s", &pid, host, since) != 3)
        return refuse_unnamed(f);
    return error_set(ERROR_SYSTEM, "%s: process %ld is training here, on %s since %s", f->part, pid, host, since);
}

static int take_lock(struct folder *f) {
    char *path = path_join(f->part, "lock");
    int code = path ? OK : ERROR_SYSTEM;
    while (code == OK && f->lock < 0) {
        code = directory_make(f->part);
        if (code != OK)
            break;
        int fd = path_open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0 && errno == ENOENT)
            continue; // the folder went away in between
        if (fd < 0)
            code = error_set_errno(ERROR_SYSTEM, "%s: cannot open", path);
        else if (system_flock(fd, LOCK_EX | LOCK_NB) != 0)
            code = errno == EWOULDBLOCK ? refuse_holder(f, fd)
                                        : error_set_errno(ERROR_SYSTEM, "%s: cannot lock", path);
        else if (descriptor_has_name(fd)) // a run that ended removed its own
            f->lock = fd;
        if (fd >= 0 && f->lock != fd)
            system_close(fd);
    }
    if (code == OK)
        code = write_holder(f->lock, path);
    free(path);
    return code;
}

static int remove_all_but_lock(void *context, const char *path, const char *name) {
    (void)context;
    return strcmp(name, "lock") == 0 ? OK : directory_remove(path);
}

// Remove CKPT.part (where `whole`, with all that it holds). The lock goes last, and then a newcomer may take the
// folder at once: it is no longer ours.
static int remove_part(struct folder *f, bool whole) {
    char path[PATH_MAX];
    int code = OK;
    if ((size_t)snprintf(path, sizeof path, "%s/current", f->part) >= sizeof path)
        return error_set(ERROR_SYSTEM, "%s: name too long", f->part);
    if (whole && system_unlink(path) != 0 && errno != ENOENT) // first: what is left then is no run to go on with
        code = error_set_errno(ERROR_SYSTEM, "%s: cannot remove", path);
    if (code == OK && whole)
        code = directory_each(f->part, remove_all_but_lock, NULL);
    snprintf(path, sizeof path, "%s/lock", f->part);
    if (code == OK && system_unlink(path) != 0 && errno != ENOENT)
        code = error_set_errno(ERROR_SYSTEM, "%s: cannot remove", path);
    if (code == OK && system_rmdir(f->part) != 0 && errno != ENOTEMPTY && errno != EEXIST && errno != ENOENT)
        code = error_set_errno(ERROR_SYSTEM, "%s: cannot remove", f->part);
    return code;
}

static void unlock(struct folder *f) {
    if (f->lock >= 0)
        system_close(f->lock);
    f->lock = -1;
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

struct steps {
    int64_t *items;
    size_t count;
};

static int add_step(void *context, const char *path, const char *name) {
    struct steps *s = context;
    int64_t step = generation_step(name);
    (void)path;
    if (step < 0)
        return OK;
    int code = memory_resize(&s->items, s->count + 1, sizeof *s->items);
    if (code == OK)
        s->items[s->count++] = step;
    return code;
}

// The steps of all generations in CKPT.part, rising; free() them.
static int list_generations(const struct folder *f, int64_t **steps, size_t *count) {
    struct steps found = {0};
    int code = directory_each(f->part, add_step, &found);
    if (found.count > 0)
        qsort(found.items, found.count, sizeof *found.items, compare_steps);
    *steps = found.items;
    *count = found.count;
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
int folder_prune(const struct folder *f, int64_t keep) {
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
        // Moved out already, by a run that was killed before CKPT.part was removed.
        if (code == OK && !path_exists(f->current)) {
            free(f->current);
            f->current = NULL;
        }
    }
    buffer_release(&text);
    free(path);
    return code;
}

static int write_current(const struct folder *f, const char *name) {
    char *path = path_join(f->part, "current"), *line = string_format("%s\n", name);
    int code = path && line ? file_write(path, line, strlen(line)) : ERROR_SYSTEM;
    free(path);
    free(line);
    return code;
}

// ---- outside of CKPT.part ----

// CKPT.part.done, held by whoever renames it; *fd < 0 where there is none. Where folders know no lock, the first
// rename decides.
static int hold_done(const struct folder *f, const char *directory, int *fd) {
    *fd = path_open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (*fd < 0)
        return errno == ENOENT ? OK : error_set_errno(ERROR_SYSTEM, "%s: cannot open the directory", directory);
    return system_flock(*fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK ? refuse_unnamed(f) : OK;
}

// What a killed run had moved out becomes a generation again. Its training is complete: no step will follow, so
// the name's number says nothing.
static int take_in(struct folder *f) {
    char name[NAME_SIZE];
    int fd, code = hold_done(f, f->done, &fd);
    if (fd < 0)
        return code;
    generation_name(name, 0);
    char *directory = path_join(f->part, name);
    if (code == OK)
        code = directory ? directory_remove(directory) : ERROR_SYSTEM;
    if (code == OK)
        code = write_current(f, name);
    if (code == OK && system_rename(f->done, directory) == 0) {
        f->current = directory;
        directory = NULL;
    } else if (code == OK && errno != ENOENT) { // gone: it became CKPT meanwhile
        code = error_set_errno(ERROR_SYSTEM, "%s: cannot rename to %s", f->done, directory);
    }
    free(directory);
    system_close(fd);
    return code;
}

// ---- interface ----

static int refuse_entry(void *context, const char *path, const char *name) {
    (void)path;
    (void)name;
    return error_set(ERROR_SYSTEM, "%s: exists and is no checkpoint", (const char *)context);
}

// CKPT will be replaced whole, so what is there must be a checkpoint (or empty).
static int check_replaceable(char *path) {
    char *weights = path_join(path, "model.safetensors");
    int code = weights ? OK : ERROR_SYSTEM;
    if (code == OK && path_exists(path) && !path_exists(weights))
        code = path_is_directory(path) ? directory_each(path, refuse_entry, path) : refuse_entry(path, NULL, NULL);
    free(weights);
    return code;
}

// Of a run that was killed when its CKPT had replaced an older one: CKPT.part holds the older one.
static int drop_replaced(struct folder *f) {
    char *weights = path_join(f->final, "model.safetensors"), *config = path_join(f->final, "config.json");
    int code = weights && config ? OK : ERROR_SYSTEM;
    if (code == OK && path_is_old(weights)) {
        code = folder_clear(f);
        if (code == OK) // as new as it is, but not newer than the inputs of the run that comes
            code = path_touch(weights, config);
    }
    free(weights);
    free(config);
    return code;
}

// What the folders of CKPT are called.
static int name_folders(struct folder *f, const char *checkpoint) {
    *f = (struct folder){.lock = -1};
    size_t n = strlen(checkpoint);
    while (n > 1 && checkpoint[n - 1] == '/')
        n--;
    f->final = string_copy_n(checkpoint, n);
    f->part = f->final ? string_format("%s.part", f->final) : NULL;
    f->done = f->part ? string_format("%s.done", f->part) : NULL;
    return f->done ? OK : ERROR_SYSTEM;
}

static int open_named(struct folder *f) {
    int code = check_replaceable(f->final);
    if (code == OK)
        code = take_lock(f);
    if (code == OK)
        code = read_current(f);
    if (code == OK)
        code = drop_replaced(f);
    if (code == OK && !f->current)
        code = take_in(f);
    if (code == OK)
        code = folder_prune(f, INT64_MAX);
    // What could not be read is not ours to remove; a folder that we made is.
    if (code != OK && f->lock >= 0) {
        char *cause = string_copy(error_message());
        remove_part(f, false);
        unlock(f);
        error_set(code, "%s", cause ? cause : "out of memory");
        free(cause);
    }
    return code;
}

int folder_open(struct folder *f, const char *checkpoint) {
    int code = name_folders(f, checkpoint);
    return code == OK ? open_named(f) : code;
}

void folder_close(struct folder *f) {
    if (f->lock >= 0 && !f->current)
        remove_part(f, true);
    unlock(f);
    free(f->final);
    free(f->part);
    free(f->done);
    free(f->current);
    *f = (struct folder){.lock = -1};
}

int folder_clear(struct folder *f) {
    char *path = path_join(f->part, "current");
    int code = path ? OK : ERROR_SYSTEM;
    if (code == OK && system_unlink(path) != 0 && errno != ENOENT)
        code = error_set_errno(ERROR_SYSTEM, "%s: cannot remove", path);
    free(path);
    free(f->current);
    f->current = NULL;
    return code == OK ? folder_prune(f, 0) : code;
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
    char *directory = path_join(f->part, name);
    int code = directory ? OK : ERROR_SYSTEM;
    if (code == OK)
        code = directory_sync(directory);
    if (code == OK)
        code = directory_sync(f->part);
    if (code == OK)
        code = write_current(f, name);
    if (code != OK) {
        free(directory);
        return code;
    }
    free(f->current);
    f->current = directory;
    return folder_prune(f, keep);
}

int folder_return(struct folder *f, int64_t step) {
    char name[NAME_SIZE];
    generation_name(name, step);
    char *directory = path_join(f->part, name);
    int code = directory ? OK : ERROR_SYSTEM;
    if (code == OK && !path_exists(directory))
        code = error_set(ERROR_INPUT, "%s: is gone, and the models beside it stand there; --restart starts over",
                         directory);
    if (code == OK)
        code = write_current(f, name);
    if (code != OK) {
        free(directory);
        return code;
    }
    free(f->current);
    f->current = directory;
    return folder_prune(f, INT64_MAX);
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

// CKPT.part goes, and the lock with it: from then on the name is a newcomer's.
static bool give_up_part(struct folder *f) {
    bool removed = remove_part(f, true) == OK;
    if (removed)
        unlock(f);
    return removed;
}

// A first CKPT, or one for an empty folder. Whoever kills us finds CKPT alone or no CKPT: the generation leaves
// CKPT.part, which goes before CKPT appears.
static int publish(struct folder *f, bool *removed) {
    int fd, code = hold_done(f, f->current, &fd);
    if (code == OK)
        code = directory_remove(f->done);
    if (code == OK)
        code = path_rename(f->current, f->done);
    if (code == OK) {
        free(f->current);
        f->current = NULL;
        code = path_sync_parent(f->final);
    }
    if (code == OK) {
        *removed = give_up_part(f);
        code = path_rename(f->done, f->final);
        if (code == OK && (code = path_sync_parent(f->final)) != OK && system_rename(f->final, f->done) != 0)
            error_prefix(code, "%s: is complete, but a power cut may lose it", f->final);
    }
    if (fd >= 0)
        system_close(fd);
    return code;
}

// The current generation takes the place of an older CKPT, which goes to *aside where the file system cannot trade
// the two (else NULL).
static int put_in_place(const struct folder *f, char **aside) {
    if (system_exchange(f->current, f->final) == 0)
        return OK;
    if (errno != EINVAL && errno != ENOSYS && errno != ENOTSUP)
        return error_set_errno(ERROR_SYSTEM, "%s: cannot replace", f->final);
    *aside = path_join(f->part, "replaced");
    int code = *aside ? directory_remove(*aside) : ERROR_SYSTEM;
    if (code == OK)
        code = path_rename(f->final, *aside);
    if (code != OK)
        return code;
    code = path_rename(f->current, f->final);
    if (code != OK && system_rename(*aside, f->final) != 0)
        error_prefix(code, "%s: is now %s", f->final, *aside);
    return code;
}

// A failure leaves the older CKPT, and the generation for --resume; a kill between the exchange and the end leaves
// in CKPT.part what is left of the older one, and a CKPT that make does not take for new.
static int replace(struct folder *f, bool *removed) {
    char *aside = NULL, *weights = path_join(f->current, "model.safetensors");
    int code = weights ? OK : ERROR_SYSTEM;
    if (code == OK) {
        path_make_old(weights);
        code = put_in_place(f, &aside);
    }
    if (code == OK && (code = path_sync_parent(f->final)) != OK) {
        bool back = aside ? system_rename(f->final, f->current) == 0 && system_rename(aside, f->final) == 0
                          : system_exchange(f->current, f->final) == 0;
        if (!back)
            error_prefix(code, "%s: is complete, but a power cut may lose it", f->final);
    }
    free(aside);
    free(weights);
    if (code == OK) {
        free(f->current);
        f->current = NULL;
        *removed = give_up_part(f);
    }
    return code;
}

int folder_finish(struct folder *f, int64_t keep) {
    bool removed = true;
    char *weights = path_join(f->final, "model.safetensors");
    int code =
        weights ? folder_prune(f, keep) : ERROR_SYSTEM; // a run that was killed while it advanced left one more
    if (code == OK)
        code = move_snapshots(f);
    if (code == OK)
        code = path_exists(weights) ? replace(f, &removed) : publish(f, &removed);
    if (code == OK && removed)
        (void)path_touch(weights, NULL); // at worst make asks once more
    else if (code == OK)
        tool_notice("%s is complete, but of the run is left: %s", f->final, error_message());
    free(weights);
    return code;
}

int folder_confirm(const char *checkpoint) {
    struct folder folder;
    int code = name_folders(&folder, checkpoint);
    char *weights = code == OK ? path_join(folder.final, "model.safetensors") : NULL;
    if (!weights)
        code = ERROR_SYSTEM;
    else if (path_exists(folder.part))
        code = open_named(&folder);
    folder_close(&folder);
    if (code == OK)
        code = path_touch(weights, NULL);
    free(weights);
    return code;
}
