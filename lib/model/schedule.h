// Learning-rate schedules: linear warm-up, then constant, cosine or linear decay to a floor.
#ifndef TACIT_MODEL_SCHEDULE_H
#define TACIT_MODEL_SCHEDULE_H

#include <stdint.h>

enum schedule { SCHEDULE_CONSTANT, SCHEDULE_COSINE, SCHEDULE_LINEAR };

// The rate of update `step` (1-based, as in struct model_optimizer), with p = (step - warmup) / (total - warmup):
//   step <= warmup   peak step / warmup
//   constant         peak
//   cosine           peak (floor_ratio + (1 - floor_ratio) (1 + cos(pi p)) / 2)
//   linear           peak (floor_ratio + (1 - floor_ratio) (1 - p))
// so that update `warmup` has the peak and update `total` the floor; later updates stay at the floor.
double schedule_rate(enum schedule kind, double peak, double floor_ratio, int64_t warmup, int64_t total,
                     int64_t step);

#endif
