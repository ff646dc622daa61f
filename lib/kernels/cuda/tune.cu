// Which of cuBLASLt's algorithms, whether GELU is fused, and which of two kernels computes attention: chosen once
// by timing (`make tune`), written to a file, and looked up when a plan is made or attention is called. A run
// times nothing: without the file it takes the heuristics' first choice, and mma.sync.
//
// The file: a line for each product, fields with tabs between them: device, cuBLASLt's version, the product
// (matmul_describe), its algorithm (64 bytes in hexadecimal, opaque, good for that version alone) or "apart" (the
// plain product and gelu.cu's kernel), and the microseconds of the choice and of the heuristics' first, for the
// reader. For attention the choice is "mma" or "wgmma", and the second time is mma's. Lines of other devices and
// versions, and lines that begin with #, are skipped.
#include "attention.cuh"
#include "matmul.cuh"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char table_name[] = "libtacit-cuda.tune"; // beside the backend

struct table_line {
    const char *product, *algorithm; // in text
};

enum { ATTENTION_TEXT = 96 };

struct attention_choice { // of tuning
    char call[ATTENTION_TEXT];
    bool wgmma;
    float microseconds, mma_microseconds;
    struct attention_choice *next;
};

struct matmul_table {
    char *text;
    struct table_line *lines;
    int count, room;
};

enum { ALGORITHM_TEXT = 2 * sizeof(cublasLtMatmulAlgo_t) + 1 };

void matmul_describe(const struct matmul_key *k, char text[MATMUL_KEY_TEXT]) {
    static const char *const epilogues[] = {"", " gelu", " gelu-keep", " gelu-slope"};
    snprintf(text, MATMUL_KEY_TEXT,
             "%dx%dx%d models %d %c%c %s>%s%s%s ld %lld %lld %lld stride %lld %lld %lld align %d %d %d %d", k->m,
             k->n, k->k, k->count, k->a_transposed ? 'T' : 'N', k->b_transposed ? 'T' : 'N',
             k->half_in ? "bf16" : "f32", k->half_out ? "bf16" : "f32", k->add ? " add" : "",
             epilogues[k->epilogue], (long long)k->lda, (long long)k->ldb, (long long)k->ldc,
             (long long)k->stride_a, (long long)k->stride_b, (long long)k->stride_c, k->align_a, k->align_b,
             k->align_c, k->align_kept);
}

// ---- reading ----

void matmul_table_close(struct matmul_cache *m) {
    struct matmul_table *t = m->table;
    for (struct attention_choice *c = m->attention, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    if (!t)
        return;
    free(t->lines);
    free(t->text);
    free(t);
}

// Cut *rest at the next `end`; NULL where there is nothing left.
static char *next_field(char **rest, char end) {
    char *begin = *rest;
    if (!begin || !*begin)
        return NULL;
    char *stop = strchr(begin, end);
    *rest = stop ? stop + 1 : NULL;
    if (stop)
        *stop = 0;
    return begin;
}

static int keep_line(struct matmul_table *t, const struct table_line *line) {
    if (t->count == t->room) {
        int room = t->room ? 2 * t->room : 64;
        void *grown = realloc(t->lines, (size_t)room * sizeof *t->lines);
        if (!grown)
            return error_set(ERROR_SYSTEM, "out of memory: %zu bytes", (size_t)room * sizeof *t->lines);
        t->lines = (struct table_line *)grown;
        t->room = room;
    }
    t->lines[t->count++] = *line;
    return OK;
}

static int parse_table(struct matmul_table *t, const char *path, const char *device) {
    char version[32], *rest = t->text;
    snprintf(version, sizeof version, "%zu", cublasLtGetVersion());
    for (char *line = next_field(&rest, '\n'); line; line = next_field(&rest, '\n')) {
        if (*line == '#')
            continue;
        char *of = next_field(&line, '\t'), *library = next_field(&line, '\t');
        struct table_line found;
        found.product = next_field(&line, '\t');
        found.algorithm = next_field(&line, '\t');
        if (!of || !library || !found.product || !found.algorithm)
            return error_set(ERROR_INPUT, "%s: not a table of `make tune`", path);
        if (strcmp(of, device) != 0 || strcmp(library, version) != 0)
            continue;
        int code = keep_line(t, &found);
        if (code != OK)
            return code;
    }
    return OK;
}

static int read_text(struct matmul_table *t, FILE *f, const char *path) {
    size_t size = 0, room = 1 << 16, got;
    do {
        room *= 2;
        char *grown = (char *)realloc(t->text, room);
        if (!grown)
            return error_set(ERROR_SYSTEM, "out of memory: %zu bytes", room);
        t->text = grown;
        got = fread(t->text + size, 1, room - 1 - size, f);
        size += got;
    } while (size == room - 1);
    t->text[size] = 0;
    return ferror(f) ? error_set(ERROR_SYSTEM, "%s: cannot read it", path) : OK;
}

static int read_table(struct cuda *s, FILE *f, const char *path, const char *device) {
    struct matmul_table *t = (struct matmul_table *)calloc(1, sizeof *t);
    if (!t)
        return error_set(ERROR_SYSTEM, "out of memory: %zu bytes", sizeof *t);
    s->matmuls->table = t; // closed with the device, also after a failure
    int code = read_text(t, f, path);
    return code == OK ? parse_table(t, path, device) : code;
}

// The backend may be found by a link; its own folder counts.
static bool path_beside_backend(char *path, size_t size) {
    Dl_info self;
    char *real =
        dladdr((void *)matmul_table_open, &self) && self.dli_fname ? realpath(self.dli_fname, NULL) : NULL;
    const char *slash = real ? strrchr(real, '/') : NULL;
    int length = slash ? snprintf(path, size, "%.*s%s", (int)(slash + 1 - real), real, table_name) : 0;
    free(real);
    return length > 0 && (size_t)length < size;
}

// TACIT_TUNE names a file that must be of use here, or is empty: no table. Otherwise the one beside the backend,
// if there is one; it may be another device's.
int matmul_table_open(struct cuda *s) {
    const char *named = getenv("TACIT_TUNE");
    char path[4200];
    cudaDeviceProp properties;
    if (named ? !*named : !path_beside_backend(path, sizeof path))
        return OK;
    FILE *f = fopen(named ? named : path, "r");
    if (!f)
        return named ? error_set(ERROR_SYSTEM, "TACIT_TUNE: %s: cannot open it", named) : OK;
    int code = ERROR_SYSTEM;
    if (cudaGetDeviceProperties(&properties, s->index) == cudaSuccess)
        code = read_table(s, f, named ? named : path, properties.name);
    else
        error_set(code, "device 'cuda:%d': cannot read its properties", s->index);
    fclose(f);
    if (code == OK && named && s->matmuls->table->count == 0)
        code = error_set(ERROR_INPUT, "TACIT_TUNE: %s: no line is for %s with cuBLASLt %zu", named,
                         properties.name, cublasLtGetVersion());
    return code;
}

static uint32_t hash_text(uint32_t hash, const char *text) {
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 16777619u;
    return hash;
}

uint32_t cuda_matmul_digest(const struct cuda *s) {
    const struct matmul_table *t = s->matmuls->table;
    uint32_t hash = 2166136261u;
    for (int i = 0; t && i < t->count; i++)
        hash = hash_text(hash_text(hash, t->lines[i].product), t->lines[i].algorithm);
    return t && t->count > 0 ? hash : 0;
}

// ---- looking up ----

static bool parse_algorithm(const char *text, cublasLtMatmulAlgo_t *algorithm) {
    unsigned char *bytes = (unsigned char *)algorithm;
    if (strlen(text) != ALGORITHM_TEXT - 1 || strspn(text, "0123456789abcdef") != ALGORITHM_TEXT - 1)
        return false;
    for (size_t i = 0; i < sizeof *algorithm; i++) {
        unsigned byte;
        sscanf(text + 2 * i, "%2x", &byte);
        bytes[i] = (unsigned char)byte;
    }
    return true;
}

// The choice for a product or a call of attention; NULL: there is none.
static const char *find_line(const struct matmul_table *t, const char *what) {
    for (int i = 0; t && i < t->count; i++)
        if (strcmp(t->lines[i].product, what) == 0)
            return t->lines[i].algorithm;
    return NULL;
}

bool matmul_table_find(struct cuda *s, struct matmul_plan *p) {
    char product[MATMUL_KEY_TEXT];
    matmul_describe(&p->key, product);
    const char *found = find_line(s->matmuls->table, product);
    if (!found)
        return false;
    cublasLtMatmulHeuristicResult_t result = {};
    p->refused = strcmp(found, "apart") == 0;
    if (p->refused)
        return true;
    if (!parse_algorithm(found, &p->algorithm) ||
        cublasLtMatmulAlgoCheck(s->products, &p->operation, &p->a, &p->b, &p->c, &p->c, &p->algorithm, &result) !=
            CUBLAS_STATUS_SUCCESS ||
        result.workspaceSize > MATMUL_WORKSPACE)
        cuda_fail(s, "device 'cuda:%d': the table of `make tune` has an algorithm that cuBLASLt refuses: %s",
                  s->index, product);
    return true;
}

// ---- timing ----

enum { CANDIDATES = 16, ROUNDS = 3 };
static const float round_milliseconds = 3; // of each of a candidate's rounds
static const float worth = 0.98f;          // a later candidate must take less than this of the heuristics' first

// Milliseconds of `times` runs.
static float run_milliseconds(struct cuda *s, void (*work)(struct cuda *s, void *context), void *context,
                              int times) {
    cudaEvent_t begin = NULL, end = NULL;
    float milliseconds = 0;
    bool good = cuda_check(s, cudaEventCreate(&begin), "timing") &&
                cuda_check(s, cudaEventCreate(&end), "timing") &&
                cuda_check(s, cudaEventRecord(begin, s->stream), "timing");
    for (int i = 0; good && i < times; i++)
        work(s, context);
    if (good && cuda_check(s, cudaEventRecord(end, s->stream), "timing") &&
        cuda_check(s, cudaEventSynchronize(end), "timing"))
        cuda_check(s, cudaEventElapsedTime(&milliseconds, begin, end), "timing");
    if (begin)
        cudaEventDestroy(begin);
    if (end)
        cudaEventDestroy(end);
    return milliseconds;
}

// Microseconds of one run: the best of several rounds, behind a warm-up that sizes them.
static float microseconds_of(struct cuda *s, void (*work)(struct cuda *s, void *context), void *context) {
    run_milliseconds(s, work, context, 1);
    float once = run_milliseconds(s, work, context, 2) / 2, best = 1e30f;
    int times = once > 0 ? (int)(round_milliseconds / once) : 1;
    times = times < 2 ? 2 : times > 200 ? 200 : times;
    for (int i = 0; i < ROUNDS; i++) {
        float each = run_milliseconds(s, work, context, times) / (float)times;
        best = each < best ? each : best;
    }
    return best * 1000;
}

struct timed_call {
    struct matmul_plan *plan;
    const struct matmul_call *call;
};

static void work_fused(struct cuda *s, void *context) {
    struct timed_call *t = (struct timed_call *)context;
    matmul_launch(s, t->plan, t->call);
}

static void work_apart(struct cuda *s, void *context) {
    matmul_run_apart(s, ((struct timed_call *)context)->call);
}

static void choose(struct cuda *s, struct timed_call *t) {
    struct matmul_plan *p = t->plan;
    cublasLtMatmulHeuristicResult_t all[CANDIDATES];
    int count = matmul_candidates(s, p, all, CANDIDATES), best = -1;
    for (int i = 0; i < count && s->failure == 0; i++) {
        p->algorithm = all[i].algo;
        float microseconds = microseconds_of(s, work_fused, t);
        if (i == 0)
            p->first_microseconds = microseconds;
        if (best < 0 || (microseconds < worth * p->first_microseconds && microseconds < p->microseconds)) {
            best = i;
            p->microseconds = microseconds;
        }
    }
    p->refused = best < 0;
    if (best >= 0)
        p->algorithm = all[best].algo;
}

void matmul_tune(struct cuda *s, struct matmul_plan *p, const struct matmul_call *call) {
    struct timed_call t = {p, call};
    choose(s, &t);
    if (p->refused || p->key.epilogue == EPILOGUE_NONE || s->failure != 0)
        return;
    float apart = microseconds_of(s, work_apart, &t); // which tunes the plain product
    if (apart < worth * p->microseconds) {
        p->refused = true;
        p->microseconds = apart;
    }
}

// ---- attention ----

// Times either kernel; repeated, forward turns q again and again, which does not matter to the time.
static bool choose_attention(struct cuda *s, const char *call, attention_work mma, attention_work wgmma,
                             void *context) {
    for (const struct attention_choice *c = s->matmuls->attention; c; c = c->next)
        if (strcmp(c->call, call) == 0)
            return c->wgmma;
    struct attention_choice *c = (struct attention_choice *)calloc(1, sizeof *c);
    if (!c) {
        cuda_fail(s, "out of memory: %zu bytes", sizeof *c);
        return false;
    }
    snprintf(c->call, sizeof c->call, "%s", call);
    c->microseconds = c->mma_microseconds = microseconds_of(s, mma, context);
    float other = microseconds_of(s, wgmma, context);
    if (s->failure != 0) { // no time was taken
        free(c);
        return false;
    }
    c->wgmma = other < worth * c->mma_microseconds;
    if (c->wgmma)
        c->microseconds = other;
    c->next = s->matmuls->attention;
    s->matmuls->attention = c;
    return c->wgmma;
}

static bool looked_up_attention(struct cuda *s, const char *call) {
    const char *found = find_line(s->matmuls->table, call);
    if (found && strcmp(found, "mma") != 0 && strcmp(found, "wgmma") != 0)
        cuda_fail(s, "device 'cuda:%d': the table of `make tune` has '%.32s' for %s", s->index, found, call);
    return found && strcmp(found, "wgmma") == 0;
}

void attention_run(struct cuda *s, const char *direction, const struct attention_sizes *z, attention_work mma,
                   attention_work wgmma, void *context) {
    bool chosen = has_wgmma(s, z->size) && s->attention == ATTENTION_WGMMA;
    if (has_wgmma(s, z->size) && s->attention == ATTENTION_TUNED) {
        char call[ATTENTION_TEXT];
        snprintf(call, sizeof call, "attention %s %dx%d heads %d of %d keys %d", direction, z->sequences,
                 z->length, z->heads, z->size, z->kv_heads);
        chosen =
            s->matmuls->tuning ? choose_attention(s, call, mma, wgmma, context) : looked_up_attention(s, call);
    }
    (chosen ? wgmma : mma)(s, context);
}

// ---- writing ----

extern "C" int kernels_cuda_tune_begin(struct device *d) {
    cuda_of(d)->matmuls->tuning = true;
    return OK;
}

static void write_line(FILE *f, const char *device, const struct matmul_plan *p) {
    char product[MATMUL_KEY_TEXT], algorithm[ALGORITHM_TEXT] = "apart";
    const unsigned char *bytes = (const unsigned char *)&p->algorithm;
    matmul_describe(&p->key, product);
    for (size_t i = 0; !p->refused && i < sizeof p->algorithm; i++)
        snprintf(algorithm + 2 * i, 3, "%02x", bytes[i]);
    fprintf(f, "%s\t%zu\t%s\t%s\t%.2f\t%.2f\n", device, cublasLtGetVersion(), product, algorithm, p->microseconds,
            p->first_microseconds);
}

// The choices made since kernels_cuda_tune_begin, in a file for TACIT_TUNE.
extern "C" int kernels_cuda_tune_end(struct device *d, const char *path) {
    struct cuda *s = cuda_of(d);
    cudaDeviceProp properties;
    s->matmuls->tuning = false;
    int code = d->k->synchronize(d);
    if (code == OK && cudaGetDeviceProperties(&properties, s->index) != cudaSuccess)
        code = error_set(ERROR_SYSTEM, "device 'cuda:%d': cannot read its properties", s->index);
    if (code != OK)
        return code;
    FILE *f = fopen(path, "w");
    if (!f)
        return error_set(ERROR_SYSTEM, "%s: cannot write it", path);
    fprintf(f,
            "# device, cuBLASLt, product, algorithm, its microseconds, those of the heuristics' first (of mma)\n");
    for (int i = 0; i < MATMUL_BUCKETS; i++)
        for (const struct matmul_plan *p = s->matmuls->plans[i]; p; p = p->next)
            if (p->microseconds > 0)
                write_line(f, properties.name, p);
    for (const struct attention_choice *c = s->matmuls->attention; c; c = c->next)
        fprintf(f, "%s\t%zu\t%s\t%s\t%.2f\t%.2f\n", properties.name, cublasLtGetVersion(), c->call,
                c->wgmma ? "wgmma" : "mma", c->microseconds, c->mma_microseconds);
    bool written = !ferror(f);
    return fclose(f) == 0 && written ? OK : error_set(ERROR_SYSTEM, "%s: cannot write it", path);
}
