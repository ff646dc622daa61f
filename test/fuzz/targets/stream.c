// A whole stream, read as a file through its index and front to back as a pipe: both accept it or both refuse it,
// and they read the same records, which print. What is accepted can be written again. With FUZZ_ACCEPT in the
// environment nothing else is an input: it shows that the hashes are passed in the build without them. Threads
// read ahead for one input in 25, since they cost more than all else; with FUZZ_THREADS=1 for every one, with 0
// for none.
#include "../support.h"

#include "base/background.h"
#include "stream/writer.h"
#include "view/print.h"

struct reading {
    int code;
    uint64_t sequences, sum; // of every record's columns and payload
    bool print;
    struct buffer text; // every record as view prints it, TSV and JSON
};

static int print(struct reading *r, struct stream *s, const struct record *record) {
    int code = view_print_record(&r->text, s, record, &(struct view_style){.columns = true});
    return code == OK ? view_print_record(&r->text, s, record, &(struct view_style){.json = true}) : code;
}

static int read_records(struct reading *r, struct stream *s) {
    struct record record = {0};
    bool got = true;
    int code = OK;
    while (code == OK && got) {
        code = stream_next(s, &record, &got);
        if (code == OK && got) {
            r->sequences++;
            r->sum = fuzz_sum(r->sum, &record, offsetof(struct record, payload));
            r->sum = fuzz_sum(r->sum, record.payload, record_payload_size(stream_header(s), &record));
            REQUIRE(!r->print || print(r, s, &record) == OK);
        }
    }
    return code == OK ? stream_finish(s) : code;
}

static void describe(struct stream *s) {
    char *text = stream_describe(s);
    REQUIRE(text);
    free(text);
}

static void read_stream(struct reading *r) {
    struct stream *s;
    r->code = stream_open(&s, NULL, STREAM_ANY);
    if (r->code == OK)
        r->code = read_records(r, s);
    if (r->code == OK) {
        REQUIRE(r->sequences == stream_count(s));
        describe(s);
    }
    stream_close(s);
}

// Sequences in any order, with a cache that holds next to nothing, and a selection.
static void read_anywhere(uint64_t sequences) {
    struct stream *s;
    struct record record;
    bool got;
    REQUIRE(stream_open(&s, NULL, STREAM_ANY) == OK);
    stream_cache(s, 1);
    for (uint64_t i = 0; i < sequences && i < 8; i++)
        REQUIRE(stream_read(s, i * 5 % sequences, &record) == OK);
    REQUIRE(stream_read(s, sequences, &record) == ERROR_INPUT);
    REQUIRE(stream_select(s, sequences / 2, UINT64_MAX) == OK);
    REQUIRE(stream_next(s, &record, &got) == OK && got == (sequences > 0));
    stream_close(s);
}

static int write_records(struct stream_writer *w, struct stream *s) {
    struct record record;
    bool got = true;
    int code = OK;
    while (code == OK && got) {
        code = stream_next(s, &record, &got);
        if (code == OK && got)
            code = stream_write_from(w, s, &record);
    }
    return code;
}

static void write_again(const struct reading *before) {
    struct stream *s;
    struct stream_writer *w;
    struct reading after = {.print = true};
    REQUIRE(stream_open(&s, NULL, STREAM_ANY) == OK);
    fuzz_output();
    REQUIRE(stream_create(&w, NULL, stream_header(s), 0) == OK);
    REQUIRE(write_records(w, s) == OK);
    REQUIRE(stream_add_parent(w, s) == OK);
    struct digest content, old = stream_content(s);
    REQUIRE(stream_commit(w, &content) == OK);
    REQUIRE(digest_equal(&content, &old));
    stream_close(s);
    fuzz_output_as_input();
    read_stream(&after);
    REQUIRE(after.code == OK && after.sum == before->sum && after.text.size == before->text.size);
    REQUIRE(after.text.size == 0 || memcmp(after.text.data, before->text.data, after.text.size) == 0);
    buffer_release(&after.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    bool more = fuzz_one_in(8, data, size); // what costs much
    const char *threads = getenv("FUZZ_THREADS");
    struct reading file = {.print = more}, pipe = {.print = more};
    background_allow(threads ? *threads == '1' : fuzz_one_in(25, data, size));
    fuzz_json();
    fuzz_file(data, size);
    read_stream(&file);
    fuzz_pipe(data, size);
    read_stream(&pipe);
    // A pipe's frames are held against the index by a hash alone.
    bool unhashed = XXH3_64bits("", 1) == 0;
    REQUIRE((file.code == OK) == (pipe.code == OK) || (unhashed && pipe.code == OK));
    REQUIRE(file.code == OK || !getenv("FUZZ_ACCEPT"));
    if (file.code == OK) {
        REQUIRE(file.sequences == pipe.sequences && file.sum == pipe.sum && file.text.size == pipe.text.size);
        REQUIRE(file.text.size == 0 || memcmp(file.text.data, pipe.text.data, file.text.size) == 0);
        fuzz_file(data, size);
        if (more)
            read_anywhere(file.sequences);
        if (more)
            write_again(&file);
    }
    buffer_release(&file.text);
    buffer_release(&pipe.text);
    return 0;
}
