"""Scoring prefixes under --models routers in turn in PyTorch: bfloat16 parameters, torch.compile, SDPA flash attention.
One compiled model takes each router's parameters in turn. Prints one JSON object; value counts (token, router)
pairs per second. The batch is tuned as in torch_train.py."""
import argparse
import json
import time

import torch

import torch_model as peer


def options():
    p = argparse.ArgumentParser()
    p.add_argument("--config", required=True)
    p.add_argument("--models", type=int, default=32)
    p.add_argument("--length", type=int, default=256)
    p.add_argument("--batches", default="128,512,1024", help="sequences of a forward pass, to try")
    p.add_argument("--sequences", type=int, default=2048)
    p.add_argument("--seconds", type=float, default=60, help="no new try begins later than this")
    p.add_argument("--measure", type=float, default=3, help="seconds of each timing")
    p.add_argument("--device", default="cuda")
    p.add_argument("--compile", default="default,reduce-overhead", help="of: none, default, reduce-overhead")
    return p.parse_args()


def attempt(o, c, batch, how):
    start = time.perf_counter()
    peer.release(o.device)
    torch._dynamo.reset()
    result = {"batch": batch, "compile": how, "pairs_per_second": None}
    try:
        with torch.device(o.device):
            model = peer.Model(c, o.length).to(torch.bfloat16).eval()
        with torch.no_grad():
            routers = [[torch.randn_like(p).mul_(c.std) for p in model.parameters()] for _ in range(o.models)]
            score = model.score if how == "none" else torch.compile(model.score, dynamic=False, mode=how)
            batches = torch.randint(c.vocab, (max(1, o.sequences // batch), batch, o.length), device=o.device)

            def whole():
                for router in routers:
                    torch._foreach_copy_(list(model.parameters()), router)
                    scores = [score(ids).clone() for ids in batches]
                return torch.cat(scores).cpu()

            whole()
            peer.wait(o.device)
            seconds, begin = [], time.perf_counter()
            while len(seconds) < 2 or (time.perf_counter() - begin < o.measure and len(seconds) < 100):
                before = time.perf_counter()
                whole()
                seconds.append(time.perf_counter() - before)
            result["pairs_per_second"] = batches.numel() * o.models / min(seconds)
            result["peak_bytes"] = peer.peak(o.device)
    except RuntimeError as error:
        if not peer.out_of_memory(error):
            raise
        result["failure"] = "out of memory"
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
    best = max(tried, key=lambda t: t["pairs_per_second"] or 0)
    for how in ways[1:]:
        if time.perf_counter() - start < o.seconds:
            tried.append(attempt(o, c, best["batch"], how))
    best = max(tried, key=lambda t: t["pairs_per_second"] or 0)
    print(json.dumps({"value": best["pairs_per_second"], "batch": best["batch"], "compile": best["compile"],
                      "peak_bytes": best.get("peak_bytes"), "torch": torch.__version__,
                      "device": peer.name(o.device), "tried": tried}))


if __name__ == "__main__":
    main()
