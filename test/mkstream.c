// mkstream: a stream of any kind for tests, from a seed or from JSON lines.
//
//     mkstream KIND [key=value]... > STREAM        KIND: tokens scores logprobs weights assignment
//
// Streams with the same n, seed, length, ragged, first, tasks, start and domains have the same columns whatever
// their kind, so they can be read in lockstep. Payloads depend on the seed and on `model`.
//
//     n=100          sequences                      seed=0         of columns and payloads
//     length=32      tokens of a sequence           ragged=1       1..length tokens instead, header length 0
//     vocab=256      vocabulary size                vocab_name=T   text behind its digest (default: the size)
//     domains=3      named d0, d1, ...              experts=4      E
//     topk=1         K of an assignment             prefix=0       M in the header
//     dtype=u16|u32|f16|f32 (default by kind)       level=1        zstd, 0 = stored
//     model=0        which model's numbers          rule=TEXT      in the header
//     models=1       put model digests in, too      names=a,b,..   of the models
//     per_position=1 weights: a row per position    improper=1     in the header
//     start=0        id of the first sequence       first=1        first scored position
//     tasks=0        choices per question           inf=0          every inf-th number is -inf
//     corpus=TEXT    text behind the corpus digest (default: the seed)
//     frame=BYTES    raw bytes per frame (small samples with several frames)
//     nan=N          sequence N has a NaN where its kind has numbers
//     o=FILE         instead of standard output     from=json      see below
//
// from=json reads records from standard input, one JSON object per line as `view --json --columns` prints them:
// id, domain, predicted, bytes, first, group, choice, gold, norm_length, and tokens | scores | logprobs |
// weights | expert | experts and weights. What is absent is derived (id: the line; domain: "text"; first: 1;
// predicted: from the payload, or length - first; bytes: predicted). "-inf", "inf" and "nan" are strings.
#include "base/error.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/random.h"
#include "stream/writer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    const char *key;
    const char *value;
} settings[] = {{"n", "100"},       {"seed", "0"},         {"length", "32"},  {"ragged", "0"}, {"vocab", "256"},
                {"vocab_name", ""}, {"domains", "3"},      {"experts", "4"},  {"topk", "1"},   {"prefix", "0"},
                {"dtype", ""},      {"level", "1"},        {"model", "0"},    {"rule", ""},    {"models", "0"},
                {"names", ""},      {"per_position", "0"}, {"improper", "0"}, {"start", "0"},  {"first", "1"},
                {"tasks", "0"},     {"inf", "0"},          {"corpus", ""},    {"frame", "0"},  {"nan", "-1"},
                {"o", ""},          {"from", ""}};
enum { SETTINGS = sizeof settings / sizeof *settings };
static struct stream_header header;
static struct stream_writer *writer;
static uint32_t *integers; // elements of the record in hand
static float *floats;
static void *payload;
static size_t capacity;

static void fail(const char *message) {
    fprintf(stderr, "mkstream: %s\n", message);
    exit(ERROR_USAGE);
}

static void check(int code) {
    if (code != OK) {
        fprintf(stderr, "mkstream: %s\n", error_message());
        exit(code);
    }
}

static const char *text(const char *key) {
    for (int i = 0; i < SETTINGS; i++)
        if (strcmp(settings[i].key, key) == 0)
            return settings[i].value;
    fail(key);
    return NULL;
}

static int64_t number(const char *key) {
    char *end;
    int64_t value = strtoll(text(key), &end, 0);
    if (*end || end == text(key))
        fail(string_format("%s=%s is not a number", key, text(key)));
    return value;
}

static uint64_t random_number(const char *purpose, uint64_t index, uint64_t n) {
    uint64_t stream = digest_of(purpose, strlen(purpose)).bytes[0];
    return random_below((uint64_t)number("seed"), stream, index, n);
}

// ---- header ----

static struct digest digest_of_text(const char *purpose, const char *value) {
    char *whole = string_format("mkstream %s %s", purpose, value);
    struct digest d = digest_of(whole, strlen(whole));
    free(whole);
    return d;
}

static void set_models(void) {
    bool many = header.kind != STREAM_LOGPROBS;
    if (!number("models") && !*text("names"))
        return;
    header.model_count = many ? header.experts : 1;
    header.models = memory_new(header.model_count, sizeof *header.models);
    for (uint32_t i = 0; i < header.model_count; i++) {
        char *name = string_format("%u", many ? i : (unsigned)number("model"));
        header.models[i] = digest_of_text("model", name);
        free(name);
    }
    if (!*text("names"))
        return;
    header.names = memory_new(header.model_count, sizeof *header.names);
    char *names = string_copy(text("names")), *rest = names;
    for (uint32_t i = 0; i < header.model_count; i++) {
        char *name = strsep(&rest, ",");
        header.names[i] = string_copy(name ? name : "");
    }
    free(names);
}

static void set_header(const char *kind) {
    header.kind = STREAM_KINDS;
    for (int k = 0; k < STREAM_TRACE; k++)
        if (strcmp(kind, stream_kind_name((enum stream_kind)k)) == 0)
            header.kind = (enum stream_kind)k;
    if (header.kind == STREAM_KINDS)
        fail("KIND is one of tokens, scores, logprobs, weights, assignment");
    bool routed =
        header.kind == STREAM_SCORES || header.kind == STREAM_WEIGHTS || header.kind == STREAM_ASSIGNMENT;
    header.vocab_size = (uint32_t)number("vocab");
    header.vocab = digest_of_text("vocabulary", *text("vocab_name") ? text("vocab_name") : text("vocab"));
    header.length = number("ragged") ? 0 : (uint32_t)number("length");
    header.experts = routed ? (uint32_t)number("experts") : 0;
    header.topk = header.kind == STREAM_ASSIGNMENT ? (uint32_t)number("topk") : 0;
    header.prefix = (uint32_t)number("prefix");
    header.per_position = number("per_position");
    header.improper = number("improper");
    header.rule = *text("rule") ? text("rule") : NULL;
    header.dtype = STREAM_F32;
    if (header.kind == STREAM_TOKENS)
        header.dtype = header.vocab_size <= 65536 ? STREAM_U16 : STREAM_U32;
    if (header.kind == STREAM_ASSIGNMENT)
        header.dtype = STREAM_U16;
    for (int t = 0; t <= STREAM_F32; t++)
        if (strcmp(text("dtype"), stream_dtype_name((enum stream_dtype)t)) == 0)
            header.dtype = (enum stream_dtype)t;
    set_models();
}

// ---- records ----

static void make_room(size_t elements) {
    if (elements <= capacity)
        return;
    check(memory_resize(&integers, elements, sizeof *integers));
    check(memory_resize(&floats, elements, sizeof *floats));
    check(memory_resize(&payload, elements, 8));
    capacity = elements;
}

static void write_record(struct record *r, const char *domain, uint64_t ordinal) {
    check(stream_add_domain(writer, domain, &r->domain));
    if (number("nan") == (int64_t)ordinal && r->count > 0)
        floats[r->count - 1] = NAN;
    if (header.kind == STREAM_TOKENS)
        payload_tokens(&header, integers, r->count, payload);
    else if (header.kind == STREAM_ASSIGNMENT)
        payload_experts(&header, integers, floats, payload);
    else
        payload_floats(&header, floats, r->count, payload);
    r->payload = payload;
    check(stream_write(writer, r));
}

static uint32_t count_elements(const struct record *r) {
    switch (header.kind) {
    case STREAM_TOKENS:
        return r->first + r->predicted;
    case STREAM_LOGPROBS:
        return r->predicted;
    case STREAM_ASSIGNMENT:
        return header.topk;
    case STREAM_WEIGHTS:
        return header.per_position ? header.experts * r->predicted : header.experts;
    default:
        return header.experts;
    }
}

static void random_payload(struct record *r, uint64_t ordinal) {
    uint64_t seed = (uint64_t)number("seed"), model = (uint64_t)number("model") + 1000, base = ordinal << 24;
    uint64_t inf = (uint64_t)number("inf"), vocab = header.vocab_size ? header.vocab_size : 65536;
    bool tokens = header.kind == STREAM_TOKENS;
    uint64_t expert = tokens ? 0 : random_below(seed, model, base, (uint64_t)number("experts"));
    r->count = count_elements(r);
    make_room(r->count);
    for (uint32_t i = 0; i < r->count; i++) {
        if (tokens) {
            integers[i] = (uint32_t)random_below(seed, 999, base + i, vocab);
            continue;
        }
        integers[i] = (uint32_t)((expert + i) % (uint64_t)number("experts"));
        floats[i] = inf && (base + i) % inf == 0 ? -INFINITY : -(float)exp(random_normal(seed, model, base + i));
    }
}

static void random_records(void) {
    uint64_t n = (uint64_t)number("n"), tasks = (uint64_t)number("tasks");
    for (uint64_t i = 0; i < n; i++) {
        uint32_t length = (uint32_t)number("length"), first = (uint32_t)number("first");
        if (number("ragged"))
            length = 1 + (uint32_t)random_number("length", i, length);
        struct record r = {.id = (uint64_t)number("start") + i, .first = first < length ? first : length};
        r.predicted = length - r.first;
        r.bytes = r.predicted + (uint32_t)random_number("bytes", i, 3 * (uint64_t)r.predicted + 1);
        if (tasks) {
            r.group = (uint32_t)(i / tasks);
            r.choice = (uint16_t)(i % tasks);
            r.gold = random_number("gold", r.group, tasks) == r.choice;
            r.norm_length = 1 + (uint32_t)random_number("norm", i, 40);
        }
        char *domain =
            string_format("d%llu", (unsigned long long)random_number("domain", i, (uint64_t)number("domains")));
        random_payload(&r, i);
        write_record(&r, domain, i);
        free(domain);
    }
}

// ---- from JSON ----

static float real_of(const json_t *value) {
    const char *name = json_string_value(value);
    if (name && strcmp(name, "-inf") == 0)
        return -INFINITY;
    if (name && strcmp(name, "inf") == 0)
        return INFINITY;
    if (name && strcmp(name, "nan") == 0)
        return NAN;
    if (!json_is_number(value))
        fail("from=json: a number, \"-inf\", \"inf\" or \"nan\" is wanted");
    return (float)json_number_value(value);
}

// Elements of an array (of arrays, of arrays), or a single number, from element *n on.
static void take(const json_t *value, uint32_t *n) {
    if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value); i++)
            take(json_array_get(value, i), n);
        return;
    }
    make_room(*n + 1024 - *n % 1024);
    integers[*n] = json_is_integer(value) ? (uint32_t)json_integer_value(value) : 0;
    floats[*n] = real_of(value);
    ++*n;
}

static uint64_t column(const json_t *line, const char *key, uint64_t otherwise) {
    int64_t value = (int64_t)otherwise;
    check(json_get_integer(line, key, false, 0, INT64_MAX, &value));
    return (uint64_t)value;
}

static void write_line(const json_t *line, uint64_t ordinal) {
    static const char *const keys[] = {"tokens", "scores", "logprobs", "weights", "expert"};
    bool several = header.kind == STREAM_ASSIGNMENT && header.topk > 1;
    const char *domain = "text";
    const json_t *elements = json_object_get(line, several ? "experts" : keys[header.kind]);
    struct record r = {.id = column(line, "id", ordinal), .first = (uint32_t)column(line, "first", 1)};
    if (!elements)
        fail("from=json: a line lacks its payload");
    if (several) { // weights first: the experts' integers then overwrite nothing that is needed
        uint32_t n = 0;
        take(json_object_get(line, "weights"), &n);
        float *weights = memory_new(n, sizeof *weights);
        memcpy(weights, floats, n * sizeof *weights);
        take(elements, &r.count);
        memcpy(floats, weights, (n < r.count ? n : r.count) * sizeof *weights);
        free(weights);
    } else {
        take(elements, &r.count);
    }
    uint64_t predicted = (uint64_t)number("length") - r.first;
    if (header.kind == STREAM_TOKENS)
        predicted = r.count - r.first;
    if (header.kind == STREAM_LOGPROBS)
        predicted = r.count;
    r.predicted = (uint32_t)column(line, "predicted", predicted);
    r.bytes = (uint32_t)column(line, "bytes", r.predicted);
    r.group = (uint32_t)column(line, "group", 0);
    r.choice = (uint16_t)column(line, "choice", 0);
    r.gold = (uint8_t)column(line, "gold", 0);
    r.norm_length = (uint32_t)column(line, "norm_length", 0);
    check(json_get_string(line, "domain", false, &domain));
    make_room(1);
    write_record(&r, domain, ordinal);
}

static void json_records(void) {
    char *line = NULL;
    size_t size = 0;
    ssize_t got;
    for (uint64_t ordinal = 0; (got = getline(&line, &size, stdin)) > 0; ordinal++) {
        json_t *value;
        check(json_parse(&value, line, (size_t)got));
        write_line(value, ordinal);
        json_decref(value);
    }
    free(line);
}

int main(int argc, char **argv) {
    if (argc < 2)
        fail("usage: mkstream KIND [key=value]...");
    for (int i = 2; i < argc; i++) {
        char *equals = strchr(argv[i], '=');
        int s = 0;
        size_t size = equals ? (size_t)(equals - argv[i]) : 0;
        while (s < SETTINGS && (strlen(settings[s].key) != size || strncmp(argv[i], settings[s].key, size) != 0))
            s++;
        if (!equals || s == SETTINGS)
            fail(string_format("%s: unknown setting", argv[i]));
        settings[s].value = equals + 1;
    }
    set_header(argv[1]);
    check(stream_create(&writer, *text("o") ? text("o") : NULL, &header, (int)number("level")));
    if (number("frame"))
        stream_writer_target(writer, (uint32_t)number("frame"));
    if (number("nan") >= 0)
        stream_writer_trust(writer);
    struct digest corpus = digest_of_text("corpus", *text("corpus") ? text("corpus") : text("seed"));
    stream_set_corpus(writer, &corpus);
    make_room(1);
    if (strcmp(text("from"), "json") == 0)
        json_records();
    else
        random_records();
    check(stream_commit(writer, NULL));
    free(integers);
    free(floats);
    free(payload);
    free(header.models);
    for (uint32_t i = 0; header.names && i < header.model_count; i++)
        free(header.names[i]);
    free(header.names);
    return 0;
}
