// Text inputs: the first byte chooses how the rest is cut into documents (whole, lines, a separator, JSON lines);
// gzip and zstd are recognised.
#include "../support.h"

#include "base/tool.h"
#include "tokenize/documents.h"

enum { FEW = 500 }; // documents, which an input of many lines would spend all time on

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    struct documents_options options = {.unit = (enum documents_unit)(data[0] % 4),
                                        .separator = (const uint8_t *)"--",
                                        .separator_size = 2,
                                        .field = "text",
                                        .domain_field = data[0] & 4 ? "domain" : NULL};
    struct documents *documents;
    struct document document;
    bool got = true;
    common.quiet = true;
    fuzz_json();
    fuzz_file(data + 1, size - 1);
    int code = documents_open(&documents, "-", &options);
    if (code != OK)
        return 0;
    uint64_t sum = 0, most = fuzz_one_in(64, data, size) ? UINT64_MAX : FEW;
    for (; code == OK && got && most > 0; most--) {
        code = documents_next(documents, &document, &got);
        for (size_t i = 0; code == OK && got && i < document.size; i += 1 + document.size / 64)
            sum += document.text[i];
        if (code == OK && got && document.domain)
            sum += strlen(document.domain);
    }
    REQUIRE(code != OK || got || documents_consumed(documents) == size - 1);
    REQUIRE(sum < UINT64_MAX);
    documents_close(documents);
    return 0;
}
