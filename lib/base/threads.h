// Threads: a pool that runs numbered tasks. Which thread runs a task is not defined, so a task must write
// only what belongs to its number; sums over tasks are then made in task order by the caller. Results
// therefore do not depend on the number of threads.
#ifndef TACIT_BASE_THREADS_H
#define TACIT_BASE_THREADS_H

struct threads;

// Start a pool of n threads, the caller's included (n = 0: one per available processor; n = 1 starts none).
int threads_new(struct threads **pool, int n);
void threads_free(struct threads *pool);       // NULL is allowed
int threads_count(const struct threads *pool); // 1 for NULL
int threads_processors(void);                  // that this process may run on

// Run task(context, i, thread) for i in 0..tasks-1, each once; returns when all are done. `thread` is in
// 0..threads_count-1 and names the scratch memory that the task may use. Calls do not nest. No pool (NULL) is one
// thread, the caller's.
void threads_run(struct threads *pool, int tasks, void (*task)(void *context, int i, int thread), void *context);

#endif
