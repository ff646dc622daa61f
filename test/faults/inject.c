// The layer's functions as the linker's --wrap puts them in place: each counts, and may fail.
#define ZSTD_STATIC_LINKING_ONLY
#include "base/system.h"
#include "faults.h"

#include <errno.h>
#include <fts.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <xxhash.h>
#include <zlib.h>
#include <zstd.h>

#pragma GCC diagnostic ignored "-Wmissing-prototypes" // the linker alone names these

struct faults *faults;

static bool fails(enum fault_kind kind, int reason) {
    if (!faults || !faults->active)
        return false;
    if (kind != FAULT_MEMORY && atomic_fetch_add(&faults->steps, 1) + 1 == faults->kill)
        raise(SIGKILL);
    long n = atomic_fetch_add(&faults->calls[kind], 1) + 1;
    if (kind != faults->kind || n < faults->at || (n > faults->at && !faults->on))
        return false;
    atomic_fetch_add(&faults->hits, 1);
    errno = reason;
    return true;
}

static bool interrupts(void) {
    if (!faults || !faults->interrupted || atomic_fetch_add(&faults->interruptible, 1) % 2 == 0)
        return false;
    errno = EINTR;
    return true;
}

static size_t portion(size_t size) {
    return faults && faults->brief && size > 1 ? 1 : size;
}

// function(RESULT, NAME, (PARAMETERS), (ARGUMENTS), FAILURE, CONDITION);
#define function(result, name, parameters, arguments, failure, condition)                                         \
    result __real_##name parameters;                                                                              \
    result __wrap_##name parameters {                                                                             \
        return condition ? failure : __real_##name arguments;                                                     \
    }                                                                                                             \
    result __wrap_##name parameters

// ---- memory ----

function(void *, system_malloc, (size_t size), (size), NULL, fails(FAULT_MEMORY, ENOMEM));
function(void *, system_calloc, (size_t n, size_t size), (n, size), NULL, fails(FAULT_MEMORY, ENOMEM));
function(void *, system_realloc, (void *p, size_t size), (p, size), NULL, fails(FAULT_MEMORY, ENOMEM));
function(void *, system_aligned_alloc, (size_t to, size_t size), (to, size), NULL, fails(FAULT_MEMORY, ENOMEM));
function(char *, system_realpath, (const char *path), (path), NULL, fails(FAULT_MEMORY, ENOMEM));
function(XXH3_state_t *, XXH3_createState, (void), (), NULL, fails(FAULT_MEMORY, ENOMEM));
function(void *, system_mmap, (void *p, size_t n, int protection, int flags, int fd, off_t at),
         (p, n, protection, flags, fd, at), MAP_FAILED, fails(FAULT_MAP, ENOMEM));
function(int, system_munmap, (void *p, size_t size), (p, size), -1, false);

static void *allocate(size_t size) {
    return __wrap_system_malloc(size);
}

static void *allocate_for_zstd(void *context, size_t size) {
    (void)context;
    return allocate(size);
}

static void release_for_zstd(void *context, void *p) {
    (void)context;
    free(p);
}

static void *allocate_for_zlib(void *context, unsigned count, unsigned size) {
    (void)context;
    return allocate((size_t)count * size);
}

static const ZSTD_customMem zstd_memory = {allocate_for_zstd, release_for_zstd, NULL};

ZSTD_CCtx *__wrap_ZSTD_createCCtx(void) {
    return ZSTD_createCCtx_advanced(zstd_memory);
}

ZSTD_DCtx *__wrap_ZSTD_createDCtx(void) {
    return ZSTD_createDCtx_advanced(zstd_memory);
}

ZSTD_DStream *__wrap_ZSTD_createDStream(void) {
    return ZSTD_createDStream_advanced(zstd_memory);
}

int __real_inflateInit2_(z_streamp stream, int window, const char *version, int size);
int __wrap_inflateInit2_(z_streamp stream, int window, const char *version, int size) {
    stream->zalloc = allocate_for_zlib;
    stream->zfree = release_for_zstd;
    return __real_inflateInit2_(stream, window, version, size);
}

// ---- descriptors ----

function(int, system_open, (const char *path, int flags, mode_t mode), (path, flags, mode), -1,
         fails(FAULT_OPEN, EMFILE) || interrupts());
function(int, system_mkostemp, (char *pattern, int flags), (pattern, flags), -1, fails(FAULT_OPEN, EMFILE));
function(ssize_t, system_read, (int fd, void *data, size_t size), (fd, data, portion(size)), -1,
         fails(FAULT_READ, EIO) || interrupts());
function(ssize_t, system_pread, (int fd, void *data, size_t size, off_t at), (fd, data, portion(size), at), -1,
         fails(FAULT_READ, EIO) || interrupts());
function(ssize_t, system_write, (int fd, const void *data, size_t size), (fd, data, portion(size)), -1,
         fails(FAULT_WRITE, ENOSPC) || interrupts());
function(ssize_t, system_pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, portion(size), at),
         -1, fails(FAULT_WRITE, ENOSPC) || interrupts());
function(int, system_pipe, (int *ends), (ends), -1, fails(FAULT_OPEN, EMFILE));
function(ssize_t, system_tee, (int from, int to, size_t size), (from, to, size), -1,
         fails(FAULT_READ, EIO) || interrupts());
function(ssize_t, system_splice, (int from, int to, off_t *at, size_t size), (from, to, at, portion(size)), -1,
         fails(FAULT_READ, EIO) || fails(FAULT_WRITE, ENOSPC) || interrupts());
function(int, system_ftruncate, (int fd, off_t size), (fd, size), -1, fails(FAULT_WRITE, ENOSPC));
function(int, system_fsync, (int fd), (fd), -1, fails(FAULT_SYNC, EIO) || interrupts());
function(int, system_start_sync, (int fd, off_t offset, off_t size), (fd, offset, size), -1,
         fails(FAULT_SYNC, EIO));
function(int, system_flock, (int fd, int operation), (fd, operation), -1,
         fails(FAULT_LOCK, ENOLCK) || (!(operation & LOCK_NB) && interrupts()));
function(int, system_fstat, (int fd, struct stat *status), (fd, status), -1, fails(FAULT_STATUS, EIO));

int __real_system_close(int fd);
int __wrap_system_close(int fd) {
    bool failed = fails(FAULT_CLOSE, EIO);
    int result = __real_system_close(fd);
    if (failed)
        errno = EIO;
    return failed ? -1 : result;
}

// ---- names ----

function(int, system_stat, (const char *path, struct stat *status), (path, status), -1, fails(FAULT_STATUS, EIO));
function(int, system_lstat, (const char *path, struct stat *status), (path, status), -1, fails(FAULT_STATUS, EIO));
function(int, system_rename, (const char *from, const char *to), (from, to), -1, fails(FAULT_RENAME, EIO));
function(int, system_exchange, (const char *a, const char *b), (a, b), -1, fails(FAULT_RENAME, EIO));
function(int, system_unlink, (const char *path), (path), -1, fails(FAULT_REMOVE, EACCES));
function(int, system_mkdir, (const char *path, mode_t mode), (path, mode), -1, fails(FAULT_FOLDER, ENOSPC));
function(int, system_rmdir, (const char *path), (path), -1, fails(FAULT_REMOVE, EACCES));
function(int, system_touch, (const char *path, const struct timespec times[2]), (path, times), -1,
         fails(FAULT_TOUCH, EACCES));
function(DIR *, system_opendir, (const char *path), (path), NULL, fails(FAULT_LIST, EIO));
function(struct dirent *, system_readdir, (DIR * directory), (directory), NULL, fails(FAULT_LIST, EIO));
function(int, system_closedir, (DIR * directory), (directory), -1, false);
function(FTS *, fts_open, (char *const *roots, int options, int (*order)(const FTSENT **, const FTSENT **)),
         (roots, options, order), NULL, fails(FAULT_OPEN, EMFILE));

FTSENT *__real_fts_read(FTS *tree);
FTSENT *__wrap_fts_read(FTS *tree) {
    if (!fails(FAULT_READ, EIO))
        return __real_fts_read(tree);
    while (__real_fts_read(tree)) // so that fts has nothing left
        ;
    errno = EIO;
    return NULL;
}

// ---- threads and clock ----

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *a, void *(*run)(void *), void *context);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *a, void *(*run)(void *), void *context) {
    return fails(FAULT_THREAD, EAGAIN) ? EAGAIN : __real_pthread_create(thread, a, run, context);
}

function(int, system_clock_gettime, (clockid_t clock, struct timespec *time), (clock, time), -1, false);
