#!/usr/bin/env python3
"""`check_transformers.py CHECKPOINT...`: each opens with AutoModelForCausalLM and gives the logits beside it.

CHECKPOINT/logits.safetensors holds tokens and logits (float32), as test/unit/model_export.c writes them.
"""
import sys

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM


def check(directory):
    model, info = AutoModelForCausalLM.from_pretrained(directory, output_loading_info=True)
    loose = [key for kind in ("missing_keys", "unexpected_keys", "mismatched_keys") for key in info[kind]]
    if loose:
        sys.exit(f"{directory}: tensors without their counterpart: {loose}")
    stored = load_file(f"{directory}/logits.safetensors")
    with torch.no_grad():
        logits = model.double().eval()(stored["tokens"].long()).logits
    error = float((logits - stored["logits"]).abs().max() / logits.abs().max())
    print(f"{directory}: {type(model).__name__}, relative difference of the logits {error:.2g}")
    if not error <= 1e-5:
        sys.exit(f"{directory}: the logits differ")


for name in sys.argv[1:]:
    check(name)
