#include "rows.h"

#include <string.h>

// Images that order as the scores do, so that a maximum is one of integers, whose order of evaluation is free;
// -0 and 0 are equal scores and get one image.
static inline int32_t score_image(float score) {
    int32_t bits;
    score += 0.0f;
    memcpy(&bits, &score, sizeof bits);
    return bits ^ (bits >> 31 & INT32_MAX);
}

uint32_t row_best(const float *row, uint32_t n) {
    int32_t most = INT32_MIN, best = INT32_MAX, count = (int32_t)n;
    for (int32_t e = 0; e < count; e++) {
        int32_t image = score_image(row[e]);
        most = image > most ? image : most;
    }
    for (int32_t e = 0; e < count; e++) {
        int32_t other = -(score_image(row[e]) != most); // all bits set where it is another
        int32_t here = e | (other & INT32_MAX);
        best = here < best ? here : best;
    }
    return (uint32_t)best;
}

bool row_best_open(const float *row, uint32_t n, int32_t time, const int32_t *open_until,
                   const int32_t *full_after, uint32_t *best) {
    int32_t most = INT32_MIN, found = INT32_MAX, rivals = 0, count = (int32_t)n;
    for (int32_t e = 0; e < count; e++) {
        int32_t closed = -(time > open_until[e]); // all bits set where it is not surely open
        int32_t image = (score_image(row[e]) & ~closed) | (INT32_MIN & closed);
        most = image > most ? image : most;
    }
    for (int32_t e = 0; e < count; e++) {
        int32_t image = score_image(row[e]);
        int32_t other = -(image != most) | -(time > open_until[e]);
        int32_t here = e | (other & INT32_MAX);
        found = here < found ? here : found;
        rivals |= -(time > open_until[e]) & -(time <= full_after[e]) & -(image >= most);
    }
    *best = (uint32_t)found;
    return !rivals && found < INT32_MAX;
}

uint32_t row_best_with_room(const float *row, uint32_t n, const uint64_t *room) {
    int32_t most = INT32_MIN, best = INT32_MAX, count = (int32_t)n;
    for (int32_t e = 0; e < count; e++) {
        int32_t full = -(room[e] == 0); // all bits set where it is
        int32_t image = (score_image(row[e]) & ~full) | (INT32_MIN & full);
        most = image > most ? image : most;
    }
    for (int32_t e = 0; e < count; e++) {
        int32_t other = -(score_image(row[e]) != most) | -(room[e] == 0);
        int32_t here = e | (other & INT32_MAX);
        best = here < best ? here : best;
    }
    return best < count ? (uint32_t)best : n;
}

uint32_t count_below(const uint64_t *values, uint32_t n, uint64_t other) {
    uint64_t below = 0;
    for (uint32_t i = 0; i < n; i++)
        below += values[i] < other;
    return (uint32_t)below;
}
