// Accuracy of choices: against a direct count, in any order of the records.
#include "check.h"

#include "base/random.h"
#include "ppl/choices.h"
#include "stream/stream.h"

#include <stdlib.h>

enum { QUESTIONS = 500, CHOICES = 4, ALL = QUESTIONS * CHOICES };

static struct record make(uint32_t question, uint16_t choice) {
    return (struct record){.domain = (uint16_t)(question % 3),
                           .group = question / 3, // the same numbers in every domain
                           .choice = choice,
                           .gold = random_below(1, 0, question, CHOICES) == choice,
                           .norm_length = 1 + (uint32_t)random_below(1, 1, question * CHOICES + choice, 30)};
}

// Few values, so that ties are common.
static double sum_of(uint32_t question, uint16_t choice) {
    return -(double)random_below(2, 0, question * CHOICES + choice, 5);
}

static struct accuracy count(uint32_t domain) {
    struct accuracy a = {0};
    for (uint32_t q = 0; q < QUESTIONS; q++) {
        uint16_t best = 0, best_norm = 0;
        if (domain != UINT32_MAX && q % 3 != domain)
            continue;
        for (uint16_t c = 1; c < CHOICES; c++) {
            struct record r = make(q, c), old = make(q, best_norm);
            if (sum_of(q, c) > sum_of(q, best))
                best = c;
            if (sum_of(q, c) / r.norm_length > sum_of(q, best_norm) / old.norm_length)
                best_norm = c;
        }
        a.questions++;
        a.right += make(q, best).gold;
        a.right_norm += make(q, best_norm).gold;
    }
    return a;
}

static void check_accuracy(uint64_t shuffle) {
    struct questions q = {0};
    for (uint64_t i = 0; i < ALL; i++) {
        uint64_t at = shuffle ? random_permute(shuffle, 0, ALL, i) : i;
        uint32_t question = (uint32_t)(at / CHOICES);
        uint16_t choice = (uint16_t)(at % CHOICES);
        struct record r = make(question, choice);
        double sums[CHOICE_MODELS] = {sum_of(question, choice), r.gold ? 0 : -1};
        CHECK_OK(questions_add(&q, &r, r.domain, sums));
    }
    CHECK_OK(questions_check(&q, NULL));
    for (uint32_t d = 0; d < 4; d++) {
        uint32_t row = d < 3 ? d : UINT32_MAX;
        struct accuracy got = questions_accuracy(&q, row, 0), expected = count(row);
        CHECK_EQUAL_INT(got.questions, expected.questions);
        CHECK_EQUAL_INT(got.right, expected.right);
        CHECK_EQUAL_INT(got.right_norm, expected.right_norm);
        CHECK_EQUAL_INT(questions_accuracy(&q, row, 1).right, expected.questions); // the baseline knows all
    }
    questions_release(&q);
}

// A choice that comes twice is found whatever its number.
static void check_twice(void) {
    struct questions q = {0};
    const double sums[CHOICE_MODELS] = {0};
    const uint16_t numbers[] = {0, 63, 64, 300, UINT16_MAX};
    for (uint32_t question = 0; question < 500; question++)
        for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
            struct record r = make(question, numbers[i]);
            CHECK_OK(questions_add(&q, &r, 0, sums));
        }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct record r = make(77, numbers[i]);
        CHECK_ERROR(questions_add(&q, &r, 0, sums), ERROR_INPUT);
        CHECK_MESSAGE("a second time");
    }
    questions_release(&q);
}

int main(void) {
    struct questions q = {0};
    struct record r = make(0, 0);
    const double sums[CHOICE_MODELS] = {0};
    check_accuracy(0);
    check_accuracy(1);
    check_accuracy(2);
    check_twice();
    CHECK_OK(questions_add(&q, &r, 0, sums));
    CHECK_ERROR(questions_add(&q, &r, 0, sums), ERROR_INPUT);
    CHECK_MESSAGE("a second time");
    r.choice = 1;
    r.norm_length = 0;
    CHECK_ERROR(questions_add(&q, &r, 0, sums), ERROR_INPUT);
    questions_release(&q);
    return check_report();
}
