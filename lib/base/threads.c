#include "base/threads.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/progress.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// How long a thread that waits polls before it sleeps. Training runs tens of thousands of regions a second,
// and a sleeping thread takes about as long as this to come back.
static const double spin_seconds = 50e-6;
enum { SPIN_BATCH = 32 };

struct worker {
    struct threads *pool;
    pthread_t handle;
    int index;
};

// One region at a time. `work` holds (region number << 32 | tasks not yet taken): a task is taken by a
// compare-and-swap of the whole word, so a thread that wakes late can neither take a task of a finished region
// nor hold up a new one, and the fields that describe a region are stable for whoever holds a task of it.
struct threads {
    int count, started;
    bool spin;
    struct worker *workers;
    void (*task)(void *context, int i, int thread);
    void *context;
    int tasks;
    _Alignas(64) _Atomic uint64_t work;
    _Alignas(64) atomic_int pending; // tasks of the region that are not yet finished
    atomic_int sleepers;             // workers in, or on their way into, the condition variable
    atomic_bool caller_sleeps, stop;
    pthread_mutex_t mutex;
    pthread_cond_t region_started, region_done;
};

int threads_processors(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#else
    atomic_signal_fence(memory_order_seq_cst);
#endif
}

static bool has_work(struct threads *pool) {
    return (uint32_t)atomic_load(&pool->work) > 0 || atomic_load(&pool->stop);
}

static bool is_done(struct threads *pool) {
    return atomic_load(&pool->pending) == 0;
}

static bool spin_until(struct threads *pool, bool (*condition)(struct threads *)) {
    if (!pool->spin)
        return condition(pool);
    double end = clock_seconds() + spin_seconds;
    do {
        for (int i = 0; i < SPIN_BATCH; i++) {
            if (condition(pool))
                return true;
            relax();
        }
    } while (clock_seconds() < end);
    return false;
}

// Take tasks until none is left; the number finished is told once, at the end.
static void work_off(struct threads *pool, int thread) {
    int finished = 0;
    uint64_t word = atomic_load(&pool->work);
    while ((uint32_t)word > 0) {
        if (!atomic_compare_exchange_weak(&pool->work, &word, word - 1))
            continue;
        pool->task(pool->context, pool->tasks - (int)(uint32_t)word, thread);
        finished++;
        word = atomic_load(&pool->work);
    }
    if (finished > 0 && atomic_fetch_sub(&pool->pending, finished) == finished &&
        atomic_load(&pool->caller_sleeps)) {
        pthread_mutex_lock(&pool->mutex);
        pthread_cond_signal(&pool->region_done);
        pthread_mutex_unlock(&pool->mutex);
    }
}

// Either the sleeper sees the new region or the caller sees the sleeper: both sides write, then read the
// other's word, sequentially consistent.
static void sleep_until_work(struct threads *pool) {
    pthread_mutex_lock(&pool->mutex);
    atomic_fetch_add(&pool->sleepers, 1);
    while (!has_work(pool))
        pthread_cond_wait(&pool->region_started, &pool->mutex);
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->mutex);
}

static void *worker_main(void *argument) {
    struct worker *self = argument;
    struct threads *pool = self->pool;
    while (!atomic_load(&pool->stop)) {
        if (!spin_until(pool, has_work))
            sleep_until_work(pool);
        work_off(pool, self->index);
    }
    return NULL;
}

static void wake_workers(struct threads *pool) {
    if (atomic_load(&pool->sleepers) == 0)
        return;
    pthread_mutex_lock(&pool->mutex);
    pthread_cond_broadcast(&pool->region_started);
    pthread_mutex_unlock(&pool->mutex);
}

static int start_workers(struct threads *pool) {
    // Signals are for the caller's thread, but for those that a write itself raises.
    sigset_t all, old;
    sigfillset(&all);
    sigdelset(&all, SIGPIPE);
    sigdelset(&all, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    int code = OK;
    for (int i = 1; code == OK && i < pool->count; i++) {
        struct worker *worker = &pool->workers[i - 1];
        worker->pool = pool;
        worker->index = i;
        errno = pthread_create(&worker->handle, NULL, worker_main, worker);
        if (errno != 0)
            code = error_set_errno(ERROR_SYSTEM, "cannot start thread %d of %d", i + 1, pool->count);
        else
            pool->started++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return code;
}

int threads_new(struct threads **result, int n) {
    *result = NULL;
    struct threads *pool = memory_new_aligned(sizeof *pool);
    if (!pool)
        return ERROR_SYSTEM;
    memset(pool, 0, sizeof *pool);
    pool->count = n > 0 ? n : threads_processors();
    pool->spin = pool->count <= threads_processors();
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->region_started, NULL);
    pthread_cond_init(&pool->region_done, NULL);
    pool->workers = memory_new((size_t)pool->count, sizeof *pool->workers);
    int code = pool->workers ? start_workers(pool) : ERROR_SYSTEM;
    if (code != OK) {
        threads_free(pool);
        return code;
    }
    *result = pool;
    return OK;
}

void threads_free(struct threads *pool) {
    if (!pool)
        return;
    atomic_store(&pool->stop, true);
    wake_workers(pool);
    for (int i = 0; i < pool->started; i++)
        pthread_join(pool->workers[i].handle, NULL);
    pthread_cond_destroy(&pool->region_done);
    pthread_cond_destroy(&pool->region_started);
    pthread_mutex_destroy(&pool->mutex);
    free(pool->workers);
    free(pool);
}

int threads_count(const struct threads *pool) {
    return pool ? pool->count : 1;
}

void threads_run(struct threads *pool, int tasks, void (*task)(void *context, int i, int thread), void *context) {
    if (threads_count(pool) == 1 || tasks <= 1) {
        for (int i = 0; i < tasks; i++)
            task(context, i, 0);
        return;
    }
    pool->task = task;
    pool->context = context;
    pool->tasks = tasks;
    atomic_store(&pool->pending, tasks);
    uint64_t region = (atomic_load(&pool->work) >> 32) + 1;
    atomic_store(&pool->work, region << 32 | (uint32_t)tasks);
    wake_workers(pool);
    work_off(pool, 0);
    if (spin_until(pool, is_done))
        return;
    pthread_mutex_lock(&pool->mutex);
    atomic_store(&pool->caller_sleeps, true);
    while (!is_done(pool))
        pthread_cond_wait(&pool->region_done, &pool->mutex);
    atomic_store(&pool->caller_sleeps, false);
    pthread_mutex_unlock(&pool->mutex);
}
