// For lib/base alone: files under construction, whose names signals and failed exits clear; calls that outlast
// signals.
#ifndef TACIT_BASE_OUTPUT_H
#define TACIT_BASE_OUTPUT_H

#include <sys/types.h>

// Unlink every file under construction (a failed exit). Async-signal-safe.
void output_remove_unfinished(void);

// open() and fsync() as errno reports them, begun again after a signal; a file system that knows no fsync is fine.
int path_open(const char *path, int flags, mode_t mode);
int descriptor_sync(int fd);

#endif
