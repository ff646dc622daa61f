// For the moment: operations that nobody has written yet.
#include "../../lib/kernels/cuda/cuda.cuh"
#define MISSING(name, ...)                                                                                        \
    __attribute__((weak)) void name(struct device *d, __VA_ARGS__) {                                              \
        cuda_fail(cuda_of(d), #name " is not written yet");                                                       \
    }
typedef const struct kernel_models *models;
MISSING(cuda_embed_forward, models, dptr, dptr, dptr, int, int, int)
MISSING(cuda_embed_backward, models, dptr, dptr, dptr, int, int, int)
MISSING(cuda_norm_forward, models, enum kernel_norm, dptr, dptr, dptr, dptr, dptr, dptr, dptr, dptr, float, int,
        int)
MISSING(cuda_norm_backward, models, enum kernel_norm, dptr, dptr, dptr, dptr, dptr, dptr, dptr, dptr, dptr, int,
        int)
MISSING(cuda_swiglu_forward, dptr, dptr, size_t, int)
MISSING(cuda_swiglu_backward, dptr, dptr, dptr, size_t, int)
MISSING(cuda_rotary, dptr, const struct attention_shape *, int, float, int)
MISSING(cuda_attention_forward, dptr, dptr, dptr, const struct attention_shape *, int)
MISSING(cuda_attention_backward, dptr, dptr, dptr, dptr, dptr, const struct attention_shape *, int)
MISSING(cuda_classifier, models, dptr, dptr, dptr, dptr, dptr, dptr, dptr, int, int, int)
MISSING(cuda_convert, dptr, dptr, size_t)
MISSING(cuda_sum_squares, dptr, dptr, size_t)
MISSING(cuda_adamw, const struct adamw *, dptr, dptr, dptr, dptr, dptr, size_t)
#define SIZE(name, ...)                                                                                           \
    __attribute__((weak)) size_t name(__VA_ARGS__) {                                                              \
        return 1;                                                                                                 \
    }
SIZE(cuda_embed_scratch, const struct kernel_limits *)
SIZE(cuda_norm_scratch, const struct kernel_limits *)
SIZE(cuda_attention_scratch, const struct kernel_limits *, bool)
SIZE(cuda_classifier_scratch, const struct kernel_limits *, bool)
SIZE(cuda_update_scratch, const struct kernel_limits *)
