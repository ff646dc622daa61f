#include "base/background.h"
#include "base/error.h"
#include "base/system.h"
#include "base/threads.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/eventfd.h>

enum { THREADS_MOST = 16, MESSAGE_SIZE = 4096, STACK_SIZE = 1 << 20 };

struct job {
    int (*run)(void *context);
    void *context;
    int code;
    char message[MESSAGE_SIZE]; // of its error: messages belong to threads
};

struct background {
    atomic_bool taken;
    pthread_t handle;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int wake;         // readable once it is to stop
    bool stop, ended; // ended: it does no further job
    struct job jobs[BACKGROUND_JOBS];
    unsigned started, finished, waited; // jobs so far
};

static struct background threads[THREADS_MOST];
static atomic_bool denied;
static _Thread_local struct background *current; // in a job

void background_allow(bool allowed) {
    atomic_store(&denied, !allowed);
}

bool background_await(int fd) {
    if (!current)
        return true;
    struct pollfd ready[] = {{.fd = fd, .events = POLLIN}, {.fd = current->wake, .events = POLLIN}};
    while (poll(ready, 2, -1) < 0)
        if (errno != EINTR)
            return true; // the read will tell
    return !ready[1].revents;
}

static void *background_main(void *argument) {
    struct background *b = argument;
    current = b;
    pthread_mutex_lock(&b->mutex);
    for (;;) {
        while (b->finished == b->started && !b->stop)
            pthread_cond_wait(&b->changed, &b->mutex);
        if (b->stop)
            break;
        struct job *job = &b->jobs[b->finished % BACKGROUND_JOBS];
        pthread_mutex_unlock(&b->mutex);
        job->code = job->run(job->context);
        if (job->code != OK)
            snprintf(job->message, sizeof job->message, "%s", error_message());
        pthread_mutex_lock(&b->mutex);
        b->finished++;
        pthread_cond_broadcast(&b->changed);
    }
    b->ended = true;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->mutex);
    return NULL;
}

// Signals are for the caller's thread, but for those that a write itself raises.
static bool start_thread(struct background *b) {
    sigset_t blocked, old;
    pthread_attr_t attributes;
    sigfillset(&blocked);
    sigdelset(&blocked, SIGPIPE);
    sigdelset(&blocked, SIGXFSZ);
    if (pthread_attr_init(&attributes) != 0)
        return false;
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    pthread_sigmask(SIG_BLOCK, &blocked, &old);
    bool good = pthread_create(&b->handle, &attributes, background_main, b) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attributes);
    return good;
}

static struct background *take(void) {
    for (int i = 0; i < THREADS_MOST; i++)
        if (!atomic_exchange(&threads[i].taken, true))
            return &threads[i];
    return NULL;
}

static void release(struct background *b) {
    if (b->wake >= 0)
        system_close(b->wake);
    pthread_cond_destroy(&b->changed);
    pthread_mutex_destroy(&b->mutex);
    atomic_store(&b->taken, false);
}

struct background *background_new(void) {
    struct background *b = atomic_load(&denied) || threads_processors() == 1 ? NULL : take();
    if (!b)
        return NULL;
    b->stop = b->ended = false;
    b->started = b->finished = b->waited = 0;
    pthread_mutex_init(&b->mutex, NULL);
    pthread_cond_init(&b->changed, NULL);
    b->wake = eventfd(0, EFD_CLOEXEC);
    if (b->wake >= 0 && start_thread(b))
        return b;
    release(b);
    return NULL;
}

void background_stop(struct background *b) {
    if (!b)
        return;
    pthread_mutex_lock(&b->mutex);
    b->stop = true;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->mutex);
    (void)eventfd_write(b->wake, 1);
}

void background_free(struct background *b) {
    if (!b)
        return;
    background_stop(b);
    pthread_join(b->handle, NULL);
    release(b);
}

void background_start(struct background *b, int (*job)(void *context), void *context) {
    pthread_mutex_lock(&b->mutex);
    struct job *free = &b->jobs[b->started++ % BACKGROUND_JOBS];
    free->run = job;
    free->context = context;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->mutex);
}

int background_wait(struct background *b) {
    pthread_mutex_lock(&b->mutex);
    while (b->finished == b->waited && !b->ended)
        pthread_cond_wait(&b->changed, &b->mutex);
    bool done = b->finished != b->waited;
    pthread_mutex_unlock(&b->mutex);
    if (!done)
        return error_set(ERROR_SYSTEM, "interrupted");
    const struct job *job = &b->jobs[b->waited++ % BACKGROUND_JOBS];
    return job->code == OK ? OK : error_set(job->code, "%s", job->message);
}
