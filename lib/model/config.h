// The shape of a transformer, read from and written to Hugging Face's config.json.
#ifndef TACIT_MODEL_CONFIG_H
#define TACIT_MODEL_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// smalltalk: LayerNorm with weight and bias, GELU (tanh), rotary, no linear biases (Starcoder2ForCausalLM)
// llama: RMSNorm, SwiGLU, rotary (LlamaForCausalLM)
enum model_family { MODEL_SMALLTALK, MODEL_LLAMA, MODEL_FAMILIES };

struct model_config {
    enum model_family family;
    int vocab, hidden, layers, heads, kv_heads, head_size, feed_forward; // V H L A K D F
    int positions;                                                       // the longest sequence
    bool tied;                                                           // the classifier is the embedding
    double theta;                                                        // of the rotary positions
    double epsilon;                                                      // of the norms
    double init_std;                                                     // initializer_range
    int64_t bos, eos;                                                    // token ids, -1: none
};

// Read and check a config.json (or the one in a checkpoint directory). What it asks for and we do not implement
// (biases, rope scaling, a sliding window, another activation) is ERROR_INPUT by name.
int model_config_read(struct model_config *c, const char *path);
int model_config_write(const struct model_config *c, const char *path); // opens in transformers
bool model_config_equal(const struct model_config *a, const struct model_config *b);

// Number of parameters: all; and those in matrix products (N of the rate of work: the classifier included, the
// embedding and the norms not).
int64_t model_parameters(const struct model_config *c);
int64_t model_product_parameters(const struct model_config *c);

// Training FLOPs per token, for the rate of work: 6 N + 6 L S (A D) (ALGORITHMS.md section 1; causal attention).
double model_flops_per_token(const struct model_config *c, int length);
// FLOPs of one forward pass over B sequences of S tokens by the paper's appendix A.3:
// F = B [S H + L (8 S H^2 + 4 S^2 H + 4 S H F) + 2 S H V + 3 S V]; training is 3 F.
double model_flops_paper(const struct model_config *c, double batch, double length);

#endif
