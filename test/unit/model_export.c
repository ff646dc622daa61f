// Write checkpoints and their logits for another reader: `model_export [DIRECTORY]` (default: the current folder)
// makes smalltalk/ and llama/, each a checkpoint with logits.safetensors (tokens, logits; float32) beside it.
// test/golden/model/check_transformers.py compares; alone, the program checks that it reads back what it wrote.
#include "base/file.h"
#include "model_common.h"

enum { BATCH = 2, LENGTH = 23 };

static int write_logits(const char *path, const uint32_t *tokens, const float *logits, int vocab) {
    float ids[BATCH * LENGTH];
    for (int i = 0; i < BATCH * LENGTH; i++)
        ids[i] = (float)tokens[i];
    const struct safetensors_tensor tensors[] = {
        {.name = "tokens", .dimensions = 2, .shape = {BATCH, LENGTH}},
        {.name = "logits", .dimensions = 3, .shape = {BATCH, LENGTH, vocab}},
    };
    struct output *out = NULL;
    int code = safetensors_create(&out, path, tensors, 2, NULL);
    if (!code)
        code = safetensors_write(out, ids, BATCH * LENGTH);
    if (!code)
        code = safetensors_write(out, logits, (size_t)(BATCH * LENGTH * vocab));
    return code ? code : output_commit(out);
}

static void export_model(struct device *d, const char *directory, const struct model_config *c) {
    uint32_t tokens[BATCH * LENGTH], targets[BATCH * LENGTH];
    size_t n = (size_t)(BATCH * LENGTH * c->vocab);
    float *logits = memory_new(n, sizeof *logits), *again = memory_new(n, sizeof *again);
    char *file = string_format("%s/logits.safetensors", directory);
    struct digest vocab = digest_of("vocabulary", 10);
    random_tokens(tokens, targets, BATCH, LENGTH, c->vocab, 4);
    struct model *m = make_model(d, c, 1, BATCH, LENGTH, true);
    CHECK_OK(model_init(m, 0, 8));
    // Some training, so that norms are not ones and biases not zeros.
    for (int step = 1; step <= 10; step++) {
        double sum = 0, norm;
        CHECK_OK(gradient_of(m, tokens, targets, BATCH, LENGTH, 0.02f, &sum));
        CHECK_OK(model_update(m, &(struct model_optimizer){1e-2, 0.9, 0.99, 1e-8, 0.1, 0, step}, &norm));
    }
    CHECK_OK(directory_make(directory));
    CHECK_OK(checkpoint_save(m, 0, directory, &vocab));
    CHECK_OK(model_logits(m, tokens, BATCH, LENGTH, logits));
    CHECK_OK(write_logits(file, tokens, logits, c->vocab));
    model_free(m);

    struct model_config read;
    CHECK_OK(model_config_read(&read, directory));
    m = make_model(d, &read, 1, BATCH, LENGTH, false);
    CHECK_OK(checkpoint_load(m, 0, directory));
    CHECK_OK(model_logits(m, tokens, BATCH, LENGTH, again));
    CHECK(relative_error(again, logits, n) <= 1e-6);
    model_free(m);
    free(file);
    free(logits);
    free(again);
}

int main(int argc, char **argv) {
    struct device *d = open_device(1, KERNEL_F32);
    for (int family = 0; family < MODEL_FAMILIES; family++) {
        struct model_config c = small_config((enum model_family)family, 71, 48, 3, 6, 3, 100);
        c.theta = 3000;
        if (family == MODEL_LLAMA)
            c.head_size = 16;
        char *directory = string_format("%s/%s", argc > 1 ? argv[1] : ".", family_names[family]);
        export_model(d, directory, &c);
        free(directory);
    }
    device_close(d);
    return check_report();
}
