#include "base/error.h"
#include "model/internal.h"

#include <math.h>

// Global norms of the gradients, one per model, when everything issued so far is done.
static int gradient_norms(struct model *m, double *norm) {
    int code =
        m->device->k->download(m->device, m->norms, m->square_sums, (size_t)m->size.models * sizeof(double));
    if (code)
        return code;
    for (int g = 0; g < m->size.models; g++)
        norm[g] = sqrt(m->norms[g]);
    for (int g = 0; g < m->size.models; g++)
        if (!isfinite(norm[g]))
            return error_set(ERROR_NUMERIC, "model %d: gradient norm is %s", g, isnan(norm[g]) ? "nan" : "inf");
    return OK;
}

// The device decides from the norms how to clip, and whether to update at all, so that nothing waits in between.
int model_update(struct model *m, const struct model_optimizer *o, double *norm) {
    const struct kernels *k = m->device->k;
    if (!m->size.train)
        return error_set(ERROR_USAGE, "the model was made without gradients and moments");
    size_t n = m->table.elements;
    struct kernel_models km = {m->size.models, n, 0};
    struct adamw a = {
        .rate = (float)o->rate,
        .beta1 = (float)o->beta1,
        .beta2 = (float)o->beta2,
        .epsilon = (float)o->epsilon,
        .decay = (float)o->decay,
        .decayed = m->table.decayed,
        .step = o->step,
    };
    k->sum_squares(m->device, &km, m->square_sums, m->gradients, n);
    k->clip_scale(m->device, &km, m->clip_scale, m->square_sums, o->clip);
    k->adamw(m->device, &km, &a, m->clip_scale, m->parameters, m->gradients, m->first_moment, m->second_moment,
             m->copies == m->parameters ? NULL : m->copies, n);
    k->zero(m->device, m->gradients, (size_t)m->size.models * n * sizeof(float));
    return gradient_norms(m, norm);
}
