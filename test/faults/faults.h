// Faults: the layer base/system.h, with a test's functions in its place (the linker's --wrap), in every tool.
//
// inject.c counts the calls of each kind and lets one fail, or all from one on. enumerate.c, before main() begins,
// forks the tool once for each fault and looks at what it leaves.
#ifndef TACIT_TEST_FAULTS_H
#define TACIT_TEST_FAULTS_H

#include <stdatomic.h>
#include <stdbool.h>

enum fault_kind {
    FAULT_MEMORY, // ENOMEM: ours, jansson's, zstd's, zlib's, xxHash's
    FAULT_OPEN,   // EMFILE
    FAULT_READ,   // EIO
    FAULT_WRITE,  // ENOSPC
    FAULT_SYNC,   // EIO
    FAULT_RENAME, // EIO
    FAULT_MAP,    // ENOMEM
    FAULT_FOLDER, // ENOSPC: mkdir
    // A tool may do without these, if its result is whole.
    FAULT_THREAD, // EAGAIN: pthread_create
    FAULT_CLOSE,  // EIO; the descriptor is closed all the same
    FAULT_REMOVE, // EACCES: unlink, rmdir
    FAULT_STATUS, // EIO: stat
    FAULT_LOCK,   // ENOLCK
    FAULT_LIST,   // EIO: opendir, readdir
    FAULT_TOUCH,  // EACCES
    FAULT_KINDS,
    FAULT_NONE = FAULT_KINDS
};

// What is to happen, and what did; shared between the process that tells and the one that suffers.
struct faults {
    bool active;
    enum fault_kind kind;
    long at;          // the first call of the kind is 1
    bool on;          // all from there on
    bool brief;       // reads and writes take one byte
    bool interrupted; // every second call that can be interrupted is
    long kill;        // kill -9 before so many calls, memory's left out; 0: never
    atomic_long steps;
    atomic_long calls[FAULT_KINDS], hits, interruptible;
};
extern struct faults *faults;

#endif
