#include "base/error.h"
#include "route/route.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

// "runs/demo/router.3/" -> "router.3"
static char *base_name(const char *path) {
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    return string_copy_n(path + begin, end - begin);
}

static int add_model(struct panel *p, const char *checkpoint) {
    struct model_config config;
    struct panel_group *last = p->group_count > 0 ? &p->groups[p->group_count - 1] : NULL;
    int i = p->model_count, code = checkpoint_config(&config, checkpoint);
    if (code == OK)
        code = checkpoint_digest(checkpoint, &p->digests[i]);
    if (code != OK)
        return code;
    p->names[i] = base_name(checkpoint);
    if (!p->names[i])
        return ERROR_SYSTEM;
    p->model_count++;
    if (last && model_config_equal(&last->config, &config))
        last->count++;
    else
        p->groups[p->group_count++] = (struct panel_group){.config = config, .first = i, .count = 1};
    if (i == 0 || config.vocab < p->vocab)
        p->vocab = config.vocab;
    if (i == 0 || config.positions < p->positions)
        p->positions = config.positions;
    return OK;
}

int panel_open(struct panel *p, const char *const *checkpoints, int count) {
    *p = (struct panel){0};
    p->groups = memory_new((size_t)count, sizeof *p->groups);
    p->names = memory_new((size_t)count, sizeof *p->names);
    p->digests = memory_new((size_t)count, sizeof *p->digests);
    int code = p->groups && p->names && p->digests ? OK : ERROR_SYSTEM;
    for (int i = 0; i < count && code == OK; i++)
        code = add_model(p, checkpoints[i]);
    return code;
}

int panel_check(const struct panel *p, const char *const *checkpoints, const struct stream *tokens) {
    const struct stream_header *h = stream_header(tokens);
    for (int i = 0; i < p->group_count; i++)
        if (h->vocab_size > (uint32_t)p->groups[i].config.vocab)
            return error_set(ERROR_INPUT, "%s: vocabulary of %" PRIu32 " tokens, but that of %s has %d",
                             stream_name(tokens), h->vocab_size, checkpoints[p->groups[i].first],
                             p->groups[i].config.vocab);
    for (int i = 0; i < p->model_count; i++) {
        struct digest theirs;
        int code = checkpoint_vocab(checkpoints[i], &theirs);
        if (code == OK)
            code = stream_match_vocabularies(stream_name(tokens), &h->vocab, checkpoints[i], &theirs,
                                             "tokenize with its tokenizer.json");
        if (code != OK)
            return code;
    }
    return OK;
}

int panel_load(struct panel *p, const char *const *checkpoints, struct device *device, int rows, int length) {
    p->device = device;
    for (int i = 0; i < p->group_count; i++) {
        struct panel_group *g = &p->groups[i];
        struct model_size size = {.models = g->count, .batch = rows, .length = length};
        int code = model_new(&g->model, device, &g->config, &size);
        if (code == ERROR_SYSTEM)
            return error_set(code, "%s; a smaller --batch, or fewer models at once, needs less", error_message());
        for (int k = 0; k < g->count && code == OK; k++)
            code = checkpoint_load(g->model, k, checkpoints[g->first + k]);
        if (code != OK)
            return code;
    }
    return OK;
}

void panel_close(struct panel *p) {
    for (int i = 0; i < p->group_count; i++)
        model_free(p->groups[i].model);
    for (int i = 0; i < p->model_count; i++)
        free(p->names[i]);
    free(p->groups);
    free(p->names);
    free(p->digests);
    *p = (struct panel){0};
}

double panel_flops(const struct panel *p, int n) {
    double flops = 0;
    for (int i = 0; i < p->group_count; i++)
        flops += model_flops_per_token(&p->groups[i].config, n) / 3 * n * p->groups[i].count;
    return flops;
}
