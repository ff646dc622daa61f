"""The peers' model: the architecture that config.json describes, in plain PyTorch.

Pre-LayerNorm with weight and bias, linear layers without bias, rotary positions on pairs (i, i + D/2), causal SDPA,
GELU in its tanh form, tied embeddings: Starcoder2ForCausalLM as tacit trains it."""
import json
import os

import torch
import torch.nn as nn
import torch.nn.functional as F


class Config:
    def __init__(self, path):
        with open(os.path.join(path, "config.json") if os.path.isdir(path) else path) as f:
            c = json.load(f)
        if c["model_type"] != "starcoder2" or c.get("use_bias") or not c.get("tie_word_embeddings", True):
            raise SystemExit(f"{path}: only tied starcoder2 models without biases")
        self.layers, self.hidden, self.heads = c["num_hidden_layers"], c["hidden_size"], c["num_attention_heads"]
        if c.get("num_key_value_heads", self.heads) != self.heads:
            raise SystemExit(f"{path}: grouped key/value heads are not implemented here")
        self.feed_forward, self.vocab = c["intermediate_size"], c["vocab_size"]
        self.epsilon = c["norm_epsilon"]
        self.theta = c["rope_theta"] if "rope_theta" in c else c["rope_parameters"]["rope_theta"]
        self.head_size, self.std = self.hidden // self.heads, c.get("initializer_range", 0.02)

    def product_parameters(self):
        layer = 4 * self.hidden**2 + 2 * self.hidden * self.feed_forward
        return self.layers * layer + self.vocab * self.hidden

    def parameters(self):
        return self.product_parameters() + (2 * self.layers + 1) * 2 * self.hidden

    def flops_per_token(self, length):
        """Training: 6 N + 6 L S H, causal attention counted once."""
        return 6 * self.product_parameters() + 6 * self.layers * length * self.hidden


def turn(x, cos, sin):
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads, self.head_size = c.heads, c.head_size
        self.norm1, self.norm2 = nn.LayerNorm(c.hidden, c.epsilon), nn.LayerNorm(c.hidden, c.epsilon)
        self.qkv = nn.Linear(c.hidden, 3 * c.hidden, bias=False)
        self.out = nn.Linear(c.hidden, c.hidden, bias=False)
        self.up = nn.Linear(c.hidden, c.feed_forward, bias=False)
        self.down = nn.Linear(c.feed_forward, c.hidden, bias=False)

    def forward(self, x, cos, sin):
        b, s, h = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, s, 3, self.heads, self.head_size).permute(2, 0, 3, 1, 4)
        q, k = turn(q, cos, sin).to(v.dtype), turn(k, cos, sin).to(v.dtype)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(b, s, h))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Model(nn.Module):
    def __init__(self, c, length):
        super().__init__()
        self.embedding = nn.Embedding(c.vocab, c.hidden)
        self.blocks = nn.ModuleList(Block(c) for _ in range(c.layers))
        self.norm = nn.LayerNorm(c.hidden, c.epsilon)
        angle = torch.outer(torch.arange(length), c.theta ** (-torch.arange(0, c.head_size, 2) / c.head_size))
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)
        for p in self.parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=c.std)

    def body(self, tokens):
        x = self.embedding(tokens)
        s = tokens.shape[1]
        for block in self.blocks:
            x = block(x, self.cos[:s], self.sin[:s])
        return x

    def loss(self, x, targets):
        logits = F.linear(self.norm(x), self.embedding.weight)
        return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())

    def forward(self, tokens, targets):
        return self.loss(self.body(tokens), targets)

    def score(self, tokens):
        """Log-prob of each sequence of tokens behind its first."""
        logits = F.linear(self.norm(self.body(tokens)), self.embedding.weight)[:, :-1].float()
        return torch.log_softmax(logits, -1).gather(-1, tokens[:, 1:, None]).sum((1, 2))


def settle(device):
    """Flash attention (or the memory-efficient one, where a head size rules it out), float32 products exact."""
    torch.manual_seed(0)
    if device == "cuda":
        torch.backends.cuda.enable_cudnn_sdp(False)
        torch.backends.cuda.enable_math_sdp(False)


def wait(device):
    if device == "cuda":
        torch.cuda.synchronize()


def out_of_memory(error):
    return isinstance(error, torch.cuda.OutOfMemoryError) or "out of memory" in str(error)


def release(device):
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak(device):
    return torch.cuda.max_memory_reserved() if device == "cuda" else 0


def name(device):
    return torch.cuda.get_device_name() if device == "cuda" else "cpu"
