// The memory that a process may use: the machine's, less where a control group says so.
#include "base/file.h"
#include "base/machine.h"
#include "base/memory.h"
#include "check.h"

#include <stdlib.h>

static char root[] = "/tmp/tacit-machine.XXXXXX";

static void put(const char *name, const char *text) {
    char *path = path_join(root, name), *folder = path_parent(path);
    CHECK_OK(directory_make(folder));
    CHECK_OK(file_write(path, text, strlen(text)));
    free(path), free(folder);
}

static size_t memory_of(const char *of) {
    size_t bytes = 0;
    CHECK_OK(machine_memory(of, &bytes));
    return bytes;
}

int main(void) {
    CHECK(mkdtemp(root));
    size_t all = memory_of(root);
    CHECK(all > 1 << 20);
    put("proc/self/cgroup", "9:name=systemd:/\n0::/user/job\n");
    put("sys/fs/cgroup/user/job/memory.max", "max\n");
    CHECK(memory_of(root) == all);
    put("sys/fs/cgroup/user/memory.max", "3000000\n");
    CHECK(memory_of(root) == 3000000); // of the group above
    put("proc/self/cgroup", "4:memory:/job\n1:cpu:/job\n0::/user/job\n");
    put("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "9223372036854771712\n");
    CHECK(memory_of(root) == 3000000);
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "2000000\n");
    CHECK(memory_of(root) == 2000000);
    CHECK_OK(directory_remove(root));
    CHECK(memory_of("") <= all);

    enum { BYTES = 32 << 20, PAGE = 4096 };
    size_t before = machine_peak();
    volatile char *block = memory_new_aligned(BYTES);
    for (size_t i = 0; i < BYTES; i += PAGE)
        block[i] = 1;
    CHECK(before > 0 && machine_peak() >= before + BYTES - (1 << 20));
    free((void *)block);
    return check_report();
}
