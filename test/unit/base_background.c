// Jobs one after the other, and a stop: who waits for a job that is no longer done is told so.
#include "base/background.h"
#include "check.h"

#include <unistd.h>

enum { ROUNDS = 50, DEADLINE = 60 };

static int never[2]; // a pipe into which nobody writes

static int count(void *context) {
    ++*(int *)context;
    return OK;
}

static int refuse(void *context) {
    (void)context;
    return error_set(ERROR_INPUT, "refused");
}

static int read_never(void *context) {
    (void)context;
    return background_await(never[0]) ? OK : error_set(ERROR_SYSTEM, "given up");
}

static void check_order(struct background *b) {
    int done = 0;
    background_start(b, count, &done);
    background_start(b, refuse, NULL);
    CHECK_OK(background_wait(b));
    background_start(b, count, &done);
    CHECK_ERROR(background_wait(b), ERROR_INPUT);
    CHECK_MESSAGE("refused");
    CHECK_OK(background_wait(b));
    CHECK(done == 2);
}

static void check_stop(struct background *b) {
    int done = 0;
    background_start(b, read_never, NULL);
    background_start(b, count, &done);
    background_stop(b);
    CHECK_ERROR(background_wait(b), ERROR_SYSTEM);
    CHECK_ERROR(background_wait(b), ERROR_SYSTEM);
    background_start(b, count, &done); // by a thread that does not know yet
    CHECK_ERROR(background_wait(b), ERROR_SYSTEM);
    CHECK_MESSAGE("interrupted");
    CHECK(done == 0);
}

int main(void) {
    alarm(DEADLINE); // instead of waiting for ever
    CHECK(pipe(never) == 0);
    for (int i = 0; i < ROUNDS; i++) {
        struct background *b = background_new();
        if (b) { // none on one processor
            check_order(b);
            check_stop(b);
        }
        background_free(b);
    }
    background_allow(false);
    CHECK(!background_new());
    background_stop(NULL);
    background_free(NULL);
    return check_report();
}
