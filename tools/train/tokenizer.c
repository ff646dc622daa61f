// The checkpoint's tokenizer.json, and whether it is the vocabulary of the tokens.
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "text/vocabulary.h"
#include "train/train.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { SEQUENCES_LOOKED_AT = 32 };

static bool is_json(const struct buffer *file) {
    size_t space = 0;
    while (space < file->size && memchr(" \t\r\n", file->data[space], 4))
        space++;
    return space < file->size && file->data[space] == '{';
}

// ---- a vocabulary by another digest ----

// One vocabulary has several digests: GPT-2's tokenizer.json looks up no whole words, as tiktoken does with the
// same ranks; a converted one lists merges that never come about, or has special tokens that the ranks lack. What
// all forms agree in is the bytes of every id, and a stream says for each sequence how many its tokens are.

// Whether a sequence's tokens have as many bytes in this vocabulary.
static int agrees(const struct vocabulary *v, const struct stream_header *h, const struct record *r,
                  struct buffer *ids, bool *same) {
    uint64_t bytes = 0;
    buffer_clear(ids);
    int code = buffer_reserve(ids, r->count * sizeof(uint32_t));
    if (code != OK)
        return code;
    uint32_t *id = (uint32_t *)(void *)ids->data;
    record_tokens(h, r, 0, r->count, id);
    *same = true;
    for (uint32_t i = r->first; i < r->count && *same; i++) {
        size_t size = 0;
        *same = id[i] < vocabulary_size(v);
        if (*same)
            vocabulary_bytes(v, id[i], &size);
        bytes += size;
    }
    *same = *same && bytes == r->bytes;
    return OK;
}

// How many of so many sequences, from all over the data, agree. Not all have to: an added token that is special in
// one form only, or the one for what has no token, has bytes here and none there.
static int look(const struct training *t, const struct vocabulary *v, uint64_t count, uint64_t *same) {
    const struct feed *feed = t->runs[0].feed;
    uint64_t all = feed_sequences(feed);
    struct buffer ids = {0};
    int code = OK;
    *same = 0;
    for (uint64_t i = 0; i < count && code == OK; i++) {
        struct record r;
        const struct stream_header *h;
        bool one = false;
        code = feed_look(feed, i * (all / count), &r, &h);
        if (code == OK)
            code = agrees(v, h, &r, &ids, &one);
        *same += one;
    }
    buffer_release(&ids);
    return code;
}

static int check_other(const struct training *t, const struct vocabulary *v, const char *path,
                       const char *advice) {
    struct digest theirs = vocabulary_digest(v);
    const struct feed *feed = t->runs[0].feed;
    uint64_t all = feed_sequences(feed), count = all < SEQUENCES_LOOKED_AT ? all : SEQUENCES_LOOKED_AT, same;
    if (feed_piped(feed)) {
        tool_notice(
            "%s: another form of the tokens' vocabulary or another vocabulary: tokens in a pipe do not say", path);
        return OK;
    }
    int code = look(t, v, count, &same);
    if (code == OK && same <= count / 2)
        return stream_match_vocabularies(path, &theirs, "the tokens", &t->vocab, advice);
    if (code == OK)
        tool_notice("%s: another form of the tokens' vocabulary, by the bytes of %" PRIu64 " of %" PRIu64
                    " sequences",
                    path, same, count);
    return code;
}

// ---- the file ----

// What ranks or a model of SentencePiece are written anew from is the vocabulary itself, so nothing but its digest
// will do. A tokenizer.json is kept as it is, with all that only others read in it, and may be another form.
static int check(const struct training *t, const struct vocabulary *v, const char *path, bool json,
                 const char *advice) {
    struct digest theirs = vocabulary_digest(v);
    if (!digest_known(&t->vocab) || digest_equal(&theirs, &t->vocab))
        return OK;
    return json ? check_other(t, v, path, advice)
                : stream_match_vocabularies(path, &theirs, "the tokens", &t->vocab, advice);
}

// *v is NULL where the file is a tokenizer.json that we do not know how to read.
static int parse(struct vocabulary **v, const struct buffer *file, const char *path, const char *pattern) {
    int code = vocabulary_parse(v, file, path, &(struct vocabulary_options){.pattern = pattern});
    if (code != ERROR_INPUT || !is_json(file))
        return code;
    tool_notice("%s; so it is not compared with the tokens' vocabulary", error_message());
    return OK;
}

// --tokenizer: JSON as it is; another format, which transformers would not read in a checkpoint, as a
// tokenizer.json.
static int read_named(struct training *t) {
    const char *path = t->options->tokenizer;
    struct vocabulary *v = NULL;
    int code = file_read(path, TOKENIZER_LIMIT, &t->tokenizer);
    bool json = is_json(&t->tokenizer);
    if (code == OK)
        code = parse(&v, &t->tokenizer, path, t->options->pattern);
    if (code == OK && v && vocabulary_size(v) > (uint32_t)t->config.vocab)
        code = error_set(ERROR_INPUT, "%s: vocabulary of %" PRIu32 " tokens, but the model's has %d", path,
                         vocabulary_size(v), t->config.vocab);
    if (code == OK && v)
        code = check(t, v, path, json, "give the vocabulary that made them");
    if (code == OK && !json) {
        buffer_clear(&t->tokenizer);
        if ((code = vocabulary_json(v, &t->tokenizer)) != OK)
            error_prefix(code, "%s", path);
    }
    vocabulary_free(v);
    return code;
}

// The ancestor's, which the checkpoint gets without --tokenizer: one of ours says in its weights what they were
// trained on, which was compared by then; one from elsewhere does not.
static int check_inherited(const struct training *t, const char *ancestor) {
    struct digest known = {{0}};
    struct vocabulary *v = NULL;
    struct buffer file = {0};
    char *path = path_join(ancestor, "tokenizer.json");
    int code = path ? checkpoint_vocab(ancestor, &known) : ERROR_SYSTEM;
    if (code == OK && !digest_known(&known) && path_exists(path)) {
        code = file_read(path, TOKENIZER_LIMIT, &file);
        if (code == OK)
            code = parse(&v, &file, path, NULL);
        if (code == OK && v)
            code = check(t, v, path, true, "tokenize with it, or give the tokens' own with --tokenizer");
    }
    vocabulary_free(v);
    buffer_release(&file);
    free(path);
    return code;
}

int training_read_tokenizer(struct training *t) {
    int code = OK;
    if (t->options->tokenizer)
        return read_named(t);
    for (int g = 0; g < t->count && code == OK && t->runs[g].ancestor && digest_known(&t->vocab); g++)
        if (g == 0 || strcmp(t->runs[g].ancestor, t->runs[g - 1].ancestor) != 0)
            code = check_inherited(t, t->runs[g].ancestor);
    return code;
}
