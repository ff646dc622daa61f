// The files of a checkpoint, read into a tiny model: the first byte chooses whether the rest is the weights, the
// moments, or the index of shards. Safetensors have their header up to the first 0 byte, as in safetensors.c.
#include "../support.h"

#include "model/checkpoint.h"

enum { LENGTH = 8, FILES = 3 };

static const char *const names[FILES] = {"model.safetensors", "optimizer.safetensors",
                                         "model.safetensors.index.json"};
static const char *folders[FILES];
static struct model *model;

static void start(void) {
    struct device *device;
    struct model_config c = {.family = MODEL_LLAMA,
                             .vocab = 4,
                             .hidden = 8,
                             .layers = 1,
                             .heads = 1,
                             .kv_heads = 1,
                             .head_size = 8,
                             .feed_forward = 8,
                             .positions = 16,
                             .tied = true,
                             .theta = 10000,
                             .epsilon = 1e-6};
    REQUIRE(device_open(&device, "cpu", 1, KERNEL_F32) == OK);
    REQUIRE(model_new(&model, device, &c, &(struct model_size){1, 1, 4, .train = true}) == OK);
    for (int i = 0; i < FILES; i++)
        folders[i] = fuzz_folder(names[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct digest digest;
    if (!model)
        start();
    if (size == 0)
        return 0;
    fuzz_json();
    int choice = data[0] % FILES;
    const uint8_t *zero = choice < 2 ? memchr(data + 1, 0, size - 1) : NULL;
    size_t text = zero ? (size_t)(zero - data) - 1 : size - 1, rest = zero ? size - 2 - text : 0;
    uint8_t *file = malloc(LENGTH + size);
    REQUIRE(file);
    store_le(file, text, LENGTH);
    memcpy(file + LENGTH, data + 1, text);
    if (zero)
        memcpy(file + LENGTH + text, zero + 1, rest);
    fuzz_file(choice < 2 ? file : file + LENGTH, (choice < 2 ? LENGTH : 0) + text + rest);
    free(file);
    int code =
        choice == 1 ? checkpoint_load_moments(model, 0, folders[1]) : checkpoint_load(model, 0, folders[choice]);
    REQUIRE(code == OK || code == ERROR_INPUT || code == ERROR_SYSTEM);
    if (choice != 1)
        (void)checkpoint_vocab(folders[choice], &digest);
    return 0;
}
