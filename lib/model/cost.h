// What a mixture costs by SmallTalk's own accounting (appendices A.3 and A.4), for plans and reports.
//
// FLOPs of one forward pass are model_flops_paper(); training is three of them.
#ifndef TACIT_MODEL_COST_H
#define TACIT_MODEL_COST_H

#include "model/config.h"

// Training: 3 steps F(batch, length). Equation 10; with E times as many steps or sequences, equations 13 and 15.
double cost_training(const struct model_config *c, double steps, double batch, double length);

// Scoring sequences' prefixes of M tokens under E routers: sequences E F(1, M). Equations 14 and 16.
double cost_scoring(const struct model_config *router, double experts, double sequences, double prefix);

// The run of one mixture: E routers and E experts of (steps, batch) each, on sequences of S tokens.
struct cost_mixture {
    double experts;                    // E
    double router_steps, router_batch; // of one router
    double router_length;              // tokens a router is trained on: S in the paper's table, M under eq. 9
    double expert_steps, expert_batch; // of one expert
    double length, prefix;             // S, M
};

// FLOPs by the four parts of equation 12; overhead = all but the experts' own training.
struct cost_training_parts {
    double routers, router_scoring, experts, expert_scoring, overhead, total;
};
void cost_mixture_training(struct cost_training_parts *parts, const struct model_config *expert,
                           const struct model_config *router, const struct cost_mixture *run);

// Inference on one sequence of S tokens: the expert's forward pass; and what routing adds, E F_r(1, M).
double cost_inference(const struct model_config *expert, double length);
double cost_inference_routing(const struct model_config *router, double experts, double prefix);

// Communication (A.4). Bytes that one router sends and receives per exchange, 2 x 2 x T E / S, its scores being
// float16 and T its training tokens between exchanges; the number of exchanges, N_steps S B_r / T, as a real
// number (round it up); bytes per node and step of data-parallel training of W parameters in float32, 2 x 4 W.
double cost_exchange_bytes(double tokens_between, double experts, double length);
double cost_exchanges(double router_steps, double router_batch, double length, double tokens_between);
double cost_dense_step_bytes(double parameters);

#endif
