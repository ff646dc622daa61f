// tokenize: text in, token stream out; and the vocabulary for it.
#include "base/error.h"
#include "base/memory.h"
#include "base/tool.h"
#include "stream/stream.h"
#include "tokenize/jobs.h"

static const char *const unit_names[] = {"file", "line", "separator", NULL};
static const char *const from_names[] = {"none", "dir", "file", NULL};

static bool learn, decode, json_lines, ragged, no_end_of_text;
static int64_t vocab_size, length, level = STREAM_LEVEL_DEFAULT;
static const char *vocabulary, *split, *part, *separator, *domain, *domain_field, *field = "text";
static int unit = DOCUMENTS_FILE, domain_from = DOMAIN_FROM_NONE;

static struct option options[] = {
    {.name = "learn", .type = OPTION_FLAG, .value = &learn, .help = "learn a vocabulary from the text"},
    {.name = "decode", .type = OPTION_FLAG, .value = &decode, .help = "write the text of token streams"},
    {.name = "vocabulary",
     .letter = 't',
     .type = OPTION_STRING,
     .value = &vocabulary,
     .argument = "FILE",
     .help = "the tokenizer.json to encode or decode with"},
    {.name = "vocab-size",
     .type = OPTION_INTEGER,
     .value = &vocab_size,
     .argument = "N",
     .help = "tokens to learn: 256 bytes, N - 257 merges, end-of-text",
     .low = 257,
     .high = 1 << 24},
    {.name = "length",
     .type = OPTION_INTEGER,
     .value = &length,
     .argument = "S",
     .help = "tokens in a sequence",
     .low = 1,
     .high = 1 << 24},
    {.name = "ragged",
     .type = OPTION_FLAG,
     .value = &ragged,
     .help = "one document per sequence (cut at --length where given), no packing"},
    {.name = "no-eot",
     .type = OPTION_FLAG,
     .value = &no_end_of_text,
     .help = "no end-of-text token behind documents"},
    {.name = "documents",
     .type = OPTION_CHOICE,
     .value = &unit,
     .argument = "UNIT",
     .help = "what a document is in plain text",
     .choices = unit_names},
    {.name = "separator",
     .type = OPTION_STRING,
     .value = &separator,
     .argument = "STRING",
     .help = "bytes between documents, C escapes known (\\0, \\n\\n); implies --documents separator; with "
             "--decode: what to write for end-of-text"},
    {.name = "jsonl",
     .type = OPTION_FLAG,
     .value = &json_lines,
     .help = "the input is JSON lines (known by names in .jsonl, .ndjson, .json.gz, .json.zst)"},
    {.name = "field",
     .type = OPTION_STRING,
     .value = &field,
     .argument = "NAME",
     .help = "JSON lines: the member that holds the text"},
    {.name = "domain",
     .type = OPTION_STRING,
     .value = &domain,
     .argument = "NAME",
     .help = "the domain of all text"},
    {.name = "domain-from",
     .type = OPTION_CHOICE,
     .value = &domain_from,
     .argument = "WHAT",
     .help = "name domains after the first folder below the operand, or after the file up to its first dot",
     .choices = from_names},
    {.name = "domain-field",
     .type = OPTION_STRING,
     .value = &domain_field,
     .argument = "NAME",
     .help = "JSON lines: the member that names the domain"},
    {.name = "split",
     .type = OPTION_STRING,
     .value = &split,
     .argument = "LIST",
     .help = "NAME=SHARE,...: split by a hash of the document; -o has a %s for the name"},
    {.name = "part",
     .type = OPTION_STRING,
     .value = &part,
     .argument = "NAME",
     .help = "the part to --learn from (default the first of --split)"},
    {.name = "level",
     .type = OPTION_INTEGER,
     .value = &level,
     .argument = "N",
     .help = "zstd level of the output, 0 to store",
     .low = 0,
     .high = 19},
    {0},
};

// Each option belongs to some of the three jobs.
enum { LEARN = 1, ENCODE = 2, DECODE = 4 };
static const struct {
    const char *name;
    int jobs;
} uses[] = {
    {"vocabulary", ENCODE | DECODE},
    {"vocab-size", LEARN},
    {"length", ENCODE},
    {"ragged", ENCODE},
    {"no-eot", ENCODE},
    {"documents", LEARN | ENCODE},
    {"jsonl", LEARN | ENCODE},
    {"field", LEARN | ENCODE},
    {"domain", ENCODE},
    {"domain-from", ENCODE},
    {"domain-field", ENCODE},
    {"split", LEARN | ENCODE},
    {"part", LEARN},
    {"level", ENCODE},
};

static int check_options(int job) {
    static const char *const names[] = {[LEARN] = "--learn", [ENCODE] = "encoding", [DECODE] = "--decode"};
    if (learn && decode)
        return error_set(ERROR_USAGE, "--learn and --decode are two jobs");
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++)
        if (option_given(options, uses[i].name) && !(uses[i].jobs & job))
            return error_set(ERROR_USAGE, "--%s: not with %s", uses[i].name, names[job]);
    if (job == LEARN && !option_given(options, "vocab-size"))
        return error_set(ERROR_USAGE, "--learn needs --vocab-size N");
    if (job != LEARN && !vocabulary)
        return error_set(ERROR_USAGE, "no vocabulary: give -t tokenizer.json, or --learn one");
    if (job == ENCODE && !ragged && !option_given(options, "length"))
        return error_set(ERROR_USAGE, "give --length S, the tokens in a sequence, or --ragged");
    if (part && !split)
        return error_set(ERROR_USAGE, "--part: only with --split");
    if (job == DECODE)
        return OK;
    if (json_lines && (separator || option_given(options, "documents")))
        return error_set(ERROR_USAGE, "--jsonl: a line is a document; no --documents and no --separator");
    if (separator && option_given(options, "documents") && unit != DOCUMENTS_SEPARATOR)
        return error_set(ERROR_USAGE, "--separator: not with --documents %s", unit_names[unit]);
    if (!separator && unit == DOCUMENTS_SEPARATOR)
        return error_set(ERROR_USAGE, "--documents separator needs --separator STRING");
    if ((domain != NULL) + (domain_from != DOMAIN_FROM_NONE) + (domain_field != NULL) > 1)
        return error_set(ERROR_USAGE, "--domain, --domain-from and --domain-field exclude each other");
    return OK;
}

static int run(int count, char **operands) {
    int job = learn ? LEARN : decode ? DECODE : ENCODE;
    struct buffer bytes = {0};
    int code = check_options(job);
    if (code == OK && separator && (*separator || job != DECODE))
        code = separator_parse(separator, &bytes);
    bool json_by_name = !option_given(options, "documents") && !separator;
    struct text_job text = {
        .count = count,
        .operands = operands,
        .documents = {.unit = json_lines  ? DOCUMENTS_JSON
                              : separator ? DOCUMENTS_SEPARATOR
                                          : (enum documents_unit)unit,
                      .by_name = json_by_name,
                      .separator = bytes.data,
                      .separator_size = bytes.size,
                      .field = field,
                      .domain_field = domain_field},
        .domain_from = (enum domain_from)domain_from,
        .domain = domain ? domain : "default",
        .split = split,
        .output = common.output,
    };
    if (code == OK && job == LEARN)
        code = learn_vocabulary(&(struct learn_job){
            .text = text, .part = part, .size = (uint32_t)vocab_size, .threads = (int)common.threads});
    if (code == OK && job == DECODE)
        code = decode_tokens(vocabulary, count, operands, bytes.data, bytes.size, common.output);
    if (code == OK && job == ENCODE)
        code = encode_text(&(struct encode_job){.text = text,
                                                .vocabulary = vocabulary,
                                                .length = (uint32_t)length,
                                                .ragged = ragged,
                                                .no_end_of_text = no_end_of_text,
                                                .level = (int)level});
    buffer_release(&bytes);
    return code;
}

int main(int argc, char **argv) {
    struct tool tool = {
        .name = "tokenize",
        .purpose = "text to token streams, and the vocabulary for it",
        .synopsis = "--learn --vocab-size N [OPTION]... [FILE|DIR]... -o tokenizer.json\n"
                    "-t tokenizer.json --length S [OPTION]... [FILE|DIR]... -o corpus.tok\n"
                    "-t tokenizer.json --decode [TOKENS]...",
        .description =
            "--learn makes a byte-level BPE vocabulary in the GPT-2 scheme and writes it as Hugging Face's\n"
            "tokenizer.json. Without it, text is encoded: every document's tokens, then end-of-text, packed into\n"
            "sequences of S tokens that cross neither split nor domain; the tails are shorter sequences at the\n"
            "end. Any bytes are text: malformed UTF-8 and NUL come back from --decode as they were. Empty\n"
            "documents are left out.\n"
            "\n"
            "Folders are walked for their regular, not hidden files in byte order of their paths. zstd and gzip\n"
            "are recognised by their magic. --split looks at a document's bytes only: the same text is always in\n"
            "the same part, so duplicates never cross, and --learn with the same --split never sees the others.",
        .example = "tokenize -t tokenizer.json --length 1024 --domain-from dir texts/ \\\n"
                   "        --split train=0.98,valid=0.01,test=0.01 -o 'corpus.%s.tok'",
        .see_also = "shard, view, train, route",
        .options = options,
        .run = run,
    };
    return tool_main(&tool, TOOL_OUTPUT | TOOL_THREADS | TOOL_PROGRESS, argc, argv);
}
