// usage: assign N E [FILE]
// A score stream of N sequences under E experts, stored plainly, for the row `assign-balanced`: a function of the
// sequence number alone. Sequences differ in difficulty, belong to topics of unequal size, and prefer the experts
// of their topic; so some experts are wanted by far more sequences than they can take.
#include "base/error.h"
#include "stream/stream.h"

#include <stdio.h>
#include <stdlib.h>

enum { TOPICS = 64, EXPERTS_LIMIT = 512 };

// A mixing of 32 bits (the finaliser of MurmurHash3), which vectorises.
static inline uint32_t mix(uint32_t x) {
    x = (x ^ x >> 16) * 0x85ebca6bu;
    x = (x ^ x >> 13) * 0xc2b2ae35u;
    return x ^ x >> 16;
}

static inline float uniform(uint32_t bits) {
    return (float)(int32_t)(bits >> 8) * 0x1p-24f;
}

struct generator {
    uint32_t experts;
    float affinity[TOPICS][EXPERTS_LIMIT];
    float row[EXPERTS_LIMIT];
};

static void prepare(struct generator *g) {
    for (uint32_t t = 0; t < TOPICS; t++)
        for (uint32_t e = 0; e < g->experts; e++)
            g->affinity[t][e] = 0.4f * uniform(mix(t * EXPERTS_LIMIT + e)) + 0.1f * uniform(mix(~e));
}

static void make_row(struct generator *g, uint64_t n) {
    uint32_t seed = mix((uint32_t)n ^ mix((uint32_t)(n >> 32) + 1));
    float u = uniform(seed), v = uniform(mix(seed + 1)), w = uniform(mix(seed + 2));
    const float *affinity = g->affinity[(int)(u * u * TOPICS)]; // the first topics are the largest
    float base = -4.5f + 1.5f * (v + w);
    for (uint32_t e = 0; e < g->experts; e++)
        g->row[e] = base + affinity[e] + 0.2f * uniform(mix(seed + 3 + e));
}

static int generate(struct generator *g, uint64_t sequences, const char *path) {
    struct stream_header header = {
        .kind = STREAM_SCORES, .dtype = STREAM_F32, .length = 1024, .prefix = 256, .experts = g->experts};
    struct stream_writer *w;
    uint16_t domain = 0;
    int rc = stream_create(&w, path, &header, 0);
    if (rc == OK)
        rc = stream_add_domain(w, "generated", &domain);
    for (uint64_t n = 0; n < sequences && rc == OK; n++) {
        make_row(g, n);
        rc = stream_write(w, &(struct record){.id = n,
                                              .domain = domain,
                                              .predicted = 1023,
                                              .bytes = 4000 + (mix((uint32_t)n) & 511),
                                              .first = 1,
                                              .count = g->experts,
                                              .payload = g->row});
    }
    if (rc == OK)
        return stream_commit(w, NULL);
    stream_abort(w);
    return rc;
}

int main(int argc, char **argv) {
    static struct generator g;
    uint64_t sequences = argc > 2 ? strtoull(argv[1], NULL, 10) : 0;
    g.experts = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0;
    if (argc > 4 || sequences == 0 || g.experts == 0 || g.experts > EXPERTS_LIMIT) {
        fprintf(stderr, "usage: assign N E [FILE]\n");
        return 2;
    }
    prepare(&g);
    int rc = generate(&g, sequences, argc > 3 ? argv[3] : NULL);
    if (rc != OK)
        fprintf(stderr, "assign: %s\n", error_message());
    return rc == OK ? 0 : 1;
}
