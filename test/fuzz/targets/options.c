// Values of options. The first byte chooses a parser for the rest: numbers, a split, a separator, a prior, or a
// command line with an argument on each line.
#include "../support.h"

#include "base/options.h"
#include "mix/prior.h"
#include "tokenize/document_split.h"
#include "tokenize/documents.h"
#include "train/train.h"

#include <errno.h>
#include <math.h>

enum { ARGUMENTS_MOST = 64, EXPERTS = 3 };

// ---- one value ----

static void try_number(const char *text) {
    int64_t integer;
    double number;
    size_t n = strlen(text);
    int code = parse_integer(text, 1000, &integer);
    REQUIRE(code == OK || code == ERROR_USAGE);
    if (code == OK && n > 0 && strchr("0123456789", text[n - 1])) {
        char *end;
        errno = 0;
        REQUIRE(strtoll(text, &end, 10) == integer && !*end && errno == 0);
    }
    int real = parse_number(text, &number);
    REQUIRE(real == OK || real == ERROR_USAGE);
    REQUIRE(real != OK || isfinite(number));
    if (code == OK) // a whole number is a number, and about the same
        REQUIRE(real == OK && fabs(number - (double)integer) <= 1e-15 * fabs(number));
}

static void try_split(const char *text) {
    struct document_split split;
    char *path;
    if (document_split_parse(&split, text) != OK)
        return;
    REQUIRE(split.count > 0 && split.parts[split.count - 1].below == 1);
    for (int i = 0; i < split.count; i++) {
        REQUIRE(document_split_find(&split, split.parts[i].name) == i);
        REQUIRE(document_split_path("a.%s.tok", split.parts[i].name, &path) == OK);
        free(path);
    }
    int part = document_split_part(&split, text, strlen(text));
    REQUIRE(part >= 0 && part < split.count);
    document_split_release(&split);
    if (document_split_path(text, "part", &path) == OK)
        free(path);
}

static void try_separator(const char *text) {
    struct buffer bytes = {0};
    if (separator_parse("--separator", text, &bytes) == OK)
        REQUIRE(bytes.size > 0 && bytes.size <= strlen(text));
    buffer_release(&bytes);
}

static void try_prior(const char *text) {
    double *prior;
    if (strlen(text) > 0 && strspn(text, "0123456789abcdefinptxABCDEFINPTX+-., \t\n()") < strlen(text))
        return; // it could name a file
    if (prior_read(&prior, text, EXPERTS) != OK)
        return;
    for (int i = 0; i < EXPERTS; i++)
        REQUIRE(prior[i] >= 0 && isfinite(prior[i]));
    free(prior);
}

// ---- command lines ----

static bool flag;
static int64_t integer, size_value;
static double number;
static const char *string;
static int choice;
static struct string_list list;
static struct range range = {0, INT64_MAX};
static const char *const choices[] = {"balanced", "argmax", "random", NULL};
static struct option every_type[] = {
    {.name = "flag", .letter = 'f', .type = OPTION_FLAG, .value = &flag},
    {.name = "integer", .letter = 'i', .type = OPTION_INTEGER, .value = &integer, .low = -5, .high = 1e6},
    {.name = "size", .letter = 's', .type = OPTION_SIZE, .value = &size_value, .low = 1, .high = 1e15},
    {.name = "number", .letter = 'n', .type = OPTION_NUMBER, .value = &number, .low = 0, .high = 1},
    {.name = "string", .letter = 't', .type = OPTION_STRING, .value = &string},
    {.name = "list", .letter = 'l', .type = OPTION_LIST, .value = &list},
    {.name = "choice", .letter = 'c', .type = OPTION_CHOICE, .value = &choice, .choices = choices},
    {.name = "range", .letter = 'r', .type = OPTION_RANGE, .value = &range},
    {0},
};

static void check_every_type(void) {
    REQUIRE(integer >= -5 && integer <= 1000000 && number >= 0 && number <= 1);
    REQUIRE(choice >= 0 && choice < 3);
    REQUIRE(range.begin >= 0 && range.begin < range.end);
}

// train's own table, and what its values must agree in.
static void try_command_line(char *text) {
    static struct train_options defaults;
    static bool saved;
    if (!saved)
        defaults = train_options;
    saved = true;
    char program[] = "train", *argv[ARGUMENTS_MOST + 1] = {program}, *operands[ARGUMENTS_MOST], *rest = NULL;
    int argc = 1, count;
    for (char *word = strtok_r(text, "\n", &rest); word && argc < ARGUMENTS_MOST;
         word = strtok_r(NULL, "\n", &rest))
        argv[argc++] = word;
    if (options_parse(train_option_table, every_type, argc, argv, &count, operands) == OK) {
        train_options.count = count;
        train_options.paths = operands;
        (void)train_options_settle(&train_options);
        free(train_options.weight_list);
    }
    check_every_type();
    options_release(every_type);
    train_options = defaults;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static void (*const parsers[])(const char *) = {try_number, try_split, try_separator, try_prior};
    enum { PARSERS = sizeof parsers / sizeof *parsers };
    if (size == 0)
        return 0;
    char *text = fuzz_text(data + 1, size - 1);
    if (data[0] % (PARSERS + 1) < PARSERS)
        parsers[data[0] % (PARSERS + 1)](text);
    else
        try_command_line(text);
    free(text);
    return 0;
}
