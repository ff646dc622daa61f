#include "tally.h"

#include "base/error.h"
#include "base/json.h"
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int tally_init(struct tally *t, uint32_t experts) {
    *t = (struct tally){.experts = experts};
    t->loads = memory_new(experts, sizeof *t->loads);
    return t->loads ? OK : ERROR_SYSTEM;
}

void tally_clear(struct tally *t) {
    uint64_t *loads = t->loads;
    memset(loads, 0, t->experts * sizeof *loads);
    *t = (struct tally){.experts = t->experts, .loads = loads};
}

static void sum_add(struct tally_sum *s, double value) {
    if (fabs(value) <= 0x1p22)
        s->units += (int64_t)(value * 0x1p40);
    else
        s->infinite = true;
}

static double sum_mean(const struct tally_sum *s, uint64_t count) {
    return s->infinite || count == 0 ? NAN : (double)s->units * 0x1p-40 / (double)count;
}

void tally_add(struct tally *t, const float *row, uint32_t best, uint32_t expert) {
    t->loads[expert]++;
    t->sequences++;
    if (!row)
        return;
    t->scored++;
    sum_add(&t->chosen, (double)row[expert]);
    if (expert == best)
        return;
    t->displaced++;
    sum_add(&t->regret, (double)row[best] - (double)row[expert]);
}

double tally_mean_score(const struct tally *t) {
    return sum_mean(&t->chosen, t->scored);
}

double tally_regret(const struct tally *t) {
    return sum_mean(&t->regret, t->scored);
}

static json_t *number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

char *tally_json(const struct tally *t, const char *method, uint64_t capacity) {
    json_t *loads = json_array();
    for (uint32_t e = 0; e < t->experts; e++)
        json_array_append_new(loads, json_integer((json_int_t)t->loads[e]));
    json_t *o = json_pack("{s:s, s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "tool", "assign", "method", method,
                          "sequences", (json_int_t)t->sequences, "experts", (json_int_t)t->experts, "capacity",
                          capacity ? json_integer((json_int_t)capacity) : json_null(), "loads", loads,
                          "mean_score", number(tally_mean_score(t)), "displaced",
                          number((double)t->displaced / (double)t->scored), "regret", number(tally_regret(t)));
    char *text = o ? json_canonical(o) : NULL;
    json_decref(o);
    if (!text)
        error_set(ERROR_SYSTEM, "out of memory for the report");
    return text;
}

void tally_release(struct tally *t) {
    free(t->loads);
    t->loads = NULL;
}
