#include "stream/domains.h"
#include "base/error.h"
#include "base/json.h"
#include "stream/stream.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { SLOTS_FIRST = 64, LIST_FIXED = 4, NAME_FIXED = 2 };

int stream_check_domain(int code, const char *name, size_t size) {
    bool valid = size > 0 && size <= STREAM_DOMAIN_LIMIT && json_is_utf8(name, size);
    for (size_t i = 0; i < size && valid; i++)
        valid = (unsigned char)name[i] >= 0x20 && name[i] != 0x7f;
    return valid ? OK
                 : error_set(code, "domain name of %zu bytes is not 1 to %d bytes of printable UTF-8", size,
                             STREAM_DOMAIN_LIMIT);
}

// The slot that holds the name, or the empty one where it belongs. The table is never full.
static uint32_t slot_of(const struct domains *d, const char *name, size_t size) {
    uint32_t at = (uint32_t)XXH3_64bits(name, size) & (d->slot_count - 1);
    for (;; at = (at + 1) & (d->slot_count - 1)) {
        if (d->slots[at] == 0)
            return at;
        const char *other = d->names[d->slots[at] - 1];
        if (strncmp(other, name, size) == 0 && !other[size])
            return at;
    }
}

static int grow(struct domains *d) {
    uint32_t count = d->slot_count ? 2 * d->slot_count : SLOTS_FIRST;
    uint32_t *slots = memory_new(count, sizeof *slots);
    if (!slots)
        return ERROR_SYSTEM;
    if (memory_resize(&d->names, count / 2, sizeof *d->names) != OK) {
        free(slots);
        return ERROR_SYSTEM;
    }
    free(d->slots);
    d->slots = slots;
    d->slot_count = count;
    d->capacity = count / 2;
    for (uint32_t i = 0; i < d->count; i++)
        d->slots[slot_of(d, d->names[i], strlen(d->names[i]))] = i + 1;
    return OK;
}

int domains_add(struct domains *d, const char *name, size_t size, int code) {
    if (stream_check_domain(code, name, size) != OK)
        return code;
    if (d->count == DOMAINS_LIMIT || d->bytes + size > DOMAINS_BYTES_LIMIT)
        return error_set(code, "domain '%.*s': more than %d domains, or %d bytes of names", (int)size, name,
                         DOMAINS_LIMIT, DOMAINS_BYTES_LIMIT);
    if (d->count == d->capacity && grow(d) != OK)
        return ERROR_SYSTEM;
    uint32_t at = slot_of(d, name, size);
    if (d->slots[at] != 0)
        return error_set(code, "domain '%.*s' is named twice", (int)size, name);
    char *copy = string_copy_n(name, size);
    if (!copy)
        return ERROR_SYSTEM;
    d->names[d->count++] = copy;
    d->slots[at] = d->count;
    d->bytes += size;
    return OK;
}

int64_t domains_find(const struct domains *d, const char *name, size_t size) {
    return d->slot_count ? (int64_t)d->slots[slot_of(d, name, size)] - 1 : -1;
}

void domains_release(struct domains *d) {
    for (uint32_t i = 0; i < d->count; i++)
        free(d->names[i]);
    free(d->names);
    free(d->slots);
    *d = (struct domains){0};
}

int domains_encode(struct buffer *out, const struct domains *d, uint32_t begin, uint32_t end) {
    uint8_t fixed[LIST_FIXED];
    store_le(fixed, end - begin, LIST_FIXED);
    int code = buffer_append(out, fixed, LIST_FIXED);
    for (uint32_t i = begin; code == OK && i < end; i++) {
        store_le(fixed, strlen(d->names[i]), NAME_FIXED);
        code = buffer_append(out, fixed, NAME_FIXED);
        if (code == OK)
            code = buffer_append_string(out, d->names[i]);
    }
    return code;
}

int domains_measure(const uint8_t *data, size_t size, uint32_t *count, size_t *used) {
    size_t at = LIST_FIXED;
    if (size < LIST_FIXED || (*count = (uint32_t)load_le(data, LIST_FIXED)) > DOMAINS_LIMIT)
        return error_set(ERROR_INPUT, "domain list is out of bounds");
    for (uint32_t i = 0; i < *count; i++) {
        if (size - at < NAME_FIXED)
            return error_set(ERROR_INPUT, "domain list is cut short");
        size_t length = load_le(data + at, NAME_FIXED);
        at += NAME_FIXED;
        if (size - at < length)
            return error_set(ERROR_INPUT, "domain list is cut short");
        at += length;
    }
    *used = at;
    return OK;
}

int domains_decode(struct domains *d, const uint8_t *data) {
    uint32_t count = (uint32_t)load_le(data, LIST_FIXED);
    int code = OK;
    data += LIST_FIXED;
    for (uint32_t i = 0; code == OK && i < count; i++) {
        size_t length = load_le(data, NAME_FIXED);
        code = domains_add(d, (const char *)data + NAME_FIXED, length, ERROR_INPUT);
        data += NAME_FIXED + length;
    }
    return code;
}

int domains_compare(const struct domains *d, uint32_t begin, const uint8_t *data) {
    uint32_t count = (uint32_t)load_le(data, LIST_FIXED);
    data += LIST_FIXED;
    for (uint32_t i = 0; i < count; i++) {
        size_t length = load_le(data, NAME_FIXED);
        const char *name = begin + i < d->count ? d->names[begin + i] : "";
        if (strlen(name) != length || memcmp(name, data + NAME_FIXED, length) != 0)
            return error_set(ERROR_INPUT, "domain %u differs from the end frame's table", (unsigned)(begin + i));
        data += NAME_FIXED + length;
    }
    return OK;
}
