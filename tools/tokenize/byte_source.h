// The bytes of an input, decompressed: gzip and zstd are recognised by their magic, anything else is taken as is.
// Several members or frames behind each other are one text. A compressed input that ends early, or goes on with
// something else, is ERROR_INPUT with its byte.
#ifndef TACIT_TOKENIZE_BYTE_SOURCE_H
#define TACIT_TOKENIZE_BYTE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct byte_source;

enum { STREAM_MAGIC = 6 };                         // bytes
bool is_stream_magic(const void *bytes, size_t n); // whether they begin a stream of ours

int byte_source_open(struct byte_source **s, const char *path); // NULL or "-": standard input
void byte_source_close(struct byte_source *s);                  // NULL is allowed
// Up to size bytes, short only at the end. Errors carry the input's name.
int byte_source_read(struct byte_source *s, void *data, size_t size, size_t *got);
const char *byte_source_name(const struct byte_source *s);
uint64_t byte_source_consumed(const struct byte_source *s); // bytes read from the file itself

#endif
