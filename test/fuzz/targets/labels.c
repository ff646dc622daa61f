// The table of `assign --method label`, looked up by the domains of a stream.
#include "../support.h"

#include "assign/labels.h"
#include "stream/stream.h"

static struct stream *sample; // of two domains

static void make_sample(void) {
    static const char *const names[] = {"law", "code"};
    struct stream_writer *w;
    fuzz_output();
    REQUIRE(stream_create(&w, NULL, &(struct stream_header){.kind = STREAM_LOGPROBS, .dtype = STREAM_F32}, 0) ==
            OK);
    for (uint64_t i = 0; i < 2; i++) {
        struct record r = {.id = i, .first = 1};
        REQUIRE(stream_add_domain(w, names[i], &r.domain) == OK);
        REQUIRE(stream_write(w, &r) == OK);
    }
    REQUIRE(stream_commit(w, NULL) == OK);
    fuzz_output_as_input();
    REQUIRE(stream_open(&sample, NULL, STREAM_ANY) == OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct labels *labels;
    uint32_t expert;
    if (!sample)
        make_sample();
    fuzz_file(data, size);
    if (labels_open(&labels, "-") != OK)
        return 0;
    REQUIRE(labels_experts(labels) > 0 && labels_experts(labels) <= STREAM_EXPERTS_LIMIT);
    for (uint16_t domain = 0; domain < 2; domain++)
        if (labels_find(labels, sample, domain, labels_experts(labels), &expert) == OK)
            REQUIRE(expert < labels_experts(labels));
    labels_free(labels);
    return 0;
}
