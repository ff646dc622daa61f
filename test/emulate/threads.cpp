// Blocks and their threads: fibers, the order in which they run, what they wait for.
#include "emulate.h"
#include "grid.h"

#include <algorithm>
#include <dlfcn.h>
#include <mutex>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <vector>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

enum { THREADS_MOST = 1024, STACK = 256 << 10, SHARED_ROOM = 256 << 10 };
alignas(1024) unsigned char shared_memory[SHARED_ROOM];

// ---- fibers ----

struct fiber {
    void *top; // of its stack, while it does not run
    char *stack;
    uint3 index;
    emulate_place place; // where it waits
    emulate_together function;
    const char *name;
    void *operands;
    std::vector<emulate_copying> copies;
    int groups;  // that copy_async_commit() has closed, so far
    bool copied; // waited for copies, and has not called shared_to_products() since
    void *fake;  // AddressSanitizer's
};

struct warp {
    uint32_t all, ready, together, barrier; // lanes there are, that can run, that wait
};

static struct {
    const void *kernel;
    const std::function<void()> *body;
    size_t shared;
    int threads, warps;
    fiber fibers[THREADS_MOST];
    warp state[THREADS_MOST / 32];
    fiber host, *current;
    int order[THREADS_MOST / 32], at; // warps in the order in which they run; the present one's place
    int arrived, gone;                // threads at the barrier, threads that are done
    int together;                     // the warp whose instruction runs
} grid;

#ifdef __x86_64__
// Keep what a called function must keep, exchange the stacks, and return to where the other one stopped.
asm(".text\n"
    ".p2align 4\n"
    ".hidden emulate_switch\n"
    ".globl emulate_switch\n"
    ".type emulate_switch, @function\n"
    "emulate_switch:\n"
    "    pushq %rbp\n"
    "    pushq %rbx\n"
    "    pushq %r12\n"
    "    pushq %r13\n"
    "    pushq %r14\n"
    "    pushq %r15\n"
    "    movq %rsp, (%rdi)\n"
    "    movq %rsi, %rsp\n"
    "    popq %r15\n"
    "    popq %r14\n"
    "    popq %r13\n"
    "    popq %r12\n"
    "    popq %rbx\n"
    "    popq %rbp\n"
    "    ret\n"
    ".size emulate_switch, .-emulate_switch\n");
extern "C" void emulate_switch(void **from, void *to);

static void prepare_stack(fiber *f, void (*entry)()) {
    void **top = (void **)(f->stack + STACK);
    *--top = NULL; // entry returns nowhere
    *--top = (void *)entry;
    for (int i = 0; i < 6; i++)
        *--top = NULL;
    f->top = top;
}
static void switch_stacks(fiber *from, fiber *to) {
    emulate_switch(&from->top, to->top);
}
#else
#include <ucontext.h>

static ucontext_t *context_of(fiber *f) {
    if (!f->top)
        f->top = new ucontext_t;
    return (ucontext_t *)f->top;
}
static void prepare_stack(fiber *f, void (*entry)()) {
    ucontext_t *c = context_of(f);
    getcontext(c);
    c->uc_stack.ss_sp = f->stack;
    c->uc_stack.ss_size = STACK;
    makecontext(c, entry, 0);
}
static void switch_stacks(fiber *from, fiber *to) {
    swapcontext(context_of(from), context_of(to));
}
#endif

static void arrived_here(fiber *f) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(f->fake, NULL, NULL);
#else
    (void)f;
#endif
}

static void switch_to(fiber *to, bool for_good) {
    fiber *from = grid.current;
    grid.current = to;
    threadIdx = to->index;
#ifdef __SANITIZE_ADDRESS__
    static const void *host_stack;
    static size_t host_size;
    if (from == &grid.host) {
        pthread_attr_t attributes;
        void *low;
        pthread_getattr_np(pthread_self(), &attributes);
        pthread_attr_getstack(&attributes, &low, &host_size);
        pthread_attr_destroy(&attributes);
        host_stack = low;
    }
    bool host = to == &grid.host;
    __sanitizer_start_switch_fiber(for_good ? NULL : &from->fake, host ? host_stack : to->stack,
                                   host ? host_size : (size_t)STACK);
#else
    (void)for_good;
#endif
    switch_stacks(from, to);
    arrived_here(from);
}

// ---- order ----

enum order { FORWARD, BACKWARD, RANDOM };
static enum order order = FORWARD;
static uint64_t random_state;

static uint32_t random_below(uint32_t n) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((random_state >> 33) * n >> 31);
}

static void read_order() {
    static bool done;
    const char *text = getenv("EMULATE_ORDER");
    if (done)
        return;
    done = true;
    if (!text || !*text || strcmp(text, "forward") == 0)
        order = FORWARD;
    else if (strcmp(text, "backward") == 0)
        order = BACKWARD;
    else if (strncmp(text, "random:", 7) == 0) {
        order = RANDOM;
        random_state = strtoull(text + 7, NULL, 10) * 2 + 1;
        for (int i = 0; i < 8; i++)
            random_below(1);
    } else {
        fprintf(stderr, "emulate: EMULATE_ORDER=%s: not forward, backward or random:SEED\n", text);
        exit(1);
    }
}

static void put_in_order(int *list, int n) {
    for (int i = 0; i < n; i++)
        list[i] = order == BACKWARD ? n - 1 - i : i;
    for (int i = n - 1; order == RANDOM && i > 0; i--)
        std::swap(list[i], list[random_below((uint32_t)i + 1)]);
}

// ---- messages ----

static void say_where(const fiber *f) {
    Dl_info info;
    const char *symbol = NULL, *file = "?";
    size_t offset = 0;
    if (grid.kernel && dladdr(grid.kernel, &info)) {
        symbol = info.dli_saddr == grid.kernel ? info.dli_sname : NULL;
        file = info.dli_fname;
        offset = (size_t)((const char *)grid.kernel - (const char *)info.dli_fbase);
    }
    fprintf(stderr, "emulate: kernel %s (addr2line -fCe %s %#zx), block (%u, %u, %u) of (%u, %u, %u)",
            symbol ? symbol : "?", file, offset, blockIdx.x, blockIdx.y, blockIdx.z, gridDim.x, gridDim.y,
            gridDim.z);
    if (f && f != &grid.host)
        fprintf(stderr, ", thread %d of %d", (int)(f - grid.fibers), grid.threads);
    fprintf(stderr, "\n");
}

void emulate_stop(emulate_place place, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fflush(stdout);
    fprintf(stderr, "emulate: %s:%u: ", place.file_name(), (unsigned)place.line());
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    say_where(grid.current);
    abort();
}

static fiber *fiber_of(int warp, uint32_t lanes) {
    return &grid.fibers[warp * 32 + __builtin_ctz(lanes)];
}

// ---- who runs next ----

static bool same_place(const emulate_place &a, const emulate_place &b) {
    return a.line() == b.line() && (a.file_name() == b.file_name() || strcmp(a.file_name(), b.file_name()) == 0);
}

// A warp of which no lane can run and some wait for their warp: all 32 do, for the same, or it never ends.
static void run_together(int w) {
    warp *warp = &grid.state[w];
    fiber *first = fiber_of(w, warp->together);
    if (warp->together != 0xffffffffu) {
        fiber *at_barrier = warp->barrier ? fiber_of(w, warp->barrier) : NULL;
        emulate_stop(first->place,
                     "%s: only %d of 32 lanes of warp %d arrive: %d wait at __syncthreads() (%s:%u), %d are done "
                     "or never were",
                     first->name, __builtin_popcount(warp->together), w, __builtin_popcount(warp->barrier),
                     at_barrier ? at_barrier->place.file_name() : "-",
                     at_barrier ? (unsigned)at_barrier->place.line() : 0,
                     32 - __builtin_popcount(warp->together | warp->barrier));
    }
    void *operands[32];
    for (int lane = 0; lane < 32; lane++) {
        fiber *f = &grid.fibers[w * 32 + lane];
        if (f->function != first->function || !same_place(f->place, first->place))
            emulate_stop(f->place, "%s: lane %d of warp %d waits here, and lane 0 in %s at %s:%u", f->name, lane,
                         w, first->name, first->place.file_name(), (unsigned)first->place.line());
        operands[lane] = f->operands;
    }
    grid.together = w;
    first->function(operands);
    warp->ready = 0xffffffffu;
    warp->together = 0;
}

static bool can_run(int w) {
    if (!grid.state[w].ready && grid.state[w].together)
        run_together(w);
    return grid.state[w].ready != 0;
}

static fiber *lane_to_run(int w) {
    uint32_t ready = grid.state[w].ready;
    int lane = __builtin_ctz(ready);
    if (order == BACKWARD)
        lane = 31 - __builtin_clz(ready);
    else if (order == RANDOM)
        for (uint32_t skip = random_below((uint32_t)__builtin_popcount(ready)); skip > 0; skip--) {
            ready &= ready - 1;
            lane = __builtin_ctz(ready);
        }
    return &grid.fibers[w * 32 + lane];
}

// All threads wait at the barrier, but for those that are done.
static void pass_barrier() {
    const fiber *first = NULL;
    for (int w = 0; w < grid.warps; w++) {
        warp *warp = &grid.state[w];
        for (uint32_t lanes = warp->barrier; lanes; lanes &= lanes - 1) {
            const fiber *f = fiber_of(w, lanes);
            if (!first)
                first = f;
            if (!same_place(f->place, first->place))
                emulate_stop(f->place, "__syncthreads(): thread %d waits here, and thread %d at %s:%u",
                             (int)(f - grid.fibers), (int)(first - grid.fibers), first->place.file_name(),
                             (unsigned)first->place.line());
        }
        warp->ready = warp->barrier;
        warp->barrier = 0;
    }
    grid.arrived = 0;
}

static fiber *next() {
    int now = grid.order[grid.at];
    if (order != RANDOM && can_run(now)) // the usual case
        return lane_to_run(now);
    if (grid.gone == grid.threads)
        return &grid.host;
    if (grid.arrived + grid.gone == grid.threads) {
        pass_barrier();
        if (order == RANDOM)
            put_in_order(grid.order, grid.warps);
        grid.at = 0;
    }
    if (order == RANDOM && random_below(4) == 0)
        grid.at = (int)random_below((uint32_t)grid.warps);
    for (int i = 0; i < grid.warps; i++, grid.at = (grid.at + 1) % grid.warps)
        if (can_run(grid.order[grid.at]))
            return lane_to_run(grid.order[grid.at]);
    emulate_stop(emulate_place::current(), "nothing can run"); // cannot be: each waits for its warp or the barrier
}

static void pass_on() {
    fiber *f = next();
    if (f != grid.current)
        switch_to(f, false);
}

// The present thread can run no more; returns its bit in its warp.
static uint32_t leave() {
    int i = (int)(grid.current - grid.fibers);
    uint32_t lane = 1u << i % 32;
    grid.state[i / 32].ready &= ~lane;
    return lane;
}

static void need_thread(const char *name, emulate_place place) {
    if (!grid.current || grid.current == &grid.host)
        emulate_stop(place, "%s outside of a kernel", name);
}

void emulate_barrier(emulate_place place) {
    need_thread("__syncthreads()", place);
    uint32_t lane = leave();
    grid.current->place = place;
    grid.state[(grid.current - grid.fibers) / 32].barrier |= lane;
    grid.arrived++;
    pass_on();
}

void emulate_warp(emulate_together function, void *operands, const char *name, emulate_place place) {
    need_thread(name, place);
    fiber *f = grid.current;
    uint32_t lane = leave();
    f->function = function;
    f->operands = operands;
    f->name = name;
    f->place = place;
    grid.state[(f - grid.fibers) / 32].together |= lane;
    pass_on();
}

void emulate_mask(unsigned mask, const char *name, emulate_place place) {
    if (mask != 0xffffffffu)
        emulate_stop(place, "%s: mask %#x is not the full one", name, mask);
}

// ---- asynchronous copies ----

std::vector<emulate_copying> &emulate_copies(int **groups) {
    *groups = &grid.current->groups;
    return grid.current->copies;
}

bool emulate_copy_at_once() {
    return order == BACKWARD || (order == RANDOM && random_below(2));
}

void emulate_copied(bool copied) {
    grid.current->copied = copied;
}

int emulate_copier_not_seen() {
    for (int i = 0; i < grid.threads; i++)
        if (grid.fibers[i].copied)
            return i;
    return -1;
}

int emulate_thread_now() {
    return (int)(grid.current - grid.fibers);
}

int emulate_warp_now() {
    return grid.together;
}

// ---- grids ----

static void thread_body() {
    arrived_here(grid.current);
    (*grid.body)();
    leave();
    grid.gone++;
    switch_to(next(), true);
    abort(); // nothing comes back here
}

static void make_stacks(int threads) {
    static int made;
    static char *stacks;
    size_t each = STACK + 4096; // a page below each that nothing may touch
    if (!stacks) {
        stacks =
            (char *)mmap(NULL, THREADS_MOST * each, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (stacks == MAP_FAILED) {
            fprintf(stderr, "emulate: no memory for stacks\n");
            abort();
        }
    }
    for (; made < threads; made++) {
        grid.fibers[made].stack = stacks + (size_t)made * each + 4096;
        if (mprotect(grid.fibers[made].stack, STACK, PROT_READ | PROT_WRITE) != 0) {
            fprintf(stderr, "emulate: no memory for stacks\n");
            abort();
        }
    }
}

// Bytes from..to are 0xff.
static void check_shared(size_t from, size_t to) {
    const unsigned char *p = shared_memory;
    if (from >= to || (p[from] == 0xff && memcmp(p + from, p + from + 1, to - from - 1) == 0))
        return;
    while (p[from] == 0xff)
        from++;
    emulate_stop(emulate_place::current(), "byte %zu of shared memory was written, and the launch asked for %zu",
                 from, grid.shared);
}

size_t emulate_shared_bytes() {
    return grid.shared;
}

static void run_block() {
    memset(shared_memory, 0xff, grid.shared);
    grid.arrived = grid.gone = 0;
    for (int w = 0; w < grid.warps; w++) {
        int lanes = std::min(32, grid.threads - w * 32);
        grid.state[w].all = lanes == 32 ? 0xffffffffu : (1u << lanes) - 1;
        grid.state[w].ready = grid.state[w].all;
        grid.state[w].together = grid.state[w].barrier = 0;
    }
    for (int i = 0; i < grid.threads; i++) {
        fiber *f = &grid.fibers[i];
        f->index = {(unsigned)i % blockDim.x, (unsigned)i / blockDim.x % blockDim.y,
                    (unsigned)i / (blockDim.x * blockDim.y)};
        f->copies.clear();
        f->groups = 0;
        f->copied = false;
        f->fake = NULL;
#ifdef __SANITIZE_ADDRESS__
        ASAN_UNPOISON_MEMORY_REGION(f->stack + STACK - 4096, 4096); // thread_body() never returned
#endif
        prepare_stack(f, thread_body);
    }
    put_in_order(grid.order, grid.warps);
    grid.at = 0;
    emulate_products_begin();
    switch_to(next(), false);
    emulate_products_end();
#ifndef __SANITIZE_ADDRESS__ // which sees it at once
    check_shared(grid.shared, std::min<size_t>(grid.shared + 1024, SHARED_ROOM));
#endif
}

void emulate_grid(const void *kernel, dim3 blocks, dim3 threads, size_t shared,
                  const std::function<void()> &body) {
    static std::mutex lock;
    std::lock_guard<std::mutex> guard(lock);
    read_order();
    grid.kernel = kernel;
    grid.body = &body;
    grid.shared = shared;
    grid.threads = (int)(threads.x * threads.y * threads.z);
    grid.warps = (grid.threads + 31) / 32;
    grid.current = &grid.host;
    blockDim = threads;
    gridDim = blocks;
    make_stacks(grid.threads);
    static bool poisoned;
    if (!poisoned)
        memset(shared_memory, 0xff, SHARED_ROOM);
    poisoned = true;
#ifdef __SANITIZE_ADDRESS__
    ASAN_POISON_MEMORY_REGION(shared_memory + (shared + 7) / 8 * 8, EMULATE_SHARED_MOST - (shared + 7) / 8 * 8);
#endif
    size_t count = (size_t)blocks.x * blocks.y * blocks.z;
    uint64_t step = 1; // through all blocks in another order: a step without common factor
    if (order == RANDOM && count > 1)
        do
            step = 1 + random_below((uint32_t)std::min<size_t>(count, 1u << 30));
        while (std::__gcd<uint64_t>(step, count) != 1);
    for (size_t i = 0; i < count; i++) {
        size_t b = order == FORWARD ? i : order == BACKWARD ? count - 1 - i : (size_t)(i * step % count);
        blockIdx = {(unsigned)(b % blocks.x), (unsigned)(b / blocks.x % blocks.y),
                    (unsigned)(b / blocks.x / blocks.y)};
        run_block();
    }
#ifdef __SANITIZE_ADDRESS__
    ASAN_UNPOISON_MEMORY_REGION(shared_memory, SHARED_ROOM);
#endif
    memset(shared_memory, 0xff, shared);
    check_shared(shared, SHARED_ROOM);
    grid.current = NULL;
    grid.kernel = NULL;
}
