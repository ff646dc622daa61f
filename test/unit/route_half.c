// float16 against its definition: the nearest of its neighbours, ties to the even one.
#include "check.h"

#include "route/route.h"

// The value of a float16, from its fields.
static double half_value(uint16_t h) {
    int exponent = h >> 10 & 31, fraction = h & 1023;
    double magnitude = exponent == 0 ? ldexp(fraction, -24) : ldexp(1024 + fraction, exponent - 25);
    return h & 0x8000 ? -magnitude : magnitude;
}

int main(void) {
    int wrong = 0;
    for (uint32_t h = 0; h < 0x7c00; h++) {
        double low = half_value((uint16_t)h), high = h < 0x7bff ? half_value((uint16_t)(h + 1)) : 65536;
        float middle = (float)((low + high) / 2); // exact: float has 13 more bits
        uint16_t even = (uint16_t)(h % 2 ? h + 1 : h);
        wrong += half_from_float((float)low) != h;
        wrong += half_from_float(-(float)low) != (h | 0x8000);
        wrong += half_from_float(middle) != even;
        wrong += half_from_float(nextafterf(middle, 0)) != h;
        wrong += half_from_float(nextafterf(middle, INFINITY)) != h + 1;
    }
    CHECK_EQUAL_INT(wrong, 0);
    CHECK_EQUAL_INT(half_from_float(-INFINITY), 0xfc00);
    CHECK_EQUAL_INT(half_from_float(1e30f), 0x7c00);
    CHECK_EQUAL_INT(half_from_float(0x1p-26f), 0);
    CHECK((half_from_float(NAN) & 0x7fff) > 0x7c00);
    return check_report();
}
