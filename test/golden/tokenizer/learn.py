"""Make learned.txt with Hugging Face tokenizers 0.23 and sentencepiece 0.2 (pip install tokenizers sentencepiece).

    cd test/golden/tokenizer && python learn.py

For each set of options of `tokenize --learn` (a line that starts with '#') the merges of BpeTrainer for the lines of
train.txt (documents of their own; NUL ends one too, carriage returns are left out), one a line; for characters, first the characters
that have a token of their own in a line that starts with '@': those that sentencepiece's trainer takes.
"""
import io
import json

import sentencepiece
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

LETTERS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
SPACE = r"\s*[\r\n]+|\s+(?!\S)|\s+"
CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
O200K = (rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{CONTRACTIONS}?|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*"
         rf"{CONTRACTIONS}?|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{SPACE}")
PATTERNS = {
    "llama3": rf"{CONTRACTIONS}|{LETTERS}|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{SPACE}",
    "qwen2": rf"{CONTRACTIONS}|{LETTERS}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{SPACE}",
    "o200k": O200K,
    "cl100k": rf"{CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?+\p{{L}}+|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]++[\r\n]*"
              r"|\s*[\r\n]|\s+(?!\S)|\s+",
}
CHARACTERS = ("▁*[\\p{L}\\p{M}]+|▁*[^▁\\s\\p{L}\\p{M}0-9\uff10-\uff19]+|▁+|[0-9\uff10-\uff19]|[^\\S\\n]+")

with open("train.txt", "rb") as f:
    LINES = [line for line in f.read().decode().replace("\0", "\n").replace("\r", "").split("\n") if line]


def pre_tokenizer(pattern):
    if pattern == "gpt2":
        return pre_tokenizers.ByteLevel(add_prefix_space=False)
    if pattern == "starcoder2":
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                        pre_tokenizers.ByteLevel(add_prefix_space=False)])
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(PATTERNS[pattern]), "isolated"),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def write(out, tokenizer, trainer):
    tokenizer.train_from_iterator(LINES, trainer)
    for left, right in json.loads(tokenizer.to_str())["model"]["merges"]:
        out.write(f"{left} {right}\n")


def learn_bytes(out, size, pattern="gpt2", min_frequency=0, special=()):
    options = f"# --vocab-size {size} --pattern {pattern}"
    if min_frequency:
        options += f" --min-frequency {min_frequency}"
    out.write(options + "".join(f" --special {s}" for s in special) + "\n")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer(pattern)
    write(out, tokenizer, trainers.BpeTrainer(
        vocab_size=size, min_frequency=min_frequency, special_tokens=["<|endoftext|>", *special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))


def choose_characters(coverage):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES), model_writer=model, model_type="bpe", vocab_size=1500, byte_fallback=True,
        character_coverage=coverage, normalization_rule_name="identity", remove_extra_whitespaces=False,
        hard_vocab_limit=False, minloglevel=2)
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    pieces = [processor.id_to_piece(i) for i in range(processor.get_piece_size())]
    return sorted(p for p in pieces if len(p) == 1)


def learn_characters(out, size, coverage, min_frequency=0, special=()):
    options = f"# --vocab-size {size} --symbols characters --character-coverage {coverage}"
    if min_frequency:
        options += f" --min-frequency {min_frequency}"
    out.write(options + "".join(f" --special {s}" for s in special) + "\n")
    characters = choose_characters(coverage)
    out.write("@" + "".join(characters) + "\n")
    others = "[^" + "".join("\\" + c if c in "[]\\^-&" else c for c in characters) + "]"
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(CHARACTERS), "isolated"), pre_tokenizers.Split(Regex(others), "removed")])
    write(out, tokenizer, trainers.BpeTrainer(
        vocab_size=size, min_frequency=min_frequency, show_progress=False, initial_alphabet=characters,
        special_tokens=["<unk>", "<s>", "</s>", *special] + [f"<0x{byte:02X}>" for byte in range(256)]))


with open("learned.txt", "w") as learned:
    for name in ("gpt2", "starcoder2", "cl100k", "llama3", "qwen2", "o200k"):
        learn_bytes(learned, 400, name)
    learn_bytes(learned, 600, "cl100k", min_frequency=3, special=["<|pad|>", "<|im_start|>"])
    learn_characters(learned, 700, 1)
    learn_characters(learned, 600, 0.98, min_frequency=2, special=["<pad>"])
