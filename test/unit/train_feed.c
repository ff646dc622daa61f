// The order in which train takes sequences: epochs, lanes by weight, and going on after a stop.
#include "check.h"

#include "stream/stream.h"
#include "train/feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MANY = 101, FEW = 7, EPOCHS = 3 };

static char many[] = "/tmp/feed-many-XXXXXX", few[] = "/tmp/feed-few-XXXXXX";

// n sequences of two tokens; sequence i has the id start + i.
static void make_stream(char *path, uint64_t n, uint64_t start) {
    struct stream_writer *w;
    struct stream_header h = {.kind = STREAM_TOKENS, .dtype = STREAM_U16, .length = 2, .vocab_size = 16};
    uint8_t payload[4] = {1, 0, 2, 0};
    uint16_t domain;
    close(mkstemp(path));
    CHECK_OK(stream_create(&w, path, &h, 0));
    CHECK_OK(stream_add_domain(w, "text", &domain));
    for (uint64_t i = 0; i < n; i++) {
        struct record r = {
            .id = start + i, .predicted = 1, .bytes = 1, .first = 1, .count = 2, .payload = payload};
        CHECK_OK(stream_write(w, &r));
    }
    CHECK_OK(stream_commit(w, NULL));
}

static uint64_t next_id(struct feed *f) {
    struct record r = {0};
    const struct stream_header *h;
    const char *name;
    bool got = false;
    CHECK_OK(feed_next(f, &r, &h, &name, &got));
    CHECK(got);
    return r.id;
}

static struct feed *open_feed(char **paths, int count, const double *weights, bool shuffle, uint64_t seed) {
    struct feed *f = NULL;
    struct feed_options o = {paths, count, {.end = UINT64_MAX}, weights, shuffle, seed, 0};
    CHECK_OK(feed_open(&f, &o));
    return f;
}

// Every epoch is a permutation of all streams' sequences, and no two epochs are the same one.
static void check_epochs(bool shuffle) {
    char *paths[] = {many, few};
    uint64_t order[EPOCHS][MANY + FEW];
    struct feed *f = open_feed(paths, 2, NULL, shuffle, 3);
    CHECK(feed_sequences(f) == MANY + FEW);
    for (int e = 0; e < EPOCHS; e++) {
        int seen[MANY + FEW] = {0}, once = 0, fixed = 0;
        for (int i = 0; i < MANY + FEW; i++) {
            order[e][i] = next_id(f);
            seen[order[e][i]]++;
            fixed += order[e][i] == (uint64_t)i;
        }
        for (int i = 0; i < MANY + FEW; i++)
            once += seen[i] == 1;
        CHECK_EQUAL_INT(once, MANY + FEW);
        CHECK(shuffle ? fixed < 15 : fixed == MANY + FEW); // a random permutation has one fixed point or so
    }
    CHECK((memcmp(order[0], order[1], sizeof order[0]) == 0) == !shuffle);
    CHECK(feed_epochs(f) == EPOCHS);
    feed_close(f);
}

static void check_going_on(const double *weights) {
    char *paths[] = {many, few};
    struct feed *whole = open_feed(paths, 2, weights, true, 9), *first = open_feed(paths, 2, weights, true, 9);
    for (int i = 0; i < 150; i++)
        CHECK(next_id(whole) == next_id(first));
    json_t *position = feed_position(first);
    CHECK(feed_drawn(first) == 150);
    feed_close(first);
    struct feed *second = open_feed(paths, 2, weights, true, 9);
    CHECK_OK(feed_restore(second, position));
    CHECK(feed_drawn(second) == 150);
    for (int i = 0; i < 150; i++)
        CHECK(next_id(whole) == next_id(second));
    json_t *wrong = json_pack("[i,i,i]", 1, 2, 3);
    CHECK_ERROR(feed_restore(second, wrong), ERROR_INPUT);
    json_decref(wrong);
    json_decref(position);
    feed_close(second);
    feed_close(whole);
}

// With equal weights the small stream comes as often as the large one: 2000 draws, four standard deviations.
static void check_weights(void) {
    char *paths[] = {many, few};
    const double weights[] = {2, 2};
    struct feed *f = open_feed(paths, 2, weights, false, 1);
    int from_few = 0;
    for (int i = 0; i < 2000; i++)
        from_few += next_id(f) >= MANY;
    CHECK(from_few > 1000 - 90 && from_few < 1000 + 90);
    feed_close(f);
}

int main(void) {
    make_stream(many, MANY, 0);
    make_stream(few, FEW, MANY);
    check_epochs(false);
    check_epochs(true);
    check_going_on(NULL);
    check_going_on((const double[]){1, 3});
    check_weights();
    unlink(many);
    unlink(few);
    return check_report();
}
