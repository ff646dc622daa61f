// A thread beside the caller's that does one job after the other: reading, writing and (de)compressing go on while
// the caller computes. What a job does depends on its context alone, so a result is the same with and without it.
#ifndef TACIT_BASE_BACKGROUND_H
#define TACIT_BASE_BACKGROUND_H

#include <stdbool.h>

struct background;

enum { BACKGROUND_JOBS = 2 }; // so many may be under way: one is done while the next waits for it

// Start a thread. NULL where there is none to be had (one processor, many of them already, the system's limits, or
// not allowed): then the caller does its jobs itself.
struct background *background_new(void);
// Whether background_new() gives any from now on: a process that is to use one thread allows none.
void background_allow(bool allowed);
// Have every background_await() of the job under way and of later ones return false. NULL is allowed, here and
// below.
void background_stop(struct background *b);
// Stops it first, and waits for the job that it is at; later ones are not done.
void background_free(struct background *b);

// Start job(context), behind those under way; each is waited for in turn.
void background_start(struct background *b, int (*job)(void *context), void *context);
// Wait for the first of the jobs under way, and take over its error code and message; ERROR_SYSTEM where it was
// stopped before it came to that one.
int background_wait(struct background *b);

// In a job, before a read that may wait for ever: wait until `fd` has something, or its end. False where the job
// is to be given up instead. Outside of jobs true at once.
bool background_await(int fd);

#endif
