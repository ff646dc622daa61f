#include "train/supply.h"
#include "base/background.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/tool.h"

#include <inttypes.h>
#include <stdlib.h>

struct supply {
    struct feed *feed;
    int vocab;
    uint32_t *row;           // one sequence
    struct batch batches[2]; // the one handed out, and the one behind it
    int next;                // the one behind it
    struct background *thread;
    bool begun, got; // the next batch is under way; it became complete
    // The feed behind the batches handed out
    uint64_t drawn;
    double epochs, waited;
    json_t *position;
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

static int fill(void *context) {
    struct supply *s = context;
    struct batch *b = &s->batches[s->next];
    int code = OK;
    batch_clear(b);
    s->got = true;
    while (code == OK && b->count < b->rows) {
        struct record r;
        const struct stream_header *h;
        const char *name;
        code = feed_next(s->feed, &r, &h, &name, &s->got);
        if (code != OK || !s->got)
            break;
        code = supply_add(b, s->row, s->vocab, &r, h, name);
    }
    return code;
}

// Remember where the feed stands; nothing may be under way.
static int mark(struct supply *s) {
    json_t *position = feed_position(s->feed);
    if (!position)
        return ERROR_SYSTEM;
    json_decref(s->position);
    s->position = position;
    s->drawn = feed_drawn(s->feed);
    s->epochs = feed_epochs(s->feed);
    return OK;
}

int supply_new(struct supply **out, struct feed *f, int rows, int length, int vocab) {
    *out = NULL;
    struct supply *s = memory_new(1, sizeof *s);
    if (!s)
        return ERROR_SYSTEM;
    s->feed = f;
    s->vocab = vocab;
    s->row = memory_new((size_t)length, sizeof *s->row);
    int code = s->row ? OK : ERROR_SYSTEM;
    for (int i = 0; i < 2 && code == OK; i++)
        code = batch_new(&s->batches[i], rows, length);
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
    for (int i = 0; i < 2; i++)
        batch_free(&s->batches[i]);
    json_decref(s->position);
    free(s->row);
    free(s);
}

int supply_next(struct supply *s, bool more, const struct batch **b, bool *got) {
    double began = clock_seconds();
    int code = s->begun ? background_wait(s->thread) : fill(s);
    s->waited += clock_seconds() - began;
    s->begun = false;
    *got = code == OK && s->got;
    *b = &s->batches[s->next];
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

uint64_t supply_drawn(const struct supply *s) {
    return s->drawn;
}

double supply_epochs(const struct supply *s) {
    return s->epochs;
}

json_t *supply_position(const struct supply *s) {
    return json_incref(s->position);
}

double supply_waited(const struct supply *s) {
    return s->waited;
}
