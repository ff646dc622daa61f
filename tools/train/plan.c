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

// Seconds of one forward and backward pass over `rows` sequences, and of one update: the faster of two, after one.
static int time_model(struct model *m, uint32_t *ids, int rows, int length, double *pass, double *update) {
    struct model_optimizer optimizer = {.rate = 1e-6, .beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-8, .step = 1};
    *pass = *update = 1e30;
    for (int i = 0; i <= PROBE_PASSES; i++) {
        double nats = 0, norm, start = clock_seconds();
        int code = model_gradient(m, ids, ids, rows, length, 1e-3f, &nats);
        double middle = clock_seconds();
        if (code == OK)
            code = model_update(m, &optimizer, &norm);
        double end = clock_seconds();
        if (code != OK)
            return code;
        if (i > 0 && middle - start < *pass)
            *pass = middle - start;
        if (i > 0 && end - middle < *update)
            *update = end - middle;
    }
    return OK;
}

// A model of the same width and at most two layers is timed on a few thousand tokens; passes scale with FLOPs,
// updates with parameters. A machine that cannot hold even that still gets the rest of the plan.
static int estimate(const struct training *t, struct plan *plan) {
    struct model_config probe = t->config;
    int length = (int)t->options->length, rows = PROBE_TOKENS / length > 0 ? PROBE_TOKENS / length : 1;
    if (rows > t->options->micro_batch)
        rows = (int)t->options->micro_batch;
    if (probe.layers > PROBE_LAYERS)
        probe.layers = PROBE_LAYERS;
    struct model_size size = {
        .models = 1, .batch = rows, .length = length, .train = true, .recompute = t->options->recompute};
    struct model *m = NULL;
    double pass, update;
    size_t n = (size_t)rows * (size_t)length;
    uint32_t *ids = memory_new(n, sizeof *ids);
    if (!ids)
        return ERROR_SYSTEM;
    if (model_new(&m, t->device, &probe, &size) != OK) {
        free(ids);
        return OK;
    }
    int code = OK;
    for (size_t i = 0; i < n; i++)
        ids[i] = (uint32_t)(i * 2654435761u % (uint32_t)probe.vocab);
    if (code == OK)
        code = model_init(m, 0, 1);
    if (code == OK)
        code = time_model(m, ids, rows, length, &pass, &update);
    if (code == OK) {
        pass *= plan->flops_per_token / model_flops_per_token(&probe, length);
        update *= (double)plan->parameters / (double)model_parameters(&probe);
        double step = pass * (double)plan->tokens_per_step / (double)n + update;
        plan->tokens_per_second = (double)plan->tokens_per_step / step;
        plan->seconds = plan->tokens / plan->tokens_per_second;
    }
    model_free(m);
    free(ids);
    return code;
}

static int print_json(const struct training *t, const struct plan *p) {
    const struct model_memory *m = &p->memory;
    json_t *object = json_pack(
        "{s:I,s:I,s:f,s:I,s:I,s:f,s:f,s:{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I},s:f,s:f,s:I,s:s}", "parameters",
        (json_int_t)p->parameters, "product_parameters", (json_int_t)p->products, "flops_per_token",
        p->flops_per_token, "tokens_per_step", (json_int_t)p->tokens_per_step, "steps", (json_int_t)p->steps,
        "tokens", p->tokens, "flops", p->flops, "memory", "parameters", (json_int_t)m->parameters, "copies",
        (json_int_t)m->copies, "gradients", (json_int_t)m->gradients, "moments", (json_int_t)m->moments,
        "activations", (json_int_t)m->activations, "workspace", (json_int_t)m->workspace, "data",
        (json_int_t)p->data, "total", (json_int_t)p->total, "tokens_per_second", p->tokens_per_second, "seconds",
        p->seconds, "micro_batch", (json_int_t)t->options->micro_batch, "device", device_describe(t->device));
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
    printf("parameters             %14" PRId64 "\n", p->parameters);
    printf("  in products          %14" PRId64 "\n", p->products);
    printf("tokens per step        %14" PRId64 "  (%" PRId64 " sequences of %" PRId64 ", %" PRId64 " at a time)\n",
           p->tokens_per_step, t->options->batch, t->options->length, t->options->micro_batch);
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
    struct model_size size = {.models = 1,
                              .batch = (int)o->micro_batch,
                              .length = (int)o->length,
                              .train = true,
                              .recompute = o->recompute};
    uint64_t batch = (uint64_t)(o->batch * o->length) * 4 * sizeof(uint32_t);       // tokens and targets, twice
    uint64_t micro = (uint64_t)(o->micro_batch * o->length) * 4 * sizeof(uint32_t); // the same, scores, log-probs
    model_plan(&t->config, t->device, &size, &p->memory);
    p->data = batch + micro + (t->feed ? feed_memory(t->feed) : 0);
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
                     .tokens_per_step = o->batch * o->length,
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
