#include "tokenize/json_line.h"
#include "base/error.h"
#include "base/json.h"
#include "stream/stream.h"
#include "tokenize/json_scan.h"

#include <stdlib.h>
#include <string.h>

static int parse_field(struct json_field *field, const char *option, const char *text, size_t size) {
    if (size == 0)
        return error_set(ERROR_USAGE, "--%s: a name is empty", option);
    field->name = string_copy_n(text, size);
    return field->name ? OK : ERROR_SYSTEM;
}

int json_fields_parse(struct json_fields *o, const char *fields, const char *domain_field) {
    int code = domain_field ? parse_field(&o->domain, "domain-field", domain_field, strlen(domain_field)) : OK;
    o->count = 0;
    for (const char *text = fields; code == OK; text++) {
        size_t size = strcspn(text, ",");
        if (o->count == JSON_FIELDS)
            return error_set(ERROR_USAGE, "--field: more than %d names", JSON_FIELDS);
        bool optional = size > 0 && text[size - 1] == '?';
        code = parse_field(&o->fields[o->count], "field", text, size - optional);
        if (code == OK)
            o->fields[o->count++].optional = optional;
        text += size;
        if (!*text)
            break;
    }
    return code;
}

void json_fields_release(struct json_fields *o) {
    for (int i = 0; i < o->count; i++)
        free(o->fields[i].name);
    free(o->domain.name);
    *o = (struct json_fields){0};
}

void json_line_release(struct json_line *r) {
    buffer_release(&r->text);
    buffer_release(&r->domain);
    json_decref(r->json);
    *r = (struct json_line){0};
}

// ---- plain lines ----

// The text in r->text, or where it stands in the line.
static int gather(struct json_line *r, const struct json_fields *o, const struct json_member *members,
                  struct document *document) {
    if (o->count == 1 && !members[0].escaped) {
        *document = (struct document){.text = members[0].begin, .size = members[0].size};
        return OK;
    }
    int code = OK;
    bool before = false;
    for (int i = 0; i < o->count && code == OK; i++) {
        if (!members[i].begin)
            continue;
        if (before)
            code = buffer_append(&r->text, o->join, o->join_size);
        if (code == OK)
            code = json_unescape(&r->text, members[i].begin, members[i].size);
        before = true;
    }
    *document = (struct document){.text = r->text.data, .size = r->text.size};
    return code;
}

static int parse_plain(struct json_line *r, const struct json_fields *o, const uint8_t *line, size_t size,
                       struct document *document, bool *done) {
    struct json_member members[JSON_FIELDS + 1];
    int wanted = o->count, code = OK;
    for (int i = 0; i < o->count; i++)
        members[i].name = o->fields[i].name;
    if (o->domain.name)
        members[wanted++].name = o->domain.name;
    *done = json_scan(line, size, members, wanted);
    for (int i = 0; i < o->count; i++)
        *done = *done && (members[i].begin || (o->fields[i].optional && !strchr(members[i].name, '.')));
    if (o->domain.name)
        *done = *done && members[o->count].begin && !members[o->count].escaped;
    if (*done)
        code = gather(r, o, members, document);
    if (*done && code == OK && o->domain.name) {
        code = buffer_append(&r->domain, members[o->count].begin, members[o->count].size);
        if (code == OK)
            code = buffer_append(&r->domain, "", 1);
        document->domain = (const char *)r->domain.data;
    }
    return code;
}

// ---- all others ----

static const json_t *find_member(const json_t *object, const char *name) {
    const json_t *member = json_object_get(object, name);
    while (!member && json_is_object(object)) {
        const char *dot = strchr(name, '.');
        if (!dot)
            return json_object_get(object, name);
        object = json_object_getn(object, name, (size_t)(dot - name));
        name = dot + 1;
    }
    return member;
}

static int find_string(const struct json_line *r, const struct json_field *field, const json_t **string) {
    *string = find_member(r->json, field->name);
    if (field->optional && (!*string || json_is_null(*string))) {
        *string = NULL;
        return OK;
    }
    if (json_is_string(*string))
        return OK;
    return error_set(ERROR_INPUT, "key '%s': %s", field->name, *string ? "not a string" : "missing");
}

// Nearly no line has a number that jansson refuses, so that it is asked again only after an error.
static int parse_line(struct json_line *r, const uint8_t *line, size_t size) {
    int code = json_parse(&r->json, (const char *)line, size);
    if (code != ERROR_INPUT)
        return code;
    int copied = buffer_append(&r->text, line, size);
    if (copied != OK)
        return copied;
    if (json_shrink_numbers(r->text.data, size))
        code = json_parse(&r->json, (const char *)r->text.data, size);
    buffer_clear(&r->text);
    return code;
}

static int parse_any(struct json_line *r, const struct json_fields *o, const uint8_t *line, size_t size,
                     struct document *document) {
    static const uint8_t mark[] = {0xef, 0xbb, 0xbf};
    if (size >= sizeof mark && memcmp(line, mark, sizeof mark) == 0)
        return error_set(ERROR_INPUT, "a byte order mark stands before the JSON; take it off");
    int code = parse_line(r, line, size);
    if (code == OK && !json_is_object(r->json))
        code = error_set(ERROR_INPUT, "not a JSON object");
    bool before = false;
    for (int i = 0; i < o->count && code == OK; i++) {
        const json_t *string;
        code = find_string(r, &o->fields[i], &string);
        if (code != OK || !string)
            continue;
        if (before)
            code = buffer_append(&r->text, o->join, o->join_size);
        if (code == OK)
            code = buffer_append(&r->text, json_string_value(string), json_string_length(string));
        before = true;
    }
    *document = (struct document){.text = r->text.data, .size = r->text.size};
    if (code == OK && o->domain.name) {
        const json_t *string;
        code = find_string(r, &o->domain, &string);
        if (code == OK) {
            document->domain = json_string_value(string);
            if (strlen(document->domain) != json_string_length(string))
                code = error_set(ERROR_INPUT, "key '%s': not a string without NUL", o->domain.name);
        }
    }
    return code;
}

// The JSON reader counts lines within the record, which has one, and takes its end for that of a file.
static int rephrase(void) {
    static const char first[] = "line 1: ", end[] = "end of file";
    const size_t n = strlen(end);
    const char *cause = error_message();
    if (strncmp(cause, first, strlen(first)) == 0)
        cause += strlen(first);
    size_t size = strlen(cause);
    if (strncmp(cause, end, n) == 0)
        return error_set(ERROR_INPUT, "the line's end%s", cause + n);
    if (size > n && strcmp(cause + size - n, end) == 0)
        return error_set(ERROR_INPUT, "%.*sthe line's end", (int)(size - n), cause);
    return error_set(ERROR_INPUT, "%s", cause);
}

int json_line_parse(struct json_line *r, const struct json_fields *o, const uint8_t *line, size_t size,
                    struct document *document) {
    bool done;
    buffer_clear(&r->text);
    buffer_clear(&r->domain);
    json_decref(r->json);
    r->json = NULL;
    int code = parse_plain(r, o, line, size, document, &done);
    if (code == OK && !done) {
        code = parse_any(r, o, line, size, document);
        if (code == ERROR_INPUT)
            rephrase();
    }
    if (code == OK && document->domain) {
        code = stream_check_domain(ERROR_INPUT, document->domain, strlen(document->domain));
        if (code != OK)
            error_prefix(code, "key '%s'", o->domain.name);
    }
    return code;
}
