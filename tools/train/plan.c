// --plan: what a run would cost.
#include "base/error.h"
#include "base/machine.h"
#include "base/memory.h"
#include "train/train.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { MIB = 1 << 20 };
enum { PROBE_LAYERS = 2, PROBE_TOKENS = 4096, PROBE_PASSES = 2 };

struct plan {
    int64_t parameters, products, tokens_per_step, steps;
    double flops_per_token, tokens, flops;
    struct model_memory memory;
    uint64_t data, total;              // bytes: reading and batches; everything
    double tokens_per_second, seconds; // 0: not known
};

// A few models to time, and what they need on the host.
struct probe {
    struct model *model;
    struct model_config config;
    struct model_size size;
    uint32_t *ids;
    float *scales;
    double *nats, *norms;
};

static int probe_allocate(struct probe *p) {
    size_t models = (size_t)p->size.models, n = models * (size_t)p->size.batch * (size_t)p->size.length;
    p->ids = memory_new(n, sizeof *p->ids);
    p->scales = memory_new(models, sizeof *p->scales);
    p->nats = memory_new(models, sizeof *p->nats);
    p->norms = memory_new(models, sizeof *p->norms);
    if (!p->ids || !p->scales || !p->nats || !p->norms)
        return ERROR_SYSTEM;
    for (size_t i = 0; i < n; i++)
        p->ids[i] = (uint32_t)(i * 2654435761u % (uint32_t)p->config.vocab);
    for (size_t g = 0; g < models; g++)
        p->scales[g] = 1e-3f;
    return OK;
}

static void probe_release(struct probe *p) {
    model_free(p->model);
    free(p->ids);
    free(p->scales);
    free(p->nats);
    free(p->norms);
}

// Seconds of one forward and backward pass, and of one update: the faster of two, after one.
static int time_model(struct probe *p, double *pass, double *update) {
    struct model_optimizer optimizer = {.rate = 1e-6, .beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-8, .step = 1};
    int code = OK;
    *pass = *update = 1e30;
    for (int g = 0; g < p->size.models && code == OK; g++)
        code = model_init(p->model, g, 1);
    for (int i = 0; i <= PROBE_PASSES && code == OK; i++) {
        double start = clock_seconds();
        code = model_gradient(p->model, p->ids, p->ids, p->size.batch, p->size.length, p->scales, p->nats);
        double middle = clock_seconds();
        if (code == OK)
            code = model_update(p->model, &optimizer, p->norms);
        double end = clock_seconds();
        if (i > 0 && middle - start < *pass)
            *pass = middle - start;
        if (i > 0 && end - middle < *update)
            *update = end - middle;
    }
    return code;
}

// A model of the same width and at most two layers is timed on a few thousand tokens; passes scale with FLOPs,
// updates with parameters. A machine that cannot hold even that still gets the rest of the plan.
static int estimate(const struct training *t, struct plan *plan) {
    int length = (int)t->options->length, rows = PROBE_TOKENS / length > 0 ? PROBE_TOKENS / length : 1;
    if (rows > t->options->micro_batch)
        rows = (int)t->options->micro_batch;
    struct probe p = {.config = t->config,
                      .size = {.models = t->count,
                               .batch = rows,
                               .length = length,
                               .train = true,
                               .recompute = t->options->recompute}};
    if (p.config.layers > PROBE_LAYERS)
        p.config.layers = PROBE_LAYERS;
    double pass, update, tokens = (double)t->count * rows * length;
    int code = probe_allocate(&p);
    if (code == OK && model_new(&p.model, t->device, &p.config, &p.size) == OK) {
        code = time_model(&p, &pass, &update);
        pass *= plan->flops_per_token / model_flops_per_token(&p.config, length);
        update *= (double)plan->parameters / (double)model_parameters(&p.config);
        double step = pass * (double)plan->tokens_per_step / tokens + update;
        plan->tokens_per_second = (double)plan->tokens_per_step / step;
        plan->seconds = plan->tokens / plan->tokens_per_second;
    }
    probe_release(&p);
    return code;
}

static int print_json(const struct training *t, const struct plan *p) {
    const struct model_memory *m = &p->memory;
    json_t *object =
        json_pack("{s:i,s:I,s:I,s:f,s:I,s:I,s:f,s:f,s:{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I},s:f,s:f,s:I,s:s}",
                  "models", t->count, "parameters", (json_int_t)p->parameters, "product_parameters",
                  (json_int_t)p->products, "flops_per_token", p->flops_per_token, "tokens_per_step",
                  (json_int_t)p->tokens_per_step, "steps", (json_int_t)p->steps, "tokens", p->tokens, "flops",
                  p->flops, "memory", "parameters", (json_int_t)m->parameters, "copies", (json_int_t)m->copies,
                  "gradients", (json_int_t)m->gradients, "moments", (json_int_t)m->moments, "activations",
                  (json_int_t)m->activations, "workspace", (json_int_t)m->workspace, "data", (json_int_t)p->data,
                  "total", (json_int_t)p->total, "tokens_per_second", p->tokens_per_second, "seconds", p->seconds,
                  "micro_batch", (json_int_t)t->options->micro_batch, "device", device_describe(t->device));
    char *text = object ? json_canonical(object) : NULL;
    json_decref(object);
    if (!text)
        return error_set(ERROR_SYSTEM, "out of memory: writing json");
    puts(text);
    free(text);
    return OK;
}

static void print_bytes(const char *name, uint64_t bytes) {
    printf("  %-20s %14.1f MiB\n", name, (double)bytes / MIB);
}

static void print_text(const struct training *t, const struct plan *p) {
    const struct model_memory *m = &p->memory;
    printf("device                 %s\n", device_describe(t->device));
    if (t->count > 1)
        printf("models                 %14d\n", t->count);
    printf("parameters             %14" PRId64 "\n", p->parameters);
    printf("  in products          %14" PRId64 "\n", p->products);
    printf("tokens per step        %14" PRId64 "  (%s%" PRId64 " sequences of %" PRId64 ", %" PRId64
           " at a time)\n",
           p->tokens_per_step, t->count > 1 ? "each " : "", t->options->batch, t->options->length,
           t->options->micro_batch);
    printf("FLOPs per token        %14.4g\n", p->flops_per_token);
    if (p->steps > 0)
        printf("steps                  %14" PRId64
               "\ntokens                 %14.4g\nFLOPs                  %14.4g\n",
               p->steps, p->tokens, p->flops);
    printf("memory\n");
    print_bytes("parameters", m->parameters);
    print_bytes("compute copies", m->copies);
    print_bytes("gradients", m->gradients);
    print_bytes("moments", m->moments);
    print_bytes("activations", m->activations);
    print_bytes("workspace", m->workspace);
    print_bytes("data", p->data);
    print_bytes("total", p->total);
    if (p->tokens_per_second > 0)
        printf("tokens/s (estimate)    %14.4g  (%.4g TFLOP/s)\n", p->tokens_per_second,
               p->tokens_per_second * p->flops_per_token / 1e12);
    else
        printf("tokens/s (estimate)    not known: this machine cannot hold the model\n");
    if (p->seconds > 0)
        printf("seconds (estimate)     %14.4g\n", p->seconds);
}

static void plan_memory(const struct training *t, struct plan *p) {
    const struct train_options *o = t->options;
    struct model_size size = training_size(t);
    uint64_t batch =
        (uint64_t)(o->batch * o->length) * 5 * sizeof(uint32_t); // tokens and targets twice, log-probs
    uint64_t micro = (uint64_t)(o->micro_batch * o->length) * 3 * sizeof(uint32_t); // tokens, targets, scores
    model_plan(&t->config, t->device, &size, &p->memory);
    p->data = (batch + micro) * (uint64_t)t->count;
    for (int g = 0; g < t->count && t->runs[g].feed; g++)
        p->data += feed_memory(t->runs[g].feed);
    p->total = p->memory.total + p->data;
}

void training_report_memory(const struct training *t) {
    struct plan p;
    size_t peak = common.verbose ? machine_peak() : 0;
    plan_memory(t, &p);
    if (peak > 0)
        tool_verbose("memory: %.1f MiB at most, %.1f MiB planned", (double)peak / MIB, (double)p.total / MIB);
}

int training_plan(struct training *t) {
    const struct train_options *o = t->options;
    struct plan p = {.parameters = model_parameters(&t->config),
                     .products = model_product_parameters(&t->config),
                     .tokens_per_step = o->batch * o->length * t->count,
                     .steps = o->steps,
                     .flops_per_token = model_flops_per_token(&t->config, (int)o->length)};
    p.tokens = (double)p.steps * (double)p.tokens_per_step;
    p.flops = p.tokens * p.flops_per_token;
    plan_memory(t, &p);
    int code = estimate(t, &p);
    if (code != OK)
        return code;
    if (o->json)
        return print_json(t, &p);
    print_text(t, &p);
    return OK;
}
