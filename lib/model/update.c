#include "base/error.h"
#include "model/internal.h"

#include <math.h>

// Global norms of the accumulated gradients, one per model.
static int gradient_norms(struct model *m, double *norm) {
    const struct kernels *k = m->device->k;
    size_t n = m->table.elements;
    for (int g = 0; g < m->size.models; g++)
        k->sum_squares(m->device, dptr_at(m->square_sums, (size_t)g * sizeof(double)),
                       model_gradient_at(m, (size_t)g * n), n);
    int code = k->download(m->device, m->norms, m->square_sums, (size_t)m->size.models * sizeof(double));
    if (code)
        return code;
    for (int g = 0; g < m->size.models; g++)
        norm[g] = sqrt(m->norms[g]);
    for (int g = 0; g < m->size.models; g++)
        if (!isfinite(norm[g]))
            return error_set(ERROR_NUMERIC, "model %d: gradient norm is %s", g, isnan(norm[g]) ? "nan" : "inf");
    return OK;
}

// One AdamW step over elements [begin, end) of model g.
static void update_segment(struct model *m, int g, size_t begin, size_t end, const struct adamw *a) {
    size_t at = (size_t)g * m->table.elements + begin, bytes = at * sizeof(float);
    dptr copy = m->copies == m->parameters ? NULL : model_copy(m, at);
    m->device->k->adamw(m->device, a, dptr_at(m->parameters, bytes), dptr_at(m->gradients, bytes),
                        dptr_at(m->first_moment, bytes), dptr_at(m->second_moment, bytes), copy, end - begin);
}

int model_update(struct model *m, const struct model_optimizer *o, double *norm) {
    const struct kernels *k = m->device->k;
    if (!m->size.train)
        return error_set(ERROR_USAGE, "the model was made without gradients and moments");
    int code = gradient_norms(m, norm);
    if (code)
        return code;
    for (int g = 0; g < m->size.models; g++) {
        struct adamw a = {
            (float)o->rate, (float)o->beta1, (float)o->beta2, (float)o->epsilon, (float)o->decay, o->step, 1.0f};
        // As PyTorch's clip_grad_norm_: the 1e-6 keeps a vanishing norm from dividing.
        if (o->clip > 0 && norm[g] > o->clip)
            a.scale = (float)(o->clip / (norm[g] + 1e-6));
        update_segment(m, g, 0, m->table.decayed, &a);
        a.decay = 0;
        update_segment(m, g, m->table.decayed, m->table.elements, &a);
    }
    k->zero(m->device, m->gradients, (size_t)m->size.models * m->table.elements * sizeof(float));
    return k->synchronize(m->device);
}
