// Streams: the one container for everything that flows between the tools (docs/formats.md gives the bytes).
//
// A stream is a header, checked frames of records, and an end frame with counts, content digest and the frame
// index. One record belongs to one sequence and carries that sequence's columns beside the kind's payload.
// Any damage (a flipped bit, a lost, repeated or swapped frame, a truncated tail, bytes behind the end) is
// ERROR_INPUT with `NAME: frame F at byte B: cause`; nothing is ever a shorter answer.
//
// A pipe is read front to back. A regular file is opened through the index in its end frame, so it can also
// be read at any sequence, and only the frames that are used are decoded and verified.
#ifndef TACIT_STREAM_STREAM_H
#define TACIT_STREAM_STREAM_H

#include "base/hash.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    STREAM_FORMAT_VERSION = 1,
    STREAM_TOPK_LIMIT = 64,
    STREAM_EXPERTS_LIMIT = 65535,
    STREAM_DOMAIN_LIMIT = 1024
};

enum stream_kind {
    STREAM_TOKENS,     // count token ids (u16 or u32)
    STREAM_SCORES,     // E mean log-probs (f32 or f16)
    STREAM_LOGPROBS,   // the log-probs of the predicted tokens (f32), under one model
    STREAM_WEIGHTS,    // E log-weights (f32) per sequence, or per predicted token, position-major
    STREAM_ASSIGNMENT, // K expert indices (u16), for K > 1 followed by K log-weights (f32)
    STREAM_TRACE,      // reserved: MoE routing
    STREAM_KINDS,
};
enum { STREAM_ANY = (1 << STREAM_KINDS) - 1 };
enum stream_dtype { STREAM_U16, STREAM_U32, STREAM_F16, STREAM_F32 };

const char *stream_kind_name(enum stream_kind kind); // "tokens", "scores", ...
const char *stream_dtype_name(enum stream_dtype dtype);

// What is known at the start. Zero what does not apply.
struct stream_header {
    enum stream_kind kind;
    enum stream_dtype dtype;
    uint32_t length;      // S: no sequence has more tokens; 0: no bound (--ragged)
    uint32_t vocab_size;  // V; 0: unknown
    struct digest vocab;  // of the vocabulary
    uint32_t experts;     // E (scores, weights, assignment)
    uint32_t topk;        // K (assignment; >= 1)
    uint32_t prefix;      // M (scores): tokens seen by the routers; 0: the whole sequence
    bool per_position;    // weights: a row per predicted token
    bool improper;        // logprobs that do not sum to one over the vocabulary (geometric mean, oracle)
    const char *rule;     // how it was made where that matters downstream: the mixing rule, the assignment
                          // method; NULL: none
    uint32_t model_count; // models behind the numbers, in expert order
    struct digest *models;
    char **names; // their names (checkpoint base names), model_count of them or NULL
};

// One sequence. The columns describe the whole sequence and are copied from stream to stream.
struct record {
    uint64_t id;          // ordinal in its corpus
    uint16_t domain;      // index into the stream's domain table
    uint32_t predicted;   // predicted tokens: tokens - first
    uint32_t bytes;       // UTF-8 bytes of the predicted tokens (end-of-text counts 0)
    uint32_t first;       // first scored position, >= 1: token `first` is the first predicted one
    uint32_t group;       // tasks: question, ...
    uint16_t choice;      // ... which of its choices, ...
    uint8_t gold;         // ... whether it is the right one, ...
    uint32_t norm_length; // ... characters of the choice
    uint32_t count;       // elements of the payload: tokens, scores, log-probs, E or E x predicted weights, K
    const void *payload;  // little-endian elements of the header's dtype (assignment: see above)
};

// ---- reading ----

struct stream;

// Open path (NULL or "-": standard input). `kinds` is a set of 1 << kind; another kind is ERROR_INPUT that
// names both. stream_close() it.
int stream_open(struct stream **s, const char *path, unsigned kinds);
void stream_close(struct stream *s); // NULL is allowed

// A pipe that is wanted as a file: copy what is still to come into an unlinked scratch file, and read it from
// there; seekable from then on. Before the first stream_next; a file is left alone. tell(context, sequences) is
// called now and then with how many have arrived; NULL: nobody.
int stream_spool(struct stream *s, void (*tell)(void *context, uint64_t sequences), void *context);

const struct stream_header *stream_header(const struct stream *s);
const char *stream_name(const struct stream *s); // the path, or "standard input"
uint64_t stream_serial(const struct stream *s);  // distinct for every stream that this process opened
bool stream_seekable(const struct stream *s);    // opened through the index
uint64_t stream_count(const struct stream *s);   // sequences; only where seekable or after stream_finish

// The domain table so far (complete where seekable).
int stream_domains(const struct stream *s);
const char *stream_domain(const struct stream *s, int domain);

// Take only sequences begin..end-1 in stream order; before the first stream_next. Past the end is not an
// error here: the caller checks what it got.
int stream_select(struct stream *s, uint64_t begin, uint64_t end);
// That the stream has every selected sequence (end = UINT64_MAX: up to its end), else ERROR_INPUT with both
// ranges. Once the count is known: at once where seekable, on a pipe after stream_finish.
int stream_check_selection(const struct stream *s);

// The next record, or *got = false at the verified end (of the stream, or of the selection). The payload
// belongs to the stream and lives until the next call.
int stream_next(struct stream *s, struct record *r, bool *got);

// Sequence n of a seekable stream, in any order; decoded frames are kept up to a memory limit
// (stream_cache, bytes, default 64M).
int stream_read(struct stream *s, uint64_t n, struct record *r);
void stream_cache(struct stream *s, uint64_t bytes);

// Read on to the verified end (a pipe, spooled or not), or confirm the end frame (a file). A writer calls it on
// every input.
int stream_finish(struct stream *s);

// After stream_finish: digests of the content, and of the corpus that the ids count.
struct digest stream_content(const struct stream *s);
struct digest stream_corpus(const struct stream *s);

// Verify every frame, hash and the content digest of a file or pipe (view --check). tell(context, sequences, all)
// is called for every frame with how many were verified, of how many (0: not known).
int stream_check(const char *path, void (*tell)(void *context, uint64_t sequences, uint64_t all), void *context,
                 uint64_t *sequences, uint64_t *frames);

// Totals and digests of the end frame, as a fresh json_t object string for `view --header`; free() it.
char *stream_describe(struct stream *s); // header; and the end frame where seekable

// Payload access that hides the dtype: n elements from `begin` as u32 / f32.
void record_tokens(const struct stream_header *h, const struct record *r, uint32_t begin, uint32_t n,
                   uint32_t *out);
void record_floats(const struct stream_header *h, const struct record *r, uint32_t begin, uint32_t n, float *out);
uint32_t record_expert(const struct stream_header *h, const struct record *r, uint32_t k);
float record_expert_weight(const struct stream_header *h, const struct record *r, uint32_t k); // 0 for K = 1

// Bytes of the payload.
uint32_t record_payload_size(const struct stream_header *h, const struct record *r);

// The same the other way: n elements into a payload of the header's dtype, of at least 4 bytes per element
// (experts: 6). A finite value beyond f16 saturates; -inf stays -inf.
void payload_tokens(const struct stream_header *h, const uint32_t *tokens, uint32_t n, void *payload);
void payload_floats(const struct stream_header *h, const float *values, uint32_t n, void *payload);
void payload_experts(const struct stream_header *h, const uint32_t *experts, const float *weights, void *payload);

// ---- lockstep ----

// Whether two records belong to the same sequence: same id, predicted, bytes, first; ERROR_INPUT naming both
// streams, the ordinal and both values otherwise.
int record_match(const struct stream *a, const struct record *ra, const struct stream *b, const struct record *rb,
                 uint64_t ordinal);
// Whether two streams may meet: same vocabulary (where both know it); ERROR_INPUT naming both otherwise.
int stream_match(const struct stream *a, const struct stream *b);
// The same of any two things by their names and their vocabularies' digests, a stream and a checkpoint say;
// `advice` ends the message.
int stream_match_vocabularies(const char *name, const struct digest *vocab, const char *other_name,
                              const struct digest *other, const char *advice);
// Whether their ids count the same corpus, as far as both ends are known (a pipe's after stream_finish);
// ERROR_INPUT naming both otherwise.
int stream_match_corpus(const struct stream *a, const struct stream *b);

// ---- writing ----

struct stream_writer;

// Open path (NULL or "-": standard output) with this header (copied). level: zstd level, 0 = stored.
int stream_create(struct stream_writer **w, const char *path, const struct stream_header *h, int level);

// A domain's name is 1 to STREAM_DOMAIN_LIMIT bytes of UTF-8 without control characters; else `code` with the
// cause.
int stream_check_domain(int code, const char *name, size_t size);
// The index of a domain name in the writer's table, added if new (at most 65536).
int stream_add_domain(struct stream_writer *w, const char *name, uint16_t *domain);

// Append one record; columns and payload are copied. r->domain is an index of the writer's table.
int stream_write(struct stream_writer *w, const struct record *r);

// Append a record whose domain is an index into `from`'s table: the name is looked up and carried over.
int stream_write_from(struct stream_writer *w, const struct stream *from, const struct record *r);

// Name an input: calls stream_finish(from) and records its content digest; the first parent with a corpus
// digest gives the output's. Differing corpora of several parents are kept apart by the caller.
int stream_add_parent(struct stream_writer *w, struct stream *from);
// The corpus digest of a stream that starts a corpus (tokenize); without it and without parents, the content.
void stream_set_corpus(struct stream_writer *w, const struct digest *corpus);

// Write the end frame and sync, so that only the rename is left to stream_commit. On failure the writer is still
// the caller's to abort.
int stream_seal(struct stream_writer *w);

// Write the end frame, commit the output, free the writer (also on failure). digest may be NULL.
int stream_commit(struct stream_writer *w, struct digest *content);
// All outputs appear, or none: the writers are freed and NULL then; or, on a failure before the end frames are all
// written, still the caller's to abort.
int stream_commit_all(struct stream_writer **writers, uint32_t count);
void stream_abort(struct stream_writer *w); // NULL is allowed

enum { STREAM_LEVEL_DEFAULT = 1 };

#endif
