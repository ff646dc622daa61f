// Token files of other programs: plain ones (nanoGPT: ids behind each other, end-of-text behind each document),
// and Megatron's, whose index knows the documents.
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/tool.h"
#include "tokenize/byte_source.h"
#include "tokenize/jobs.h"
#include "tokenize/megatron.h"
#include "tokenize/packer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { READ_SIZE = 1 << 18 };

struct importing {
    const struct import_job *job;
    struct vocabulary *vocabulary; // NULL: unknown
    struct packer *packer;
    uint32_t size, end_of_text; // UINT32_MAX: none, or not wanted
    struct text_sources sources;
    struct progress progress;
    uint64_t done, documents; // bytes read
    uint8_t *data;            // READ_SIZE
    uint32_t *ids;
    // the file under way
    const char *name, *domain;
    uint64_t token; // of it, next
    bool open;      // a document has begun
    bool ended;     // its latest token is end-of-text
};

static int add(struct importing *im, const uint32_t *ids, size_t count, bool last) {
    if (last)
        im->documents++;
    im->open = !last;
    return packer_add(im->packer, 0, im->domain, ids, count, last);
}

// Check and add so many tokens of `width` bytes; `cuts`: end-of-text ends a document.
static int add_tokens(struct importing *im, size_t count, int width, bool cuts) {
    size_t begin = 0;
    int code = OK;
    for (size_t i = 0; i < count && code == OK; i++) {
        uint32_t id = im->ids[i] = (uint32_t)load_le(im->data + i * (size_t)width, width);
        if (id >= im->size)
            return error_set(ERROR_INPUT,
                             "%s: token %" PRIu64 " at byte %" PRIu64 ": %" PRIu32
                             " is not below the vocabulary's size, %" PRIu32,
                             im->name, im->token + i, (im->token + i) * (uint64_t)width, id, im->size);
        if (cuts && id == im->end_of_text) {
            code = add(im, im->ids + begin, i + 1 - begin, true);
            begin = i + 1;
        }
    }
    if (code == OK && begin < count)
        code = add(im, im->ids + begin, count - begin, false);
    if (count > 0)
        im->ended = im->ids[count - 1] == im->end_of_text;
    im->token += count;
    im->done += count * (size_t)width;
    progress_update(&im->progress, (double)im->done, NULL);
    return code;
}

// What has a header is no plain file, and its ids could pass for tokens.
static int check_head(const struct importing *im, size_t size) {
    static const char numpy[] = "\x93NUMPY";
    if (size >= strlen(numpy) && memcmp(im->data, numpy, strlen(numpy)) == 0)
        return error_set(ERROR_INPUT, "%s: is a .npy file of numpy's; tofile() writes plain tokens", im->name);
    if (is_stream_magic(im->data, size))
        return error_set(ERROR_INPUT, "%s: is a token stream already", im->name);
    return OK;
}

static int import_plain(struct importing *im, const char *path) {
    const int width = im->job->width;
    int fd, code = input_open(&fd, path);
    if (code != OK)
        return code;
    for (size_t got = READ_SIZE; code == OK && got == READ_SIZE;) {
        code = input_read(fd, im->data, READ_SIZE, &got);
        if (code != OK)
            error_prefix(code, "%s", im->name);
        else if (im->token == 0 && (code = check_head(im, got)) != OK)
            break;
        else if (got % (size_t)width != 0)
            code = error_set(ERROR_INPUT, "%s: %" PRIu64 " bytes are no whole number of tokens of %d bytes",
                             im->name, im->token * (uint64_t)width + got, width);
        else
            code = add_tokens(im, got / (size_t)width, width, true);
    }
    input_close(fd);
    return code == OK && im->open ? add(im, NULL, 0, true) : code;
}

// One sequence of an indexed file.
static int import_part(struct importing *im, int fd, uint64_t offset, uint64_t size, int width) {
    im->token = offset / (uint64_t)width;
    for (uint64_t at = 0; at < size;) {
        size_t want = size - at < READ_SIZE ? (size_t)(size - at) : READ_SIZE, got;
        int code = input_read_at(fd, offset + at, im->data, want, &got);
        if (code == OK && got < want)
            code =
                error_set(ERROR_INPUT, "ends before byte %" PRIu64 ", where its index has tokens", offset + size);
        if (code != OK)
            return error_prefix(code, "%s", im->name);
        code = add_tokens(im, want / (size_t)width, width, false);
        if (code != OK)
            return code;
        at += want;
    }
    return OK;
}

static int end_document(struct importing *im) {
    bool wanted = im->end_of_text != UINT32_MAX && !im->ended;
    if (!im->open)
        return OK;
    return add(im, &im->end_of_text, wanted, true);
}

static int import_indexed(struct importing *im, const char *path, const char *index) {
    struct megatron *m;
    uint64_t offset, size;
    bool last, got = true;
    int fd, code = input_open(&fd, path);
    if (code != OK)
        return code;
    code = megatron_open(&m, index);
    if (code == OK && megatron_width(m) != im->job->width)
        code = error_set(ERROR_INPUT, "%s: has tokens of %d bytes: --import-tokens u%d", index, megatron_width(m),
                         8 * megatron_width(m));
    while (code == OK && (code = megatron_next(m, &offset, &size, &last, &got)) == OK && got) {
        code = import_part(im, fd, offset, size, im->job->width);
        if (code == OK && last)
            code = end_document(im);
    }
    megatron_close(m);
    input_close(fd);
    return code;
}

// "corpus.bin" to "corpus.idx"; NULL where it has no such name.
static int index_path(const char *path, char **index) {
    static const char from[] = ".bin";
    size_t n = path ? strlen(path) : 0;
    *index = NULL;
    if (n < sizeof from || strcmp(path + n - strlen(from), from) != 0)
        return OK;
    *index = string_format("%.*s.idx", (int)(n - strlen(from)), path);
    return *index ? OK : ERROR_SYSTEM;
}

static bool is_index(const char *path) {
    size_t n = path ? strlen(path) : 0;
    return n > 4 && strcmp(path + n - 4, ".idx") == 0;
}

// An index is read with its tokens, where these are an input.
static int check_index(const struct importing *im, const char *path) {
    char *tokens = string_format("%.*s.bin", (int)(strlen(path) - 4), path);
    if (!tokens)
        return ERROR_SYSTEM;
    bool found = false;
    for (int i = 0; i < im->sources.count && !found; i++)
        found = im->sources.items[i].path && strcmp(im->sources.items[i].path, tokens) == 0;
    int code = found ? OK : error_set(ERROR_INPUT, "%s: is an index; name its tokens, %s", path, tokens);
    free(tokens);
    return code;
}

static int import_file(struct importing *im, const struct text_source *source) {
    if (is_index(source->path))
        return check_index(im, source->path);
    char *index;
    int code = index_path(source->path, &index);
    if (code != OK)
        return code;
    im->name = input_name(source->path);
    im->domain = source->domain ? source->domain : im->job->domain;
    im->token = 0;
    im->open = im->ended = false;
    code = index && path_exists(index) ? import_indexed(im, source->path, index) : import_plain(im, source->path);
    free(index);
    return code;
}

static int start(struct importing *im, const struct import_job *job) {
    *im = (struct importing){.job = job, .size = job->vocab_size, .end_of_text = UINT32_MAX};
    int code = OK;
    if (job->vocabulary.path) {
        code = vocabulary_load_with(&im->vocabulary, job->vocabulary.path, &job->vocabulary.options);
        if (code != OK)
            return code;
        im->size = vocabulary_size(im->vocabulary);
        im->end_of_text = job->no_end_of_text ? UINT32_MAX : vocabulary_end_of_text(im->vocabulary);
    }
    if (job->width == 2 && im->size > 1 << 16)
        tool_notice("--import-tokens u16: has no id above 65535, and the vocabulary %" PRIu32 " ids", im->size);
    im->data = memory_new(READ_SIZE, 1);
    im->ids = memory_new(READ_SIZE / 2, sizeof *im->ids);
    if (!im->data || !im->ids)
        return ERROR_SYSTEM;
    char *path = string_copy(job->output ? job->output : "-");
    struct packer_options options = {.vocabulary = im->vocabulary,
                                     .vocab_size = im->size,
                                     .length = job->length,
                                     .ragged = job->ragged,
                                     .level = job->level};
    code = path ? packer_open(&im->packer, &options, 1, &path) : ERROR_SYSTEM;
    free(path);
    if (code == OK)
        code = text_sources_collect(&im->sources, &job->operands);
    return code == OK ? text_sources_spare(&im->sources, job->output) : code;
}

int import_tokens(const struct import_job *job) {
    struct importing im;
    int code = start(&im, job);
    if (code == OK) {
        progress_start(&im.progress, tool_name(), "bytes", (double)im.sources.size, common.progress);
        for (int i = 0; i < im.sources.count && code == OK; i++)
            code = import_file(&im, &im.sources.items[i]);
        progress_finish(&im.progress);
    }
    if (code == OK)
        code = packer_commit(im.packer);
    if (code == OK) {
        struct packer_totals totals = packer_totals(im.packer, 0);
        tool_notice("%" PRIu64 " documents, %" PRIu64 " tokens, %" PRIu64 " sequences", im.documents,
                    totals.tokens, totals.sequences);
    }
    packer_close(im.packer);
    text_sources_release(&im.sources);
    vocabulary_free(im.vocabulary);
    free(im.data);
    free(im.ids);
    return code;
}
