#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MESSAGE_SIZE = 4096 };

static _Thread_local char message[MESSAGE_SIZE];

// Arguments may point into `message` itself (a cause quoted in a new message), so every text is formatted
// beside it and copied.
static void store(const char *text) {
    size_t n = strlen(text);
    if (n >= MESSAGE_SIZE)
        n = MESSAGE_SIZE - 1;
    memcpy(message, text, n);
    message[n] = 0;
}

// In parentheses for the header has macros of these names, for the analyzer.
int(error_set)(int code, const char *format, ...) {
    char text[MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    store(text);
    return code;
}

int(error_set_errno)(int code, const char *format, ...) {
    char text[MESSAGE_SIZE], reason[128];
    const char *cause = strerror_r(errno, reason, sizeof reason);
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (n >= 0 && (size_t)n < sizeof text)
        snprintf(text + n, sizeof text - (size_t)n, ": %s", cause);
    store(text);
    return code;
}

int(error_prefix)(int code, const char *format, ...) {
    char text[MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    // What does not fit is cut at the end.
    if (n >= 0 && (size_t)n + 2 < sizeof text) {
        size_t at = (size_t)n + 2, rest = strnlen(message, sizeof text - 1 - at);
        memcpy(text + n, ": ", 2);
        memcpy(text + at, message, rest);
        text[at + rest] = 0;
    }
    store(text);
    return code;
}

const char *error_message(void) {
    return message;
}
