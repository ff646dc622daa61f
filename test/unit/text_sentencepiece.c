// SentencePiece models: the library's ids (golden), what is refused by name, and damaged files.
#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"
#include "check.h"
#include "text/sentencepiece.h"
#include "text/vocabulary_private.h"

#include <zlib.h>

static const char *const names[] = {"llama", "symbols", "unigram", "inner"};
enum { MODELS = sizeof names / sizeof *names, LONG = 60 };

static void read_golden(const char *folder, const char *name, const char *suffix, struct buffer *out) {
    const char *golden = getenv("TACIT_GOLDEN");
    char *path = string_format("%s/%s/%s%s", golden ? golden : "test/golden", folder, name, suffix);
    CHECK_OK(file_read(path, 1 << 24, out));
    free(path);
}

static int load(struct vocabulary **v, const uint8_t *data, size_t size) {
    int code = vocabulary_new(v);
    if (code == OK)
        code = sentencepiece_read(*v, data, size);
    return code == OK ? vocabulary_seal(*v) : code;
}

// ---- golden ids ----

// Append a line of ids for each of the documents, which are separated by NULs.
static void write_ids(struct encoder *e, const struct buffer *documents, struct buffer *lines) {
    struct buffer ids = {0};
    for (size_t at = 0; at <= documents->size;) {
        size_t size = strlen((const char *)documents->data + at); // file_read puts a 0 behind the last one
        buffer_clear(&ids);
        CHECK_OK(encoder_encode(e, documents->data + at, size, &ids));
        for (size_t i = 0; i < ids.size / 4; i++)
            CHECK_OK(buffer_append_format(lines, "%s%u", i > 0 ? " " : "", ((const uint32_t *)ids.data)[i]));
        CHECK_OK(buffer_append_string(lines, "\n"));
        at += size + 1;
    }
    buffer_release(&ids);
}

static void check_lines(const struct buffer *got, const char *name, const char *suffix) {
    struct buffer expected = {0};
    read_golden("sentencepiece", name, suffix, &expected);
    size_t same = 0, line = 1;
    while (same < got->size && same < expected.size && got->data[same] == expected.data[same])
        line += got->data[same++] == '\n';
    if (same < got->size || same < expected.size)
        printf("%s%s: line %zu differs\n", name, suffix, line);
    CHECK(got->size == expected.size && same == got->size);
    buffer_release(&expected);
}

static void check_documents(struct encoder *e, const char *name) {
    struct buffer text = {0}, lines = {0};
    read_golden("tokenizer", "documents", ".txt", &text);
    write_ids(e, &text, &lines);
    buffer_clear(&text);
    read_golden("sentencepiece", "documents", ".txt", &text);
    write_ids(e, &text, &lines);
    check_lines(&lines, name, ".ids");
    if (strcmp(name, "llama") != 0) {
        buffer_clear(&text);
        buffer_clear(&lines);
        read_golden("sentencepiece", "malformed", ".txt", &text);
        write_ids(e, &text, &lines);
        check_lines(&lines, name, ".malformed");
    }
    buffer_release(&text);
    buffer_release(&lines);
}

static void check_long_document(struct encoder *e, const char *name) {
    struct buffer once = {0}, text = {0}, ids = {0}, line = {0};
    read_golden("tokenizer", "train", ".txt", &once);
    for (size_t i = 0; i < once.size; i++)
        once.data[i] = once.data[i] ? once.data[i] : ' ';
    for (int i = 0; i < LONG; i++)
        CHECK_OK(buffer_append(&text, once.data, once.size));
    CHECK_OK(encoder_encode(e, text.data, text.size, &ids));
    unsigned long crc = crc32(0, ids.data, (unsigned)ids.size);
    CHECK_OK(buffer_append_format(&line, "%zu %08lx\n", ids.size / 4, crc));
    check_lines(&line, name, ".long");
    buffer_release(&once);
    buffer_release(&text);
    buffer_release(&ids);
    buffer_release(&line);
}

static void golden_ids(const char *name) {
    struct buffer file = {0};
    struct vocabulary *v;
    struct encoder *e;
    read_golden("sentencepiece", name, ".model", &file);
    CHECK_OK(load(&v, file.data, file.size));
    CHECK_EQUAL_STRING(vocabulary_special(v, vocabulary_end_of_text(v)), "</s>");
    CHECK_OK(encoder_new(&e, v));
    check_documents(e, name);
    check_long_document(e, name);
    encoder_free(e);
    vocabulary_free(v);
    buffer_release(&file);
}

// One word of a megabyte: only what costs about the same per byte everywhere comes to its end.
static void long_word(const char *name) {
    const size_t size = (size_t)1 << 20;
    struct buffer file = {0}, ids = {0};
    struct vocabulary *v;
    struct encoder *e;
    uint8_t *text = malloc(size);
    for (size_t i = 0; text && i < size; i++)
        text[i] = (uint8_t) "theandriver"[random_below(2, 0, i, 11)];
    read_golden("sentencepiece", name, ".model", &file);
    CHECK_OK(load(&v, file.data, file.size));
    CHECK_OK(encoder_new(&e, v));
    CHECK(text && encoder_encode(e, text, size, &ids) == OK && ids.size > 0);
    encoder_free(e);
    vocabulary_free(v);
    free(text);
    buffer_release(&file);
    buffer_release(&ids);
}

// ---- what is refused ----

static void put_number(struct buffer *b, uint64_t n) {
    for (; n > 127; n >>= 7)
        CHECK_OK(buffer_append(b, &(uint8_t){(uint8_t)(n | 128)}, 1));
    CHECK_OK(buffer_append(b, &(uint8_t){(uint8_t)n}, 1));
}
static void put_flag(struct buffer *b, uint32_t field, uint64_t value) {
    put_number(b, field << 3);
    put_number(b, value);
}
static void put_bytes(struct buffer *b, uint32_t field, const void *data, size_t size) {
    put_number(b, field << 3 | 2);
    put_number(b, size);
    CHECK_OK(buffer_append(b, data, size));
}
static void put_piece_of(struct buffer *b, const char *text, size_t size, float score, int type) {
    struct buffer piece = {0};
    put_bytes(&piece, 1, text, size);
    put_number(&piece, 2 << 3 | 5);
    CHECK_OK(buffer_append(&piece, &score, 4));
    put_flag(&piece, 3, (uint64_t)type);
    put_bytes(b, 1, piece.data, piece.size);
    buffer_release(&piece);
}
static void put_piece(struct buffer *b, const char *text, float score, int type) {
    put_piece_of(b, text, strlen(text), score, type);
}
// A spec (2: trainer, 3: normalizer, 5: denormalizer) of one field.
static void put_flag_in(struct buffer *b, uint32_t spec, uint32_t field, uint64_t value) {
    struct buffer inside = {0};
    put_flag(&inside, field, value);
    put_bytes(b, spec, inside.data, inside.size);
    buffer_release(&inside);
}
static void put_map_in(struct buffer *b, uint32_t spec, const void *map, size_t size) {
    struct buffer inside = {0};
    put_bytes(&inside, 2, map, size);
    put_bytes(b, spec, inside.data, inside.size);
    buffer_release(&inside);
}

static struct buffer start(void) { // <unk> a b ab, and the specs' defaults
    struct buffer b = {0};
    put_bytes(&b, 2, "", 0);
    put_bytes(&b, 3, "", 0);
    put_piece(&b, "<unk>", 0, 2);
    put_piece(&b, "a", -1, 1);
    put_piece(&b, "b", -2, 1);
    put_piece(&b, "ab", -3, 1);
    return b;
}

static void check_refused(struct buffer *b, const char *message) {
    struct vocabulary *v;
    CHECK_ERROR(load(&v, b->data, b->size), ERROR_INPUT);
    if (!strstr(error_message(), message))
        printf("\"%s\" lacks \"%s\"\n", error_message(), message);
    CHECK(strstr(error_message(), message));
    vocabulary_free(v);
    buffer_release(b);
}

static void refused_models(void) {
    struct buffer b = start();
    struct vocabulary *v;
    CHECK_OK(load(&v, b.data, b.size));
    CHECK(v->scheme.model == MODEL_UNIGRAM);
    vocabulary_free(v);
    put_flag_in(&b, 2, 3, 3);
    check_refused(&b, "byte 59: trainer_spec.model_type: WORD is not implemented");
    b = start();
    put_flag_in(&b, 2, 3, 4);
    check_refused(&b, "trainer_spec.model_type: CHAR is not implemented");
    b = start();
    put_flag_in(&b, 2, 3, 9);
    check_refused(&b, "trainer_spec.model_type: of an unknown kind is not implemented");
    b = start();
    put_flag_in(&b, 2, 24, 1);
    check_refused(&b, "trainer_spec.treat_whitespace_as_suffix: true is not implemented");
    b = start();
    put_flag_in(&b, 2, 35, 1);
    check_refused(&b, "byte 0x00 has no token");
    b = start();
    put_map_in(&b, 5, "x", 1);
    check_refused(&b, "denormalizer_spec.precompiled_charsmap is not implemented");
    b = start();
    put_flag_in(&b, 3, 2, 1);
    check_refused(&b, "normalizer_spec.precompiled_charsmap: wire type 0, should be 2");
    b = (struct buffer){0};
    put_flag_in(&b, 2, 35, 1);
    check_refused(&b, "byte 5: the end, and no pieces");
    put_piece(&b, "a", 0, 1);
    check_refused(&b, "byte 12: the end, and no trainer_spec");
    put_piece(&b, "a", 0, 1);
    put_flag_in(&b, 2, 35, 0);
    check_refused(&b, "byte 17: the end, and no normalizer_spec");
    put_piece(&b, "a", 0, 1);
    put_flag_in(&b, 2, 35, 0);
    put_flag_in(&b, 3, 3, 1);
    check_refused(&b, "none is of type UNKNOWN");
}

static void refused_pieces(void) {
    static const struct {
        const char *text;
        size_t size;
        float score;
        int type;
        const char *message;
    } cases[] = {
        {"c", 1, 0, 7, "pieces.type: 7 is not implemented"},
        {"c", 1, 0, 0, "pieces.type: 0 is not implemented"},
        {"", 0, 0, 1, "pieces[4] is empty"},
        {"\xff", 1, 0, 1, "pieces[4] is not UTF-8"},
        {"a\0", 2, 0, 1, "pieces[4] holds a NUL"},
        {"\0", 1, 0, 1, "pieces[4] holds a NUL"},
        {"c", 1, NAN, 1, "pieces[4] has a score that is not finite"},
        {"c", 1, 0, 2, "pieces[4] is of type UNKNOWN, as pieces[0]"},
        {"<0x41>", 6, 0, 6, "pieces[4] is of type BYTE, and trainer_spec.byte_fallback is false"},
        {"<0x4a>", 6, 0, 6, "pieces[4] is of type BYTE, and not named <0x00> .. <0xFF>"},
        {"ab", 2, 0, 1, "tokens 3 and 4 are the same"},
        {"ab", 2, 0, 3, "tokens 3 and 4 are both \"ab\""},
        {"<unk>", 5, 0, 3, "tokens 0 and 4 are both \"<unk>\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buffer b = start();
        put_piece_of(&b, cases[i].text, cases[i].size, cases[i].score, cases[i].type);
        check_refused(&b, cases[i].message);
    }
    struct buffer b = start();
    put_piece(&b, "<0x41>", 0, 1);
    put_flag_in(&b, 2, 35, 1);
    check_refused(&b, "pieces[4] is named like a byte and not of type BYTE");
    char *text = calloc(1, 8001);
    b = start();
    put_piece(&b, memset(text, 'a', 8000), 0, 1);
    check_refused(&b, "pieces[4] is longer than 7999 bytes");
    free(text);
}

// A symbol of thousands of bytes of which every place of every piece has nearly all.
static void refused_symbols(void) {
    enum { LONGEST = 7999, PIECES = 40 };
    char *text = calloc(1, LONGEST + 1);
    for (int count = 0; count <= PIECES; count += PIECES) {
        struct vocabulary *v = NULL;
        struct buffer b = start();
        memset(text, 'a', LONGEST);
        text[LONGEST - 1] = 'b';
        put_piece(&b, text, 0, 4);
        text[LONGEST - 1] = 0;
        for (int i = 0; i < count; i++)
            put_piece(&b, text + i, -4, 1);
        put_flag_in(&b, 2, 3, 2);
        if (count > 0) {
            check_refused(&b, "and those before it hold too much of user-defined symbols");
            continue;
        }
        CHECK_OK(load(&v, b.data, b.size));
        vocabulary_free(v);
        buffer_release(&b);
    }
    free(text);
}

static void refused_wires(void) {
    static const struct {
        const char *bytes;
        size_t size;
        const char *message;
    } cases[] = {
        {"\x0a", 1, "byte 58: model: cut off within a number"},
        {"\x0a\x05zz", 4, "byte 57: model: field 1 of 5 bytes, and 2 are left"},
        {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11, "byte 58: model: a number of more than 64 bits"},
        {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, "field 1 of 18446744073709551615 bytes"},
        {"\x0b", 1, "byte 57: model: field 1 of wire type 3 is not implemented"},
        {"\x02", 1, "byte 57: model: no field has number 0"},
        {"\x08\x01", 2, "byte 57: model: wire type 0, should be 2"},
        {"\x0a\x02\x15z", 4, "byte 60: pieces: cut off within a number"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buffer b = start();
        CHECK_OK(buffer_append(&b, cases[i].bytes, cases[i].size));
        check_refused(&b, cases[i].message);
    }
}

// A character map of `count` units, all of them `fill` but for those given as pairs (index, unit).
static struct buffer make_map(uint32_t count, uint32_t fill, const uint32_t *pairs, int pairs_count,
                              const char *text, size_t size) {
    struct buffer map = {0};
    uint32_t *units = malloc(count * sizeof *units);
    for (uint32_t i = 0; i < count; i++)
        units[i] = fill;
    for (int i = 0; i < pairs_count; i++)
        units[pairs[2 * i]] = pairs[2 * i + 1];
    uint32_t bytes = count * 4;
    CHECK_OK(buffer_append(&map, &bytes, 4));
    CHECK_OK(buffer_append(&map, units, bytes));
    CHECK_OK(buffer_append(&map, text, size));
    free(units);
    return map;
}

static void refused_maps(void) {
    // Units: the way to the children at bits 10-31, bit 8 for a value among them, the byte below; bit 31 for a
    // value.
    enum { WAY = 1 << 10, HAS = 1 << 8 };
    static const uint32_t value = 1u << 31;
    // The root's children are at 256 + byte, those of `a` at 512 + byte, or its own place: a circle.
    enum { A = 256 + 'a', ROOT = 256 * WAY, LEAF = HAS | 'a' | (512 ^ A) * WAY, CIRCLE = 'a' | (256 ^ A) * WAY };
    const struct {
        uint32_t pairs[6], count;
        const char *text;
        size_t size;
        const char *message;
    } cases[] = {
        {{0, ROOT, A, LEAF, 512, value}, 768, "x", 2, NULL},
        {{0, 768 * WAY, A, LEAF, 512, value},
         768,
         "x",
         2,
         "charsmap: byte 4: its children are at unit 768 of 768"},
        {{0, ROOT, A, LEAF, 512, value | 2}, 768, "x", 2, "replacement 2 of 2 bytes"},
        {{0, ROOT, A, LEAF, 512, 7}, 768, "x", 2, "no value where one should be"},
        {{0, ROOT, A, CIRCLE, 512, value}, 768, "x", 2, "a rule for more than 255 bytes is not implemented"},
        {{0, ROOT, A, LEAF, 512, value}, 768, "\xff", 2, "1 bytes, not UTF-8, is not implemented"},
        {{0, ROOT, A, LEAF, 512, value}, 768, "xy", 2, "byte 3077: no NUL behind the last replacement"},
        {{0, ROOT, A, LEAF, 512, value}, 767, "x", 2, "3074 bytes, 3068 of them for its trie"},
        {{0, ROOT, A, LEAF, 512, value}, 768, "", 0, "3076 bytes, 3072 of them for its trie"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buffer b = start(), ids = {0};
        struct buffer map = make_map(cases[i].count, value, cases[i].pairs, 3, cases[i].text, cases[i].size);
        put_map_in(&b, 3, map.data, map.size);
        buffer_release(&map);
        if (cases[i].message) {
            check_refused(&b, cases[i].message);
            continue;
        }
        struct vocabulary *v;
        struct encoder *e;
        CHECK_OK(load(&v, b.data, b.size));
        CHECK_OK(encoder_new(&e, v));
        CHECK_OK(encoder_encode(e, (const uint8_t *)"a", 1, &ids)); // a space and x: both unknown
        CHECK(ids.size == 4 && load_le(ids.data, 4) == 0);
        encoder_free(e);
        vocabulary_free(v);
        buffer_release(&b);
        buffer_release(&ids);
    }
}

// ---- damage ----

static void try_damaged(const uint8_t *data, size_t size) {
    static const char text[] =
        "the  river's\xe2\x96\x81s\xc3\xa4nd \xef\xac\x81 <sep>foo bar e\xcc\x81 \xff \xe6\xb2\xb3";
    struct buffer ids = {0};
    struct vocabulary *v;
    struct encoder *e;
    int code = load(&v, data, size);
    CHECK(code == OK || code == ERROR_INPUT);
    if (code == OK) {
        CHECK_OK(encoder_new(&e, v));
        CHECK_OK(encoder_encode(e, (const uint8_t *)text, sizeof text - 1, &ids));
        bool known = true;
        for (size_t i = 0; i < ids.size / 4; i++)
            known = known && ((const uint32_t *)ids.data)[i] < vocabulary_size(v);
        CHECK(known);
        encoder_free(e);
    }
    vocabulary_free(v);
    buffer_release(&ids);
}

// Every truncation, and every STRIDEth byte changed, from copies of their exact size.
static void damaged(const char *name, size_t stride) {
    struct buffer file = {0};
    read_golden("sentencepiece", name, ".model", &file);
    for (size_t size = 0; size < file.size; size++) {
        uint8_t *copy = memcpy(malloc(size + !size), file.data, size);
        try_damaged(copy, size);
        free(copy);
    }
    for (size_t i = 0; i < file.size; i += stride) {
        uint8_t before = file.data[i];
        file.data[i] ^= (uint8_t)(1 + random_below(3, 0, i, 255));
        try_damaged(file.data, file.size);
        file.data[i] = before;
    }
    buffer_release(&file);
}

int main(void) {
    for (int i = 0; i < MODELS; i++)
        golden_ids(names[i]);
    long_word("llama");
    long_word("inner");
    refused_models();
    refused_pieces();
    refused_symbols();
    refused_wires();
    refused_maps();
    damaged("symbols", 7);
    damaged("unigram", 7);
    damaged("llama", 29);
    return check_report();
}
