// tokenize: text in, token stream out; and the vocabulary for it.
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/tool.h"
#include "stream/stream.h"
#include "tokenize/jobs.h"
#include "tokenize/settings.h"

#include <stdlib.h>
#include <string.h>

// What the settings stand for.
struct parsed {
    struct buffer separator, join;
    struct text_job text;
    struct vocabulary_job vocabulary;
};

// Standard input is read once, and no output replaces the vocabulary.
static int check_files(int count, char **operands) {
    const struct settings *s = &settings;
    bool vocabulary = s->vocabulary && strcmp(s->vocabulary, "-") == 0,
         list = s->list && strcmp(s->list, "-") == 0;
    int named = vocabulary + list;
    for (int i = 0; i < count; i++)
        named += strcmp(operands[i], "-") == 0;
    if (named > 1)
        return error_set(ERROR_USAGE, "standard input is named twice");
    if (vocabulary && count == 0 && !s->list)
        return error_set(ERROR_USAGE, "-t -: standard input is the vocabulary, so name the inputs");
    if (s->vocabulary && common.output && path_is_input(common.output, s->vocabulary))
        return error_set(ERROR_USAGE, "-o %s: is the vocabulary, and would be lost", common.output);
    return OK;
}

static int parse(struct parsed *p, enum job job, int count, char **operands) {
    const struct settings *s = &settings;
    struct json_fields *fields = &p->text.records;
    int code = settings_check(job);
    if (code == OK)
        code = check_files(count, operands);
    if (code == OK && s->separator && (*s->separator || job != JOB_DECODE))
        code = separator_parse("separator", s->separator, &p->separator);
    if (code == OK && *s->join)
        code = separator_parse("join", s->join, &p->join);
    if (code == OK)
        code = json_fields_parse(fields, s->field, s->domain_field);
    fields->join = p->join.data;
    fields->join_size = p->join.size;
    p->vocabulary = (struct vocabulary_job){s->vocabulary, {s->pattern, s->end_of_text}};
    p->text.operands = (struct text_operands){.count = count,
                                              .operands = operands,
                                              .list = s->list,
                                              .null = s->list_null,
                                              .domain_from = (enum domain_from)s->domain_from};
    p->text.documents = (struct documents_options){
        .unit = s->json_lines  ? DOCUMENTS_JSON
                : s->separator ? DOCUMENTS_SEPARATOR
                               : (enum documents_unit)s->unit,
        .by_name = !option_given(tokenize_options, "documents") && !s->separator,
        .separator = p->separator.data,
        .separator_size = p->separator.size,
        .records = fields,
    };
    p->text.records_option = s->domain_field                           ? "domain-field"
                             : option_given(tokenize_options, "field") ? "field"
                                                                       : NULL;
    p->text.domain = s->domain ? s->domain : "default";
    p->text.split = s->split;
    p->text.output = common.output;
    return code;
}

static int learn(const struct parsed *p) {
    return learn_vocabulary(&(struct learn_job){.text = p->text,
                                                .part = settings.part,
                                                .pattern = settings.pattern,
                                                .characters = settings.symbols > 0,
                                                .coverage = settings.coverage,
                                                .size = (uint32_t)settings.vocab_size,
                                                .min_frequency = (uint64_t)settings.min_frequency,
                                                .specials = settings.specials.items,
                                                .special_count = settings.specials.count,
                                                .threads = (int)common.threads});
}

static int add_filter(struct encode_job *job, const char *text) {
    const char *colon = strchr(text, ':');
    size_t size = colon ? (size_t)(colon - text) : strlen(text);
    struct document_filter *filter = size == 7 && memcmp(text, "repeats", size) == 0           ? &job->repeats
                                     : size == 14 && memcmp(text, "code-frequency", size) == 0 ? &job->frequency
                                                                                               : NULL;
    if (!filter)
        return error_set(ERROR_USAGE, "--filter '%s': not repeats or code-frequency", text);
    if (filter->given)
        return error_set(ERROR_USAGE, "--filter %.*s: given twice", (int)size, text);
    *filter = (struct document_filter){text, colon ? colon + 1 : NULL};
    if (colon && stream_check_domain(ERROR_USAGE, filter->domain, strlen(filter->domain)) != OK)
        return error_prefix(ERROR_USAGE, "--filter '%s'", text);
    return OK;
}

static int encode(const struct parsed *p, int (*encode_or_count)(const struct encode_job *job)) {
    struct encode_job job = {.text = p->text,
                             .vocabulary = p->vocabulary,
                             .allow_special = settings.allow_special,
                             .length = (uint32_t)settings.length,
                             .ragged = settings.ragged,
                             .no_end_of_text = settings.no_end_of_text,
                             .level = (int)settings.level,
                             .threads = (int)common.threads,
                             .no_duplicates = settings.dedup > 0};
    int code = OK;
    for (int i = 0; i < settings.filters.count && code == OK; i++)
        code = add_filter(&job, settings.filters.items[i]);
    return code == OK ? encode_or_count(&job) : code;
}

static int decode(const struct parsed *p) {
    return decode_tokens(&(struct decode_job){.vocabulary = p->vocabulary,
                                              .count = p->text.operands.count,
                                              .operands = p->text.operands.operands,
                                              .separator = p->separator.data,
                                              .separator_size = p->separator.size,
                                              .specials = settings.allow_special,
                                              .output = common.output});
}

static int import(const struct parsed *p) {
    return import_tokens(&(struct import_job){.vocabulary = p->vocabulary,
                                              .vocab_size = (uint32_t)settings.vocab_size,
                                              .width = 2 * settings.import, // u16, u32
                                              .operands = p->text.operands,
                                              .domain = p->text.domain,
                                              .output = common.output,
                                              .length = (uint32_t)settings.length,
                                              .ragged = settings.ragged,
                                              .no_end_of_text = settings.no_end_of_text,
                                              .level = (int)settings.level});
}

static int run(int count, char **operands) {
    enum job job = settings_job();
    struct parsed parsed = {0};
    int code = parse(&parsed, job, count, operands);
    if (code == OK)
        code = job == JOB_LEARN    ? learn(&parsed)
               : job == JOB_ENCODE ? encode(&parsed, encode_text)
               : job == JOB_STATS  ? encode(&parsed, count_tokens)
               : job == JOB_DECODE ? decode(&parsed)
                                   : import(&parsed);
    json_fields_release(&parsed.text.records);
    buffer_release(&parsed.separator);
    buffer_release(&parsed.join);
    return code;
}

int main(int argc, char **argv) {
    struct tool tool = {
        .name = "tokenize",
        .purpose = "text to token streams, and the vocabulary for it",
        .synopsis = "--learn --vocab-size N [OPTION]... [FILE|DIR]... -o tokenizer.json\n"
                    "-t tokenizer.json --length S [OPTION]... [FILE|DIR]... -o corpus.tok\n"
                    "-t tokenizer.json --decode [TOKENS]...\n"
                    "-t tokenizer.json --stats [OPTION]... [FILE|DIR|TOKENS]...\n"
                    "--import-tokens u16|u32 -t tokenizer.json --length S [FILE|DIR]... -o corpus.tok",
        .description =
            "--learn makes a BPE vocabulary and writes it as Hugging Face's tokenizer.json. Without it, text is\n"
            "encoded: every document's tokens, then end-of-text, packed into sequences of S tokens that cross\n"
            "neither split nor domain; the tails are shorter sequences at the end. Byte-level vocabularies take\n"
            "any bytes for text: malformed UTF-8 and NUL come back from --decode as they were. Empty documents\n"
            "are left out.\n"
            "\n"
            "Folders are walked for their regular, not hidden files in byte order of their paths. zstd and gzip\n"
            "are recognised by their magic. --split looks at a document's bytes only: the same text is always in\n"
            "the same part, so duplicates never cross, and --learn with the same --split never sees the others.\n"
            "The bytes of the result do not depend on --threads, nor does memory on the size of the input, but\n"
            "for text without a place that no token crosses, all of it with --learn, and 43 bytes a document\n"
            "with --dedup.",
        .example = "tokenize -t tokenizer.json --length 1024 --domain-from dir texts/ \\\n"
                   "        --split train=0.98,valid=0.01,test=0.01 -o 'corpus.%s.tok'",
        .see_also = "shard, view, train, route",
        .options = tokenize_options,
        .run = run,
    };
    return tool_main(&tool, TOOL_OUTPUT | TOOL_PROGRESS | TOOL_THREADS, argc, argv);
}
