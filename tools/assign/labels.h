// Labels: which expert a domain belongs to, by a table or by the domain's own number.
#ifndef TACIT_ASSIGN_LABELS_H
#define TACIT_ASSIGN_LABELS_H

#include <stdint.h>

struct stream;
struct labels;

// Read a table of lines `domain<TAB>expert index`; path NULL: domain i belongs to expert i. ERROR_INPUT names
// the line that is malformed, repeats a domain, or exceeds 65534. labels_free() it.
int labels_open(struct labels **l, const char *path);
uint32_t labels_experts(const struct labels *l); // the largest index of the table + 1; 0 without a table
// The expert of a domain of `s`; ERROR_INPUT names a domain that has none among `experts`.
int labels_find(struct labels *l, const struct stream *s, uint16_t domain, uint32_t experts, uint32_t *expert);
void labels_free(struct labels *l); // NULL is allowed

#endif
