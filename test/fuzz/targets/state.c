// state.json of a checkpoint, as a resumed run takes it; its configuration is held against another one.
#include "../support.h"

#include "stream/stream.h"
#include "train/train.h"

static struct training training;
static struct run run;
static json_t *configuration;

// A stream of three sequences to go on with.
static struct feed *open_feed(void) {
    static char dash[] = "-", *paths[] = {dash};
    struct stream_writer *w;
    struct feed *feed;
    uint8_t tokens[8] = {1, 0, 2, 0, 3, 0, 4, 0};
    struct stream_header h = {.kind = STREAM_TOKENS, .dtype = STREAM_U16, .length = 4, .vocab_size = 8};
    fuzz_output();
    REQUIRE(stream_create(&w, NULL, &h, 0) == OK);
    for (uint64_t i = 0; i < 3; i++) {
        struct record r = {.id = i, .first = 1, .predicted = 3, .count = 4, .payload = tokens};
        REQUIRE(stream_add_domain(w, "text", &r.domain) == OK);
        REQUIRE(stream_write(w, &r) == OK);
    }
    REQUIRE(stream_commit(w, NULL) == OK);
    fuzz_output_as_input();
    struct feed_options options = {.paths = paths, .count = 1, .share = {.end = UINT64_MAX}};
    REQUIRE(feed_open(&feed, &options) == OK);
    return feed;
}

static void start(void) {
    training.runs = &run;
    training.count = 1;
    run.feed = open_feed();
    run.folder.current = (char *)(uintptr_t)fuzz_folder("state.json");
    configuration = json_pack("{s:i,s:n,s:s}", "batch", 32, "data", "model", "x");
    REQUIRE(configuration);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    json_t *state;
    if (!configuration)
        start();
    fuzz_json();
    fuzz_file(data, size);
    // There is nothing but state.json in the folder, so what comes through ends at the weights.
    int code = training_restore(&training, 0);
    REQUIRE(code == ERROR_INPUT || code == ERROR_SYSTEM);
    if (code == ERROR_SYSTEM)
        REQUIRE(run.state.step >= 0 && run.state.tokens >= 0);
    if (state_read(&state, run.folder.current) == OK) {
        const json_t *there = json_object_get(state, "configuration");
        if (there && configuration_compare(there, configuration, "state.json") == OK)
            (void)configuration_compare(configuration, there, "this command");
        json_decref(state);
    }
    return 0;
}
