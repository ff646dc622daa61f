#include "collect.h"
#include "report.h"

#include "base/error.h"
#include "base/memory.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { ALWAYS, WITH_BASELINE, WITH_CHOICES };
enum { CELL = 64 };

// The columns behind the group's, by their place in struct measured.
static const struct column {
    const char *name;  // in TSV; an interval has two columns, _low and _high
    const char *title; // in the table; NULL: in TSV only
    size_t place;
    int digits; // behind the point, in the table
    bool interval;
    int when;
} columns[] = {
    {"sequences", "sequences", offsetof(struct measured, sequences), 0, false, ALWAYS},
    {"share", "share", offsetof(struct measured, share), 3, false, ALWAYS},
    {"tokens", "tokens", offsetof(struct measured, tokens), 0, false, ALWAYS},
    {"bytes", NULL, offsetof(struct measured, bytes), 0, false, ALWAYS},
    {"nats", NULL, offsetof(struct measured, model.nats), 0, false, ALWAYS},
    {"nats_per_token", "nats/token", offsetof(struct measured, model.nats_per_token), 4, false, ALWAYS},
    {"perplexity", "perplexity", offsetof(struct measured, model.perplexity), 3, false, ALWAYS},
    {"perplexity_ci95", "95% interval", offsetof(struct measured, model.perplexity_ci95), 3, true, ALWAYS},
    {"bits_per_byte", "bits/byte", offsetof(struct measured, model.bits_per_byte), 4, false, ALWAYS},
    {"bits_per_byte_ci95", NULL, offsetof(struct measured, model.bits_per_byte_ci95), 4, true, ALWAYS},
    {"baseline_perplexity", "baseline", offsetof(struct measured, baseline.perplexity), 3, false, WITH_BASELINE},
    {"difference", NULL, offsetof(struct measured, difference), 4, false, WITH_BASELINE},
    {"difference_ci95", NULL, offsetof(struct measured, difference_ci95), 4, true, WITH_BASELINE},
    {"improvement_percent", "better by %", offsetof(struct measured, improvement), 2, false, WITH_BASELINE},
    {"improvement_percent_ci95", "95% interval", offsetof(struct measured, improvement_ci95), 2, true,
     WITH_BASELINE},
    {"questions", "questions", offsetof(struct measured, questions), 0, false, WITH_CHOICES},
    {"acc", "acc", offsetof(struct measured, model.acc), 4, false, WITH_CHOICES},
    {"acc_norm", "acc_norm", offsetof(struct measured, model.acc_norm), 4, false, WITH_CHOICES},
};
enum { COLUMNS = sizeof columns / sizeof *columns, TABLE_COLUMNS = COLUMNS + 2 };

static bool wanted(const struct report *r, const struct column *c) {
    return c->when == ALWAYS || (c->when == WITH_BASELINE ? r->has_baseline : r->has_choices);
}

static double value_at(const struct measured *m, size_t place) {
    double value;
    memcpy(&value, (const char *)m + place, sizeof value);
    return value;
}

static uint32_t row_count(const struct report *r) {
    return r->group_count + (r->from ? 2 : 1);
}

// Groups, then all positions, then the total.
static const struct measured *row_at(const struct report *r, uint32_t i) {
    if (i < r->group_count)
        return &r->groups[i];
    return r->from && i == r->group_count ? &r->all_positions : &r->total;
}

static const char *row_kind(const struct report *r, uint32_t i) {
    if (i < r->group_count)
        return "group";
    return r->from && i == r->group_count ? "all_positions" : "total";
}

// ---- TSV ----

static int tsv_value(struct buffer *out, double value) {
    return isnan(value) ? buffer_append_string(out, "\tnan") : buffer_append_format(out, "\t%.17g", value);
}

static int tsv_row(const struct report *r, uint32_t i, struct buffer *out) {
    const struct measured *m = row_at(r, i);
    int rc = buffer_append_format(out, "%s\t%s", row_kind(r, i), m->domain ? m->domain : "");
    if (rc == OK)
        rc = m->expert >= 0 ? buffer_append_format(out, "\t%d", m->expert) : buffer_append_string(out, "\t");
    for (int c = 0; c < COLUMNS && rc == OK; c++) {
        if (!wanted(r, &columns[c]))
            continue;
        rc = tsv_value(out, value_at(m, columns[c].place));
        if (rc == OK && columns[c].interval)
            rc = tsv_value(out, value_at(m, columns[c].place + sizeof(double)));
    }
    return rc == OK ? buffer_append_string(out, "\n") : rc;
}

int report_tsv(const struct report *r, struct buffer *out) {
    int rc = buffer_append_string(out, "row\tdomain\texpert");
    for (int c = 0; c < COLUMNS && rc == OK; c++) {
        const char *name = columns[c].name;
        if (wanted(r, &columns[c]))
            rc = columns[c].interval ? buffer_append_format(out, "\t%s_low\t%s_high", name, name)
                                     : buffer_append_format(out, "\t%s", name);
    }
    if (rc == OK)
        rc = buffer_append_string(out, "\n");
    for (uint32_t i = 0; i < row_count(r) && rc == OK; i++)
        rc = tsv_row(r, i, out);
    return rc;
}

// ---- the table ----

static void format_value(char *cell, size_t size, double value, int digits) {
    if (isnan(value))
        snprintf(cell, size, "-");
    else
        snprintf(cell, size, digits > 0 && fabs(value) >= 1e9 ? "%.*e" : "%.*f", digits, value);
}

// Cell c of row i, or of the title line with i = UINT32_MAX. Columns 0 and 1 name the group. Domain names are
// returned whole, everything else through `cell`.
static const char *table_cell(const struct report *r, uint32_t i, int c, char cell[CELL]) {
    bool title = i == UINT32_MAX;
    const struct measured *m = title ? NULL : row_at(r, i);
    if (c == 0) {
        if (title)
            return r->by & BY_DOMAIN ? "domain" : "";
        if (i >= r->group_count)
            return r->from && i == r->group_count ? "all positions" : "total";
        return m->domain ? m->domain : "";
    }
    if (c == 1) {
        if (title)
            return "expert";
        snprintf(cell, CELL, "%d", m->expert);
        return m->expert >= 0 ? cell : "";
    }
    const struct column *column = &columns[c - 2];
    if (title)
        return column->title;
    double value = value_at(m, column->place);
    format_value(cell, CELL, value, column->digits);
    if (column->interval && !isnan(value)) {
        size_t n = strlen(cell);
        snprintf(cell + n, CELL - n, " .. ");
        n = strlen(cell);
        format_value(cell + n, CELL - n, value_at(m, column->place + sizeof(double)), column->digits);
    }
    return cell;
}

static bool shown(const struct report *r, int c) {
    if (c < 2)
        return c == 0 || (r->by & BY_EXPERT);
    const struct column *column = &columns[c - 2];
    return column->title && wanted(r, column) && (strcmp(column->name, "share") != 0 || r->by);
}

static int table_line(const struct report *r, uint32_t i, const int width[TABLE_COLUMNS], struct buffer *out) {
    int rc = OK;
    for (int c = 0; c < TABLE_COLUMNS && rc == OK; c++) {
        char cell[CELL];
        if (shown(r, c))
            rc = buffer_append_format(out, "%s%*s", c ? "  " : "", c ? width[c] : -width[c],
                                      table_cell(r, i, c, cell));
    }
    return rc == OK ? buffer_append_string(out, "\n") : rc;
}

int report_table(const struct report *r, struct buffer *out) {
    int width[TABLE_COLUMNS] = {0};
    for (int c = 0; c < TABLE_COLUMNS; c++) {
        for (uint32_t i = 0; shown(r, c) && i <= row_count(r); i++) {
            char cell[CELL];
            int n = (int)strlen(table_cell(r, i < row_count(r) ? i : UINT32_MAX, c, cell));
            width[c] = n > width[c] ? n : width[c];
        }
    }
    int rc = table_line(r, UINT32_MAX, width, out);
    for (uint32_t i = 0; i < row_count(r) && rc == OK; i++)
        rc = table_line(r, i, width, out);
    if (rc == OK && r->from)
        rc = buffer_append_format(out, "positions below %u are left out, except in the line 'all positions'\n",
                                  r->from);
    if (rc == OK && r->improper)
        rc = buffer_append_format(out, "rule '%s' is improper: a bound or a score, not a model\n",
                                  r->rule ? r->rule : "unknown");
    return rc;
}
