// Checkpoints: what is saved comes back, what transformers writes is read, what is broken is refused.
#include "base/file.h"
#include "model_common.h"

#include <unistd.h>

enum { BATCH = 2, LENGTH = 9 };

static void train(struct model *m) {
    uint32_t tokens[BATCH * LENGTH], targets[BATCH * LENGTH];
    double sum = 0, norm = 0;
    random_tokens(tokens, targets, BATCH, LENGTH, model_get_config(m)->vocab, 1);
    for (int step = 1; step <= 2; step++) {
        CHECK_OK(gradient_of(m, tokens, targets, BATCH, LENGTH, 0.1f, &sum));
        CHECK_OK(model_update(m, &(struct model_optimizer){1e-3, 0.9, 0.99, 1e-8, 0.1, 0.1, step}, &norm));
    }
}

static void check_same(struct model *a, struct model *b, enum model_array which) {
    float *x = model_values(a, 0, which), *y = model_values(b, 0, which);
    CHECK(memcmp(x, y, model_elements(a) * sizeof *x) == 0);
    free(x);
    free(y);
}

static void check_round_trip(struct device *d, enum model_family family) {
    struct model_config c = small_config(family, 33, 40, 2, 5, 1, 27), read;
    struct model *m = make_model(d, &c, 1, BATCH, LENGTH, true),
                 *again = make_model(d, &c, 1, BATCH, LENGTH, true);
    struct digest vocab = digest_of("vocabulary", 10), found, one, two;
    CHECK_OK(model_init(m, 0, 5));
    train(m);
    CHECK_OK(directory_make("saved"));
    CHECK_OK(checkpoint_save(m, 0, "saved", &vocab));
    CHECK_OK(checkpoint_save_moments(m, 0, "saved"));
    CHECK_OK(model_config_read(&read, "saved"));
    CHECK(model_config_equal(&c, &read));
    CHECK_OK(checkpoint_load(again, 0, "saved"));
    CHECK_OK(checkpoint_load_moments(again, 0, "saved"));
    check_same(m, again, MODEL_PARAMETERS);
    check_same(m, again, MODEL_FIRST_MOMENT);
    check_same(m, again, MODEL_SECOND_MOMENT);
    CHECK_OK(checkpoint_vocab("saved", &found));
    CHECK(digest_equal(&vocab, &found));

    // The same model gives the same bytes; without a vocabulary there is none.
    CHECK_OK(checkpoint_digest("saved", &one));
    CHECK_OK(digest_file(&two, "saved/model.safetensors"));
    CHECK(digest_equal(&one, &two));
    CHECK_OK(checkpoint_save(again, 0, "saved", &vocab));
    CHECK_OK(checkpoint_digest("saved", &two));
    CHECK(digest_equal(&one, &two));
    CHECK_OK(checkpoint_save(again, 0, "saved", &(struct digest){{0}}));
    CHECK_OK(checkpoint_vocab("saved", &found));
    CHECK(!digest_known(&found));
    model_free(m);
    model_free(again);
}

// The golden models are transformers' own files.
static void check_foreign(struct device *d) {
    for (int i = 0; i < MODEL_FAMILIES; i++) {
        char *directory = golden_path(family_names[i]);
        struct model_config c;
        CHECK_OK(model_config_read(&c, directory));
        struct model *m = make_model(d, &c, 1, 1, 8, false);
        CHECK_OK(checkpoint_load(m, 0, directory));
        model_free(m);
        free(directory);
    }
}

// ---- safetensors by hand ----

static void write_file(const char *path, const char *header, const void *data, size_t size) {
    struct buffer b = {0};
    uint8_t length[8];
    store_le(length, strlen(header), 8);
    CHECK_OK(buffer_append(&b, length, 8));
    CHECK_OK(buffer_append_string(&b, header));
    CHECK_OK(buffer_append(&b, data, size));
    CHECK_OK(file_write(path, b.data, b.size));
    buffer_release(&b);
}

// IEEE 754: 1, -2, 65504 (the largest), 2^-24 (the smallest), 1/3 rounded, infinity.
static void check_halves(void) {
    static const uint16_t half[] = {0x3c00, 0xc000, 0x7bff, 0x0001, 0x3555, 0x7c00};
    static const float half_values[] = {1, -2, 65504, 5.9604644775390625e-8f, 0.333251953125f, INFINITY};
    static const uint16_t brain[] = {0x3f80, 0xc000, 0x7f7f, 0x0001, 0x3eab, 0xff80};
    static const float brain_values[] = {
        1, -2, 3.3895313892515355e38f, 9.183549615799121e-41f, 0.333984375f, -INFINITY};
    uint16_t both[12];
    memcpy(both, half, sizeof half);
    memcpy(both + 6, brain, sizeof brain);
    write_file("half.safetensors",
               "{\"a\":{\"dtype\":\"F16\",\"shape\":[2,3],\"data_offsets\":[0,12]},"
               "\"b\":{\"dtype\":\"BF16\",\"shape\":[6],\"data_offsets\":[12,24]}}",
               both, sizeof both);
    struct safetensors *s = NULL;
    CHECK_OK(safetensors_open(&s, "half.safetensors"));
    if (!s)
        return;
    float values[6];
    CHECK_OK(safetensors_read(s, safetensors_find(s, "a"), 0, 6, values));
    CHECK(memcmp(values, half_values, sizeof values) == 0);
    CHECK_OK(safetensors_read(s, safetensors_find(s, "b"), 0, 6, values));
    CHECK(memcmp(values, brain_values, sizeof values) == 0);
    CHECK_OK(safetensors_read(s, safetensors_find(s, "b"), 4, 1, values));
    CHECK(values[0] == brain_values[4]);
    CHECK_ERROR(safetensors_read(s, safetensors_find(s, "b"), 4, 3, values), ERROR_INPUT);
    CHECK(safetensors_find(s, "c") == NULL);
    safetensors_close(s);
}

static void check_hostile(void) {
    static const char *const headers[] = {
        "[]", "{", "{} x", "{\"a\":3}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}",                   // too few bytes
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]}}",                  // beyond the end
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",                   // bytes left over
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",                   // a gap
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}",                   // backwards
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}",                  // negative
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]}}",                 // no integer
        "{\"a\":{\"dtype\":\"F99\",\"shape\":[2],\"data_offsets\":[0,8]}}",                   // unknown
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}",   // deep
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387905],\"data_offsets\":[0,4]}}", // 4 n overflows to 4
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,8]}}", // product
                                                                                                // overflows
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,9223372036854775807]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}",
        "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", "{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
        "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", // an overlap
    };
    struct safetensors *s;
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        write_file("hostile.safetensors", headers[i], "12345678", 8);
        CHECK_ERROR(safetensors_open(&s, "hostile.safetensors"), ERROR_INPUT);
        CHECK_MESSAGE("hostile.safetensors: ");
        CHECK(s == NULL);
    }
    static const uint64_t lengths[] = {UINT64_MAX, UINT64_MAX - 7, 1ull << 62, 1ull << 40, 99999999, 9};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        uint8_t file[16] = {0};
        store_le(file, lengths[i], 8);
        CHECK_OK(file_write("hostile.safetensors", file, sizeof file));
        CHECK_ERROR(safetensors_open(&s, "hostile.safetensors"), ERROR_INPUT);
    }
    char deep[4096];
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = 0;
    write_file("hostile.safetensors", deep, "", 0);
    CHECK_ERROR(safetensors_open(&s, "hostile.safetensors"), ERROR_INPUT);
    CHECK(safetensors_open(&s, "absent.safetensors") != OK);
}

// Every cut of a checkpoint's file, and a byte behind its end.
static void check_truncated(struct device *d) {
    struct model_config c = small_config(MODEL_LLAMA, 5, 8, 1, 1, 1, 2);
    struct model *m = make_model(d, &c, 1, 1, 2, false);
    struct buffer b = {0};
    CHECK_OK(model_init(m, 0, 1));
    CHECK_OK(checkpoint_save(m, 0, "saved", NULL));
    CHECK_OK(file_read("saved/model.safetensors", 1 << 20, &b));
    for (size_t size = 0; size < b.size; size += size < 1200 ? 1 : 97) {
        CHECK_OK(file_write("saved/model.safetensors", b.data, size));
        CHECK_ERROR(checkpoint_load(m, 0, "saved"), ERROR_INPUT);
    }
    CHECK_OK(buffer_append(&b, "x", 1));
    CHECK_OK(file_write("saved/model.safetensors", b.data, b.size));
    CHECK_ERROR(checkpoint_load(m, 0, "saved"), ERROR_INPUT);
    buffer_release(&b);
    model_free(m);
}

// A checkpoint of another shape, with a tensor missing or one too many.
static void check_incompatible(struct device *d) {
    struct model_config c = small_config(MODEL_LLAMA, 33, 40, 2, 5, 1, 27), other = c;
    struct model *m = make_model(d, &c, 1, 1, 8, false);
    CHECK_OK(model_init(m, 0, 1));
    CHECK_OK(checkpoint_save(m, 0, "saved", NULL));
    model_free(m);
    other.feed_forward = 28;
    m = make_model(d, &other, 1, 1, 8, false);
    CHECK_ERROR(checkpoint_load(m, 0, "saved"), ERROR_INPUT);
    CHECK_MESSAGE("mlp.gate_proj.weight");
    model_free(m);
    other = c;
    other.layers = 3;
    m = make_model(d, &other, 1, 1, 8, false);
    CHECK_ERROR(checkpoint_load(m, 0, "saved"), ERROR_INPUT);
    CHECK_MESSAGE("'model.layers.2.self_attn.q_proj.weight' is missing");
    model_free(m);
    other.layers = 1;
    m = make_model(d, &other, 1, 1, 8, false);
    CHECK_ERROR(checkpoint_load(m, 0, "saved"), ERROR_INPUT);
    CHECK_MESSAGE("is not part of the model");
    model_free(m);
    // What transformers leaves aside as well: the classifier of a tied model.
    other = c;
    other.tied = true;
    m = make_model(d, &other, 1, 1, 8, false);
    CHECK_OK(checkpoint_load(m, 0, "saved"));
    model_free(m);
}

// model.safetensors cut in two by tensor, with the index that names the shards.
static void check_shards(struct device *d) {
    char *directory = golden_path("llama"), *path = string_format("%s/model.safetensors", directory);
    struct model_config c;
    struct safetensors *s = NULL;
    CHECK_OK(model_config_read(&c, directory));
    CHECK_OK(safetensors_open(&s, path));
    struct buffer index = {0};
    CHECK_OK(buffer_append_string(&index, "{\"weight_map\":{"));
    CHECK_OK(directory_make("sharded"));
    int count = s ? safetensors_count(s) : 0;
    for (int shard = 0; shard < 2; shard++) {
        int begin = shard * count / 2, end = (shard + 1) * count / 2;
        struct output *out = NULL;
        CHECK_OK(safetensors_create(&out, shard ? "sharded/b.safetensors" : "sharded/a.safetensors",
                                    safetensors_get(s, begin), end - begin, NULL));
        for (int i = begin; i < end; i++) {
            const char *name = safetensors_get(s, i)->name;
            size_t n;
            float *values = tensor_values(s, name, &n);
            CHECK_OK(safetensors_write(out, values, n));
            free(values);
            CHECK_OK(buffer_append_format(&index, "%s\"%s\":\"%c.safetensors\"", i ? "," : "", name, 'a' + shard));
        }
        CHECK_OK(output_commit(out));
    }
    CHECK_OK(buffer_append_string(&index, "}}"));
    CHECK_OK(file_write("sharded/model.safetensors.index.json", index.data, index.size));
    struct model *whole = make_model(d, &c, 1, 1, 8, false), *parts = make_model(d, &c, 1, 1, 8, false);
    CHECK_OK(checkpoint_load(whole, 0, directory));
    CHECK_OK(checkpoint_load(parts, 0, "sharded"));
    check_same(whole, parts, MODEL_PARAMETERS);
    struct digest digest;
    CHECK_OK(checkpoint_digest("sharded", &digest));
    CHECK(digest_known(&digest));
    CHECK_EQUAL_INT(unlink("sharded/b.safetensors"), 0);
    CHECK(checkpoint_load(parts, 0, "sharded") != OK);
    static const char escape[] = "{\"weight_map\":{\"a\":\"../llama/model.safetensors\"}}";
    CHECK_OK(file_write("sharded/model.safetensors.index.json", escape, sizeof escape - 1));
    CHECK_ERROR(checkpoint_load(parts, 0, "sharded"), ERROR_INPUT);
    buffer_release(&index);
    safetensors_close(s);
    model_free(whole);
    model_free(parts);
    free(path);
    free(directory);
}

int main(void) {
    struct device *d = open_device(1, KERNEL_F32);
    check_round_trip(d, MODEL_SMALLTALK);
    check_round_trip(d, MODEL_LLAMA);
    check_foreign(d);
    check_halves();
    check_hostile();
    check_truncated(d);
    check_incompatible(d);
    check_shards(d);
    device_close(d);
    return check_report();
}
