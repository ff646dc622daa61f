#include "base/system.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

// ---- memory ----

void *system_malloc(size_t size) {
    return malloc(size);
}

void *system_calloc(size_t count, size_t size) {
    return calloc(count, size);
}

void *system_realloc(void *memory, size_t size) {
    return realloc(memory, size);
}

void *system_aligned_alloc(size_t alignment, size_t size) {
    return aligned_alloc(alignment, size);
}

void *system_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset) {
    return mmap(address, size, protection, flags, fd, offset);
}

int system_munmap(void *address, size_t size) {
    return munmap(address, size);
}

// ---- descriptors ----

int system_open(const char *path, int flags, mode_t mode) {
    return open(path, flags, mode);
}

int system_mkostemp(char *pattern, int flags) {
    return mkostemp(pattern, flags);
}

int system_close(int fd) {
    return close(fd);
}

ssize_t system_read(int fd, void *data, size_t size) {
    return read(fd, data, size);
}

ssize_t system_pread(int fd, void *data, size_t size, off_t offset) {
    return pread(fd, data, size, offset);
}

ssize_t system_write(int fd, const void *data, size_t size) {
    return write(fd, data, size);
}

ssize_t system_pwrite(int fd, const void *data, size_t size, off_t offset) {
    return pwrite(fd, data, size, offset);
}

int system_pipe(int ends[2]) {
    return pipe2(ends, O_CLOEXEC);
}

ssize_t system_tee(int from, int to, size_t size) {
    return tee(from, to, size, 0);
}

ssize_t system_splice(int from, int to, off_t *offset, size_t size) {
    return splice(from, NULL, to, offset, size, 0);
}

int system_ftruncate(int fd, off_t size) {
    return ftruncate(fd, size);
}

int system_fsync(int fd) {
    return fsync(fd);
}

int system_start_sync(int fd, off_t offset, off_t size) {
    return sync_file_range(fd, offset, size, SYNC_FILE_RANGE_WRITE);
}

int system_flock(int fd, int operation) {
    return flock(fd, operation);
}

int system_fstat(int fd, struct stat *status) {
    return fstat(fd, status);
}

// ---- names ----

int system_stat(const char *path, struct stat *status) {
    return stat(path, status);
}

int system_lstat(const char *path, struct stat *status) {
    return lstat(path, status);
}

char *system_realpath(const char *path) {
    return realpath(path, NULL);
}

int system_rename(const char *from, const char *to) {
    return rename(from, to);
}

int system_exchange(const char *a, const char *b) {
    return renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
}

int system_unlink(const char *path) {
    return unlink(path);
}

int system_mkdir(const char *path, mode_t mode) {
    return mkdir(path, mode);
}

int system_rmdir(const char *path) {
    return rmdir(path);
}

int system_touch(const char *path, const struct timespec times[2]) {
    return utimensat(AT_FDCWD, path, times, 0);
}

DIR *system_opendir(const char *path) {
    return opendir(path);
}

struct dirent *system_readdir(DIR *directory) {
    return readdir(directory);
}

int system_closedir(DIR *directory) {
    return closedir(directory);
}

// ---- clock ----

int system_clock_gettime(clockid_t clock, struct timespec *time) {
    return clock_gettime(clock, time);
}
