// Counter-based random numbers (Philox 4x32-10, Salmon et al. 2011): number n of stream s under a seed is a
// pure function of (seed, s, n), so results do not depend on the number of threads or the order of calls.
#ifndef TACIT_BASE_RANDOM_H
#define TACIT_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

// The four 32-bit words of block `counter` in stream `stream` under `seed`.
void random_block(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t out[4]);
// n blocks from `counter` on, in order: out[4 n]. Several times as fast as one by one.
void random_blocks(uint64_t seed, uint64_t stream, uint64_t counter, size_t n, uint32_t *out);

// 64 random bits, a uniform double in [0, 1), an integer below n (unbiased), a standard normal.
// Each is element `index` of its stream; they may be called in any order.
uint64_t random_bits(uint64_t seed, uint64_t stream, uint64_t index);
double random_uniform(uint64_t seed, uint64_t stream, uint64_t index);
uint64_t random_below(uint64_t seed, uint64_t stream, uint64_t index, uint64_t n);
double random_normal(uint64_t seed, uint64_t stream, uint64_t index);

// A pseudo-random permutation of 0..n-1 evaluated at one point, without memory (a cycle-walking Feistel
// network): the order of an epoch of any size. Distinct (seed, stream) give unrelated permutations.
uint64_t random_permute(uint64_t seed, uint64_t stream, uint64_t n, uint64_t i);

#endif
