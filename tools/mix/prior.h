// Priors over experts, as a user writes them.
#ifndef TACIT_MIX_PRIOR_H
#define TACIT_MIX_PRIOR_H

#include <stdint.h>

// `text` is a list `0.5,0.25,0.25`, or the name of a file with such numbers, separated by commas or white space.
// A fresh array of `experts` weights >= 0, not all 0 (they need not sum to one); free() it. ERROR_USAGE for a bad
// list, ERROR_INPUT for a bad file.
int prior_read(double **prior, const char *text, uint32_t experts);

#endif
