#include "tokenize/settings.h"
#include "base/error.h"
#include "stream/stream.h"
#include "tokenize/documents.h"
#include "tokenize/text_sources.h"

#include <string.h>

static const char *const unit_names[] = {"file", "line", "separator", NULL};
static const char *const from_names[] = {"none", "dir", "file", NULL};
static const char *const import_names[] = {"none", "u16", "u32", NULL};
static const char *const dedup_names[] = {"none", "exact", NULL};
static const char *const symbol_names[] = {"bytes", "characters", NULL};

struct settings settings = {
    .level = STREAM_LEVEL_DEFAULT, .field = "text", .join = "\\n", .min_frequency = 1, .coverage = 0.9995};

struct option tokenize_options[] = {
    {.name = "learn", .type = OPTION_FLAG, .value = &settings.learn, .help = "learn a vocabulary from the text"},
    {.name = "decode", .type = OPTION_FLAG, .value = &settings.decode, .help = "write the text of token streams"},
    {.name = "stats",
     .type = OPTION_FLAG,
     .value = &settings.stats,
     .help = "count documents, bytes and tokens by domain, of token streams or of text"},
    {.name = "import-tokens",
     .type = OPTION_CHOICE,
     .value = &settings.import,
     .argument = "WIDTH",
     .help = "make a token stream of token files (nanoGPT's .bin, Megatron's .bin beside .idx)",
     .choices = import_names},
    {.name = "vocabulary",
     .letter = 't',
     .type = OPTION_STRING,
     .value = &settings.vocabulary,
     .argument = "FILE",
     .help = "the vocabulary: tokenizer.json, a rank file of tiktoken, a SentencePiece model"},
    {.name = "pattern",
     .type = OPTION_STRING,
     .value = &settings.pattern,
     .argument = "PATTERN",
     .help = "how text is cut into words, for a rank file of another name and for --learn: gpt2, cl100k, "
             "o200k, ... or a regular expression known to us; r50k_base, ...: the ranks of that release"},
    {.name = "eot",
     .type = OPTION_STRING,
     .value = &settings.end_of_text,
     .argument = "TEXT",
     .help = "the special token that ends documents (default <|endoftext|>, <|end_of_text|>, </s> or <eos>)"},
    {.name = "allow-special",
     .type = OPTION_FLAG,
     .value = &settings.allow_special,
     .help =
         "special tokens within the text become their ids, else they are text; with --decode: they become text, "
         "else nothing"},
    {.name = "vocab-size",
     .type = OPTION_INTEGER,
     .value = &settings.vocab_size,
     .argument = "N",
     .help = "tokens to learn: 256 bytes, N - 257 merges, end-of-text; of imported tokens: every id is below",
     .low = 1,
     .high = 1 << 24},
    {.name = "symbols",
     .type = OPTION_CHOICE,
     .value = &settings.symbols,
     .argument = "WHAT",
     .help = "what --learn merges: bytes, as GPT-2, or characters, as Llama 2, with bytes for the rare ones",
     .choices = symbol_names},
    {.name = "character-coverage",
     .type = OPTION_NUMBER,
     .value = &settings.coverage,
     .argument = "P",
     .help = "--symbols characters: the most frequent characters that make up this share of the text are tokens",
     .low = 0.5,
     .high = 1},
    {.name = "min-frequency",
     .type = OPTION_INTEGER,
     .value = &settings.min_frequency,
     .argument = "N",
     .help = "--learn merges no pair that occurs less often",
     .low = 1,
     .high = 9e18},
    {.name = "special",
     .type = OPTION_LIST,
     .value = &settings.specials,
     .argument = "TEXT",
     .help = "a special token of the vocabulary to --learn, behind end-of-text; may be given again"},
    {.name = "files-from",
     .type = OPTION_STRING,
     .value = &settings.list,
     .argument = "FILE",
     .help = "read the inputs' names from FILE, one a line, folders too (- is standard input)"},
    {.name = "null",
     .letter = '0',
     .type = OPTION_FLAG,
     .value = &settings.list_null,
     .help = "names in --files-from end in NUL, as find -print0 writes them"},
    {.name = "documents",
     .type = OPTION_CHOICE,
     .value = &settings.unit,
     .argument = "UNIT",
     .help = "what a document is in plain text",
     .choices = unit_names},
    {.name = "separator",
     .type = OPTION_STRING,
     .value = &settings.separator,
     .argument = "STRING",
     .help = "bytes between documents, C escapes known (\\0, \\n\\n); implies --documents separator; with "
             "--decode: what to write for end-of-text"},
    {.name = "jsonl",
     .type = OPTION_FLAG,
     .value = &settings.json_lines,
     .help = "the input is JSON lines (known by names in .jsonl, .ndjson, .json.gz, .json.zst)"},
    {.name = "field",
     .type = OPTION_STRING,
     .value = &settings.field,
     .argument = "NAME[?],...",
     .help = "JSON lines: the members that hold the text; a ? behind one that may be absent or null"},
    {.name = "join",
     .type = OPTION_STRING,
     .value = &settings.join,
     .argument = "STRING",
     .help = "what comes between the texts of several fields, C escapes known"},
    {.name = "domain",
     .type = OPTION_STRING,
     .value = &settings.domain,
     .argument = "NAME",
     .help = "the domain of all text"},
    {.name = "domain-from",
     .type = OPTION_CHOICE,
     .value = &settings.domain_from,
     .argument = "WHAT",
     .help = "name domains after the first folder below the operand, or after the file up to its first dot",
     .choices = from_names},
    {.name = "domain-field",
     .type = OPTION_STRING,
     .value = &settings.domain_field,
     .argument = "NAME",
     .help = "JSON lines: the member that names the domain (meta.source: a member of one)"},
    {.name = "filter",
     .type = OPTION_LIST,
     .value = &settings.filters,
     .argument = "NAME[:DOMAIN]",
     .help = "leave out documents as OLMoE does: repeats (32 or more of an n-gram of up to 13 tokens), "
             "code-frequency (one word over 30% of all words, or two over 50%); may be given again"},
    {.name = "dedup",
     .type = OPTION_CHOICE,
     .value = &settings.dedup,
     .argument = "HOW",
     .help = "leave out documents whose text was there before",
     .choices = dedup_names},
    {.name = "split",
     .type = OPTION_STRING,
     .value = &settings.split,
     .argument = "LIST",
     .help = "NAME=SHARE,...: split by a hash of the document; -o has a %s for the name"},
    {.name = "part",
     .type = OPTION_STRING,
     .value = &settings.part,
     .argument = "NAME",
     .help = "the part to --learn from (default the first of --split)"},
    {.name = "length",
     .type = OPTION_INTEGER,
     .value = &settings.length,
     .argument = "S",
     .help = "tokens in a sequence",
     .low = 1,
     .high = 1 << 24},
    {.name = "ragged",
     .type = OPTION_FLAG,
     .value = &settings.ragged,
     .help = "one document per sequence (cut at --length where given), no packing"},
    {.name = "no-eot",
     .type = OPTION_FLAG,
     .value = &settings.no_end_of_text,
     .help = "no end-of-text token behind documents"},
    {.name = "level",
     .type = OPTION_INTEGER,
     .value = &settings.level,
     .argument = "N",
     .help = "zstd level of the output, 0 to store",
     .low = 0,
     .high = 19},
    {0},
};

static const struct {
    const char *name;
    int jobs;
} uses[] = {
    {"vocabulary", JOB_ENCODE | JOB_DECODE | JOB_IMPORT | JOB_STATS},
    {"pattern", JOB_LEARN | JOB_ENCODE | JOB_DECODE | JOB_IMPORT | JOB_STATS},
    {"eot", JOB_ENCODE | JOB_DECODE | JOB_IMPORT | JOB_STATS},
    {"allow-special", JOB_ENCODE | JOB_DECODE | JOB_STATS},
    {"vocab-size", JOB_LEARN | JOB_IMPORT},
    {"symbols", JOB_LEARN},
    {"character-coverage", JOB_LEARN},
    {"min-frequency", JOB_LEARN},
    {"special", JOB_LEARN},
    {"files-from", JOB_LEARN | JOB_ENCODE | JOB_STATS},
    {"null", JOB_LEARN | JOB_ENCODE | JOB_STATS},
    {"documents", JOB_LEARN | JOB_ENCODE | JOB_STATS},
    {"separator", JOB_LEARN | JOB_ENCODE | JOB_DECODE | JOB_STATS},
    {"jsonl", JOB_LEARN | JOB_ENCODE | JOB_STATS},
    {"field", JOB_LEARN | JOB_ENCODE | JOB_STATS},
    {"join", JOB_LEARN | JOB_ENCODE | JOB_STATS},
    {"domain", JOB_ENCODE | JOB_IMPORT | JOB_STATS},
    {"domain-from", JOB_ENCODE | JOB_IMPORT | JOB_STATS},
    {"domain-field", JOB_ENCODE | JOB_STATS},
    {"filter", JOB_ENCODE | JOB_STATS},
    {"dedup", JOB_ENCODE | JOB_STATS},
    {"split", JOB_LEARN | JOB_ENCODE},
    {"part", JOB_LEARN},
    {"length", JOB_ENCODE | JOB_IMPORT},
    {"ragged", JOB_ENCODE | JOB_IMPORT},
    {"no-eot", JOB_ENCODE | JOB_IMPORT | JOB_STATS},
    {"level", JOB_ENCODE | JOB_IMPORT},
};

static bool given(const char *name) {
    return option_given(tokenize_options, name);
}

enum job settings_job(void) {
    return settings.learn    ? JOB_LEARN
           : settings.decode ? JOB_DECODE
           : settings.stats  ? JOB_STATS
           : settings.import ? JOB_IMPORT
                             : JOB_ENCODE;
}

static int check_job(enum job job) {
    static const char *const names[] = {[JOB_LEARN] = "--learn",
                                        [JOB_ENCODE] = "encoding",
                                        [JOB_DECODE] = "--decode",
                                        [JOB_IMPORT] = "--import-tokens",
                                        [JOB_STATS] = "--stats"};
    if (settings.learn + settings.decode + settings.stats + (settings.import > 0) > 1)
        return error_set(ERROR_USAGE, "--learn, --decode, --stats and --import-tokens are jobs of their own");
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++)
        if (given(uses[i].name) && !(uses[i].jobs & job))
            return error_set(ERROR_USAGE, "--%s: not with %s", uses[i].name, names[job]);
    if (job == JOB_LEARN && settings.vocab_size < 257)
        return error_set(ERROR_USAGE, given("vocab-size") ? "--vocab-size: 257 or more with --learn"
                                                          : "--learn needs --vocab-size N");
    if (given("pattern") && settings.symbols > 0)
        return error_set(ERROR_USAGE, "--pattern: not with --symbols characters");
    if (given("character-coverage") && settings.symbols == 0)
        return error_set(ERROR_USAGE, "--character-coverage: only with --symbols characters");
    if (job != JOB_LEARN && job != JOB_IMPORT && !settings.vocabulary)
        return error_set(ERROR_USAGE, "no vocabulary: give -t tokenizer.json, or --learn one");
    if (job == JOB_IMPORT && !settings.vocabulary == !given("vocab-size"))
        return error_set(ERROR_USAGE,
                         "--import-tokens: give the vocabulary of the tokens with -t, or --vocab-size N");
    if ((job == JOB_ENCODE || job == JOB_IMPORT) && !settings.ragged && !given("length"))
        return error_set(ERROR_USAGE, "give --length S, the tokens in a sequence, or --ragged");
    return OK;
}

static int check_domain(void) {
    if (settings.domain && stream_check_domain(ERROR_USAGE, settings.domain, strlen(settings.domain)) != OK)
        return error_prefix(ERROR_USAGE, "--domain");
    return OK;
}

int settings_check(enum job job) {
    int code = check_job(job);
    if (code == OK)
        code = check_domain();
    if (code != OK)
        return code;
    if (settings.part && !settings.split)
        return error_set(ERROR_USAGE, "--part: only with --split");
    if (settings.list_null && !settings.list)
        return error_set(ERROR_USAGE, "--null: only with --files-from");
    if (given("join") && !given("field"))
        return error_set(ERROR_USAGE, "--join: only with several --field names");
    if ((settings.domain != NULL) + (settings.domain_from != DOMAIN_FROM_NONE) + (settings.domain_field != NULL) >
        1)
        return error_set(ERROR_USAGE, "--domain, --domain-from and --domain-field exclude each other");
    if (job == JOB_DECODE || job == JOB_IMPORT)
        return OK;
    if (settings.json_lines && (settings.separator || given("documents")))
        return error_set(ERROR_USAGE, "--jsonl: a line is a document; no --documents and no --separator");
    if (settings.separator && given("documents") && settings.unit != DOCUMENTS_SEPARATOR)
        return error_set(ERROR_USAGE, "--separator: not with --documents %s", unit_names[settings.unit]);
    if (!settings.separator && settings.unit == DOCUMENTS_SEPARATOR)
        return error_set(ERROR_USAGE, "--documents separator needs --separator STRING");
    return OK;
}
