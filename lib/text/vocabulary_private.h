// What lib/text's files share about a vocabulary. It is made in steps: vocabulary_new, add the tokens in id order
// and the specials, add the merges in rank order, vocabulary_seal; from then on it is read only.
#ifndef TACIT_TEXT_VOCABULARY_PRIVATE_H
#define TACIT_TEXT_VOCABULARY_PRIVATE_H

#include "base/memory.h"
#include "text/split.h"
#include "text/vocabulary.h"

#include <stdbool.h>

// How text becomes words and words become ids; what a tokenizer file asks for, in our terms. Encoding runs, in
// this order: added tokens cut the text; each piece between them is normalized, cut into words, and every word is
// encoded by the model.
enum text_normalizer {
    NORMALIZE_NONE,
    NORMALIZE_NFC,          // Unicode's composed form (Qwen 2.5)
    NORMALIZE_META_SPACE,   // Llama 2's tokenizer.json: U+2581 in front of a text that is not empty, and for ' '
    NORMALIZE_SENTENCEPIECE // a SentencePiece model's own: its character map, then its rules for white space
};

enum text_model {
    MODEL_BPE, // the pair of neighbours with the lowest rank is merged, leftmost among equals, until none is left
    MODEL_UNIGRAM // the segmentation with the highest sum of scores (Kudo 2018)
};

enum text_symbols { // what a word is before any merge
    SYMBOLS_BYTES,
    SYMBOLS_CHARACTERS // code points; one without a token is its bytes' tokens (byte_fallback) or `unknown`
};

struct scheme {
    enum text_normalizer normalizer;
    enum text_pattern pattern;
    enum text_model model;
    enum text_symbols symbols;
    bool whole_words;   // a word that is a token is that token, whatever the merges (tiktoken, ignore_merges)
    bool byte_fallback; // byte_id is set in SYMBOLS_CHARACTERS too: the tokens <0x00> .. <0xFF>
    bool fuse_unknown;  // neighbouring unknown characters are one `unknown`
    uint32_t unknown;   // its id, or no_id: a character without a token is dropped (BPE without unk_token)
    // NORMALIZE_SENTENCEPIECE (and the decoder of the schemes that write ' ' as U+2581)
    bool dummy_prefix, remove_extra_spaces, escape_spaces;
};

enum { BYTES = 256, ALPHABET_LAST = 0x143 };
#define END_OF_TEXT "<|endoftext|>"
static const uint32_t no_id = UINT32_MAX;

struct merge {
    uint32_t left, right, result;
};

struct special {
    uint32_t id;
    char *text;
    bool in_model; // the file lists it in model.vocab too (GPT-2 does, we do not)
};

// A token that is found in the text itself, before anything else looks at it (GPT-NeoX's runs of spaces). Special
// ones (struct special) are found only where the caller allows it.
struct added {
    uint32_t id;
    char *text;
    bool special, single_word, strip_left, strip_right, normalized;
};

// Merges by pair: open addressing, a power of two of slots, at most half full.
struct pair_slot {
    uint64_t pair; // left << 32 | right; UINT64_MAX: free
    uint32_t rank, result;
};

struct vocabulary {
    struct scheme scheme;
    uint32_t size, end_of_text;
    struct buffer bytes;    // all tokens' bytes behind each other
    struct buffer ends;     // uint64_t per id: where its bytes end
    struct buffer specials; // struct special, ascending ids
    struct buffer added;    // struct added, in the file's order; the special ones too
    struct buffer merges;   // struct merge, by rank
    struct buffer scores;   // float by id (MODEL_UNIGRAM)
    struct buffer charsmap; // NORMALIZE_SENTENCEPIECE: the file's compiled character map, maybe empty
    struct pair_slot *pairs;
    uint64_t pair_mask;
    uint32_t byte_id[BYTES];
    struct digest digest;
};

static inline uint64_t pair_key(uint32_t left, uint32_t right) {
    return (uint64_t)left << 32 | right;
}
static inline uint64_t pair_hash(uint64_t pair) {
    pair *= 0x9e3779b97f4a7c15u; // Fibonacci hashing: the high bits are well mixed
    return pair ^ pair >> 32;
}

// The merge of a pair, or NULL.
static inline const struct pair_slot *vocabulary_pair(const struct vocabulary *v, uint32_t left, uint32_t right) {
    uint64_t pair = pair_key(left, right);
    for (uint64_t i = pair_hash(pair) & v->pair_mask;; i = (i + 1) & v->pair_mask) {
        if (v->pairs[i].pair == pair)
            return &v->pairs[i];
        if (v->pairs[i].pair == UINT64_MAX)
            return NULL;
    }
}

static inline uint32_t vocabulary_merge_count(const struct vocabulary *v) {
    return (uint32_t)(v->merges.size / sizeof(struct merge));
}
static inline uint32_t vocabulary_special_count(const struct vocabulary *v) {
    return (uint32_t)(v->specials.size / sizeof(struct special));
}

int vocabulary_new(struct vocabulary **v);
// The next id: an ordinary token, or (text copied) a special one.
int vocabulary_add_token(struct vocabulary *v, const uint8_t *bytes, size_t size);
int vocabulary_add_special(struct vocabulary *v, const char *text, bool in_model);
int vocabulary_add_merge(struct vocabulary *v, uint32_t left, uint32_t right, uint32_t result);
// Index bytes and merges, compute the digest. ERROR_INPUT where a byte has no token or a merge comes twice.
int vocabulary_seal(struct vocabulary *v);

// GPT-2's byte alphabet: the 188 printable bytes of Latin-1 stand for themselves, the others for U+0100 upward.
uint32_t byte_to_code_point(uint8_t byte);
int code_point_to_byte(uint32_t code_point); // -1: not in the alphabet
// The 256 bytes in the order of their code points: the order of GPT-2's first 256 ids.
void bytes_in_alphabet_order(uint8_t order[BYTES]);

#endif
