# lib/model against transformers: checkpoints that tacit writes open there, with the same logits.
#
# Needs a python with torch and transformers, named by TACIT_PYTHON; the other direction, checkpoints written by
# transformers that open here, needs none (test/unit/model_golden.c).

load helpers

python() {
    [ -n "${TACIT_PYTHON:-}" ] || skip "TACIT_PYTHON names no python with transformers"
    "$TACIT_PYTHON" -c 'import torch, transformers, safetensors' 2>/dev/null ||
        skip "$TACIT_PYTHON has no transformers"
    HF_HUB_OFFLINE=1 run "$TACIT_PYTHON" "$@"
}

@test "model: a checkpoint opens in transformers and gives the same logits" {
    run "$build/unit/model_export" "$T"
    assert_exit 0
    python "$golden/model/check_transformers.py" smalltalk llama
    assert_exit 0
    assert_line "smalltalk: Starcoder2ForCausalLM"
    assert_line "llama: LlamaForCausalLM"
}
