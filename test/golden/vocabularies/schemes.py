"""Hold tokenize's ids against the libraries' under small vocabularies of random schemes: combinations of what a
tokenizer.json or a SentencePiece model may ask for.

    pip install tokenizers==0.23.* tiktoken==0.14.* sentencepiece==0.2.* regex numpy
    python schemes.py [--count N] [--seed S] [--tokenize PROGRAM]

--count  vocabularies, half of each kind, 60 texts for each (default 1000)

Prints how many were equal and why others were refused, and the first difference of those that had one, which are
kept as scheme-N.json or scheme-N.model. The exit status is 1 then.
"""
import argparse
import collections
import json
import os
import pathlib
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile

import fuzz
import make

META = make.META
CHARACTERS = ["a", "b", "c", "1", "\u00e9", "e", "-", "\u6f22", META]
NAMES = ["<s>", "<t>", "a b", "ab", " a", "  ", "b", "<t> x", "\u00e9", "e\u0301", "a" + META, META + "b", "aa"]
TEXT = CHARACTERS + ["a", "b", " ", "  ", "z", "\u0436", "\u0301", "'s", "\t", "\n", "<unk>", "</s>", "<0x41>"]
BYTES = [f"<0x{b:02X}>" for b in range(256)]


def chance(p):
    return random.random() < p


def texts(more):
    return ["".join(random.choices(TEXT + more, k=random.randint(1, 12))) for _ in range(60)]


def join(symbols, times, most=8):
    """Pairs of symbols, and what they make is one more."""
    pairs = []
    for _ in range(random.randint(0, times)):
        pair = random.choice(symbols), random.choice(symbols)
        if pair not in pairs and len("".join(pair)) <= most:
            pairs.append(pair)
            symbols.append("".join(pair))
    return pairs


# ---- tokenizer.json ----


def characters_scheme(model):
    tokens = list(dict.fromkeys(random.sample(CHARACTERS, random.randint(3, 8)) + [META] * chance(0.7)))
    symbols = list(tokens)
    if chance(0.5):
        tokens.insert(random.randint(0, len(tokens)), "<unk>")
        model["unk_token"] = "<unk>" if chance(0.9) else tokens[0]
    model["byte_fallback"] = chance(0.3)
    if chance(0.6):
        scheme = random.choice(["first", "always", "never"])
        return tokens + BYTES * model["byte_fallback"], symbols, None, make.meta_space(scheme, chance(0.5))
    steps = [{"type": "Replace", "pattern": {"String": " "}, "content": META}]
    if chance(0.5):
        steps.insert(random.randint(0, 1), {"type": "Prepend", "prepend": META})
    normalizer = {"type": "Sequence", "normalizers": steps}
    return tokens + BYTES * model["byte_fallback"], symbols, normalizer, None


def bytes_scheme():
    tokens = sorted(make.pre_tokenizers.ByteLevel.alphabet())
    digits = {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, make.byte_level()]}
    splits = [make.split(p) for p in (make.LLAMA3, make.QWEN2, make.O200K)]
    step = random.choice([make.byte_level(), make.byte_level(False), digits, *splits])
    return tokens, list("abc1e-\u0120"), random.choice([None, {"type": "NFC"}]), step


def add_tokens(vocab):
    names = random.sample(NAMES, random.randint(0, 4))
    for name in names:
        if name not in vocab and chance(0.3):
            vocab[name] = len(vocab)
    count, tokens = len(vocab), []
    for name in names:
        flags = {f: chance(0.25) for f in ("single_word", "lstrip", "rstrip")}
        token = make.added(name, vocab.get(name, count), chance(0.3), normalized=chance(0.5), **flags)
        count += name not in vocab
        tokens.append(token)
    return tokens


def make_json():
    model = dict(type="BPE", dropout=None, unk_token=None, continuing_subword_prefix=None, end_of_word_suffix=None)
    model.update(fuse_unk=chance(0.5), byte_fallback=False, ignore_merges=chance(0.3))
    tokens, symbols, normalizer, step = characters_scheme(model) if chance(0.6) else bytes_scheme()
    model["merges"] = [list(pair) for pair in join(symbols, 14)]
    tokens += symbols + ["".join(random.choices(symbols, k=2)) for _ in range(2)]  # the last by no merge
    vocab = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    file = dict(version="1.0", truncation=None, padding=None, added_tokens=add_tokens(vocab), normalizer=normalizer)
    file.update(pre_tokenizer=step, post_processor=None, decoder=None, model={**model, "vocab": vocab})
    return json.dumps(file).encode(), [token["content"] for token in file["added_tokens"]]


# ---- SentencePiece's models, as Protocol Buffers write them ----


def number(n):
    return bytes([n & 127 | 128]) + number(n >> 7) if n > 127 else bytes([n])


def field(n, data):
    return number(n << 3 | 2) + number(len(data)) + data if isinstance(data, bytes) else number(n << 3) + number(data)


def make_model():
    normal, unknown, control, user_defined, unused, byte = 1, 2, 3, 4, 5, 6
    fallback = int(chance(0.4))
    symbols = list(dict.fromkeys(random.sample(CHARACTERS, random.randint(2, 7)) + [META] * chance(0.8)))
    types = {"<unk>": unknown} if not fallback or chance(0.8) else {}
    types.update({"</s>": control} if chance(0.7) else {}, **{name: byte for name in BYTES * fallback})
    join(symbols, 16)
    for symbol in dict.fromkeys(symbols):
        types[symbol] = random.choices([normal, user_defined, unused], [8, 1, 1])[0]
    pieces = list(types.items())
    random.shuffle(pieces)
    data = b""
    for text, kind in pieces:
        score = random.choice([round(random.uniform(-9, 0), 1), -1.0, -2.0])
        data += field(1, field(1, text.encode()) + b"\x15" + struct.pack("<f", score) + field(3, kind))
    data += field(2, field(3, random.choice([1, 2])) + field(35, fallback))
    return data + field(3, b"".join(field(n, int(chance(p))) for n, p in ((3, 0.7), (4, 0.4), (5, 0.85)))), []


# ---- runs ----


def refusal(program, path):
    """Why tokenize takes no such vocabulary, or None."""
    command = [program, "-q", "-t", path, "--ragged", "--no-eot", "-o", os.devnull]
    run = subprocess.run(command, input=b"a", capture_output=True)
    if run.returncode not in (0, 3):
        sys.exit(f"{path}: {run.stderr.decode()}")
    return re.sub(r'"[^"]*"|\d+', "_", run.stderr.decode().split(": ", 2)[2]).strip() if run.returncode else None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tokenize", default="tokenize")
    options = parser.parse_args()
    random.seed(options.seed)
    equal, different, refused = 0, 0, collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        for n in range(options.count):
            path = os.path.join(folder, f"scheme-{n}" + (".model" if n % 2 else ".json"))
            data, names = make_model() if n % 2 else make_json()
            pathlib.Path(path).write_bytes(data)
            if why := refusal(options.tokenize, path):
                refused[why] += 1
                continue
            vocabulary = fuzz.Vocabulary(path, folder)
            allow = vocabulary.can_allow and chance(0.5)
            documents = texts(names)
            try:
                found = fuzz.Comparison(options.tokenize, 1, vocabulary, folder).difference(documents, allow)
            except BaseException as e:  # tokenizers', of added tokens with lstrip that overlap: it has no ids then
                if type(e).__name__ != "PanicException":
                    raise
                refused["the library panics"] += 1
                continue
            if found:
                i, theirs, ours = found
                shutil.copy(path, ".")
                print(f"{os.path.basename(path)}: {documents[i]!a}{' with --allow-special' if allow else ''}")
                print(f"  library  {theirs}\n  tokenize {ours}")
            different += bool(found)
            equal += not found
    print(f"{equal} vocabularies equal, {different} different, {refused.total()} refused")
    for why, count in refused.most_common():
        print(f"  {count} {why}")
    sys.exit(different > 0)


main()
