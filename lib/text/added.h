// Finding added tokens in a text, as Hugging Face's tokenizers do: the leftmost, of those the longest, none
// overlapping. A special token that is not allowed is found and stays text, so that no other is found inside it.
//
// single_word: only where neither neighbour is a letter, mark, number or joining punctuation. lstrip, rstrip:
// white space before or behind it belongs to it.
#ifndef TACIT_TEXT_ADDED_H
#define TACIT_TEXT_ADDED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vocabulary;
struct added_matcher; // shared by threads; made when the vocabulary is sealed

// Of the tokens that are found in the text as it is (normalized = false) or in the normalized text. *matcher is
// NULL where there are none.
int added_matcher_new(struct added_matcher **matcher, const struct vocabulary *v, bool normalized);
void added_matcher_free(struct added_matcher *matcher);
// Whether a text need be searched at all.
bool added_matcher_wanted(const struct added_matcher *matcher, bool allow_special);

struct added_search { // zero-initialise but for the text
    const uint8_t *text;
    size_t size;
    size_t at;    // where the search goes on
    size_t begin; // behind the last match: text[begin..match_begin) lies between it and the next
    size_t match_begin, match_end;
    uint32_t id;
};
// The next match; false: text[begin..size) is the rest.
bool added_next(const struct added_matcher *matcher, struct added_search *s, bool allow_special);

// Whether an added token may begin, lie or end within text[begin..end], or there, whatever follows text[0..size);
// end < size. Nothing but the tokens themselves need be there of the vocabulary.
bool added_may_touch(const struct vocabulary *v, const uint8_t *text, size_t begin, size_t end, size_t size);
// Whether white space before or behind some token belongs to it.
bool added_strips(const struct vocabulary *v);
// Where the last one ends that is found in the text, 0: there is none; false: that depends on whether special
// ones are allowed.
bool added_last(const struct added_matcher *matcher, const uint8_t *text, size_t size, size_t *end);

#endif
