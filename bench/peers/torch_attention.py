"""Causal attention by SDPA's FlashAttention-2 (on the CPU: what SDPA takes there). Prints one JSON object: seconds of
one forward and of one backward call, the medians of rounds of many calls."""
import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

import torch_model as peer


def options():
    p = argparse.ArgumentParser()
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--length", type=int, default=1024)
    p.add_argument("--heads", type=int, default=16)
    p.add_argument("--head-size", type=int, default=64)
    p.add_argument("--device", default="cuda")
    return p.parse_args()


def seconds_of(device, work):
    for _ in range(3):
        work()
    peer.wait(device)
    before = time.perf_counter()
    work()
    peer.wait(device)
    calls, rounds = max(1, int(0.02 / (time.perf_counter() - before))), []
    for _ in range(9):
        before = time.perf_counter()
        for _ in range(calls):
            work()
        peer.wait(device)
        rounds.append((time.perf_counter() - before) / calls)
    return statistics.median(rounds)


def main():
    o = options()
    peer.settle(o.device)
    shape = (o.batch, o.length, o.heads, o.head_size)
    q, k, v, gradient = (torch.randn(shape, device=o.device, dtype=torch.bfloat16).transpose(1, 2)
                         for _ in range(4))
    for x in (q, k, v):
        x.requires_grad_()
    which = [SDPBackend.FLASH_ATTENTION] if o.device == "cuda" else [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]
    with sdpa_kernel(which):
        def forward():
            return F.scaled_dot_product_attention(q, k, v, is_causal=True)

        with torch.no_grad():
            forward_seconds = seconds_of(o.device, forward)
        out = forward()
        backward_seconds = seconds_of(
            o.device, lambda: torch.autograd.grad(out, (q, k, v), gradient, retain_graph=True))
    print(json.dumps({"forward_seconds": forward_seconds, "backward_seconds": backward_seconds,
                      "torch": torch.__version__, "device": peer.name(o.device)}))


if __name__ == "__main__":
    main()
