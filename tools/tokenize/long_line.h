// A line of JSON lines too long to be held: it is read as it comes, and the strings that are wanted of it go to
// scratch files. What becomes of it is what json_line_parse() says of the whole.
//
// Memory does not grow with the line, but for 16 bytes a member of the objects that are open. It must have at most
// a million of them, names of at most 64 KB, and numbers of as many digits.
#ifndef TACIT_TOKENIZE_LONG_LINE_H
#define TACIT_TOKENIZE_LONG_LINE_H

#include "tokenize/json_line.h"

struct long_line;

int long_line_new(struct long_line **l, const struct json_fields *fields); // the fields stay the caller's
void long_line_free(struct long_line *l);                                  // NULL is allowed
void long_line_begin(struct long_line *l);
// The next bytes. *used: so many are done with; the others, a few, are to come again with what follows them.
// `last`: nothing does. ERROR_INPUT with the cause.
int long_line_add(struct long_line *l, const uint8_t *bytes, size_t size, bool last, size_t *used);

// Of a line that was added to its end, until the next begins:
bool long_line_blank(const struct long_line *l);         // it has nothing but white space
const char *long_line_domain(const struct long_line *l); // NULL: none was asked for
// The document's text from its beginning, up to `size` bytes at a time, short only at the end. `line` is the long
// line.
int long_line_read(void *line, void *data, size_t size, size_t *got);

#endif
