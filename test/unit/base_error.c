#include "base/error.h"
#include "check.h"

#include <errno.h>
#include <pthread.h>

static void *other_thread(void *seen) {
    *(int *)seen = error_message()[0];
    error_set(ERROR_SYSTEM, "another thread's");
    return NULL;
}

int main(void) {
    CHECK_EQUAL_STRING(error_message(), "");
    CHECK_ERROR(error_set(ERROR_INPUT, "frame %d: hash mismatch", 17), ERROR_INPUT);
    CHECK_EQUAL_STRING(error_message(), "frame 17: hash mismatch");
    CHECK_ERROR(error_prefix(ERROR_INPUT, "%s", "a.tok"), ERROR_INPUT);
    CHECK_EQUAL_STRING(error_message(), "a.tok: frame 17: hash mismatch");

    // Its own message may be an argument.
    error_set(ERROR_INPUT, "<%s>", error_message());
    CHECK_EQUAL_STRING(error_message(), "<a.tok: frame 17: hash mismatch>");
    error_prefix(ERROR_INPUT, "%s", error_message());
    CHECK_EQUAL_STRING(error_message(), "<a.tok: frame 17: hash mismatch>: <a.tok: frame 17: hash mismatch>");

    errno = ENOSPC;
    CHECK_ERROR(error_set_errno(ERROR_SYSTEM, "%s: write failed", "x"), ERROR_SYSTEM);
    CHECK_EQUAL_STRING(error_message(), "x: write failed: No space left on device");

    // What is too long is cut, whichever part it is.
    static char big[10000];
    memset(big, 'a', sizeof big - 1);
    error_set(ERROR_INPUT, "%s", big);
    size_t most = strlen(error_message());
    CHECK(most > 1000 && most < sizeof big);
    error_prefix(ERROR_INPUT, "front");
    CHECK_EQUAL_INT(strlen(error_message()), most);
    CHECK(strncmp(error_message(), "front: aaa", 10) == 0);
    error_prefix(ERROR_INPUT, "%s", big);
    CHECK_EQUAL_INT(strlen(error_message()), most);
    for (size_t n = most - 5; n <= most + 1; n++) {
        error_set(ERROR_INPUT, "cause");
        error_prefix(ERROR_INPUT, "%.*s", (int)n, big);
        CHECK(strlen(error_message()) <= most);
        errno = EIO;
        error_set_errno(ERROR_SYSTEM, "%.*s", (int)n, big);
        CHECK(strlen(error_message()) <= most);
    }

    int seen = -1;
    pthread_t thread;
    error_set(ERROR_INPUT, "mine");
    CHECK(pthread_create(&thread, NULL, other_thread, &seen) == 0);
    pthread_join(thread, NULL);
    CHECK_EQUAL_INT(seen, 0);
    CHECK_EQUAL_STRING(error_message(), "mine");
    return check_report();
}
