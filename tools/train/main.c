// train: token stream -> checkpoint.
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "train/train.h"

#include <inttypes.h>
#include <stdlib.h>

static struct train_options *const o = &train_options;

// With --resume: whether CKPT is what this command makes; *differs where it is another command's.
static int is_finished(struct training *t, bool *finished, bool *differs) {
    json_t *state = NULL;
    bool complete = false;
    *finished = *differs = false;
    int code = path_exists(common.output) ? state_read(&state, common.output) : OK;
    if (code == OK && state && json_get_boolean(state, "complete", true, &complete) == OK && complete) {
        const json_t *theirs = json_object_get(state, "configuration");
        code = configuration_compare(theirs, t->configuration, common.output);
        *differs = code != OK;
        if (code == OK && feed_piped(t->feed)) { // only the end of a pipe tells whether these are the same data
            code = feed_finish(t->feed);
            json_decref(t->configuration);
            t->configuration = NULL;
            if (code == OK)
                code = training_describe(t);
            if (code == OK)
                code = configuration_compare(theirs, t->configuration, common.output);
        }
        *finished = code == OK;
    }
    json_decref(state);
    return code;
}

// What CKPT.part holds, if anything: a run to resume, or one in the way.
static int settle_folder(struct training *t, bool *resumes) {
    json_t *state = NULL;
    *resumes = false;
    if (!t->folder.current)
        return OK;
    int code = state_read(&state, t->folder.current);
    if (code == OK && o->resume)
        code = configuration_compare(json_object_get(state, "configuration"), t->configuration, t->folder.part);
    else if (code == OK && !o->restart)
        code = error_set(ERROR_SYSTEM, "%s: holds an unfinished run; --resume goes on, --restart starts over",
                         t->folder.part);
    json_decref(state);
    *resumes = code == OK && o->resume;
    if (*resumes || (code != OK && !o->restart))
        return code;
    return folder_clear(&t->folder);
}

static int start_model(struct training *t, bool resumes) {
    const char *ancestor = o->init ? o->init : o->continued;
    int code = training_allocate(t);
    if (code != OK)
        return code;
    if (resumes) {
        code = training_restore(t);
        if (code == OK)
            code = report_resume(t->state.step);
        if (code == OK)
            tool_notice("%s: goes on from step %" PRId64, t->folder.part, t->state.step);
        return code;
    }
    code = ancestor ? checkpoint_load(t->model, 0, ancestor) : model_init(t->model, 0, (uint64_t)common.seed);
    if (code == OK && o->continued)
        code = checkpoint_load_moments(t->model, 0, ancestor);
    return code;
}

static int train(struct training *t) {
    bool finished = false, differs = false, resumes = false;
    int code = training_describe(t);
    if (code == OK && o->resume)
        code = is_finished(t, &finished, &differs);
    if (code != OK && !differs)
        return code;
    if (finished) {
        tool_notice("%s: is complete", common.output);
        return folder_confirm(common.output);
    }
    code = folder_open(&t->folder, common.output);
    if (code == OK)
        code = settle_folder(t, &resumes);
    // Another command's CKPT gives way to a run of this command that was killed, else only to --restart.
    if (code == OK && differs && !resumes && !o->restart)
        code = is_finished(t, &finished, &differs);
    if (code == OK)
        code = start_model(t, resumes);
    return code == OK ? training_run(t) : code;
}

static void release(struct training *t) {
    folder_close(&t->folder);
    model_free(t->model);
    supply_free(t->supply);
    batch_free(&t->held_out);
    free(t->row);
    free(t->tokens);
    free(t->targets);
    free(t->scores);
    json_decref(t->configuration);
    feed_close(t->feed);
    device_close(t->device);
    free(o->weight_list);
}

static int run(int count, char **operands) {
    struct training t = {.options = o, .folder = {.lock = -1}};
    o->count = count;
    o->paths = operands;
    int code = train_options_settle(o);
    if (code == OK)
        code = device_open(&t.device, common.device, (int)common.threads, (enum kernel_dtype)o->dtype);
    if (code == OK && device_notice(t.device))
        tool_notice("%s", device_notice(t.device));
    if (code == OK && (count > 0 || !o->plan)) {
        struct feed_options data = {
            .paths = operands,
            .count = count,
            .share = {(uint64_t)o->sequences.begin,
                      o->sequences.end == INT64_MAX ? UINT64_MAX : (uint64_t)o->sequences.end, o->assignment,
                      o->assignment ? (uint32_t)o->expert : 0},
            .weights = o->weight_list,
            .shuffle = o->shuffle,
            .seed = (uint64_t)common.seed,
        };
        code = feed_open(&t.feed, &data);
    }
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
        "train --continue router.0 --sequences 4096..8192 --assignment 1.asg --expert 0 -o router.1 corpus.tok",
    .see_also = "tokenize, route, assign, view",
    .options = train_option_table,
    .run = run,
};

int main(int argc, char **argv) {
    return tool_main(&tool, TOOL_OUTPUT | TOOL_DEVICE | TOOL_THREADS | TOOL_SEED | TOOL_PROGRESS | TOOL_LOG, argc,
                     argv);
}
