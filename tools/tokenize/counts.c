#include "tokenize/counts.h"
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdlib.h>

// Where the domain is, or is to be.
static int find(const struct counts *c, const char *domain) {
    int low = 0, high = c->count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (strcmp(c->items[middle].domain, domain) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int counts_add(struct counts *c, const char *domain, uint64_t documents, uint64_t bytes, uint64_t tokens) {
    int at = find(c, domain);
    if (at == c->count || strcmp(c->items[at].domain, domain) != 0) {
        int code = memory_resize(&c->items, (size_t)c->count + 1, sizeof *c->items);
        char *name = code == OK ? string_copy(domain) : NULL;
        if (!name)
            return ERROR_SYSTEM;
        memmove(&c->items[at + 1], &c->items[at], (size_t)(c->count - at) * sizeof *c->items);
        c->items[at] = (struct domain_count){.domain = name};
        c->count++;
    }
    c->items[at].documents += documents;
    c->items[at].bytes += bytes;
    c->items[at].tokens += tokens;
    return OK;
}

static int write_line(struct buffer *out, const struct domain_count *d) {
    int code = buffer_append_format(out, "%s\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t", d->domain, d->documents,
                                    d->bytes, d->tokens);
    if (code != OK)
        return code;
    return d->tokens > 0 ? buffer_append_format(out, "%.4f\n", (double)d->bytes / (double)d->tokens)
                         : buffer_append_string(out, "-\n");
}

int counts_write(const struct counts *c, const char *path) {
    char name[] = "all";
    struct domain_count all = {.domain = name};
    struct buffer text = {0};
    struct output *out = NULL;
    int code = buffer_append_string(&text, "domain\tdocuments\tbytes\ttokens\tbytes_per_token\n");
    for (int i = 0; i < c->count && code == OK; i++) {
        code = write_line(&text, &c->items[i]);
        all.documents += c->items[i].documents;
        all.bytes += c->items[i].bytes;
        all.tokens += c->items[i].tokens;
    }
    if (code == OK)
        code = write_line(&text, &all);
    if (code == OK)
        code = output_open(&out, path, false);
    if (code == OK)
        code = output_write(out, text.data, text.size);
    if (code == OK)
        code = output_commit(out);
    else
        output_abort(out);
    buffer_release(&text);
    return code;
}

void counts_release(struct counts *c) {
    for (int i = 0; i < c->count; i++)
        free(c->items[i].domain);
    free(c->items);
    *c = (struct counts){0};
}
