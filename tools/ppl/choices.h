// Accuracy of multiple-choice tasks (ALGORITHMS.md section 1, zero-shot scoring): the records of one domain and
// group are the choices of one question. acc takes the arg max of the summed log-probs, acc_norm that of the sum
// divided by the choice's characters; ties go to the lowest choice. Choices may come in any order.
#ifndef TACIT_PPL_CHOICES_H
#define TACIT_PPL_CHOICES_H

#include <stddef.h>
#include <stdint.h>

struct stream;
struct record;

enum { CHOICE_MODELS = 2 }; // the stream, and the baseline

struct pick {
    double value; // the highest so far
    uint16_t choice;
    uint8_t right;
};

struct question {
    uint64_t key;  // domain << 32 | group
    uint32_t row;  // the group of the report that it counts in
    uint64_t seen; // choices below 64, by bit
    uint32_t choices, golds;
    struct pick sum[CHOICE_MODELS], norm[CHOICE_MODELS];
};

struct questions {
    struct question *items;
    size_t count, capacity;
    uint32_t *table;   // open addressing: place in items + 1
    size_t table_size; // a power of two
    uint64_t *far;     // choices from 64 on, open addressing: question << 16 | choice; 0: empty
    size_t far_count, far_size;
};

struct accuracy {
    uint64_t questions, right, right_norm;
};

// A choice with its summed log-probs under the models. ERROR_INPUT: a choice that comes twice, or one without
// characters; the message does not name the stream.
int questions_add(struct questions *q, const struct record *r, uint32_t row, const double sums[CHOICE_MODELS]);
// ERROR_INPUT where a question has no right choice.
int questions_check(const struct questions *q, const struct stream *s);
// Of one row, or of all with row = UINT32_MAX, under one model.
struct accuracy questions_accuracy(const struct questions *q, uint32_t row, int model);
void questions_release(struct questions *q);

#endif
