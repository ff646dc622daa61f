#include "labels.h"

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "stream/stream.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { DOMAINS = 65536, TABLE_BYTES = 64 << 20 };

struct label {
    const char *domain; // in the text
    uint32_t expert;
};

struct labels {
    bool table;
    struct buffer text;
    struct label *labels;
    size_t count;
    uint32_t experts;
    uint32_t known[DOMAINS]; // by the stream's domain: expert + 1; 0: not looked up yet
};

static const struct label *find(const struct labels *l, const char *domain) {
    for (size_t i = 0; i < l->count; i++)
        if (strcmp(l->labels[i].domain, domain) == 0)
            return &l->labels[i];
    return NULL;
}

static int parse_line(struct labels *l, char *line, const char *path, size_t number) {
    char *tab = strrchr(line, '\t'), *end = NULL;
    unsigned long expert = 0;
    if (tab && tab[1] >= '0' && tab[1] <= '9')
        expert = strtoul(tab + 1, &end, 10);
    if (!end || *end != '\0' || expert >= STREAM_EXPERTS_LIMIT)
        return error_set(ERROR_INPUT, "%s: line %zu: not `domain<TAB>expert index`", path, number);
    *tab = '\0';
    if (find(l, line))
        return error_set(ERROR_INPUT, "%s: line %zu: domain '%s' a second time", path, number, line);
    if ((l->count & (l->count - 1)) == 0) {
        int rc = memory_resize(&l->labels, l->count ? l->count * 2 : 1, sizeof *l->labels);
        if (rc != OK)
            return rc;
    }
    l->labels[l->count++] = (struct label){line, (uint32_t)expert};
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
        if (l->table) {
            const struct label *label = find(l, stream_domain(s, domain));
            if (!label)
                return error_set(ERROR_INPUT, "%s: domain '%s' is not in the table of labels", stream_name(s),
                                 stream_domain(s, domain));
            e = label->expert;
        }
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
    free(l);
}
