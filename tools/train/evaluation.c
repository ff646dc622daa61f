// The held-out loss of --eval.
#include "base/error.h"
#include "train/train.h"

#include <inttypes.h>
#include <math.h>

static int score_batch(struct training *t, int g, double *nats, int64_t *predicted) {
    struct batch *b = &t->held_out;
    if (b->count == 0)
        return OK;
    int S = batch_longest(b, 0, b->count);
    batch_pack(b, 0, b->count, S, t->tokens, t->targets);
    int code = model_score_one(t->model, g, t->tokens, t->targets, b->count, S, t->scores);
    for (int i = 0; i < b->count * S && code == OK; i++)
        *nats -= (double)t->scores[i];
    *predicted += b->predicted;
    batch_clear(b);
    return code;
}

static int check_stream(const struct training *t, const struct share *share) {
    const struct stream *s = share_tokens(share);
    const struct stream_header *h = stream_header(s);
    if (h->vocab_size > (uint32_t)t->config.vocab)
        return error_set(ERROR_INPUT, "%s: vocabulary of %" PRIu32 " tokens, but the model's has %d",
                         stream_name(s), h->vocab_size, t->config.vocab);
    int code = stream_match_vocabularies(stream_name(s), &h->vocab, "the training data", &t->vocab,
                                         "use one tokenizer.json for both");
    if (code != OK)
        return code;
    if (!stream_seekable(s))
        return error_set(ERROR_USAGE, "--eval: %s is read again and again, so it must be a file", stream_name(s));
    return OK;
}

int training_evaluate(struct training *t, int g, double *nats, int64_t *predicted) {
    const struct train_options *o = t->options;
    struct share_options part = {(uint64_t)o->eval_sequences.begin,
                                 o->eval_sequences.end == INT64_MAX ? UINT64_MAX : (uint64_t)o->eval_sequences.end,
                                 o->eval_assignment, o->eval_assignment ? (uint32_t)t->runs[g].expert : 0};
    struct share *share;
    *nats = 0;
    *predicted = 0;
    int code = share_open(&share, o->evaluation, &part);
    if (code == OK)
        code = check_stream(t, share);
    batch_clear(&t->held_out);
    for (bool got = true; code == OK && got;) {
        struct record r;
        code = share_next(share, &r, &got);
        const struct stream *s = share_tokens(share);
        if (code == OK && got)
            code = supply_add(&t->held_out, t->row, t->config.vocab, &r, stream_header(s), stream_name(s));
        if (code == OK && (!got || t->held_out.count == t->held_out.rows))
            code = score_batch(t, g, nats, predicted);
    }
    if (code == OK)
        code = share_finish(share);
    share_close(share);
    if (code == OK && !isfinite(*nats))
        return error_set(ERROR_NUMERIC, "step %" PRId64 ": the loss on %s is %g", training_step(t), o->evaluation,
                         *nats);
    return code;
}
