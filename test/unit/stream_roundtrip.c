// What was written is what is read: every kind, stored and compressed, from a file in any order and from a pipe;
// the content digest depends on the content alone; illegal records are refused when they are written.
#include "stream_sample.h"

#include <errno.h>
#include <math.h>
#include <sys/wait.h>

enum { MANY = 500 };

static bool same_record(const struct stream_header *h, const struct record *a, const struct record *b) {
    return a->id == b->id && a->predicted == b->predicted && a->bytes == b->bytes && a->first == b->first &&
           a->group == b->group && a->choice == b->choice && a->gold == b->gold &&
           a->norm_length == b->norm_length && a->count == b->count &&
           memcmp(a->payload, b->payload, record_payload_size(h, a)) == 0;
}

static void expect_record(const struct stream *s, const struct record *r, uint32_t i) {
    const struct stream_header *h = stream_header(s);
    struct record expected = sample_record(h, i);
    CHECK(same_record(h, r, &expected));
    CHECK_EQUAL_STRING(stream_domain(s, r->domain), sample_domain(i));
}

static void read_in_order(struct stream *s, uint32_t begin, uint32_t end) {
    struct record r;
    bool got;
    for (uint32_t i = begin; i < end; i++) {
        CHECK_OK(stream_next(s, &r, &got));
        CHECK(got);
        if (got)
            expect_record(s, &r, i);
    }
    CHECK_OK(stream_next(s, &r, &got));
    CHECK(!got);
    CHECK_OK(stream_next(s, &r, &got));
    CHECK(!got);
    CHECK_OK(stream_finish(s));
    CHECK_EQUAL_INT(stream_count(s), MANY);
}

static void read_at_random(const char *path, uint64_t cache) {
    struct stream *s;
    struct record r;
    CHECK_OK(stream_open(&s, path, STREAM_ANY));
    CHECK(stream_seekable(s));
    CHECK_EQUAL_INT(stream_count(s), MANY);
    CHECK_EQUAL_INT(stream_domains(s), 3);
    stream_cache(s, cache);
    for (uint32_t i = 0; i < 3 * MANY; i++) {
        uint32_t n = i * 7919 % MANY;
        CHECK_OK(stream_read(s, n, &r));
        expect_record(s, &r, n);
    }
    CHECK_ERROR(stream_read(s, MANY, &r), ERROR_INPUT);
    CHECK_MESSAGE("has 500 sequences, 500 is not one of them");
    CHECK_OK(stream_finish(s));
    stream_close(s);
}

static void read_selection(const char *path, uint32_t begin, uint32_t end) {
    struct stream *s;
    CHECK_OK(stream_open(&s, path, STREAM_ANY));
    CHECK_OK(stream_select(s, begin, end));
    read_in_order(s, begin, end);
    CHECK_OK(stream_check_selection(s));
    stream_close(s);
}

// A pipe larger than its buffer needs a writing process.
static pid_t feed(const struct buffer *b) {
    int ends[2];
    if (pipe(ends) != 0)
        abort();
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        for (size_t at = 0; at < b->size;) {
            ssize_t n = write(ends[1], b->data + at, b->size - at > 3001 ? 3001 : b->size - at);
            if (n < 0 && errno != EINTR)
                _exit(1);
            at += n > 0 ? (size_t)n : 0;
        }
        _exit(0);
    }
    dup2(ends[0], 0);
    close(ends[0]);
    close(ends[1]);
    return child;
}

static void round_trip(int sample, int level, struct digest *digest) {
    struct stream_header h = sample_header(sample);
    struct buffer b = sample_stream(&h, MANY, level, 2000);
    struct stream *s;
    char path[32];
    int status, fd = memory_file(b.data, b.size, path);
    CHECK_OK(stream_open(&s, path, 1u << h.kind));
    read_in_order(s, 0, MANY);
    *digest = stream_content(s);
    stream_close(s);
    read_at_random(path, 64 << 20);
    read_at_random(path, 1); // one frame at a time
    read_selection(path, 0, MANY);
    read_selection(path, 123, 124);
    read_selection(path, 77, 401);
    read_selection(path, MANY, MANY);
    for (int part = 0; part < 2; part++) {
        pid_t child = feed(&b);
        CHECK_OK(stream_open(&s, NULL, STREAM_ANY));
        CHECK(!stream_seekable(s));
        if (part)
            CHECK_OK(stream_select(s, 123, 130));
        read_in_order(s, part ? 123 : 0, part ? 130 : MANY);
        struct digest piped = stream_content(s);
        CHECK(digest_equal(&piped, digest));
        stream_close(s);
        waitpid(child, &status, 0);
        CHECK_EQUAL_INT(status, 0);
    }
    close(fd);
    buffer_release(&b);
}

// docs/formats.md, content digest, put together by hand for a stream of one score record.
static void digest_is_as_documented(void) {
    static const char json[] = "{\"dtype\":\"f32\",\"experts\":1,\"kind\":\"scores\",\"rule\":\"x\"}";
    struct stream_header h = {.kind = STREAM_SCORES, .dtype = STREAM_F32, .experts = 1, .rule = "x"};
    struct stream_writer *w;
    struct digest got, expected;
    char path[] = "/tmp/stream-digest.XXXXXX";
    close(mkstemp(path));
    uint8_t score[4] = {0, 0, 0x80, 0xbf}; // -1
    struct record r = {.id = 0x0102030405060708,
                       .predicted = 5,
                       .bytes = 6,
                       .first = 7,
                       .group = 8,
                       .choice = 9,
                       .gold = 1,
                       .norm_length = 10,
                       .count = 1,
                       .payload = score};
    CHECK_OK(stream_create(&w, path, &h, 0));
    CHECK_OK(stream_add_domain(w, "unused", &r.domain));
    CHECK_OK(stream_add_domain(w, "ab", &r.domain));
    CHECK_OK(stream_write(w, &r));
    CHECK_OK(stream_commit(w, &got));
    static const uint8_t rest[] = {8,    7, 6, 5,   4,   3, 2, 1, 0, 0, 5, 0,  0, 0, 6, 0, 0, 0,
                                   7,    0, 0, 0,   8,   0, 0, 0, 9, 0, 1, 10, 0, 0, 0, 0, 0, 0x80,
                                   0xbf, 2, 0, 'a', 'b', 1, 0, 0, 0, 1, 0, 0,  0, 0, 0, 0, 0};
    uint8_t whole[sizeof json - 1 + sizeof rest];
    memcpy(whole, json, sizeof json - 1);
    memcpy(whole + sizeof json - 1, rest, sizeof rest);
    expected = digest_of(whole, sizeof whole);
    CHECK(digest_equal(&got, &expected));
    unlink(path);
}

static void half_floats(void) {
    struct stream_header h = {.kind = STREAM_SCORES, .dtype = STREAM_F16, .experts = 1};
    for (uint32_t bits = 0; bits < 65536; bits++) {
        uint8_t half[4] = {(uint8_t)bits, (uint8_t)(bits >> 8)}, again[4] = {0};
        struct record r = {.count = 1, .payload = half};
        uint32_t exponent = bits >> 10 & 31, mantissa = bits & 1023;
        double expected = exponent == 31
                              ? (mantissa ? NAN : INFINITY)
                              : ldexp(exponent ? 1024 + mantissa : mantissa, (int)(exponent ? exponent : 1) - 25);
        float value;
        record_floats(&h, &r, 0, 1, &value);
        if (bits & 0x8000)
            expected = -expected;
        CHECK(isnan(expected) ? isnan(value) : (double)value == expected && !signbit(value) == !(bits & 0x8000));
        payload_floats(&h, &value, 1, again);
        CHECK(isnan(value) || memcmp(half, again, 2) == 0);
    }
    // Ties to even, beyond the range, below it.
    static const struct {
        float value;
        uint16_t half;
    } cases[] = {{1.00048828125f, 0x3c00}, {1.00146484375f, 0x3c02}, {-1.0004884f, 0xbc01}, {70000, 0x7bff},
                 {-70000, 0xfbff},         {-1e-8f, 0x8000},         {2.9802322e-8f, 0},    {2.9802326e-8f, 1},
                 {-6.1e-5f, 0x83ff},       {6.1035156e-5f, 0x0400}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t half[4];
        payload_floats(&h, &cases[i].value, 1, half);
        CHECK_EQUAL_INT(load_le(half, 2), cases[i].half);
    }
}

// ---- writing ----

static struct stream_writer *create(const struct stream_header *h) {
    struct stream_writer *w;
    CHECK_OK(stream_create(&w, "/dev/null", h, 1));
    return w;
}

static void refuse_record(const struct stream_header *h, struct record *r, int code, const char *text) {
    struct stream_writer *w = create(h);
    CHECK_OK(stream_add_domain(w, "d", &r->domain));
    CHECK_ERROR(stream_write(w, r), code);
    CHECK_MESSAGE(text);
    stream_abort(w);
}

static void refuse_records(void) {
    static const float bad[] = {-1, NAN}, infinite[] = {INFINITY, -1}, legal[] = {-INFINITY, -INFINITY};
    static const uint16_t tokens[] = {1, 300};
    struct stream_header scores = {.kind = STREAM_SCORES, .dtype = STREAM_F32, .experts = 2};
    struct stream_header words = {.kind = STREAM_TOKENS, .dtype = STREAM_U16, .vocab_size = 300, .length = 2};
    struct record r = {.first = 1, .predicted = 1, .count = 2, .payload = bad};
    refuse_record(&scores, &r, ERROR_NUMERIC, "/dev/null: sequence 0: element 1 of the payload is NaN");
    r.payload = infinite;
    refuse_record(&scores, &r, ERROR_NUMERIC, "element 0 of the payload is +inf");
    r.payload = tokens;
    refuse_record(&words, &r, ERROR_INPUT, "token 300 is not in the vocabulary of 300");
    r.predicted = 2;
    r.count = 3;
    refuse_record(&words, &r, ERROR_INPUT, "3 tokens, at most 2 are announced");
    r.count = 2;
    refuse_record(&words, &r, ERROR_INPUT, "2 elements, 3 are due");
    r = (struct record){.first = 0, .predicted = 2, .count = 2, .payload = legal};
    refuse_record(&scores, &r, ERROR_INPUT, "first scored position is 0");
    struct stream_writer *w = create(&scores);
    CHECK_OK(stream_add_domain(w, "d", &r.domain));
    r.first = 1;
    CHECK_OK(stream_write(w, &r));
    r.domain = 1;
    CHECK_ERROR(stream_write(w, &r), ERROR_INPUT);
    CHECK_OK(stream_commit(w, NULL));
}

static void domain_table(void) {
    struct stream_header h = {.kind = STREAM_SCORES, .dtype = STREAM_F32, .experts = 1};
    static const float score = -1;
    struct stream *s;
    char path[] = "/tmp/stream-domains.XXXXXX", name[32];
    uint16_t index;
    close(mkstemp(path));
    struct stream_writer *w;
    CHECK_OK(stream_create(&w, path, &h, 1));
    stream_writer_target(w, 5000); // the table grows over many frames
    for (uint32_t i = 0; i < 65536; i++) {
        struct record r = {.id = i, .first = 1, .count = 1, .payload = &score};
        snprintf(name, sizeof name, "domain %u", i);
        if (stream_add_domain(w, name, &r.domain) != OK || r.domain != i || stream_write(w, &r) != OK)
            CHECK(false);
    }
    CHECK_OK(stream_add_domain(w, "domain 65535", &index));
    CHECK_EQUAL_INT(index, 65535);
    CHECK_ERROR(stream_add_domain(w, "one more", &index), ERROR_INPUT);
    CHECK_MESSAGE("more than 65536 domains");
    CHECK_OK(stream_commit(w, NULL));
    CHECK_OK(stream_open(&s, path, STREAM_ANY));
    CHECK_EQUAL_INT(stream_domains(s), 65536);
    CHECK_EQUAL_STRING(stream_domain(s, 65535), "domain 65535");
    struct record r;
    bool got = true;
    for (uint32_t i = 0; i < 65536 && got; i++)
        if (stream_next(s, &r, &got) != OK || !got || r.domain != i)
            CHECK(false);
    CHECK_OK(stream_next(s, &r, &got));
    CHECK(!got);
    stream_close(s);
    unlink(path);
    w = create(&h);
    static const char *const bad[] = {"", "a\tb", "a\nb", "\x7f", "\xff", "a\xc3"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_ERROR(stream_add_domain(w, bad[i], &index), ERROR_INPUT);
    char *longest = malloc(STREAM_DOMAIN_LIMIT + 2);
    memset(longest, 'x', STREAM_DOMAIN_LIMIT + 1);
    longest[STREAM_DOMAIN_LIMIT + 1] = 0;
    CHECK_ERROR(stream_add_domain(w, longest, &index), ERROR_INPUT);
    longest[STREAM_DOMAIN_LIMIT] = 0;
    CHECK_OK(stream_add_domain(w, longest, &index));
    free(longest);
    stream_abort(w);
}

// A sequence far beyond the usual frame has one for itself.
static void long_sequence(void) {
    struct stream_header h = {.kind = STREAM_TOKENS, .dtype = STREAM_U32, .vocab_size = 1000000};
    uint32_t n = 3000000;
    uint32_t *tokens = malloc(4 * (size_t)n);
    char path[] = "/tmp/stream-long.XXXXXX";
    struct stream_writer *w;
    struct stream *s;
    struct record r = {.first = 1, .predicted = n - 1, .count = n, .payload = tokens};
    close(mkstemp(path));
    for (uint32_t i = 0; i < n; i++)
        tokens[i] = i % 999983;
    CHECK_OK(stream_create(&w, path, &h, 0));
    CHECK_OK(stream_add_domain(w, "d", &r.domain));
    for (r.id = 0; r.id < 3; r.id++)
        CHECK_OK(stream_write(w, &r));
    r.predicted = (16 << 20) - 1;
    r.count = 16 << 20;
    CHECK_ERROR(stream_write(w, &r), ERROR_INPUT);
    CHECK_MESSAGE("exceed a frame");
    CHECK_OK(stream_commit(w, NULL));
    CHECK_OK(stream_open(&s, path, STREAM_ANY));
    CHECK_OK(stream_read(s, 2, &r));
    CHECK_EQUAL_INT(r.id, 2);
    CHECK(r.count == n && memcmp(r.payload, tokens, 4 * (size_t)n) == 0);
    stream_close(s);
    unlink(path);
    free(tokens);
}

// ---- parents ----

static void parents_and_corpus(void) {
    struct stream_header h = sample_header(0);
    struct buffer b = sample_stream(&h, SAMPLE_RECORDS, 1, 200);
    char path[32], copy[] = "/tmp/stream-parent.XXXXXX";
    struct stream *s;
    struct stream_writer *w;
    struct record r;
    bool got = true;
    close(mkstemp(copy));
    pipe_to_standard_input(b.data, b.size);
    CHECK_OK(stream_open(&s, NULL, STREAM_ANY));
    CHECK_OK(stream_create(&w, copy, &h, 0));
    CHECK_OK(stream_next(s, &r, &got)); // one record; the rest is read for the digest
    CHECK_OK(stream_write_from(w, s, &r));
    CHECK_OK(stream_add_parent(w, s));
    struct digest parent = stream_content(s);
    stream_close(s);
    CHECK_OK(stream_commit(w, NULL));
    CHECK_OK(stream_open(&s, copy, STREAM_ANY));
    struct digest corpus = stream_corpus(s); // the parent starts a corpus: its content names it
    CHECK(digest_equal(&corpus, &parent));
    char text[33], *described = stream_describe(s), *expected;
    digest_format(&parent, text);
    expected = string_format("\"parents\":[\"%s\"]", text);
    CHECK(described && strstr(described, expected));
    free(described);
    free(expected);
    stream_close(s);

    // A parent that breaks off after the records that were wanted: no finished output.
    int fd = memory_file(b.data, b.size - 1, path);
    pipe_to_standard_input(b.data, b.size - 1);
    close(fd);
    unlink(copy);
    CHECK_OK(stream_open(&s, NULL, STREAM_ANY));
    CHECK_OK(stream_create(&w, copy, &h, 0));
    CHECK_OK(stream_next(s, &r, &got));
    CHECK_OK(stream_write_from(w, s, &r));
    CHECK_ERROR(stream_add_parent(w, s), ERROR_INPUT);
    CHECK_MESSAGE("trailer");
    stream_abort(w);
    stream_close(s);
    CHECK(access(copy, F_OK) != 0);
    buffer_release(&b);
}

int main(void) {
    for (int sample = 0; sample < SAMPLES; sample++) {
        struct digest stored, packed;
        round_trip(sample, 0, &stored);
        round_trip(sample, 3, &packed);
        CHECK(digest_equal(&stored, &packed));
    }
    digest_is_as_documented();
    half_floats();
    refuse_records();
    domain_table();
    long_sequence();
    parents_and_corpus();
    return check_report();
}
