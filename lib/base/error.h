// Errors: a code that is also the exit status of a tool, and one message per thread.
//
// Every library function that can fail returns one of these codes (0 is success) and leaves a message
// for error_message(). The library neither prints nor exits. A message reads `place: cause`, lower case,
// without a full stop; the caller that knows the stream puts its name in front with error_prefix(), the
// tool's main puts the tool's name in front of all. The enum is append-only: scripts test exit codes.
#ifndef TACIT_BASE_ERROR_H
#define TACIT_BASE_ERROR_H

enum {
    OK = 0,
    ERROR_SYSTEM = 1,  // input/output, memory, device
    ERROR_USAGE = 2,   // the command line
    ERROR_INPUT = 3,   // input corrupt or incompatible
    ERROR_NUMERIC = 4, // NaN or Inf in a loss or score
};

// Store the message and return `code`, so that `return error_set(ERROR_INPUT, ...)` reads as one line.
int error_set(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

// The same with ": " and strerror(errno) behind the message.
int error_set_errno(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Put `format` and ": " in front of the stored message; returns `code`.
int error_prefix(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

#ifdef __clang_analyzer__ // it does not see which codes these return: never OK, and the code that they got
#define error_set(code, ...) ((error_set)(code, __VA_ARGS__), (code) != OK ? (code) : ERROR_SYSTEM)
#define error_set_errno(code, ...) ((error_set_errno)(code, __VA_ARGS__), (code) != OK ? (code) : ERROR_SYSTEM)
#define error_prefix(code, ...) ((error_prefix)(code, __VA_ARGS__), (code))
#endif

// The message of this thread's latest error; "" before the first. Valid until the next error_set.
const char *error_message(void);

#endif
