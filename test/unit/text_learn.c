// Learning against the definition: count all pairs anew before every merge.
#include "base/memory.h"
#include "base/random.h"
#include "check.h"
#include "text/learner.h"
#include "text/vocabulary_private.h"

#include <stdlib.h>

enum { WORDS = 40, LONGEST = 24, SIZE = 300 };

struct row {
    uint32_t ids[LONGEST];
    int count;
};

struct plain {
    struct row rows[WORDS];
    int times[WORDS];
    char tokens[SIZE][LONGEST + 1];
    uint32_t tokens_made;
    struct merge merges[SIZE];
    int merge_count;
};

static void join(struct row *row, const struct merge *m) {
    int kept = 0;
    for (int i = 0; i < row->count; i++) {
        bool here = i + 1 < row->count && row->ids[i] == m->left && row->ids[i + 1] == m->right;
        row->ids[kept++] = here ? m->result : row->ids[i];
        i += here;
    }
    row->count = kept;
}

static int count_pair(const struct plain *p, uint32_t left, uint32_t right) {
    int n = 0;
    for (int w = 0; w < WORDS; w++)
        for (int i = 0; i + 1 < p->rows[w].count; i++)
            n += p->rows[w].ids[i] == left && p->rows[w].ids[i + 1] == right ? p->times[w] : 0;
    return n;
}

static bool find_best(const struct plain *p, struct merge *best) {
    int most = 0;
    for (int w = 0; w < WORDS; w++) {
        for (int i = 0; i + 1 < p->rows[w].count; i++) {
            uint32_t left = p->rows[w].ids[i], right = p->rows[w].ids[i + 1];
            int n = count_pair(p, left, right);
            if (n > most || (n == most && (left < best->left || (left == best->left && right < best->right)))) {
                most = n;
                best->left = left;
                best->right = right;
            }
        }
    }
    return most > 0;
}

static void learn_plainly(struct plain *p, int least) {
    struct merge best;
    while (p->tokens_made < SIZE - 1) {
        if (!find_best(p, &best) || count_pair(p, best.left, best.right) < least)
            return;
        char *fresh = p->tokens[p->tokens_made];
        size_t left = strlen(p->tokens[best.left]), right = strlen(p->tokens[best.right]);
        memcpy(fresh, p->tokens[best.left], left);
        memcpy(fresh + left, p->tokens[best.right], right);
        for (uint32_t i = BYTES; i < p->tokens_made; i++)
            CHECK(strcmp(p->tokens[i], fresh) != 0); // no token is made twice
        best.result = p->tokens_made++;
        p->merges[p->merge_count++] = best;
        for (int w = 0; w < WORDS; w++)
            join(&p->rows[w], &best);
    }
}

static void begin_plainly(struct plain *p) {
    uint8_t order[BYTES];
    memset(p, 0, sizeof *p);
    bytes_in_alphabet_order(order);
    for (int i = 0; i < BYTES; i++)
        p->tokens[p->tokens_made++][0] = (char)order[i];
}

static uint32_t id_of(const struct plain *p, uint8_t byte) {
    uint32_t id = 0;
    while ((uint8_t)p->tokens[id][0] != byte)
        id++;
    return id;
}

// Words of few letters, so that pairs tie and overlap (aaa).
static void compare(uint64_t seed, int letters, int least, int threads) {
    static struct plain p;
    struct learner *l;
    struct vocabulary *v;
    begin_plainly(&p);
    CHECK_OK(learner_new(&l, &(struct learner_options){
                                 .pattern = PATTERN_GPT2, .min_frequency = (uint64_t)least, .threads = threads}));
    for (uint64_t w = 0; w < WORDS; w++) {
        uint8_t word[LONGEST];
        size_t size = 1 + random_below(seed, 2 * w, 0, w % 4 ? 9 : LONGEST);
        for (size_t i = 0; i < size; i++) {
            word[i] = (uint8_t)('a' + random_below(seed, 2 * w + 1, i, (uint64_t)letters));
            p.rows[w].ids[i] = id_of(&p, word[i]);
        }
        p.rows[w].count = (int)size;
        p.times[w] = 1 + (int)random_below(seed, 1000 + w, 0, 3);
        for (int i = 0; i < p.times[w]; i++)
            CHECK_OK(learner_add(l, word, size));
    }
    learn_plainly(&p, least);
    CHECK_OK(learner_finish(l, SIZE, NULL, &v));
    CHECK_EQUAL_INT(vocabulary_merges(v), p.merge_count);
    CHECK_EQUAL_INT(vocabulary_size(v), p.tokens_made + 1);
    for (uint32_t i = 0; i < vocabulary_merges(v) && i < (uint32_t)p.merge_count; i++) {
        const struct merge *m = (const struct merge *)v->merges.data + i;
        CHECK(m->left == p.merges[i].left && m->right == p.merges[i].right && m->result == p.merges[i].result);
    }
    learner_free(l);
    vocabulary_free(v);
}

// The places of many words: every thread count has its own parts of the rows, and the least count falls often.
static struct vocabulary *learn_much(int threads, uint64_t words) {
    struct learner *l;
    struct vocabulary *v;
    CHECK_OK(learner_new(&l, &(struct learner_options){.pattern = PATTERN_GPT2, .threads = threads}));
    for (uint64_t w = 0; w < words; w++) {
        uint8_t word[60];
        size_t size = 1 + random_below(1, w, 0, sizeof word);
        for (size_t i = 0; i < size; i++)
            word[i] = (uint8_t)('a' + random_below(2, w, i, 3));
        CHECK_OK(learner_add(l, word, size));
    }
    CHECK_OK(learner_finish(l, 3000, NULL, &v));
    learner_free(l);
    return v;
}

static void compare_threads(void) {
    struct vocabulary *one = learn_much(1, 20000);
    struct digest expected = vocabulary_digest(one);
    for (int threads = 2; threads <= 6; threads++) {
        struct vocabulary *v = learn_much(threads, 20000);
        struct digest digest = vocabulary_digest(v);
        CHECK(digest_equal(&digest, &expected));
        vocabulary_free(v);
    }
    vocabulary_free(one);
}

// One word of 4 MB: "aa...", whose merges double, and one of two letters by chance.
static void learn_long_words(void) {
    enum { LONG = 4 << 20 };
    uint8_t *text = memory_new(LONG, 1);
    CHECK(text != NULL);
    for (int letters = 1; text && letters <= 2; letters++) {
        struct learner *l;
        struct vocabulary *v;
        for (uint32_t i = 0; i < LONG; i++)
            text[i] = (uint8_t)('a' + random_below(3, 0, i, (uint64_t)letters));
        CHECK_OK(learner_new(&l, &(struct learner_options){.pattern = PATTERN_GPT2, .threads = 2}));
        CHECK_OK(learner_add(l, text, LONG));
        CHECK_OK(learner_finish(l, 400, NULL, &v));
        CHECK_EQUAL_INT(vocabulary_merges(v), letters == 1 ? 22 : 143);
        size_t size;
        vocabulary_bytes(v, BYTES + 21, &size);
        CHECK(letters > 1 || size == LONG);
        learner_free(l);
        vocabulary_free(v);
    }
    free(text);
}

// A big document is counted piece by piece: the words must be those of the whole.
static void compare_pieces(enum text_pattern pattern, uint64_t seed) {
    enum { LENGTH = 3 << 19, AT_ONCE = 64 };
    static const char *const parts[] = {"a",      "b",      "Q",  " ",  " ", " ",       "\n",   "\r", "\t", "1",
                                        "2",      "'s",     "'L", ".",  "/", "-",       ";",    "é",  "я",  "的",
                                        "\u3000", "\u00a0", "ー", "。", "ß", "e\u0301", "\x80", "ab", "cd", "ef"};
    struct buffer text = {0};
    struct learner *whole, *apart;
    struct vocabulary *v[2];
    for (uint64_t i = 0; text.size < LENGTH; i++)
        CHECK_OK(buffer_append_string(&text, parts[random_below(seed, 0, i, sizeof parts / sizeof *parts)]));
    struct learner_options options = {.pattern = pattern, .threads = 2};
    CHECK_OK(learner_new(&whole, &options));
    CHECK_OK(learner_new(&apart, &(struct learner_options){.pattern = PATTERN_NONE, .threads = 1}));
    CHECK_OK(learner_add(whole, text.data, text.size));
    size_t ends[AT_ONCE], n, begin = 0;
    while ((n = split_words(pattern, text.data, text.size, begin, ends, AT_ONCE)) > 0)
        for (size_t i = 0; i < n; begin = ends[i++])
            CHECK_OK(learner_add(apart, text.data + begin, ends[i] - begin));
    CHECK_OK(learner_finish(whole, 1000, NULL, &v[0]));
    CHECK_OK(learner_finish(apart, 1000, NULL, &v[1]));
    CHECK_EQUAL_INT(learner_words(whole), learner_words(apart));
    CHECK_EQUAL_INT(v[0]->merges.size, v[1]->merges.size);
    CHECK(memcmp(v[0]->merges.data, v[1]->merges.data, v[0]->merges.size) == 0);
    learner_free(whole);
    learner_free(apart);
    vocabulary_free(v[0]);
    vocabulary_free(v[1]);
    buffer_release(&text);
}

int main(void) {
    for (uint64_t seed = 1; seed <= 30; seed++)
        for (int letters = 1; letters <= 4; letters++)
            compare(seed, letters, seed % 3 ? 1 : 1 + (int)(seed % 7), 1 + (int)(seed % 3));
    compare_threads();
    learn_long_words();
    for (int pattern = PATTERN_GPT2; pattern <= PATTERN_O200K; pattern++)
        compare_pieces((enum text_pattern)pattern, (uint64_t)pattern);
    return check_report();
}
