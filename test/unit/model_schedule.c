// Learning rates against values worked out by hand.
#include "check.h"
#include "model/schedule.h"

int main(void) {
    // Warm-up: 10 steps to 2, the same for all.
    for (int kind = SCHEDULE_CONSTANT; kind <= SCHEDULE_LINEAR; kind++) {
        CHECK_CLOSE(schedule_rate((enum schedule)kind, 2, 0.1, 10, 110, 1), 0.2, 1e-15);
        CHECK_CLOSE(schedule_rate((enum schedule)kind, 2, 0.1, 10, 110, 5), 1.0, 1e-15);
        CHECK_CLOSE(schedule_rate((enum schedule)kind, 2, 0.1, 10, 110, 10), 2.0, 1e-15);
    }
    CHECK_CLOSE(schedule_rate(SCHEDULE_CONSTANT, 2, 0.1, 10, 110, 110), 2, 1e-15);

    // Cosine at a quarter, a third, a half and all of the way down to a tenth: cos = sqrt(1/2), 1/2, 0, -1.
    double quarter = 2 * (0.1 + 0.9 * (1 + sqrt(0.5)) / 2);
    CHECK_CLOSE(schedule_rate(SCHEDULE_COSINE, 2, 0.1, 10, 110, 35), quarter, 1e-14);
    CHECK_CLOSE(schedule_rate(SCHEDULE_COSINE, 2, 0.1, 10, 40, 20), 2 * (0.1 + 0.9 * 0.75), 1e-14);
    CHECK_CLOSE(schedule_rate(SCHEDULE_COSINE, 2, 0.1, 10, 110, 60), 1.1, 1e-14);
    CHECK_CLOSE(schedule_rate(SCHEDULE_COSINE, 2, 0.1, 10, 110, 110), 0.2, 1e-14);
    CHECK_CLOSE(schedule_rate(SCHEDULE_COSINE, 2, 0.1, 10, 110, 500), 0.2, 1e-14);

    // Linear to zero.
    CHECK_CLOSE(schedule_rate(SCHEDULE_LINEAR, 2, 0, 10, 110, 35), 1.5, 1e-14);
    CHECK_CLOSE(schedule_rate(SCHEDULE_LINEAR, 2, 0, 10, 110, 110), 0, 1e-14);

    // Without warm-up; and a warm-up longer than the run.
    CHECK_CLOSE(schedule_rate(SCHEDULE_LINEAR, 1, 0.5, 0, 4, 2), 0.75, 1e-15);
    CHECK_CLOSE(schedule_rate(SCHEDULE_COSINE, 1, 0.1, 100, 50, 50), 0.5, 1e-15);
    return check_report();
}
