// Every single-bit flip, every truncation, every swapped, repeated or dropped frame and bytes behind the end of
// a small sample of each kind, stored and compressed, as a file and through a pipe, is ERROR_INPUT with the place.
#include "base/background.h"
#include "stream_sample.h"

// `path` NULL: standard input, a pipe.
static void refused(const char *path, const char *what, size_t at) {
    uint64_t sequences;
    int code = read_all(path, &sequences);
    const char *message = error_message(), *name = path ? path : "standard input";
    bool placed = strncmp(message, name, strlen(name)) == 0 &&
                  (strstr(message, ": frame ") || strstr(message, ": header at byte 0: ")) &&
                  strstr(message, " at byte ");
    check_count++;
    if (code != ERROR_INPUT || !placed) {
        check_failures++;
        printf("%s %s at %zu: code %d, message '%s'\n", name, what, at, code, code == OK ? "" : message);
    }
}

// The damaged bytes, as a file and as a pipe.
static void refused_twice(const uint8_t *data, size_t size, const char *what, size_t at) {
    char path[32];
    int fd = memory_file(data, size, path);
    refused(path, what, at);
    close(fd);
    pipe_to_standard_input(data, size);
    refused(NULL, what, at);
}

static void flip_bits(const struct buffer *b) {
    char path[32];
    int fd = memory_file(b->data, b->size, path);
    for (size_t at = 0; at < b->size; at++) {
        for (int bit = 0; bit < 8; bit++) {
            b->data[at] ^= (uint8_t)(1 << bit);
            if (pwrite(fd, b->data + at, 1, (off_t)at) != 1)
                abort();
            refused(path, "flip", at);
            pipe_to_standard_input(b->data, b->size);
            refused(NULL, "flip", at);
            b->data[at] ^= (uint8_t)(1 << bit);
        }
        if (pwrite(fd, b->data + at, 1, (off_t)at) != 1)
            abort();
    }
    close(fd);
}

static void truncate_and_extend(const struct buffer *b) {
    for (size_t size = 0; size < b->size; size++)
        refused_twice(b->data, size, "truncation", size);
    uint8_t *longer = malloc(2 * b->size);
    for (size_t extra = 1; extra <= 64; extra++) {
        memcpy(longer, b->data, b->size);
        memset(longer + b->size, 0, extra);
        refused_twice(longer, b->size + extra, "zeros behind", extra);
    }
    memcpy(longer + b->size, b->data, b->size);
    refused_twice(longer, 2 * b->size, "a second stream behind", 0);
    free(longer);
}

// Where the frames start, and where the last one (the end frame) and the trailer do.
static int find_frames(const struct buffer *b, size_t *starts) {
    int count = 0;
    size_t at;
    struct frame_header h = {0};
    CHECK_OK(header_block_size(b->data, b->size, &at));
    while (!h.end) {
        CHECK_OK(frame_header_decode(&h, b->data + at));
        starts[count++] = at;
        at += frame_length(&h);
    }
    starts[count] = at;
    return count;
}

static void move_frames(const struct buffer *b) {
    size_t starts[64];
    int frames = find_frames(b, starts);
    uint8_t *moved = malloc(2 * b->size);
    CHECK(frames >= 4);
    for (int i = 0; i < frames; i++) {
        size_t from = starts[i], length = starts[i + 1] - from, rest = b->size - starts[i + 1];
        memcpy(moved, b->data, from);
        memcpy(moved + from, b->data + starts[i + 1], rest);
        refused_twice(moved, b->size - length, "dropped frame", (size_t)i);
        memcpy(moved, b->data, starts[i + 1]);
        memcpy(moved + starts[i + 1], b->data + from, length + rest);
        refused_twice(moved, b->size + length, "repeated frame", (size_t)i);
        for (int j = i + 1; j < frames; j++) {
            size_t other = starts[j + 1] - starts[j], between = starts[j] - starts[i + 1];
            memcpy(moved, b->data, b->size);
            memcpy(moved + from, b->data + starts[j], other);
            memcpy(moved + from + other, b->data + starts[i + 1], between);
            memcpy(moved + from + other + between, b->data + from, length);
            refused_twice(moved, b->size, "swapped frames", (size_t)(i * 100 + j));
        }
    }
    free(moved);
}

// A frame of another, equally framed stream in the place of this one's: right number, right hash.
static void transplant(int sample) {
    struct stream_header h = sample_header(sample);
    struct buffer a = sample_stream(&h, SAMPLE_RECORDS, 0, 200);
    h.vocab_size += h.kind == STREAM_TOKENS;
    struct buffer b = sample_stream(&h, SAMPLE_RECORDS + 1, 0, 200);
    size_t sa[64], sb[64];
    find_frames(&a, sa);
    int frames = find_frames(&b, sb);
    // Its last data frame differs; where the lengths agree only the index and the digest can tell.
    size_t length = sb[frames - 1] - sb[frames - 2];
    struct buffer mixed = {0};
    CHECK_OK(buffer_append(&mixed, a.data, sa[frames - 2]));
    CHECK_OK(buffer_append(&mixed, b.data + sb[frames - 2], length));
    CHECK_OK(buffer_append(&mixed, a.data + sa[frames - 1], a.size - sa[frames - 1]));
    refused_twice(mixed.data, mixed.size, "foreign frame", (size_t)sample);
    buffer_release(&a);
    buffer_release(&b);
    buffer_release(&mixed);
}

// Damage in one frame of a file: the others are still read, that one never.
static void read_around_damage(const struct buffer *b) {
    size_t starts[64];
    struct stream *s;
    struct record r;
    char path[32];
    int frames = find_frames(b, starts), fd = memory_file(b->data, b->size, path);
    for (int bad = 0; bad < frames - 1; bad++) {
        uint8_t flipped = b->data[starts[bad] + 40] ^ 16;
        if (pwrite(fd, &flipped, 1, (off_t)starts[bad] + 40) != 1)
            abort();
        struct frame_header h;
        CHECK_OK(frame_header_decode(&h, b->data + starts[bad]));
        uint64_t first = 0;
        for (int f = 0; f < frames - 1; f++) {
            CHECK_OK(frame_header_decode(&h, b->data + starts[f]));
            CHECK_OK(stream_open(&s, path, STREAM_ANY));
            CHECK_ERROR(stream_read(s, first, &r), f == bad ? ERROR_INPUT : OK);
            CHECK_ERROR(stream_finish(s), f == bad ? ERROR_INPUT : OK);
            stream_close(s);
            first += h.records;
        }
        if (pwrite(fd, b->data + starts[bad] + 40, 1, (off_t)starts[bad] + 40) != 1)
            abort();
    }
    close(fd);
}

int main(void) {
    // A hundred thousand streams of a few hundred bytes: starting threads for each would be all the time.
    // What threads make of damage is in stream_threads.c.
    background_allow(false);
    for (int sample = 0; sample < SAMPLES; sample++) {
        for (int level = 0; level <= 1; level++) {
            uint64_t sequences;
            struct stream_header h = sample_header(sample);
            struct buffer b = sample_stream(&h, SAMPLE_RECORDS, level, 200);
            pipe_to_standard_input(b.data, b.size);
            CHECK_OK(read_all(NULL, &sequences));
            CHECK_EQUAL_INT(sequences, SAMPLE_RECORDS);
            // All bits of each kind once; the second dimension's other half is in the moves.
            if (level == sample % 2)
                flip_bits(&b);
            truncate_and_extend(&b);
            move_frames(&b);
            read_around_damage(&b);
            buffer_release(&b);
        }
        transplant(sample);
    }
    return check_report();
}
