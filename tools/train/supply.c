#include "train/supply.h"
#include "base/background.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/tool.h"

#include <inttypes.h>
#include <stdlib.h>

// One feed's: the batch that was handed out and the one behind it, and where the feed stands behind the former.
struct lead {
    struct feed *feed;
    struct batch batches[2];
    uint64_t drawn;
    double epochs;
    json_t *position;
};

struct supply {
    struct supply_shape shape;
    struct lead *leads; // [count]
    uint32_t *row;      // one sequence
    int next;           // which of each lead's batches is the one behind
    struct background *thread;
    bool begun, got; // the next batches are under way; they became complete
    double waited;
};

int supply_add(struct batch *b, uint32_t *row, int vocab, const struct record *r, const struct stream_header *h,
               const char *name) {
    uint32_t limit = (uint32_t)b->length, n = r->count < limit ? r->count : limit;
    record_tokens(h, r, 0, n, row);
    for (uint32_t i = 0; i < n; i++)
        if (row[i] >= (uint32_t)vocab)
            return error_set(ERROR_INPUT, "%s: sequence %" PRIu64 ": token id %" PRIu32 ", but the model has %d",
                             name, r->id, row[i], vocab);
    uint32_t first = r->first < n ? r->first : n;
    batch_add(b, row, (int)n, first > 0 ? (int)first : 1);
    return OK;
}

static int fill_batch(struct supply *s, struct lead *lead) {
    struct batch *b = &lead->batches[s->next];
    int code = OK;
    batch_clear(b);
    while (code == OK && s->got && b->count < b->rows) {
        struct record r;
        const struct stream_header *h;
        const char *name;
        code = feed_next(lead->feed, &r, &h, &name, &s->got);
        if (code == OK && s->got)
            code = supply_add(b, s->row, s->shape.vocab, &r, h, name);
    }
    return code;
}

static int fill(void *context) {
    struct supply *s = context;
    int code = OK;
    s->got = true;
    for (int i = 0; i < s->shape.count && code == OK && s->got; i++)
        code = fill_batch(s, &s->leads[i]);
    return code;
}

// Remember where the feeds stand; nothing may be under way.
static int mark(struct supply *s) {
    for (int i = 0; i < s->shape.count; i++) {
        struct lead *lead = &s->leads[i];
        json_t *position = feed_position(lead->feed);
        if (!position)
            return ERROR_SYSTEM;
        json_decref(lead->position);
        lead->position = position;
        lead->drawn = feed_drawn(lead->feed);
        lead->epochs = feed_epochs(lead->feed);
    }
    return OK;
}

static int allocate(struct supply *s, struct feed *const *feeds) {
    const struct supply_shape *shape = &s->shape;
    s->row = memory_new((size_t)shape->length, sizeof *s->row);
    s->leads = memory_new((size_t)shape->count, sizeof *s->leads);
    if (!s->row || !s->leads)
        return ERROR_SYSTEM;
    int code = OK;
    for (int i = 0; i < shape->count && code == OK; i++) {
        s->leads[i].feed = feeds[i];
        code = batch_new(&s->leads[i].batches[0], shape->rows, shape->length);
        if (code == OK)
            code = batch_new(&s->leads[i].batches[1], shape->rows, shape->length);
    }
    return code;
}

int supply_new(struct supply **out, struct feed *const *feeds, const struct supply_shape *shape) {
    *out = NULL;
    struct supply *s = memory_new(1, sizeof *s);
    if (!s)
        return ERROR_SYSTEM;
    s->shape = *shape;
    int code = allocate(s, feeds);
    if (code == OK)
        code = mark(s);
    if (code != OK) {
        supply_free(s);
        return code;
    }
    s->thread = background_new();
    *out = s;
    return OK;
}

void supply_free(struct supply *s) {
    if (!s)
        return;
    background_free(s->thread);
    for (int i = 0; s->leads && i < s->shape.count; i++) {
        batch_free(&s->leads[i].batches[0]);
        batch_free(&s->leads[i].batches[1]);
        json_decref(s->leads[i].position);
    }
    free(s->leads);
    free(s->row);
    free(s);
}

int supply_next(struct supply *s, bool more, bool *got) {
    double began = clock_seconds();
    int code = s->begun ? background_wait(s->thread) : fill(s);
    s->waited += clock_seconds() - began;
    s->begun = false;
    *got = code == OK && s->got;
    if (!*got)
        return code;
    s->next = !s->next;
    code = mark(s);
    if (code == OK && more && s->thread) {
        s->begun = true;
        background_start(s->thread, fill, s);
    }
    return code;
}

const struct batch *supply_batch(const struct supply *s, int i) {
    return &s->leads[i].batches[!s->next];
}

uint64_t supply_drawn(const struct supply *s, int i) {
    return s->leads[i].drawn;
}

double supply_epochs(const struct supply *s, int i) {
    return s->leads[i].epochs;
}

json_t *supply_position(const struct supply *s, int i) {
    return json_incref(s->leads[i].position);
}

double supply_waited(const struct supply *s) {
    return s->waited;
}
