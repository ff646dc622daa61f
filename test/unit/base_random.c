#include "base/random.h"
#include "check.h"

#include <stdint.h>
#include <stdlib.h>

// Random123's published known answers for philox4x32-10 (kat_vectors).
static void match_known_answers(void) {
    static const struct {
        uint64_t seed, stream, counter;
        uint32_t out[4];
    } known[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822,
         0x0370734413198a2e,
         0x85a308d3243f6a88,
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        uint32_t out[4];
        random_block(known[i].seed, known[i].stream, known[i].counter, out);
        CHECK(memcmp(out, known[i].out, sizeof out) == 0);
    }
}

// Many blocks are the single ones, across the 32-bit words of the counter and beside whole lanes.
static void blocks_are_single_blocks(void) {
    enum { MOST = 200 };
    const uint64_t counters[] = {0, 5, UINT32_MAX - 100u, UINT64_MAX - 70};
    const size_t counts[] = {0, 1, 63, 64, 65, 128, MOST};
    for (size_t k = 0; k < sizeof counters / sizeof *counters; k++)
        for (size_t j = 0; j < sizeof counts / sizeof *counts; j++) {
            uint32_t all[4 * MOST + 1], one[4];
            bool same = true;
            all[4 * counts[j]] = 77;
            random_blocks(9, 8, counters[k], counts[j], all);
            for (size_t i = 0; i < counts[j]; i++) {
                random_block(9, 8, counters[k] + i, one);
                same = same && memcmp(all + 4 * i, one, sizeof one) == 0;
            }
            CHECK(same && all[4 * counts[j]] == 77);
        }
}

// The first moments of N samples against theory, within five standard errors.
static void have_right_moments(void) {
    enum { N = 1000000 };
    double sum = 0, square = 0, fourth = 0, uniform = 0, lag = 0, before = 0;
    bool in_range = true, finite = true;
    for (int i = 0; i < N; i++) {
        double u = random_uniform(7, 1, (uint64_t)i), z = random_normal(7, 2, (uint64_t)i);
        in_range = in_range && u >= 0 && u < 1;
        finite = finite && isfinite(z);
        uniform += u;
        sum += z;
        square += z * z;
        fourth += z * z * z * z;
        lag += z * before;
        before = z;
    }
    double root = sqrt(N);
    CHECK(in_range && finite);
    CHECK_CLOSE(uniform / N, 0.5, 5 * sqrt(1 / 12.0) / root);
    CHECK_CLOSE(sum / N, 0, 5 / root);
    CHECK_CLOSE(square / N, 1, 5 * sqrt(2) / root);
    CHECK_CLOSE(fourth / N, 3, 5 * sqrt(96) / root);
    CHECK_CLOSE(lag / N, 0, 5 / root);
}

// Chi-squared over 7 cells; 99.99% of samples stay below 27.9 (6 degrees of freedom).
static void draw_below_n_evenly(void) {
    int cells[7] = {0}, n = 700000;
    for (int i = 0; i < n; i++)
        cells[random_below(3, 5, (uint64_t)i, 7)]++;
    double chi = 0;
    for (int i = 0; i < 7; i++)
        chi += pow(cells[i] - n / 7.0, 2) / (n / 7.0);
    CHECK(chi < 27.9);
    CHECK_EQUAL_INT(random_below(1, 2, 3, 1), 0);
    // With n just above 2^63 almost half of the draws are rejected, and the upper quarter must not be favoured.
    uint64_t big = (UINT64_C(1) << 63) + 1;
    int upper = 0;
    for (uint64_t i = 0; i < 100000; i++) {
        uint64_t x = random_below(1, 2, i, big);
        CHECK_EQUAL_INT(x < big, 1);
        upper += x >= big / 2;
    }
    CHECK_CLOSE(upper / 100000.0, 0.5, 0.01);
}

static bool is_permutation(uint64_t stream, uint64_t n, uint8_t *seen) {
    memset(seen, 0, n);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t to = random_permute(11, stream, n, i);
        if (to >= n || seen[to])
            return false;
        seen[to] = 1;
    }
    return true;
}

static void permute_one_to_one(void) {
    uint8_t *seen = malloc(1 << 20);
    if (!seen)
        return;
    bool good = true;
    for (uint64_t n = 0; n <= 300; n++)
        for (uint64_t stream = 0; stream < 5; stream++)
            good = good && is_permutation(stream, n, seen);
    CHECK(good);
    static const uint64_t sizes[] = {1023,  1024,  1025,  4095,  4096,    4097,
                                     65535, 65536, 65537, 99991, 1000003, 1 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        CHECK(is_permutation(i, sizes[i], seen));
    free(seen);
    CHECK_EQUAL_INT(random_permute(1, 2, 0, 0), 0);
    CHECK_EQUAL_INT(random_permute(1, 2, 1, 0), 0);
    CHECK(random_permute(1, 2, UINT64_MAX, 5) != random_permute(1, 2, UINT64_MAX, 6));
    CHECK(random_permute(1, 2, UINT64_C(3000000000), 2999999999) < UINT64_C(3000000000));
}

// Over many streams each of the 24 orders of four comes equally often (chi-squared, 23 degrees: 99.99%
// below 55.6), and in a long permutation neighbours end up far apart (mean distance n/3).
static void permute_without_pattern(void) {
    int counts[256] = {0}, streams = 48000;
    for (int s = 0; s < streams; s++) {
        int code = 0;
        for (uint64_t i = 0; i < 4; i++)
            code = code * 4 + (int)random_permute(5, (uint64_t)s, 4, i);
        counts[code]++;
    }
    double chi = 0;
    int orders = 0;
    for (int i = 0; i < 256; i++)
        if (counts[i] > 0) {
            orders++;
            chi += pow(counts[i] - streams / 24.0, 2) / (streams / 24.0);
        }
    CHECK_EQUAL_INT(orders, 24);
    CHECK(chi < 55.6);

    uint64_t n = 100000, before = random_permute(1, 1, n, 0);
    double distance = 0;
    int fixed = 0, same = 0;
    for (uint64_t i = 1; i < n; i++) {
        uint64_t to = random_permute(1, 1, n, i);
        distance += to > before ? (double)(to - before) : (double)(before - to);
        before = to;
        fixed += to == i;
        same += to == random_permute(1, 2, n, i);
    }
    CHECK_CLOSE(distance / (double)n / (double)n, 1 / 3.0, 0.01);
    CHECK(fixed < 12 && same < 12); // about Poisson(1)
}

int main(void) {
    match_known_answers();
    blocks_are_single_blocks();
    have_right_moments();
    draw_below_n_evenly();
    permute_one_to_one();
    permute_without_pattern();
    return check_report();
}
