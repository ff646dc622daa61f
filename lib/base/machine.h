// What this process may use of the machine. What the kernel does not tell is left out, without an error.
#ifndef TACIT_BASE_MACHINE_H
#define TACIT_BASE_MACHINE_H

#include <stddef.h>

// Bytes of memory that the process can have: the machine's, or less where its control group or one above it has a
// limit (version 1 or 2). `root` stands before every path, "" outside of tests.
int machine_memory(const char *root, size_t *bytes);

// The most bytes that were resident at once so far (VmHWM); 0: not known.
size_t machine_peak(void);

#endif
