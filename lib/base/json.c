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

// What jansson takes for a value, up to 200 bytes for the two of `{}`, is many times its text. Files of millions
// of values are vocabularies, of tokens and merges: of arrays and objects each has eight bytes of text at least.
enum { VALUES_MOST = 1 << 23, CONTAINERS_MOST = 1 << 21, CONTAINERS_FREE = 1 << 19, CONTAINER_TEXT = 8 };

// ---- memory ----

enum { BLOCK_SIZE = 1 << 18, ALIGNMENT = 8 };

struct json_block {
    struct json_block *before;
    size_t used, room;
    max_align_t memory[];
};

// jansson reports memory that is out as a fault of the text, or drops what it had no room for. So its allocations
// go through here: after one that failed all do, and what was made meanwhile is no value and no text.
static _Thread_local bool exhausted;
static _Thread_local struct json_document *filling; // the one that is parsed

static void *allocate_in(struct json_document *d, size_t size) {
    size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    struct json_block *b = d->blocks;
    if (!b || b->room - b->used < size) {
        bool alone = size > BLOCK_SIZE / 4;
        b = system_malloc(sizeof *b + (alone ? size : BLOCK_SIZE));
        if (!b)
            return NULL;
        b->used = 0;
        b->room = alone ? size : BLOCK_SIZE;
        struct json_block **place = alone && d->blocks ? &d->blocks->before : &d->blocks; // small ones go on
        b->before = *place;
        *place = b;
    }
    void *memory = (char *)b->memory + b->used;
    b->used += size;
    return memory;
}

static void *allocate(size_t size) {
    void *memory = exhausted ? NULL // going on after a failure, jansson has crashed
                   : filling ? allocate_in(filling, size)
                             : system_malloc(size);
    exhausted = !memory;
    return memory;
}

static void release(void *memory) {
    if (!filling) // while a document is, all goes with it
        free(memory);
}

__attribute__((constructor)) static void install_allocator(void) {
    json_set_alloc_funcs(allocate, release);
}

// ---- parsing ----

static int line_of(const char *text, size_t size) {
    int line = 1;
    for (size_t i = 0; i < size; i++)
        line += text[i] == '\n';
    return line;
}

// Behind the quote that ends a string, or the end of the text.
static size_t string_end(const char *text, size_t size, size_t at) {
    while (at < size && text[at] != '"')
        at += text[at] == '\\' ? 2 : 1;
    return at < size ? at + 1 : size;
}

// What a text has outside its strings.
struct outline {
    size_t commas, containers;
    char *copy; // or NULL: of the text, without the spaces that begin lines or follow others: to jansson they are
    size_t copied, from; // work like the rest, and half of a file. Lines stay what they are
};

static size_t spaces_at(const char *text, size_t size, size_t at) {
    size_t end = at;
    while (end < size && text[end] == ' ')
        end++;
    return end - at;
}

static void copy_until(struct outline *o, const char *text, size_t end) {
    memcpy(o->copy + o->copied, text + o->from, end - o->from);
    o->copied += end - o->from;
}

// Refuse before anything is allocated what jansson does not: deep nesting, and a NUL between tokens, which it
// drops behind a number. One pass that knows strings and escapes.
static int read_outline(struct outline *o, const char *text, size_t size) {
    int depth = 0;
    for (size_t i = 0, spaces; i < size;)
        switch (text[i++]) {
        case '"':
            i = string_end(text, size, i);
            break;
        case ' ':
        case '\n':
            if (o->copy && (spaces = spaces_at(text, size, i)) > 0) {
                copy_until(o, text, i);
                o->from = i += spaces;
            }
            break;
        case ',':
            o->commas++;
            break;
        case '[':
        case '{':
            o->containers++;
            if (++depth > DEPTH_MOST)
                return error_set(ERROR_INPUT, "line %d: json nested deeper than %d", line_of(text, i), DEPTH_MOST);
            break;
        case ']':
        case '}':
            depth--;
            break;
        case 0:
            return error_set(ERROR_INPUT, "line %d: a NUL byte", line_of(text, i));
        }
    if (o->copy)
        copy_until(o, text, size);
    return OK;
}

// And far more values than files have.
static int check_count(const struct outline *o, size_t size) {
    size_t values = o->commas + o->containers, most = size / CONTAINER_TEXT;
    most = most < CONTAINERS_FREE ? CONTAINERS_FREE : most < CONTAINERS_MOST ? most : CONTAINERS_MOST;
    if (o->containers > most)
        return error_set(ERROR_INPUT, "%zu arrays and objects in %zu bytes of json; at most %zu are read",
                         o->containers, size, most);
    if (values > VALUES_MOST)
        return error_set(ERROR_INPUT, "%zu values of json; at most %d are read", values, VALUES_MOST);
    return OK;
}

static int load(json_t **value, const char *text, size_t size) {
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

int json_parse(json_t **value, const char *text, size_t size) {
    struct outline o = {0};
    *value = NULL;
    int code = read_outline(&o, text, size);
    if (code == OK)
        code = check_count(&o, size);
    return code == OK ? load(value, text, size) : code;
}

int json_document_parse(struct json_document *d, const char *text, size_t size) {
    struct outline o = {.copy = memory_new(size, 1)};
    *d = (struct json_document){0};
    int code = o.copy ? read_outline(&o, text, size) : ERROR_SYSTEM;
    if (code == OK)
        code = check_count(&o, size);
    filling = d;
    if (code == OK)
        code = load(&d->root, o.copy, o.copied);
    filling = NULL;
    free(o.copy);
    if (code != OK)
        json_document_release(d);
    return code;
}

void json_document_release(struct json_document *d) {
    if (!d->blocks) // a program has put another allocator in place of ours (the fuzz targets), or there is none
        json_decref(d->root);
    for (struct json_block *b = d->blocks, *before; b; b = before) {
        before = b->before;
        free(b);
    }
    *d = (struct json_document){0};
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
