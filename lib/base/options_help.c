// What the option tables look like to people (--help) and to programs (--help-options).
#include "base/options.h"

#include <inttypes.h>
#include <string.h>

enum { COLUMN = 26, WIDTH = 79, TEXT_SIZE = 1024 };

static void format_bytes(char *text, size_t size, int64_t bytes) {
    static const char *const units[] = {"", "K", "M", "G"};
    int unit = 0;
    for (; unit < 3 && bytes != 0 && bytes % 1024 == 0; unit++)
        bytes /= 1024;
    snprintf(text, size, "%" PRId64 "%s", bytes, units[unit]);
}

// A default outside the limits is the table's way to say "not set".
static bool is_set(const struct option *o, double value) {
    return (o->low == 0 && o->high == 0) || (value >= o->low && value <= o->high);
}

// The default as it would be typed; empty where there is none.
static void format_default(const struct option *o, char *text, size_t size) {
    const char *string = NULL;
    text[0] = 0;
    switch (o->type) {
    case OPTION_INTEGER:
        if (is_set(o, (double)*(const int64_t *)o->value))
            snprintf(text, size, "%" PRId64, *(const int64_t *)o->value);
        break;
    case OPTION_SIZE:
        if (is_set(o, (double)*(const int64_t *)o->value))
            format_bytes(text, size, *(const int64_t *)o->value);
        break;
    case OPTION_NUMBER:
        if (is_set(o, *(const double *)o->value) && *(const double *)o->value == *(const double *)o->value)
            snprintf(text, size, "%.15g", *(const double *)o->value);
        break;
    case OPTION_STRING:
        string = *(const char *const *)o->value;
        break;
    case OPTION_CHOICE:
        if (*(const int *)o->value >= 0)
            string = o->choices[*(const int *)o->value];
        break;
    case OPTION_FLAG:
    case OPTION_LIST:
    case OPTION_RANGE:
        break;
    }
    if (string)
        snprintf(text, size, "%s", string);
}

static void format_choices(const struct option *o, const char *separator, char *text, size_t size) {
    size_t n = 0;
    text[0] = 0;
    for (int i = 0; o->type == OPTION_CHOICE && o->choices[i] && n < size; i++)
        n += (size_t)snprintf(text + n, size - n, "%s%s", i > 0 ? separator : "", o->choices[i]);
}

const char *option_argument(const struct option *o) {
    static const char *const names[] = {
        [OPTION_FLAG] = "",       [OPTION_INTEGER] = "N", [OPTION_SIZE] = "BYTES",  [OPTION_NUMBER] = "X",
        [OPTION_STRING] = "TEXT", [OPTION_LIST] = "TEXT", [OPTION_CHOICE] = "NAME", [OPTION_RANGE] = "A..B",
    };
    return o->argument && o->type != OPTION_FLAG ? o->argument : names[o->type];
}

static bool is_shadowed(const struct option *o, const struct option *own) {
    for (; own && own->name; own++)
        if (strcmp(own->name, o->name) == 0)
            return true;
    return false;
}

// Words from column COLUMN on, broken before WIDTH; `at` is the column that the line has reached.
static void print_wrapped(FILE *file, const char *text, int at) {
    fprintf(file, "%*s", at + 1 < COLUMN ? COLUMN - at : 0, "");
    if (at + 1 >= COLUMN)
        fprintf(file, "\n%*s", COLUMN, "");
    at = COLUMN;
    while (*text) {
        int n = (int)strcspn(text, " ");
        if (at + n > WIDTH && at > COLUMN) {
            fprintf(file, "\n%*s", COLUMN, "");
            at = COLUMN;
        }
        at += fprintf(file, at > COLUMN ? " %.*s" : "%.*s", n, text);
        text += n;
        text += strspn(text, " ");
    }
    fputc('\n', file);
}

void options_help(FILE *file, const struct option *table, const struct option *own) {
    for (const struct option *o = table; o->name; o++) {
        if (is_shadowed(o, own))
            continue;
        char choices[TEXT_SIZE], value[TEXT_SIZE], text[3 * TEXT_SIZE];
        const char *argument = option_argument(o);
        int at =
            o->letter ? fprintf(file, "  -%c, --%s", o->letter, o->name) : fprintf(file, "      --%s", o->name);
        if (*argument)
            at += fprintf(file, " %s", argument);
        format_choices(o, ", ", choices, sizeof choices);
        format_default(o, value, sizeof value);
        snprintf(text, sizeof text, "%s%s%s%s%s%s", o->help, *choices ? ": " : "", choices,
                 *value ? " [default: " : "", value, *value ? "]" : "");
        print_wrapped(file, text, at);
    }
}

void options_list(FILE *file, const struct option *table, const struct option *own) {
    for (const struct option *o = table; o->name; o++) {
        if (is_shadowed(o, own))
            continue;
        char choices[TEXT_SIZE], value[TEXT_SIZE], letter[2] = {o->letter, 0};
        format_choices(o, " ", choices, sizeof choices);
        format_default(o, value, sizeof value);
        fprintf(file, "%s\t%s\t%s\t%s\t%s\t%s\n", o->name, letter, option_argument(o), value, choices, o->help);
    }
}
