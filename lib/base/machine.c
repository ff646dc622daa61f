#include "base/machine.h"
#include "base/error.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATH = 4096, TEXT = 16384 };

// What the kernel says in a file, as a string; "" where there is none, or none for us.
static int read_text(const char *path, char text[TEXT]) {
    size_t got = 0;
    text[0] = 0;
    int fd = path_open(path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == EACCES || errno == EPERM
                   ? OK
                   : error_set_errno(ERROR_SYSTEM, "%s: cannot open", path);
    int code = input_read(fd, text, TEXT - 1, &got);
    input_close(fd);
    text[got] = 0;
    return code == OK ? OK : error_prefix(code, "%s", path);
}

// The limit in a group's file takes the place of a higher one; "max" is none.
static int lower_to_limit_in(const char *path, size_t *least) {
    char text[TEXT];
    uint64_t limit;
    int code = read_text(path, text);
    if (code == OK && sscanf(text, "%20" SCNu64, &limit) == 1 && limit < *least)
        *least = limit;
    return code;
}

// The limits of the group and of those above it.
static int lower_to_limits_of(const char *root, const char *hierarchy, char *group, const char *file,
                              size_t *least) {
    for (;;) {
        char path[3 * PATH];
        snprintf(path, sizeof path, "%s/sys/fs/cgroup%s%s/%s", root, hierarchy, group, file);
        int code = lower_to_limit_in(path, least);
        char *slash = strrchr(group, '/');
        if (code != OK || !slash)
            return code;
        *slash = 0;
    }
}

// A line of /proc/self/cgroup: "0::GROUP" (version 2), "N:CONTROLLERS:GROUP" (version 1).
static int lower_to_limits_in_line(const char *root, char *line, size_t *least) {
    char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!group)
        return OK;
    *group++ = 0;
    if (controllers[1] == 0)
        return lower_to_limits_of(root, "", group, "memory.max", least);
    if (strcmp(controllers + 1, "memory") == 0)
        return lower_to_limits_of(root, "/memory", group, "memory.limit_in_bytes", least);
    return OK;
}

int machine_memory(const char *root, size_t *bytes) {
    char path[PATH], text[TEXT], *rest = text, *line;
    *bytes = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    int code = read_text(path, text);
    while (code == OK && (line = strsep(&rest, "\n")))
        code = lower_to_limits_in_line(root, line, bytes);
    return code;
}

size_t machine_peak(void) {
    static const char key[] = "\nVmHWM:";
    char text[TEXT];
    size_t kilobytes = 0;
    if (read_text("/proc/self/status", text) != OK)
        return 0;
    const char *line = strstr(text, key);
    return line && sscanf(line + sizeof key - 1, "%zu", &kilobytes) == 1 ? kilobytes * 1024 : 0;
}
