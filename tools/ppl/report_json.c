#include "collect.h"
#include "report.h"

#include "base/error.h"
#include "base/json.h"
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>

static void put(json_t *o, const char *key, double value) {
    json_object_set_new(o, key, isfinite(value) ? json_real(value) : json_null());
}

static void put_count(json_t *o, const char *key, double value) {
    json_object_set_new(o, key, isfinite(value) ? json_integer((json_int_t)value) : json_null());
}

static void put_interval(json_t *o, const char *key, const struct interval *i) {
    if (!isfinite(i->low) || !isfinite(i->high))
        json_object_set_new(o, key, json_null());
    else
        json_object_set_new(o, key, json_pack("[f,f]", i->low, i->high));
}

// A set of sequences under the model or the baseline.
static void put_score(json_t *o, const struct report *r, const struct measured *m, const struct score *s) {
    put_count(o, "sequences", m->sequences);
    put_count(o, "tokens", m->tokens);
    put_count(o, "bytes", m->bytes);
    put(o, "nats", s->nats);
    put(o, "nats_per_token", s->nats_per_token);
    put(o, "perplexity", s->perplexity);
    put(o, "bits_per_byte", s->bits_per_byte);
    put_interval(o, "perplexity_ci95", &s->perplexity_ci95);
    put_interval(o, "bits_per_byte_ci95", &s->bits_per_byte_ci95);
    if (isinf(s->perplexity))
        json_object_set_new(o, "infinite", json_true());
    if (!r->has_choices)
        return;
    json_t *choices = json_object();
    put_count(choices, "questions", m->questions);
    put(choices, "acc", s->acc);
    put(choices, "acc_norm", s->acc_norm);
    put(choices, "acc_stderr", s->acc_stderr);
    put(choices, "acc_norm_stderr", s->acc_norm_stderr);
    json_object_set_new(o, "choices", choices);
}

static void put_comparison(json_t *o, const struct report *r, const struct measured *m) {
    if (!r->has_baseline)
        return;
    json_t *baseline = json_object(), *difference = json_object();
    put_score(baseline, r, m, &m->baseline);
    put(difference, "nats_per_token", m->difference);
    put_interval(difference, "nats_per_token_ci95", &m->difference_ci95);
    put(difference, "improvement_percent", m->improvement);
    put_interval(difference, "improvement_percent_ci95", &m->improvement_ci95);
    json_object_set_new(o, "baseline", baseline);
    json_object_set_new(o, "difference", difference);
}

int report_json(const struct report *r, struct buffer *out) {
    json_t *o = json_object(), *total = json_object(), *groups = json_array();
    json_object_set_new(o, "stream", json_string(r->stream));
    json_object_set_new(o, "rule", r->rule ? json_string(r->rule) : json_null());
    json_object_set_new(o, "improper", json_boolean(r->improper));
    json_object_set_new(o, "from", r->from ? json_integer(r->from) : json_null());
    put_score(total, r, &r->total, &r->total.model);
    json_object_set_new(o, "total", total);
    put_comparison(o, r, &r->total);
    if (r->from) {
        json_t *all = json_object();
        put_score(all, r, &r->all_positions, &r->all_positions.model);
        put_comparison(all, r, &r->all_positions);
        json_object_set_new(o, "all_positions", all);
    }
    for (uint32_t i = 0; i < r->group_count; i++) {
        const struct measured *m = &r->groups[i];
        json_t *group = json_object();
        if (r->by & BY_DOMAIN)
            json_object_set_new(group, "domain", json_string(m->domain));
        if (r->by & BY_EXPERT)
            json_object_set_new(group, "expert", json_integer(m->expert));
        put_score(group, r, m, &m->model);
        put(group, "share", m->share);
        put_comparison(group, r, m);
        json_array_append_new(groups, group);
    }
    json_object_set_new(o, "groups", groups);
    char *text = json_canonical(o);
    json_decref(o);
    if (!text)
        return error_set(ERROR_SYSTEM, "out of memory for the report");
    int rc = buffer_append_format(out, "%s\n", text);
    free(text);
    return rc;
}
