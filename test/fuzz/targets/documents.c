// Text inputs: the first byte chooses how the rest is cut into documents (whole, lines, a separator, JSON lines),
// and long ones into pieces; gzip and zstd are recognised. A line of JSON is taken if, and only if, jansson takes
// it with a 0 for each of its numbers; the fast reader finds the same in it, and one that is read piece by piece
// says what it says as a whole.
#include "../support.h"

#include "base/error.h"
#include "base/json.h"
#include "base/tool.h"
#include "tokenize/documents.h"
#include "tokenize/json_line.h"
#include "tokenize/json_scan.h"
#include "tokenize/long_line.h"

#include <regex.h>
#include <string.h>

enum { FEW = 500 }; // documents, which an input of many lines would spend all time on

static size_t cut(void *context, const uint8_t *text, size_t from, size_t size, bool goes_on) {
    (void)context;
    (void)goes_on;
    for (size_t p = size - 2; p > from; p--)
        if (text[p] == ' ')
            return p;
    return 0;
}

static void check_member(const json_t *object, const struct json_member *member) {
    struct buffer text = {0};
    const json_t *string = json_object_get(object, member->name);
    REQUIRE(json_is_string(string) == (member->begin != NULL));
    REQUIRE(string || !member->begin);
    if (member->begin && json_unescape(&text, member->begin, member->size) == OK) {
        REQUIRE(text.size == json_string_length(string));
        REQUIRE(text.size == 0 || memcmp(text.data, json_string_value(string), text.size) == 0);
    }
    buffer_release(&text);
}

static bool is_number(const char *token) {
    static const char grammar[] = "^-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][-+]?[0-9]+)?$";
    static regex_t number;
    static bool made;
    REQUIRE(made || regcomp(&number, grammar, REG_EXTENDED | REG_NOSUB) == 0);
    made = true;
    return regexec(&number, token, 0, NULL, 0) == 0;
}

// A copy with a 0 for each number outside of strings.
static char *without_numbers(const struct piece *line, size_t *size) {
    char *copy = fuzz_text(line->bytes, line->size), *from = copy, *to = copy, *end = copy + line->size;
    for (bool quoted = false; from < end;) {
        size_t n = quoted ? 0 : strcspn(from, " \t\r\n[]{},:\""); // a token other than a string
        char behind = from[n];
        from[n] = 0;
        bool number = n > 0 && is_number(from);
        from[n] = behind;
        if (n == 0)
            n = quoted && *from == '\\' && end - from > 1 ? 2 : 1;
        quoted = quoted != (n == 1 && *from == '"');
        memmove(to, number ? "0" : from, number ? 1 : n);
        to += number ? 1 : n;
        from += n;
    }
    *size = (size_t)(to - copy);
    return copy;
}

// `whole`: what json_line_parse() said, which may want other members than there are.
static void check_line(const struct piece *line, int whole) {
    struct json_member members[] = {{.name = "text"}, {.name = "domain"}};
    json_t *object;
    size_t size;
    char *plain = without_numbers(line, &size);
    bool other = whole == OK || strncmp(error_message(), "key '", 5) == 0 ||
                 strcmp(error_message(), "not a JSON object") == 0;
    bool taken = json_parse(&object, plain, size) == OK;
    free(plain);
    REQUIRE(taken == other);
    if (json_scan(line->bytes, line->size, members, 2)) {
        REQUIRE(taken);
        for (int i = 0; i < 2; i++)
            check_member(object, &members[i]);
    }
    json_decref(object);
}

// The text of a long line, in steps of its own.
static void read_text(struct long_line *line, size_t step, struct buffer *text) {
    for (size_t got = 1; got > 0 && buffer_reserve(text, step) == OK; text->size += got)
        if (long_line_read(line, text->data + text->size, step, &got) != OK)
            break;
}

// `whole`: what json_line_parse() said.
static void check_long(const struct piece *piece, const struct json_fields *fields, size_t step, int whole,
                       const struct document *document) {
    struct long_line *line;
    struct buffer text = {0};
    if (long_line_new(&line, fields) != OK)
        return;
    long_line_begin(line);
    int code = OK;
    size_t begin = 0, end = 0, used;
    while (code == OK && end < piece->size) {
        end = piece->size - end < step ? piece->size : end + step;
        code = long_line_add(line, piece->bytes + begin, end - begin, end == piece->size, &used);
        begin += used;
    }
    REQUIRE(code == whole);
    if (code == OK) {
        REQUIRE(begin == piece->size && !long_line_blank(line));
        read_text(line, step + 3, &text);
        REQUIRE(text.size == document->size);
        REQUIRE(text.size == 0 || memcmp(text.data, document->text, text.size) == 0);
        const char *domain = long_line_domain(line);
        REQUIRE((domain != NULL) == (document->domain != NULL));
        REQUIRE(!domain || strcmp(domain, document->domain) == 0);
    }
    buffer_release(&text);
    long_line_free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    struct json_fields fields = {0};
    struct documents_options options = {.unit = (enum documents_unit)(data[0] % 4),
                                        .separator = (const uint8_t *)"--",
                                        .separator_size = 2,
                                        .cut = data[0] & 8 ? cut : NULL,
                                        .records = data[0] & 32 ? &fields : NULL,
                                        .long_line = 64};
    struct documents *documents;
    struct piece document;
    struct json_line line = {0};
    bool got = true;
    common.quiet = true;
    fuzz_json();
    fuzz_file(data + 1, size - 1);
    if (json_fields_parse(&fields, data[0] & 16 ? "title?,text,m.s?" : "text", data[0] & 4 ? "domain" : NULL) !=
        OK)
        return 0;
    int code = documents_open(&documents, "-", &options);
    uint64_t sum = 0, most = fuzz_one_in(64, data, size) ? UINT64_MAX : FEW;
    bool opened = code == OK;
    for (; code == OK && got && most > 0; most--) {
        code = documents_next(documents, &document, &got);
        for (size_t i = 0; code == OK && got && i < document.size; i += 1 + document.size / 64)
            sum += document.bytes[i];
        if (code == OK && got && document.json) {
            struct document parsed;
            code = json_line_parse(&line, &fields, document.bytes, document.size, &parsed);
            check_line(&document, code);
            check_long(&document, &fields, 1 + size % 7, code, &parsed);
            if (code == OK && parsed.domain)
                sum += strlen(parsed.domain);
        }
    }
    if (opened) {
        REQUIRE(code != OK || got || documents_consumed(documents) == size - 1);
        documents_close(documents);
    }
    REQUIRE(sum < UINT64_MAX);
    json_line_release(&line);
    json_fields_release(&fields);
    return 0;
}
