// Documents: the text of one input, cut into documents; long ones, where that is wanted, into pieces. A long line
// of JSON is parsed here, piece by piece.
#ifndef TACIT_TOKENIZE_DOCUMENTS_H
#define TACIT_TOKENIZE_DOCUMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer;
struct json_fields;

enum documents_unit { DOCUMENTS_FILE, DOCUMENTS_LINE, DOCUMENTS_SEPARATOR, DOCUMENTS_JSON };

struct documents_options {
    enum documents_unit unit;
    bool by_name;             // inputs named like JSON lines are read as such, whatever the unit
    const uint8_t *separator; // bytes between documents (DOCUMENTS_SEPARATOR), at least one
    size_t separator_size;
    // A place to cut a long text, below size - 1; 0: none is known. `from`: none was known up to there; `goes_on`:
    // a part in front of the text was cut off. NULL: documents stay whole.
    size_t (*cut)(void *context, const uint8_t *text, size_t from, size_t size, bool goes_on);
    void *cut_context;
    // Of JSON lines, what is wanted of long ones (it must outlive the documents); NULL: they stay whole.
    const struct json_fields *records;
    size_t long_line; // how long they are; 0: DOCUMENTS_LONG_LINE
};

// Without a place to cut there is no bound.
enum { DOCUMENTS_PIECE = 1 << 18, DOCUMENTS_LONG_LINE = 1 << 20 };

struct piece {
    const uint8_t *bytes; // as they stand in the input ; until the next call
    size_t size;
    bool first, last;   // of its document
    bool json;          // a line that is still to be parsed
    const char *domain; // of a long line; NULL: not known
    uint64_t line;      // of JSON lines, from 1
};

struct documents;

// Whether this input is read as JSON lines.
bool documents_are_json(const struct documents_options *options, const char *path);
int documents_open(struct documents **d, const char *path, const struct documents_options *options);
void documents_close(struct documents *d); // NULL is allowed
// The next document or piece of one, or *got = false at the end. A separator (or the end of a line) closes a
// document, so one at the very end opens no further, empty one; JSON lines that are blank are skipped.
int documents_next(struct documents *d, struct piece *piece, bool *got);
uint64_t documents_consumed(const struct documents *d); // bytes read from the file itself
const char *documents_name(const struct documents *d);

// Bytes of a separator as typed: C's escapes \0 \a \b \f \n \r \t \v \\ \xHH \OOO. ERROR_USAGE otherwise, naming
// the option, and for none.
int separator_parse(const char *option, const char *text, struct buffer *bytes);

#endif
