// config.json: what transformers writes is read, what we cannot do is refused by name, counts are the paper's.
#include "base/file.h"
#include "base/json.h"
#include "model_common.h"

static void check_golden(void) {
    struct model_config c;
    char *path = golden_path("smalltalk");
    CHECK_OK(model_config_read(&c, path));
    free(path);
    CHECK_EQUAL_INT(c.family, MODEL_SMALLTALK);
    CHECK_EQUAL_INT(c.vocab, 61);
    CHECK_EQUAL_INT(c.hidden, 24);
    CHECK_EQUAL_INT(c.layers, 2);
    CHECK_EQUAL_INT(c.heads, 3);
    CHECK_EQUAL_INT(c.kv_heads, 3);
    CHECK_EQUAL_INT(c.head_size, 8);
    CHECK_EQUAL_INT(c.feed_forward, 52);
    CHECK_EQUAL_INT(c.positions, 40);
    CHECK(c.tied && c.theta == 10000 && c.epsilon == 1e-5 && c.bos == -1 && c.eos == 0);

    path = golden_path("llama/config.json");
    CHECK_OK(model_config_read(&c, path));
    free(path);
    CHECK_EQUAL_INT(c.family, MODEL_LLAMA);
    CHECK_EQUAL_INT(c.kv_heads, 2);
    CHECK_EQUAL_INT(c.head_size, 16);
    CHECK(!c.tied && c.theta == 5000 && c.epsilon == 1e-6);
}

static void check_round_trip(void) {
    for (int family = 0; family < MODEL_FAMILIES; family++) {
        struct model_config c = small_config((enum model_family)family, 300, 64, 3, 8, 2, 99), again;
        c.epsilon = 1.0 / 3;
        c.init_std = 0.018042;
        c.theta = 500000;
        c.eos = 17;
        CHECK_OK(model_config_write(&c, "config.json"));
        CHECK_OK(model_config_read(&again, "."));
        CHECK(model_config_equal(&c, &again));
        again.layers++;
        CHECK(!model_config_equal(&c, &again));
    }
}

// The golden configuration of a family with one key replaced (value NULL: removed), written to config.json.
static void write_changed(const char *family, const char *key, const char *value) {
    char *directory = golden_path(family), *path = string_format("%s/config.json", directory);
    json_t *object = NULL, *changed = value ? json_loads(value, JSON_DECODE_ANY, NULL) : NULL;
    CHECK_OK(json_read(&object, path, 1 << 20));
    if (value)
        json_object_set_new(object, key, changed);
    else
        json_object_del(object, key);
    char *text = json_canonical(object);
    CHECK_OK(file_write("config.json", text, strlen(text)));
    free(text);
    json_decref(object);
    free(path);
    free(directory);
}

static void check_refused(void) {
    static const struct {
        const char *family, *key, *value;
    } cases[] = {
        {"smalltalk", "use_bias", "true"},
        {"smalltalk", "use_bias", NULL},
        {"smalltalk", "num_key_value_heads", NULL},
        {"smalltalk", "num_key_value_heads", "2"},
        {"smalltalk", "norm_type", "\"rms_norm\""},
        {"smalltalk", "mlp_type", "\"gated\""},
        {"smalltalk", "hidden_act", "\"gelu\""},
        {"smalltalk", "sliding_window", "4096"},
        {"smalltalk", "residual_dropout", "0.1"},
        {"smalltalk", "attention_dropout", "0.1"},
        {"smalltalk", "embedding_dropout", "0.1"},
        {"smalltalk", "head_dim", "16"},
        {"smalltalk", "model_type", "\"gpt2\""},
        {"smalltalk", "architectures", "[\"Starcoder2ForSequenceClassification\"]"},
        {"smalltalk", "vocab_size", "0"},
        {"smalltalk", "vocab_size", "-5"},
        {"smalltalk", "vocab_size", "1e3"},
        {"smalltalk", "hidden_size", "99999999999"},
        {"smalltalk", "hidden_size", NULL},
        {"smalltalk", "num_hidden_layers", "\"2\""},
        {"smalltalk", "norm_epsilon", "-1"},
        {"llama", "attention_bias", "true"},
        {"llama", "mlp_bias", "true"},
        {"llama", "hidden_act", "\"gelu\""},
        {"llama", "rope_scaling", "{\"rope_type\": \"llama3\", \"factor\": 8.0}"},
        {"llama", "rope_parameters", "{\"rope_type\": \"yarn\", \"rope_theta\": 1e4}"},
        {"llama", "rope_parameters", "{\"partial_rotary_factor\": 0.5, \"rope_theta\": 1e4}"},
        {"llama", "rope_theta", "-1"},
        {"llama", "partial_rotary_factor", "0.25"},
        {"llama", "quantization_config", "{\"bits\": 4}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model_config c;
        // A theta outside is overridden by the one in rope_parameters.
        write_changed(cases[i].family, cases[i].key, cases[i].value);
        if (!strcmp(cases[i].key, "rope_theta")) {
            CHECK_OK(model_config_read(&c, "config.json"));
            CHECK(c.theta == 5000);
            continue;
        }
        CHECK_ERROR(model_config_read(&c, "config.json"), ERROR_INPUT);
        CHECK_MESSAGE("config.json: ");
        CHECK_MESSAGE(cases[i].key);
    }
    struct model_config c;
    static const char *const head_sizes[] = {"12", "136", "4"};
    for (int i = 0; i < 3; i++) {
        write_changed("llama", "head_dim", head_sizes[i]);
        CHECK_ERROR(model_config_read(&c, "config.json"), ERROR_INPUT);
        CHECK_MESSAGE("head size");
    }
    CHECK_OK(file_write("config.json", "[1]", 3));
    CHECK_ERROR(model_config_read(&c, "config.json"), ERROR_INPUT);
    CHECK_OK(file_write("config.json", "{", 1));
    CHECK_ERROR(model_config_read(&c, "config.json"), ERROR_INPUT);
    CHECK(model_config_read(&c, "absent.json") != OK);
}

// transformers 4's spelling, and what it leaves out.
static void check_older(void) {
    static const char text[] =
        "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", \"vocab_size\": 100, "
        "\"hidden_size\": 64,"
        "\"num_hidden_layers\": 1, \"num_attention_heads\": 4, \"intermediate_size\": 128, \"rope_theta\": 2500.0,"
        "\"rope_scaling\": null, \"torch_dtype\": \"bfloat16\", \"eos_token_id\": [7, 9], \"pretraining_tp\": 1}";
    struct model_config c;
    CHECK_OK(file_write("config.json", text, sizeof text - 1));
    CHECK_OK(model_config_read(&c, "config.json"));
    CHECK(c.kv_heads == 4 && c.head_size == 16 && c.theta == 2500 && c.epsilon == 1e-6 && c.positions == 2048);
    CHECK(!c.tied && c.bos == -1 && c.eos == 7);
}

static struct model_config paper(int hidden, int layers, int heads) {
    struct model_config c = small_config(MODEL_SMALLTALK, 32000, hidden, layers, heads, heads, 4 * hidden);
    c.head_size = hidden / heads;
    return c;
}

static void check_counts(void) {
    // SmallTalk, table 1, to the digits printed there; 1.27B by count.
    struct model_config c = paper(1024, 24, 16);
    CHECK_EQUAL_INT(model_parameters(&c) / 1000000, 334); // 334.9
    CHECK_EQUAL_INT(model_product_parameters(&c), 12LL * 24 * 1024 * 1024 + 32000LL * 1024);
    c = paper(2048, 24, 16);
    CHECK_CLOSE((double)model_parameters(&c) / 1e9, 1.27, 0.005);
    c = paper(96, 12, 12);
    CHECK_EQUAL_INT(c.head_size, 8);
    CHECK_CLOSE((double)model_parameters(&c) / 1e6, 4.4, 0.01);
    c = paper(768, 12, 12);
    CHECK_CLOSE((double)model_parameters(&c) / 1e6, 110, 0.005);

    // HDEE, non-embedding: 92.0M, 113.3M, 134.5M.
    static const int widths[] = {2304, 3072, 3840};
    static const double expected[] = {92.0, 113.3, 134.5};
    for (int i = 0; i < 3; i++) {
        c = small_config(MODEL_LLAMA, 128002, 768, 12, 12, 12, widths[i]);
        c.head_size = 64;
        double outside = (double)(model_parameters(&c) - 2LL * 128002 * 768);
        CHECK(fabs(outside / 1e6 - expected[i]) <= 0.05);
    }

    // The tensors of a model are its parameters.
    struct device *d = open_device(1, KERNEL_F32);
    for (int family = 0; family < MODEL_FAMILIES; family++) {
        c = small_config((enum model_family)family, 37, 40, 2, 5, 1, 27);
        struct model *m = make_model(d, &c, 1, 1, 8, false);
        int64_t sum = 0;
        for (int i = 0; i < model_tensor_count(m); i++) {
            const struct model_tensor *t = model_tensor_get(m, i);
            sum += t->rows * (t->cols ? t->cols : 1);
        }
        CHECK_EQUAL_INT(sum, model_parameters(&c));
        model_free(m);
    }
    device_close(d);
}

int main(void) {
    check_golden();
    check_round_trip();
    check_refused();
    check_older();
    check_counts();
    return check_report();
}
