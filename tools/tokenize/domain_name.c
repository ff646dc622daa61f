#include "tokenize/domain_name.h"
#include "base/error.h"
#include "base/json.h"

int domain_name_check(int code, const char *name, size_t size) {
    bool good = size > 0 && size <= DOMAIN_NAME_MOST && json_is_utf8(name, size);
    for (size_t i = 0; good && i < size; i++)
        good = (unsigned char)name[i] >= ' ' && name[i] != 127;
    return good ? OK
                : error_set(code, "domain name of %zu bytes is not 1 to %d bytes of printable UTF-8", size,
                            DOMAIN_NAME_MOST);
}
