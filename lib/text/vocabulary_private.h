// What lib/text's files share about a vocabulary. It is made in steps: vocabulary_new, the scheme, the tokens in
// id order, the merges in rank order, vocabulary_seal; from then on it is read only.
//
// A token has two faces. Its piece is how the model knows it: bytes (SYMBOLS_BYTES), or the text in the vocabulary
// with U+2581 for ' ' and <0x41> for a byte (SYMBOLS_CHARACTERS). Its bytes are what it stands for in the text.
#ifndef TACIT_TEXT_VOCABULARY_PRIVATE_H
#define TACIT_TEXT_VOCABULARY_PRIVATE_H

#include "base/memory.h"
#include "text/piece_key.h"
#include "text/split.h"
#include "text/trie.h"
#include "text/vocabulary.h"

#include <stdbool.h>

// How text becomes words and words become ids; what a tokenizer file asks for, in our terms. Encoding runs, in
// this order: added tokens cut the text; each piece between them is normalized, cut into words, and every word is
// encoded by the model.
enum text_normalizer {
    NORMALIZE_NONE,
    NORMALIZE_NFC,          // Unicode's composed form (Qwen 2.5)
    NORMALIZE_META_SPACE,   // Llama 2's tokenizer.json: U+2581 for ' ', and one in front as `dummy_prefix` says
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
    // A U+2581 in front of every piece of text that is not empty: NORMALIZE_META_SPACE and _SENTENCEPIECE. The
    // tokens' bytes hold it as a ' ': who decodes takes one off the beginning of each document.
    bool dummy_prefix;
    // NORMALIZE_META_SPACE as the pre_tokenizer Metaspace does it: added tokens that are found in normalized text
    // are found before it, and no prefix is put where the piece begins with ' ' or U+2581.
    bool meta_space_step;
    bool prefix_first; // a Metaspace's: only at the beginning of the whole text, not behind an added token
    bool remove_extra_spaces, escape_spaces; // NORMALIZE_SENTENCEPIECE
};

// Whether a character without a token is dropped: those around it are neighbours then, which may merge.
static inline bool scheme_drops(const struct scheme *s) {
    return s->symbols == SYMBOLS_CHARACTERS && s->unknown == UINT32_MAX && !s->byte_fallback;
}

// Whether words are cut at U+2581 only where the file says so. Elsewhere they are cut where that changes no ids;
// here characters may become neighbours across such a place, or a word may be a token where the text is none.
static inline bool scheme_asks_for_words(const struct scheme *s) {
    return scheme_drops(s) || s->whole_words;
}

enum { BYTES = 256, ALPHABET_LAST = 0x143, BASIC_PLANE = 0x10000 };
enum { META_SPACE_SIZE = 3, RANK_MOST = (1 << 26) - 1 };
#define META_SPACE "\xe2\x96\x81" // U+2581
#define END_OF_TEXT "<|endoftext|>"
static const uint32_t no_id = UINT32_MAX;

struct merge {
    uint32_t left, right, result;
    uint32_t rank; // at most RANK_MOST; equal ranks: the leftmost in the text comes first
};

// A token that is found in the text itself, before anything else looks at it (GPT-NeoX's runs of spaces). Special
// ones are found only where the caller allows it; their bytes are none.
struct added {
    uint32_t id;
    char *text;
    bool special, single_word, strip_left, strip_right, normalized;
    bool in_model; // the model knows it too: listed in model.vocab (GPT-2 lists its special one, we do not)
};

// Before a slot of a table is looked at, a bit by hash says whether it may be worth it. In text that is no
// language most pairs are no merge and most words no token; while the slots are megabytes, the bits, FILTER_BITS a
// slot, stay near the processor.
enum { FILTER_BITS = 4 };
static inline uint64_t *filter_word(uint64_t *bits, uint64_t slot_mask, uint64_t hash) {
    return &bits[hash >> 32 & slot_mask / (64 / FILTER_BITS)];
}
static inline uint64_t filter_bit(uint64_t hash) {
    return UINT64_C(1) << (hash >> 58);
}

// Merges by pair: open addressing, a power of two of slots, at most half full.
struct pair_slot {
    uint64_t pair; // left << 32 | right; UINT64_MAX: free
    uint32_t rank, result;
};

struct unigram_model;   // lib/text/unigram.h
struct character_table; // lib/text/symbols.h
struct added_matcher;   // lib/text/added.h
struct joints;          // lib/text/joints.h

struct vocabulary {
    struct scheme scheme;
    uint32_t size, end_of_text;
    struct buffer bytes;  // all tokens' bytes behind each other
    struct buffer ends;   // uint64_t per id: where its bytes end
    struct buffer pieces; // the same for pieces; empty in SYMBOLS_BYTES, where bytes and piece are one
    struct buffer piece_ends;
    struct buffer added;    // struct added, ascending ids
    struct buffer merges;   // struct merge, ascending ranks
    struct buffer scores;   // float by id (MODEL_UNIGRAM), NAN: the model does not produce it
    float unknown_score;    // of a character without a piece
    struct buffer charsmap; // NORMALIZE_SENTENCEPIECE: the file's compiled character map, maybe empty
    // SentencePiece's: symbols found in the text before anything else, values are ids; what the normalizer copies.
    struct trie user_defined;
    size_t reach;                       // bytes of the longest symbol or rule of the character map
    uint8_t plain[128];                 // ASCII characters that no rule touches where ASCII or the end follows
    uint64_t touched[BASIC_PLANE / 64]; // by code point beyond ASCII: a rule or symbol begins with it
    // made by vocabulary_seal:
    struct unigram_model *unigram;      // MODEL_UNIGRAM
    struct character_table *characters; // SYMBOLS_CHARACTERS
    struct added_matcher *matcher, *normalized_matcher;
    struct joints *joints;
    // Pieces that are merged through but never produced: where an id's range of unused_ids is not empty, it stands
    // for those ids. Empty where there are none.
    struct buffer unused_ends; // uint32_t by id
    struct buffer unused_ids;
    struct pair_slot *pairs;
    uint64_t pair_mask;
    uint64_t *pair_bits;
    uint32_t *pieces_by_hash; // id + 1, 0: free; open addressing, a power of two of slots
    uint64_t piece_mask;
    uint64_t *piece_bits;
    // The token of each byte, maybe no_id: in SYMBOLS_BYTES only for the 13 bytes that UTF-8 never has (GPT-NeoX
    // lacks them), in SYMBOLS_CHARACTERS all are there with byte_fallback, else none.
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
    uint64_t pair = pair_key(left, right), hash = pair_hash(pair);
    if (!(*filter_word(v->pair_bits, v->pair_mask, hash) & filter_bit(hash)))
        return NULL;
    for (uint64_t i = hash & v->pair_mask;; i = (i + 1) & v->pair_mask) {
        if (v->pairs[i].pair == pair)
            return &v->pairs[i];
        if (v->pairs[i].pair == UINT64_MAX)
            return NULL;
    }
}

static inline uint32_t vocabulary_merge_count(const struct vocabulary *v) {
    return (uint32_t)(v->merges.size / sizeof(struct merge));
}
static inline uint32_t vocabulary_added_count(const struct vocabulary *v) {
    return (uint32_t)(v->added.size / sizeof(struct added));
}
static inline const struct added *vocabulary_added(const struct vocabulary *v) {
    return (const struct added *)v->added.data;
}
const struct added *vocabulary_added_token(const struct vocabulary *v, uint32_t id); // NULL: it is not added

int vocabulary_new(struct vocabulary **v);
// The next id. An ordinary token of SYMBOLS_BYTES; no bytes: an id without a token.
int vocabulary_add_token(struct vocabulary *v, const uint8_t *bytes, size_t size);
// One of SYMBOLS_CHARACTERS. `byte` >= 0: the token of that byte; else its bytes are the piece with ' ' for
// U+2581.
int vocabulary_add_piece(struct vocabulary *v, const char *piece, size_t size, int byte);
// A special one (text copied). In either scheme.
int vocabulary_add_special(struct vocabulary *v, const char *text, bool in_model);
// Say of an id that it is found in the text too: ascending ids, text copied. Special ones: the token itself must
// have no bytes. What vocabulary_add_special does of it is not to be done again.
int vocabulary_add_added(struct vocabulary *v, const struct added *added);
int vocabulary_add_merge(struct vocabulary *v, uint32_t left, uint32_t right, uint32_t result); // next rank
int vocabulary_add_ranked_merge(struct vocabulary *v, const struct merge *merge);

// One of texts behind each other, by where each ends.
static inline const uint8_t *find_ended(const struct buffer *bytes, const struct buffer *ends, uint32_t id,
                                        size_t *size) {
    const uint64_t *end = (const uint64_t *)(const void *)ends->data;
    uint64_t begin = id > 0 ? end[id - 1] : 0;
    *size = (size_t)(end[id] - begin);
    return *size > 0 ? bytes->data + begin : (const uint8_t *)""; // all may be empty, and there is no data then
}

// The piece of an id: size 0 where it has none (special tokens, unused ids).
static inline const uint8_t *vocabulary_piece(const struct vocabulary *v, uint32_t id, size_t *size) {
    bool bytes = v->scheme.symbols == SYMBOLS_BYTES;
    return find_ended(bytes ? &v->bytes : &v->pieces, bytes ? &v->ends : &v->piece_ends, id, size);
}

// Index the pieces, when all tokens are there; vocabulary_seal does it where this was not called. ERROR_INPUT
// where two ids have the same piece.
int vocabulary_index_pieces(struct vocabulary *v);
// The same by steps: an empty index for so many; what had that token's piece before, or no_id and it is there now.
int vocabulary_reserve_pieces(struct vocabulary *v, uint64_t count);
uint32_t vocabulary_insert_piece(struct vocabulary *v, uint32_t id);
// The slot of a piece: 0 where it is not there.
static inline uint32_t *vocabulary_piece_slot(const struct vocabulary *v, const uint8_t *piece, size_t size,
                                              uint64_t hash) {
    for (uint64_t i = hash & v->piece_mask;; i = (i + 1) & v->piece_mask) {
        uint32_t found = v->pieces_by_hash[i];
        size_t other_size;
        const uint8_t *other = found ? vocabulary_piece(v, found - 1, &other_size) : NULL;
        if (!found || (other_size == size && piece_equal(other, piece, size)))
            return &v->pieces_by_hash[i];
    }
}
// The id of a piece, or no_id: added tokens that the model does not know and special ones are not found.
static inline uint32_t vocabulary_find(const struct vocabulary *v, const uint8_t *piece, size_t size) {
    uint64_t hash = piece_hash(piece, size);
    if (!(*filter_word(v->piece_bits, v->piece_mask, hash) & filter_bit(hash)))
        return no_id;
    uint32_t *slot = vocabulary_piece_slot(v, piece, size, hash);
    return *slot ? *slot - 1 : no_id;
}
// Merges for a vocabulary that ranks tokens instead of pairs (tiktoken: rank = id; SentencePiece BPE: by score).
// There any two neighbours that make a token together may merge. In every text a token comes about by the one pair
// of neighbours that its own piece, standing alone, ends in: until it is there nothing merges across its borders,
// and within them the same merges come in the same order. So one pair a token says it all; a token whose piece
// does not come to two symbols has none. rank: by id, no_id: takes no part. The pieces are indexed by then. The
// merges' ranks are new numbers in the order of the old ones.
int vocabulary_merge_ranked(struct vocabulary *v, const uint32_t *rank);

// Index bytes, pieces and merges, see whether words may be cut at U+2581 (PATTERN_NONE becomes
// PATTERN_META_SPACE), find the end of text, compute the digest. ERROR_INPUT where a byte has no token or a merge
// comes twice.
int vocabulary_seal(struct vocabulary *v);
void vocabulary_index_bytes(struct vocabulary *v); // the pieces are indexed by then
// An empty index for so many pairs; what was put there before under the same pair, or NULL and it is there now.
int vocabulary_reserve_pairs(struct vocabulary *v, uint64_t count);
struct pair_slot *vocabulary_insert_pair(struct vocabulary *v, const struct merge *merge);

// The readers, over a whole file; `v` is fresh, sealed by the caller.
struct json_t;
int vocabulary_read_scheme(struct scheme *scheme, const struct json_t *root); // all but `unknown`
int vocabulary_read_json(struct vocabulary *v, const uint8_t *data, size_t size);
bool vocabulary_is_tiktoken(const uint8_t *data, size_t size); // its first line is one of a rank file
// `path` and `pattern` (or NULL) as vocabulary.h says.
int vocabulary_read_tiktoken(struct vocabulary *v, const uint8_t *data, size_t size, const char *path,
                             const char *pattern);

// GPT-2's byte alphabet: the 188 printable bytes of Latin-1 stand for themselves, the others for U+0100 upward.
uint32_t byte_to_code_point(uint8_t byte);
int code_point_to_byte(uint32_t code_point); // -1: not in the alphabet
// The byte that a piece stands for by its name, <0x00> .. <0xFF> in capitals; -1: none.
int byte_of_name(const void *piece, size_t size);
// The 256 bytes in the order of their code points: the order of GPT-2's first 256 ids.
void bytes_in_alphabet_order(uint8_t order[BYTES]);

#endif
