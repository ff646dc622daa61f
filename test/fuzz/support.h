// What the fuzz targets share. A target is one file, targets/NAME.c, with libFuzzer's entry point; it takes bytes,
// gives them to a parser in process, and holds what the parser promises with REQUIRE. `make fuzz` links it with
// libFuzzer, clang's AddressSanitizer and UndefinedBehaviorSanitizer; the tests link it with replay.c, which runs
// it over the kept inputs of corpus/NAME.
#ifndef TACIT_TEST_FUZZ_SUPPORT_H
#define TACIT_TEST_FUZZ_SUPPORT_H

#include "base/error.h"
#include "base/memory.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Standard input becomes a memory file of these bytes, at its start: what reads files by name takes "-" for it.
void fuzz_file(const uint8_t *data, size_t size);
// The same at an offset above 0, which lib/stream reads front to back, as it reads a pipe.
void fuzz_pipe(const uint8_t *data, size_t size);
// Standard output becomes an empty memory file; and then that file standard input.
void fuzz_output(void);
void fuzz_output_as_input(void);

// jansson's memory comes from one arena: as strict as malloc under AddressSanitizer, and many times faster. Each
// execution begins with it: everything that the one before took must have been given back. What a target keeps is
// made before its first call.
void fuzz_json(void);

// One input in `n`, always the same ones: for checks that cost more than the parser. Every kept input is one.
bool fuzz_one_in(unsigned n, const uint8_t *data, size_t size);
extern bool fuzz_replay;

// A sum of all bytes, begun with any number or with the sum of others.
uint64_t fuzz_sum(uint64_t sum, const void *data, size_t size);

// A folder in which NAME is what fuzz_file() put into standard input; made once, removed at exit.
const char *fuzz_folder(const char *name);

// A copy of exactly `size` bytes, so that a read beyond the end is seen; free() it.
uint8_t *fuzz_copy(const uint8_t *data, size_t size);
// The same with a 0 byte behind.
char *fuzz_text(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                        \
    do {                                                                                                          \
        if (!(condition)) {                                                                                       \
            fprintf(stderr, "%s:%d: not so: %s (latest message: %s)\n", __FILE__, __LINE__, #condition,           \
                    error_message());                                                                             \
            abort();                                                                                              \
        }                                                                                                         \
    } while (0)

#endif
