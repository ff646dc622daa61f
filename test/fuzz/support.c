#include "support.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <jansson.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define UNCHECKED __attribute__((no_sanitize("address")))
#else
#define UNCHECKED
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

enum { FOLDERS_MOST = 8, PIPE_OFFSET = 1, WINDOW_LOG = 12 };

static int input = -1, output = -1, standard_input = -1; // memory files; which one standard input is
static char folders[FOLDERS_MOST][64], *names[FOLDERS_MOST];
static int folder_count;
static const char memory_folder[] = "/dev/shm"; // where there is one: its files cost least

// ---- standard input and output ----

static int memory_file(void) {
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    REQUIRE(fd >= 0);
    return fd;
}

static void become_input(int fd) {
    if (standard_input != fd)
        REQUIRE(dup2(fd, STDIN_FILENO) == STDIN_FILENO);
    standard_input = fd;
}

static void put(const uint8_t *data, size_t size, off_t offset) {
    static off_t length;
    if (input < 0)
        input = memory_file();
    if (length != offset + (off_t)size) {
        length = offset + (off_t)size;
        REQUIRE(ftruncate(input, length) == 0);
    }
    REQUIRE(pwrite(input, data, size, offset) == (ssize_t)size);
    become_input(input);
    REQUIRE(lseek(STDIN_FILENO, offset, SEEK_SET) == offset);
}

void fuzz_file(const uint8_t *data, size_t size) {
    put(data, size, 0);
}

void fuzz_pipe(const uint8_t *data, size_t size) {
    put(data, size, PIPE_OFFSET);
}

void fuzz_output(void) {
    if (output < 0) {
        output = memory_file();
        REQUIRE(dup2(output, STDOUT_FILENO) == STDOUT_FILENO);
    }
    REQUIRE(ftruncate(output, 0) == 0);
    REQUIRE(lseek(STDOUT_FILENO, 0, SEEK_SET) == 0);
}

void fuzz_output_as_input(void) {
    become_input(output);
    REQUIRE(lseek(STDIN_FILENO, 0, SEEK_SET) == 0);
}

// ---- memory ----

enum { ARENA = 32 << 20, REDZONE = 16 };

static struct {
    uint8_t *bytes;
    size_t used, live;
} arena;

// All of it is poisoned but for the blocks, and freed ones until the next execution; in front of every block is a
// redzone, which begins with the block's size.
static UNCHECKED void *arena_new(size_t size) {
    size_t rounded = (size + 15) / 16 * 16;
    if (size > ARENA || arena.used + REDZONE + rounded > ARENA)
        return NULL;
    uint8_t *block = arena.bytes + arena.used + REDZONE;
    *(size_t *)(void *)(block - REDZONE) = size;
    ASAN_UNPOISON_MEMORY_REGION(block, size);
    arena.used += REDZONE + rounded;
    arena.live++;
    return block;
}

static UNCHECKED void arena_free(void *block) {
    if (!block)
        return;
    size_t *size = (size_t *)(void *)((uint8_t *)block - REDZONE);
    REQUIRE(*size != SIZE_MAX); // freed twice
    ASAN_POISON_MEMORY_REGION(block, *size);
    *size = SIZE_MAX;
    arena.live--;
}

void fuzz_json(void) {
    if (!arena.bytes) {
        arena.bytes = mmap(NULL, ARENA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        REQUIRE(arena.bytes != MAP_FAILED);
        ASAN_POISON_MEMORY_REGION(arena.bytes, ARENA);
        json_set_alloc_funcs(arena_new, arena_free);
    }
    REQUIRE(arena.live == 0); // JSON was not released, and nothing is unpoisoned
    arena.used = 0;
}

// The library gives such texts to free(), so they leave the arena.
char *json_dumps(const json_t *value, size_t flags) {
    static char *(*dumps)(const json_t *, size_t);
    if (!dumps)
        *(void **)&dumps = dlsym(RTLD_NEXT, "json_dumps");
    char *text = dumps(value, flags);
    if (!text || !arena.bytes)
        return text;
    char *copy = strdup(text);
    arena_free(text);
    return copy;
}

// zstd's contexts are large, and every stream that is opened has one: they are used again.
static ZSTD_DCtx *spare[4];

ZSTD_DCtx *ZSTD_createDCtx(void) {
    static ZSTD_DCtx *(*create)(void);
    if (!create)
        *(void **)&create = dlsym(RTLD_NEXT, "ZSTD_createDCtx");
    for (size_t i = 0; i < sizeof spare / sizeof *spare; i++)
        if (spare[i]) {
            ZSTD_DCtx *context = spare[i];
            spare[i] = NULL;
            return context;
        }
    return create();
}

size_t ZSTD_freeDCtx(ZSTD_DCtx *context) {
    static size_t (*release)(ZSTD_DCtx *);
    if (!release)
        *(void **)&release = dlsym(RTLD_NEXT, "ZSTD_freeDCtx");
    for (size_t i = 0; context && i < sizeof spare / sizeof *spare; i++)
        if (!spare[i]) {
            ZSTD_DCtx_reset(context, ZSTD_reset_session_and_parameters);
            spare[i] = context;
            return 0;
        }
    return release(context);
}

// A few bytes of zstd can stand for very many, which finds nothing; a small window has small blocks.
ZSTD_DStream *ZSTD_createDStream(void) {
    ZSTD_DCtx *context = ZSTD_createDCtx();
    REQUIRE(context && !ZSTD_isError(ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, WINDOW_LOG)));
    return context;
}

size_t ZSTD_freeDStream(ZSTD_DStream *context) {
    return ZSTD_freeDCtx(context);
}

// AddressSanitizer's own looks at all the bytes behind the one that is found, too, so that a text takes the square
// of its length.
void *memmem(const void *text, size_t size, const void *wanted, size_t length) {
    const uint8_t *p = text, *first = wanted;
    while (length > 0 && size >= length) {
        const uint8_t *found = memchr(p, *first, size - length + 1);
        if (!found)
            return NULL;
        if (memcmp(found, wanted, length) == 0)
            return (void *)(uintptr_t)found;
        size -= (size_t)(found - p) + 1;
        p = found + 1;
    }
    return length > 0 ? NULL : (void *)(uintptr_t)p; // libFuzzer asks that
}

// ---- folders ----

static void remove_folders(void) {
    for (int i = 0; i < folder_count; i++) {
        unlink(names[i]);
        rmdir(folders[i]);
        free(names[i]);
    }
}

const char *fuzz_folder(const char *name) {
    if (folder_count == 0)
        atexit(remove_folders);
    REQUIRE(folder_count < FOLDERS_MOST);
    char *folder = folders[folder_count];
    const char *place = access(memory_folder, W_OK) == 0 ? memory_folder : getenv("TMPDIR");
    snprintf(folder, sizeof folders[0], "%s/fuzz.XXXXXX", place && strlen(place) < 40 ? place : "/tmp");
    REQUIRE(mkdtemp(folder));
    char *path = names[folder_count] = string_format("%s/%s", folder, name);
    REQUIRE(path);
    if (folder_count++ > 0) {
        REQUIRE(link(names[0], path) == 0);
        return folder;
    }
    REQUIRE(input < 0); // or it were another file
    input = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    REQUIRE(input >= 0);
    return folder;
}

// ---- bytes ----

bool fuzz_replay;

uint64_t fuzz_sum(uint64_t sum, const void *data, size_t size) {
    const uint8_t *p = data;
    for (; size >= 8; p += 8, size -= 8)
        sum = (sum ^ load_le(p, 8)) * 0x9e3779b97f4a7c15u;
    return size > 0 ? (sum ^ load_le(p, (int)size)) * 0x9e3779b97f4a7c15u : sum;
}

bool fuzz_one_in(unsigned n, const uint8_t *data, size_t size) {
    return fuzz_replay || (fuzz_sum(size, data, size) >> 32) % n == 0;
}

uint8_t *fuzz_copy(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size ? size : 1);
    REQUIRE(copy);
    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}

char *fuzz_text(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1);
    REQUIRE(text);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = 0;
    return text;
}
