// Files: complete reads and writes, and outputs that appear whole or not at all.
//
// An output named by a path is written to `PATH.tmp.<pid>.<n>` beside it (created exclusively), synced and
// renamed over PATH by output_commit(): readers see the old file or the new one, never a part. The names of
// files under construction are registered; SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGXFSZ and a failed exit
// remove them. They are locked (flock) while their writer lives: what a killed writer left has no lock, and the
// next output_open() of the same PATH removes it; where that is the older file,
// PATH seems old (path_make_old()), so that make comes to it. A PATH that exists and is no regular file
// (/dev/full, a fifo) is written to directly.
#ifndef TACIT_BASE_FILE_H
#define TACIT_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct buffer;

// ---- output ----

struct output; // a byte sink: standard output, or a file under construction

// Open for writing. path NULL or "-" is standard output (refused with ERROR_USAGE where `binary` is set and
// it is a terminal; the message names `-o FILE`). Parent directories are not created.
int output_open(struct output **out, const char *path, bool binary);
int output_write(struct output *out, const void *data, size_t size); // all bytes; EINTR is handled
int output_sync(struct output *out); // flush and sync, so that only the rename is left to output_commit()
// Flush, sync, rename (a file) or flush and check (standard output). Frees out either way; on failure
// nothing is left behind and the old file is intact.
int output_commit(struct output *out);
int output_commit_all(struct output **outs, int count); // all or none; frees them either way
void output_abort(struct output *out);                  // remove what was written; frees out; NULL is allowed
const char *output_name(const struct output *out);      // the path, or "standard output"
bool path_is_unfinished(const char *path); // by its name: one that this process has under construction

// Write size bytes to path atomically, as above.
int file_write(const char *path, const void *data, size_t size);

// ---- input ----

// A file opened for sequential reading: path NULL or "-" is standard input.
int input_open(int *fd, const char *path);
void input_close(int fd);                 // standard input stays open
const char *input_name(const char *path); // path, or "standard input"; '' for none
// Read up to size bytes, short only at the end of the input; *got says how many. EINTR is handled.
int input_read(int fd, void *data, size_t size, size_t *got);
int input_read_some(int fd, void *data, size_t size, size_t *got); // what is there; 0 bytes only at the end
// The first bytes of what is still to come, which stay there; short only at the end. Of what is no file and no
// pipe: none.
int input_peek(int fd, void *data, size_t size, size_t *got);
// Append what is there, up to size bytes, to a file: at its offset `to_offset`, without a copy in memory where
// that can be; *got = 0 only at the end of the input. EINTR is handled.
int input_move_some(int fd, int to, uint64_t to_offset, size_t size, size_t *got);
// Read at an offset; short only at the end of the file.
int input_read_at(int fd, uint64_t offset, void *data, size_t size, size_t *got);
// Read a whole file into a fresh buffer (a 0 byte is put behind data[size]); refuses more than `limit`.
int file_read(const char *path, size_t limit, struct buffer *out);
int file_size(int fd, uint64_t *size);                   // ERROR_SYSTEM where fd is no regular file
int path_open(const char *path, int flags, mode_t mode); // open(), begun again after a signal
bool descriptor_has_name(int fd);                        // false where the open file is known to have been removed

// ---- directories ----

int directory_make(const char *path);   // with parents; an existing directory is fine
int directory_sync(const char *path);   // after a rename inside it
int path_sync_parent(const char *path); // the same, for the folder of a name
int directory_remove(const char *path); // with everything below; an absent path is fine
// Call visit(context, path/name, name) for every entry, in no order, until one returns an error, which is
// returned.
int directory_each(const char *path, int (*visit)(void *context, const char *entry, const char *name),
                   void *context);
bool path_exists(const char *path); // true also where that cannot be found out
// The path of a library that lies beside this program, or in ../lib or ../lib/tacit from there; false where none
// does.
bool path_of_library(const char *name, char *path, size_t size);
bool path_is_directory(const char *path);
// Both are one regular file; NULL or "-": standard output, and standard input.
bool path_is_input(const char *output, const char *input);
char *path_join(const char *a, const char *b); // "a/b"; free() it; NULL with the error set
char *path_parent(const char *path);           // the folder of its last name, "." where none is given; as above
int path_rename(const char *from, const char *to);
// Let a file seem to be from 1971, until path_touch(): a run that is killed in between is for make still to be
// done, and the next one clears what it left. Only a help, so failing is fine.
void path_make_old(const char *path);
bool path_is_old(const char *path);
int path_touch(const char *path, const char *like); // as new as `like`; NULL: as now

// ---- scratch ----

// An anonymous temporary file (unlinked at once) in $TMPDIR or /tmp, for spools; close() it.
int scratch_open(int *fd);
// These bytes are not needed any more: their place may go to others. Only a saving, so failing is fine.
void scratch_forget(int fd, uint64_t offset, uint64_t size);
// Write all bytes at an offset of a plain descriptor.
int descriptor_write_at(int fd, uint64_t offset, const void *data, size_t size);

#endif
