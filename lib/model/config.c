#include "model/config.h"

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_LIMIT = 1 << 20 };

// What a key of config.json must say, for the file to describe what this library computes.
enum rule { RULE_FALSE, RULE_NULL, RULE_ZERO, RULE_ONE, RULE_TEXT };
struct feature {
    const char *key;
    enum rule rule;
    const char *text; // RULE_TEXT
    bool required;    // transformers' default is something else, so the key may not be left out
    bool write;
};

// Each family: its names in config.json, the values transformers takes where a key is absent, its features.
struct family {
    const char *architecture, *type, *epsilon_key;
    int positions;
    bool tied, kv_heads_required;
    double epsilon, init_std;
    struct feature features[12];
};

static const struct family families[MODEL_FAMILIES] = {
    [MODEL_SMALLTALK] = {"Starcoder2ForCausalLM",
                         "starcoder2",
                         "norm_epsilon",
                         4096,
                         true,
                         true,
                         1e-5,
                         0.018042,
                         {{"use_bias", RULE_FALSE, NULL, true, true},
                          {"norm_type", RULE_TEXT, "layer_norm", false, true},
                          {"mlp_type", RULE_TEXT, "default", false, true},
                          {"hidden_act", RULE_TEXT, "gelu_pytorch_tanh", false, true},
                          {"sliding_window", RULE_NULL, NULL, false, true},
                          {"residual_dropout", RULE_ZERO, NULL, false, true},
                          {"attention_dropout", RULE_ZERO, NULL, false, true},
                          {"embedding_dropout", RULE_ZERO, NULL, false, true},
                          {"partial_rotary_factor", RULE_ONE, NULL, false, false},
                          {"quantization_config", RULE_NULL, NULL, false, false},
                          {NULL}}},
    [MODEL_LLAMA] = {"LlamaForCausalLM",
                     "llama",
                     "rms_norm_eps",
                     2048,
                     false,
                     false,
                     1e-6,
                     0.02,
                     {{"hidden_act", RULE_TEXT, "silu", false, true},
                      {"attention_bias", RULE_FALSE, NULL, false, true},
                      {"mlp_bias", RULE_FALSE, NULL, false, true},
                      {"attention_dropout", RULE_ZERO, NULL, false, true},
                      {"sliding_window", RULE_NULL, NULL, false, false},
                      {"partial_rotary_factor", RULE_ONE, NULL, false, false},
                      {"quantization_config", RULE_NULL, NULL, false, false},
                      {NULL}}},
};

// ---- reading ----

// The value of a key, NULL where it is absent or null.
static const json_t *member(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

static int refuse(const char *key, const json_t *value) {
    char *text = json_text(value, JSON_COMPACT);
    int code = text ? error_set(ERROR_INPUT, "key '%s': %.80s is not supported", key, text) : ERROR_SYSTEM;
    free(text);
    return code;
}

static bool feature_holds(const struct feature *f, const json_t *value) {
    switch (f->rule) {
    case RULE_FALSE:
        return json_is_false(value);
    case RULE_NULL:
        return false;
    case RULE_ZERO:
        return json_is_number(value) && json_number_value(value) == 0;
    case RULE_ONE:
        return json_is_number(value) && json_number_value(value) == 1;
    case RULE_TEXT:
        return json_is_string(value) && !strcmp(json_string_value(value), f->text);
    }
    return false;
}

static int check_features(const struct family *family, const json_t *object) {
    for (const struct feature *f = family->features; f->key; f++) {
        const json_t *value = member(object, f->key);
        if (!value && f->required)
            return error_set(ERROR_INPUT, "key '%s' is missing: its default is not supported", f->key);
        if (value && !feature_holds(f, value))
            return refuse(f->key, value);
    }
    return OK;
}

static int find_family(const json_t *object, enum model_family *found) {
    const char *type = NULL;
    int code = json_get_string(object, "model_type", true, &type);
    if (code)
        return code;
    for (int i = 0; i < MODEL_FAMILIES; i++)
        if (!strcmp(type, families[i].type)) {
            const json_t *name = json_array_get(member(object, "architectures"), 0);
            if (name && (!json_is_string(name) || strcmp(json_string_value(name), families[i].architecture)))
                return refuse("architectures", name);
            *found = (enum model_family)i;
            return OK;
        }
    return refuse("model_type", json_object_get(object, "model_type"));
}

// transformers 5 keeps the rotary positions in "rope_parameters", 4 in "rope_theta" and "rope_scaling".
static int read_rotary(struct model_config *c, const json_t *object) {
    static const char *const keys[] = {"rope_parameters", "rope_scaling"};
    int code = OK;
    if (member(object, "rope_theta"))
        code = json_get_number(object, "rope_theta", true, &c->theta);
    for (int i = 0; i < 2 && !code; i++) {
        const json_t *rope = member(object, keys[i]);
        if (!rope)
            continue;
        const json_t *type = member(rope, "rope_type"), *factor = member(rope, "partial_rotary_factor");
        if (!type)
            type = member(rope, "type");
        if (!json_is_object(rope) ||
            (type && (!json_is_string(type) || strcmp(json_string_value(type), "default"))))
            return refuse(keys[i], rope);
        if (factor && !(json_is_number(factor) && json_number_value(factor) == 1))
            return refuse(keys[i], rope);
        if (member(rope, "rope_theta"))
            code = json_get_number(rope, "rope_theta", true, &c->theta);
    }
    return code;
}

// A token id, null, or (Llama 3) a list whose first counts.
static int read_token(const json_t *object, const char *key, int vocab, int64_t *id) {
    const json_t *value = member(object, key);
    *id = -1;
    if (json_is_array(value))
        value = json_array_get(value, 0);
    if (!value)
        return OK;
    if (!json_is_integer(value))
        return refuse(key, value);
    int64_t n = json_integer_value(value);
    *id = n >= 0 && n < vocab ? n : -1;
    return OK;
}

struct dimension {
    const char *key;
    int *value;
    bool required;
    int64_t high;
};

static int read_dimensions(struct model_config *c, const struct family *family, const json_t *object) {
    const struct dimension dimensions[] = {
        {"vocab_size", &c->vocab, true, 1 << 24},
        {"hidden_size", &c->hidden, true, 1 << 17},
        {"num_hidden_layers", &c->layers, true, 1024},
        {"num_attention_heads", &c->heads, true, 1024},
        {"num_key_value_heads", &c->kv_heads, family->kv_heads_required, 1024},
        {"head_dim", &c->head_size, false, 1 << 16},
        {"intermediate_size", &c->feed_forward, true, 1 << 20},
        {"max_position_embeddings", &c->positions, false, 1 << 24},
    };
    for (size_t i = 0; i < sizeof dimensions / sizeof *dimensions; i++) {
        const struct dimension *d = &dimensions[i];
        int64_t value = 0;
        if (!d->required && !member(object, d->key))
            continue;
        int code = json_get_integer(object, d->key, true, 1, d->high, &value);
        if (code)
            return code;
        *d->value = (int)value;
    }
    return OK;
}

static int check_heads(struct model_config *c) {
    if (!c->kv_heads)
        c->kv_heads = c->heads;
    if (!c->head_size && c->hidden % c->heads)
        return error_set(ERROR_INPUT, "hidden_size %d is not a multiple of num_attention_heads %d", c->hidden,
                         c->heads);
    if (!c->head_size)
        c->head_size = c->hidden / c->heads;
    if (c->head_size % 8 || c->head_size > 128)
        return error_set(ERROR_INPUT, "head size %d is not a multiple of 8 from 8 to 128", c->head_size);
    // transformers 4 computes the head size of this family itself.
    if (c->family == MODEL_SMALLTALK && c->head_size * c->heads != c->hidden)
        return error_set(ERROR_INPUT, "key 'head_dim': %d is not hidden_size %d / num_attention_heads %d",
                         c->head_size, c->hidden, c->heads);
    if (c->heads % c->kv_heads)
        return error_set(ERROR_INPUT, "num_attention_heads %d is not a multiple of num_key_value_heads %d",
                         c->heads, c->kv_heads);
    return OK;
}

static int read_numbers(struct model_config *c, const struct family *family, const json_t *object) {
    c->epsilon = family->epsilon;
    c->init_std = family->init_std;
    c->theta = 10000;
    c->tied = family->tied;
    int code = read_rotary(c, object);
    if (!code)
        code = json_get_number(object, family->epsilon_key, false, &c->epsilon);
    if (!code)
        code = json_get_number(object, "initializer_range", false, &c->init_std);
    if (!code)
        code = json_get_boolean(object, "tie_word_embeddings", false, &c->tied);
    if (code)
        return code;
    if (!(c->theta > 0) || !isfinite(c->theta))
        return error_set(ERROR_INPUT, "key 'rope_theta': %g is out of range", c->theta);
    if (!(c->epsilon >= 0 && c->epsilon < 1))
        return error_set(ERROR_INPUT, "key '%s': %g is out of range", family->epsilon_key, c->epsilon);
    if (!(c->init_std >= 0 && c->init_std < 1e3))
        return error_set(ERROR_INPUT, "key 'initializer_range': %g is out of range", c->init_std);
    return OK;
}

static int read_object(struct model_config *c, const json_t *object) {
    memset(c, 0, sizeof *c);
    if (!json_is_object(object))
        return error_set(ERROR_INPUT, "not a JSON object");
    int code = find_family(object, &c->family);
    if (code)
        return code;
    const struct family *family = &families[c->family];
    c->positions = family->positions;
    code = check_features(family, object);
    if (!code)
        code = read_dimensions(c, family, object);
    if (!code)
        code = check_heads(c);
    if (!code)
        code = read_numbers(c, family, object);
    if (!code)
        code = read_token(object, "bos_token_id", c->vocab, &c->bos);
    if (!code)
        code = read_token(object, "eos_token_id", c->vocab, &c->eos);
    return code;
}

int model_config_read(struct model_config *c, const char *path) {
    char *inside = NULL;
    if (path_is_directory(path)) {
        inside = path_join(path, "config.json");
        if (!inside)
            return ERROR_SYSTEM;
        path = inside;
    }
    json_t *object = NULL;
    int code = json_read(&object, path, CONFIG_LIMIT);
    if (!code) {
        code = read_object(c, object);
        if (code)
            error_prefix(code, "%s", path);
    }
    if (code == ERROR_INPUT && !json_object_get(object, "model_type"))
        error_set(code, "%s; a model's config.json is wanted", error_message());
    json_decref(object);
    free(inside);
    return code;
}

// ---- writing ----

static int set(json_t *object, const char *key, json_t *value) {
    return json_object_set_new(object, key, value);
}

static json_t *token(int64_t id) {
    return id < 0 ? json_null() : json_integer(id);
}

static json_t *feature_value(const struct feature *f) {
    switch (f->rule) {
    case RULE_FALSE:
        return json_false();
    case RULE_NULL:
        return json_null();
    case RULE_ZERO:
        return json_real(0);
    case RULE_ONE:
        return json_real(1);
    case RULE_TEXT:
        return json_string(f->text);
    }
    return NULL;
}

// Both spellings of the rotary positions and of the dtype, so that transformers 4 and 5 read the same model.
static int write_object(json_t *o, const struct model_config *c) {
    const struct family *family = &families[c->family];
    int bad = 0;
    bad |= set(o, "architectures", json_pack("[s]", family->architecture));
    bad |= set(o, "model_type", json_string(family->type));
    bad |= set(o, "torch_dtype", json_string("float32"));
    bad |= set(o, "vocab_size", json_integer(c->vocab));
    bad |= set(o, "hidden_size", json_integer(c->hidden));
    bad |= set(o, "num_hidden_layers", json_integer(c->layers));
    bad |= set(o, "num_attention_heads", json_integer(c->heads));
    bad |= set(o, "num_key_value_heads", json_integer(c->kv_heads));
    if (c->family == MODEL_LLAMA)
        bad |= set(o, "head_dim", json_integer(c->head_size));
    bad |= set(o, "intermediate_size", json_integer(c->feed_forward));
    bad |= set(o, "max_position_embeddings", json_integer(c->positions));
    bad |= set(o, family->epsilon_key, json_real(c->epsilon));
    bad |= set(o, "initializer_range", json_real(c->init_std));
    bad |= set(o, "tie_word_embeddings", json_boolean(c->tied));
    bad |= set(o, "rope_theta", json_real(c->theta));
    bad |= set(o, "rope_scaling", json_null());
    bad |= set(o, "rope_parameters", json_pack("{s:f,s:s}", "rope_theta", c->theta, "rope_type", "default"));
    bad |= set(o, "bos_token_id", token(c->bos));
    bad |= set(o, "eos_token_id", token(c->eos));
    for (const struct feature *f = family->features; f->key; f++)
        if (f->write)
            bad |= set(o, f->key, feature_value(f));
    return bad ? error_set(ERROR_SYSTEM, "out of memory for a model configuration") : OK;
}

// The fewest digits with which every real of the file reads back the same: 1e-05, not 1.0000000000000001e-05.
static size_t digits_needed(const struct model_config *c) {
    const double reals[] = {c->epsilon, c->init_std, c->theta};
    for (int digits = 6; digits < 17; digits++) {
        bool same = true;
        for (int i = 0; i < 3; i++) {
            char text[64];
            snprintf(text, sizeof text, "%.*g", digits, reals[i]);
            same = same && strtod(text, NULL) == reals[i];
        }
        if (same)
            return (size_t)digits;
    }
    return 17;
}

int model_config_write(const struct model_config *c, const char *path) {
    json_t *object = json_object();
    int code =
        object ? write_object(object, c) : error_set(ERROR_SYSTEM, "out of memory for a model configuration");
    char *text = NULL;
    struct buffer file = {0};
    if (!code) {
        text = json_text(object, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(digits_needed(c)));
        code = text ? buffer_append_format(&file, "%s\n", text) : error_prefix(ERROR_SYSTEM, "%s", path);
    }
    if (!code)
        code = file_write(path, file.data, file.size);
    buffer_release(&file);
    free(text);
    json_decref(object);
    return code;
}

bool model_config_equal(const struct model_config *a, const struct model_config *b) {
    return a->family == b->family && a->vocab == b->vocab && a->hidden == b->hidden && a->layers == b->layers &&
           a->heads == b->heads && a->kv_heads == b->kv_heads && a->head_size == b->head_size &&
           a->feed_forward == b->feed_forward && a->positions == b->positions && a->tied == b->tied &&
           a->theta == b->theta && a->epsilon == b->epsilon && a->init_std == b->init_std && a->bos == b->bos &&
           a->eos == b->eos;
}
