#include "tokenize/long_line.h"
#include "base/error.h"
#include "base/hash.h"
#include "stream/stream.h"
#include "tokenize/json_scan.h"
#include "tokenize/spool.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>

enum { DEPTH_MOST = 64 }; // as json_parse() has it
enum { NAMES_MOST = 1 << 20, NAME_MOST = 1 << 16, SCALAR_MOST = 1 << 16, PART_MOST = 1 << 18 };

enum expect { VALUE, VALUE_OR_END, NAME, NAME_OR_END, COLON, COMMA_OR_END, NOTHING };
enum found { MISSING, IS_NULL, IS_STRING, IS_OTHER };

// A string that is wanted. Sets of them are bits.
struct target {
    const struct json_field *field;
    struct spool text;
    enum found found;
    bool direct; // the outermost object has a member of the whole name, which comes before a path
};

struct level {
    bool object;
    uint32_t paths; // targets whose path leads here
    size_t names;   // of the objects around it
};

struct long_line {
    const struct json_fields *fields;
    struct target targets[JSON_FIELDS + 1]; // the fields', then the domain's
    int count;
    enum expect expect;
    bool in_string, is_name;
    bool white; // other white space than JSON's was there: fine in a blank line only
    uint64_t byte;
    int depth;
    struct level levels[DEPTH_MOST + 1]; // levels[0] is around the line
    struct buffer names;                 // digests of the members' names in open objects
    struct buffer text;                  // of the present name, or of a part of a string
    uint32_t wanted, direct;             // targets that the next value is; those by their whole name
    uint32_t deeper;                     // targets whose path goes on in it
    uint32_t sinks;                      // targets of the present string
    struct buffer domain;
    // reading
    int part;
    bool any;    // a part was read, so that what joins them comes before the next
    uint64_t at; // in the part and what comes before it
};

int long_line_new(struct long_line **out, const struct json_fields *fields) {
    struct long_line *l = *out = memory_new(1, sizeof *l);
    if (!l)
        return ERROR_SYSTEM;
    l->fields = fields;
    for (int i = 0; i < fields->count; i++)
        l->targets[l->count++].field = &fields->fields[i];
    if (fields->domain.name)
        l->targets[l->count++].field = &fields->domain;
    for (int t = 0; t < l->count; t++)
        spool_init(&l->targets[t].text);
    return OK;
}

void long_line_free(struct long_line *l) {
    if (!l)
        return;
    for (int t = 0; t < l->count; t++)
        spool_release(&l->targets[t].text);
    buffer_release(&l->names);
    buffer_release(&l->text);
    buffer_release(&l->domain);
    free(l);
}

void long_line_begin(struct long_line *l) {
    for (int t = 0; t < l->count; t++) {
        spool_clear(&l->targets[t].text);
        l->targets[t].found = MISSING;
        l->targets[t].direct = false;
    }
    buffer_clear(&l->names);
    buffer_clear(&l->text);
    buffer_clear(&l->domain);
    l->expect = VALUE;
    l->in_string = l->white = l->any = false;
    l->depth = l->part = 0;
    l->byte = l->at = 0;
    l->wanted = l->direct = l->deeper = 0;
}

static int malformed(const struct long_line *l, const char *cause) {
    return error_set(ERROR_INPUT, "byte %" PRIu64 ": %s", l->byte + 1, cause);
}

// ---- which values are wanted ----

// Whether the name is component number `index` of the path; *last: no other follows.
static bool is_component(const char *path, int index, const struct buffer *name, bool *last) {
    for (; index > 0; index--) {
        path = strchr(path, '.');
        if (!path)
            return false;
        path++;
    }
    size_t size = strcspn(path, ".");
    *last = !path[size];
    return size == name->size && memcmp(path, name->data, size) == 0;
}

// What the value of the member that was just named is.
static void find_wanted(struct long_line *l) {
    const struct level *level = &l->levels[l->depth];
    l->wanted = l->direct = l->deeper = 0;
    for (int t = 0; t < l->count; t++) {
        const char *path = l->targets[t].field->name;
        const uint32_t bit = (uint32_t)1 << t;
        bool last;
        if (l->depth == 1 && strlen(path) == l->text.size && memcmp(path, l->text.data, l->text.size) == 0) {
            l->wanted |= bit;
            l->direct |= bit;
        } else if (level->paths & bit && is_component(path, l->depth - 1, &l->text, &last)) {
            *(last ? &l->wanted : &l->deeper) |= bit;
        }
    }
}

// A value begins.
static void take_value(struct long_line *l, enum found found) {
    l->sinks = 0;
    for (int t = 0; t < l->count; t++) {
        struct target *target = &l->targets[t];
        const uint32_t bit = (uint32_t)1 << t;
        bool direct = (l->direct & bit) != 0;
        if (!(l->wanted & bit) || (target->direct && !direct))
            continue;
        spool_clear(&target->text);
        target->found = found;
        target->direct = direct;
        l->sinks |= bit;
    }
    l->wanted = l->direct = 0;
}

// ---- objects and arrays ----

static int open_level(struct long_line *l, bool object) {
    if (l->depth == 0 && !object)
        return error_set(ERROR_INPUT, "not a JSON object");
    if (l->depth == DEPTH_MOST)
        return error_set(ERROR_INPUT, "json nested deeper than %d", DEPTH_MOST);
    take_value(l, IS_OTHER);
    l->levels[++l->depth] = (struct level){.object = object,
                                           .paths = l->depth == 1 ? ~(uint32_t)0
                                                    : object      ? l->deeper
                                                                  : 0,
                                           .names = l->names.size};
    l->expect = object ? NAME_OR_END : VALUE_OR_END;
    l->deeper = 0;
    return OK;
}

static void end_value(struct long_line *l) {
    l->wanted = l->direct = l->deeper = 0;
    l->expect = l->depth == 0 ? NOTHING : COMMA_OR_END;
}

static int compare_digests(const void *a, const void *b) {
    return memcmp(a, b, sizeof(struct digest));
}

static int close_level(struct long_line *l) {
    struct level *level = &l->levels[l->depth--];
    size_t count = (l->names.size - level->names) / sizeof(struct digest);
    struct digest *names = count > 1 ? (struct digest *)(void *)(l->names.data + level->names) : NULL;
    if (names)
        qsort(names, count, sizeof *names, compare_digests);
    for (size_t i = 1; i < count; i++)
        if (digest_equal(&names[i - 1], &names[i]))
            return malformed(l, "an object that ends here has a name twice");
    l->names.size = level->names;
    end_value(l);
    return OK;
}

// ---- strings ----

static int end_name(struct long_line *l) {
    struct digest digest = digest_of(l->text.data, l->text.size);
    if (l->text.size > 0 && memchr(l->text.data, 0, l->text.size))
        return malformed(l, "a name with NUL");
    if (l->names.size >= NAMES_MOST * sizeof digest)
        return malformed(l, "more than 1048576 members in a line of more than 1 MB");
    find_wanted(l);
    l->expect = COLON;
    return buffer_append(&l->names, &digest, sizeof digest);
}

// Bytes of the string's content go where they are wanted.
static int take_text(struct long_line *l, const uint8_t *bytes, size_t size) {
    int code = OK;
    if (l->is_name) {
        if (l->text.size + size > NAME_MOST)
            return malformed(l, "a name of more than 65536 bytes");
        return json_unescape(&l->text, bytes, size);
    }
    if (l->sinks == 0)
        return OK;
    buffer_clear(&l->text);
    code = json_unescape(&l->text, bytes, size);
    for (int t = 0; t < l->count && code == OK; t++)
        if (l->sinks & (uint32_t)1 << t)
            code = spool_add(&l->targets[t].text, l->text.data, l->text.size);
    return code;
}

static int add_string(struct long_line *l, const uint8_t *bytes, size_t size, size_t *used) {
    bool closed;
    if (!json_scan_part(bytes, size < PART_MOST ? size : PART_MOST, used, &closed))
        return malformed(l, "a string is malformed: bad UTF-8, a bad escape or a control character");
    int code = take_text(l, bytes, *used);
    if (code != OK || !closed)
        return code;
    ++*used;
    l->in_string = false;
    if (l->is_name)
        return end_name(l);
    end_value(l);
    return OK;
}

// ---- everything else ----

static bool wants_value(const struct long_line *l) {
    return l->expect == VALUE || l->expect == VALUE_OR_END;
}

// A number, true, false or null.
static int add_scalar(struct long_line *l, const uint8_t *bytes, size_t size, bool last, size_t *used) {
    size_t n = json_scan_token(bytes, size <= SCALAR_MOST ? size : SCALAR_MOST + 1);
    if (n > SCALAR_MOST)
        return malformed(l, "a number of more than 65536 characters");
    if (n == size && !last)
        return OK;
    if (n == 0 || l->depth == 0 || !wants_value(l))
        return malformed(l, l->depth == 0 && l->expect == VALUE ? "not a JSON object" : "unexpected");
    *used = n;
    if (!json_scan_scalar(bytes, n))
        return malformed(l, "not a number, true, false or null");
    take_value(l, n == 4 && memcmp(bytes, "null", n) == 0 ? IS_NULL : IS_OTHER);
    end_value(l);
    return OK;
}

static int add_token(struct long_line *l, const uint8_t *bytes, size_t size, bool last, size_t *used) {
    const bool object = l->levels[l->depth].object;
    const uint8_t c = *bytes;
    *used = 1;
    if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
        return OK;
    if (isspace(c) && l->depth == 0 && l->expect == VALUE) {
        l->white = true;
        return OK;
    }
    if (l->white)
        return malformed(l, "white space that JSON does not have before it");
    if (c == '"' && ((wants_value(l) && l->depth > 0) || l->expect == NAME || l->expect == NAME_OR_END)) {
        l->in_string = true;
        l->is_name = !wants_value(l);
        buffer_clear(&l->text);
        if (!l->is_name)
            take_value(l, IS_STRING);
    } else if ((c == '{' || c == '[') && wants_value(l)) {
        return open_level(l, c == '{');
    } else if ((c == '}' && object && (l->expect == COMMA_OR_END || l->expect == NAME_OR_END)) ||
               (c == ']' && !object && (l->expect == COMMA_OR_END || l->expect == VALUE_OR_END))) {
        return close_level(l);
    } else if (c == ':' && l->expect == COLON) {
        l->expect = VALUE;
    } else if (c == ',' && l->expect == COMMA_OR_END) {
        l->expect = object ? NAME : VALUE;
    } else {
        *used = 0;
        return add_scalar(l, bytes, size, last, used);
    }
    return OK;
}

// ---- the whole ----

static int check_target(const struct target *target) {
    if (target->found == IS_STRING || (target->field->optional && target->found <= IS_NULL))
        return OK;
    return error_set(ERROR_INPUT, "key '%s': %s", target->field->name,
                     target->found == MISSING ? "missing" : "not a string");
}

static int append_domain(void *context, const uint8_t *data, size_t size) {
    return buffer_append(context, data, size);
}

static int finish(struct long_line *l) {
    int code = OK;
    if (long_line_blank(l))
        return OK;
    if (l->expect != NOTHING)
        return malformed(l, "the line ends too early");
    for (int t = 0; t < l->count && code == OK; t++)
        code = check_target(&l->targets[t]);
    if (code != OK || !l->fields->domain.name)
        return code;
    const struct target *domain = &l->targets[l->count - 1];
    uint64_t size = spool_size(&domain->text);
    if (size <= STREAM_DOMAIN_LIMIT)
        code = spool_each(&l->targets[l->count - 1].text, append_domain, &l->domain);
    if (code != OK)
        return code;
    if (l->domain.size > 0 && memchr(l->domain.data, 0, l->domain.size))
        return error_set(ERROR_INPUT, "key '%s': not a string without NUL", domain->field->name);
    code = stream_check_domain(ERROR_INPUT, (const char *)l->domain.data, (size_t)size);
    if (code != OK)
        return error_prefix(code, "key '%s'", domain->field->name);
    return buffer_append(&l->domain, "", 1);
}

int long_line_add(struct long_line *l, const uint8_t *bytes, size_t size, bool last, size_t *used) {
    int code = OK;
    for (*used = 0; *used < size && code == OK;) {
        size_t n = 0;
        code = l->in_string ? add_string(l, bytes + *used, size - *used, &n)
                            : add_token(l, bytes + *used, size - *used, last, &n);
        if (code == OK && n == 0)
            break;
        *used += n;
        l->byte += n;
    }
    if (code == OK && last)
        code = *used < size || l->in_string ? malformed(l, "the line ends too early") : finish(l);
    return code;
}

bool long_line_blank(const struct long_line *l) {
    return l->depth == 0 && l->expect == VALUE;
}

const char *long_line_domain(const struct long_line *l) {
    return l->fields->domain.name ? (const char *)l->domain.data : NULL;
}

int long_line_read(void *line, void *data, size_t size, size_t *got) {
    struct long_line *l = line;
    int code = OK;
    for (*got = 0; *got < size && l->part < l->fields->count && code == OK;) {
        struct spool *text = &l->targets[l->part].text;
        uint64_t before = l->any ? l->fields->join_size : 0;
        size_t n = 0;
        if (l->targets[l->part].found == IS_STRING && l->at < before) {
            n = before - l->at < size - *got ? (size_t)(before - l->at) : size - *got;
            memcpy((uint8_t *)data + *got, l->fields->join + l->at, n);
        } else if (l->targets[l->part].found == IS_STRING) {
            code = spool_read(text, l->at - before, (uint8_t *)data + *got, size - *got, &n);
        }
        *got += n;
        l->at += n;
        if (n == 0) {
            l->any = l->any || l->targets[l->part].found == IS_STRING;
            l->part++;
            l->at = 0;
        }
    }
    return code;
}
