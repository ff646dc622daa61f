// Files under construction, for lib/base alone: the table of temporary names that signals and failed exits clear.
#ifndef TACIT_BASE_OUTPUT_H
#define TACIT_BASE_OUTPUT_H

// Unlink every file under construction (a failed exit). Async-signal-safe.
void output_remove_unfinished(void);

// Flush a directory's entries of `path`, so that a rename survives a power cut.
int path_sync_parent(const char *path);

#endif
