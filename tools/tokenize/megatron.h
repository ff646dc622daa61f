// Megatron's index of a token file: NAME.idx beside NAME.bin. Sequences have a place and a length, documents are
// runs of sequences. The file is read as it is needed, whatever its size.
#ifndef TACIT_TOKENIZE_MEGATRON_H
#define TACIT_TOKENIZE_MEGATRON_H

#include <stdbool.h>
#include <stdint.h>

struct megatron;

int megatron_open(struct megatron **m, const char *path); // ERROR_INPUT where it is no such index
void megatron_close(struct megatron *m);                  // NULL is allowed
int megatron_width(const struct megatron *m);             // bytes of a token: 2 or 4
// The next sequence: its bytes in the token file, and whether its document ends with it.
int megatron_next(struct megatron *m, uint64_t *offset, uint64_t *size, bool *last, bool *got);

#endif
