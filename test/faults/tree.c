#include "tree.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct tree *walked;

static void die(const char *what) {
    perror(what);
    _exit(99);
}

static void *checked(void *p) {
    if (!p)
        die("faults: memory");
    return p;
}

// Whether a key that a duration follows ends with the first n bytes.
static bool ends_in_time(const char *text, size_t n) {
    static const char *const ends[] = {"second\"", "seconds\"", "waited\""};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        size_t size = strlen(ends[i]);
        if (n >= size && memcmp(text + n - size, ends[i], size) == 0)
            return true;
    }
    return false;
}

// Durations differ from run to run: `"seconds":1.5` becomes `"seconds"`.
static void leave_times_out(struct tree_entry *e) {
    const char *name = strrchr(e->path, '/') + 1, *dot = strrchr(name, '.');
    if (strcmp(name, "log") != 0 && (!dot || strcmp(dot, ".json") != 0))
        return;
    size_t kept = 0;
    for (size_t i = 0; i < e->size; i++) {
        e->data[kept++] = e->data[i];
        if (!ends_in_time(e->data, kept))
            continue;
        while (i + 1 < e->size && !strchr(",}\n", e->data[i + 1]))
            i++;
    }
    e->size = kept;
}

static void read_data(struct tree_entry *e, size_t size) {
    FILE *f = fopen(e->path, "rb");
    if (!f)
        die(e->path);
    e->data = checked(malloc(size + 1));
    e->size = fread(e->data, 1, size, f);
    fclose(f);
}

static int add(const char *path, const struct stat *status, int type, struct FTW *place) {
    if (place->level == 0)
        return 0;
    walked->entries = checked(realloc(walked->entries, (walked->count + 1) * sizeof *walked->entries));
    struct tree_entry *e = &walked->entries[walked->count++];
    *e = (struct tree_entry){.path = checked(strdup(path)), .folder = type == FTW_D};
    if (e->folder)
        return 0;
    e->old = status->st_mtim.tv_sec <= 365 * 86400;
    read_data(e, (size_t)status->st_size);
    return 0;
}

static int by_path(const void *a, const void *b) {
    return strcmp(((const struct tree_entry *)a)->path, ((const struct tree_entry *)b)->path);
}

void tree_read(struct tree *t) {
    *t = (struct tree){0};
    walked = t;
    if (nftw(".", add, 8, FTW_PHYS) != 0)
        die("faults: walking");
    if (t->count > 0)
        qsort(t->entries, t->count, sizeof *t->entries, by_path);
}

void tree_free(struct tree *t) {
    for (size_t i = 0; i < t->count; i++) {
        free(t->entries[i].path);
        free(t->entries[i].data);
    }
    free(t->entries);
    *t = (struct tree){0};
}

static int drop(const char *path, const struct stat *status, int type, struct FTW *place) {
    (void)status;
    (void)type;
    return place->level > 0 ? remove(path) : 0;
}

void tree_restore(const struct tree *t) {
    if (nftw(".", drop, 8, FTW_PHYS | FTW_DEPTH) != 0)
        die("faults: clearing");
    for (size_t i = 0; i < t->count; i++) {
        const struct tree_entry *e = &t->entries[i];
        if (e->folder) {
            if (mkdir(e->path, 0777) != 0)
                die(e->path);
            continue;
        }
        FILE *f = fopen(e->path, "wb");
        if (!f || fwrite(e->data, 1, e->size, f) != e->size || fclose(f) != 0)
            die(e->path);
    }
}

static bool is_same(const struct tree_entry *a, const struct tree_entry *b) {
    if (a->folder || b->folder)
        return a->folder == b->folder;
    struct tree_entry x = *a, y = *b;
    x.data = checked(malloc(x.size + 1));
    y.data = checked(malloc(y.size + 1));
    memcpy(x.data, a->data, x.size);
    memcpy(y.data, b->data, y.size);
    leave_times_out(&x);
    leave_times_out(&y);
    bool same = x.size == y.size && memcmp(x.data, y.data, x.size) == 0;
    free(x.data);
    free(y.data);
    return same;
}

const char *tree_difference(const struct tree *now, const struct tree *wanted, bool (*ignore)(const char *path)) {
    size_t i = 0, k = 0;
    while (i < now->count || k < wanted->count) {
        int order = i == now->count      ? 1
                    : k == wanted->count ? -1
                                         : strcmp(now->entries[i].path, wanted->entries[k].path);
        const char *path = order > 0 ? wanted->entries[k].path : now->entries[i].path;
        if ((order != 0 || !is_same(&now->entries[i], &wanted->entries[k])) && !ignore(path))
            return path;
        i += order <= 0;
        k += order >= 0;
    }
    return NULL;
}
