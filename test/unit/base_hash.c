#include "base/file.h"
#include "base/hash.h"
#include "check.h"

#include <stdlib.h>
#include <unistd.h>

int main(void) {
    // Published XXH3-128 values (seed 0), as `xxh128sum` prints them.
    static const struct {
        const char *text, *hex;
    } known[] = {
        {"", "99aa06d3014798d86001c324468d497f"},
        {"a", "a96faf705af16834e6c632b61e964e1f"},
        {"abc", "06b05ab6733a618578af5f94892f3950"},
    };
    char text[33];
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct digest d = digest_of(known[i].text, strlen(known[i].text)), back;
        digest_format(&d, text);
        CHECK_EQUAL_STRING(text, known[i].hex);
        CHECK_OK(digest_parse(&back, text));
        CHECK(digest_equal(&d, &back) && digest_known(&d));
    }

    struct digest d = digest_of("x", 1), unknown = {{0}}, kept = d;
    CHECK(!digest_known(&unknown) && !digest_equal(&d, &unknown));
    CHECK_OK(digest_parse(&d, "99AA06D3014798D86001C324468D497F"));
    digest_format(&d, text);
    CHECK_EQUAL_STRING(text, known[0].hex);
    d = kept;
    CHECK_ERROR(digest_parse(&d, ""), ERROR_INPUT);
    CHECK_ERROR(digest_parse(&d, "99aa06d3014798d86001c324468d497"), ERROR_INPUT);
    CHECK_ERROR(digest_parse(&d, "99aa06d3014798d86001c324468d497f0"), ERROR_INPUT);
    CHECK_ERROR(digest_parse(&d, "99aa06d3014798d86001c324468d497g"), ERROR_INPUT);
    CHECK(digest_equal(&d, &kept));

    // A file's digest is that of its bytes, whatever the size of the pieces.
    char name[] = "/tmp/tacit-unit.XXXXXX";
    int fd = mkstemp(name);
    static char data[1000003];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (char)(i * 31 >> 3);
    static const size_t sizes[] = {0, 1, 262143, 262144, 262145, 524288, sizeof data};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct digest whole = digest_of(data, sizes[i]);
        CHECK_OK(file_write(name, data, sizes[i]));
        CHECK_OK(digest_file(&d, name));
        CHECK(digest_equal(&d, &whole));
    }
    CHECK_ERROR(digest_file(&d, "/absent"), ERROR_SYSTEM);
    CHECK_MESSAGE("/absent: ");
    unlink(name);
    close(fd);
    return check_report();
}
