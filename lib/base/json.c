#include "base/json.h"
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/system.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MOST = 64 };

// jansson reports memory that is out as a fault of the text, or drops what it had no room for. So its allocations
// go through here: after one that failed all do, and what was made meanwhile is no value and no text.
static _Thread_local bool exhausted;

static void *allocate(size_t size) {
    void *memory = exhausted ? NULL : system_malloc(size); // going on after a failure, jansson has crashed
    exhausted = !memory;
    return memory;
}

__attribute__((constructor)) static void install_allocator(void) {
    json_set_alloc_funcs(allocate, free);
}

// Refuse deep nesting before anything is allocated: one pass that knows strings and escapes.
static int check_depth(const char *text, size_t size) {
    int depth = 0, line = 1;
    bool inside = false;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (c == '\n')
            line++;
        if (inside) {
            if (c == '\\')
                i++;
            else if (c == '"')
                inside = false;
        } else if (c == '"') {
            inside = true;
        } else if (c == '[' || c == '{') {
            if (++depth > DEPTH_MOST)
                return error_set(ERROR_INPUT, "line %d: json nested deeper than %d", line, DEPTH_MOST);
        } else if (c == ']' || c == '}') {
            depth--;
        }
    }
    return OK;
}

int json_parse(json_t **value, const char *text, size_t size) {
    *value = NULL;
    int code = check_depth(text, size);
    if (code != OK)
        return code;
    json_error_t error;
    exhausted = false;
    *value = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (exhausted) {
        exhausted = false;
        json_decref(*value);
        *value = NULL;
        return error_set(ERROR_SYSTEM, "out of memory: json of %zu bytes", size);
    }
    if (*value)
        return OK;
    return error_set(ERROR_INPUT, "line %d: %s", error.line > 0 ? error.line : 1, error.text);
}

int json_read(json_t **value, const char *path, size_t limit) {
    struct buffer text = {0};
    *value = NULL;
    int code = file_read(path, limit, &text);
    if (code == OK) {
        code = json_parse(value, (const char *)text.data, text.size);
        if (code != OK)
            error_prefix(code, "%s", input_name(path));
    }
    buffer_release(&text);
    return code;
}

char *json_text(const json_t *value, size_t flags) {
    char *text = value ? json_dumps(value, flags | JSON_ENCODE_ANY) : NULL;
    if (exhausted) {
        free(text);
        text = NULL;
    }
    exhausted = false;
    if (!text)
        error_set(ERROR_SYSTEM, "out of memory: writing json");
    return text;
}

char *json_canonical(const json_t *value) {
    return json_text(value, JSON_SORT_KEYS | JSON_COMPACT | JSON_REAL_PRECISION(17));
}

bool json_is_utf8(const char *text, size_t size) {
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    const uint8_t *p = (const uint8_t *)text, *end = p + size;
    while (p < end) {
        int more = *p < 0x80 ? 0 : *p >> 5 == 6 ? 1 : *p >> 4 == 14 ? 2 : *p >> 3 == 30 ? 3 : -1;
        if (more < 0 || end - p <= more)
            return false;
        uint32_t value = more == 0 ? *p : *p & (0x3fu >> more);
        for (int i = 1; i <= more; i++) {
            if (p[i] >> 6 != 2)
                return false;
            value = value << 6 | (p[i] & 0x3f);
        }
        if (value < least[more] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
            return false;
        p += more + 1;
    }
    return true;
}

// *member is NULL where the key is absent and need not be there.
static int get_member(const json_t *object, const char *key, bool required, const json_t **member) {
    *member = json_object_get(object, key);
    return *member || !required ? OK : error_set(ERROR_INPUT, "key '%s': missing", key);
}

static int wrong_type(const char *key, const char *wanted) {
    return error_set(ERROR_INPUT, "key '%s': not %s", key, wanted);
}

int json_get_integer(const json_t *object, const char *key, bool required, int64_t low, int64_t high,
                     int64_t *out) {
    const json_t *member;
    int code = get_member(object, key, required, &member);
    if (code != OK || !member)
        return code;
    if (!json_is_integer(member))
        return wrong_type(key, "an integer");
    int64_t value = json_integer_value(member);
    if (value < low || value > high)
        return error_set(ERROR_INPUT, "key '%s': %" PRId64 " is out of range (%" PRId64 " to %" PRId64 ")", key,
                         value, low, high);
    *out = value;
    return OK;
}

int json_get_number(const json_t *object, const char *key, bool required, double *out) {
    const json_t *member;
    int code = get_member(object, key, required, &member);
    if (code != OK || !member)
        return code;
    if (!json_is_number(member))
        return wrong_type(key, "a number");
    *out = json_number_value(member);
    return OK;
}

int json_get_boolean(const json_t *object, const char *key, bool required, bool *out) {
    const json_t *member;
    int code = get_member(object, key, required, &member);
    if (code != OK || !member)
        return code;
    if (!json_is_boolean(member))
        return wrong_type(key, "true or false");
    *out = json_is_true(member);
    return OK;
}

int json_get_string(const json_t *object, const char *key, bool required, const char **out) {
    const json_t *member;
    int code = get_member(object, key, required, &member);
    if (code != OK || !member)
        return code;
    // A NUL inside would silently shorten what the caller sees.
    if (!json_is_string(member) || strlen(json_string_value(member)) != json_string_length(member))
        return wrong_type(key, "a string without NUL");
    *out = json_string_value(member);
    return OK;
}
