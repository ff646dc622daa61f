#include "train/feed.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/random.h"

#include <inttypes.h>
#include <stdlib.h>

// Decoded frames that a shuffled feed keeps, of all its sources. In stream order the frame in hand is enough.
enum { CACHE_BYTES = 512 << 20, FRAME_BYTES = 3 << 20, RECORD_BYTES = 48 };
// Streams of random numbers under the seed: lane choice, and one per lane and epoch.
enum { RANDOM_LANES = 0x6c616e65, RANDOM_EPOCHS = 0x65706f63 };

struct source {
    struct share *share;
    struct share_entry *entries; // NULL: the plain range from `first` on
    uint64_t first, count;
};

struct lane {
    int first, count; // sources
    uint64_t sequences, drawn;
    double until; // upper end of its interval of the uniform number, cumulative weight
};

struct feed {
    struct source *sources;
    struct lane *lanes;
    int source_count, lane_count;
    int reading; // pipes: the source being read
    int latest;  // source of the latest sample
    bool piped, shuffle, finished;
    uint64_t seed, drawn, others;
};

// ---- opening ----

static uint64_t cache_of(const struct feed_options *options) {
    uint64_t streams = (uint64_t)(options->count > 1 ? options->count : 1) * (options->others + 1);
    return options->shuffle ? CACHE_BYTES / streams : 0;
}

static int open_source(struct source *source, const char *path, const struct feed_options *all) {
    const struct share_options *options = &all->share;
    int code = share_open(&source->share, path, options);
    if (code != OK)
        return code;
    struct stream *s = share_tokens(source->share);
    if (!stream_seekable(s))
        return OK;
    stream_cache(s, cache_of(all));
    code = stream_finish(s);
    if (code == OK)
        code = share_index(source->share, &source->entries, &source->first, &source->count);
    if (code == OK && options->assignment)
        code = stream_finish(share_assignment(source->share));
    if (code == OK && source->count == 0)
        code =
            options->assignment
                ? error_set(ERROR_INPUT, "%s: assigns no sequence to expert %" PRIu32, options->assignment,
                            options->expert)
                : error_set(ERROR_INPUT, "%s: has no sequences, so there is nothing to train on", stream_name(s));
    return code;
}

static int open_sources(struct feed *f, const struct feed_options *options) {
    f->source_count = options->count > 0 ? options->count : 1;
    f->sources = memory_new((size_t)f->source_count, sizeof *f->sources);
    if (!f->sources)
        return ERROR_SYSTEM;
    for (int i = 0; i < f->source_count; i++) {
        const char *path = options->count > 0 ? options->paths[i] : NULL;
        int code = open_source(&f->sources[i], path, options);
        if (code == OK && i > 0)
            code = stream_match(share_tokens(f->sources[0].share), share_tokens(f->sources[i].share));
        if (code != OK)
            return code;
        if (!stream_seekable(share_tokens(f->sources[i].share)))
            f->piped = true;
    }
    return OK;
}

static int make_lanes(struct feed *f, const double *weights) {
    f->lane_count = weights ? f->source_count : 1;
    f->lanes = memory_new((size_t)f->lane_count, sizeof *f->lanes);
    if (!f->lanes)
        return ERROR_SYSTEM;
    double sum = 0, all = 0;
    for (int i = 0; weights && i < f->source_count; i++)
        all += weights[i];
    for (int i = 0; i < f->lane_count; i++) {
        struct lane *lane = &f->lanes[i];
        lane->first = i;
        lane->count = weights ? 1 : f->source_count;
        for (int k = 0; k < lane->count; k++)
            lane->sequences += f->sources[i + k].count;
        sum += weights ? weights[i] : 0;
        lane->until = weights ? sum / all : 1;
    }
    return OK;
}

int feed_open(struct feed **f, const struct feed_options *options) {
    struct feed *new = memory_new(1, sizeof *new);
    *f = NULL;
    if (!new)
        return ERROR_SYSTEM;
    new->shuffle = options->shuffle;
    new->seed = options->seed;
    new->others = options->others;
    int code = open_sources(new, options);
    if (code == OK && new->piped && options->shuffle)
        code = error_set(ERROR_USAGE, "--shuffle: a pipe keeps its order; give a file, or use shard --shuffle");
    if (code == OK && new->piped && options->weights)
        code = error_set(ERROR_USAGE, "--weights: needs files, not pipes");
    if (code == OK)
        code = make_lanes(new, options->weights);
    if (code != OK) {
        feed_close(new);
        return code;
    }
    *f = new;
    return OK;
}

void feed_close(struct feed *f) {
    if (!f)
        return;
    for (int i = 0; f->sources && i < f->source_count; i++) {
        share_close(f->sources[i].share);
        free(f->sources[i].entries);
    }
    free(f->sources);
    free(f->lanes);
    free(f);
}

// ---- what is known ----

static const struct stream_header *header_of(const struct feed *f, int i) {
    return stream_header(share_tokens(f->sources[i].share));
}

bool feed_piped(const struct feed *f) {
    return f->piped;
}

uint64_t feed_sequences(const struct feed *f) {
    uint64_t n = 0;
    for (int i = 0; i < f->source_count; i++)
        n += f->sources[i].count;
    return f->piped ? 0 : n;
}

// A frame in hand with what it is decoded from; in a shuffled feed all frames that the cache will hold.
uint64_t feed_memory(const struct feed *f) {
    uint64_t bytes = 0;
    for (int i = 0; i < f->source_count; i++) {
        const struct source *source = &f->sources[i];
        const struct stream_header *h = header_of(f, i);
        uint64_t most = CACHE_BYTES / ((uint64_t)f->source_count * (f->others + 1)),
                 n = f->piped ? 0 : stream_count(share_tokens(source->share));
        uint64_t decoded = h->length ? n * (h->length * (h->dtype == STREAM_U16 ? 2 : 4) + RECORD_BYTES) : most;
        bytes += FRAME_BYTES + (source->entries ? source->count * sizeof *source->entries : 0);
        bytes += !f->shuffle ? 0 : decoded < most ? decoded : most;
    }
    return bytes;
}

uint32_t feed_length(const struct feed *f, const char **name) {
    uint32_t length = 0;
    for (int i = 0; i < f->source_count; i++) {
        if (header_of(f, i)->length == 0)
            return 0;
        if (header_of(f, i)->length > length) {
            length = header_of(f, i)->length;
            *name = stream_name(share_tokens(f->sources[i].share));
        }
    }
    return length;
}

uint32_t feed_vocab_size(const struct feed *f, const char **name) {
    uint32_t size = 0;
    for (int i = 0; i < f->source_count; i++)
        if (header_of(f, i)->vocab_size >= size) {
            size = header_of(f, i)->vocab_size;
            *name = stream_name(share_tokens(f->sources[i].share));
        }
    return size;
}

struct digest feed_vocab(const struct feed *f, const char **name) {
    struct digest none = {{0}};
    for (int i = 0; i < f->source_count; i++)
        if (digest_known(&header_of(f, i)->vocab)) {
            *name = stream_name(share_tokens(f->sources[i].share));
            return header_of(f, i)->vocab;
        }
    return none;
}

uint64_t feed_drawn(const struct feed *f) {
    return f->drawn;
}

const char *feed_latest(const struct feed *f) {
    return stream_name(share_tokens(f->sources[f->latest].share));
}

double feed_epochs(const struct feed *f) {
    uint64_t n = feed_sequences(f);
    return n > 0 ? (double)f->drawn / (double)n : 0;
}

// ---- samples ----

static struct lane *pick_lane(struct feed *f, uint64_t n) {
    if (f->lane_count == 1)
        return f->lanes;
    double u = random_uniform(f->seed, RANDOM_LANES, n);
    int i = 0;
    while (i < f->lane_count - 1 && u >= f->lanes[i].until)
        i++;
    return &f->lanes[i];
}

static int read_sample(const struct source *source, uint64_t i, struct record *r) {
    struct stream *s = share_tokens(source->share);
    const struct share_entry *entry = source->entries ? &source->entries[i] : NULL;
    uint64_t ordinal = entry ? entry->ordinal : source->first + i;
    int code = stream_read(s, ordinal, r);
    if (code == OK && entry && r->id != entry->id)
        return error_set(ERROR_INPUT, "%s: sequence %" PRIu64 " has id %" PRIu64 ", but %s has id %" PRIu64,
                         stream_name(s), ordinal, r->id, stream_name(share_assignment(source->share)), entry->id);
    if (code == OK && entry && r->predicted != entry->predicted)
        return error_set(
            ERROR_INPUT, "%s: sequence %" PRIu64 " predicts %" PRIu32 " tokens, but %s has %" PRIu32 " of it",
            stream_name(s), ordinal, r->predicted, stream_name(share_assignment(source->share)), entry->predicted);
    return code;
}

static int next_of_files(struct feed *f, struct record *r, int *from) {
    struct lane *lane = pick_lane(f, f->drawn);
    uint64_t epoch = lane->drawn / lane->sequences, i = lane->drawn % lane->sequences;
    uint64_t order = (uint64_t)RANDOM_EPOCHS << 32 ^ (uint64_t)lane->first << 24 ^ epoch;
    if (f->shuffle)
        i = random_permute(f->seed, order, lane->sequences, i);
    int source = lane->first;
    while (i >= f->sources[source].count)
        i -= f->sources[source++].count;
    *from = source;
    int code = read_sample(&f->sources[source], i, r);
    if (code == OK)
        lane->drawn++;
    return code;
}

int feed_look(const struct feed *f, uint64_t n, struct record *r, const struct stream_header **h) {
    int source = 0;
    while (n >= f->sources[source].count)
        n -= f->sources[source++].count;
    *h = header_of(f, source);
    return read_sample(&f->sources[source], n, r);
}

static int next_of_pipes(struct feed *f, struct record *r, int *from, bool *got) {
    for (*got = false; f->reading < f->source_count; f->reading++) {
        int code = share_next(f->sources[f->reading].share, r, got);
        *from = f->reading;
        if (code != OK || *got) {
            f->lanes[0].drawn += code == OK;
            return code;
        }
    }
    return OK;
}

int feed_next(struct feed *f, struct record *r, const struct stream_header **h, const char **name, bool *got) {
    int from = 0;
    *got = true;
    int code = f->piped ? next_of_pipes(f, r, &from, got) : next_of_files(f, r, &from);
    f->latest = from;
    *h = header_of(f, from);
    *name = feed_latest(f);
    if (code == OK && *got)
        f->drawn++;
    return code;
}

json_t *feed_position(const struct feed *f) {
    json_t *list = json_array();
    for (int i = 0; list && i < f->lane_count; i++)
        if (json_array_append_new(list, json_integer((json_int_t)f->lanes[i].drawn)) != 0) {
            json_decref(list);
            list = NULL;
        }
    if (!list)
        error_set(ERROR_SYSTEM, "out of memory: writing json");
    return list;
}

int feed_restore(struct feed *f, const json_t *position) {
    uint64_t drawn = 0;
    if (!json_is_array(position) || json_array_size(position) != (size_t)f->lane_count)
        return error_set(ERROR_INPUT, "key 'position': not a list of %d numbers", f->lane_count);
    for (int i = 0; i < f->lane_count; i++) {
        const json_t *n = json_array_get(position, (size_t)i);
        if (!json_is_integer(n) || json_integer_value(n) < 0)
            return error_set(ERROR_INPUT, "key 'position': not a list of %d numbers", f->lane_count);
        drawn += (uint64_t)json_integer_value(n);
        if (!f->piped)
            f->lanes[i].drawn = (uint64_t)json_integer_value(n);
    }
    while (f->piped && f->drawn < drawn) {
        struct record r;
        const struct stream_header *h;
        const char *name;
        bool got;
        int code = feed_next(f, &r, &h, &name, &got);
        if (code == OK && !got)
            code =
                error_set(ERROR_INPUT, "%s: ends before sequence %" PRIu64 ", where the run stopped", name, drawn);
        if (code != OK)
            return code;
    }
    f->drawn = drawn;
    return OK;
}

// ---- the end ----

int feed_finish(struct feed *f) {
    for (int i = 0; i < f->source_count; i++) {
        int code = share_finish(f->sources[i].share);
        if (code != OK)
            return code;
    }
    f->finished = true;
    return OK;
}

static int append_digest(struct buffer *text, const struct stream *s) {
    struct digest content = stream_content(s);
    char hex[33];
    digest_format(&content, hex);
    return buffer_append_format(text, "%s%s", text->size > 0 ? "," : "", hex);
}

char *feed_digests(const struct feed *f) {
    struct buffer text = {0};
    if (f->piped && !f->finished)
        return NULL;
    int code = OK;
    for (int i = 0; i < f->source_count && code == OK; i++) {
        code = append_digest(&text, share_tokens(f->sources[i].share));
        if (code == OK && share_assignment(f->sources[i].share))
            code = append_digest(&text, share_assignment(f->sources[i].share));
    }
    if (code == OK)
        code = buffer_append(&text, "", 1);
    if (code != OK) {
        buffer_release(&text);
        return NULL;
    }
    return (char *)text.data;
}
