// The Bayes mixture: identities, and a long double reference written from the formula.
#include "check.h"

#include "base/random.h"
#include "mix/rules.h"

#include <stdlib.h>

enum { LONGEST = 4096, MOST = 6 };

static float values[MOST][LONGEST];
static float out[LONGEST], other[LONGEST];
static const float *const rows[MOST] = {values[0], values[1], values[2], values[3], values[4], values[5]};

// Log-probs around -3, of experts that differ in quality over stretches of the sequence.
static void fill(uint64_t seed) {
    for (int j = 0; j < MOST; j++)
        for (int t = 0; t < LONGEST; t++)
            values[j][t] =
                -(float)exp(random_normal(seed, (uint64_t)j, (uint64_t)t) + 0.1 * ((t / 300 + j) % MOST));
}

static long double lse(const long double *a, int n) {
    long double top = -INFINITY, sum = 0;
    for (int j = 0; j < n; j++)
        top = a[j] > top ? a[j] : top;
    if (top == -INFINITY)
        return -INFINITY;
    for (int j = 0; j < n; j++)
        sum += expl(a[j] - top);
    return top + logl(sum);
}

// The formula, with its history summed afresh at every position.
static long double reference(const float *const *l, int experts, const double *prior, int topk, int window,
                             int t) {
    long double a[MOST], b[MOST], chosen_a[MOST], chosen_b[MOST];
    for (int j = 0; j < experts; j++) {
        a[j] = logl((long double)prior[j]);
        for (int s = window && t > window ? t - window : 0; s < t; s++)
            a[j] += (long double)l[j][s];
        b[j] = a[j] + (long double)l[j][t];
    }
    int n = 0;
    for (int j = 0; j < experts; j++) {
        int better = 0;
        for (int i = 0; i < experts; i++)
            better += a[i] > a[j] || (a[i] == a[j] && i < j);
        if (topk == 0 || better < topk) {
            chosen_a[n] = a[j];
            chosen_b[n++] = b[j];
        }
    }
    return lse(chosen_b, n) - lse(chosen_a, n);
}

static void run(const float *const *l, int experts, const double *prior, int topk, int window, int n, float *to) {
    struct mixer m;
    CHECK_OK(mixer_init(&m, (uint32_t)experts, prior, (uint32_t)topk, (uint32_t)window));
    CHECK_OK(mix_bayes(&m, l, (uint32_t)n, to));
    mixer_release(&m);
}

static void check_reference(int experts, const double *prior, int topk, int window, int n, int step) {
    double worst = 0;
    run(rows, experts, prior, topk, window, n, out);
    for (int t = 0; t < n; t += step) {
        double expected = (double)reference(rows, experts, prior, topk, window, t);
        double error = fabs((double)out[t] - expected) / (fabs(expected) > 1 ? fabs(expected) : 1);
        worst = error > worst ? error : worst;
    }
    CHECK(worst < 1.2e-7); // half a unit in the last place of float32, and a little
}

static double total(const float *l, int n) {
    double sum = 0;
    for (int t = 0; t < n; t++)
        sum += (double)l[t];
    return sum;
}

// sum_t log p_t = LSE_j(log pi_j + L_j); and never worse than expert j by more than -log pi_j.
static void check_telescoping(const double *prior, int n) {
    long double whole[MOST];
    run(rows, MOST, prior, 0, 0, n, out);
    for (int j = 0; j < MOST; j++) {
        whole[j] = logl((long double)prior[j]) + (long double)total(values[j], n);
        CHECK(total(out, n) >= total(values[j], n) + log(prior[j]) - 1e-3);
    }
    CHECK_CLOSE(total(out, n), (double)lse(whole, MOST), 1e-8);
}

static void check_identities(const double *prior) {
    const float *const turned[MOST] = {values[3], values[1], values[5], values[0], values[2], values[4]};
    const double turned_prior[MOST] = {prior[3], prior[1], prior[5], prior[0], prior[2], prior[4]};
    const float *const equal[MOST] = {values[2], values[2], values[2], values[2], values[2], values[2]};
    double worst = 0, copied = 0, alone = 0;
    run(rows, MOST, prior, 0, 0, LONGEST, out);
    run(turned, MOST, turned_prior, 0, 0, LONGEST, other);
    for (int t = 0; t < LONGEST; t++)
        worst = fmax(worst, fabs((double)out[t] - (double)other[t]));
    run(equal, MOST, prior, 0, 0, LONGEST, other);
    for (int t = 0; t < LONGEST; t++)
        copied = fmax(copied, fabs((double)other[t] / (double)values[2][t] - 1));
    run(rows, 1, NULL, 0, 0, LONGEST, other);
    for (int t = 0; t < LONGEST; t++)
        alone += other[t] != values[0][t];
    CHECK(worst < 1e-6);
    CHECK(copied < 1.2e-7);
    CHECK_CLOSE(alone, 0, 0);
}

// -inf kills an expert from its position on; a prior of 0 from the start; all of them are an error.
static void check_infinities(void) {
    const double prior[3] = {0.5, 0, 0.5};
    struct mixer m;
    fill(5);
    values[0][100] = -INFINITY;
    run(rows, 3, prior, 0, 0, 1000, out);
    CHECK_CLOSE(out[100], (double)reference(rows, 3, prior, 0, 0, 100), 1e-6);
    CHECK_CLOSE(out[101], values[2][101], 1e-7);
    CHECK_CLOSE(out[999], values[2][999], 1e-7);
    run(rows, 3, prior, 0, 50, 1000, out); // the history forgets it
    CHECK_CLOSE(out[150], values[2][150], 1e-6);
    CHECK_CLOSE(out[151], (double)reference(rows, 3, prior, 0, 50, 151), 1e-6);
    values[2][700] = -INFINITY;
    for (int window = 0; window <= 5000; window += 5000) {
        CHECK_OK(mixer_init(&m, 3, prior, 0, (uint32_t)window));
        CHECK_ERROR(mix_bayes(&m, rows, 1000, out), ERROR_NUMERIC);
        CHECK_MESSAGE("prediction 700");
        CHECK_OK(mix_bayes(&m, rows, 700, out));
        mixer_release(&m);
    }
    // the expert in front at -inf, another alive: the two best are one, and it gives 0
    values[0][0] = -0.5f;
    values[1][0] = -9;
    values[0][1] = -INFINITY;
    run(rows, 2, NULL, 1, 0, 3, out);
    CHECK(out[1] == -INFINITY);
    CHECK_CLOSE(out[2], values[1][2], 1e-7);
}

int main(void) {
    const double uniform[MOST] = {1 / 6.0, 1 / 6.0, 1 / 6.0, 1 / 6.0, 1 / 6.0, 1 / 6.0};
    const double skewed[MOST] = {0.5, 0.25, 0.125, 0.0625, 0.03125, 0.03125};
    fill(1);
    check_reference(MOST, uniform, 0, 0, LONGEST, 13);
    check_reference(MOST, skewed, 0, 0, LONGEST, 29);
    check_reference(MOST, skewed, 2, 0, 1500, 7);
    check_reference(MOST, uniform, 0, 1, 1500, 1);
    check_reference(MOST, skewed, 0, 17, 1500, 1);
    check_reference(MOST, skewed, 3, 64, 1500, 1);
    check_reference(MOST, skewed, 1, 1, 300, 1);
    for (int n = 0; n < 300; n += 51)
        check_reference(5, skewed, 0, 0, n, 1);
    check_telescoping(uniform, LONGEST);
    check_telescoping(skewed, LONGEST);
    check_telescoping(skewed, 257);
    check_identities(skewed);
    check_infinities();
    return check_report();
}
