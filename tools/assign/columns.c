#include "columns.h"

#include "base/error.h"
#include "base/memory.h"
#include "stream/stream.h"

#include <stdlib.h>

enum { ID, DOMAIN, PREDICTED, BYTES, FIRST, GROUP, CHOICE, GOLD, NORM_LENGTH };

// Of a packed column: the distances are from least + i x step.
struct column_head {
    uint64_t least, step;
    uint8_t width; // bytes of a distance: 0, 1, 2, 4, 8
};

int columns_new(struct columns **out, size_t memory) {
    struct columns *c = *out = memory_new(1, sizeof *c);
    if (!c)
        return ERROR_SYSTEM;
    int rc = spool_init(&c->spool, memory);
    if (rc != OK) {
        columns_free(c);
        *out = NULL;
    }
    return rc;
}

void columns_free(struct columns *c) {
    if (!c)
        return;
    spool_release(&c->spool);
    free(c);
}

// ---- one column of a block ----

union distances {
    uint8_t u8[COLUMNS_BLOCK];
    uint16_t u16[COLUMNS_BLOCK];
    uint32_t u32[COLUMNS_BLOCK];
    uint64_t u64[COLUMNS_BLOCK];
};

// An arithmetic progression (modulo 2^64) needs no distances.
static bool is_progression(const uint64_t *v, size_t n, uint64_t *step) {
    *step = n > 1 ? v[1] - v[0] : 0;
    uint64_t odd = 0;
    for (size_t i = 1; i < n; i++)
        odd |= v[i] - v[i - 1] - *step;
    return odd == 0;
}

static struct column_head describe_column(const uint64_t *v, size_t n) {
    struct column_head head = {.least = v[0]};
    if (is_progression(v, n, &head.step))
        return head;
    uint64_t most = v[0];
    for (size_t i = 1; i < n; i++) {
        head.least = v[i] < head.least ? v[i] : head.least;
        most = v[i] > most ? v[i] : most;
    }
    uint64_t span = most - head.least;
    head.step = 0;
    head.width = span <= UINT8_MAX ? 1 : span <= UINT16_MAX ? 2 : span <= UINT32_MAX ? 4 : 8;
    return head;
}

static void pack(const uint64_t *v, size_t n, const struct column_head *head, union distances *d) {
    for (size_t i = 0; i < n && head->width == 1; i++)
        d->u8[i] = (uint8_t)(v[i] - head->least);
    for (size_t i = 0; i < n && head->width == 2; i++)
        d->u16[i] = (uint16_t)(v[i] - head->least);
    for (size_t i = 0; i < n && head->width == 4; i++)
        d->u32[i] = (uint32_t)(v[i] - head->least);
    for (size_t i = 0; i < n && head->width == 8; i++)
        d->u64[i] = v[i] - head->least;
}

static void unpack(uint64_t *v, size_t n, const struct column_head *head, const union distances *d) {
    for (size_t i = 0; i < n && head->width == 0; i++)
        v[i] = head->least + i * head->step;
    for (size_t i = 0; i < n && head->width == 1; i++)
        v[i] = head->least + d->u8[i];
    for (size_t i = 0; i < n && head->width == 2; i++)
        v[i] = head->least + d->u16[i];
    for (size_t i = 0; i < n && head->width == 4; i++)
        v[i] = head->least + d->u32[i];
    for (size_t i = 0; i < n && head->width == 8; i++)
        v[i] = head->least + d->u64[i];
}

// ---- blocks ----

static int write_block(struct columns *c, size_t n) {
    union distances packed;
    int rc = OK;
    for (int k = 0; k < COLUMNS_KEPT && rc == OK; k++) {
        struct column_head head = describe_column(c->values[k], n);
        pack(c->values[k], n, &head, &packed);
        rc = spool_write(&c->spool, &head, sizeof head);
        if (rc == OK)
            rc = spool_write(&c->spool, &packed, n * head.width);
    }
    return rc;
}

static int read_block(struct columns *c, size_t n) {
    union distances packed;
    int rc = OK;
    for (int k = 0; k < COLUMNS_KEPT && rc == OK; k++) {
        struct column_head head;
        rc = spool_read(&c->spool, &head, sizeof head);
        if (rc == OK)
            rc = spool_read(&c->spool, &packed, n * head.width);
        if (rc == OK)
            unpack(c->values[k], n, &head, &packed);
    }
    return rc;
}

int columns_add(struct columns *c, const struct record *r) {
    size_t i = c->count++ % COLUMNS_BLOCK;
    c->values[ID][i] = r->id;
    c->values[DOMAIN][i] = r->domain;
    c->values[PREDICTED][i] = r->predicted;
    c->values[BYTES][i] = r->bytes;
    c->values[FIRST][i] = r->first;
    c->values[GROUP][i] = r->group;
    c->values[CHOICE][i] = r->choice;
    c->values[GOLD][i] = r->gold;
    c->values[NORM_LENGTH][i] = r->norm_length;
    return i + 1 == COLUMNS_BLOCK ? write_block(c, COLUMNS_BLOCK) : OK;
}

int columns_rewind(struct columns *c) {
    size_t rest = c->count % COLUMNS_BLOCK;
    int rc = rest > 0 ? write_block(c, rest) : OK;
    return rc == OK ? spool_rewind(&c->spool) : rc;
}

int columns_next(struct columns *c, struct record *r) {
    size_t i = c->given % COLUMNS_BLOCK;
    if (i == 0) {
        uint64_t left = c->count - c->given;
        int rc = read_block(c, left < COLUMNS_BLOCK ? (size_t)left : COLUMNS_BLOCK);
        if (rc != OK)
            return rc;
    }
    c->given++;
    r->id = c->values[ID][i];
    r->domain = (uint16_t)c->values[DOMAIN][i];
    r->predicted = (uint32_t)c->values[PREDICTED][i];
    r->bytes = (uint32_t)c->values[BYTES][i];
    r->first = (uint32_t)c->values[FIRST][i];
    r->group = (uint32_t)c->values[GROUP][i];
    r->choice = (uint16_t)c->values[CHOICE][i];
    r->gold = (uint8_t)c->values[GOLD][i];
    r->norm_length = (uint32_t)c->values[NORM_LENGTH][i];
    return OK;
}
