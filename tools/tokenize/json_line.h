// Lines of JSON: the text and the domain of one line of JSON.
//
// A line must be one JSON object, as jansson has it: valid UTF-8, no name twice. But numbers may be of any size:
// only strings are asked for. What is plain, which nearly every line is, goes through json_scan(); jansson decides
// about the others.
#ifndef TACIT_TOKENIZE_JSON_LINE_H
#define TACIT_TOKENIZE_JSON_LINE_H

#include "base/memory.h"

#include <jansson.h>
#include <stdbool.h>

enum { JSON_FIELDS = 16 };

struct json_field {
    char *name; // a member's; or a path of them with dots between, where no member has that name
    bool optional;
};

struct json_fields {
    struct json_field fields[JSON_FIELDS]; // their texts are the document's
    int count;
    const uint8_t *join; // between them
    size_t join_size;
    struct json_field domain; // name NULL: none
};

struct document {
    const uint8_t *text; // lives until the next call
    size_t size;
    const char *domain; // from the domain field, or NULL; lives as long
};

struct json_line { // zero-initialise
    struct buffer text, domain;
    json_t *json;
};

// "title?,text": names with commas between; a '?' behind one lets it be absent, or null. ERROR_USAGE otherwise.
int json_fields_parse(struct json_fields *o, const char *fields, const char *domain_field);
void json_fields_release(struct json_fields *o);

// ERROR_INPUT with the cause.
int json_line_parse(struct json_line *r, const struct json_fields *o, const uint8_t *line, size_t size,
                    struct document *document);
void json_line_release(struct json_line *r);

#endif
