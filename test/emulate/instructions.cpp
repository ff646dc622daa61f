// Warp instructions and asynchronous copies.
#include "../../lib/kernels/cuda/ptx.cuh"
#include "grid.h"

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
}
