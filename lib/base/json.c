#include "base/json.h"
#include "base/byte_vector.h"
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/system.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MOST = 64, UTF8_BLOCK = 64, UTF8_BEFORE = 3 };

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

// Refuse before anything is allocated what jansson does not: deep nesting, and a NUL between tokens, which it
// drops behind a number. One pass that knows strings and escapes.
static int check_outline(const char *text, size_t size) {
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
        } else if (c == 0) {
            return error_set(ERROR_INPUT, "line %d: a NUL byte", line);
        }
    }
    return OK;
}

int json_parse(json_t **value, const char *text, size_t size) {
    *value = NULL;
    int code = check_outline(text, size);
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

size_t json_utf8_open(const char *text, size_t size) {
    static const uint8_t least[] = {0, 0xc0, 0xe0, 0xf0}; // the first byte of one that has as many and goes on
    const uint8_t *end = (const uint8_t *)text + size;
    for (size_t i = 1; i <= 3 && i <= size; i++)
        if (end[-(ptrdiff_t)i] >= 0xc0)
            return end[-(ptrdiff_t)i] >= least[i] ? i : 0;
    return 0;
}

// Which of the bytes at `p` cannot be where they are behind the three bytes before them.
static inline byte_vector wrong_bytes(const uint8_t *p) {
    byte_vector c = byte_vector_load(p), one = byte_vector_load(p - 1), two = byte_vector_load(p - 2),
                three = byte_vector_load(p - 3);
    byte_vector due = (byte_vector)(one >= 0xc0) | (byte_vector)(two >= 0xe0) | (byte_vector)(three >= 0xf0);
    byte_vector wrong = due ^ (byte_vector)((c & 0xc0) == 0x80);
    wrong |= (byte_vector)((c & 0xfe) == 0xc0) | (byte_vector)(c > 0xf4);
    wrong |= ((byte_vector)(one == 0xe0) & (byte_vector)(c < 0xa0)) |
             ((byte_vector)(one == 0xed) & (byte_vector)(c > 0x9f)) |
             ((byte_vector)(one == 0xf0) & (byte_vector)(c < 0x90)) |
             ((byte_vector)(one == 0xf4) & (byte_vector)(c > 0x8f));
    return wrong;
}

static bool skip_characters(const uint8_t **at, const uint8_t *until, const uint8_t *end) {
    for (uint32_t character; *at < until;) {
        size_t size = utf8_character(*at, (size_t)(end - *at), &character);
        if (size == 0)
            return false;
        *at += size;
    }
    return true;
}

// Go on over many bytes at once, from the end of a character with three bytes before it to the end of another;
// false where they are wrong.
static bool skip_blocks(const uint8_t **at, const uint8_t *end) {
    const uint8_t *p = *at;
    if (end - p < UTF8_BLOCK)
        return true;
    byte_vector wrong = {0};
    for (; end - p >= UTF8_BLOCK; p += UTF8_BLOCK) {
        byte_vector any = {0};
        for (int i = 0; i < UTF8_BLOCK; i += BYTE_VECTOR)
            any |= byte_vector_load(p + i);
        if (byte_vector_bits(any) == 0 && p[-1] < 0xc0 && p[-2] < 0xe0 && p[-3] < 0xf0)
            continue;
        for (int i = 0; i < UTF8_BLOCK; i += BYTE_VECTOR)
            wrong |= wrong_bytes(p + i);
    }
    *at = p - json_utf8_open((const char *)p - 3, 3);
    return byte_vector_bits(wrong) == 0;
}

bool json_is_utf8(const char *text, size_t size) {
    const uint8_t *p = (const uint8_t *)text, *end = p + size;
    return skip_characters(&p, size < UTF8_BEFORE ? end : p + UTF8_BEFORE, end) && skip_blocks(&p, end) &&
           skip_characters(&p, end, end);
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
