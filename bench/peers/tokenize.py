#!/usr/bin/env python3
"""usage: tokenize.py VOCABULARY TEXT IDS [TOKENIZER]

How fast other libraries encode the same documents with the same vocabulary on one thread, and whether they come to
the same ids. VOCABULARY: a tokenizer.json, a tiktoken rank file by its own name, or a SentencePiece .model. IDS: what
`bench/tokenize encode VOCABULARY TEXT IDS` wrote. TOKENIZER: the vocabulary as a tokenizer.json, if it can be one.
Documents come in an order of their own until BENCH_SECONDS (default 10) are over, after some that are not counted. A
line for each library that is installed and has the vocabulary: its name, MB/s, the MB that it encoded, and "equal"
or the number of documents whose ids differ.
"""
import array
import base64
import os
import random
import sys
import time

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
DOCUMENT = 1 << 14  # as in bench/tokenize.c
BATCH = 64
SECONDS = float(os.environ.get("BENCH_SECONDS") or 10)


def documents(path):
    text, begin, result = open(path, "rb").read(), 0, []
    while begin < len(text):
        end = len(text)
        if end - begin > DOCUMENT:
            end = text.find(b"\n", begin + DOCUMENT) + 1 or end
        result.append(text[begin:end].decode())
        begin = end
    return result


def ids_of(path):
    """Of each document."""
    with open(path, "rb") as file:
        numbers, at, result = array.array("I", file.read()), 0, []
    while at < len(numbers):
        result.append(numbers[at + 1 : at + 1 + numbers[at]])
        at += 1 + numbers[at]
    return result


def name_of(path):
    return os.path.basename(path).split(".")[0]


def tiktoken_peer(path):
    import tiktoken
    import tiktoken_ext.openai_public as known

    with open(path, "rb") as file:
        ranks = {base64.b64decode(a): int(b) for a, b in (line.split() for line in file if line.strip())}
    # the library's own patterns; only its ranks would be downloaded
    known.load_tiktoken_bpe = lambda *_, **__: ranks
    known.data_gym_to_mergeable_bpe_ranks = lambda *_, **__: ranks
    about = getattr(known, name_of(path))()
    encoding = tiktoken.Encoding(**{**about, "special_tokens": {}, "explicit_n_vocab": None})
    return lambda batch: [encoding.encode_ordinary(text) for text in batch]


def bpe_openai_peer(path):
    import bpe_openai

    encoding = bpe_openai.get_encoding(name_of(path))
    return lambda batch: [encoding.encode_ordinary(text) for text in batch]


def tokenizers_peer(path):
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_file(path)
    tokenizer.encode_special_tokens = True  # special tokens inside text are text
    encode = getattr(tokenizer, "encode_batch_fast", tokenizer.encode_batch)
    return lambda batch: [e.ids for e in encode(batch, add_special_tokens=False)]


def sentencepiece_peer(path):
    import sentencepiece

    model = sentencepiece.SentencePieceProcessor(model_file=path)
    return lambda batch: [model.encode_as_ids(text) for text in batch]


PEERS = {
    ".tiktoken": {"tiktoken": tiktoken_peer, "bpe-openai": bpe_openai_peer},
    ".json": {},
    ".model": {"sentencepiece": sentencepiece_peer},
}


def measure(encode, documents, ids):
    """MB/s, MB, and how many documents came out otherwise."""
    order = random.Random(1).sample(range(len(documents)), len(documents))
    encode([documents[i] for i in order[-BATCH:]])
    seconds, size, different = 0.0, 0, 0
    while order and seconds < SECONDS:
        now, order = order[:BATCH], order[BATCH:]
        texts = [documents[i] for i in now]
        begin = time.perf_counter()
        batch = encode(texts)
        seconds += time.perf_counter() - begin
        size += sum(len(text.encode()) for text in texts)
        different += sum(list(theirs) != ids[i].tolist() for theirs, i in zip(batch, now, strict=True))
    return size / seconds / 1e6, size / 1e6, different


def main():
    vocabulary, text, ids_path, *tokenizer = sys.argv[1:]
    docs, ids = documents(text), ids_of(ids_path)
    if len(docs) != len(ids):
        sys.exit(f"tokenize.py: {ids_path}: ids of {len(ids)} documents, not {len(docs)}")
    own = {name: (peer, vocabulary) for name, peer in PEERS[os.path.splitext(vocabulary)[1]].items()}
    path = vocabulary if vocabulary.endswith(".json") else next(filter(os.path.exists, tokenizer), None)
    for name, (peer, path) in {**own, **({"tokenizers": (tokenizers_peer, path)} if path else {})}.items():
        try:
            encode = peer(path)
        except Exception as cause:  # not installed, or it does not have this vocabulary
            print(f"tokenize.py: {name}: {cause}", file=sys.stderr)
            continue
        speed, size, different = measure(encode, docs, ids)
        print(f"{name}\t{speed:.3f}\t{size:.0f}\t{f'{different} differ' if different else 'equal'}", flush=True)


if __name__ == "__main__":
    main()
