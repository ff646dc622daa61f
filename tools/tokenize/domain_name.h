// What a domain may be called: what docs/formats.md lets streams hold, told where the name comes from.
#ifndef TACIT_TOKENIZE_DOMAIN_NAME_H
#define TACIT_TOKENIZE_DOMAIN_NAME_H

#include <stddef.h>

enum { DOMAIN_NAME_MOST = 1024 }; // bytes

// `code` with the cause where it may not.
int domain_name_check(int code, const char *name, size_t size);

#endif
