// The strings of a JSON object, fast: for lines that are plain. A scan that succeeds means that jansson would take
// the line, were it not for the size of numbers, and for the same members; one that does not means nothing.
#ifndef TACIT_TOKENIZE_JSON_SCAN_H
#define TACIT_TOKENIZE_JSON_SCAN_H

#include "base/memory.h"

#include <stdbool.h>

struct json_member {
    const char *name;
    const uint8_t *begin; // between its quotes; NULL: the object has none, or null
    size_t size;
    bool escaped; // has escapes: json_unescape()
};

// One object, and nothing behind it; finds the members of these names, which are strings.
bool json_scan(const uint8_t *text, size_t size, struct json_member *members, int count);
// The content of a string as far as it is whole: up to its closing quote, or to a character or an escape that goes
// on behind `size`. False: it is malformed.
bool json_scan_part(const uint8_t *text, size_t size, size_t *used, bool *closed);
// The bytes that could be of one number or word.
size_t json_scan_token(const uint8_t *text, size_t size);
// Whether they are a number, of any size, true, false or null.
bool json_scan_scalar(const uint8_t *text, size_t size);
// Put 0 and spaces in the place of every number that jansson may have no room for, as it has not for a hash of 64
// bits or 1e999; what it would make of the text is else the same. False: there was none.
bool json_shrink_numbers(uint8_t *text, size_t size);
// Append the bytes that (a part of) a string that was found well-formed stands for.
int json_unescape(struct buffer *out, const uint8_t *text, size_t size);

#endif
