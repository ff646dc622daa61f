#!/usr/bin/env python3
"""Make the golden models: `make.py [DIRECTORY]` (default: beside this script).

For each family, in float64 from float32 weights, by transformers and PyTorch:

  FAMILY/config.json, model.safetensors   as save_pretrained writes them (float32)
  FAMILY/expected.safetensors             float32 tensors:
    tokens, targets   [B, S]      (target -1: none)
    logits            [B, S, V]
    logprobs          [B, S]      of the targets, 0 where none
    gradient.NAME                 of the mean negative log-prob over all targets
    train.tokens      [steps, B, S+1]
    train.losses, train.norms, train.rates  [steps]

The training loop: AdamW, betas (0.9, 0.99), eps 1e-8, decoupled decay 0.1 on matrices only, gradient clipped to
global norm 0.1, warm-up and cosine to 10%. Needs torch, transformers and safetensors.
"""
import math
import os
import sys

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM, Starcoder2Config, Starcoder2ForCausalLM

BATCH, LENGTH = 3, 17
STEPS, TRAIN_BATCH, TRAIN_LENGTH = 200, 4, 16
PEAK, FLOOR, WARMUP, CLIP = 4e-3, 0.1, 20, 0.1

FAMILIES = {
    "smalltalk": lambda: Starcoder2ForCausalLM(Starcoder2Config(
        vocab_size=61, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=3,
        intermediate_size=52, max_position_embeddings=40, use_bias=False, norm_epsilon=1e-5, residual_dropout=0.0,
        attention_dropout=0.0, embedding_dropout=0.0, tie_word_embeddings=True, sliding_window=None,
        bos_token_id=None, eos_token_id=0, initializer_range=0.02)),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(
        vocab_size=67, hidden_size=40, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
        intermediate_size=36, max_position_embeddings=40, rms_norm_eps=1e-6, tie_word_embeddings=False,
        bos_token_id=None, eos_token_id=0, rope_parameters={"rope_type": "default", "rope_theta": 5000.0})),
}


def fill(model, generator):
    """Weights large enough that every path of the model matters, norms and biases included."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator, dtype=torch.float64)
            if p.dim() == 2:
                p.copy_((0.7 / math.sqrt(p.shape[1]) if "embed" not in name else 0.3) * noise)
            elif name.endswith("bias"):
                p.copy_(0.1 * noise)
            else:
                p.copy_(1 + 0.2 * noise)


def log_probs(model, tokens, targets):
    logits = model(tokens).logits
    taken = torch.log_softmax(logits, -1).gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    return logits, taken * (targets >= 0)


def stream(vocab, generator):
    """Sequences that follow t -> 3 t + 1 three times in four, so that there is something to learn."""
    tokens = torch.empty(STEPS, TRAIN_BATCH, TRAIN_LENGTH + 1, dtype=torch.long)
    tokens[..., 0] = torch.randint(vocab, tokens[..., 0].shape, generator=generator)
    for s in range(TRAIN_LENGTH):
        follow = torch.rand(tokens[..., 0].shape, generator=generator) < 0.75
        other = torch.randint(vocab, tokens[..., 0].shape, generator=generator)
        tokens[..., s + 1] = torch.where(follow, (3 * tokens[..., s] + 1) % vocab, other)
    return tokens


def rate(step):
    if step <= WARMUP:
        return PEAK * step / WARMUP
    p = (step - WARMUP) / (STEPS - WARMUP)
    return PEAK * (FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * p)))


def train(model, tokens):
    matrices = [p for p in model.parameters() if p.dim() == 2]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
                                  lr=PEAK, betas=(0.9, 0.99), eps=1e-8)
    losses, norms, rates = [], [], []
    for step in range(1, STEPS + 1):
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        batch = tokens[step - 1]
        loss = -log_probs(model, batch[:, :-1], batch[:, 1:])[1].mean()
        optimizer.zero_grad()
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)))
        optimizer.step()
        losses.append(float(loss.detach()))
        rates.append(rate(step))
    return losses, norms, rates


def make(family, directory):
    generator = torch.Generator().manual_seed(20 + len(family))
    model = FAMILIES[family]().double().eval()
    fill(model, generator)
    model.float().save_pretrained(directory)
    leftover = os.path.join(directory, "generation_config.json")
    if os.path.exists(leftover):
        os.remove(leftover)
    model.double()

    vocab = model.config.vocab_size
    tokens = torch.randint(vocab, (BATCH, LENGTH), generator=generator)
    targets = torch.cat([tokens[:, 1:], torch.full((BATCH, 1), -1)], 1)
    targets[1, 4:9] = -1
    logits, taken = log_probs(model, tokens, targets)
    (-taken.sum() / (targets >= 0).sum()).backward()
    out = {"tokens": tokens, "targets": targets, "logits": logits.detach(), "logprobs": taken.detach()}
    out.update({"gradient." + name: p.grad.clone() for name, p in model.named_parameters()})

    batches = stream(vocab, generator)
    losses, norms, rates = train(model, batches)
    print(family, "loss", losses[0], "->", losses[-1], "norm", norms[0], "->", norms[-1])
    out["train.tokens"] = batches
    out["train.losses"], out["train.norms"] = torch.tensor(losses), torch.tensor(norms)
    out["train.rates"] = torch.tensor(rates)
    out = {name: t.to(torch.float32).contiguous() for name, t in out.items()}
    save_file(out, os.path.join(directory, "expected.safetensors"))


def main():
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    base = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
    for family in FAMILIES:
        directory = os.path.join(base, family)
        os.makedirs(directory, exist_ok=True)
        make(family, directory)


if __name__ == "__main__":
    main()
