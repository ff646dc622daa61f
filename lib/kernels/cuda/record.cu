// Steps kept as CUDA graphs: what the host issued once between cuda_replay() and cuda_recorded() is launched
// whole the next time, so that small kernels follow each other without a launch from the host between them.
#include "cuda.cuh"

#include <stdlib.h>

// One key's graph. The first pass under a key runs as it is, so that plans are made and scratch has grown; the
// second is captured.
struct recorded_step {
    uint64_t key;
    cudaGraphExec_t graph; // NULL after the first pass
};

struct recorded_steps {
    struct recorded_step *all;
    int count, room;
    int capturing; // index, or -1
};

enum { STEPS_MOST = 64 }; // sizes of batches; beyond them, nothing is kept

static struct recorded_step *find(struct cuda *s, uint64_t key) {
    for (int i = 0; s->steps && i < s->steps->count; i++)
        if (s->steps->all[i].key == key)
            return &s->steps->all[i];
    return NULL;
}

static void add(struct cuda *s, uint64_t key) {
    if (!s->steps && (s->steps = (struct recorded_steps *)calloc(1, sizeof *s->steps)))
        s->steps->capturing = -1;
    if (!s->steps || s->steps->count == STEPS_MOST)
        return;
    struct recorded_steps *steps = s->steps;
    if (steps->count == steps->room) {
        int room = steps->room ? 2 * steps->room : 8;
        void *grown = realloc(steps->all, (size_t)room * sizeof *steps->all);
        if (!grown)
            return; // not kept, not needed
        steps->all = (struct recorded_step *)grown;
        steps->room = room;
    }
    steps->all[steps->count].key = key;
    steps->all[steps->count++].graph = NULL;
}

bool cuda_replay(struct device *d, uint64_t key) {
    struct cuda *s = cuda_of(d);
    if (s->failure != 0)
        return false;
    struct recorded_step *step = find(s, key);
    if (!step) {
        add(s, key);
        return false;
    }
    if (step->graph)
        return cuda_check(s, cudaGraphLaunch(step->graph, s->stream), "launching a graph");
    if (cuda_check(s, cudaStreamBeginCapture(s->stream, cudaStreamCaptureModeThreadLocal), "recording a graph"))
        s->steps->capturing = (int)(step - s->steps->all);
    return false;
}

void cuda_recorded(struct device *d) {
    struct cuda *s = cuda_of(d);
    if (!cuda_recording(s))
        return;
    struct recorded_step *step = &s->steps->all[s->steps->capturing];
    s->steps->capturing = -1;
    cudaGraph_t graph = NULL;
    bool captured = cuda_check(s, cudaStreamEndCapture(s->stream, &graph), "recording a graph");
    if (captured && s->failure == 0 &&
        cuda_check(s, cudaGraphInstantiate(&step->graph, graph, 0), "making a graph"))
        cuda_check(s, cudaGraphLaunch(step->graph, s->stream), "launching a graph");
    if (graph)
        cudaGraphDestroy(graph);
}

bool cuda_recording(const struct cuda *s) {
    return s->steps && s->steps->capturing >= 0;
}

void cuda_forget(struct cuda *s) {
    if (!s->steps)
        return;
    for (int i = 0; i < s->steps->count; i++)
        if (s->steps->all[i].graph)
            cudaGraphExecDestroy(s->steps->all[i].graph);
    free(s->steps->all);
    free(s->steps);
    s->steps = NULL;
}
