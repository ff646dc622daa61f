// config.json: what is accepted has sizes that count without overflow, is written, and reads back equal.
#include "../support.h"

#include "model/cost.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct model_config c, again;
    fuzz_json();
    fuzz_file(data, size);
    if (model_config_read(&c, "-") != OK)
        return 0;
    REQUIRE(c.vocab > 0 && c.hidden > 0 && c.layers > 0 && c.heads > 0 && c.kv_heads > 0 && c.feed_forward > 0);
    REQUIRE(c.positions > 0 && c.head_size > 0 && c.bos < c.vocab && c.eos < c.vocab);
    REQUIRE(model_parameters(&c) > 0 && model_product_parameters(&c) > 0);
    REQUIRE(isfinite(cost_training(&c, 1e6, 1e3, 1e4)));
    if (!fuzz_one_in(8, data, size))
        return 0;
    fuzz_output();
    REQUIRE(model_config_write(&c, "-") == OK);
    fuzz_output_as_input();
    REQUIRE(model_config_read(&again, "-") == OK);
    REQUIRE(model_config_equal(&c, &again));
    return 0;
}
