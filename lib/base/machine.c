#include "base/machine.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATH = 4096 };

// The limit in a group's file; SIZE_MAX where there is none ("max", no such file).
static size_t limit_in(const char *path) {
    FILE *f = fopen(path, "re");
    uint64_t limit;
    if (!f)
        return SIZE_MAX;
    int got = fscanf(f, "%20" SCNu64, &limit);
    fclose(f);
    return got == 1 ? limit : SIZE_MAX;
}

// The least limit of the group and of those above it.
static size_t limit_of(const char *root, const char *hierarchy, char *group, const char *file) {
    size_t least = SIZE_MAX;
    for (;;) {
        char path[3 * PATH];
        snprintf(path, sizeof path, "%s/sys/fs/cgroup%s%s/%s", root, hierarchy, group, file);
        size_t limit = limit_in(path);
        least = limit < least ? limit : least;
        char *slash = strrchr(group, '/');
        if (!slash)
            return least;
        *slash = 0;
    }
}

// Lines of /proc/self/cgroup: "0::GROUP" (version 2), "N:CONTROLLERS:GROUP" (version 1).
static size_t limit_of_groups(const char *root) {
    char path[PATH], line[PATH];
    size_t least = SIZE_MAX;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        *group++ = 0;
        size_t limit = SIZE_MAX;
        if (controllers[1] == 0)
            limit = limit_of(root, "", group, "memory.max");
        else if (strcmp(controllers + 1, "memory") == 0)
            limit = limit_of(root, "/memory", group, "memory.limit_in_bytes");
        least = limit < least ? limit : least;
    }
    if (f)
        fclose(f);
    return least;
}

size_t machine_memory(const char *root) {
    size_t physical = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    size_t limit = limit_of_groups(root);
    return limit < physical ? limit : physical;
}

size_t machine_peak(void) {
    char line[256];
    size_t kilobytes = 0;
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %zu", &kilobytes) == 1)
            break;
    if (f)
        fclose(f);
    return kilobytes * 1024;
}
