"""Training speed in PyTorch: torch.compile, fused AdamW, SDPA flash attention, bfloat16 autocast over float32
parameters, gradients accumulated to --tokens-per-step, clipped to a global norm. Prints one JSON object.

The batch is tuned: each of --batches is compiled block by block (quick to compile) and timed over whole optimizer
steps; the best is tried again compiled as one graph while --seconds last. The best of all counts. What runs out of
memory is left out."""
import argparse
import json
import statistics
import time

import torch

import torch_model as peer


def options():
    p = argparse.ArgumentParser()
    p.add_argument("--config", required=True)
    p.add_argument("--batches", default="8,16,32", help="sequences of a forward pass, to try")
    p.add_argument("--length", type=int, default=1024)
    p.add_argument("--tokens-per-step", type=int, default=131072)
    p.add_argument("--seconds", type=float, default=120, help="no new try begins later than this")
    p.add_argument("--measure", type=float, default=6, help="seconds of each timing")
    p.add_argument("--device", default="cuda")
    p.add_argument("--compile", default="block,model", help="of: none, block, model")
    return p.parse_args()


class Trainer:
    def __init__(self, o, c, batch, how):
        self.o, self.batch = o, batch
        torch._dynamo.reset()
        with torch.device(o.device):
            self.model = peer.Model(c, o.length)
        self.loss = self.model
        if how == "block":
            for block in self.model.blocks:
                block.compile(dynamic=False)
            self.model.loss = torch.compile(self.model.loss, dynamic=False)
        elif how == "model":
            self.loss = torch.compile(self.model, dynamic=False)
        decayed = [p for p in self.model.parameters() if p.dim() == 2]
        others = [p for p in self.model.parameters() if p.dim() != 2]
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
            lr=1e-4, betas=(0.9, 0.99), eps=1e-8, fused=True)
        self.passes = max(1, o.tokens_per_step // (batch * o.length))
        self.tokens = torch.randint(c.vocab, (self.passes, batch, o.length + 1), device=o.device)

    def step(self):
        for ids in self.tokens:
            with torch.autocast(self.o.device, dtype=torch.bfloat16):
                loss = self.loss(ids[:, :-1], ids[:, 1:]) / self.passes
            loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 0.1, foreach=True)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def rate(self):
        """Tokens per second: the median of whole steps, behind two that compile and warm up."""
        for _ in range(2):
            self.step()
        peer.wait(self.o.device)
        seconds, start = [], time.perf_counter()
        while len(seconds) < 4 or (time.perf_counter() - start < self.o.measure and len(seconds) < 200):
            before = time.perf_counter()
            self.step()
            peer.wait(self.o.device)
            seconds.append(time.perf_counter() - before)
        return self.tokens[:, :, 1:].numel() / statistics.median(seconds)


def attempt(o, c, batch, how):
    start = time.perf_counter()
    peer.release(o.device)
    result = {"batch": batch, "compile": how, "tokens_per_second": None}
    trainer = None
    try:
        trainer = Trainer(o, c, batch, how)
        result["tokens_per_second"] = trainer.rate()
        result["peak_bytes"] = peer.peak(o.device)
    except RuntimeError as error:
        if not peer.out_of_memory(error):
            raise
        result["failure"] = "out of memory"
    del trainer
    peer.release(o.device)
    result["seconds"] = time.perf_counter() - start
    return result


def main():
    o = options()
    c = peer.Config(o.config)
    ways, tried, start = o.compile.split(","), [], time.perf_counter()
    peer.settle(o.device)
    for batch in map(int, o.batches.split(",")):
        if not tried or time.perf_counter() - start < o.seconds:
            tried.append(attempt(o, c, batch, ways[0]))
    best = max(tried, key=lambda t: t["tokens_per_second"] or 0)
    for how in ways[1:]:
        if time.perf_counter() - start < o.seconds:
            tried.append(attempt(o, c, best["batch"], how))
    best = max(tried, key=lambda t: t["tokens_per_second"] or 0)
    print(json.dumps({"value": best["tokens_per_second"], "batch": best["batch"], "compile": best["compile"],
                      "peak_bytes": best.get("peak_bytes"), "parameters": c.parameters(),
                      "product_parameters": c.product_parameters(), "flops_per_token": c.flops_per_token(o.length),
                      "torch": torch.__version__, "device": peer.name(o.device), "tried": tried}))


if __name__ == "__main__":
    main()
