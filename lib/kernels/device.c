#include "kernels/kernels.h"

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if UINTPTR_MAX > UINT32_MAX
typedef Elf64_Ehdr elf_header;
typedef Elf64_Phdr elf_segment;
#else
typedef Elf32_Ehdr elf_header;
typedef Elf32_Phdr elf_segment;
#endif

static const char cuda_library[] = "libtacit-cuda.so"; // beside the program, or in its prefix (path_of_library)

typedef int (*backend_open)(struct device *d, int index, enum kernel_dtype dtype);

// What device_open() hands out: the device first, then what only this file needs.
struct opened {
    struct device device;
    void *library;
    bool broken;  // the backend is there, and cannot be loaded
    char *notice; // why "auto" took the CPU though the backend is there
    char description[160];
};

// Bytes that the segments of a shared object need; 0 where it is none.
static int object_bytes(int fd, uint64_t *bytes) {
    elf_header header;
    elf_segment segment;
    size_t got;
    *bytes = 0;
    int code = input_read_at(fd, 0, &header, sizeof header, &got);
    if (code != OK || got < sizeof header || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
        header.e_phentsize != sizeof segment)
        return code;
    for (int i = 0; i < header.e_phnum; i++) {
        code = input_read_at(fd, header.e_phoff + (uint64_t)i * sizeof segment, &segment, sizeof segment, &got);
        if (code != OK)
            return code;
        uint64_t end = got < sizeof segment ? UINT64_MAX : (uint64_t)segment.p_offset + segment.p_filesz;
        if (end > *bytes)
            *bytes = end;
    }
    return OK;
}

// The loader maps a file that was cut off, and dies at the first byte that is not there: found out before.
static int check_whole(const char *path) {
    int fd;
    uint64_t size = 0, needed = 0;
    int code = input_open(&fd, path);
    if (code != OK)
        return code;
    code = file_size(fd, &size);
    if (code == OK)
        code = object_bytes(fd, &needed);
    input_close(fd);
    if (code == OK && needed > size)
        code = error_set(ERROR_SYSTEM, "%s: the file was cut off at byte %llu", path, (unsigned long long)size);
    return code;
}

static int open_cuda(struct opened *o, int index, enum kernel_dtype dtype) {
    char path[PATH_MAX];
    if (!path_of_library(cuda_library, path, sizeof path))
        return error_set(ERROR_SYSTEM, "device 'cuda': this build has no CUDA backend (%s); use --device cpu",
                         cuda_library);
    int whole = check_whole(path);
    o->broken = whole != OK;
    if (o->broken)
        return error_set(ERROR_SYSTEM, "device 'cuda': %s; use --device cpu", error_message());
    o->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    o->broken = !o->library;
    if (o->broken)
        return error_set(ERROR_SYSTEM, "device 'cuda': %s; use --device cpu", dlerror());
    backend_open entry;
    void *symbol = dlsym(o->library, "kernels_cuda_open");
    if (!symbol)
        return error_set(ERROR_SYSTEM, "device 'cuda': %s: no kernels_cuda_open in it", path);
    memcpy(&entry, &symbol, sizeof entry); // ISO C has no cast from an object's address to a function's
    return entry(&o->device, index, dtype);
}

static void close_library(struct opened *o) {
    if (o->library)
        dlclose(o->library);
    o->library = NULL;
}

static int parse_index(const char *name, const char *text, int *index) {
    char *end;
    errno = 0;
    long n = strtol(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || n > 1023)
        return error_set(ERROR_USAGE, "device '%s': not a device number", name);
    *index = (int)n;
    return OK;
}

// Without a driver there is no GPU, and no reason to load the backend and the libraries that come with it:
// hundreds of megabytes, for every small command.
static bool has_driver(void) {
    void *driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    if (driver)
        dlclose(driver);
    return driver != NULL;
}

// CUDA, or else the CPU; that a backend does not start where a driver is, is worth a notice.
static int open_auto(struct opened *o, enum kernel_dtype dtype) {
    static const char advice[] = "; use --device cpu";
    struct device wanted = o->device;
    if (!has_driver())
        return kernels_cpu_open(&o->device, 0, dtype);
    if (open_cuda(o, 0, dtype) == OK)
        return OK;
    if (o->library || o->broken) {
        const char *why = error_message(), *end = strstr(why, advice);
        o->notice = string_format("%.*s; running on the CPU", (int)(end ? (size_t)(end - why) : strlen(why)), why);
    }
    close_library(o);
    o->device = wanted;
    return kernels_cpu_open(&o->device, 0, dtype);
}

static int open_named(struct opened *o, const char *name, enum kernel_dtype dtype) {
    int index = 0;
    if (strcmp(name, "cpu") == 0)
        return kernels_cpu_open(&o->device, 0, dtype);
    if (strcmp(name, "auto") == 0)
        return open_auto(o, dtype);
    if (strncmp(name, "cuda:", 5) == 0) {
        int code = parse_index(name, name + 5, &index);
        return code != OK ? code : open_cuda(o, index, dtype);
    }
    if (strcmp(name, "cuda") == 0)
        return open_cuda(o, 0, dtype);
    return error_set(ERROR_USAGE, "device '%s': not one of auto, cpu, cuda, cuda:N", name);
}

int device_open(struct device **d, const char *name, int threads, enum kernel_dtype dtype) {
    *d = NULL;
    struct opened *o = memory_new(1, sizeof *o);
    if (!o)
        return ERROR_SYSTEM;
    o->device.threads = threads;
    int code = open_named(o, name, dtype);
    if (code != OK) {
        close_library(o);
        free(o->notice);
        free(o);
        return code;
    }
    const struct device *open = &o->device;
    const char *type = open->compute == KERNEL_BF16 ? "bf16" : "f32";
    if (*open->detail)
        snprintf(o->description, sizeof o->description, "%s (%s, %s)", open->k->name, type, open->detail);
    else
        snprintf(o->description, sizeof o->description, "%s (%s, %d thread%s)", open->k->name, type, open->threads,
                 open->threads == 1 ? "" : "s");
    *d = &o->device;
    return OK;
}

void device_close(struct device *d) {
    if (!d)
        return;
    struct opened *o = (struct opened *)d;
    d->k->close(d);
    close_library(o);
    free(o->notice);
    free(o);
}

const char *device_describe(const struct device *d) {
    return ((const struct opened *)d)->description;
}

const char *device_notice(const struct device *d) {
    return ((const struct opened *)d)->notice;
}
