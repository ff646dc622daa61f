#include "model/checkpoint.h"

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "model/internal.h"
#include "model/safetensors.h"

#include <stdlib.h>
#include <string.h>

static const char weights_name[] = "model.safetensors", index_name[] = "model.safetensors.index.json";
static const char moments_name[] = "optimizer.safetensors", vocab_key[] = "tacit.vocabulary";

enum { INDEX_LIMIT = 64 << 20, SHARD_LIMIT = 1024 };

// ---- the folder ----

static int check_folder(const char *directory) {
    char *config = path_join(directory, "config.json"), *part = string_format("%s.part", directory);
    int code = config && part ? OK : ERROR_SYSTEM;
    if (code == OK && !path_exists(directory) && path_is_directory(part))
        code = error_set(ERROR_SYSTEM, "%s: is not there yet; %s holds its unfinished run, train --resume goes on",
                         directory, part);
    else if (code == OK && path_exists(directory) && !path_exists(config))
        code = error_set(ERROR_INPUT, "%s: is no checkpoint: a folder with config.json and %s is wanted",
                         directory, weights_name);
    free(config);
    free(part);
    return code;
}

int checkpoint_config(struct model_config *c, const char *directory) {
    int code = check_folder(directory);
    return code == OK ? model_config_read(c, directory) : code;
}

// ---- writing ----

// What an array's tensors are called in its file: parameters by their own name.
static const char *array_prefix(enum model_array which) {
    switch (which) {
    case MODEL_FIRST_MOMENT:
        return "exp_avg.";
    case MODEL_SECOND_MOMENT:
        return "exp_avg_sq.";
    default:
        return "";
    }
}

static struct safetensors_tensor describe(const struct model_tensor *t, const char *name) {
    return (struct safetensors_tensor){
        .name = name, .dimensions = t->cols ? 2 : 1, .shape = {t->rows, t->cols}, .elements = tensor_elements(t)};
}

static int write_tensor(struct model *m, int g, enum model_array which, const struct model_tensor *t,
                        struct output *out) {
    size_t n = tensor_elements(t);
    for (size_t begin = 0; begin < n; begin += m->staging_size) {
        size_t part = n - begin < m->staging_size ? n - begin : m->staging_size;
        int code = model_get(m, g, which, t->offset + begin, part, m->staging);
        if (!code)
            code = safetensors_write(out, m->staging, part);
        if (code)
            return code;
    }
    return OK;
}

// Arrays of model g into one file, one behind the other.
static int write_arrays(struct model *m, int g, const enum model_array *arrays, int count, const char *path,
                        const char *const *metadata) {
    int tensors = m->table.count, total = tensors * count, code = OK;
    struct safetensors_tensor *entries = memory_new((size_t)total, sizeof *entries);
    char **names = memory_new((size_t)total, sizeof *names);
    struct output *out = NULL;
    if (!entries || !names)
        code = ERROR_SYSTEM;
    for (int i = 0; i < total && !code; i++) {
        const struct model_tensor *t = &m->table.tensors[i % tensors];
        names[i] = string_format("%s%s", array_prefix(arrays[i / tensors]), t->name);
        code = names[i] ? OK : ERROR_SYSTEM;
        entries[i] = describe(t, names[i]);
    }
    if (!code)
        code = safetensors_create(&out, path, entries, total, metadata);
    for (int i = 0; i < total && !code; i++)
        code = write_tensor(m, g, arrays[i / tensors], &m->table.tensors[i % tensors], out);
    if (!code)
        code = output_commit(out);
    else
        output_abort(out);
    for (int i = 0; names && i < total; i++)
        free(names[i]);
    free(names);
    free(entries);
    return code;
}

int checkpoint_save(struct model *m, int g, const char *directory, const struct digest *vocab) {
    char text[33];
    const char *metadata[] = {"format", "pt", NULL, NULL, NULL};
    if (vocab && digest_known(vocab)) {
        digest_format(vocab, text);
        metadata[2] = vocab_key;
        metadata[3] = text;
    }
    char *config = path_join(directory, "config.json"), *weights = path_join(directory, weights_name);
    int code = config && weights ? model_config_write(&m->config, config) : ERROR_SYSTEM;
    if (!code)
        code = write_arrays(m, g, (enum model_array[]){MODEL_PARAMETERS}, 1, weights, metadata);
    free(config);
    free(weights);
    return code;
}

int checkpoint_save_moments(struct model *m, int g, const char *directory) {
    static const char *const metadata[] = {"format", "pt", NULL};
    char *path = path_join(directory, moments_name);
    if (!path)
        return ERROR_SYSTEM;
    int code =
        write_arrays(m, g, (enum model_array[]){MODEL_FIRST_MOMENT, MODEL_SECOND_MOMENT}, 2, path, metadata);
    free(path);
    return code;
}

// ---- the files of a checkpoint ----

// The weights' files: model.safetensors, or the shards that model.safetensors.index.json names.
struct weights {
    char *paths[SHARD_LIMIT];
    struct safetensors *files[SHARD_LIMIT];
    int count;
};

static void weights_close(struct weights *w) {
    for (int i = 0; w && i < w->count; i++) {
        safetensors_close(w->files[i]);
        free(w->paths[i]);
    }
    free(w);
}

static int weights_add(struct weights *w, const char *directory, const char *name) {
    if (w->count == SHARD_LIMIT)
        return error_set(ERROR_INPUT, "more than %d shards", SHARD_LIMIT);
    char *path = path_join(directory, name);
    if (!path)
        return ERROR_SYSTEM;
    for (int i = 0; i < w->count; i++)
        if (!strcmp(w->paths[i], path)) {
            free(path);
            return OK;
        }
    w->paths[w->count++] = path;
    return OK;
}

static int weights_add_shards(struct weights *w, const char *directory, const char *index) {
    json_t *object = NULL;
    int code = json_read(&object, index, INDEX_LIMIT);
    if (code)
        return code;
    json_t *map = json_object_get(object, "weight_map"), *shard;
    const char *tensor;
    if (!json_is_object(map) || json_object_size(map) == 0)
        code = error_set(ERROR_INPUT, "key 'weight_map' is not an object with entries");
    json_object_foreach(map, tensor, shard) {
        const char *name = json_string_value(shard);
        if (code)
            break;
        if (!name || !*name || strchr(name, '/'))
            code = error_set(ERROR_INPUT, "tensor '%.200s': its shard is not the name of a file", tensor);
        else
            code = weights_add(w, directory, name);
    }
    if (code)
        error_prefix(code, "%s", index);
    json_decref(object);
    return code;
}

// Find the files' paths; weights_close() in any case.
static int weights_locate(struct weights **out, const char *directory) {
    struct weights *w = *out = memory_new(1, sizeof *w);
    char *single = path_join(directory, weights_name), *index = path_join(directory, index_name);
    int code = w && single && index ? OK : ERROR_SYSTEM;
    if (!code)
        code = !path_exists(single) && path_exists(index) ? weights_add_shards(w, directory, index)
                                                          : weights_add(w, directory, weights_name);
    free(single);
    free(index);
    return code;
}

static int weights_open(struct weights **out, const char *directory) {
    int code = weights_locate(out, directory);
    for (int i = 0; !code && i < (*out)->count; i++)
        code = safetensors_open(&(*out)->files[i], (*out)->paths[i]);
    return code;
}

// ---- reading ----

// The tensor `name` in any file; it must be there, once.
static int weights_find(const struct weights *w, const char *name, struct safetensors **file,
                        const struct safetensors_tensor **tensor) {
    *tensor = NULL;
    for (int i = 0; i < w->count; i++) {
        const struct safetensors_tensor *t = safetensors_find(w->files[i], name);
        if (t && *tensor)
            return error_set(ERROR_INPUT, "%s: tensor '%s' is in another shard too", w->paths[i], name);
        if (t) {
            *tensor = t;
            *file = w->files[i];
        }
    }
    return *tensor ? OK : error_set(ERROR_INPUT, "%s: tensor '%s' is missing", w->paths[0], name);
}

static int read_tensor(struct model *m, int g, enum model_array which, const struct model_tensor *t,
                       const struct weights *w) {
    char name[128];
    snprintf(name, sizeof name, "%s%s", array_prefix(which), t->name);
    struct safetensors *file = NULL;
    const struct safetensors_tensor *found;
    int code = weights_find(w, name, &file, &found);
    if (code)
        return code;
    struct safetensors_tensor wanted = describe(t, name);
    if (found->dimensions != wanted.dimensions || found->shape[0] != wanted.shape[0] ||
        (wanted.dimensions == 2 && found->shape[1] != wanted.shape[1]))
        return error_set(ERROR_INPUT, "%s: tensor '%s' has another shape than config.json asks for", w->paths[0],
                         name);
    for (size_t begin = 0; begin < wanted.elements && !code; begin += m->staging_size) {
        size_t left = wanted.elements - begin, part = left < m->staging_size ? left : m->staging_size;
        code = safetensors_read(file, found, begin, part, m->staging);
        if (!code)
            code = model_set(m, g, which, t->offset + begin, part, m->staging);
    }
    return code;
}

// What transformers ignores as well: the classifier of a tied model, the derived rotary frequencies.
static bool ignored(const struct model *m, const char *name) {
    static const char rotary[] = ".rotary_emb.inv_freq";
    size_t n = strlen(name), tail = sizeof rotary - 1;
    return (m->config.tied && !strcmp(name, "lm_head.weight")) || (n > tail && !strcmp(name + n - tail, rotary));
}

static bool known(const struct model *m, const enum model_array *arrays, int count, const char *name) {
    for (int i = 0; i < count; i++) {
        const char *prefix = array_prefix(arrays[i]);
        size_t n = strlen(prefix);
        if (strncmp(name, prefix, n))
            continue;
        for (int j = 0; j < m->table.count; j++)
            if (!strcmp(name + n, m->table.tensors[j].name))
                return true;
    }
    return false;
}

static int check_leftover(const struct model *m, const enum model_array *arrays, int count,
                          const struct weights *w) {
    for (int i = 0; i < w->count; i++)
        for (int j = 0; j < safetensors_count(w->files[i]); j++) {
            const char *name = safetensors_get(w->files[i], j)->name;
            if (!known(m, arrays, count, name) && !ignored(m, name))
                return error_set(ERROR_INPUT, "%s: tensor '%.200s' is not part of the model", w->paths[i], name);
        }
    return OK;
}

static int read_arrays(struct model *m, int g, const enum model_array *arrays, int count,
                       const struct weights *w) {
    int code = check_leftover(m, arrays, count, w);
    for (int a = 0; a < count; a++)
        for (int i = 0; i < m->table.count && !code; i++)
            code = read_tensor(m, g, arrays[a], &m->table.tensors[i], w);
    return code;
}

int checkpoint_load(struct model *m, int g, const char *directory) {
    struct weights *w;
    int code = weights_open(&w, directory);
    if (!code)
        code = read_arrays(m, g, (enum model_array[]){MODEL_PARAMETERS}, 1, w);
    weights_close(w);
    return code;
}

int checkpoint_load_moments(struct model *m, int g, const char *directory) {
    struct weights *w = memory_new(1, sizeof *w);
    int code = w ? weights_add(w, directory, moments_name) : ERROR_SYSTEM;
    if (!code)
        code = safetensors_open(&w->files[0], w->paths[0]);
    if (!code)
        code = read_arrays(m, g, (enum model_array[]){MODEL_FIRST_MOMENT, MODEL_SECOND_MOMENT}, 2, w);
    weights_close(w);
    return code;
}

// ---- identity ----

int checkpoint_digest(const char *directory, struct digest *weights) {
    struct weights *w;
    int code = weights_locate(&w, directory);
    XXH3_state_t *state = code ? NULL : XXH3_createState();
    if (!code && !state)
        code = error_set(ERROR_SYSTEM, "out of memory for a digest");
    if (!code && w->count == 1) {
        code = digest_file(weights, w->paths[0]);
    } else if (!code) {
        // Of shards: the digest of their digests, in the order of the index.
        XXH3_128bits_reset(state);
        for (int i = 0; i < w->count && !code; i++) {
            code = digest_file(weights, w->paths[i]);
            XXH3_128bits_update(state, weights->bytes, sizeof weights->bytes);
        }
        *weights = digest_final(state);
    }
    XXH3_freeState(state);
    weights_close(w);
    return code;
}

int checkpoint_vocab(const char *directory, struct digest *vocab) {
    memset(vocab, 0, sizeof *vocab);
    struct weights *w;
    int code = weights_open(&w, directory);
    const char *text = code ? NULL : safetensors_metadata(w->files[0], vocab_key);
    if (text) {
        code = digest_parse(vocab, text);
        if (code)
            error_prefix(code, "%s: metadata '%s'", w->paths[0], vocab_key);
    }
    weights_close(w);
    return code;
}
