// What a run is: its ancestor, its sizes, and the JSON object of everything that decides the final bytes.
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "train/train.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

// Default tokens of one micro-batch: enough rows to keep the products busy, few enough for small memories.
enum { MICRO_TOKENS = 16384, ROWS_MOST = 1 << 24 };

// ---- the ancestor ----

static int inherit_account(const struct training *t, struct run *r) {
    json_t *state;
    struct train_state *s = &r->state;
    int code = state_read(&state, r->ancestor);
    if (code == OK && !state && t->options->continued)
        code = error_set(ERROR_INPUT, "%s: has no state.json to continue from", r->ancestor);
    if (code == OK && state)
        code = json_get_number(state, "flops", true, &s->flops);
    if (code == OK && state && t->options->continued) {
        code = json_get_integer(state, "step", true, 0, INT64_MAX / 2, &s->first_step);
        if (code == OK)
            code = json_get_integer(state, "tokens", true, 0, INT64_MAX / 2, &s->tokens);
    }
    if (code != OK && state)
        error_prefix(code, "%s/state.json", r->ancestor);
    s->step = s->first_step;
    json_decref(state);
    return code;
}

// Models side by side are of one shape and at one step.
static int inherit(const struct training *t, struct run *r) {
    struct model_config theirs;
    int code = checkpoint_config(&theirs, r->ancestor);
    if (code == OK && !model_config_equal(&theirs, &t->config))
        return error_set(ERROR_INPUT, "%s: another model than %s",
                         t->options->model ? t->options->model : t->runs[0].ancestor, r->ancestor);
    if (code == OK)
        code = inherit_account(t, r);
    const struct run *first = &t->runs[0];
    if (code == OK && r->state.step != first->state.step)
        return error_set(ERROR_INPUT, "%s: is at step %" PRId64 ", but %s at step %" PRId64, r->ancestor,
                         r->state.step, first->ancestor, first->state.step);
    return code;
}

int training_inherit(struct training *t) {
    const struct train_options *o = t->options;
    int code =
        o->model ? model_config_read(&t->config, o->model) : checkpoint_config(&t->config, t->runs[0].ancestor);
    for (int g = 0; g < t->count && code == OK && t->runs[g].ancestor; g++)
        code = inherit(t, &t->runs[g]);
    return code;
}

// ---- sizes ----

static int check_ancestor_vocabulary(struct training *t, const char *ancestor, const char *name) {
    struct digest theirs = {{0}};
    int code = checkpoint_vocab(ancestor, &theirs);
    if (code == OK)
        code = stream_match_vocabularies(name, &t->vocab, ancestor, &theirs, "tokenize with its tokenizer.json");
    if (code == OK && digest_known(&theirs))
        t->vocab = theirs;
    return code;
}

static int check_vocabulary(struct training *t) {
    const char *name = "";
    const struct feed *feed = t->runs[0].feed; // the others read the same streams
    uint32_t size = feed_vocab_size(feed, &name);
    if (size > (uint32_t)t->config.vocab)
        return error_set(ERROR_INPUT, "%s: vocabulary of %" PRIu32 " tokens, but the model's has %d", name, size,
                         t->config.vocab);
    t->vocab = feed_vocab(feed, &name);
    int code = OK;
    for (int g = 0; g < t->count && code == OK && t->runs[g].ancestor; g++)
        code = check_ancestor_vocabulary(t, t->runs[g].ancestor, name);
    return code;
}

static int settle_length(struct training *t) {
    struct train_options *o = t->options;
    const char *name = "--length";
    const struct feed *feed = t->runs[0].feed;
    uint32_t longest = feed ? feed_length(feed, &name) : (uint32_t)t->config.positions;
    if (o->length == 0 && longest == 0)
        return error_set(ERROR_USAGE, "--length: needed, for these sequences have no common bound");
    if (o->length == 0 || (longest > 0 && o->length > longest))
        o->length = longest;
    if (o->length > t->config.positions)
        return error_set(ERROR_INPUT,
                         "%s: sequences of %" PRId64 " tokens, but the model has %d positions; --length cuts them",
                         name, o->length, t->config.positions);
    if (o->micro_batch == 0)
        o->micro_batch = MICRO_TOKENS / o->length;
    if (o->micro_batch == 0)
        o->micro_batch = 1;
    if (o->micro_batch > o->batch)
        o->micro_batch = o->batch;
    if (o->micro_batch > ROWS_MOST / o->length / t->count)
        return error_set(ERROR_USAGE, "--micro-batch: %" PRId64 " sequences of %" PRId64 " tokens are too many",
                         o->micro_batch * t->count, o->length);
    return OK;
}

// One pass over the data; models side by side do the same steps.
static int count_steps(const struct training *t, int64_t *steps) {
    const struct train_options *o = t->options;
    for (int g = 0; g < t->count; g++) {
        uint64_t sequences = feed_sequences(t->runs[g].feed);
        int64_t its = (int64_t)(sequences / (uint64_t)o->batch);
        if (its == 0)
            return error_set(ERROR_INPUT, "%" PRIu64 " sequences are less than one batch of %" PRId64, sequences,
                             o->batch);
        if (g > 0 && its != *steps)
            return error_set(ERROR_USAGE,
                             "--steps: needed, for a pass is %" PRId64 " steps for expert %" PRId64 " and %" PRId64
                             " for expert %" PRId64,
                             *steps, t->runs[0].expert, its, t->runs[g].expert);
        *steps = its;
    }
    return OK;
}

static int settle_steps(struct training *t) {
    struct train_options *o = t->options;
    const struct feed *feed = t->runs[0].feed;
    int64_t first_step = t->runs[0].state.first_step;
    if (o->steps == 0 && feed && !feed_piped(feed)) {
        int code = count_steps(t, &o->steps);
        if (code != OK)
            return code;
    }
    if (o->steps == 0 && feed && o->schedule != SCHEDULE_CONSTANT && o->schedule_steps == 0)
        return error_set(ERROR_USAGE, "--schedule: from a pipe it needs --steps or --schedule-steps");
    t->last_step = o->steps > 0 ? first_step + o->steps : 0;
    t->schedule_steps = o->schedule_steps > 0 ? o->schedule_steps : t->last_step;
    if (t->schedule_steps > 0 && o->warmup > t->schedule_steps && o->schedule != SCHEDULE_CONSTANT)
        return error_set(ERROR_USAGE, "--warmup: %" PRId64 " steps are more than the schedule's %" PRId64,
                         o->warmup, t->schedule_steps);
    return OK;
}

int training_settle(struct training *t) {
    int code = t->runs[0].feed ? check_vocabulary(t) : OK;
    if (code == OK)
        code = training_read_tokenizer(t);
    if (code == OK)
        code = settle_length(t);
    return code == OK ? settle_steps(t) : code;
}

// ---- the JSON object ----

static json_t *describe_model(const struct model_config *c) {
    static const char *const families[] = {"smalltalk", "llama"};
    return json_pack("{s:s,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:b,s:f,s:f,s:f}", "family", families[c->family],
                     "vocab", c->vocab, "hidden", c->hidden, "layers", c->layers, "heads", c->heads, "kv_heads",
                     c->kv_heads, "head_size", c->head_size, "feed_forward", c->feed_forward, "positions",
                     c->positions, "tied", c->tied, "theta", c->theta, "epsilon", c->epsilon, "init_std",
                     c->init_std);
}

static json_t *describe_options(const struct training *t, const struct run *r) {
    static const char *const schedules[] = {"constant", "cosine", "linear"};
    const struct train_options *o = t->options;
    return json_pack(
        "{s:I,s:I,s:I,s:I,s:s,s:I,s:I,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:b,s:I,s:I,s:I,s:I,s:s,s:s,s:s}", "steps",
        (json_int_t)o->steps, "batch", (json_int_t)o->batch, "micro_batch", (json_int_t)o->micro_batch, "length",
        (json_int_t)o->length, "schedule", schedules[o->schedule], "warmup", (json_int_t)o->warmup,
        "schedule_steps", (json_int_t)t->schedule_steps, "lr", o->rate, "min_lr", o->min_rate, "beta1", o->beta1,
        "beta2", o->beta2, "eps", o->epsilon, "weight_decay", o->decay, "clip", o->clip, "shuffle", o->shuffle,
        "seed", (json_int_t)r->seed, "first_step", (json_int_t)r->state.first_step, "begin",
        (json_int_t)o->sequences.begin, "end", (json_int_t)(o->sequences.end == INT64_MAX ? -1 : o->sequences.end),
        "weights", o->weights ? o->weights : "", "dtype", t->device->compute == KERNEL_BF16 ? "bf16" : "f32",
        "backend", t->device->k->name);
}

// The weights that the run starts from: {"init": digest}, {"continue": digest} or {}.
static int describe_ancestor(const struct training *t, const struct run *r, json_t *configuration) {
    const struct train_options *o = t->options;
    if (!r->ancestor)
        return OK;
    struct digest weights;
    char hex[33];
    int code = checkpoint_digest(r->ancestor, &weights);
    if (code != OK)
        return code;
    digest_format(&weights, hex);
    if (json_object_set_new(configuration, o->init ? "init" : "continue", json_string(hex)) != 0)
        return error_set(ERROR_SYSTEM, "out of memory: writing json");
    return OK;
}

int training_describe(const struct training *t, struct run *r) {
    json_t *model = describe_model(&t->config), *all = describe_options(t, r);
    char *data = feed_digests(r->feed);
    json_decref(r->configuration);
    r->configuration = all;
    bool bad = !model || !all;
    // Unknown while a pipe runs; for files no digest is no memory.
    bad = bad || (!data && !feed_piped(r->feed));
    bad = bad || json_object_set_new(all, "data", data ? json_string(data) : json_null()) != 0;
    bad = bad || json_object_set(all, "model", model) != 0;
    bad = bad || json_object_set_new(all, "expert", json_integer(r->expert)) != 0;
    json_decref(model);
    free(data);
    if (bad)
        return error_set(ERROR_SYSTEM, "out of memory: writing json");
    return describe_ancestor(t, r, all);
}

static int differ(const char *key, const json_t *there, const json_t *here, const char *what) {
    char *theirs = there ? json_canonical(there) : string_copy("nothing");
    char *ours = here ? json_canonical(here) : string_copy("nothing");
    if (theirs && ours)
        error_set(ERROR_INPUT, "key '%s': %s has %s, this command says %s; --restart starts over", key, what,
                  theirs, ours);
    free(theirs);
    free(ours);
    return ERROR_INPUT;
}

int configuration_compare(const json_t *there, const json_t *here, const char *what) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)here, key, value) {
        const json_t *other = json_object_get(there, key);
        if (json_is_null(value) || json_is_null(other))
            continue;
        if (json_is_object(value) && json_is_object(other)) {
            int code = configuration_compare(other, value, what);
            if (code != OK)
                return code;
        } else if (!json_equal(value, other)) {
            return differ(key, other, value, what);
        }
    }
    json_object_foreach((json_t *)there, key, value) {
        if (!json_object_get(here, key))
            return differ(key, value, NULL, what);
    }
    return OK;
}
