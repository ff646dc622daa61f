// usage: replay FILE...
// Run a fuzz target once over each file: the kept inputs, wherever there is no libFuzzer.
#include "support.h"

#include "base/file.h"

int main(int argc, char **argv) {
    struct buffer bytes = {0};
    if (argc < 2) {
        fprintf(stderr, "usage: %s FILE...\n", argv[0]);
        return ERROR_USAGE;
    }
    fuzz_replay = true;
    for (int i = 1; i < argc; i++) {
        int code = file_read(argv[i], SIZE_MAX, &bytes);
        if (code != OK) {
            fprintf(stderr, "replay: %s\n", error_message());
            return code;
        }
        // A crash names nothing by itself.
        if (getenv("FUZZ_TRACE"))
            fprintf(stderr, "%s\n", argv[i]);
        uint8_t *copy = fuzz_copy(bytes.data, bytes.size);
        LLVMFuzzerTestOneInput(copy, bytes.size);
        free(copy);
    }
    buffer_release(&bytes);
    fprintf(stderr, "%d inputs\n", argc - 1);
    return 0;
}
