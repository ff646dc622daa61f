# The unit programs, test/unit/NAME.c: one line per program, its name the promise that the program checks.
# What a failing program prints is shown.

load helpers

unit() {
    run "$build/unit/$1"
    printf '%s\n' "$output"
    [ "$status" -eq 0 ]
}

@test "base: an error keeps its code and one message per thread" { unit base_error; }
@test "base: sizes never overflow and buffers grow" { unit base_memory; }
@test "base: an output appears whole or not at all" { unit base_file; }
@test "base: the memory to be had is the machine's, or the control group's" { unit base_machine; }
@test "base: random numbers are Philox, and permutations are one to one" { unit base_random; }
@test "base: every task of a region runs once, whatever the number of threads" { unit base_threads; }
@test "base: background jobs are done in turn, and who waits for one that is not is told" { unit base_background; }
@test "base: JSON is bounded, checked and written canonically" { unit base_json; }
@test "base: digests are XXH3-128 in canonical order" { unit base_hash; }

@test "kernels: attention equals float64, its gradient finite differences" { unit kernels_attention; }
@test "kernels: products and the classifier equal float64, with any threads and models" { unit kernels_products; }
@test "kernels: embedding, norms and SwiGLU equal float64, with any threads and models" { unit kernels_rows; }
@test "kernels: the optimizer equals float64, and memory is accounted" { unit kernels_update; }

@test "model: config.json reads as transformers writes it, and counts are the papers'" { unit model_config; }
@test "model: costs are table 3's to the printed digits" { unit model_cost; }
@test "model: learning rates follow their schedule" { unit model_schedule; }
@test "model: logits, gradients and 200 steps equal PyTorch's" { unit model_golden; }
@test "model: gradients equal finite differences" { unit model_finite; }
@test "model: threads, micro-batches and neighbours change nothing" { unit model_invariance; }
@test "model: checkpoints come back, and broken ones are refused" { unit model_checkpoint; }
@test "model: NaN and Inf stop with the parameters untouched" { unit model_numeric; }
@test "model: an exported checkpoint reads back the same" { unit model_export; }

@test "assign: balanced assignment is the paper's, and holds against brute force" { unit assign_balanced; }
@test "assign: sorting, spooling and deciding are the same whatever the memory" { unit assign_sorter; }
@test "assign: the best expert of a row, and where each fills up" { unit assign_rows; }
@test "mix: bayes equals a long double reference and keeps its identities" { unit mix_bayes; }
@test "mix: mean, geomean and oracle equal their formulas" { unit mix_rules; }
@test "ppl: bootstrap intervals agree with the normal approximation" { unit ppl_bootstrap; }
@test "ppl: accuracy equals a direct count, whatever the order" { unit ppl_choices; }

@test "text: a long document may be cut where no token crosses" { unit text_cutting; }
@test "text: a long word may be cut where a token ends whatever stands around" { unit text_word_cut; }
@test "text: words are GPT-2's, and classes are Unicode's" { unit text_split; }
@test "text: ids are Hugging Face's, and any bytes come back" { unit text_encode; }
@test "text: merges are the most frequent pairs, counted anew" { unit text_learn; }
@test "text: ranked tokens are merged as the definition says, in any order of ranks" { unit text_ranked; }
@test "text: SentencePiece models give the library's ids, and damaged ones are refused" { unit text_sentencepiece; }
@test "stream: what was written is what is read, in any order and through pipes" { unit stream_roundtrip; }
@test "stream: every flipped bit, truncation and moved frame is an error with its place" { unit stream_damage; }
@test "stream: hostile lengths, counts and headers are refused and allocate nothing" { unit stream_hostile; }
@test "stream: threads change neither records nor errors, and nothing waits for a stalled pipe" { unit stream_threads; }

@test "train: an epoch takes every sequence once, and a feed goes on where it stopped" { unit train_feed; }
@test "route: float16 is rounded to nearest even" { unit route_half; }

@test "unit: every program in test/unit is listed in this file" {
    for source in "$root"/test/unit/*.c; do
        name=$(basename "$source" .c)
        grep -q "{ unit $name; }" "$root/test/unit.bats" || { echo "not listed: $name"; return 1; }
    done
}
