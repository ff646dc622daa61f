// The external sort, the spool and the decisions: the same whatever the memory.
#include "check.h"

#include "assign/decisions.h"
#include "assign/sorter.h"
#include "assign/spool.h"
#include "base/random.h"

#include <stdlib.h>

struct keyed {
    float key;
    uint64_t ordinal;
};

static int compare(const void *a, const void *b) {
    const struct keyed *x = a, *y = b;
    if (x->key != y->key)
        return x->key > y->key ? -1 : 1;
    return (x->ordinal > y->ordinal) - (x->ordinal < y->ordinal);
}

// Against qsort; with few distinct keys most of the order is the stability's.
static void check_sorter(uint64_t n, uint32_t width, size_t memory, uint64_t distinct, uint64_t least_runs) {
    struct sorter *s;
    struct keyed *keys = malloc((n + 1) * sizeof *keys);
    float row[8] = {0};
    uint64_t wrong = 0;
    CHECK_OK(sorter_new(&s, width, memory));
    for (uint64_t i = 0; i < n; i++) {
        float key = (float)random_below(7, n, i, distinct) - (float)(distinct / 2);
        if (key == 0 && i % 2)
            key = -0.0f; // equal to 0
        keys[i] = (struct keyed){key, i};
        for (uint32_t e = 0; e < width; e++)
            row[e] = (float)(i * 8 + e);
        CHECK_OK(sorter_add(s, key, (uint32_t)(i % 5), row));
    }
    qsort(keys, n, sizeof *keys, compare);
    for (uint64_t i = 0; i < n; i++) {
        struct sorted_row out;
        CHECK_OK(sorter_next(s, &out));
        wrong += out.ordinal != keys[i].ordinal || out.best != out.ordinal % 5;
        for (uint32_t e = 0; e < width; e++)
            wrong += out.row[e] != (float)(keys[i].ordinal * 8 + e);
    }
    CHECK_EQUAL_INT(wrong, 0);
    CHECK(least_runs ? sorter_runs(s) >= least_runs : sorter_runs(s) == 0);
    sorter_free(s);
    free(keys);
}

static void check_special_keys(void) {
    const float keys[7] = {-1, -INFINITY, 3e38f, 1e-45f, -1e-45f, 0, -3e38f};
    const uint64_t order[7] = {2, 3, 5, 4, 0, 6, 1};
    struct sorter *s;
    CHECK_OK(sorter_new(&s, 1, 1 << 12));
    for (int i = 0; i < 7; i++)
        CHECK_OK(sorter_add(s, keys[i], 0, &keys[i]));
    for (int i = 0; i < 7; i++) {
        struct sorted_row out;
        CHECK_OK(sorter_next(s, &out));
        CHECK_EQUAL_INT(out.ordinal, order[i]);
    }
    sorter_free(s);
}

static void check_decisions(uint64_t n, size_t memory) {
    struct decisions *d;
    uint64_t wrong = 0;
    CHECK_OK(decisions_new(&d, n, memory));
    for (uint64_t i = 0; i < n; i++) {
        uint64_t at = random_permute(3, n, n, i);
        CHECK_OK(decisions_set(d, at, (uint32_t)(at * 2654435761u % 65535)));
    }
    for (uint64_t i = 0; i < n; i++) {
        uint32_t expert;
        CHECK_OK(decisions_next(d, &expert));
        wrong += expert != i * 2654435761u % 65535;
    }
    CHECK_EQUAL_INT(wrong, 0);
    decisions_free(d);
}

// Items of eight bytes, read twice from the front.
static void check_spool(uint64_t n, size_t memory) {
    struct spool s;
    uint64_t wrong = 0;
    CHECK_OK(spool_init(&s, memory));
    for (uint64_t i = 0; i < n; i++) {
        uint64_t item = i * i;
        CHECK_OK(spool_write(&s, &item, sizeof item));
    }
    CHECK_EQUAL_INT(s.size, 8 * n);
    for (int time = 0; time < 2; time++) {
        CHECK_OK(spool_rewind(&s));
        for (uint64_t i = 0; i < n; i++) {
            uint64_t value;
            CHECK_OK(spool_read(&s, &value, sizeof value));
            wrong += value != i * i;
        }
    }
    CHECK_EQUAL_INT(wrong, 0);
    spool_release(&s);
}

int main(void) {
    check_sorter(0, 4, 1 << 20, 3, 0);
    check_sorter(1, 4, 1 << 20, 3, 0);
    check_sorter(20000, 4, 16 << 20, 7, 0);
    check_sorter(20000, 4, 16 << 20, 1 << 20, 0);
    check_sorter(20000, 4, 64 << 10, 7, 5);    // one level of merging is not enough
    check_sorter(20000, 0, 4 << 10, 1000, 50); // no row at all
    check_sorter(3000, 8, 1, 5, 1500);         // the least memory there is
    check_special_keys();
    for (size_t memory = 64; memory < 1 << 20; memory *= 37) {
        check_decisions(0, memory);
        check_decisions(1, memory);
        check_decisions(20011, memory);
        check_spool(0, memory);
        check_spool(20011, memory);
    }
    check_spool(100, 1);
    return check_report();
}
