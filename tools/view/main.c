// view: print or check any stream.
#include "print.h"

#include "base/error.h"
#include "base/file.h"
#include "base/tool.h"
#include "text/vocabulary.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FLUSH_SIZE = 1 << 18, TELL_EVERY = 256 };

static bool header, check, as_text;
static const char *vocabulary_path, *pattern;
static struct view_style style;
static struct range sequences = {0, INT64_MAX};

static struct option options[] = {
    {.name = "header", .type = OPTION_FLAG, .value = &header, .help = "the header and the end frame as JSON"},
    {.name = "json",
     .type = OPTION_FLAG,
     .value = &style.json,
     .help = "one JSON object per sequence, instead of TSV"},
    {.name = "columns",
     .type = OPTION_FLAG,
     .value = &style.columns,
     .help = "predicted, bytes, first, group, choice, gold and norm_length, too"},
    {.name = "text",
     .type = OPTION_FLAG,
     .value = &as_text,
     .help = "of token streams: the text in the place of the ids; needs -t"},
    {.name = "vocabulary",
     .letter = 't',
     .type = OPTION_STRING,
     .value = &vocabulary_path,
     .argument = "FILE",
     .help = "the vocabulary that made the tokens: tokenizer.json, rank file, SentencePiece model"},
    {.name = "pattern",
     .type = OPTION_STRING,
     .value = &pattern,
     .argument = "PATTERN",
     .help = "how the vocabulary cuts text, for a rank file of another name: as with tokenize"},
    {.name = "check", .type = OPTION_FLAG, .value = &check, .help = "verify every hash, and say so"},
    {.name = "sequences",
     .type = OPTION_RANGE,
     .value = &sequences,
     .help = "only sequences A to B-1 in stream order"},
    {0},
};

static int flush(struct output *out, struct buffer *text) {
    int code = output_write(out, text->data, text->size);
    buffer_clear(text);
    return code;
}

static void tell(void *context, uint64_t done, uint64_t all) {
    struct progress *progress = context;
    progress->total = (double)all;
    progress_update(progress, (double)done, NULL);
}

static int print_check(struct buffer *text, const char *path) {
    struct progress progress;
    uint64_t count, frames;
    progress_start(&progress, tool_name(), "sequences", 0, common.progress);
    int code = stream_check(path, tell, &progress, &count, &frames);
    progress_finish(&progress);
    return code != OK ? code
                      : buffer_append_format(text, "%s: ok: %" PRIu64 " sequences in %" PRIu64 " frames\n",
                                             input_name(path), count, frames);
}

static int print_header(struct buffer *text, struct stream *s) {
    int code = stream_finish(s); // a pipe's end frame comes last
    char *json = code == OK ? stream_describe(s) : NULL;
    if (code == OK)
        code = json ? buffer_append_format(text, "%s\n", json) : ERROR_SYSTEM;
    free(json);
    return code;
}

// How many records there are to print, as far as that is known.
static uint64_t count_selected(const struct stream *s) {
    uint64_t begin = (uint64_t)sequences.begin, end = (uint64_t)sequences.end;
    uint64_t count = stream_seekable(s) && stream_count(s) < end ? stream_count(s) : end;
    return count > begin && count < INT64_MAX ? count - begin : 0;
}

static int print_records(struct output *out, struct buffer *text, struct stream *s) {
    // On a terminal the records themselves tell how far it is.
    bool silent = common.progress == PROGRESS_AUTO && !common.output && isatty(STDOUT_FILENO);
    struct progress progress;
    struct record r;
    bool got = true;
    uint64_t printed = 0, all = count_selected(s);
    progress_start(&progress, tool_name(), "sequences", 0, silent ? PROGRESS_OFF : common.progress);
    int code = stream_select(s, (uint64_t)sequences.begin,
                             sequences.end == INT64_MAX ? UINT64_MAX : (uint64_t)sequences.end);
    if (code == OK && stream_seekable(s))
        code = stream_check_selection(s);
    while (code == OK && got) {
        code = stream_next(s, &r, &got);
        if (code == OK && got)
            code = view_print_record(text, s, &r, &style);
        if (code == OK && ++printed % TELL_EVERY == 0)
            tell(&progress, printed, all);
        if (code == OK && text->size >= FLUSH_SIZE)
            code = flush(out, text);
    }
    progress_finish(&progress);
    // What came before the damage is shown: whoever looks for it wants to see that much.
    if (code == ERROR_INPUT && text->size > 0 && !common.output)
        (void)flush(out, text);
    if (code == OK)
        code = stream_finish(s);
    return code == OK ? stream_check_selection(s) : code;
}

// Names are printed before the first file, and again where the columns change.
static int print_names(struct buffer *text, const struct stream *s, struct buffer *names) {
    struct buffer line = {0};
    int code = view_print_names(&line, stream_header(s), &style);
    if (code == OK && line.size > 0 &&
        (line.size != names->size || memcmp(line.data, names->data, line.size) != 0)) {
        buffer_clear(names);
        code = buffer_append(names, line.data, line.size);
        if (code == OK)
            code = buffer_append(text, line.data, line.size);
    }
    buffer_release(&line);
    return code;
}

// What --text needs of a stream: tokens, of this vocabulary.
static int check_text(const struct stream *s) {
    const struct stream_header *h = stream_header(s);
    struct digest ours = vocabulary_digest(style.vocabulary);
    if (h->kind != STREAM_TOKENS)
        return error_set(ERROR_INPUT, "%s: holds %s, not tokens, so it has no text", stream_name(s),
                         stream_kind_name(h->kind));
    return stream_match_vocabularies(stream_name(s), &h->vocab, vocabulary_path, &ours,
                                     "give the vocabulary that made it");
}

static int print_file(struct output *out, struct buffer *text, struct buffer *names, const char *path) {
    struct stream *s;
    if (check)
        return print_check(text, path);
    int code = stream_open(&s, path, STREAM_ANY);
    if (code != OK)
        return code;
    if (style.vocabulary)
        code = check_text(s);
    if (code == OK && !header && !style.json)
        code = print_names(text, s, names);
    if (code == OK)
        code = header ? print_header(text, s) : print_records(out, text, s);
    stream_close(s);
    return code;
}

static int run(int count, char **operands) {
    char dash[] = "-", *standard_input[] = {dash};
    struct buffer text = {0}, names = {0};
    struct output *out;
    if (header + check + (style.json || style.columns) > 1)
        return error_set(ERROR_USAGE, "--header, --check and the printing of records exclude each other");
    if ((header || check) && option_given(options, "sequences"))
        return error_set(ERROR_USAGE, "--sequences goes with the printing of records only");
    if (as_text != (vocabulary_path != NULL) || (as_text && (header || check)))
        return error_set(ERROR_USAGE, as_text && !vocabulary_path
                                          ? "--text: give the vocabulary that made the tokens with -t"
                                          : "-t goes with --text, in the printing of records");
    if (pattern && !vocabulary_path)
        return error_set(ERROR_USAGE, "--pattern: only with -t");
    struct vocabulary *vocabulary = NULL;
    const struct vocabulary_options how = {.pattern = pattern};
    int code = as_text ? vocabulary_load_with(&vocabulary, vocabulary_path, &how) : OK;
    style.vocabulary = vocabulary;
    if (code == OK)
        code = output_open(&out, common.output, false);
    if (code != OK) {
        vocabulary_free(vocabulary);
        return code;
    }
    if (count == 0) {
        operands = standard_input;
        count = 1;
    }
    for (int i = 0; code == OK && i < count; i++) {
        code = print_file(out, &text, &names, operands[i]);
        if (code == OK)
            code = flush(out, &text);
    }
    buffer_release(&text);
    buffer_release(&names);
    vocabulary_free(vocabulary);
    if (code == OK)
        return output_commit(out);
    if (!common.output) { // what was printed stands
        char *message = string_copy(error_message());
        (void)output_sync(out);
        error_set(code, "%s", message ? message : "out of memory");
        free(message);
    }
    output_abort(out);
    return code;
}

int main(int argc, char **argv) {
    struct tool tool = {
        .name = "view",
        .purpose = "print or check any stream",
        .synopsis = "[--json] [--columns] [--sequences A..B] [FILE]...\n"
                    "--text -t tokenizer.json [--json] [--columns] [--sequences A..B] [TOKENS]...\n"
                    "--header [FILE]...\n"
                    "--check [FILE]...",
        .description =
            "Without --json one line per sequence with tabs between the columns, below a line of their names;\n"
            "the elements of a sequence stand in one column with spaces between them, and rows per position\n"
            "with semicolons. Floats have 9 significant digits; -inf is printed as -inf, in JSON as \"-inf\".\n"
            "--text prints tokens as text with C's escapes (\\n, \\xff), special tokens by their names.\n"
            "A damaged stream ends in exit status 3, with the frame and the byte named.",
        .example = "view --json --sequences 0..10 corpus.tok | jq .tokens",
        .see_also = "shard, ppl; docs/formats.md",
        .options = options,
        .run = run,
    };
    return tool_main(&tool, TOOL_OUTPUT | TOOL_PROGRESS, argc, argv);
}
