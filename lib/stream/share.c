#include "stream/share.h"
#include "base/error.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdlib.h>

struct share {
    struct stream *tokens, *assignment;
    uint64_t begin, end; // end = UINT64_MAX where the stream's end is not known
    uint64_t next;       // sequences read
    uint32_t expert;
};

static uint64_t range_of(const struct share *share) {
    return share->end == UINT64_MAX ? 0 : share->end - share->begin;
}

static int select_tokens(struct share *share) {
    struct stream *s = share->tokens;
    bool whole = share->begin == 0 && share->end == UINT64_MAX;
    if (stream_seekable(s)) {
        uint64_t count = stream_count(s);
        if (share->end == UINT64_MAX)
            share->end = count;
        if (!whole && (share->begin >= share->end || share->end > count))
            return error_set(ERROR_INPUT, "%s: has %" PRIu64 " sequences, not %" PRIu64 "..%" PRIu64,
                             stream_name(s), count, share->begin, share->end);
    }
    return whole ? OK : stream_select(s, share->begin, share->end);
}

// Which part of the assignment belongs to the selected sequences.
static int select_assignment(struct share *share) {
    struct stream *a = share->assignment, *s = share->tokens;
    uint64_t range = range_of(share);
    if (!stream_seekable(a) || range == 0)
        return OK;
    uint64_t count = stream_count(a);
    if (count == range)
        return OK;
    if (!stream_seekable(s) ? count >= share->end : count == stream_count(s))
        return stream_select(a, share->begin, share->end);
    return error_set(ERROR_INPUT, "%s: assigns %" PRIu64 " sequences, but %" PRIu64 " of %s are selected",
                     stream_name(a), count, range, stream_name(s));
}

static int open_assignment(struct share *share, const char *path) {
    int code = stream_open(&share->assignment, path, 1u << STREAM_ASSIGNMENT);
    if (code == OK)
        code = stream_match(share->tokens, share->assignment);
    if (code == OK)
        code = stream_match_corpus(share->tokens, share->assignment);
    if (code != OK)
        return code;
    const struct stream_header *h = stream_header(share->assignment);
    if (share->expert >= h->experts)
        return error_set(ERROR_INPUT, "%s: has %" PRIu32 " experts, so none is number %" PRIu32,
                         stream_name(share->assignment), h->experts, share->expert);
    return select_assignment(share);
}

int share_open(struct share **share, const char *tokens, const struct share_options *options) {
    struct share *new = memory_new(1, sizeof *new);
    *share = NULL;
    if (!new)
        return ERROR_SYSTEM;
    new->begin = options->begin;
    new->end = options->end;
    new->expert = options->expert;
    int code = stream_open(&new->tokens, tokens, 1u << STREAM_TOKENS);
    if (code == OK)
        code = select_tokens(new);
    if (code == OK && options->assignment)
        code = open_assignment(new, options->assignment);
    if (code != OK) {
        share_close(new);
        return code;
    }
    *share = new;
    return OK;
}

void share_close(struct share *share) {
    if (!share)
        return;
    stream_close(share->tokens);
    stream_close(share->assignment);
    free(share);
}

struct stream *share_tokens(const struct share *share) {
    return share->tokens;
}

struct stream *share_assignment(const struct share *share) {
    return share->assignment;
}

uint64_t share_range(const struct share *share) {
    return range_of(share);
}

static bool is_assigned(const struct share *share, const struct record *r) {
    const struct stream_header *h = stream_header(share->assignment);
    for (uint32_t k = 0; k < r->count; k++)
        if (record_expert(h, r, k) == share->expert)
            return true;
    return false;
}

static int count_mismatch(const struct share *share, bool tokens_left) {
    const struct stream *longer = tokens_left ? share->tokens : share->assignment;
    const struct stream *shorter = tokens_left ? share->assignment : share->tokens;
    return error_set(ERROR_INPUT, "%s: ends after %" PRIu64 " sequences, but %s goes on", stream_name(shorter),
                     share->next, stream_name(longer));
}

// One step of the lockstep: *mine says whether the sequence belongs to the share.
static int step(struct share *share, struct record *r, bool *got, bool *mine) {
    int code = stream_next(share->tokens, r, got);
    *mine = *got;
    if (code == OK && share->assignment) {
        struct record assigned;
        bool more;
        code = stream_next(share->assignment, &assigned, &more);
        if (code == OK && more != *got)
            return count_mismatch(share, *got);
        if (code == OK && more)
            code = record_match(share->tokens, r, share->assignment, &assigned, share->begin + share->next);
        if (code == OK && more)
            *mine = is_assigned(share, &assigned);
    }
    if (code == OK && *got)
        share->next++;
    return code;
}

int share_next(struct share *share, struct record *r, bool *got) {
    bool mine = false;
    do {
        int code = step(share, r, got, &mine);
        if (code != OK)
            return code;
    } while (*got && !mine);
    // A pipe shows only at its end that the range was larger than the stream.
    if (!*got && share->end != UINT64_MAX && share->next < share->end - share->begin)
        return error_set(ERROR_INPUT, "%s: has %" PRIu64 " sequences, not %" PRIu64 "..%" PRIu64,
                         stream_name(share->tokens), share->begin + share->next, share->begin, share->end);
    return OK;
}

int share_finish(struct share *share) {
    int code = stream_finish(share->tokens);
    if (code == OK && share->assignment)
        code = stream_finish(share->assignment);
    if (code == OK && share->assignment) // of a pipe known only now
        code = stream_match_corpus(share->tokens, share->assignment);
    return code;
}

static int append_entry(struct share_entry **entries, uint64_t *count, uint64_t *room, uint64_t ordinal,
                        const struct record *r) {
    if (*count == *room) {
        uint64_t more = *room > 0 ? 2 * *room : 1024;
        int code = memory_resize(entries, more, sizeof **entries);
        if (code != OK)
            return code;
        *room = more;
    }
    (*entries)[(*count)++] = (struct share_entry){ordinal, r->id, r->predicted};
    return OK;
}

int share_index(struct share *share, struct share_entry **entries, uint64_t *first, uint64_t *count) {
    *entries = NULL;
    *first = share->begin;
    *count = range_of(share);
    if (!share->assignment)
        return OK;
    uint64_t room = 0, range = *count;
    *count = 0;
    for (uint64_t n = 0;; n++) {
        struct record r;
        bool got;
        int code = stream_next(share->assignment, &r, &got);
        if (code == OK && got != (n < range))
            code = error_set(ERROR_INPUT, "%s: does not assign the %" PRIu64 " selected sequences of %s",
                             stream_name(share->assignment), range, stream_name(share->tokens));
        if (code == OK && got && is_assigned(share, &r))
            code = append_entry(entries, count, &room, share->begin + n, &r);
        if (code != OK) {
            free(*entries);
            *entries = NULL;
            return code;
        }
        if (!got)
            return OK;
    }
}
