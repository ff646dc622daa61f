// Time the products of models on a CUDA device and write the table that a run loads (lib/kernels/cuda/tune.cu):
//
//     tune FILE CONFIG:BATCH:LENGTH[:MODELS] ...
//
// Every product that training and scoring issue for BATCH sequences of LENGTH tokens is timed the first time it is
// issued, on the operands it is issued with; MODELS of one shape in one call (default: 1). Of a model alone one
// layer is made, for its layers are alike.
#include "base/error.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/tool.h"
#include "model/model.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int (*tune_begin)(struct device *d);
typedef int (*tune_end)(struct device *d, const char *path);

// A function of the backend that kernels.h does not know: the object that holds the backend's operations has it.
static int backend_symbol(const struct device *d, const char *name, void *function) {
    Dl_info self;
    void *inside;
    memcpy(&inside, &d->k->convert, sizeof inside);
    void *library = dladdr(inside, &self) ? dlopen(self.dli_fname, RTLD_NOW | RTLD_NOLOAD) : NULL;
    void *symbol = library ? dlsym(library, name) : NULL;
    if (library)
        dlclose(library);
    if (!symbol)
        return error_set(ERROR_USAGE, "device '%s' has nothing to tune", d->k->name);
    memcpy(function, &symbol, sizeof symbol);
    return OK;
}

struct passes {
    struct model *m;
    uint32_t *tokens; // for all models
    float *logprobs, *scale;
    double *sums;
};

// The products of one training pass, and of one scoring pass.
static int run_passes(struct passes *p, const struct model_size *size) {
    size_t rows = (size_t)size->batch * (size_t)size->length, g = (size_t)size->models;
    uint32_t vocab = (uint32_t)model_get_config(p->m)->vocab;
    for (size_t i = 0; i < rows * g; i++)
        p->tokens[i] = (uint32_t)random_below(1, 0, i, vocab);
    for (size_t i = 0; i < g; i++)
        p->scale[i] = 1e-3f;
    int code = OK;
    for (int i = 0; i < size->models && code == OK; i++)
        code = model_init(p->m, i, (uint64_t)i);
    if (code == OK)
        code = model_gradient(p->m, p->tokens, p->tokens, size->batch, size->length, p->scale, p->sums);
    if (code == OK)
        code = model_score(p->m, p->tokens, p->tokens, size->batch, size->length, p->logprobs);
    return code;
}

static int tune_model(struct device *d, struct model_config *c, const struct model_size *size) {
    size_t rows = (size_t)size->batch * (size_t)size->length, g = (size_t)size->models;
    struct passes p = {.tokens = memory_new(rows * g, sizeof *p.tokens),
                       .logprobs = memory_new(rows * g, sizeof *p.logprobs),
                       .scale = memory_new(g, sizeof *p.scale),
                       .sums = memory_new(g, sizeof *p.sums)};
    if (size->models == 1)
        c->layers = 1;
    int code = p.tokens && p.logprobs && p.scale && p.sums ? model_new(&p.m, d, c, size) : ERROR_SYSTEM;
    if (code == OK)
        code = run_passes(&p, size);
    model_free(p.m);
    free(p.tokens);
    free(p.logprobs);
    free(p.scale);
    free(p.sums);
    return code;
}

static int tune_specification(struct device *d, const char *text) {
    struct model_size size = {.models = 1, .train = true};
    struct model_config c;
    char path[4096];
    int fields = sscanf(text, "%4095[^:]:%d:%d:%d", path, &size.batch, &size.length, &size.models);
    if (fields < 3 || size.batch < 1 || size.length < 1 || size.models < 1)
        return error_set(ERROR_USAGE, "'%s': not CONFIG:BATCH:LENGTH[:MODELS]", text);
    int code = model_config_read(&c, path);
    double start = clock_seconds();
    if (code == OK)
        code = tune_model(d, &c, &size);
    if (code == OK)
        fprintf(stderr, "tune: %s: %.1f s\n", text, clock_seconds() - start);
    return code;
}

static int run(int count, char **operands) {
    struct device *d;
    tune_begin begin;
    tune_end end;
    if (count < 2)
        return error_set(ERROR_USAGE, "a file for the table, and models as CONFIG:BATCH:LENGTH[:MODELS]");
    int code = device_open(&d, common.device, 0, KERNEL_DTYPE_AUTO);
    if (code != OK)
        return code;
    code = backend_symbol(d, "kernels_cuda_tune_begin", &begin);
    if (code == OK)
        code = backend_symbol(d, "kernels_cuda_tune_end", &end);
    if (code == OK)
        code = begin(d);
    for (int i = 1; i < count && code == OK; i++)
        code = tune_specification(d, operands[i]);
    if (code == OK)
        code = end(d, operands[0]);
    device_close(d);
    return code;
}

int main(int argc, char **argv) {
    struct option options[] = {{0}};
    struct tool tool = {.name = "tune",
                        .purpose = "choose a CUDA device's products by timing",
                        .synopsis = "FILE CONFIG:BATCH:LENGTH[:MODELS]...",
                        .options = options,
                        .run = run};
    return tool_main(&tool, TOOL_DEVICE, argc, argv);
}
