#include "tokenize/document_split.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double sum_tolerance = 1e-6;

static int parse_part(struct document_split *s, const char *text, size_t size, double *sum) {
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    size_t name = strspn(text, allowed);
    char *end;
    if (name == 0 || name >= size || text[name] != '=' || text[0] == '.')
        return error_set(ERROR_USAGE, "--split '%.*s': not NAME=SHARE", (int)size, text);
    double share = strtod(text + name + 1, &end);
    if (end != text + size || !(share > 0 && share <= 1))
        return error_set(ERROR_USAGE, "--split '%.*s': a share is a number above 0 and at most 1", (int)size,
                         text);
    int code = memory_resize(&s->parts, (size_t)s->count + 1, sizeof *s->parts);
    if (code != OK)
        return code;
    struct document_part *part = &s->parts[s->count];
    part->name = string_copy_n(text, name);
    if (!part->name)
        return ERROR_SYSTEM;
    *sum += share;
    part->below = *sum;
    if (document_split_find(s, part->name) >= 0) {
        code = error_set(ERROR_USAGE, "--split: part '%s' twice", part->name);
        free(part->name);
        return code;
    }
    s->count++;
    return OK;
}

int document_split_parse(struct document_split *s, const char *text) {
    *s = (struct document_split){0};
    double sum = 0;
    int code = OK;
    for (;;) {
        size_t size = strcspn(text, ",");
        code = parse_part(s, text, size, &sum);
        if (code != OK || !text[size])
            break;
        text += size + 1;
    }
    if (code == OK && fabs(sum - 1) > sum_tolerance)
        code = error_set(ERROR_USAGE, "--split: the shares sum to %g, not 1", sum);
    if (code == OK)
        s->parts[s->count - 1].below = 1;
    else
        document_split_release(s);
    return code;
}

void document_split_release(struct document_split *s) {
    for (int i = 0; i < s->count; i++)
        free(s->parts[i].name);
    free(s->parts);
    *s = (struct document_split){0};
}

int document_split_find(const struct document_split *s, const char *name) {
    for (int i = 0; i < s->count; i++)
        if (strcmp(s->parts[i].name, name) == 0)
            return i;
    return -1;
}

int document_split_part_of(const struct document_split *s, uint64_t hash) {
    double fraction = (double)(hash >> 11) * 0x1p-53; // below 1
    int part = 0;
    while (part + 1 < s->count && fraction >= s->parts[part].below)
        part++;
    return part;
}

int document_split_part(const struct document_split *s, const void *bytes, size_t size) {
    return document_split_part_of(s, XXH3_64bits(bytes, size));
}

int document_split_path(const char *pattern, const char *name, char **path) {
    const char *place = strstr(pattern, "%s");
    if (!place || strstr(place + 2, "%s"))
        return error_set(ERROR_USAGE, "-o '%s': --split needs one %%s where the part's name goes", pattern);
    *path = string_format("%.*s%s%s", (int)(place - pattern), pattern, name, place + 2);
    return *path ? OK : ERROR_SYSTEM;
}
