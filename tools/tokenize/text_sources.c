#include "tokenize/text_sources.h"
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/system.h"
#include "stream/stream.h"

#include <errno.h>
#include <fts.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static int add(struct text_sources *s, const char *path, uint64_t size) {
    if (path && path_is_unfinished(path)) // an output of ours would grow by being read
        return OK;
    if ((s->count & (s->count - 1)) == 0) { // full at every power of two
        int code = memory_resize(&s->items, s->count > 0 ? 2 * (size_t)s->count : 1, sizeof *s->items);
        if (code != OK)
            return code;
    }
    struct text_source *item = &s->items[s->count];
    *item = (struct text_source){.path = path ? string_copy(path) : NULL, .size = size};
    if (path && !item->path)
        return ERROR_SYSTEM;
    s->count++;
    return OK;
}

static int compare_paths(const void *a, const void *b) {
    return strcmp(((const struct text_source *)a)->path, ((const struct text_source *)b)->path);
}

// ---- domains ----

// The part of a path between two of its slashes.
static char *last_component(const char *begin, const char *end) {
    while (end > begin && end[-1] == '/')
        end--;
    const char *start = end;
    while (start > begin && start[-1] != '/')
        start--;
    return string_copy_n(start, (size_t)(end - start));
}

// A folder's own name; "." and the like have none but their full one.
static char *directory_name(const char *begin, const char *end) {
    char *given = string_copy_n(begin, (size_t)(end - begin));
    char *full = given ? system_realpath(*given ? given : ".") : NULL;
    char *name = full ? last_component(full, full + strlen(full)) : NULL;
    if (given && !full)
        error_set_errno(ERROR_SYSTEM, "%s: cannot find the folder's name", given);
    free(given);
    free(full);
    return name;
}

static char *file_domain(const char *path) {
    const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    const char *dot = strchr(name + (*name == '.'), '.');
    return string_copy_n(name, dot ? (size_t)(dot - name) : strlen(name));
}

// root: the operand where it is a directory, else NULL.
static int set_domain(struct text_source *item, const char *root, enum domain_from from) {
    if (from == DOMAIN_FROM_NONE)
        return OK;
    if (!item->path)
        return error_set(ERROR_USAGE, "--domain-from: standard input has no name; use --domain");
    if (from == DOMAIN_FROM_FILE) {
        item->domain = file_domain(item->path);
    } else {
        const char *below = root ? item->path + strlen(root) : item->path, *slash;
        below += strspn(below, "/");
        slash = strchr(below, '/');
        if (root && slash)
            item->domain = string_copy_n(below, (size_t)(slash - below));
        else if (root)
            item->domain = directory_name(root, root + strlen(root));
        else
            item->domain =
                directory_name(item->path, strrchr(item->path, '/') ? strrchr(item->path, '/') : item->path);
    }
    if (!item->domain)
        return ERROR_SYSTEM;
    int code = stream_check_domain(ERROR_INPUT, item->domain, strlen(item->domain));
    return code == OK ? OK : error_prefix(code, "%s", item->path);
}

// ---- directories ----

static int visit(struct text_sources *s, FTS *tree, FTSENT *entry) {
    bool hidden = entry->fts_level > FTS_ROOTLEVEL && entry->fts_name[0] == '.';
    switch (entry->fts_info) {
    case FTS_D:
        if (hidden)
            fts_set(tree, entry, FTS_SKIP);
        return OK;
    case FTS_F:
        return hidden ? OK : add(s, entry->fts_path, (uint64_t)entry->fts_statp->st_size);
    case FTS_DC:
        return error_set(ERROR_INPUT, "%s: a folder that contains itself", entry->fts_path);
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS:
        return hidden ? OK : error_set(ERROR_SYSTEM, "%s: %s", entry->fts_path, strerror(entry->fts_errno));
    case FTS_SLNONE:
        return hidden ? OK : error_set(ERROR_SYSTEM, "%s: a link to nothing", entry->fts_path);
    default: // leaving a folder; sockets, devices and the like
        return OK;
    }
}

static int walk(struct text_sources *s, char *root) {
    char *const roots[] = {root, NULL};
    FTS *tree = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, NULL);
    if (!tree)
        return error_set_errno(ERROR_SYSTEM, "%s: cannot walk the folder", root);
    int first = s->count, code = OK;
    FTSENT *entry;
    while (errno = 0, code == OK && (entry = fts_read(tree)))
        code = visit(s, tree, entry);
    if (code == OK && errno != 0)
        code = error_set_errno(ERROR_SYSTEM, "%s: cannot walk the folder", root);
    fts_close(tree);
    if (code == OK && s->count == first)
        code = error_set(ERROR_INPUT, "%s: a folder without files (hidden ones are left out)", root);
    if (code == OK && s->count > first)
        qsort(s->items + first, (size_t)(s->count - first), sizeof *s->items, compare_paths);
    return code;
}

// ---- operands and lists ----

static int add_operand(struct text_sources *s, char *operand, enum domain_from from) {
    struct stat status;
    int first = s->count, code;
    bool directory = path_is_directory(operand);
    if (strcmp(operand, "-") == 0) {
        code = s->standard_input ? error_set(ERROR_USAGE, "standard input is named twice") : add(s, NULL, 0);
        s->standard_input = true;
    } else if (directory) {
        code = walk(s, operand);
    } else if (system_stat(operand, &status) != 0) {
        code = error_set_errno(ERROR_SYSTEM, "%s: cannot open", input_name(operand));
    } else {
        code = add(s, operand, S_ISREG(status.st_mode) ? (uint64_t)status.st_size : 0);
    }
    for (int k = first; k < s->count && code == OK; k++)
        code = set_domain(&s->items[k], directory ? operand : NULL, from);
    return code;
}

static int add_list(struct text_sources *s, const struct text_operands *o) {
    struct buffer list = {0};
    bool standard_input = strcmp(o->list, "-") == 0;
    if (standard_input && s->standard_input)
        return error_set(ERROR_USAGE, "standard input is named twice");
    s->standard_input = s->standard_input || standard_input;
    int code = file_read(o->list, SIZE_MAX / 4, &list);
    for (size_t at = 0; at < list.size && code == OK;) {
        char *path = (char *)list.data + at; // file_read() puts a 0 behind the last one
        char *end = memchr(path, o->null ? 0 : '\n', list.size - at);
        size_t size = end ? (size_t)(end - path) : list.size - at;
        path[size] = 0;
        if (size > 0) {
            code = strlen(path) == size ? add_operand(s, path, o->domain_from)
                                        : error_set(ERROR_INPUT, "%s: a path with NUL in it; use --null", path);
            if (code != OK && path[size - 1] == '\r')
                error_set(code, "%s; the name ends in CR, as lines from DOS do", error_message());
            if (code != OK)
                error_prefix(code, "%s", input_name(o->list));
        }
        at += size + 1;
    }
    if (code == OK && s->count == 0)
        code = error_set(ERROR_INPUT, "%s: names no file", input_name(o->list));
    buffer_release(&list);
    return code;
}

int text_sources_collect(struct text_sources *s, const struct text_operands *o) {
    *s = (struct text_sources){0};
    char standard[] = "-";
    int code = OK;
    for (int i = 0; i < o->count && code == OK; i++)
        code = add_operand(s, o->operands[i], o->domain_from);
    if (code == OK && o->list)
        code = add_list(s, o);
    else if (code == OK && o->count == 0)
        code = add_operand(s, standard, o->domain_from);
    bool known = true;
    for (int k = 0; k < s->count; k++) {
        known = known && s->items[k].path;
        s->size += s->items[k].size;
    }
    if (!known)
        s->size = 0;
    if (code != OK)
        text_sources_release(s);
    return code;
}

int output_is_input(const char *output) {
    if (output && strcmp(output, "-") != 0)
        return error_set(ERROR_USAGE, "-o %s: is an input, too, and would be lost", output);
    return error_set(ERROR_USAGE, "standard output: is an input, too");
}

int text_sources_spare(const struct text_sources *s, const char *output) {
    for (int i = 0; i < s->count; i++)
        if (path_is_input(output, s->items[i].path))
            return output_is_input(output);
    return OK;
}

void text_sources_release(struct text_sources *s) {
    for (int i = 0; i < s->count; i++) {
        free(s->items[i].path);
        free(s->items[i].domain);
    }
    free(s->items);
    *s = (struct text_sources){0};
}
