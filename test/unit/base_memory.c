#include "base/memory.h"
#include "check.h"

#include <stdlib.h>

static void allocate_and_resize(void) {
    int *p = memory_new(5, sizeof *p);
    CHECK(p && p[0] == 0 && p[4] == 0);
    p[4] = 7;
    CHECK_OK(memory_resize(&p, 1000, sizeof *p));
    CHECK_EQUAL_INT(p[4], 7);

    // What cannot be had is an error that names the size, and leaves what was there.
    int *before = p;
    CHECK_ERROR(memory_resize(&p, SIZE_MAX / 2, sizeof *p), ERROR_SYSTEM);
    CHECK_MESSAGE("out of memory");
    CHECK_ERROR(memory_resize(&p, (size_t)PTRDIFF_MAX + 1, 1), ERROR_SYSTEM);
    CHECK_MESSAGE("9223372036854775808 bytes");
    CHECK(p == before && p[4] == 7);
    free(p);

    volatile size_t huge = SIZE_MAX / 4 + 1; // unknown to the compiler, which would warn
    CHECK(memory_new(huge, 8) == NULL);
    CHECK_MESSAGE("out of memory");
    CHECK(memory_new_aligned(huge * 2) == NULL);
    void *empty = memory_new(0, 8);
    CHECK(empty != NULL);
    free(empty);
    for (size_t bytes = 0; bytes < 300; bytes += 37) {
        char *aligned = memory_new_aligned(bytes);
        CHECK(aligned && (uintptr_t)aligned % 64 == 0);
        memset(aligned, 1, bytes);
        free(aligned);
    }
}

static void copy_strings(void) {
    char *s = string_copy("corpus"), *head = string_copy_n("corpus", 3), *all = string_copy_n("ab", 100);
    CHECK_EQUAL_STRING(s, "corpus");
    CHECK_EQUAL_STRING(head, "cor");
    CHECK_EQUAL_STRING(all, "ab");
    free(s);
    free(head);
    free(all);
    char *text = string_format("%s.%d.%s", "expert", 3, "tok");
    CHECK_EQUAL_STRING(text, "expert.3.tok");
    free(text);
}

static void grow_a_buffer(void) {
    struct buffer b = {0};
    for (int i = 0; i < 100000; i++) {
        uint8_t byte = (uint8_t)(i * 7);
        if (buffer_append(&b, &byte, 1) != OK)
            break;
    }
    CHECK_EQUAL_INT(b.size, 100000);
    bool same = true;
    for (int i = 0; i < 100000; i++)
        same = same && b.data[i] == (uint8_t)(i * 7);
    CHECK(same);
    size_t capacity = b.capacity;
    buffer_clear(&b);
    CHECK_EQUAL_INT(b.size, 0);
    CHECK_EQUAL_INT(b.capacity, capacity);
    CHECK_OK(buffer_append_string(&b, "x="));
    CHECK_OK(buffer_append_format(&b, "%d,%s", 42, "y"));
    CHECK_OK(buffer_append(&b, NULL, 0));
    CHECK_EQUAL_INT(b.size, 6);
    CHECK(memcmp(b.data, "x=42,y", 6) == 0);
    CHECK_ERROR(buffer_reserve(&b, SIZE_MAX - 3), ERROR_SYSTEM);
    CHECK_EQUAL_INT(b.size, 6);
    buffer_release(&b);
    CHECK(b.data == NULL && b.capacity == 0);
}

int main(void) {
    allocate_and_resize();
    copy_strings();
    grow_a_buffer();

    uint8_t bytes[9] = {0};
    store_le(bytes + 1, 0x0102030405060708, 8);
    CHECK_EQUAL_INT(bytes[1], 8);
    CHECK_EQUAL_INT(bytes[8], 1);
    CHECK_EQUAL_INT(load_le(bytes + 1, 8), 0x0102030405060708);
    CHECK_EQUAL_INT(load_le(bytes + 1, 2), 0x0708);
    store_le(bytes, 0xabcdef, 3);
    CHECK_EQUAL_INT(load_le(bytes, 3), 0xabcdef);
    return check_report();
}
