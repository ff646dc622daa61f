#include "model/batch.h"
#include "base/error.h"
#include "base/memory.h"
#include "kernels/kernels.h"

#include <stdlib.h>
#include <string.h>

int batch_new(struct batch *b, int rows, int length) {
    size_t n = (size_t)rows * (size_t)length;
    *b = (struct batch){.rows = rows, .length = length};
    b->tokens = memory_new(n, sizeof *b->tokens);
    b->targets = memory_new(n, sizeof *b->targets);
    b->lengths = memory_new((size_t)rows, sizeof *b->lengths);
    return b->tokens && b->targets && b->lengths ? OK : ERROR_SYSTEM;
}

void batch_free(struct batch *b) {
    free(b->tokens);
    free(b->targets);
    free(b->lengths);
    *b = (struct batch){0};
}

void batch_clear(struct batch *b) {
    b->count = 0;
    b->predicted = 0;
}

void batch_add(struct batch *b, const uint32_t *tokens, int n, int first) {
    uint32_t *row = b->tokens + (size_t)b->count * (size_t)b->length;
    uint32_t *targets = b->targets + (size_t)b->count * (size_t)b->length;
    for (int s = 0; s < b->length; s++) {
        bool predicts = s >= first - 1 && s + 1 < n;
        row[s] = s < n ? tokens[s] : 0;
        targets[s] = predicts ? tokens[s + 1] : TARGET_NONE;
        b->predicted += predicts;
    }
    b->lengths[b->count++] = n;
}

int batch_longest(const struct batch *b, int begin, int n) {
    int longest = 1;
    for (int i = begin; i < begin + n; i++)
        if (b->lengths[i] > longest)
            longest = b->lengths[i];
    return longest;
}

void batch_pack(const struct batch *b, int begin, int n, int S, uint32_t *tokens, uint32_t *targets) {
    size_t length = (size_t)S;
    for (int i = 0; i < n; i++) {
        size_t from = (size_t)(begin + i) * (size_t)b->length, to = (size_t)i * length;
        memcpy(tokens + to, b->tokens + from, length * sizeof *tokens);
        memcpy(targets + to, b->targets + from, length * sizeof *targets);
    }
}
