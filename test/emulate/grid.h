// Between the emulator's own files: grids that run, and the copies that a thread has under way.
#ifndef TACIT_EMULATE_GRID_H
#define TACIT_EMULATE_GRID_H

#include "emulate.h"

#include <functional>
#include <vector>

void emulate_grid(const void *kernel, dim3 blocks, dim3 threads, size_t shared, const std::function<void()> &body);

struct emulate_copying {
    void *to;
    const void *from;
    bool valid;
    int group;
};
// Of the thread that runs, and how many groups it has closed.
std::vector<emulate_copying> &emulate_copies(int **groups);
bool emulate_copy_at_once();

// Products read what threads have copied only behind shared_to_products(): whether the thread that runs has waited
// for copies since. And a thread that has, or -1.
void emulate_copied(bool copied);
int emulate_copier_not_seen();

int emulate_thread_now(); // the one that runs

// The warp whose instruction runs. What warps have under way, at a block's beginning and end.
int emulate_warp_now();
void emulate_products_begin();
void emulate_products_end();

// Whether [p, p + bytes) lies in one block of device memory.
bool emulate_is_device(const void *p, size_t bytes);

#endif
