#include "model/schedule.h"

#include <math.h>

double schedule_rate(enum schedule kind, double peak, double floor_ratio, int64_t warmup, int64_t total,
                     int64_t step) {
    if (step <= warmup)
        return peak * (double)step / (double)warmup;
    if (kind == SCHEDULE_CONSTANT)
        return peak;
    double p = step < total ? (double)(step - warmup) / (double)(total - warmup) : 1;
    double part = kind == SCHEDULE_COSINE ? 0.5 * (1 + cos(acos(-1.0) * p)) : 1 - p;
    return peak * (floor_ratio + (1 - floor_ratio) * part);
}
