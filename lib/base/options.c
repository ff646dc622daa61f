#include "base/options.h"
#include "base/error.h"
#include "base/memory.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- numbers ----

static bool starts_number(const char *text) {
    const char *digits = *text == '-' ? text + 1 : text;
    return isdigit((unsigned char)*digits) || (*digits == '.' && isdigit((unsigned char)digits[1]));
}

// The power of `thousand` behind a number: 0 to 3, or -1 where the rest is no suffix.
static int suffix_power(const char *rest) {
    static const char letters[] = "KMG";
    if (!*rest)
        return 0;
    const char *found = strchr(letters, *rest);
    return found && !rest[1] ? (int)(found - letters) + 1 : -1;
}

int parse_integer(const char *text, int64_t thousand, int64_t *value) {
    int64_t number = 0;
    const char *p = *text == '-' ? text + 1 : text;
    bool fits = true, digits = isdigit((unsigned char)*p);
    for (; isdigit((unsigned char)*p); p++) {
        int digit = *text == '-' ? '0' - *p : *p - '0';
        fits = fits && !__builtin_mul_overflow(number, (int64_t)10, &number) &&
               !__builtin_add_overflow(number, (int64_t)digit, &number);
    }
    int power = suffix_power(p);
    if (!digits || power < 0) {
        bool small = digits && *p && strchr("kmg", *p) && !p[1];
        return error_set(ERROR_USAGE, "'%s' is not a whole number%s", text,
                         small ? "; K, M and G are capitals" : "");
    }
    for (; power > 0; power--)
        fits = fits && !__builtin_mul_overflow(number, thousand, &number);
    if (!fits)
        return error_set(ERROR_USAGE, "'%s' is too large", text);
    *value = number;
    return OK;
}

int parse_number(const char *text, double *value) {
    char *rest;
    // strtod alone would take blanks, infinities and hexadecimal.
    int power = -1;
    double number = 0;
    if (starts_number(text) && !strpbrk(text, "xX")) {
        number = strtod(text, &rest);
        power = suffix_power(rest);
    }
    if (power < 0)
        return error_set(ERROR_USAGE, "'%s' is not a number", text);
    for (; power > 0; power--)
        number *= 1000;
    if (!isfinite(number))
        return error_set(ERROR_USAGE, "'%s' is too large", text);
    *value = number;
    return OK;
}

// ---- values ----

static bool has_limits(const struct option *o) {
    return o->low != 0 || o->high != 0;
}

// 5, 0.0001, 4096: as a person writes it. An upper limit that no number reaches is none.
static void format_limits(const struct option *o, char text[64]) {
    text[0] = 0;
    if (has_limits(o) && o->high >= 9e18)
        snprintf(text, 64, " (%.15g or more)", o->low);
    else if (has_limits(o))
        snprintf(text, 64, " (%.15g to %.15g)", o->low, o->high);
}

static int check_limits(const struct option *o, const char *text, double value) {
    if (!has_limits(o) || (value >= o->low && value <= o->high))
        return OK;
    return error_set(ERROR_USAGE, "'%s' is out of range", text);
}

static int set_integer(const struct option *o, const char *text) {
    int64_t value;
    int code = parse_integer(text, o->type == OPTION_SIZE ? 1024 : 1000, &value);
    if (code == OK)
        code = check_limits(o, text, (double)value);
    if (code == OK)
        *(int64_t *)o->value = value;
    return code;
}

static int set_number(const struct option *o, const char *text) {
    double value;
    int code = parse_number(text, &value);
    if (code == OK)
        code = check_limits(o, text, value);
    if (code == OK)
        *(double *)o->value = value;
    return code;
}

static int set_choice(const struct option *o, const char *text) {
    struct buffer names = {0};
    int code = OK;
    for (int i = 0; o->choices[i]; i++)
        if (strcmp(o->choices[i], text) == 0) {
            *(int *)o->value = i;
            return OK;
        }
    for (int i = 0; code == OK && o->choices[i]; i++)
        code = buffer_append_format(&names, "%s%s", i > 0 ? ", " : "", o->choices[i]);
    if (code == OK)
        code = error_set(ERROR_USAGE, "'%s' is not one of %.*s", text, (int)names.size, (const char *)names.data);
    buffer_release(&names);
    return code;
}

static int set_range(const struct option *o, const char *text) {
    struct range range = {0, INT64_MAX};
    const char *dots = strstr(text, "..");
    if (!dots)
        return error_set(ERROR_USAGE, "'%s' is not a range a..b", text);
    char *first = string_copy_n(text, (size_t)(dots - text));
    if (!first)
        return ERROR_SYSTEM;
    int code = OK;
    if (*first)
        code = parse_integer(first, 1000, &range.begin);
    if (code == OK && dots[2])
        code = parse_integer(dots + 2, 1000, &range.end);
    free(first);
    if (code == OK && (range.begin < 0 || range.begin >= range.end))
        return error_set(ERROR_USAGE, "'%s' is not a range a..b with 0 <= a < b", text);
    if (code == OK)
        *(struct range *)o->value = range;
    return code;
}

static int add_item(const struct option *o, const char *text) {
    struct string_list *list = o->value;
    int code = memory_resize(&list->items, (size_t)list->count + 1, sizeof *list->items);
    if (code == OK)
        list->items[list->count++] = text;
    return code;
}

static int set_value(const struct option *o, const char *text) {
    switch (o->type) {
    case OPTION_FLAG:
        *(bool *)o->value = true;
        return OK;
    case OPTION_INTEGER:
    case OPTION_SIZE:
        return set_integer(o, text);
    case OPTION_NUMBER:
        return set_number(o, text);
    case OPTION_STRING:
        *(const char **)o->value = text;
        return OK;
    case OPTION_LIST:
        return add_item(o, text);
    case OPTION_CHOICE:
        return set_choice(o, text);
    case OPTION_RANGE:
        return set_range(o, text);
    }
    return error_set(ERROR_USAGE, "option of an unknown type");
}

static int apply(struct option *o, const char *text) {
    int code = set_value(o, text);
    if (code == OK) {
        o->given = true;
        return OK;
    }
    if (o->type == OPTION_INTEGER || o->type == OPTION_NUMBER || o->type == OPTION_SIZE) {
        char limits[64];
        format_limits(o, limits);
        error_set(code, "%s%s", error_message(), limits);
    }
    return error_prefix(code, "--%s", o->name);
}

// ---- parsing ----

static struct option *find_name(struct option *table, const char *name, size_t n) {
    for (; table->name; table++)
        if (strlen(table->name) == n && memcmp(table->name, name, n) == 0)
            return table;
    return NULL;
}

static struct option *find_letter(struct option *table, char letter) {
    for (; table->name; table++)
        if (table->letter == letter && letter)
            return table;
    return NULL;
}

// Whether a name is this one with its end left out, or with one slip: a letter too many, too few, another one,
// or two that changed places.
static bool is_meant(const char *typed, size_t n, const char *name) {
    size_t m = strlen(name), begin = 0, shorter = n < m ? n : m;
    while (begin < shorter && typed[begin] == name[begin])
        begin++;
    if (begin == n)
        return n >= 3;
    while (n > begin && m > begin && typed[n - 1] == name[m - 1])
        n--, m--;
    n -= begin, m -= begin;
    typed += begin, name += begin;
    return (n <= 1 && m <= 1) || (n == 2 && m == 2 && typed[0] == name[1] && typed[1] == name[0]);
}

static int refuse_name(const struct option *own, const struct option *shared, const char *word, size_t n) {
    const struct option *tables[] = {own, shared};
    for (int i = 0; i < 2; i++)
        for (const struct option *o = tables[i]; o->name; o++)
            if (is_meant(word + 2, n, o->name))
                return error_set(ERROR_USAGE, "unknown option '%.*s' (did you mean --%s?)", (int)(n + 2), word,
                                 o->name);
    return error_set(ERROR_USAGE, "unknown option '%.*s'", (int)(n + 2), word);
}

struct parser {
    struct option *own, *shared;
    char **argv;
    int argc, next;
};

static int apply_next(struct parser *p, struct option *o, const char *shown) {
    if (p->next >= p->argc)
        return error_set(ERROR_USAGE, "%s: needs a value (%s)", shown, option_argument(o));
    return apply(o, p->argv[p->next++]);
}

static int parse_long(struct parser *p, const char *word) {
    const char *name = word + 2, *equals = strchr(name, '=');
    size_t n = equals ? (size_t)(equals - name) : strlen(name);
    struct option *o = find_name(p->own, name, n);
    if (!o)
        o = find_name(p->shared, name, n);
    if (!o)
        return refuse_name(p->own, p->shared, word, n);
    if (o->type == OPTION_FLAG)
        return equals ? error_set(ERROR_USAGE, "--%s: takes no value", o->name) : apply(o, NULL);
    return equals ? apply(o, equals + 1) : apply_next(p, o, word);
}

// -o FILE, -oFILE, and flags in one word: -qv.
static int parse_short(struct parser *p, const char *word) {
    for (const char *letter = word + 1; *letter; letter++) {
        struct option *o = find_letter(p->own, *letter);
        if (!o)
            o = find_letter(p->shared, *letter);
        if (!o)
            return error_set(ERROR_USAGE, "unknown option '-%c'", *letter);
        if (o->type != OPTION_FLAG && letter[1])
            return apply(o, letter + 1);
        char shown[3] = {'-', *letter, 0};
        int code = o->type == OPTION_FLAG ? apply(o, NULL) : apply_next(p, o, shown);
        if (code != OK)
            return code;
    }
    return OK;
}

int options_parse(struct option *own, struct option *shared, int argc, char **argv, int *count, char **operands) {
    struct parser p = {own, shared, argv, argc, 1};
    bool ended = false;
    *count = 0;
    while (p.next < argc) {
        char *word = argv[p.next++];
        int code = OK;
        if (ended || word[0] != '-' || !word[1])
            operands[(*count)++] = word;
        else if (strcmp(word, "--") == 0)
            ended = true;
        else
            code = word[1] == '-' ? parse_long(&p, word) : parse_short(&p, word);
        if (code != OK)
            return code;
    }
    return OK;
}

void options_release(struct option *table) {
    for (; table->name; table++) {
        if (table->type != OPTION_LIST)
            continue;
        struct string_list *list = table->value;
        free(list->items);
        *list = (struct string_list){0};
    }
}

bool option_given(const struct option *options, const char *name) {
    for (; options->name; options++)
        if (strcmp(options->name, name) == 0)
            return options->given;
    return false;
}
