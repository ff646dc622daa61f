// What a tokenizer.json asks for, in our terms: its normalizer, pre_tokenizer, post_processor, decoder and the
// model's switches. All that changes ids is either understood or refused by key and name.
#include "base/error.h"
#include "base/json.h"
#include "text/vocabulary_private.h"

enum { STEPS_MOST = 8 };

static bool is_absent(const json_t *value) {
    return !value || json_is_null(value);
}

static const char *type_of(const json_t *object) {
    const char *type = json_string_value(json_object_get(object, "type"));
    return type ? type : "without a type";
}

static bool is_type(const json_t *object, const char *type) {
    return strcmp(type_of(object), type) == 0;
}

static bool is_text(const json_t *value, const char *text) {
    return json_is_string(value) && strcmp(json_string_value(value), text) == 0 &&
           json_string_length(value) == strlen(text);
}

static int refuse(const char *key, const char *what) {
    return error_set(ERROR_INPUT, "%s: %.64s is not supported", key, what);
}

// The member of an object that is true or false, where present.
static bool is_on(const json_t *object, const char *key, bool absent) {
    const json_t *value = json_object_get(object, key);
    return is_absent(value) ? absent : !json_is_false(value);
}

// A step of the pipeline, or the steps of a Sequence (of Sequences), in order.
struct steps {
    const json_t *step[STEPS_MOST];
    int count;
};

static int flatten(const json_t *step, const char *key, const char *member, struct steps *steps) {
    if (is_absent(step))
        return OK;
    if (!json_is_object(step))
        return refuse(key, "this value");
    if (!is_type(step, "Sequence")) {
        if (steps->count == STEPS_MOST)
            return refuse(key, "a Sequence of so many steps");
        steps->step[steps->count++] = step;
        return OK;
    }
    const json_t *list = json_object_get(step, member), *inner;
    if (!json_is_array(list))
        return error_set(ERROR_INPUT, "%s: Sequence: key '%s': not an array", key, member);
    size_t i;
    json_array_foreach(list, i, inner) {
        int code = flatten(inner, key, member, steps);
        if (code != OK)
            return code;
    }
    return OK;
}

// ---- the steps ----

// Replace ' ' by U+2581, or the other way round.
static bool is_replacement(const json_t *step, const char *from, const char *to) {
    const json_t *pattern = json_object_get(step, "pattern");
    return is_type(step, "Replace") && is_text(json_object_get(pattern, "String"), from) &&
           is_text(json_object_get(step, "content"), to);
}

// NFC alone; or U+2581 for every ' ' with or without one in front (Llama 2).
static int read_normalizer(const json_t *root, struct scheme *s) {
    static const char key[] = "normalizer";
    struct steps steps = {.count = 0};
    int code = flatten(json_object_get(root, key), key, "normalizers", &steps);
    bool composed = false, replaced = false;
    for (int i = 0; i < steps.count && code == OK; i++) {
        const json_t *step = steps.step[i];
        if (is_type(step, "NFC"))
            composed = true;
        else if (is_replacement(step, " ", META_SPACE))
            replaced = true;
        else if (is_type(step, "Prepend") && is_text(json_object_get(step, "prepend"), META_SPACE) &&
                 !s->dummy_prefix)
            s->dummy_prefix = true;
        else
            code = refuse(key, is_type(step, "Replace") || is_type(step, "Prepend")
                                   ? "Prepend or Replace of other characters than ' ' and U+2581"
                                   : type_of(step));
    }
    s->normalizer = replaced || s->dummy_prefix ? NORMALIZE_META_SPACE : composed ? NORMALIZE_NFC : NORMALIZE_NONE;
    if (code == OK && composed && s->normalizer != NORMALIZE_NFC)
        code = refuse(key, "NFC beside others");
    if (code == OK && s->dummy_prefix && !replaced)
        code = refuse(key, "Prepend without Replace");
    return code;
}

// ByteLevel's parts; *regex: whether it splits as GPT-2 does.
static int read_byte_level(const char *key, const json_t *step, bool *regex) {
    if (is_on(step, "add_prefix_space", true))
        return refuse(key, "add_prefix_space");
    *regex = is_on(step, "use_regex", true);
    return OK;
}

// A Split whose matches are the words: every pattern here matches all of a text, so that Removed with `invert`,
// which keeps the matches alone, is Isolated.
static int read_split(const char *key, const json_t *step, enum text_pattern *pattern) {
    const json_t *regex = json_object_get(json_object_get(step, "pattern"), "Regex");
    bool invert = is_on(step, "invert", false);
    if (!json_is_string(regex))
        return refuse(key, "Split without a Regex");
    if (!is_text(json_object_get(step, "behavior"), invert ? "Removed" : "Isolated"))
        return refuse(key, "Split with this behavior");
    const char *expression = json_string_value(regex);
    int found = strlen(expression) == json_string_length(regex) ? pattern_find_split(expression) : -1;
    if (found < 0)
        return error_set(ERROR_INPUT, "%s: Split by the expression \"%.200s\" is not supported", key, expression);
    *pattern = (enum text_pattern)found;
    return OK;
}

static int read_meta_space(const char *key, const json_t *step, struct scheme *s) {
    if (s->normalizer != NORMALIZE_NONE)
        return refuse(key, "Metaspace beside a normalizer");
    if (!is_text(json_object_get(step, "replacement"), META_SPACE))
        return refuse(key, "Metaspace with another replacement than U+2581");
    // Old files say add_prefix_space instead.
    const json_t *prefix = json_object_get(step, "prepend_scheme"),
                 *old = json_object_get(step, "add_prefix_space");
    if (is_absent(prefix) ? !(is_absent(old) || json_is_boolean(old))
                          : !is_text(prefix, "first") && !is_text(prefix, "always") && !is_text(prefix, "never"))
        return refuse(key, "Metaspace with this prepend_scheme");
    s->normalizer = NORMALIZE_META_SPACE;
    s->dummy_prefix = is_absent(prefix) ? !json_is_false(old) : !is_text(prefix, "never");
    s->meta_space_step = true;
    s->prefix_first = is_text(prefix, "first");
    s->pattern = is_on(step, "split", true) ? PATTERN_META_SPACE : PATTERN_NONE;
    return OK;
}

// [Digits] ByteLevel, or Split and ByteLevel without a pattern: bytes. Metaspace, or nothing behind the normalizer
// that does its work: characters.
static int read_pre_tokenizer(const json_t *root, struct scheme *s) {
    static const char key[] = "pre_tokenizer";
    struct steps steps = {.count = 0};
    bool regex = false;
    int code = flatten(json_object_get(root, key), key, "pretokenizers", &steps);
    if (code != OK)
        return code;
    s->pattern = PATTERN_NONE;
    s->symbols = SYMBOLS_CHARACTERS;
    if (steps.count == 0)
        return s->normalizer == NORMALIZE_META_SPACE ? OK : refuse(key, "none");
    if (steps.count == 1 && is_type(steps.step[0], "Metaspace"))
        return read_meta_space(key, steps.step[0], s);
    const json_t *first = steps.step[0], *last = steps.step[steps.count - 1];
    for (int i = 0; i < steps.count; i++)
        if (!is_type(steps.step[i], "ByteLevel") && !is_type(steps.step[i], "Split") &&
            !is_type(steps.step[i], "Digits"))
            return refuse(key, type_of(steps.step[i]));
    if (s->normalizer == NORMALIZE_META_SPACE || steps.count > 2 || !is_type(last, "ByteLevel") ||
        (steps.count == 2 && is_type(first, "ByteLevel")))
        return refuse(key, "this order of steps");
    s->symbols = SYMBOLS_BYTES;
    code = read_byte_level(key, last, &regex);
    if (code == OK && steps.count == 1)
        s->pattern = regex ? PATTERN_GPT2 : PATTERN_NONE;
    else if (code == OK && is_type(first, "Digits"))
        s->pattern = PATTERN_STARCODER2, code = !regex ? refuse(key, "Digits without use_regex")
                                                : is_on(first, "individual_digits", false)
                                                    ? OK
                                                    : refuse(key, "Digits without individual_digits");
    else if (code == OK)
        code = regex ? refuse(key, "Split beside use_regex") : read_split(key, first, &s->pattern);
    return code;
}

// Special tokens around a text are not ours to add, and offsets are not asked for: nothing to do.
static int check_post_processor(const json_t *root) {
    static const char key[] = "post_processor";
    struct steps steps = {.count = 0};
    int code = flatten(json_object_get(root, key), key, "processors", &steps);
    for (int i = 0; i < steps.count && code == OK; i++)
        if (!is_type(steps.step[i], "ByteLevel") && !is_type(steps.step[i], "TemplateProcessing"))
            code = refuse(key, type_of(steps.step[i]));
    return code;
}

// It must give the tokens' bytes: those of the byte alphabet; or ' ' for U+2581 and bytes for <0x41>, without the
// space in front.
static int check_decoder(const json_t *root, const struct scheme *s) {
    static const char key[] = "decoder";
    struct steps steps = {.count = 0};
    int code = flatten(json_object_get(root, key), key, "decoders", &steps);
    bool bytes = s->symbols == SYMBOLS_BYTES;
    for (int i = 0; i < steps.count && code == OK; i++) {
        const json_t *step = steps.step[i];
        bool strip = is_type(step, "Strip") && is_text(json_object_get(step, "content"), " ") &&
                     json_integer_value(json_object_get(step, "start")) == 1 &&
                     json_integer_value(json_object_get(step, "stop")) == 0;
        bool known = bytes ? is_type(step, "ByteLevel")
                           : strip || is_replacement(step, META_SPACE, " ") || is_type(step, "ByteFallback") ||
                                 is_type(step, "Fuse") || is_type(step, "Metaspace");
        if (!known)
            code = refuse(key, type_of(step));
    }
    return code;
}

static int read_model(const json_t *model, struct scheme *s) {
    static const char key[] = "model";
    // Old files have no type; a BPE model is known by its merges then.
    const json_t *type = json_object_get(model, "type");
    if (type ? !is_type(model, "BPE") : !json_object_get(model, "merges"))
        return refuse(key, type_of(model));
    static const char *const empty[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
        const json_t *value = json_object_get(model, empty[i]);
        if (!is_absent(value) && !is_text(value, ""))
            return refuse(key, empty[i]);
    }
    const json_t *dropout = json_object_get(model, "dropout");
    if (!is_absent(dropout) && !(json_is_number(dropout) && json_number_value(dropout) == 0))
        return refuse(key, "dropout");
    s->whole_words = is_on(model, "ignore_merges", false);
    s->byte_fallback = is_on(model, "byte_fallback", false);
    s->fuse_unknown = is_on(model, "fuse_unk", false);
    // Every byte has a token of its own: none is left to fall back from or to call unknown.
    if (s->symbols == SYMBOLS_BYTES)
        s->byte_fallback = s->fuse_unknown = false;
    return OK;
}

int vocabulary_read_scheme(struct scheme *s, const json_t *root) {
    *s = (struct scheme){.unknown = no_id};
    if (!json_is_object(root))
        return error_set(ERROR_INPUT, "not an object");
    const json_t *model = json_object_get(root, "model");
    if (!json_is_object(model))
        return error_set(ERROR_INPUT, "key 'model': not an object");
    static const char *const absent[] = {"truncation", "padding"};
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
        if (!is_absent(json_object_get(root, absent[i])))
            return refuse(absent[i], "this value");
    int code = read_normalizer(root, s);
    if (code == OK)
        code = read_pre_tokenizer(root, s);
    if (code == OK)
        code = check_post_processor(root);
    if (code == OK)
        code = check_decoder(root, s);
    return code == OK ? read_model(model, s) : code;
}
