// The last stage of encoding, in the order of the input: duplicates, long documents, and the way into the packer.
#include "base/error.h"
#include "text/cutting.h"
#include "tokenize/encoding.h"

int held_init(struct held *h) {
    spool_init(&h->ids);
    spool_init(&h->text);
    h->split = XXH3_createState();
    h->digest = XXH3_createState();
    if (!h->split || !h->digest)
        return error_set(ERROR_SYSTEM, "out of memory: hashing documents");
    return frequency_init(&h->frequency);
}

void held_release(struct held *h) {
    spool_release(&h->ids);
    spool_release(&h->text);
    buffer_release(&h->tail);
    frequency_release(&h->frequency);
    XXH3_freeState(h->split);
    XXH3_freeState(h->digest);
}

// Tokens go to the packer, or are only counted.
static int encoding_add(struct encoding *e, int part, const char *domain, const uint32_t *ids, size_t count,
                        bool last) {
    return e->packer ? packer_add(e->packer, part, domain, ids, count, last)
                     : counts_add(&e->counts, domain, 0, 0, count);
}

// The verdict, now that every document before this one is settled.
static int find_duplicate(struct encoding *e, const struct digest *digest, enum verdict *verdict) {
    bool added = true;
    pthread_mutex_lock(&e->mutex);
    int code = digest_set_add(&e->seen, digest, &added);
    pthread_mutex_unlock(&e->mutex);
    if (!added)
        *verdict = DUPLICATE;
    return code;
}

static int count_document(struct encoding *e, int part, const char *domain, enum verdict verdict, uint64_t bytes) {
    e->dropped[verdict]++;
    e->repeats_met = e->repeats_met || filter_applies(&e->job->repeats, domain);
    e->frequency_met = e->frequency_met || filter_applies(&e->job->frequency, domain);
    if (verdict != KEPT)
        return OK;
    e->documents[part]++;
    e->totals.documents++;
    e->totals.bytes += bytes;
    return e->packer ? OK : counts_add(&e->counts, domain, 1, bytes, 0);
}

static int settle_whole(struct encoding *e, const struct batch *b, const struct item *item) {
    enum verdict verdict = item->verdict;
    const uint32_t *ids = (const uint32_t *)b->ids.data + item->ids;
    if (item->bytes == 0) {
        e->totals.empty++;
        return OK;
    }
    int code = e->job->no_duplicates ? find_duplicate(e, &item->digest, &verdict) : OK;
    const char *domain = encoding_domain(e, b, item);
    if (code == OK)
        code = count_document(e, item->part, domain, verdict, item->bytes);
    return code == OK && verdict == KEPT ? encoding_add(e, item->part, domain, ids, item->count, true) : code;
}

// ---- long documents ----

static void start_held(struct encoding *e) {
    struct held *h = &e->held;
    spool_clear(&h->ids);
    spool_clear(&h->text);
    buffer_clear(&h->tail);
    frequency_start(&h->frequency);
    XXH3_64bits_reset(h->split);
    XXH3_128bits_reset(h->digest);
    h->bytes = 0;
    h->repeats = false;
}

// What repeats across the border of two pieces lies within so many ids on either side.
static int join_ids(struct held *h, const uint32_t *ids, size_t count) {
    size_t some = count < REPEATS_SPAN ? count : REPEATS_SPAN;
    int code = buffer_append(&h->tail, ids, some * sizeof *ids);
    if (code != OK)
        return code;
    h->repeats = h->repeats || ids_repeat((const uint32_t *)h->tail.data, h->tail.size / sizeof *ids);
    size_t most = REPEATS_SPAN * sizeof *ids;
    if (some < count) {
        buffer_clear(&h->tail);
        return buffer_append(&h->tail, ids + count - some, some * sizeof *ids);
    }
    if (h->tail.size > most) {
        memmove(h->tail.data, h->tail.data + h->tail.size - most, most);
        h->tail.size = most;
    }
    return OK;
}

static int hold(struct encoding *e, const struct batch *b, const struct item *item, const char *domain) {
    struct held *h = &e->held;
    const uint8_t *text = b->text.data + item->begin;
    const uint32_t *ids = (const uint32_t *)b->ids.data + item->ids;
    int code = OK;
    XXH3_64bits_update(h->split, text, item->size);
    XXH3_128bits_update(h->digest, text, item->size);
    h->repeats = h->repeats || item->repeats;
    if (filter_applies(&e->job->repeats, domain))
        code = join_ids(h, ids, item->tokens);
    if (code == OK && filter_applies(&e->job->frequency, domain)) {
        frequency_add(&h->frequency, text, item->size);
        code = spool_add(&h->text, text, item->size);
    }
    return code == OK ? spool_add(&h->ids, ids, item->count * sizeof *ids) : code;
}

static int count_words(void *context, const uint8_t *text, size_t size) {
    frequency_add(context, text, size);
    return OK;
}

static int judge_held(struct encoding *e, const char *domain, enum verdict *verdict) {
    struct held *h = &e->held;
    int code = OK;
    *verdict = KEPT;
    if (h->repeats)
        *verdict = REPEATED;
    if (filter_applies(&e->job->frequency, domain)) {
        frequency_again(&h->frequency);
        code = spool_each(&h->text, count_words, &h->frequency);
        if (frequency_is_high(&h->frequency))
            *verdict = FREQUENT;
    }
    if (code == OK && e->job->no_duplicates) {
        struct digest digest = digest_final(h->digest);
        code = find_duplicate(e, &digest, verdict);
    }
    return code;
}

struct pouring {
    struct encoding *encoding;
    const char *domain;
    int part;
};

static int pour(void *context, const uint8_t *data, size_t size) {
    const struct pouring *p = context;
    return encoding_add(p->encoding, p->part, p->domain, (const uint32_t *)data, size / sizeof(uint32_t), false);
}

static int settle_held(struct encoding *e, const char *domain) {
    struct held *h = &e->held;
    struct pouring pouring = {.encoding = e, .domain = domain};
    enum verdict verdict;
    int code = judge_held(e, domain, &verdict);
    if (code != OK)
        return code;
    if (e->split.count > 0)
        pouring.part = document_split_part_of(&e->split, XXH3_64bits_digest(h->split));
    code = count_document(e, pouring.part, domain, verdict, h->bytes);
    if (code == OK && verdict == KEPT) {
        code = spool_each(&h->ids, pour, &pouring);
        if (code == OK)
            code = encoding_add(e, pouring.part, domain, NULL, 0, true);
    }
    spool_clear(&h->ids);
    spool_clear(&h->text);
    return code;
}

// A piece that only its turn has come for.
static int encode_in_order(struct encoding *e, struct batch *b, struct item *item, const char *domain) {
    const struct document document = {.text = b->text.data + item->begin, .size = item->size};
    int code = e->in_order ? OK : encoding_make_encoder(e, &e->in_order);
    if (code != OK || item->size == 0)
        return code;
    return encoding_encode(e, e->in_order, b, item, &document, domain);
}

static int settle_piece(struct encoding *e, struct batch *b, struct item *item) {
    const char *domain = encoding_domain(e, b, item);
    if (vocabulary_needs_order(e->vocabulary)) {
        int code = encode_in_order(e, b, item, domain);
        if (code != OK)
            return code;
    }
    const uint32_t *ids = (const uint32_t *)b->ids.data + item->ids;
    bool holds = e->split.count > 0 || e->job->no_duplicates || filter_applies(&e->job->repeats, domain) ||
                 filter_applies(&e->job->frequency, domain);
    if (item->first)
        start_held(e);
    e->held.bytes += item->size;
    if (holds) {
        int code = hold(e, b, item, domain);
        return code == OK && item->last ? settle_held(e, domain) : code;
    }
    int code = item->last ? count_document(e, 0, domain, KEPT, e->held.bytes) : OK;
    return code == OK ? encoding_add(e, 0, domain, ids, item->count, item->last) : code;
}

int encoding_settle(void *context, void *batch) {
    struct encoding *e = context;
    struct batch *b = batch;
    size_t count;
    struct item *items = batch_items(b, &count);
    int code = OK;
    for (size_t i = 0; i < b->done && code == OK; i++)
        code = items[i].first && items[i].last ? settle_whole(e, b, &items[i]) : settle_piece(e, b, &items[i]);
    return code;
}
