// A thread beside the caller's that does one job at a time: reading, writing and (de)compressing go on while the
// caller computes. What a job does depends on its context alone, so a result is the same with and without it.
#ifndef TACIT_BASE_BACKGROUND_H
#define TACIT_BASE_BACKGROUND_H

#include <stdbool.h>

struct background;

// Start a thread. NULL where there is none to be had (one processor, many of them already, the system's limits, or
// not allowed): then the caller does its jobs itself.
struct background *background_new(void);
// Whether background_new() gives any from now on: a process that is to use one thread allows none.
void background_allow(bool allowed);
// Have every background_await() of the job under way and of later ones return false. NULL is allowed, here and
// below.
void background_stop(struct background *b);
void background_free(struct background *b); // stops it first, and waits for its job

// Start job(context); the one before has been waited for.
void background_start(struct background *b, int (*job)(void *context), void *context);
// Wait for the job that was started, and take over its error code and message.
int background_wait(struct background *b);

// In a job, before a read that may wait for ever: wait until `fd` has something, or its end. False where the job
// is to be given up instead. Outside of jobs true at once.
bool background_await(int fd);

#endif
