// Blocks of sequences become rows (a sequence, its prefix, or overlapping windows of a long one), rows become
// batches, and the batches' log-probs go back to their sequences.
//
// Windows of W positions advance by T: the first scores tokens first..W-1, the next one, from token T on, those
// behind them, and so on, so that each token is scored once, with at least W - T tokens before it.
#include "base/error.h"
#include "route/route.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct scorer_row {
    uint64_t tokens;   // where its tokens begin in row_tokens
    uint64_t logprobs; // where the log-prob of its first scored token goes
    int length, first; // tokens; index of the first scored one
    int sequence;      // of the block
};

int scorer_open(struct scorer *s, struct panel *panel, const struct scorer_options *options) {
    *s = (struct scorer){.panel = panel, .options = *options, .capacity = options->rows};
    int most = 0;
    for (int i = 0; i < panel->group_count; i++)
        most = panel->groups[i].count > most ? panel->groups[i].count : most;
    size_t cells = (size_t)options->rows * (size_t)options->window;
    s->records = memory_new((size_t)s->capacity, sizeof *s->records);
    s->begin = memory_new((size_t)s->capacity + 1, sizeof *s->begin);
    s->packed_tokens = memory_new_aligned(cells * sizeof *s->packed_tokens);
    s->packed_targets = memory_new_aligned(cells * sizeof *s->packed_targets);
    s->out = memory_new_aligned(cells * (size_t)most * sizeof *s->out);
    if (!s->records || !s->begin || !s->packed_tokens || !s->packed_targets || !s->out)
        return ERROR_SYSTEM;
    return batch_new(&s->batch, options->rows, options->window);
}

void scorer_close(struct scorer *s) {
    free(s->records);
    free(s->begin);
    free(s->packed_tokens);
    free(s->packed_targets);
    free(s->out);
    buffer_release(&s->tokens);
    buffer_release(&s->rows);
    buffer_release(&s->row_tokens);
    buffer_release(&s->logprobs);
    batch_free(&s->batch);
}

void scorer_clear(struct scorer *s) {
    s->count = 0;
    buffer_clear(&s->rows);
    buffer_clear(&s->row_tokens);
}

bool scorer_full(const struct scorer *s) {
    return s->count == s->capacity;
}

// ---- sequences to rows ----

static int add_row(struct scorer *s, const uint32_t *tokens, int length, int first, uint64_t logprobs) {
    struct scorer_row row = {s->row_tokens.size / sizeof *tokens, logprobs, length, first, s->count};
    int code = buffer_append(&s->row_tokens, tokens, (size_t)length * sizeof *tokens);
    return code == OK ? buffer_append(&s->rows, &row, sizeof row) : code;
}

// Rows that score tokens first..n-1 of a sequence.
static int cut_rows(struct scorer *s, const uint32_t *tokens, uint32_t n, uint32_t first, uint64_t logprobs) {
    uint32_t window = (uint32_t)s->options.window, stride = (uint32_t)s->options.stride;
    for (uint32_t begin = 0, next = first; next < n; begin += stride) {
        uint32_t end = n - begin < window ? n : begin + window;
        if (end > next) {
            int code =
                add_row(s, tokens + begin, (int)(end - begin), (int)(next - begin), logprobs + next - first);
            if (code != OK)
                return code;
            next = end;
        }
    }
    return OK;
}

// Which tokens are scored: first..n-1, n <= first where there are none.
static void scored_range(const struct scorer *s, const struct record *r, uint32_t *first, uint32_t *n) {
    *first = r->first > 0 ? r->first : 1;
    *n = r->count;
    if (s->options.prefix == PREFIX_CONTEXT) {
        *n = *first < *n ? *first : *n;
        *first = 1;
    } else if (s->options.prefix != PREFIX_WHOLE && *n > s->options.prefix) {
        *n = (uint32_t)s->options.prefix;
    }
}

static int read_tokens(struct scorer *s, const struct stream *from, const struct record *r, uint32_t n) {
    buffer_clear(&s->tokens);
    int code = buffer_reserve(&s->tokens, ((size_t)n + 1) * sizeof(uint32_t));
    if (code != OK)
        return code;
    uint32_t *tokens = (uint32_t *)(void *)s->tokens.data;
    record_tokens(stream_header(from), r, 0, n, tokens);
    for (uint32_t i = 0; i < n; i++)
        if (tokens[i] >= (uint32_t)s->panel->vocab)
            return error_set(ERROR_INPUT, "%s: sequence %" PRIu64 ": token id %" PRIu32 ", but the model has %d",
                             stream_name(from), r->id, tokens[i], s->panel->vocab);
    return OK;
}

int scorer_add(struct scorer *s, const struct stream *from, const struct record *r) {
    uint32_t first, n;
    scored_range(s, r, &first, &n);
    if (s->count == 0)
        s->begin[0] = 0;
    if (n > (uint32_t)s->options.window && s->options.stride == 0)
        return error_set(ERROR_INPUT,
                         "%s: sequence %" PRIu64 " has %" PRIu32
                         " tokens, but the model %d positions; --stride scores it in windows",
                         stream_name(from), r->id, n, s->options.window);
    int code = read_tokens(s, from, r, n);
    if (code == OK && first < n)
        code = cut_rows(s, (const uint32_t *)(const void *)s->tokens.data, n, first, s->begin[s->count]);
    if (code != OK)
        return code;
    s->records[s->count] = *r;
    s->records[s->count].payload = NULL;
    s->begin[s->count + 1] = s->begin[s->count] + (first < n ? n - first : 0);
    s->count++;
    return OK;
}

// ---- rows to log-probs ----

static float *logprobs_of(const struct scorer *s, int model) {
    return (float *)(void *)s->logprobs.data + (size_t)model * s->begin[s->count];
}

// One row's log-probs under one model go to their place. -Inf is legal.
static int keep_row(struct scorer *s, const struct scorer_row *row, int model, const float *out) {
    float *to = logprobs_of(s, model) + row->logprobs;
    for (int k = row->first; k < row->length; k++) {
        float l = out[k - 1];
        if (isnan(l) || l == INFINITY)
            return error_set(ERROR_NUMERIC, "sequence %" PRIu64 ": the log-prob of token %d under model %s is %g",
                             s->records[row->sequence].id, k, s->panel->names[model], (double)l);
        *to++ = l;
    }
    return OK;
}

static int score_group(struct scorer *s, const struct panel_group *g, const struct scorer_row *rows, int n,
                       int S) {
    int code = model_score(g->model, s->packed_tokens, s->packed_targets, n, S, s->out);
    if (code != OK && code != ERROR_NUMERIC)
        return code;
    // A bad number is reported by keep_row, which knows the names.
    for (int m = 0; m < g->count; m++)
        for (int i = 0; i < n; i++) {
            const float *out = s->out + ((size_t)m * (size_t)n + (size_t)i) * (size_t)S;
            int kept = keep_row(s, &rows[i], g->first + m, out);
            if (kept != OK)
                return kept;
        }
    return code;
}

static int score_rows(struct scorer *s, const struct scorer_row *rows, int n) {
    const uint32_t *tokens = (const uint32_t *)(const void *)s->row_tokens.data;
    batch_clear(&s->batch);
    for (int i = 0; i < n; i++) {
        batch_add(&s->batch, tokens + rows[i].tokens, rows[i].length, rows[i].first);
        s->flops += panel_flops(s->panel, rows[i].length);
        s->tokens_scored += rows[i].length;
    }
    int S = batch_longest(&s->batch, 0, n), code = OK;
    batch_pack(&s->batch, 0, n, S, s->packed_tokens, s->packed_targets);
    for (int k = 0; k < s->panel->group_count && code == OK; k++)
        code = score_group(s, &s->panel->groups[k], rows, n, S);
    return code;
}

int scorer_run(struct scorer *s) {
    if (s->count == 0)
        return OK;
    buffer_clear(&s->logprobs);
    size_t bytes = (size_t)s->begin[s->count] * (size_t)s->panel->model_count * sizeof(float);
    int code = buffer_reserve(&s->logprobs, bytes + sizeof(float));
    const struct scorer_row *rows = (const struct scorer_row *)(const void *)s->rows.data;
    int count = (int)(s->rows.size / sizeof *rows);
    for (int i = 0; i < count && code == OK; i += s->options.rows)
        code = score_rows(s, rows + i, count - i < s->options.rows ? count - i : s->options.rows);
    return code;
}

const float *scorer_logprobs(const struct scorer *s, int i, int model, uint32_t *n) {
    *n = (uint32_t)(s->begin[i + 1] - s->begin[i]);
    return logprobs_of(s, model) + s->begin[i];
}
