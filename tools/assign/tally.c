#include "tally.h"

#include "base/error.h"
#include "base/json.h"
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>

int tally_init(struct tally *t, uint32_t experts) {
    *t = (struct tally){.experts = experts};
    t->loads = memory_new(experts, sizeof *t->loads);
    return t->loads ? OK : ERROR_SYSTEM;
}

void tally_add(struct tally *t, const float *row, uint32_t best, uint32_t expert) {
    t->loads[expert]++;
    t->sequences++;
    if (!row)
        return;
    t->scored++;
    t->chosen += (double)row[expert];
    t->regret += (double)row[best] - (double)row[expert];
    t->displaced += expert != best;
}

static json_t *mean(double sum, uint64_t count) {
    double m = sum / (double)count;
    return count > 0 && isfinite(m) ? json_real(m) : json_null();
}

char *tally_json(const struct tally *t, const char *method, uint64_t capacity) {
    json_t *loads = json_array();
    for (uint32_t e = 0; e < t->experts; e++)
        json_array_append_new(loads, json_integer((json_int_t)t->loads[e]));
    json_t *o = json_pack("{s:s, s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "tool", "assign", "method", method,
                          "sequences", (json_int_t)t->sequences, "experts", (json_int_t)t->experts, "capacity",
                          capacity ? json_integer((json_int_t)capacity) : json_null(), "loads", loads,
                          "mean_score", mean(t->chosen, t->scored), "displaced",
                          mean((double)t->displaced, t->scored), "regret", mean(t->regret, t->scored));
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
