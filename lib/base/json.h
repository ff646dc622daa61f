// JSON by jansson, with our errors: bounded text in, canonical text out.
#ifndef TACIT_BASE_JSON_H
#define TACIT_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer;

// Parse exactly one value from `size` bytes; ERROR_INPUT with line and cause. json_decref() the result. What has
// far more values, or far more of them empty, than files of our formats is refused before it takes memory.
int json_parse(json_t **value, const char *text, size_t size);
int json_read(json_t **value, const char *path, size_t limit); // a whole file, at most `limit` bytes

// A text whose values are in a few blocks of memory, for files of many: `root` is only read, and all goes at once.
struct json_document {
    json_t *root;
    struct json_block *blocks;
};
int json_document_parse(struct json_document *d, const char *text, size_t size); // as json_parse()
void json_document_release(struct json_document *d);

// Canonical bytes: sorted keys, no spaces, reals with 17 digits. free() the text.
char *json_canonical(const json_t *value) __attribute__((warn_unused_result));
// The same with jansson's flags. Both return NULL with the error set also where memory was out since the last text
// or parse, so that a value may be built without a look at every step; a NULL value is out of memory.
char *json_text(const json_t *value, size_t flags) __attribute__((warn_unused_result));

// Whether jansson takes the bytes for a string: well-formed UTF-8.
bool json_is_utf8(const char *text, size_t size);
// How many bytes at the end are the beginning of a character that is not complete.
size_t json_utf8_open(const char *text, size_t size);

// Members of an object, with their type checked: ERROR_INPUT `key 'x': ...` where absent (and `required`) or
// of another type or out of [low, high]. An absent optional member leaves *out as it was. Strings are borrowed.
int json_get_integer(const json_t *object, const char *key, bool required, int64_t low, int64_t high,
                     int64_t *out);
int json_get_number(const json_t *object, const char *key, bool required, double *out);
int json_get_boolean(const json_t *object, const char *key, bool required, bool *out);
int json_get_string(const json_t *object, const char *key, bool required, const char **out);

#endif
