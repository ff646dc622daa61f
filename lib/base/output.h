// For lib/base alone: files under construction, whose names signals and failed exits clear.
#ifndef TACIT_BASE_OUTPUT_H
#define TACIT_BASE_OUTPUT_H

// Unlink every file under construction (a failed exit). Async-signal-safe.
void output_remove_unfinished(void);

// Remove the files under construction that killed writers of `target` left beside it.
int output_clear_leftovers(const char *target);

// fsync() as errno reports it, begun again after a signal; a file system that knows none is fine.
int descriptor_sync(int fd);

#endif
