// Documents: the text of one input, cut into documents.
#ifndef TACIT_TOKENIZE_DOCUMENTS_H
#define TACIT_TOKENIZE_DOCUMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer;

enum documents_unit { DOCUMENTS_FILE, DOCUMENTS_LINE, DOCUMENTS_SEPARATOR, DOCUMENTS_JSON };

struct documents_options {
    enum documents_unit unit;
    bool by_name;             // inputs named like JSON lines are read as such, whatever the unit
    const uint8_t *separator; // bytes between documents (DOCUMENTS_SEPARATOR), at least one
    size_t separator_size;
    const char *field;        // JSON lines: the member with the text
    const char *domain_field; // JSON lines: the member with the domain; NULL: none
};

struct document {
    const uint8_t *text; // lives until the next call
    size_t size;
    const char *domain; // from the domain field, or NULL; lives as long
};

struct documents;

int documents_open(struct documents **d, const char *path, const struct documents_options *options);
void documents_close(struct documents *d); // NULL is allowed
// The next document, or *got = false at the end. A separator (or the end of a line) closes a document, so one at
// the very end opens no further, empty one; JSON lines that are blank are skipped.
int documents_next(struct documents *d, struct document *document, bool *got);
uint64_t documents_consumed(const struct documents *d); // bytes read from the file itself

// Bytes of a separator as typed: C's escapes \0 \a \b \f \n \r \t \v \\ \xHH \OOO. ERROR_USAGE otherwise, and for
// none.
int separator_parse(const char *text, struct buffer *bytes);

#endif
