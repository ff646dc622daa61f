#include "labels.h"

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "stream/stream.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { DOMAINS = 65536, TABLE_BYTES = 64 << 20, ROOM_FIRST = 64 };

struct label {
    const char *domain; // in the text
    uint32_t expert;
};

struct labels {
    bool table;
    struct buffer text;
    struct label *labels;
    size_t count, room;
    uint32_t *slots; // twice the room, a power of two: by the domain's hash, label + 1; 0: free
    uint32_t experts;
    uint32_t known[DOMAINS]; // by the stream's domain: expert + 1; 0: not looked up yet
};

// The slot that holds the domain, or the free one where it belongs. At most half of them are taken.
static uint32_t *slot_of(const struct labels *l, const char *domain) {
    size_t mask = 2 * l->room - 1, at = (size_t)XXH3_64bits(domain, strlen(domain)) & mask;
    while (l->slots[at] && strcmp(l->labels[l->slots[at] - 1].domain, domain) != 0)
        at = (at + 1) & mask;
    return &l->slots[at];
}

static bool find(const struct labels *l, const char *domain, uint32_t *expert) {
    uint32_t label = l->room > 0 ? *slot_of(l, domain) : 0;
    if (label > 0)
        *expert = l->labels[label - 1].expert;
    return label > 0;
}

static int grow(struct labels *l) {
    size_t room = l->room > 0 ? 2 * l->room : ROOM_FIRST;
    uint32_t *slots = memory_new(2 * room, sizeof *slots);
    int rc = slots ? memory_resize(&l->labels, room, sizeof *l->labels) : ERROR_SYSTEM;
    if (rc != OK) {
        free(slots);
        return rc;
    }
    free(l->slots);
    l->slots = slots;
    l->room = room;
    for (size_t i = 0; i < l->count; i++)
        *slot_of(l, l->labels[i].domain) = (uint32_t)i + 1;
    return OK;
}

static int parse_line(struct labels *l, char *line, const char *path, size_t number) {
    char *tab = strrchr(line, '\t'), *end = NULL;
    unsigned long expert = 0;
    uint32_t other;
    if (tab && tab[1] >= '0' && tab[1] <= '9')
        expert = strtoul(tab + 1, &end, 10);
    if (!end || *end != '\0' || expert >= STREAM_EXPERTS_LIMIT)
        return error_set(ERROR_INPUT, "%s: line %zu: not `domain<TAB>expert index`", path, number);
    *tab = '\0';
    if (find(l, line, &other))
        return error_set(ERROR_INPUT, "%s: line %zu: domain '%s' a second time", path, number, line);
    int rc = l->count == l->room ? grow(l) : OK;
    if (rc != OK)
        return rc;
    uint32_t *slot = slot_of(l, line);
    l->labels[l->count++] = (struct label){line, (uint32_t)expert};
    *slot = (uint32_t)l->count;
    if (expert >= l->experts)
        l->experts = (uint32_t)expert + 1;
    return OK;
}

static int parse(struct labels *l, const char *path) {
    char *line = (char *)l->text.data;
    if (memchr(line, '\0', l->text.size))
        return error_set(ERROR_INPUT, "%s: holds a 0 byte", path);
    for (size_t number = 1; *line; number++) {
        size_t size = strcspn(line, "\n");
        char *next = line + size + (line[size] == '\n');
        line[size] = '\0';
        if (size > 0 && line[size - 1] == '\r')
            line[size - 1] = '\0';
        int rc = *line ? parse_line(l, line, path, number) : OK;
        if (rc != OK)
            return rc;
        line = next;
    }
    return l->count ? OK : error_set(ERROR_INPUT, "%s: an empty table", path);
}

int labels_open(struct labels **out, const char *path) {
    struct labels *l = *out = memory_new(1, sizeof *l);
    if (!l)
        return ERROR_SYSTEM;
    l->table = path != NULL;
    int rc = OK;
    if (path)
        rc = file_read(path, TABLE_BYTES, &l->text);
    if (path && rc == OK)
        rc = parse(l, path);
    if (rc != OK) {
        labels_free(l);
        *out = NULL;
    }
    return rc;
}

uint32_t labels_experts(const struct labels *l) {
    return l->experts;
}

int labels_find(struct labels *l, const struct stream *s, uint16_t domain, uint32_t experts, uint32_t *expert) {
    if (!l->known[domain]) {
        uint32_t e = domain;
        if (l->table && !find(l, stream_domain(s, domain), &e))
            return error_set(ERROR_INPUT, "%s: domain '%s' is not in the table of labels", stream_name(s),
                             stream_domain(s, domain));
        if (e >= experts)
            return error_set(
                ERROR_INPUT,
                "%s: domain '%s' belongs to expert %u, but there are %u experts; give more with --experts",
                stream_name(s), stream_domain(s, domain), e, experts);
        l->known[domain] = e + 1;
    }
    *expert = l->known[domain] - 1;
    return OK;
}

void labels_free(struct labels *l) {
    if (!l)
        return;
    buffer_release(&l->text);
    free(l->labels);
    free(l->slots);
    free(l);
}
