// Checkpoints of a run: a generation is written whole and found again.
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "train/train.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { STATE_LIMIT = 1 << 20, STATE_VERSION = 1 };

// ---- writing ----

static json_t *describe_state(const struct training *t, int g) {
    const struct run *r = &t->runs[g];
    const struct train_state *s = &r->state;
    return json_pack(
        "{s:I,s:I,s:i,s:b,s:I,s:I,s:I,s:f,s:f,s:f,s:f,s:{s:f,s:I},s:I,s:f,s:O,s:o,s:s}", "parameters",
        (json_int_t)model_parameters(&t->config), "product_parameters",
        (json_int_t)model_product_parameters(&t->config), "version", STATE_VERSION, "complete", s->complete,
        "step", (json_int_t)s->step, "tokens", (json_int_t)s->tokens, "tokens_run", (json_int_t)s->tokens_run,
        "flops", s->flops, "flops_run", s->flops_run, "seconds", s->seconds, "compute_seconds", s->compute_seconds,
        "interval", "nats", s->interval_nats, "predicted", (json_int_t)s->interval_predicted, "sequences",
        (json_int_t)supply_drawn(t->supply, g), "epochs", supply_epochs(t->supply, g), "configuration",
        r->configuration, "position", supply_position(t->supply, g), "device", device_describe(t->device));
}

static int write_state(const struct training *t, int g, const char *directory) {
    json_t *state = describe_state(t, g);
    char *text = json_text(state, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
    char *path = text ? path_join(directory, "state.json") : NULL;
    int code = path ? file_write(path, text, strlen(text)) : ERROR_SYSTEM;
    json_decref(state);
    free(text);
    free(path);
    return code;
}

// The tokenizer that was named, or the ancestor's where it has one.
static int copy_tokenizer(const struct training *t, const struct run *r, const char *directory) {
    char *from = r->ancestor && t->tokenizer.size == 0 ? path_join(r->ancestor, "tokenizer.json") : NULL;
    char *to = path_join(directory, "tokenizer.json");
    struct buffer text = {0};
    int code = to && (from || !r->ancestor || t->tokenizer.size > 0) ? OK : ERROR_SYSTEM;
    if (code == OK && from && path_exists(from))
        code = file_read(from, TOKENIZER_LIMIT, &text);
    const struct buffer *tokenizer = from ? &text : &t->tokenizer;
    if (code == OK && tokenizer->size > 0)
        code = file_write(to, tokenizer->data, tokenizer->size);
    buffer_release(&text);
    free(from);
    free(to);
    return code;
}

// Run g's generation of this moment, not yet its current one.
static int write_generation(struct training *t, int g) {
    struct run *r = &t->runs[g];
    char *directory;
    r->state.seconds = clock_seconds() - t->resumed_at;
    // Saved already: the weights are the same, and the current generation must not go for one moment.
    if (folder_step(&r->folder) == r->state.step)
        return write_state(t, g, r->folder.current);
    int code = folder_begin(&r->folder, r->state.step, &directory);
    if (code == OK)
        code = checkpoint_save(t->model, g, directory, &t->vocab);
    if (code == OK)
        code = checkpoint_save_moments(t->model, g, directory);
    if (code == OK)
        code = copy_tokenizer(t, r, directory);
    if (code == OK)
        code = write_state(t, g, directory);
    free(directory);
    return code;
}

// Models side by side go on from one step: each keeps its older generation until all have the new one.
int training_save(struct training *t) {
    int64_t keep = t->options->keep;
    int code = OK;
    for (int g = 0; g < t->count && code == OK; g++)
        code = write_generation(t, g);
    for (int g = 0; g < t->count && code == OK; g++)
        if (folder_step(&t->runs[g].folder) != t->runs[g].state.step)
            code = folder_advance(&t->runs[g].folder, t->runs[g].state.step, t->count > 1 ? keep + 1 : keep);
    for (int g = 0; g < t->count && code == OK && t->count > 1; g++)
        code = folder_prune(&t->runs[g].folder, keep);
    return code;
}

// ---- reading ----

static int check_version(const json_t *state, const char *path) {
    int64_t version = 0;
    int code = json_get_integer(state, "version", true, 1, INT64_MAX, &version);
    if (code == OK && version != STATE_VERSION)
        code =
            error_set(ERROR_INPUT, "version %" PRId64 ", and this train knows version %d", version, STATE_VERSION);
    return code == OK ? OK : error_prefix(code, "%s", path);
}

int state_read(json_t **state, const char *directory) {
    char *path = path_join(directory, "state.json");
    *state = NULL;
    int code = path ? OK : ERROR_SYSTEM;
    if (code == OK && path_exists(path))
        code = json_read(state, path, STATE_LIMIT);
    if (code == OK && *state)
        code = check_version(*state, path);
    if (code != OK) {
        json_decref(*state);
        *state = NULL;
    }
    free(path);
    return code;
}

static int read_account(struct train_state *s, const json_t *state) {
    const json_t *interval = json_object_get(state, "interval");
    const struct {
        const json_t *object;
        const char *key;
        int64_t *value;
    } integers[] = {{state, "step", &s->step},
                    {state, "tokens", &s->tokens},
                    {state, "tokens_run", &s->tokens_run},
                    {interval, "predicted", &s->interval_predicted}};
    const struct {
        const json_t *object;
        const char *key;
        double *value;
    } numbers[] = {{state, "flops", &s->flops},
                   {state, "flops_run", &s->flops_run},
                   {state, "seconds", &s->seconds},
                   {interval, "nats", &s->interval_nats}};
    int code = OK;
    for (size_t i = 0; i < sizeof integers / sizeof *integers && code == OK; i++)
        code = json_get_integer(integers[i].object, integers[i].key, true, 0, INT64_MAX / 2, integers[i].value);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers && code == OK; i++)
        code = json_get_number(numbers[i].object, numbers[i].key, true, numbers[i].value);
    if (code == OK) // not in the states of earlier versions
        code = json_get_number(state, "compute_seconds", false, &s->compute_seconds);
    if (code == OK)
        code = json_get_boolean(state, "complete", true, &s->complete);
    return code;
}

int training_restore(struct training *t, int g) {
    json_t *state;
    struct run *r = &t->runs[g];
    const char *directory = r->folder.current;
    int code = state_read(&state, directory);
    if (code == OK && !state)
        return error_set(ERROR_INPUT, "%s: has no state.json", directory);
    if (code == OK) {
        code = read_account(&r->state, state);
        if (code != OK)
            error_prefix(code, "%s/state.json", directory);
    }
    if (code == OK)
        code = feed_restore(r->feed, json_object_get(state, "position"));
    if (code == OK)
        code = checkpoint_load(t->model, g, directory);
    if (code == OK)
        code = checkpoint_load_moments(t->model, g, directory);
    json_decref(state);
    return code;
}
