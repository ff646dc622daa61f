// The header: its fields as canonical JSON and back, and whether they agree with each other.
#include "base/error.h"
#include "base/json.h"
#include "stream/format.h"

#include <stdlib.h>
#include <string.h>

// ---- fields to JSON ----

static int add(json_t *object, const char *key, json_t *value) {
    if (!value || json_object_set_new(object, key, value) != 0)
        return error_set(ERROR_SYSTEM, "header key '%s': out of memory, or not UTF-8", key);
    return OK;
}

static int add_number(json_t *object, const char *key, uint32_t value) {
    return value ? add(object, key, json_integer(value)) : OK;
}

static json_t *digest_to_json(const struct digest *d) {
    char text[33];
    digest_format(d, text);
    return json_string(text);
}

static int add_models(json_t *object, const struct stream_header *h, bool with_names) {
    static const struct digest unknown;
    json_t *models = json_array(), *names = json_array();
    int code = models && names ? OK : error_set(ERROR_SYSTEM, "out of memory: header");
    for (uint32_t i = 0; code == OK && i < h->model_count; i++) {
        if (json_array_append_new(models, digest_to_json(h->models ? &h->models[i] : &unknown)) != 0)
            code = error_set(ERROR_SYSTEM, "out of memory: header");
        else if (h->names && json_array_append_new(names, json_string(h->names[i])) != 0)
            code = error_set(ERROR_USAGE, "the name of model %u is not UTF-8", i);
    }
    if (code == OK && h->model_count > 0)
        code = add(object, "models", json_incref(models));
    if (code == OK && h->model_count > 0 && h->names && with_names)
        code = add(object, "names", json_incref(names));
    json_decref(models);
    json_decref(names);
    return code;
}

json_t *header_to_json(const struct stream_header *h, bool with_names) {
    json_t *object = json_object();
    int code = object ? OK : error_set(ERROR_SYSTEM, "out of memory: header");
    if (code == OK)
        code = add(object, "kind", json_string(stream_kind_name(h->kind)));
    if (code == OK)
        code = add(object, "dtype", json_string(stream_dtype_name(h->dtype)));
    const struct {
        const char *key;
        uint32_t value;
    } numbers[] = {{"length", h->length},
                   {"vocab_size", h->vocab_size},
                   {"experts", h->experts},
                   {"topk", h->topk},
                   {"prefix", h->prefix}};
    for (size_t i = 0; code == OK && i < sizeof numbers / sizeof *numbers; i++)
        code = add_number(object, numbers[i].key, numbers[i].value);
    if (code == OK && digest_known(&h->vocab))
        code = add(object, "vocab", digest_to_json(&h->vocab));
    if (code == OK && h->per_position)
        code = add(object, "per_position", json_true());
    if (code == OK && h->improper)
        code = add(object, "improper", json_true());
    if (code == OK && h->rule)
        code = add(object, "rule", json_string(h->rule));
    if (code == OK)
        code = add_models(object, h, with_names);
    if (code == OK)
        return object;
    json_decref(object);
    return NULL;
}

// ---- JSON to fields ----

static int get_number(const json_t *o, const char *key, uint32_t *out) {
    int64_t value = 0;
    int code = json_get_integer(o, key, false, 1, UINT32_MAX, &value);
    *out = (uint32_t)value;
    return code;
}

static int get_names(const json_t *o, struct stream_header *h) {
    const json_t *names = json_object_get(o, "names");
    if (!names)
        return OK;
    if (!json_is_array(names) || json_array_size(names) != h->model_count || h->model_count == 0)
        return error_set(ERROR_INPUT, "key 'names': not one name for each model");
    h->names = memory_new(h->model_count, sizeof *h->names);
    if (!h->names)
        return ERROR_SYSTEM;
    for (uint32_t i = 0; i < h->model_count; i++) {
        const json_t *name = json_array_get(names, i);
        if (!json_is_string(name) || strlen(json_string_value(name)) != json_string_length(name))
            return error_set(ERROR_INPUT, "key 'names': not strings without NUL");
        h->names[i] = string_copy(json_string_value(name));
        if (!h->names[i])
            return ERROR_SYSTEM;
    }
    return OK;
}

static int get_models(const json_t *o, struct stream_header *h) {
    const json_t *models = json_object_get(o, "models");
    if (!models)
        return OK;
    if (!json_is_array(models) || json_array_size(models) > STREAM_EXPERTS_LIMIT || json_array_size(models) == 0)
        return error_set(ERROR_INPUT, "key 'models': not a list of 1 to %d digests", STREAM_EXPERTS_LIMIT);
    h->model_count = (uint32_t)json_array_size(models);
    h->models = memory_new(h->model_count, sizeof *h->models);
    if (!h->models)
        return ERROR_SYSTEM;
    for (uint32_t i = 0; i < h->model_count; i++) {
        const char *text = json_string_value(json_array_get(models, i));
        int code = digest_parse(&h->models[i], text ? text : "");
        if (code != OK)
            return error_prefix(code, "key 'models'");
    }
    return OK;
}

static int get_choice(const json_t *o, const char *key, const char *(*name_of)(int), int count, int *out) {
    const char *text = NULL;
    int code = json_get_string(o, key, true, &text);
    for (int i = 0; code == OK && i < count; i++) {
        if (strcmp(text, name_of(i)) == 0) {
            *out = i;
            return OK;
        }
    }
    return code != OK ? code : error_set(ERROR_INPUT, "key '%s': '%.40s' is unknown", key, text);
}

static const char *kind_name_of(int i) {
    return stream_kind_name((enum stream_kind)i);
}

static const char *dtype_name_of(int i) {
    return stream_dtype_name((enum stream_dtype)i);
}

static int get_fields(const json_t *o, struct stream_header *h) {
    int kind = 0, dtype = 0;
    const char *vocab = NULL, *rule = NULL;
    int code = get_choice(o, "kind", kind_name_of, STREAM_KINDS, &kind);
    if (code == OK)
        code = get_choice(o, "dtype", dtype_name_of, STREAM_F32 + 1, &dtype);
    h->kind = (enum stream_kind)kind;
    h->dtype = (enum stream_dtype)dtype;
    struct {
        const char *key;
        uint32_t *value;
    } numbers[] = {{"length", &h->length},
                   {"vocab_size", &h->vocab_size},
                   {"experts", &h->experts},
                   {"topk", &h->topk},
                   {"prefix", &h->prefix}};
    for (size_t i = 0; code == OK && i < sizeof numbers / sizeof *numbers; i++)
        code = get_number(o, numbers[i].key, numbers[i].value);
    if (code == OK)
        code = json_get_boolean(o, "per_position", false, &h->per_position);
    if (code == OK)
        code = json_get_boolean(o, "improper", false, &h->improper);
    if (code == OK)
        code = json_get_string(o, "vocab", false, &vocab);
    if (code == OK && vocab && (code = digest_parse(&h->vocab, vocab)) != OK)
        error_prefix(code, "key 'vocab'");
    if (code == OK)
        code = json_get_string(o, "rule", false, &rule);
    if (code == OK && rule && !(h->rule = string_copy(rule)))
        code = ERROR_SYSTEM;
    if (code == OK)
        code = get_models(o, h);
    return code == OK ? get_names(o, h) : code;
}

// One text per header: what the fields give back must be what was read. This also refuses unknown keys.
static int check_canonical(const struct stream_header *h, const char *text, size_t size) {
    json_t *again = header_to_json(h, true);
    char *canonical = again ? json_canonical(again) : NULL;
    json_decref(again);
    if (!canonical)
        return ERROR_SYSTEM;
    bool same = strlen(canonical) == size && memcmp(canonical, text, size) == 0;
    free(canonical);
    return same ? OK : error_set(ERROR_INPUT, "header is not canonical, or has unknown keys");
}

int header_block_decode(struct stream_header *h, const uint8_t *block, size_t size) {
    *h = (struct stream_header){0};
    const char *text = (const char *)block + HEADER_FIXED;
    size_t length = load_le(block + MAGIC_SIZE, 4);
    if (load_le(block + size - HASH_SIZE, HASH_SIZE) != XXH3_64bits(block, size - HASH_SIZE))
        return error_set(ERROR_INPUT, "header hash mismatch");
    json_t *value = NULL;
    int code = json_parse(&value, text, length);
    if (code == OK && !json_is_object(value))
        code = error_set(ERROR_INPUT, "header is not a JSON object");
    if (code == OK)
        code = get_fields(value, h);
    if (code == OK)
        code = check_canonical(h, text, length);
    if (code == OK)
        code = header_check(h);
    for (size_t at = HEADER_FIXED + length; code == OK && at < size - HASH_SIZE; at++)
        if (block[at] != 0)
            code = error_set(ERROR_INPUT, "header padding is not zero");
    json_decref(value);
    if (code != OK)
        header_release(h);
    return code;
}

// ---- consistency, copies ----

int header_check(const struct stream_header *h) {
    bool routed = h->kind == STREAM_SCORES || h->kind == STREAM_WEIGHTS || h->kind == STREAM_ASSIGNMENT;
    if (!kind_takes(h->kind, h->dtype))
        return error_set(ERROR_INPUT, "%s of dtype %s are not supported", stream_kind_name(h->kind),
                         stream_dtype_name(h->dtype));
    if (h->kind == STREAM_TOKENS && h->dtype == STREAM_U16 && h->vocab_size > 65536)
        return error_set(ERROR_INPUT, "a vocabulary of %u needs u32 tokens", h->vocab_size);
    if (h->experts > STREAM_EXPERTS_LIMIT || (routed && h->experts == 0))
        return error_set(ERROR_INPUT, "%u experts are not 1 to %d", h->experts, STREAM_EXPERTS_LIMIT);
    if (h->kind == STREAM_ASSIGNMENT ? h->topk == 0 || h->topk > STREAM_TOPK_LIMIT || h->topk > h->experts
                                     : h->topk != 0)
        return error_set(ERROR_INPUT, "top-k of %u does not fit %s of %u experts", h->topk,
                         stream_kind_name(h->kind), h->experts);
    if (h->per_position && h->kind != STREAM_WEIGHTS)
        return error_set(ERROR_INPUT, "%s have no rows per position", stream_kind_name(h->kind));
    if (h->model_count > STREAM_EXPERTS_LIMIT)
        return error_set(ERROR_INPUT, "%u models are more than %d", h->model_count, STREAM_EXPERTS_LIMIT);
    return OK;
}

void header_release(struct stream_header *h) {
    for (uint32_t i = 0; h->names && i < h->model_count; i++)
        free(h->names[i]);
    free(h->names);
    free(h->models);
    free((char *)(uintptr_t)h->rule); // a copy, owned like the rest
    *h = (struct stream_header){0};
}

int header_copy(struct stream_header *to, const struct stream_header *from) {
    *to = *from;
    to->rule = NULL;
    to->models = NULL;
    to->names = NULL;
    int code = OK;
    if (from->rule && !(to->rule = string_copy(from->rule)))
        code = ERROR_SYSTEM;
    if (code == OK && from->model_count > 0) {
        to->models = memory_new(from->model_count, sizeof *to->models);
        code = to->models ? OK : ERROR_SYSTEM;
        if (code == OK && from->models)
            memcpy(to->models, from->models, from->model_count * sizeof *to->models);
    }
    if (code == OK && from->names && from->model_count > 0) {
        to->names = memory_new(from->model_count, sizeof *to->names);
        code = to->names ? OK : ERROR_SYSTEM;
        for (uint32_t i = 0; code == OK && i < from->model_count; i++)
            if (!(to->names[i] = string_copy(from->names[i])))
                code = ERROR_SYSTEM;
    }
    if (code != OK)
        header_release(to);
    return code;
}
