// train: token stream -> checkpoint.
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "train/train.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static struct train_options *const o = &train_options;

// How far a run has come before this command.
struct progress_of_run {
    bool finished; // CKPT is what this command makes
    bool differs;  // CKPT is another command's
    bool resumes;  // CKPT.part is this command's, unfinished
};

// ---- what is there already ----

// With --resume: whether CKPT is what this command makes.
static int find_finished(struct training *t, struct run *r, struct progress_of_run *p) {
    json_t *state = NULL;
    bool complete = false;
    p->finished = p->differs = false;
    int code = path_exists(r->checkpoint) ? state_read(&state, r->checkpoint) : OK;
    if (code == OK && state && json_get_boolean(state, "complete", true, &complete) == OK && complete) {
        const json_t *theirs = json_object_get(state, "configuration");
        code = configuration_compare(theirs, r->configuration, r->checkpoint);
        p->differs = code != OK;
        if (code == OK && feed_piped(r->feed)) { // only the end of a pipe tells whether these are the same data
            code = feed_finish(r->feed);
            if (code == OK)
                code = training_describe(t, r);
            if (code == OK)
                code = configuration_compare(theirs, r->configuration, r->checkpoint);
        }
        p->finished = code == OK;
    }
    json_decref(state);
    return code;
}

// What CKPT.part holds, if anything: a run to resume, or one in the way.
static int settle_folder(struct run *r, struct progress_of_run *p) {
    json_t *state = NULL;
    p->resumes = false;
    if (!r->folder.current)
        return OK;
    int code = state_read(&state, r->folder.current);
    if (code == OK && o->resume)
        code = configuration_compare(json_object_get(state, "configuration"), r->configuration, r->folder.part);
    else if (code == OK && !o->restart)
        code = error_set(ERROR_SYSTEM, "%s: holds an unfinished run; --resume goes on, --restart starts over",
                         r->folder.part);
    json_decref(state);
    p->resumes = code == OK && o->resume;
    if (p->resumes || (code != OK && !o->restart))
        return code;
    return folder_clear(&r->folder);
}

static int settle_run(struct training *t, struct run *r, struct progress_of_run *p) {
    int code = training_describe(t, r);
    if (code == OK && o->resume)
        code = find_finished(t, r, p);
    if (code != OK && !p->differs)
        return code;
    if (p->finished) {
        tool_notice("%s: is complete", r->checkpoint);
        return folder_confirm(r->checkpoint);
    }
    code = folder_open(&r->folder, r->checkpoint);
    if (code == OK)
        code = settle_folder(r, p);
    // Another command's CKPT gives way to a run of this command that was killed, else only to --restart.
    if (code == OK && p->differs && !p->resumes && !o->restart)
        code = find_finished(t, r, p);
    return code;
}

// Models side by side go on from the step that all of them have: a run that was killed while it saved left some
// ahead by one generation.
static int align(struct training *t, bool *resumes) {
    int64_t least = INT64_MAX;
    for (int g = 0; g < t->count; g++) {
        int64_t step = folder_step(&t->runs[g].folder);
        least = step < least ? step : least;
    }
    *resumes = least >= 0;
    int code = OK;
    for (int g = 0; g < t->count && code == OK && t->count > 1; g++) {
        struct folder *folder = &t->runs[g].folder;
        if (folder_step(folder) > least)
            code = *resumes ? folder_return(folder, least) : folder_clear(folder);
    }
    return code;
}

// ---- the models ----

static int start_run(struct training *t, int g, bool resumes) {
    struct run *r = &t->runs[g];
    if (resumes) {
        int code = training_restore(t, g);
        if (code == OK)
            tool_notice("%s: goes on from step %" PRId64, r->folder.part, r->state.step);
        return code;
    }
    int code = r->ancestor ? checkpoint_load(t->model, g, r->ancestor) : model_init(t->model, g, r->seed);
    if (code == OK && o->continued)
        code = checkpoint_load_moments(t->model, g, r->ancestor);
    return code;
}

static int start_models(struct training *t, bool resumes) {
    int code = training_allocate(t);
    for (int g = 0; g < t->count && code == OK; g++)
        code = start_run(t, g, resumes);
    return code == OK && resumes ? report_resume(training_step(t)) : code;
}

static void release_run(struct run *r) {
    folder_close(&r->folder);
    json_decref(r->configuration);
    feed_close(r->feed);
    free(r->checkpoint);
    free(r->ancestor);
    *r = (struct run){.folder = {.lock = -1}};
}

static int train(struct training *t) {
    int code = OK, left = 0;
    for (int g = 0; g < t->count && code == OK; g++) {
        struct progress_of_run p = {0};
        code = settle_run(t, &t->runs[g], &p);
        if (code == OK && p.finished) {
            release_run(&t->runs[g]);
        } else if (code == OK) {
            struct run r = t->runs[g];
            t->runs[g] = (struct run){.folder = {.lock = -1}};
            t->runs[left++] = r;
        }
    }
    if (code != OK || left == 0)
        return code;
    bool resumes;
    t->count = left;
    code = align(t, &resumes);
    if (code == OK)
        code = start_models(t, resumes);
    return code == OK ? training_run(t) : code;
}

// ---- opening and closing ----

// The pattern with its %d replaced by the expert's number; without one as it is.
static char *path_of(const char *pattern, int64_t expert) {
    const char *mark = o->side_by_side ? strstr(pattern, "%d") : NULL;
    return mark ? string_format("%.*s%" PRId64 "%s", (int)(mark - pattern), pattern, expert, mark + 2)
                : string_copy(pattern);
}

static int open_feed(struct run *r) {
    struct feed_options data = {
        .paths = o->paths,
        .count = o->count,
        .share = {(uint64_t)o->sequences.begin,
                  o->sequences.end == INT64_MAX ? UINT64_MAX : (uint64_t)o->sequences.end, o->assignment,
                  o->assignment ? (uint32_t)r->expert : 0},
        .weights = o->weight_list,
        .shuffle = o->shuffle,
        .seed = r->seed,
        .others = (uint64_t)o->expert_count - 1,
    };
    int code = feed_open(&r->feed, &data);
    if (code == OK && o->side_by_side && feed_piped(r->feed))
        code = error_set(ERROR_USAGE, "--expert: several of them read the same stream, so it must be a file");
    return code;
}

static int open_run(struct run *r, int g) {
    const char *ancestor = o->init ? o->init : o->continued;
    *r = (struct run){.expert = o->expert_first < 0 ? -1 : o->expert_first + g, .folder = {.lock = -1}};
    r->seed = (uint64_t)common.seed + (o->side_by_side ? (uint64_t)r->expert : 0);
    r->ancestor = ancestor ? path_of(ancestor, r->expert) : NULL;
    r->checkpoint = common.output ? path_of(common.output, r->expert) : NULL;
    if ((ancestor && !r->ancestor) || (common.output && !r->checkpoint))
        return ERROR_SYSTEM;
    return o->count > 0 || !o->plan ? open_feed(r) : OK;
}

static int open_runs(struct training *t) {
    t->runs = memory_new((size_t)o->expert_count, sizeof *t->runs);
    if (!t->runs)
        return ERROR_SYSTEM;
    int code = OK;
    while (t->count < o->expert_count && code == OK) {
        code = open_run(&t->runs[t->count], t->count);
        t->count++;
    }
    return code;
}

static void release(struct training *t) {
    model_free(t->model);
    supply_free(t->supply);
    for (int g = 0; g < t->count; g++)
        release_run(&t->runs[g]);
    free(t->runs);
    batch_free(&t->held_out);
    free(t->row);
    free(t->tokens);
    free(t->targets);
    free(t->scores);
    free(t->scales);
    buffer_release(&t->tokenizer);
    free(t->nats);
    free(t->norms);
    device_close(t->device);
    free(o->weight_list);
}

static int run(int count, char **operands) {
    struct training t = {.options = o};
    o->count = count;
    o->paths = operands;
    int code = train_options_settle(o);
    if (code == OK)
        code = device_open(&t.device, common.device, (int)common.threads, (enum kernel_dtype)o->dtype);
    if (code == OK && device_notice(t.device))
        tool_notice("%s", device_notice(t.device));
    if (code == OK)
        code = open_runs(&t);
    if (code == OK)
        code = training_inherit(&t);
    if (code == OK)
        code = training_settle(&t);
    if (code == OK)
        code = o->plan ? training_plan(&t) : train(&t);
    release(&t);
    return code;
}

static struct tool tool = {
    .name = "train",
    .purpose = "train a language model on a token stream",
    .synopsis = "--model CONFIG [OPTION]... -o CKPT [TOKENS]...\n"
                "--init CKPT | --continue CKPT [OPTION]... -o CKPT [TOKENS]...\n"
                "--plan --model CONFIG [OPTION]... [TOKENS]...",
    .description =
        "Makes the directory CKPT: config.json, model.safetensors (transformers opens them), tokenizer.json,\n"
        "optimizer.safetensors, state.json. While it trains, its state lives in CKPT.part/; CKPT appears (or is\n"
        "replaced) whole at the end. A run that was killed goes on with the same command and --resume, to the "
        "same\n"
        "final bytes. From a pipe it keeps the stream's order and makes one pass.",
    .example =
        "train --model config.json --batch 32 --lr 1e-3 --warmup 100 --schedule cosine -o model corpus.tok\n"
        "train --continue router.0 --sequences 4096..8192 --assignment 1.asg --expert 0 -o router.1 corpus.tok\n"
        "train --model router.json --assignment 0.asg --expert 0..31 --steps 100 -o 'router.%d' corpus.tok",
    .see_also = "tokenize, route, assign, view",
    .options = train_option_table,
    .run = run,
};

int main(int argc, char **argv) {
    return tool_main(&tool, TOOL_OUTPUT | TOOL_DEVICE | TOOL_THREADS | TOOL_SEED | TOOL_PROGRESS | TOOL_LOG, argc,
                     argv);
}
