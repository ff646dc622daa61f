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

static void work_batch(struct run *r, int worker) {
    uint64_t n = r->taken++ % r->count;
    struct slot *slot = &r->slots[n];
    slot->state = WORKING;
    pthread_mutex_unlock(&r->mutex);
    int code = r->pipeline->work(r->pipeline->context, r->batches[n], worker);
    if (code != OK)
        keep_message(&slot->message);
    pthread_mutex_lock(&r->mutex);
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

// A worker stays at its work as long as there is any, for its memory is in its processor's cache; -1: the thread
// beside them.
static void take_part(struct run *r, int worker) {
    pthread_mutex_lock(&r->mutex);
    while (r->code == OK && !(r->over && r->settled == r->read)) {
        if (worker >= 0 && r->taken < r->read) {
            work_batch(r, worker);
        } else if (!r->settling && r->settled < r->read && r->slots[r->settled % r->count].state == DONE) {
            settle_batch(r);
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
}

static void take_part_in_pool(void *context, int i, int thread) {
    (void)i;
    take_part(context, thread);
}

static int take_part_beside(void *context) {
    take_part(context, -1);
    return OK; // an error is the run's
}

int pipeline_run(const struct pipeline *pipeline, struct threads *threads, void *const *batches, int count) {
    struct run r = {.pipeline = pipeline, .batches = batches, .count = (uint64_t)count};
    r.slots = memory_new((size_t)count, sizeof *r.slots);
    if (!r.slots)
        return ERROR_SYSTEM;
    pthread_mutex_init(&r.mutex, NULL);
    pthread_cond_init(&r.changed, NULL);
    struct background *beside = background_new();
    if (beside)
        background_start(beside, take_part_beside, &r);
    threads_run(threads, threads_count(threads), take_part_in_pool, &r);
    if (beside)
        background_wait(beside);
    background_free(beside);
    pthread_cond_destroy(&r.changed);
    pthread_mutex_destroy(&r.mutex);
    for (int i = 0; i < count; i++)
        free(r.slots[i].message);
    free(r.slots);
    if (r.code != OK)
        error_set(r.code, "%s", r.message ? r.message : "out of memory");
    free(r.message);
    return r.code;
}
