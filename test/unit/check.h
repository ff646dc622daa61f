// Checks for the unit programs: each failure is one line with file:line, and main ends with
// `return check_report();`, which is 1 where a check failed or none was made.
#ifndef TACIT_TEST_UNIT_CHECK_H
#define TACIT_TEST_UNIT_CHECK_H

#include "base/error.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check_count, check_failures;

// The device that a program of kernels or models checks: TACIT_TEST_DEVICE, or the CPU.
static inline const char *test_device(void) {
    const char *name = getenv("TACIT_TEST_DEVICE");
    return name && *name ? name : "cpu";
}

static inline bool check_result(bool good, const char *file, int line) {
    check_count++;
    if (!good) {
        check_failures++;
        printf("%s:%d: ", file, line);
    }
    return good;
}

static inline void check_true(bool good, const char *text, const char *file, int line) {
    if (!check_result(good, file, line))
        printf("%s\n", text);
}

static inline void check_integers(long long got, long long expected, const char *text, const char *file,
                                  int line) {
    if (!check_result(got == expected, file, line))
        printf("%s is %lld, expected %lld\n", text, got, expected);
}

static inline void check_strings(const char *got, const char *expected, const char *text, const char *file,
                                 int line) {
    if (!check_result(got && expected && strcmp(got, expected) == 0, file, line))
        printf("%s is '%s', expected '%s'\n", text, got ? got : "(null)", expected ? expected : "(null)");
}

// |got - expected| <= tolerance x max(1, |expected|); a NaN is close to nothing, an infinity to itself.
static inline void check_close(double got, double expected, double tolerance, const char *text, const char *file,
                               int line) {
    double scale = fabs(expected) > 1 ? fabs(expected) : 1;
    bool good = got == expected || fabs(got - expected) <= tolerance * scale;
    if (!check_result(good, file, line))
        printf("%s is %.17g, expected %.17g within %g\n", text, got, expected, tolerance);
}

static inline void check_code(int got, int expected, const char *text, const char *file, int line) {
    if (!check_result(got == expected, file, line))
        printf("%s returned %d, expected %d (latest message: %s)\n", text, got, expected, error_message());
}

static inline int check_report(void) {
    printf("%d checks, %d failed\n", check_count, check_failures);
    return check_failures > 0 || check_count == 0;
}

#define CHECK(condition) check_true((condition), #condition, __FILE__, __LINE__)
#define CHECK_EQUAL_INT(got, expected)                                                                            \
    check_integers((long long)(got), (long long)(expected), #got, __FILE__, __LINE__)
#define CHECK_EQUAL_STRING(got, expected) check_strings((got), (expected), #got, __FILE__, __LINE__)
#define CHECK_CLOSE(got, expected, tolerance) check_close((got), (expected), (tolerance), #got, __FILE__, __LINE__)
#define CHECK_OK(call) check_code((call), OK, #call, __FILE__, __LINE__)
#define CHECK_ERROR(call, code) check_code((call), (code), #call, __FILE__, __LINE__)
// The latest error message contains `text`.
#define CHECK_MESSAGE(text)                                                                                       \
    check_true(strstr(error_message(), (text)) != NULL, "the latest message lacks " #text, __FILE__, __LINE__)

#endif
