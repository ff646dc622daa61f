#include "prior.h"

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PRIOR_BYTES = 16 << 20 };

// Numbers separated by commas or white space; false where something else is there.
static bool parse(const char *text, double *prior, uint32_t experts, uint32_t *count) {
    const char *gap = ", \t\r\n";
    for (*count = 0;; (*count)++) {
        text += strspn(text, gap);
        if (!*text)
            return true;
        char *end;
        double value = strtod(text, &end);
        if (end == text || (*end && !strchr(gap, *end)))
            return false;
        if (*count < experts)
            prior[*count] = value;
        text = end;
    }
}

static int check(const char *name, int code, const double *prior, uint32_t experts, uint32_t count) {
    if (count != experts)
        return error_set(code, "prior %s: %u numbers for %u experts", name, count, experts);
    double sum = 0;
    for (uint32_t j = 0; j < experts; j++) {
        if (!(prior[j] >= 0) || isinf(prior[j]))
            return error_set(code, "prior %s: number %u is no probability", name, j + 1);
        sum += prior[j];
    }
    if (!(sum > 0) || isinf(sum))
        return error_set(code, "prior %s: the numbers sum to %g", name, sum);
    return OK;
}

int prior_read(double **out, const char *text, uint32_t experts) {
    double *prior = *out = memory_new(experts, sizeof *prior);
    struct buffer file = {0};
    uint32_t count;
    int code = ERROR_USAGE;
    int rc = prior ? OK : ERROR_SYSTEM;
    if (rc == OK && !parse(text, prior, experts, &count)) {
        code = ERROR_INPUT;
        rc = path_exists(text) ? file_read(text, PRIOR_BYTES, &file)
                               : error_set(ERROR_USAGE, "prior %s: neither numbers nor a file", text);
        if (rc == OK && (memchr(file.data, 0, file.size) || !parse((char *)file.data, prior, experts, &count)))
            rc = error_set(code, "prior %s: not a list of numbers", text);
    }
    if (rc == OK)
        rc = check(text, code, prior, experts, count);
    buffer_release(&file);
    if (rc != OK) {
        free(prior);
        *out = NULL;
    }
    return rc;
}
