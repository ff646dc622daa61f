// Learning against the definition: count all pairs anew before every merge.
#include "base/memory.h"
#include "base/random.h"
#include "check.h"
#include "text/vocabulary_private.h"

#include <stdlib.h>

enum { WORDS = 40, LONGEST = 24, SIZE = 300 };

struct row {
    uint32_t ids[LONGEST];
    int count;
};

struct plain {
    struct row rows[WORDS];
    char tokens[SIZE][LONGEST + 1]; // the new ones, by id - 256
    uint32_t tokens_made;
    struct merge merges[SIZE];
    int merge_count;
};

static const char *text_of(const struct plain *p, const struct vocabulary *bytes, uint32_t id) {
    static char one[2][2];
    static int turn;
    if (id >= 256)
        return p->tokens[id - 256];
    size_t size;
    turn = !turn;
    one[turn][0] = (char)*vocabulary_bytes(bytes, id, &size);
    return one[turn];
}

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
            n += p->rows[w].ids[i] == left && p->rows[w].ids[i + 1] == right;
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

static void learn_plainly(struct plain *p, const struct vocabulary *bytes) {
    struct merge best;
    while (256 + p->tokens_made < SIZE - 1) {
        if (!find_best(p, &best))
            return;
        char *fresh = p->tokens[p->tokens_made];
        snprintf(fresh, LONGEST + 1, "%s%s", text_of(p, bytes, best.left), text_of(p, bytes, best.right));
        for (uint32_t i = 0; i < p->tokens_made; i++)
            CHECK(strcmp(p->tokens[i], fresh) != 0); // no token is made twice
        best.result = 256 + p->tokens_made++;
        p->merges[p->merge_count++] = best;
        for (int w = 0; w < WORDS; w++)
            join(&p->rows[w], &best);
    }
}

// Words of few letters, so that pairs tie and overlap (aaa).
static void compare(uint64_t seed, int letters) {
    static struct plain p;
    struct learner *l;
    struct vocabulary *bytes, *v;
    uint32_t byte_id[256];
    memset(&p, 0, sizeof p);
    CHECK_OK(learner_new(&l));
    CHECK_OK(learner_finish(l, 257, &bytes));
    CHECK_EQUAL_INT(vocabulary_merges(bytes), 0);
    memcpy(byte_id, bytes->byte_id, sizeof byte_id);
    for (uint64_t w = 0; w < WORDS; w++) {
        uint8_t word[LONGEST];
        size_t size = 1 + random_below(seed, 2 * w, 0, w % 4 ? 9 : LONGEST);
        for (size_t i = 0; i < size; i++) {
            word[i] = (uint8_t)('a' + random_below(seed, 2 * w + 1, i, (uint64_t)letters));
            p.rows[w].ids[i] = byte_id[word[i]];
        }
        p.rows[w].count = (int)size;
        CHECK_OK(learner_add(l, word, size));
    }
    learn_plainly(&p, bytes);
    CHECK_OK(learner_finish(l, SIZE, &v));
    CHECK_EQUAL_INT(vocabulary_merges(v), p.merge_count);
    CHECK_EQUAL_INT(vocabulary_size(v), 257 + p.tokens_made);
    for (uint32_t i = 0; i < vocabulary_merges(v) && i < (uint32_t)p.merge_count; i++) {
        const struct merge *m = (const struct merge *)v->merges.data + i;
        CHECK(m->left == p.merges[i].left && m->right == p.merges[i].right && m->result == p.merges[i].result);
    }
    learner_free(l);
    vocabulary_free(v);
    vocabulary_free(bytes);
}

int main(void) {
    for (uint64_t seed = 1; seed <= 30; seed++)
        for (int letters = 1; letters <= 4; letters++)
            compare(seed, letters);
    return check_report();
}
