#include "base/error.h"
#include "base/random.h"
#include "model/internal.h"

#include <math.h>
#include <string.h>

const struct model_config *model_get_config(const struct model *m) {
    return &m->config;
}

int model_tensor_count(const struct model *m) {
    return m->table.count;
}

const struct model_tensor *model_tensor_get(const struct model *m, int i) {
    return &m->table.tensors[i];
}

size_t model_elements(const struct model *m) {
    return m->table.elements;
}

// ---- reading and writing arrays ----

static dptr array(const struct model *m, enum model_array which) {
    switch (which) {
    case MODEL_PARAMETERS:
        return m->parameters;
    case MODEL_FIRST_MOMENT:
        return m->first_moment;
    case MODEL_SECOND_MOMENT:
        return m->second_moment;
    case MODEL_GRADIENTS:
        return m->gradients;
    }
    return NULL;
}

static int locate(const struct model *m, int g, enum model_array which, size_t begin, size_t n, dptr *p) {
    dptr base = array(m, which);
    if (!base)
        return error_set(ERROR_USAGE, "the model was made without gradients and moments");
    if (g < 0 || g >= m->size.models || begin > m->table.elements || n > m->table.elements - begin)
        return error_set(ERROR_USAGE, "elements %zu to %zu of model %d are outside it", begin, begin + n, g);
    *p = dptr_at(base, ((size_t)g * m->table.elements + begin) * sizeof(float));
    return OK;
}

int model_get(struct model *m, int g, enum model_array which, size_t begin, size_t n, float *out) {
    dptr p;
    int code = locate(m, g, which, begin, n, &p);
    return code ? code : m->device->k->download(m->device, out, p, n * sizeof(float));
}

int model_set(struct model *m, int g, enum model_array which, size_t begin, size_t n, const float *in) {
    const struct kernels *k = m->device->k;
    dptr p;
    int code = locate(m, g, which, begin, n, &p);
    if (code)
        return code;
    k->upload(m->device, p, in, n * sizeof(float));
    if (which == MODEL_PARAMETERS && m->copies != m->parameters)
        k->convert(m->device, model_copy(m, (size_t)g * m->table.elements + begin), p, n);
    return k->synchronize(m->device);
}

// ---- initialisation ----

static int init_tensor(struct model *m, int g, const struct model_tensor *t, uint64_t seed) {
    size_t n = tensor_elements(t), name = strlen(t->name);
    uint64_t stream = XXH3_64bits(t->name, name);
    double std = m->config.init_std;
    if (t->residual)
        std /= sqrt(2.0 * m->config.layers);
    bool bias = name > 5 && !strcmp(t->name + name - 5, ".bias");
    for (size_t begin = 0; begin < n; begin += m->staging_size) {
        size_t part = n - begin < m->staging_size ? n - begin : m->staging_size;
        for (size_t i = 0; i < part; i++)
            m->staging[i] = t->cols ? (float)(std * random_normal(seed, stream, begin + i)) : bias ? 0.0f : 1.0f;
        int code = model_set(m, g, MODEL_PARAMETERS, t->offset + begin, part, m->staging);
        if (code)
            return code;
    }
    return OK;
}

int model_init(struct model *m, int g, uint64_t seed) {
    int code = OK;
    for (int i = 0; i < m->table.count && !code; i++)
        code = init_tensor(m, g, &m->table.tensors[i], seed);
    return code;
}
