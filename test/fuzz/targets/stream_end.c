// The content of an end frame behind 8 bytes: where it says that it stands. What is accepted is written back as
// the same bytes. The first bytes are tried as a frame header and as a trailer, too.
#include "../support.h"

#include "stream/format.h"

enum { PLACE = 8, FIRST_FRAME = 64 };

static void use_sums(struct end *e, uint64_t end_offset) {
    if (end_sum(e, FIRST_FRAME, end_offset) != OK)
        return;
    REQUIRE(e->offsets[e->frames] == end_offset);
    REQUIRE(e->firsts[e->frames] == e->totals.sequences);
    REQUIRE(e->domains_before[e->frames] == e->domains.count);
}

static void use(struct end *e, const uint8_t *raw, size_t size, uint64_t place) {
    struct buffer bytes = {0};
    REQUIRE(end_encode(&bytes, e) == OK);
    REQUIRE(bytes.size == size && memcmp(bytes.data, raw, size) == 0);
    buffer_release(&bytes);
    uint64_t sum = FIRST_FRAME;
    for (uint64_t f = 0; f < e->frames; f++) {
        struct index_entry entry;
        end_entry(e, f, &entry);
        sum += entry.length;
    }
    use_sums(e, place & 1 ? place : sum);
}

static void try_frame_header(const uint8_t *data) {
    struct frame_header f;
    uint8_t bytes[FRAME_HEADER_SIZE];
    if (frame_header_decode(&f, data) != OK)
        return;
    frame_header_encode(bytes, &f);
    REQUIRE(memcmp(bytes, data, sizeof bytes) == 0);
    REQUIRE(frame_length(&f) <= (uint64_t)END_LIMIT + FRAME_HEADER_SIZE + 8 + HASH_SIZE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct end e;
    if (size < PLACE)
        return 0;
    fuzz_json(); // domain names are judged by it
    uint8_t *raw = fuzz_copy(data + PLACE, size - PLACE);
    if (size - PLACE >= TRAILER_SIZE) {
        uint64_t offset, total;
        try_frame_header(raw);
        (void)trailer_decode(raw, &offset, &total);
    }
    if (end_decode(&e, raw, size - PLACE) == OK) {
        use(&e, raw, size - PLACE, load_le(data, PLACE));
        end_release(&e);
    }
    free(raw);
    return 0;
}
