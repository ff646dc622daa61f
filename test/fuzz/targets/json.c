// JSON text: what is accepted is written canonically, reads back equal, and its canonical text is a fixed point.
#include "../support.h"

#include "base/json.h"

static void read_members(const json_t *value) {
    const char *key, *text;
    json_t *member;
    json_object_foreach((json_t *)value, key, member) {
        int64_t integer;
        double number;
        bool boolean;
        if (json_get_integer(value, key, true, -1000, 1000, &integer) == OK)
            REQUIRE(integer >= -1000 && integer <= 1000);
        (void)json_get_number(value, key, true, &number);
        (void)json_get_boolean(value, key, true, &boolean);
        if (json_get_string(value, key, true, &text) == OK)
            REQUIRE(strlen(text) == json_string_length(member));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_json();
    uint8_t *copy = fuzz_copy(data, size);
    json_t *value, *again;
    struct json_document d;
    int code = json_parse(&value, (const char *)copy, size);
    REQUIRE(json_document_parse(&d, (const char *)copy, size) == code);
    REQUIRE(code != OK || json_equal(value, d.root));
    json_document_release(&d);
    free(copy);
    REQUIRE((code == OK) == (value != NULL));
    if (code != OK) {
        REQUIRE(code == ERROR_INPUT);
        return 0;
    }
    read_members(value);
    char *text = json_canonical(value);
    REQUIRE(text);
    REQUIRE(json_parse(&again, text, strlen(text)) == OK);
    REQUIRE(json_equal(value, again));
    char *second = json_canonical(again);
    REQUIRE(second && strcmp(text, second) == 0);
    free(second);
    free(text);
    json_decref(again);
    json_decref(value);
    return 0;
}
