#include "base/version.h"

const char *const tacit_version = TACIT_VERSION;
