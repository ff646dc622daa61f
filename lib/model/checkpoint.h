// Checkpoints: directories that transformers opens.
//
//   config.json model.safetensors tokenizer.json          what anyone needs
//   optimizer.safetensors state.json                       moments; step, hyperparameters, data position
//
// Everything is written file by file, each atomically. Weights are float32 on disk (float16 and bfloat16 are read
// as well). A truncated, oversized or ill-typed safetensors header is ERROR_INPUT and allocates nothing.
#ifndef TACIT_MODEL_CHECKPOINT_H
#define TACIT_MODEL_CHECKPOINT_H

#include "model/model.h"

// The shape of a checkpoint's model. A path that is no checkpoint is refused as that: a file, a folder without
// config.json, or one whose run is unfinished.
int checkpoint_config(struct model_config *c, const char *directory);

// Write config.json and model.safetensors of model g into an existing directory. `vocab` (may be unknown) is kept
// in the safetensors metadata, so that route can refuse a stream of another vocabulary.
int checkpoint_save(struct model *m, int g, const char *directory, const struct digest *vocab);
// Load weights by name into model g; every tensor must be there with the right shape, and none be left over.
int checkpoint_load(struct model *m, int g, const char *directory);

int checkpoint_save_moments(struct model *m, int g, const char *directory); // optimizer.safetensors
int checkpoint_load_moments(struct model *m, int g, const char *directory);

// Digest of model.safetensors' bytes, and the vocabulary digest it carries (unknown: all zero).
int checkpoint_digest(const char *directory, struct digest *weights);
int checkpoint_vocab(const char *directory, struct digest *vocab);

#endif
