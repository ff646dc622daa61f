// What is done to a text before it is cut into words: the vocabulary's normalizer.
#ifndef TACIT_TEXT_NORMALIZE_H
#define TACIT_TEXT_NORMALIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer;
struct vocabulary;

// Whether the normalizer works behind the added tokens that are found in normalized text (Metaspace is a
// pre_tokenizer): they are found in the text as it is.
bool normalizer_is_late(const struct vocabulary *v);
enum text_place {
    TEXT_BEHIND, // an added token
    TEXT_FIRST,  // the beginning of a document
    TEXT_GOES_ON // it goes on where another part was cut off (lib/text/cutting.h)
};

// The normalized text; *size becomes its size. It lies in `out`, or is `text` itself where nothing changes.
int normalize_text(const struct vocabulary *v, const uint8_t **text, size_t *size, enum text_place place,
                   struct buffer *out);
// An added token as it stands in normalized text, appended to `out`.
int normalize_added(const struct vocabulary *v, const char *text, struct buffer *out);

#endif
