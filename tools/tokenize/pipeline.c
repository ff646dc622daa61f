#include "tokenize/pipeline.h"
#include "base/background.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/threads.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

enum state { FREE, READ, WORKING, DONE };

struct slot {
    enum state state;
    int code, read_code; // of the work, then of the reading that came with it
    char *message;
};

struct run {
    const struct pipeline *pipeline;
    void *const *batches;
    struct slot *slots;
    uint64_t count;                // of slots
    uint64_t read, taken, settled; // batches so far: slot n % count each
    bool reading, settling, over;  // over: there is nothing more to read
    bool *working;                 // by worker
    int workers;
    int code;
    char *message; // of code
    pthread_mutex_t mutex;
    pthread_cond_t changed;
};

// Messages belong to threads; this one goes to whoever settles.
static void keep_message(char **message) {
    free(*message);
    *message = string_copy(error_message());
}

static void finish(struct run *r, int code, char **message) {
    if (r->code != OK)
        return;
    r->code = code;
    r->message = *message;
    *message = NULL;
}

// Each of these is called with the mutex held, which it gives up meanwhile.

static void read_batch(struct run *r) {
    uint64_t n = r->read % r->count;
    struct slot *slot = &r->slots[n];
    bool got = false;
    r->reading = true;
    pthread_mutex_unlock(&r->mutex);
    int code = r->pipeline->read(r->pipeline->context, r->batches[n], &got);
    if (code != OK)
        keep_message(&slot->message);
    pthread_mutex_lock(&r->mutex);
    slot->read_code = code;
    slot->code = OK;
    r->reading = false;
    r->over = code != OK || !got;
    if (!r->over || code != OK) {
        slot->state = READ;
        r->read++;
    }
}

static int find_idle(const struct run *r) {
    for (int i = 0; i < r->workers; i++)
        if (!r->working[i])
            return i;
    return -1;
}

static void work_batch(struct run *r, int worker) {
    uint64_t n = r->taken++ % r->count;
    struct slot *slot = &r->slots[n];
    slot->state = WORKING;
    r->working[worker] = true;
    pthread_mutex_unlock(&r->mutex);
    int code = r->pipeline->work(r->pipeline->context, r->batches[n], worker);
    if (code != OK)
        keep_message(&slot->message);
    pthread_mutex_lock(&r->mutex);
    r->working[worker] = false;
    slot->code = code;
    slot->state = DONE;
}

static void settle_batch(struct run *r) {
    uint64_t n = r->settled % r->count;
    struct slot *slot = &r->slots[n];
    r->settling = true;
    pthread_mutex_unlock(&r->mutex);
    // What was worked on before an error is settled, too: it may hold one that comes first.
    char *message = NULL;
    int code = r->pipeline->settle(r->pipeline->context, r->batches[n]);
    if (code != OK)
        keep_message(&message);
    pthread_mutex_lock(&r->mutex);
    if (code != OK)
        finish(r, code, &message);
    else if (slot->code != OK)
        finish(r, slot->code, &slot->message);
    else if (slot->read_code != OK)
        finish(r, slot->read_code, &slot->message);
    slot->state = FREE;
    r->settling = false;
    r->settled++;
}

static int take_part(void *context) {
    struct run *r = context;
    pthread_mutex_lock(&r->mutex);
    while (r->code == OK && !(r->over && r->settled == r->read)) {
        int worker = find_idle(r);
        if (!r->settling && r->settled < r->read && r->slots[r->settled % r->count].state == DONE) {
            settle_batch(r);
        } else if (worker >= 0 && r->taken < r->read) {
            work_batch(r, worker);
        } else if (!r->reading && !r->over && r->read - r->settled < r->count) {
            read_batch(r);
        } else {
            pthread_cond_wait(&r->changed, &r->mutex);
            continue;
        }
        pthread_cond_broadcast(&r->changed);
    }
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->mutex);
    return OK; // r->code is the run's
}

static void take_part_in_pool(void *context, int i, int thread) {
    (void)i;
    (void)thread;
    take_part(context);
}

int pipeline_run(const struct pipeline *pipeline, struct threads *threads, void *const *batches, int count) {
    struct run r = {
        .pipeline = pipeline, .batches = batches, .count = (uint64_t)count, .workers = threads_count(threads)};
    r.slots = memory_new((size_t)count, sizeof *r.slots);
    r.working = memory_new((size_t)r.workers, sizeof *r.working);
    if (!r.slots || !r.working) {
        free(r.slots);
        free(r.working);
        return ERROR_SYSTEM;
    }
    pthread_mutex_init(&r.mutex, NULL);
    pthread_cond_init(&r.changed, NULL);
    struct background *beside = background_new();
    if (beside)
        background_start(beside, take_part, &r);
    threads_run(threads, threads_count(threads), take_part_in_pool, &r);
    if (beside)
        background_wait(beside);
    background_free(beside);
    pthread_cond_destroy(&r.changed);
    pthread_mutex_destroy(&r.mutex);
    for (int i = 0; i < count; i++)
        free(r.slots[i].message);
    free(r.slots);
    free(r.working);
    if (r.code != OK)
        error_set(r.code, "%s", r.message ? r.message : "out of memory");
    free(r.message);
    return r.code;
}
