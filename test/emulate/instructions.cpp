// Warp instructions and asynchronous copies.
#include "../../lib/kernels/cuda/ptx.cuh"
#include "grid.h"

#include <algorithm>

unsigned __ballot_sync(unsigned mask, int predicate, emulate_place place) {
    struct ballot {
        int predicate;
        unsigned result;
        static void all(void *const operands[32]) {
            unsigned result = 0;
            for (int lane = 0; lane < 32; lane++)
                result |= (unsigned)(((ballot *)operands[lane])->predicate != 0) << lane;
            for (int lane = 0; lane < 32; lane++)
                ((ballot *)operands[lane])->result = result;
        }
    };
    emulate_mask(mask, "__ballot_sync", place);
    ballot b = {predicate, 0};
    emulate_warp(ballot::all, &b, "__ballot_sync", place);
    return b.result;
}

static void nothing(void *const operands[32]) {
    (void)operands;
}

void __syncwarp(unsigned mask, emulate_place place) {
    emulate_mask(mask, "__syncwarp", place);
    emulate_warp(nothing, NULL, "__syncwarp", place);
}

// Lane 4 r + q: A[r][2q..], A[r+8][2q..], A[r][2q+8..], A[r+8][2q+8..]; B[2q..][r], B[2q+8..][r];
// C[r][2q..], C[r+8][2q..].
void emulate_mma::all(void *const operands[32]) {
    float a[16][16], b[16][8], c[16][8];
    for (int lane = 0; lane < 32; lane++) {
        const emulate_mma *own = (const emulate_mma *)operands[lane];
        int r = lane / 4, q = lane % 4;
        for (int i = 0; i < 4; i++) {
            float *to = &a[r + i % 2 * 8][2 * q + i / 2 * 8];
            to[0] = low_float(own->a[i]);
            to[1] = high_float(own->a[i]);
        }
        for (int i = 0; i < 2; i++) {
            b[2 * q + 8 * i][r] = low_float(own->b[i]);
            b[2 * q + 8 * i + 1][r] = high_float(own->b[i]);
        }
        for (int i = 0; i < 4; i++)
            c[r + i / 2 * 8][2 * q + i % 2] = own->c[i];
    }
    for (int m = 0; m < 16; m++)
        for (int k = 0; k < 16; k++)
            for (int n = 0; n < 8; n++)
                c[m][n] += a[m][k] * b[k][n];
    for (int lane = 0; lane < 32; lane++)
        for (int i = 0; i < 4; i++)
            ((emulate_mma *)operands[lane])->c[i] = c[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
}

// Lane i gives row i % 8 of block i / 8; lane 4 r + q receives [r][2q..] of each, or transposed [2q..][r].
void emulate_ldmatrix::all(void *const operands[32]) {
    for (int block = 0; block < ((const emulate_ldmatrix *)operands[0])->blocks; block++) {
        uint16_t x[8][8];
        for (int row = 0; row < 8; row++) {
            const emulate_ldmatrix *own = (const emulate_ldmatrix *)operands[block * 8 + row];
            size_t at = (size_t)((const unsigned char *)own->row - shared_memory);
            if (at % 16 != 0 || at + 16 > emulate_shared_bytes())
                emulate_stop(own->place, "ldmatrix: lane %d: byte %zd of %zu bytes of shared memory%s",
                             block * 8 + row, (ssize_t)at, emulate_shared_bytes(),
                             at % 16 ? ", not aligned to 16" : "");
            memcpy(x[row], own->row, 16);
        }
        for (int lane = 0; lane < 32; lane++) {
            emulate_ldmatrix *own = (emulate_ldmatrix *)operands[lane];
            int r = lane / 4, q = lane % 4 * 2;
            uint32_t low = own->transposed ? x[q][r] : x[r][q], high = own->transposed ? x[q + 1][r] : x[r][q + 1];
            own->r[block] = low | high << 16;
        }
    }
}

// ---- products of a warpgroup ----
//
// A warp's part of a product reads no registers but its own, so warps go on by themselves. What has been issued is
// carried out when a wait asks for it, or at once (whichever the order has, like copies).

struct product_under_way {
    emulate_wgmma lane[32];
    int group;
};

static struct {
    std::vector<product_under_way> products;
    int groups, waited; // closed so far; of these, waited for
    bool fenced;        // since the last group was closed
    emulate_place last; // product
    uint64_t trace;     // of all of it, in order: the same for the four warps of a warpgroup
} warpgroups[32];       // by warp

// Where shared memory has element (i, k) of a described operand: i along rows of A or columns of B, k along the
// contraction. "Shared Memory Matrix Layout": canonical layouts for 128-byte swizzling, in bytes.
static size_t place_of(uint64_t tile, bool transposed, int i, int k) {
    size_t start = (tile & 0x3fff) << 4, leading = (tile >> 16 & 0x3fff) << 4, stride = (tile >> 32 & 0x3fff) << 4;
    size_t at = transposed ? start + (size_t)(i / 64) * leading + (size_t)(k / 8) * stride +
                                 (size_t)(k % 8 * 128 + i % 64 * 2)
                           : start + (size_t)(i / 8) * stride + (size_t)(i % 8 * 128 + k * 2);
    return at ^ (at >> 7 & 7) << 4;
}

// By words of shared memory: the thread, plus 1, that has stored there for products and not called
// shared_to_products() since; and the same by threads.
static short stored_by[EMULATE_SHARED_MOST / 4];
static std::vector<int> stored[1024];

static float element_of(const emulate_wgmma *p, uint64_t tile, bool transposed, int i, int k) {
    size_t at = place_of(tile, transposed, i, k);
    uint16_t bits;
    if (at + 2 > emulate_shared_bytes())
        emulate_stop(p->place, "wgmma: byte %zu of %zu bytes of shared memory", at, emulate_shared_bytes());
    memcpy(&bits, shared_memory + at, 2);
    return low_float(bits);
}

static void carry_out(const product_under_way &p, int warp) {
    float a[16][16], b[16][64];
    const emulate_wgmma *any = &p.lane[0];
    for (int i = 0; i < 16; i++)
        for (int k = 0; k < 16; k++) {
            // word 2 (k / 8) + i / 8 of lane 4 (i % 8) + k % 8 / 2
            if (any->a) {
                uint32_t word = p.lane[i % 8 * 4 + k % 8 / 2].a[k / 8 * 2 + i / 8];
                a[i][k] = k % 2 ? high_float(word) : low_float(word);
            } else {
                a[i][k] = element_of(any, any->a_tile, any->a_transposed, warp % 4 * 16 + i, k);
            }
        }
    for (int k = 0; k < 16; k++)
        for (int n = 0; n < 64; n++)
            b[k][n] = element_of(any, any->b_tile, any->b_transposed, n, k);
    for (int i = 0; i < 16; i++)
        for (int n = 0; n < 64; n++) {
            float *c = &p.lane[i % 8 * 4 + n % 8 / 2].c[n / 8 * 4 + i / 8 * 2 + n % 2], sum = any->add ? *c : 0;
            for (int k = 0; k < 16; k++)
                sum += a[i][k] * b[k][n];
            *c = sum;
        }
}

static void trace(int warp, uint64_t what) {
    warpgroups[warp].trace = (warpgroups[warp].trace ^ what) * 1099511628211u;
}

// `rows`: from `first` on, of A or columns of B
static void check_tile(const emulate_wgmma *p, uint64_t tile, bool transposed, int first, int rows) {
    size_t start = (tile & 0x3fff) << 4;
    if (tile >> 62 != 1 || (tile >> 49 & 7) != 0)
        emulate_stop(p->place, "wgmma: descriptor %#llx is not one of 128-byte swizzling",
                     (unsigned long long)tile);
    if (start % 1024 != 0 && (transposed || start % 1024 >= 128 || start % 32 != 0))
        emulate_stop(p->place, "wgmma: byte %zu of shared memory is within a block of 1024", start);
    for (int i = first; i < first + rows; i++)
        for (int k = 0; k < 16; k++) {
            size_t at = place_of(tile, transposed, i, k);
            if (at + 2 <= emulate_shared_bytes() && stored_by[at / 4])
                emulate_stop(p->place, "wgmma: thread %d has stored at byte %zu without shared_to_products()",
                             stored_by[at / 4] - 1, at);
        }
}

static void carry_out_groups_below(int group, int warp) {
    auto &own = warpgroups[warp];
    size_t done = 0;
    while (done < own.products.size() && own.products[done].group < group)
        carry_out(own.products[done++], warp);
    own.products.erase(own.products.begin(), own.products.begin() + (ptrdiff_t)done);
}

void emulate_wgmma::all(void *const operands[32]) {
    int warp = emulate_warp_now();
    auto &own = warpgroups[warp];
    product_under_way p;
    p.group = own.groups;
    for (int lane = 0; lane < 32; lane++)
        p.lane[lane] = *(const emulate_wgmma *)operands[lane];
    if (!own.fenced)
        emulate_stop(p.lane[0].place, "wgmma: no wgmma_fence() in front of the group");
    int late = emulate_copier_not_seen();
    if (late >= 0)
        emulate_stop(p.lane[0].place, "wgmma: thread %d has copied to shared memory without shared_to_products()",
                     late);
    if (!p.lane[0].a)
        check_tile(&p.lane[0], p.lane[0].a_tile, p.lane[0].a_transposed, warp % 4 * 16, 16);
    check_tile(&p.lane[0], p.lane[0].b_tile, p.lane[0].b_transposed, 0, 64);
    trace(warp, (uint64_t)p.lane[0].place.line() << 8 | 1);
    trace(warp, p.lane[0].a ? 0 : p.lane[0].a_tile);
    trace(warp, p.lane[0].b_tile);
    own.products.push_back(p);
    own.last = p.lane[0].place;
    if (emulate_copy_at_once())
        carry_out_groups_below(own.groups + 1, warp); // in the order in which they were issued
}

struct wgmma_order {
    int latest;
    static void all(void *const operands[32]) {
        int warp = emulate_warp_now(), latest = ((const wgmma_order *)operands[0])->latest;
        auto &own = warpgroups[warp];
        trace(warp, (uint64_t)(latest + 3) << 8 | 2);
        if (latest == EMULATE_FENCE)
            own.fenced = true;
        else if (latest == EMULATE_COMMIT)
            own.groups++, own.fenced = false;
        else
            carry_out_groups_below(own.waited = std::max(own.waited, own.groups - latest), warp);
    }
};

void emulate_wgmma_order(const char *name, int latest, emulate_place place) {
    wgmma_order operands = {latest};
    emulate_warp(wgmma_order::all, &operands, name, place);
}

void emulate_products_begin() {
    for (auto &words : stored) {
        for (int word : words)
            stored_by[word] = 0;
        words.clear();
    }
    for (auto &own : warpgroups) {
        own.products.clear();
        own.groups = own.waited = 0;
        own.trace = 0;
        own.fenced = false;
    }
}

void emulate_products_end() {
    for (int warp = 0; warp < 32; warp++) {
        const auto &own = warpgroups[warp];
        if (!own.products.empty() || own.waited < own.groups)
            emulate_stop(own.last, "wgmma: the block ends, and no wgmma_wait() came behind it");
        if (own.trace != warpgroups[warp / 4 * 4].trace)
            emulate_stop(own.last, "wgmma: warps %d and %d of one warpgroup did not do the same", warp / 4 * 4,
                         warp);
    }
}

// ---- asynchronous copies ----

static void carry_out(const emulate_copying &c) {
    if (c.valid)
        memcpy(c.to, c.from, 16);
    else
        memset(c.to, 0, 16);
}

void emulate_copy(void *shared, const void *global, bool valid, emulate_place place) {
    size_t at = (size_t)((unsigned char *)shared - shared_memory);
    if (at % 16 != 0 || at + 16 > emulate_shared_bytes())
        emulate_stop(place, "copy_async_16: to byte %zd of %zu bytes of shared memory%s", (ssize_t)at,
                     emulate_shared_bytes(), at % 16 ? ", not aligned to 16" : "");
    if ((uintptr_t)global % 16 != 0)
        emulate_stop(place, "copy_async_16: from %p, which is not aligned to 16", global);
    if (valid && !emulate_is_device(global, 16))
        emulate_stop(place, "copy_async_16: from %p, which is no device memory", global);
    int *groups;
    std::vector<emulate_copying> &copies = emulate_copies(&groups);
    emulate_copying c = {shared, global, valid, *groups};
    if (emulate_copy_at_once())
        carry_out(c);
    else
        copies.push_back(c);
}

void emulate_copy_commit() {
    int *groups;
    emulate_copies(&groups);
    ++*groups;
}

// All groups but the latest few.
void emulate_copy_wait(int latest) {
    int *groups;
    std::vector<emulate_copying> &copies = emulate_copies(&groups);
    size_t kept = 0;
    for (const emulate_copying &c : copies)
        if (c.group < *groups - latest)
            carry_out(c);
        else
            copies[kept++] = c;
    copies.resize(kept);
    emulate_copied(true);
}

void emulate_shared_to_products() {
    emulate_copied(false);
    for (int word : stored[emulate_thread_now()])
        if (stored_by[word] == emulate_thread_now() + 1)
            stored_by[word] = 0;
    stored[emulate_thread_now()].clear();
}

void emulate_stored_for_products(int place) {
    stored_by[place / 4] = (short)(emulate_thread_now() + 1);
    stored[emulate_thread_now()].push_back(place / 4);
}
