// What a folder holds: every name below it with its bytes, held in memory.
#ifndef TACIT_TEST_TREE_H
#define TACIT_TEST_TREE_H

#include <stdbool.h>
#include <stddef.h>

struct tree_entry {
    char *path; // "./m/state.json"
    bool folder;
    bool old; // from 1971 at the latest: make will do it again (path_make_old() in base/file.h)
    char *data;
    size_t size;
};

struct tree {
    struct tree_entry *entries; // by path
    size_t count;
};

void tree_read(struct tree *t); // of the working folder; times in .json and log files are left out
void tree_free(struct tree *t);
void tree_restore(const struct tree *t); // the working folder holds nothing else then

// The first path in which `now` differs from `wanted`, or NULL; leaves out those for which ignore() holds.
const char *tree_difference(const struct tree *now, const struct tree *wanted, bool (*ignore)(const char *path));

#endif
