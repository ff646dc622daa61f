#include "model/cost.h"

int64_t model_product_parameters(const struct model_config *c) {
    int64_t h = c->hidden, query = (int64_t)c->heads * c->head_size, key = (int64_t)c->kv_heads * c->head_size;
    int64_t attention = h * (query + 2 * key) + query * h;
    int64_t mlp = (c->family == MODEL_LLAMA ? 3 : 2) * h * c->feed_forward;
    return c->layers * (attention + mlp) + (int64_t)c->vocab * h;
}

int64_t model_parameters(const struct model_config *c) {
    int64_t norms = (c->family == MODEL_SMALLTALK ? 2 : 1) * (int64_t)c->hidden * (2 * (int64_t)c->layers + 1);
    int64_t embedding = c->tied ? 0 : (int64_t)c->vocab * c->hidden;
    return model_product_parameters(c) + embedding + norms;
}

double model_flops_per_token(const struct model_config *c, int length) {
    return 6.0 * (double)model_product_parameters(c) + 6.0 * c->layers * (double)length * c->heads * c->head_size;
}

// The paper's models have A D = K D = H and two matrices in the MLP. For the others each term keeps its meaning:
// 8 S H^2 is two FLOPs per parameter of the four projections, 4 S H F two per parameter of the MLP.
double model_flops_paper(const struct model_config *c, double batch, double length) {
    double h = c->hidden, query = (double)c->heads * c->head_size, key = (double)c->kv_heads * c->head_size;
    double projections = 2 * length * h * (2 * query + 2 * key);
    double attention = 4 * length * length * query;
    double mlp = (c->family == MODEL_LLAMA ? 6 : 4) * length * h * c->feed_forward;
    double head = 2 * length * h * c->vocab + 3 * length * c->vocab;
    return batch * (length * h + c->layers * (projections + attention + mlp) + head);
}

double cost_training(const struct model_config *c, double steps, double batch, double length) {
    return 3 * steps * model_flops_paper(c, batch, length);
}

double cost_scoring(const struct model_config *router, double experts, double sequences, double prefix) {
    return sequences * experts * model_flops_paper(router, 1, prefix);
}

void cost_mixture_training(struct cost_training_parts *parts, const struct model_config *expert,
                           const struct model_config *router, const struct cost_mixture *run) {
    double e = run->experts;
    parts->routers = e * cost_training(router, run->router_steps, run->router_batch, run->router_length);
    parts->router_scoring = cost_scoring(router, e, run->router_steps * run->router_batch * e, run->prefix);
    parts->experts = e * cost_training(expert, run->expert_steps, run->expert_batch, run->length);
    parts->expert_scoring = cost_scoring(router, e, run->expert_steps * run->expert_batch * e, run->prefix);
    parts->overhead = parts->routers + parts->router_scoring + parts->expert_scoring;
    parts->total = parts->experts + parts->overhead;
}

double cost_inference(const struct model_config *expert, double length) {
    return model_flops_paper(expert, 1, length);
}

double cost_inference_routing(const struct model_config *router, double experts, double prefix) {
    return cost_scoring(router, experts, 1, prefix);
}

double cost_exchange_bytes(double tokens_between, double experts, double length) {
    return 2 * 2 * tokens_between * experts / length;
}

double cost_exchanges(double router_steps, double router_batch, double length, double tokens_between) {
    return router_steps * length * router_batch / tokens_between;
}

double cost_dense_step_bytes(double parameters) {
    return 2 * 4 * parameters;
}
