#include "base/file.h"
#include "base/json.h"
#include "check.h"

#include <stdlib.h>
#include <unistd.h>

static int parse(const char *text) {
    json_t *value;
    int code = json_parse(&value, text, strlen(text));
    json_decref(value);
    return code;
}

// jansson drops one behind a number.
static void refuse_nul(void) {
    static const char *const places[] = {"2", "true", "\"a\"", "{}", "-1e2"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char text[32];
        json_t *value;
        int size = snprintf(text, sizeof text, "{\"n\":\n%s}", places[i]);
        CHECK_OK(json_parse(&value, text, (size_t)size));
        json_decref(value);
        text[size - 1] = 0;
        text[size] = '}';
        CHECK_ERROR(json_parse(&value, text, (size_t)size + 1), ERROR_INPUT);
        CHECK(value == NULL && strcmp(error_message(), "line 2: a NUL byte") == 0);
    }
}

// As jansson does: Unicode's scalar values, each in its shortest form.
static void know_utf8(void) {
    static const struct {
        const char *text;
        bool valid;
    } cases[] = {{"", true},
                 {"a\x7f", true},
                 {"\xc3\xa4 \xe6\xb3\xa2 \xf0\x9f\x98\x80", true},
                 {"\xed\x9f\xbf\xee\x80\x80", true}, // on both sides of the surrogates
                 {"\xed\xa0\x80", false},
                 {"\xc0\xaf", false}, // longer than need be
                 {"\xe0\x80\xaf", false},
                 {"\xf4\x8f\xbf\xbf", true},
                 {"\xf4\x90\x80\x80", false}, // beyond the last one
                 {"\x80", false},
                 {"\xe6\xb3", false},
                 {"\xc3(", false},
                 {"\xff", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *value = json_stringn(cases[i].text, strlen(cases[i].text));
        CHECK((value != NULL) == cases[i].valid);
        CHECK(json_is_utf8(cases[i].text, strlen(cases[i].text)) == cases[i].valid);
        json_decref(value);
    }
    // Anywhere in a long text, of which many bytes are looked at at once; and in one that is cut there.
    static const char *const fillings[] = {"a", "\xd1\x8f", "\xe6\xb3\xa2", "\xf0\x9f\x98\x80", "a\xc3\xa4"};
    for (size_t f = 0; f < sizeof fillings / sizeof *fillings; f++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
            for (size_t at = 0; at < 200; at++) {
                char text[512] = "";
                while (strlen(text) < at)
                    strcat(text, fillings[f]);
                strcat(text, cases[i].text);
                size_t size = strlen(text);
                while (strlen(text) < 300)
                    strcat(text, fillings[f]);
                CHECK(json_is_utf8(text, strlen(text)) == cases[i].valid);
                CHECK(json_is_utf8(text, size) == cases[i].valid);
            }
    CHECK_EQUAL_INT(json_utf8_open("abc", 3), 0);
    CHECK_EQUAL_INT(json_utf8_open("\xd1\x8f", 2), 0);
    CHECK_EQUAL_INT(json_utf8_open("\xd1", 1), 1);
    CHECK_EQUAL_INT(json_utf8_open("a\xe6\xb3", 3), 2);
    CHECK_EQUAL_INT(json_utf8_open("\xf0\x9f\x98", 3), 3);
    CHECK_EQUAL_INT(json_utf8_open("\xf0\x9f\x98\x80", 4), 0);
}

static void refuse_bad_text(void) {
    CHECK_OK(parse("{\"a\": [1, 2.5, \"x\"]}"));
    CHECK_ERROR(parse(""), ERROR_INPUT);
    CHECK_ERROR(parse("{} {}"), ERROR_INPUT);
    CHECK_ERROR(parse("{\"a\":1,\n\"a\":2}"), ERROR_INPUT);
    CHECK_MESSAGE("line 2: ");
    CHECK_ERROR(parse("[1,]"), ERROR_INPUT);
    CHECK_ERROR(parse("[NaN]"), ERROR_INPUT);
    CHECK_ERROR(parse("[1e999]"), ERROR_INPUT);
    CHECK_ERROR(parse("[99999999999999999999]"), ERROR_INPUT);
    CHECK_ERROR(parse("[\"\xff\"]"), ERROR_INPUT);

    static char deep[200000];
    memset(deep, '[', sizeof deep - 1);
    CHECK_ERROR(parse(deep), ERROR_INPUT);
    CHECK_MESSAGE("nested deeper than 64");
    for (int depth = 64; depth <= 65; depth++) {
        memset(deep, '[', (size_t)depth);
        memset(deep + depth, ']', (size_t)depth);
        deep[2 * depth] = 0;
        CHECK_ERROR(parse(deep), depth <= 64 ? OK : ERROR_INPUT);
    }
    // Brackets in strings are text, behind escaped quotes too.
    memset(deep, '[', 1000);
    memcpy(deep, "[\"\\\"\\\\", 6);
    memcpy(deep + 1000, "\"]", 3);
    CHECK_OK(parse(deep));
}

// `item` so many times in an array.
static char *repeat(const char *item, size_t count) {
    size_t size = strlen(item);
    char *text = malloc(count * size + 4);
    text[0] = '[';
    for (size_t i = 0; i < count; i++)
        memcpy(text + 1 + i * size, item, size);
    memcpy(text + 1 + count * size, "0]", 3);
    return text;
}

static void refuse_many(void) {
    static const struct {
        const char *item;
        size_t count;
        const char *message; // NULL: accepted
    } cases[] = {
        {"[],", (1 << 19) - 1, NULL},
        {"{},", 1 << 19, "524289 arrays and objects in 1572867 bytes of json; at most 524288 are read"},
        {"{\"a\":0},", 1 << 20, "1048577 arrays and objects in 8388611 bytes of json; at most 1048576 are read"},
        {"[\"a\",\"b\"],", 1 << 20, NULL},
        {"[\"a\",\"b\"],", 1 << 21, "2097153 arrays and objects in 20971523 bytes of json; at most 2097152"},
        {"\"[[[[,,,,\",", 1 << 19, NULL},
        {"0,", (1 << 23) - 1, NULL},
        {"0,", 1 << 23, "8388609 values of json; at most 8388608 are read"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = repeat(cases[i].item, cases[i].count);
        struct json_document d;
        CHECK_ERROR(json_document_parse(&d, text, strlen(text)), cases[i].message ? ERROR_INPUT : OK);
        CHECK((d.root == NULL) == (cases[i].message != NULL));
        if (cases[i].message)
            CHECK_MESSAGE(cases[i].message);
        json_document_release(&d);
        free(text);
    }
}

// A document has the values of the text, and its lines in messages.
static void parse_documents(void) {
    static const char *const texts[] = {
        "{\n    \"a  b\" :  [ 1 ,   2.5,\n\n \t  true ],\r\n  \"\\\"   \\\\\":  { }\n  }\n   ",
        "   [ \" \\u0000  \\n   \", \"\" , null  ]",
        "[1 2]",
        "[\n  [1,\n   tr  ue]]",
        "{\"a\":\n   \"b",
        "[\"a   \\",
        "",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct json_document d;
        json_t *value;
        int code = json_parse(&value, texts[i], strlen(texts[i]));
        char *message = strdup(code == OK ? "" : error_message());
        CHECK_ERROR(json_document_parse(&d, texts[i], strlen(texts[i])), code);
        CHECK(code == OK ? json_equal(d.root, value) : strcmp(error_message(), message) == 0);
        json_document_release(&d);
        json_decref(value);
        free(message);
    }
}

static void write_canonically(void) {
    json_t *value;
    static const char text[] = "{ \"b\" : 0.1, \"a\": [ 1, true, null, \"\\u00e9\\n\\u0000\" ], \"Z\": -3e2 }";
    CHECK_OK(json_parse(&value, text, sizeof text - 1));
    char *canonical = json_canonical(value);
    CHECK_EQUAL_STRING(canonical,
                       "{\"Z\":-300.0,\"a\":[1,true,null,\"\u00e9\\n\\u0000\"],\"b\":0.10000000000000001}");
    free(canonical);
    json_decref(value);
}

static void check_members(void) {
    json_t *o;
    static const char text[] =
        "{\"n\": 12, \"x\": 2.5, \"s\": \"t\", \"z\": \"a\\u0000b\", \"b\": true, \"null\": null}";
    CHECK_OK(json_parse(&o, text, sizeof text - 1));
    int64_t n = -1;
    double x = -1;
    bool b = false;
    const char *s = "kept";
    CHECK_OK(json_get_integer(o, "n", true, 0, 12, &n));
    CHECK_EQUAL_INT(n, 12);
    CHECK_ERROR(json_get_integer(o, "n", true, 13, 20, &n), ERROR_INPUT);
    CHECK_EQUAL_STRING(error_message(), "key 'n': 12 is out of range (13 to 20)");
    CHECK_ERROR(json_get_integer(o, "x", true, 0, 12, &n), ERROR_INPUT);
    CHECK_EQUAL_STRING(error_message(), "key 'x': not an integer");
    CHECK_ERROR(json_get_integer(o, "absent", true, 0, 12, &n), ERROR_INPUT);
    CHECK_EQUAL_STRING(error_message(), "key 'absent': missing");
    CHECK_OK(json_get_integer(o, "absent", false, 0, 12, &n));
    CHECK_EQUAL_INT(n, 12);
    CHECK_ERROR(json_get_integer(o, "null", false, 0, 12, &n), ERROR_INPUT);
    CHECK_OK(json_get_number(o, "x", true, &x));
    CHECK_CLOSE(x, 2.5, 0);
    CHECK_OK(json_get_number(o, "n", true, &x));
    CHECK_CLOSE(x, 12, 0);
    CHECK_ERROR(json_get_number(o, "s", false, &x), ERROR_INPUT);
    CHECK_OK(json_get_boolean(o, "b", true, &b));
    CHECK(b);
    CHECK_ERROR(json_get_boolean(o, "n", true, &b), ERROR_INPUT);
    CHECK_OK(json_get_string(o, "absent", false, &s));
    CHECK_EQUAL_STRING(s, "kept");
    CHECK_OK(json_get_string(o, "s", true, &s));
    CHECK_EQUAL_STRING(s, "t");
    CHECK_ERROR(json_get_string(o, "z", true, &s), ERROR_INPUT);
    json_decref(o);
}

int main(void) {
    refuse_nul();
    know_utf8();
    refuse_bad_text();
    refuse_many();
    parse_documents();
    write_canonically();
    check_members();

    char name[] = "/tmp/tacit-unit.XXXXXX";
    int fd = mkstemp(name);
    json_t *value;
    CHECK_OK(file_write(name, "{\n\"a\": x}", 9));
    CHECK_ERROR(json_read(&value, name, 100), ERROR_INPUT);
    CHECK(value == NULL && strncmp(error_message(), name, strlen(name)) == 0);
    CHECK_MESSAGE(": line 2: ");
    CHECK_ERROR(json_read(&value, name, 8), ERROR_INPUT);
    CHECK_ERROR(json_read(&value, "/absent", 8), ERROR_SYSTEM);
    unlink(name);
    close(fd);
    return check_report();
}
