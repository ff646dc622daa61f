#include "tokenize/pipeline.h"
#include "base/background.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/threads.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

enum state { FREE, FILLED, PREPARING, PREPARED, WORKING, DONE };
// In the order in which their errors come in the input: what is before an error goes on to the next stages, where
// there may be one that comes first.
enum stage { SETTLE, WORK, PREPARE, READ, STAGES };

struct slot {
    enum state state;
    int codes[STAGES];
    char *messages[STAGES]; // they belong to threads; these go to whoever settles
};

struct run {
    const struct pipeline *pipeline;
    void *const *batches;
    struct slot *slots;
    int workers;
    uint64_t count;               // of slots
    uint64_t read, settled;       // batches so far: slot n % count each
    bool reading, settling, over; // over: there is nothing more to read
    int code;
    char *message; // of code
    pthread_mutex_t mutex;
    pthread_cond_t changed;
};

static void set_outcome(struct slot *slot, enum stage stage, int code) {
    slot->codes[stage] = code;
    if (code == OK)
        return;
    free(slot->messages[stage]);
    slot->messages[stage] = string_copy(error_message());
}

// The first batch that is prepared, or may be; NULL: there is none.
static struct slot *find_slot(struct run *r, bool prepared) {
    for (uint64_t n = r->settled; n < r->read; n++) {
        struct slot *slot = &r->slots[n % r->count];
        if (slot->state == FILLED || (prepared && slot->state == PREPARED))
            return slot;
    }
    return NULL;
}

static void *batch_of(const struct run *r, const struct slot *slot) {
    return r->batches[slot - r->slots];
}

// Each of these is called with the mutex held, which it gives up meanwhile.

static void read_batch(struct run *r) {
    struct slot *slot = &r->slots[r->read % r->count];
    bool got = false;
    r->reading = true;
    pthread_mutex_unlock(&r->mutex);
    for (int stage = 0; stage < STAGES; stage++)
        slot->codes[stage] = OK;
    int code = r->pipeline->read(r->pipeline->context, batch_of(r, slot), &got);
    set_outcome(slot, READ, code);
    pthread_mutex_lock(&r->mutex);
    r->reading = false;
    r->over = code != OK || !got;
    if (!r->over || code != OK) {
        slot->state = FILLED;
        r->read++;
    }
}

static void prepare(struct run *r, struct slot *slot, int thread) {
    set_outcome(slot, PREPARE, r->pipeline->prepare(r->pipeline->context, batch_of(r, slot), thread));
}

static void prepare_batch(struct run *r, struct slot *slot, int thread) {
    slot->state = PREPARING;
    pthread_mutex_unlock(&r->mutex);
    prepare(r, slot, thread);
    pthread_mutex_lock(&r->mutex);
    slot->state = PREPARED;
}

static void work_batch(struct run *r, struct slot *slot, int thread) {
    bool prepared = slot->state == PREPARED;
    slot->state = WORKING;
    pthread_mutex_unlock(&r->mutex);
    if (!prepared)
        prepare(r, slot, thread);
    set_outcome(slot, WORK, r->pipeline->work(r->pipeline->context, batch_of(r, slot), thread));
    pthread_mutex_lock(&r->mutex);
    slot->state = DONE;
}

static void settle_batch(struct run *r) {
    struct slot *slot = &r->slots[r->settled % r->count];
    r->settling = true;
    pthread_mutex_unlock(&r->mutex);
    set_outcome(slot, SETTLE, r->pipeline->settle(r->pipeline->context, batch_of(r, slot)));
    pthread_mutex_lock(&r->mutex);
    for (int stage = 0; stage < STAGES && r->code == OK; stage++) {
        r->code = slot->codes[stage];
        if (r->code != OK) {
            r->message = slot->messages[stage];
            slot->messages[stage] = NULL;
        }
    }
    slot->state = FREE;
    r->settling = false;
    r->settled++;
}

// A worker stays at its work as long as there is any, for its memory is in its processor's cache. The thread
// beside them, number r->workers, prepares what they have not come to.
static void take_part(struct run *r, int thread) {
    const bool worker = thread < r->workers;
    struct slot *slot;
    pthread_mutex_lock(&r->mutex);
    while (r->code == OK && !(r->over && r->settled == r->read)) {
        if (worker && (slot = find_slot(r, true))) {
            work_batch(r, slot, thread);
        } else if (!r->settling && r->settled < r->read && r->slots[r->settled % r->count].state == DONE) {
            settle_batch(r);
        } else if (!r->reading && !r->over && r->read - r->settled < r->count) {
            read_batch(r);
        } else if (!worker && (slot = find_slot(r, false))) {
            prepare_batch(r, slot, thread);
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
    struct run *r = context;
    take_part(r, r->workers);
    return OK; // an error is the run's
}

int pipeline_run(const struct pipeline *pipeline, struct threads *threads, void *const *batches, int count) {
    struct run r = {
        .pipeline = pipeline, .batches = batches, .workers = threads_count(threads), .count = (uint64_t)count};
    r.slots = memory_new((size_t)count, sizeof *r.slots);
    if (!r.slots)
        return ERROR_SYSTEM;
    pthread_mutex_init(&r.mutex, NULL);
    pthread_cond_init(&r.changed, NULL);
    struct background *beside = background_new();
    if (beside)
        background_start(beside, take_part_beside, &r);
    threads_run(threads, r.workers, take_part_in_pool, &r);
    if (beside)
        background_wait(beside);
    background_free(beside);
    pthread_cond_destroy(&r.changed);
    pthread_mutex_destroy(&r.mutex);
    for (int i = 0; i < count; i++)
        for (int stage = 0; stage < STAGES; stage++)
            free(r.slots[i].messages[stage]);
    free(r.slots);
    if (r.code != OK)
        error_set(r.code, "%s", r.message ? r.message : "out of memory");
    free(r.message);
    return r.code;
}
