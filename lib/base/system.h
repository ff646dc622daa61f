// The machine: every call by which the library and the tools reach files, memory and the clock.
//
// system_NAME() is the call NAME(): same arguments, same result, same errno. Nothing is added here, on purpose:
// what to do about a failure, an interruption or a short count is decided once above (base/file.h, base/memory.h,
// base/progress.h), which everything else uses. No other object calls these functions of the C library itself
// (test/faults.bats looks at the symbols), so a test that links its own functions in their place, with the
// linker's --wrap, sees and may fail every one of them: test/faults/ does. free() is the C library's.
//
// Beside this layer stand: text on standard output (stdio, checked at the end by tool_main()), the walk of
// tokenize's input folders (fts), the start of threads, and what oneDNN allocates for itself.
#ifndef TACIT_BASE_SYSTEM_H
#define TACIT_BASE_SYSTEM_H

#include <dirent.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

// ---- memory ----

void *system_malloc(size_t size);
void *system_calloc(size_t count, size_t size);
void *system_realloc(void *memory, size_t size);
void *system_aligned_alloc(size_t alignment, size_t size);
void *system_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);
int system_munmap(void *address, size_t size);

// ---- descriptors ----

int system_open(const char *path, int flags, mode_t mode);
int system_mkostemp(char *pattern, int flags);
int system_close(int fd);
ssize_t system_read(int fd, void *data, size_t size);
ssize_t system_pread(int fd, void *data, size_t size, off_t offset);
ssize_t system_write(int fd, const void *data, size_t size);
ssize_t system_pwrite(int fd, const void *data, size_t size, off_t offset);
int system_pipe(int ends[2]);                                        // pipe2 with O_CLOEXEC
ssize_t system_tee(int from, int to, size_t size);                   // tee() from a pipe into another
ssize_t system_splice(int from, int to, off_t *offset, size_t size); // splice() from a pipe into a file
int system_ftruncate(int fd, off_t size);
int system_fsync(int fd);
int system_start_sync(int fd, off_t offset, off_t size); // sync_file_range with SYNC_FILE_RANGE_WRITE
int system_flock(int fd, int operation);
int system_fstat(int fd, struct stat *status);

// ---- names ----

int system_stat(const char *path, struct stat *status);
int system_lstat(const char *path, struct stat *status);
char *system_realpath(const char *path); // in fresh memory
int system_rename(const char *from, const char *to);
int system_exchange(const char *a, const char *b); // renameat2 with RENAME_EXCHANGE
int system_unlink(const char *path);
int system_mkdir(const char *path, mode_t mode);
int system_rmdir(const char *path);
int system_touch(const char *path, const struct timespec times[2]); // utimensat
DIR *system_opendir(const char *path);
struct dirent *system_readdir(DIR *directory);
int system_closedir(DIR *directory);

// ---- clock ----

int system_clock_gettime(clockid_t clock, struct timespec *time);

#endif
