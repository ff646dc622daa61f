#include "base/threads.h"
#include "check.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum { TASKS = 5000 };

struct job {
    atomic_int runs[TASKS];
    atomic_int by_thread[64];
    atomic_int inside[64]; // tasks that run now under this thread number
    atomic_bool clash;
    int count, pause;
};

static void count_task(void *context, int i, int thread) {
    struct job *job = context;
    if (thread < 0 || thread >= job->count || atomic_fetch_add(&job->inside[thread], 1) != 0)
        atomic_store(&job->clash, true);
    atomic_fetch_add(&job->runs[i], 1);
    atomic_fetch_add(&job->by_thread[thread], 1);
    if (job->pause > 0)
        usleep((useconds_t)job->pause);
    atomic_fetch_sub(&job->inside[thread], 1);
}

static void run_each_once(int n) {
    static struct job job;
    struct threads *pool;
    CHECK_OK(threads_new(&pool, n));
    CHECK_EQUAL_INT(threads_count(pool), n > 0 ? n : threads_processors());
    memset(&job, 0, sizeof job);
    job.count = threads_count(pool);
    static const int sizes[] = {0, 1, 2, 3, 7, 64, TASKS};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        for (int i = 0; i < TASKS; i++)
            atomic_store(&job.runs[i], 0);
        threads_run(pool, sizes[s], count_task, &job);
        bool once = true;
        for (int i = 0; i < TASKS; i++)
            once = once && atomic_load(&job.runs[i]) == (i < sizes[s]);
        CHECK(once);
    }
    CHECK(!atomic_load(&job.clash));
    threads_free(pool);
}

static void add_one(void *context, int i, int thread) {
    (void)thread;
    ((long *)context)[i]++;
}

// Many short regions, with pauses that send the workers to sleep now and then.
static void survive_many_regions(int n, int regions, int sleep_every) {
    struct threads *pool;
    CHECK_OK(threads_new(&pool, n));
    long sums[8] = {0};
    for (int r = 0; r < regions; r++) {
        threads_run(pool, 1 + r % 8, add_one, sums);
        if (sleep_every > 0 && r % sleep_every == 0)
            usleep(200);
    }
    threads_free(pool);
    long total = 0, expected = 0;
    for (int i = 0; i < 8; i++)
        total += sums[i];
    for (int r = 0; r < regions; r++)
        expected += 1 + r % 8;
    CHECK_EQUAL_INT(total, expected);
}

// Tasks that wait take turns on all threads, so the work is shared.
static void share_the_work(void) {
    static struct job job;
    struct threads *pool;
    CHECK_OK(threads_new(&pool, 4));
    memset(&job, 0, sizeof job);
    job.count = 4;
    job.pause = 1000;
    threads_run(pool, 80, count_task, &job);
    for (int i = 0; i < 4; i++)
        CHECK(atomic_load(&job.by_thread[i]) > 0);
    threads_free(pool);
}

static void do_without_a_pool(void) {
    static struct job job = {.count = 1};
    threads_run(NULL, TASKS, count_task, &job);
    CHECK_EQUAL_INT(threads_count(NULL), 1);
    CHECK_EQUAL_INT(atomic_load(&job.by_thread[0]), TASKS);
}

int main(void) {
    static const int counts[] = {1, 2, 3, 8, 0};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        run_each_once(counts[i]);
    survive_many_regions(2, 200000, 0);
    survive_many_regions(2, 2000, 7);
    survive_many_regions(7, 3000, 100);
    share_the_work();
    do_without_a_pool();
    threads_free(NULL);
    for (int i = 0; i < 50; i++) { // start and stop without any work
        struct threads *pool;
        CHECK_OK(threads_new(&pool, 3));
        threads_free(pool);
    }
    return check_report();
}
