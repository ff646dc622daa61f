# Small models and streams for the tests of train and route.

mkstream() {
    "$build/test/mkstream" "$@"
}

# config [vocab [positions [hidden [layers]]]] > config.json: the SmallTalk family, heads of 8
config() {
    jq -n --argjson v "${1:-64}" --argjson p "${2:-32}" --argjson h "${3:-32}" --argjson l "${4:-2}" '{
        model_type: "starcoder2", architectures: ["Starcoder2ForCausalLM"], vocab_size: $v, hidden_size: $h,
        num_hidden_layers: $l, num_attention_heads: ($h / 8), num_key_value_heads: ($h / 8),
        intermediate_size: (4 * $h), max_position_embeddings: $p, use_bias: false,
        hidden_act: "gelu_pytorch_tanh", norm_epsilon: 1e-5, rope_theta: 10000, tie_word_embeddings: true,
        initializer_range: 0.02, sliding_window: null}'
}

# lines N LENGTH: token sequences that a small model learns quickly (steps of 3, any start), as JSON lines
lines() {
    awk -v n="$1" -v s="$2" 'BEGIN {
        for (i = 0; i < n; i++) {
            printf "{\"id\":%d,\"tokens\":[", i
            for (t = 0; t < s; t++)
                printf "%s%d", t ? "," : "", (i * 7 + t * 3) % 64
            print "]}"
        }
    }'
}

# pattern N LENGTH > FILE.tok: the same as a stream
pattern() {
    lines "$1" "$2" | mkstream tokens from=json length="$2" vocab=64
}

# assignment N EXPERTS > FILE.asg: sequence i of pattern to expert i mod EXPERTS; its columns need the LENGTH
assignment() {
    awk -v n="$1" -v e="$2" -v s="$3" 'BEGIN {
        for (i = 0; i < n; i++)
            printf "{\"id\":%d,\"predicted\":%d,\"expert\":%d}\n", i, s - 1, i % e
    }' | mkstream assignment from=json length="$3" vocab=64 experts="$2"
}

# with_nan CKPT: the last weight becomes a NaN
with_nan() {
    local file=$1/model.safetensors
    printf '\377\377\377\177' | dd of="$file" bs=1 seek=$(($(stat -c %s "$file") - 4)) conv=notrunc status=none
}

# same_weights CKPT CKPT: weights and moments, byte for byte
same_weights() {
    assert_same "$1/model.safetensors" "$2/model.safetensors"
    assert_same "$1/optimizer.safetensors" "$2/optimizer.safetensors"
}
